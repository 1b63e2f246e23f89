//! The public id of a claim and the id of a provider, as types that cannot hold an invalid one.

use serde::{Serialize, Serializer};
use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};

/// A claim's public id: a nanoid of 22 letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ClaimId(String);

impl ClaimId {
    /// An id for examples. No claim has it.
    pub const EXAMPLE: &str = "4fXk0aV1StGXR8Z5jdHi6B";

    /// How many letters and digits an id has: 22 of 62 hold 131 random bits, more than a UUID.
    pub const LENGTH: usize = 22;

    /// Parses an id; `None` if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == Self::LENGTH && text.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A National Provider Identifier: ten digits (<https://www.cms.gov/Regulations-and-Guidance/Administrative-Simplification/NationalProvIdentStand>).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Npi([u8; Npi::LENGTH]);

impl Npi {
    const LENGTH: usize = 10;

    /// Parses ten digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; Self::LENGTH] = text.as_bytes().try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }

    /// Whether the check digit is right: Luhn over `80840` and the ten digits (45 CFR 162.406, ISO/IEC 7812).
    pub fn has_valid_check_digit(&self) -> bool {
        let sum: u32 = b"80840"
            .iter()
            .chain(&self.0)
            .rev()
            .enumerate()
            .map(|(place, byte)| {
                let digit = u32::from(byte - b'0');
                match (place % 2, digit * 2) {
                    (0, _) => digit,
                    (_, doubled) if doubled > 9 => doubled - 9,
                    (_, doubled) => doubled,
                }
            })
            .sum();
        sum.is_multiple_of(10)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits are text")
    }
}

impl fmt::Debug for Npi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Npi").field(&self.as_str()).finish()
    }
}

impl Serialize for Npi {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// As its text, by which it is searched.
impl Hash for Npi {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// A text that is not the id that it should be. The text is not repeated: it may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {0}")]
pub struct NotAnId(&'static str);

macro_rules! reads_from_text {
    ($type:ident, $what:literal) => {
        impl TryFrom<String> for $type {
            type Error = NotAnId;

            fn try_from(text: String) -> Result<Self, NotAnId> {
                Self::parse(&text).ok_or(NotAnId($what))
            }
        }

        /// Maps keyed by it are searched by a text.
        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reads_from_text!(ClaimId, "a claim id, which has 22 letters and digits");
reads_from_text!(Npi, "an NPI, which has ten digits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claim_ids_are_22_letters_and_digits() {
        assert_eq!(ClaimId::parse(ClaimId::EXAMPLE).unwrap().as_str(), ClaimId::EXAMPLE);
        for wrong in ["", "4fXk0aV1StGXR8Z5jdHi6", "4fXk0aV1StGXR8Z5jdHi6-", "4fXk0aV1StGXR8Z5jdHi6BB"] {
            assert_eq!(ClaimId::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn npi_is_ten_digits_and_its_check_digit_is_luhn_over_80840() {
        for valid in ["1497775530", "1234567893", "1993999998", "1245319599"] {
            assert!(Npi::parse(valid).unwrap().has_valid_check_digit(), "{valid}");
        }
        for invalid in ["1234567890", "1497775531", "1245319598"] {
            assert!(!Npi::parse(invalid).unwrap().has_valid_check_digit(), "{invalid}");
        }
        for wrong in ["123456789", "12345678901", "1234567890A", "123456789٠"] {
            assert_eq!(Npi::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_no_id_is_an_error_that_says_what_was_wanted_and_not_what_came() {
        let error = ClaimId::try_from("3730189502".to_owned()).unwrap_err().to_string();
        assert!(error.contains("22 letters and digits") && !error.contains("3730189502"), "{error}");
        assert!(Npi::try_from("149777553".to_owned()).is_err());
        assert_eq!(Npi::try_from("1497775530".to_owned()).unwrap().to_string(), "1497775530");
    }
}
