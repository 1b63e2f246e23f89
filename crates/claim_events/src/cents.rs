//! Money: whole cents in an `i64`, parsed from text without a float.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};

/// The largest amount a field may hold, in cents: one below a hundred million dollars. A claim of 100 lines then stays
/// far inside an `i64`.
pub const MOST_CENTS: i64 = 9_999_999_999;

/// An amount of money in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cents(pub i64);

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotMoney {
    /// It is not a number as money is written.
    Format,
    /// It has more than two decimals.
    Decimals,
    /// It is below zero.
    Negative,
    /// It is more than [`MOST_CENTS`].
    TooLarge,
}

impl Cents {
    /// Reads an amount as `100`, `100.0`, `$100.00 ` or `$1,234.50`: a dollar sign, thousands commas and blanks around
    /// it are allowed, at most two decimals, nothing below zero.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, NotMoney> {
        let text = text.trim();
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text),
        };
        let text = text.strip_prefix('$').unwrap_or(text).trim_start();
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let dollars = dollars(whole).ok_or(NotMoney::Format)?;
        if !decimals.bytes().all(|byte| byte.is_ascii_digit()) || (text.ends_with('.') && decimals.is_empty()) {
            return Err(NotMoney::Format);
        }
        let digit = |byte: u8| i64::from(byte - b'0');
        let cents = match *decimals.as_bytes() {
            [] => 0,
            [tens] => digit(tens) * 10,
            [tens, ones] => digit(tens) * 10 + digit(ones),
            _ => return Err(NotMoney::Decimals),
        };
        if negative {
            return Err(NotMoney::Negative);
        }
        let total = dollars.saturating_mul(100).saturating_add(cents);
        if total > MOST_CENTS { Err(NotMoney::TooLarge) } else { Ok(Self(total)) }
    }
}

/// A whole number, however large it is written: it stays at the largest `i64`. Commas are allowed between groups of three.
fn dollars(whole: &str) -> Option<i64> {
    let mut groups = whole.split(',');
    let first = groups.next().filter(|first| !first.is_empty())?;
    // A leading zero before thousands is not a number as people write it: in `0,500` the comma is a decimal point.
    if first.len() < whole.len() && (first.len() > 3 || first.starts_with('0')) {
        return None;
    }
    if groups.any(|group| group.len() != 3) {
        return None;
    }
    whole.bytes().filter(|byte| *byte != b',').try_fold(0_i64, |dollars, byte| {
        byte.is_ascii_digit().then(|| dollars.saturating_mul(10).saturating_add(i64::from(byte - b'0')))
    })
}

/// An amount as text, on the stack: a claim is shown with twenty of them.
#[derive(Debug, Clone, Copy)]
pub struct CentsText {
    /// The text, at its end. An `i64` has at most 19 digits, with a point and a sign.
    bytes: [u8; 21],
    begin: usize,
}

impl CentsText {
    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.begin..]).unwrap_or_default()
    }

    fn put_before(&mut self, byte: u8) {
        self.begin -= 1;
        self.bytes[self.begin] = byte;
    }
}

impl Cents {
    /// The amount with two decimals, as in `116.85` or `-0.31`.
    pub fn text(self) -> CentsText {
        let bytes = [0; 21];
        let mut text = CentsText { bytes, begin: bytes.len() };
        let (mut rest, mut digits) = (self.0.unsigned_abs(), 0);
        while rest > 0 || digits < 3 {
            text.put_before(b'0' + u8::try_from(rest % 10).unwrap_or_default());
            (rest, digits) = (rest / 10, digits + 1);
            if digits == 2 {
                text.put_before(b'.');
            }
        }
        if self.0 < 0 {
            text.put_before(b'-');
        }
        text
    }
}

/// Two decimals, as in `116.85` or `-0.31`.
impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl From<i64> for Cents {
    fn from(cents: i64) -> Self {
        Self(cents)
    }
}

impl Add for Cents {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Cents {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self(0), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_senders_write() {
        for (text, cents) in [
            ("$100.00 ", 10_000),
            ("$1,234.50", 123_450),
            ("100.00", 10_000),
            ("100.0", 10_000),
            ("100", 10_000),
            ("1000", 100_000),
            (" $ 7.5", 750),
            ("0", 0),
            ("000.10", 10),
            ("1,234,567", 123_456_700),
            ("12,345.60", 1_234_560),
            ("123,456.78", 12_345_678),
            ("99,999,999.99", MOST_CENTS),
            ("99999999.99", MOST_CENTS),
        ] {
            assert_eq!(Cents::parse(text), Ok(Cents(cents)), "{text:?}");
        }
    }

    #[test]
    fn refuses_what_is_not_money_with_the_reason() {
        for (text, why) in [
            ("-100.0", NotMoney::Negative),
            ("-$5", NotMoney::Negative),
            ("1.234", NotMoney::Decimals),
            ("1.000", NotMoney::Decimals),
            ("", NotMoney::Format),
            ("$", NotMoney::Format),
            ("1.", NotMoney::Format),
            (".50", NotMoney::Format),
            ("1,23", NotMoney::Format),
            ("1234,567", NotMoney::Format),
            ("0,500", NotMoney::Format),
            ("$0,999.99", NotMoney::Format),
            ("000,001.50", NotMoney::Format),
            ("12 34", NotMoney::Format),
            ("1e5", NotMoney::Format),
            ("NaN", NotMoney::Format),
            ("١٢", NotMoney::Format),
            ("100000000.00", NotMoney::TooLarge),
            ("99999999999999999999999999", NotMoney::TooLarge),
        ] {
            assert_eq!(Cents::parse(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn only_an_amount_below_zero_has_a_sign() {
        for (cents, text) in [
            (-11_685, "-116.85"),
            (-31, "-0.31"),
            (-1, "-0.01"),
            (0, "0.00"),
            (1, "0.01"),
            (i64::MIN, "-92233720368547758.08"),
        ] {
            assert_eq!(Cents(cents).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(cents in 0..=MOST_CENTS) {
            prop_assert_eq!(Cents::parse(&Cents(cents).to_string()), Ok(Cents(cents)));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = Cents::parse(&text);
        }
    }
}
