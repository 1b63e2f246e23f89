//! The identifiers of a claim as types that cannot hold an invalid one.

use claim_events::ClaimId;
use std::fmt;
use std::sync::Arc;

/// The letters of a claim id: letters and digits only, so that an id survives a shell, a URL and a double click.
const ALPHABET: [char; 62] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M',
    'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j',
    'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
];

/// A new, random claim id.
pub fn random_claim_id() -> ClaimId {
    // The generator of the thread, which is as hard to predict as one from the operating system for each id, and much faster.
    let id = nanoid::format(nanoid::rngs::thread_local, &ALPHABET, ClaimId::LENGTH);
    ClaimId::parse(&id).expect("the alphabet is that of claim ids")
}

/// A procedure code, upper case: letters and digits only. The rules decide whether it is a CDT code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcedureCode {
    /// Behind its characters zeros.
    bytes: [u8; ProcedureCode::MOST_CHARACTERS],
    length: u8,
}

impl ProcedureCode {
    /// The longest code, in characters.
    pub const MOST_CHARACTERS: usize = 10;

    /// Parses 1 to 10 letters and digits, and makes them upper case.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::MOST_CHARACTERS];
        let length = u8::try_from(text.len()).ok().filter(|length| *length > 0)?;
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        bytes.make_ascii_uppercase();
        text.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(Self { bytes, length })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("letters and digits are text")
    }
}

impl fmt::Debug for ProcedureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProcedureCode").field(&self.as_str()).finish()
    }
}

/// A quadrant or area of the oral cavity: the letters that dental offices write, or the codes of the ADA claim form
/// (ISO 3950: 00 whole mouth, 01 upper arch, 02 lower arch, 10 UR, 20 UL, 30 LL, 40 LR).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quadrant(&'static str);

impl Quadrant {
    /// Every quadrant.
    pub const ALL: [&str; 11] = ["UR", "UL", "LR", "LL", "10", "20", "30", "40", "00", "01", "02"];

    /// Parses a quadrant, in upper or lower case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.eq_ignore_ascii_case(text)).map(Self)
    }

    /// The text.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

/// A text that names a plan, a subscriber or a sender's own claim: 1 to 64 printable characters.
///
/// Its `Debug` is masked: a subscriber id is patient data and must not reach a log by way of a `{:?}`. Cheap to clone, because
/// all lines of a claim have the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identifier(Arc<str>);

/// Characters of Unicode's category Cf that are copied along with text from a page or a document, so that two numbers that
/// look alike differ: zero-width spaces and joiners, marks and overrides of direction, and the byte order mark.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl Identifier {
    /// The longest, in characters.
    pub const MOST_CHARACTERS: usize = 64;

    /// Parses an identifier.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty()
            && text.chars().nth(Self::MOST_CHARACTERS).is_none()
            && !text.chars().any(|character| character.is_control() || is_invisible(character));
        fits.then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identifier(masked)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_claim_ids_differ() {
        assert_ne!(random_claim_id(), random_claim_id());
    }

    #[test]
    fn codes_are_upper_cased_and_quadrants_are_known_ones() {
        assert_eq!(ProcedureCode::parse("d0180").unwrap().as_str(), "D0180");
        assert_eq!(ProcedureCode::parse("D 180"), None);
        assert_eq!(Quadrant::parse("ur").unwrap().as_str(), "UR");
        assert_eq!(Quadrant::parse("Upper"), None);
    }

    #[test]
    fn an_identifier_does_not_show_itself_to_debug() {
        let subscriber = Identifier::parse("3730189502").unwrap();
        assert!(!format!("{subscriber:?}").contains("3730189502"));
        assert_eq!(Identifier::parse("a\nb"), None);
        assert_eq!(Identifier::parse("GRP-1000\u{200b}"), None);
        assert_eq!(Identifier::parse(&"x".repeat(65)), None);
    }
}
