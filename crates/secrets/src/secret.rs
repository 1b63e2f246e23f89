//! A password, or a key that signs.

use crate::MASK;
use secrecy::{ExposeSecret, SecretString};
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A secret text; empty where none is set. Its memory is overwritten when it is dropped.
///
/// `Debug` and `Serialize` give [`MASK`], or nothing where it is empty. It can therefore be read from settings and not be
/// written back.
#[derive(Clone, Default)]
pub struct Secret(SecretString);

impl Secret {
    /// The secret itself. Neither log nor store what this returns.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }

    fn masked(&self) -> &'static str {
        if self.is_empty() { "" } else { MASK }
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.masked())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.masked())
    }
}

/// By hand, because an error of serde's own shows what it found in the place of a text.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Text(SecretString),
            Other(IgnoredAny),
        }
        match Given::deserialize(deserializer)? {
            Given::Text(text) => Ok(Self(text)),
            Given::Other(_) => Err(D::Error::custom("a secret must be a text, in quotes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_and_only_its_mask_is_shown() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret:?} {secret:#?}"), "******** ********");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"********\"");
        let none = Secret::default();
        assert!(none.is_empty() && !secret.is_empty());
        assert_eq!((format!("{none:?}"), serde_json::to_string(&none).unwrap()), (String::new(), "\"\"".to_owned()));
    }

    #[test]
    fn what_is_no_text_is_refused_and_not_shown() {
        let refused = serde_json::from_str::<Secret>("4711").unwrap_err().to_string();
        assert!(refused.contains("in quotes") && !refused.contains("4711"), "{refused}");
    }
}
