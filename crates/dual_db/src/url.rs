//! The URL of a database, which may hold a password.

use secrets::{MASK, Secret, masked_url};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use validator::ValidateLength;

/// `sqlite://path/to/file.db` or `postgres://user:password@host:port/name`.
///
/// `Display`, `Debug` and `Serialize` mask the password, and every value behind a `?`.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(Secret);

impl DatabaseUrl {
    /// The URL as it was given, with the password. Neither log nor store what this returns.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl From<&str> for DatabaseUrl {
    fn from(url: &str) -> Self {
        Self(url.into())
    }
}

impl From<String> for DatabaseUrl {
    fn from(url: String) -> Self {
        url.as_str().into()
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expose() {
            url if url.is_empty() || url.contains("://") => f.write_str(&masked_url(url)),
            // What is not a URL may be libpq's other form, `password=… host=…`.
            _ => f.write_str(MASK),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl ValidateLength<u64> for DatabaseUrl {
    fn length(&self) -> Option<u64> {
        self.expose().length()
    }
}

#[cfg(test)]
mod tests {
    use crate::DatabaseSettings;

    #[test]
    fn a_password_is_not_shown() {
        for url in [
            "postgres://claims:hunter2@db:5432/claims",
            "postgres://db:5432/claims?password=hunter2",
            "postgres://claims:hunter2@db:5432/claims?password=hunter2",
            "password=hunter2 host=db:5432/claims",
        ] {
            let settings = DatabaseSettings::at(url);
            let written = serde_json::to_string(&settings).unwrap();
            for shown in [format!("{settings:?}"), settings.url.to_string(), format!("{:?}", settings.url), written] {
                assert!(!shown.contains("hunter2") && shown.contains("********"), "{shown}");
                assert!(!url.contains("://") || shown.contains("db:5432/claims"), "{shown}");
            }
            assert_eq!(settings.url.expose(), url);
        }
        assert!(format!("{:?}", DatabaseSettings::at("sqlite://claims.db")).contains("sqlite://claims.db"));
    }
}
