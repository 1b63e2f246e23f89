//! Requests, as types that cannot hold an invalid value.

use std::fmt;

/// The only currency.
pub const CURRENCY: &str = "USD";

/// A requested amount: 1 cent to ten billion dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(i64);

impl Amount {
    /// The largest amount, in cents. Millions of them can be summed in 64 bits.
    pub const MOST_CENTS: i64 = 1_000_000_000_000;

    /// An amount of `cents`; `None` if it is out of range.
    pub fn from_cents(cents: i64) -> Option<Self> {
        (1..=Self::MOST_CENTS).contains(&cents).then_some(Self(cents))
    }

    /// In cents.
    pub fn cents(self) -> i64 {
        self.0
    }
}

/// Defines a text of 1 to `$longest` visible ASCII characters: what fits into a header, a URL and either database.
macro_rules! visible_text {
    ($(#[$meta:meta])* $name:ident, $longest:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// The greatest length, in characters.
            pub const MOST_CHARACTERS: usize = $longest;

            /// Parses a text; `None` if it is empty, too long, or has characters other than visible ASCII.
            pub fn parse(text: &str) -> Option<Self> {
                let fits = (1..=Self::MOST_CHARACTERS).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_graphic());
                fits.then(|| Self(text.to_owned()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

visible_text!(
    /// Identifies one payment or one refund: a request with the same key is a repeat and not a second one.
    IdempotencyKey,
    128
);
visible_text!(
    /// The payer's reference for a payment: the id of its claim.
    Reference,
    64
);
visible_text!(
    /// The payee: a National Provider Identifier.
    Payee,
    64
);

/// A payment request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentRequest {
    /// The idempotency key.
    pub key: IdempotencyKey,
    /// The payer's reference.
    pub reference: Reference,
    /// The amount to pay.
    pub amount: Amount,
    /// The payee.
    pub payee: Payee,
}

/// A refund request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundRequest {
    /// The idempotency key; keys of refunds and of payments are separate.
    pub key: IdempotencyKey,
    /// The reference of the payment.
    pub reference: Reference,
    /// The amount that was paid.
    pub amount: Amount,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_positive_and_bounded() {
        assert_eq!(Amount::from_cents(11_685).map(Amount::cents), Some(11_685));
        for wrong in [i64::MIN, -1, 0, Amount::MOST_CENTS + 1, i64::MAX] {
            assert_eq!(Amount::from_cents(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn texts_are_visible_ascii_of_a_bounded_length() {
        assert_eq!(Reference::parse("4fXk0aV1StGXR8Z5jdHi6B").unwrap().as_str(), "4fXk0aV1StGXR8Z5jdHi6B");
        assert!(IdempotencyKey::parse(&"k".repeat(128)).is_some());
        assert!(IdempotencyKey::parse(&"k".repeat(129)).is_none());
        for wrong in ["", " ", "a b", "a\nb", "a\0", "é"] {
            assert_eq!(Reference::parse(wrong), None, "{wrong:?}");
        }
    }
}
