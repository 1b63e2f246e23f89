//! Enums whose variants have a text, such as the statuses of a claim: [`text_enum!`] makes one list of variants and texts the
//! source of what is written to JSON, a column, a log or a metric, and of what is read back.
//!
//! It depends on nothing but `serde`, so that a domain and the contract may use it. `dual_db::text_columns!` adds Diesel.

use std::fmt;

#[doc(hidden)]
pub use serde;

/// Defines an enum from one list of variants and their texts.
///
/// The enum has `ALL` (every variant, in order), `as_str`, [`Display`](fmt::Display), [`AsRef<str>`],
/// [`FromStr`](std::str::FromStr) with [`UnknownText`] as its error, and `Serialize` and `Deserialize` by the same texts. It is
/// `Debug`, `Copy`, `Eq` and `Hash`; other traits can be derived.
///
/// ```
/// text_enum::text_enum! {
///     /// Where a parcel is.
///     #[derive(PartialOrd, Ord)]
///     pub enum Parcel {
///         /// With the carrier.
///         OnItsWay = "on_its_way",
///         /// With its receiver.
///         Delivered = "delivered",
///     }
/// }
/// assert_eq!(Parcel::OnItsWay.as_str(), "on_its_way");
/// assert_eq!("delivered".parse(), Ok(Parcel::Delivered));
/// ```
#[macro_export]
macro_rules! text_enum {
    // A text is a `tt`: other derive macros, such as that of a schema, do not read a `literal` in `rename`.
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $name:ident {
            $($(#[$variant_attribute:meta])* $variant:ident = $text:tt,)+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, $crate::serde::Serialize, $crate::serde::Deserialize)]
        #[serde(crate = "text_enum::serde")]
        $visibility enum $name {
            $($(#[$variant_attribute])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every variant, in the order of their definition.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// Its text.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::UnknownText;

            fn from_str(text: &str) -> ::std::result::Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::UnknownText::new(text, stringify!($name), &[$($text),+])),
                }
            }
        }

        impl ::std::convert::AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// A text that no variant of an enum has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownText {
    text: String,
    enum_name: &'static str,
    known: &'static [&'static str],
}

impl UnknownText {
    #[doc(hidden)]
    pub fn new(text: &str, enum_name: &'static str, known: &'static [&'static str]) -> Self {
        Self { text: text.to_owned(), enum_name, known }
    }

    /// The texts of the enum's variants.
    pub fn known(&self) -> &'static [&'static str] {
        self.known
    }
}

/// `"paid" is no Status: it must be one of submitted, settled`
impl fmt::Display for UnknownText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, enum_name, known } = self;
        write!(f, "{text:?} is no {enum_name}: it must be one of {}", known.join(", "))
    }
}

impl std::error::Error for UnknownText {}

#[cfg(test)]
mod tests {
    // The code that the macro writes names the crate, as it must anywhere else.
    use crate as text_enum;

    text_enum! {
        /// An example.
        #[derive(PartialOrd, Ord)]
        enum Example {
            /// One.
            One = "payment.one",
            /// The other.
            TheOther = "the_other",
        }
    }

    #[test]
    fn a_text_is_written_and_read_back_everywhere_alike() {
        for (variant, text) in [(Example::One, "payment.one"), (Example::TheOther, "the_other")] {
            assert_eq!((variant.as_str(), variant.as_ref(), variant.to_string().as_str()), (text, text, text));
            assert_eq!(text.parse(), Ok(variant));
            assert_eq!(serde_json::to_value(variant).expect("text"), text);
            assert_eq!(serde_json::from_value::<Example>(text.into()).expect("known"), variant);
        }
        assert_eq!(Example::ALL, [Example::One, Example::TheOther]);
    }

    #[test]
    fn an_unknown_text_is_an_error_that_names_the_text_the_enum_and_what_is_known() {
        let error = "One".parse::<Example>().expect_err("texts are compared exactly");
        assert_eq!(error.to_string(), r#""One" is no Example: it must be one of payment.one, the_other"#);
        assert_eq!(error.known(), ["payment.one", "the_other"]);
        assert!(serde_json::from_str::<Example>("\"One\"").is_err());
    }
}
