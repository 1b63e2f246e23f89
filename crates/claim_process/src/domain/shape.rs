//! The shape of single fields, for the `validate` attributes of [`LineForm`](super::form::LineForm): whether a text reads
//! as the type it must become, and what to write instead where it does not.

use super::cents::{Cents, NotMoney};
use super::identifiers::{Identifier, Npi, ProcedureCode, Quadrant};
use super::service_date::ServiceDate;
use validator::ValidationError;

fn wrong(code: &'static str, message: &'static str) -> ValidationError {
    ValidationError::new(code).with_message(message.into())
}

/// A day, in any spelling of [`ServiceDate::parse`].
pub fn service_date(text: &str) -> Result<(), ValidationError> {
    ServiceDate::parse(text)
        .map(|_| ())
        .map_err(|_| wrong("date_format", "must be a day of the calendar, as in 2018-03-28 or 3/28/18"))
}

/// A code, as [`ProcedureCode::parse`] reads it.
pub fn procedure(text: &str) -> Result<(), ValidationError> {
    ProcedureCode::parse(text)
        .map(|_| ())
        .ok_or_else(|| wrong("procedure_characters", "must be 1 to 10 letters and digits, as in D0180"))
}

/// One of [`Quadrant::ALL`].
pub fn quadrant(text: &str) -> Result<(), ValidationError> {
    Quadrant::parse(text)
        .map(|_| ())
        .ok_or_else(|| wrong("quadrant", "must be UR, UL, LR, LL, 10, 20, 30, 40, 00, 01 or 02, or be left empty"))
}

/// Printable text, as [`Identifier::parse`] reads it.
pub fn identifier(text: &str) -> Result<(), ValidationError> {
    Identifier::parse(text).map(|_| ()).ok_or_else(|| {
        wrong("length", "must be at most 64 characters, without line breaks or other control characters")
    })
}

/// Ten digits.
pub fn npi(text: &str) -> Result<(), ValidationError> {
    Npi::parse(text)
        .map(|_| ())
        .ok_or_else(|| wrong("npi_digits", "must be the ten digits of an NPI, as in 1497775530"))
}

/// An amount, as [`Cents::parse`] reads it.
pub fn money(text: &str) -> Result<(), ValidationError> {
    Cents::parse(text).map(|_| ()).map_err(|why| match why {
        NotMoney::Format => wrong("money_format", "must be an amount, as in 100.00 or $1,234.50"),
        NotMoney::Decimals => wrong("money_decimals", "must have at most two decimals, as in 100.25"),
        NotMoney::Negative => wrong("money_negative", "must not be below zero: write 0.00 or more"),
        NotMoney::TooLarge => wrong("money_limit", "must be at most 99999999.99"),
    })
}
