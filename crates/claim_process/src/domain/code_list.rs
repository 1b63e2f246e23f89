//! A list of procedure codes, one a line; empty lines and comments after a `#` are ignored.

use super::identifiers::ProcedureCode;
use std::collections::HashSet;

/// Procedure codes that a deployment knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeList(HashSet<ProcedureCode>);

impl CodeList {
    /// The longest text that is read, in bytes: far more than CDT's less than a thousand codes with a comment each.
    pub const MOST_BYTES: usize = 1024 * 1024;

    /// Reads a list.
    ///
    /// # Errors
    /// What has to be corrected, and in which line.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > Self::MOST_BYTES {
            return Err(format!("it must have at most {} bytes", Self::MOST_BYTES));
        }
        let mut codes = HashSet::new();
        for (line, number) in text.trim_start_matches('\u{feff}').lines().zip(1..) {
            let code = line.split('#').next().unwrap_or_default().trim();
            if code.is_empty() {
                continue;
            }
            let code = ProcedureCode::parse(code).ok_or_else(|| {
                format!("line {number} must be one procedure code, as in D0180, or a # and a comment")
            })?;
            codes.insert(code);
        }
        if codes.is_empty() {
            return Err("it must have at least one procedure code, as in D0180".to_owned());
        }
        Ok(Self(codes))
    }

    /// The list that the examples of the rules are checked against.
    pub(super) fn of_examples() -> Self {
        Self::parse("D0180").expect("this is a list")
    }

    /// Whether the code is in it.
    pub fn contains(&self, code: &ProcedureCode) -> bool {
        self.0.contains(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_one_a_line_between_comments() {
        let list = CodeList::parse("\u{feff}# CDT\n\nD0180 # comprehensive\r\n d4341\n").unwrap();
        for (code, is_known) in [("D0180", true), ("D4341", true), ("D0210", false)] {
            assert_eq!(list.contains(&ProcedureCode::parse(code).unwrap()), is_known, "{code}");
        }
    }

    #[test]
    fn a_list_may_be_as_long_as_the_limit() {
        let mut longest = "D0180\n".to_owned();
        longest.push_str(&"#".repeat(CodeList::MOST_BYTES - longest.len()));
        assert!(CodeList::parse(&longest).is_ok());
        assert!(CodeList::parse(&format!("{longest}#")).is_err());
    }

    #[test]
    fn an_invalid_list_is_an_error_with_its_line() {
        for (text, expected) in [
            ("D0180\nD0210, D0220\n", "line 2 must be"),
            ("\0", "line 1 must be"),
            ("# nothing\n", "at least one"),
            ("", "at least one"),
            (&"D0180\n".repeat(200_000), "at most 1048576 bytes"),
        ] {
            let error = CodeList::parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
