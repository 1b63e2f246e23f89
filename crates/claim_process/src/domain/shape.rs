//! The shape of single fields, for the `validate` attributes of [`LineForm`](super::form::LineForm): whether a text reads
//! as the type it must become, and what to write instead where it does not.

use super::cents::{Cents, NotMoney};
use super::identifiers::{Identifier, Npi, ProcedureCode, Quadrant};
use super::limits::Limits;
use super::rules::reading;
use super::rules::rule::Rule;
use super::service_date::ServiceDate;
use validator::ValidationError;

fn wrong(rule: &Rule, message: impl Into<std::borrow::Cow<'static, str>>) -> ValidationError {
    ValidationError::new(rule.code).with_message(message.into())
}

/// A day, in any spelling of [`ServiceDate::parse`].
pub fn service_date(text: &str) -> Result<(), ValidationError> {
    ServiceDate::parse(text)
        .map(|_| ())
        .map_err(|_| wrong(&reading::DATE_FORMAT, "must be a day of the calendar, as in 2018-03-28 or 3/28/18"))
}

/// A code, as [`ProcedureCode::parse`] reads it.
pub fn procedure(text: &str) -> Result<(), ValidationError> {
    ProcedureCode::parse(text)
        .map(|_| ())
        .ok_or_else(|| wrong(&reading::PROCEDURE_CHARACTERS, "must be 1 to 10 letters and digits, as in D0180"))
}

/// One of [`Quadrant::ALL`].
pub fn quadrant(text: &str) -> Result<(), ValidationError> {
    Quadrant::parse(text).map(|_| ()).ok_or_else(|| {
        wrong(&reading::QUADRANT, "must be UR, UL, LR, LL, 10, 20, 30, 40, 00, 01 or 02, or be left empty")
    })
}

/// Printable text, as [`Identifier::parse`] reads it.
pub fn identifier(text: &str) -> Result<(), ValidationError> {
    Identifier::parse(text).map(|_| ()).ok_or_else(|| {
        wrong(&reading::LENGTH, "must be at most 64 characters, without line breaks or other invisible characters")
    })
}

/// Ten digits.
pub fn npi(text: &str) -> Result<(), ValidationError> {
    Npi::parse(text)
        .map(|_| ())
        .ok_or_else(|| wrong(&reading::NPI_DIGITS, "must be the ten digits of an NPI, as in 1497775530"))
}

/// An amount, as [`Cents::parse`] reads it, within the deployment's limit.
pub fn money(text: &str, limits: &Limits) -> Result<(), ValidationError> {
    let too_large = || wrong(&reading::MONEY_LIMIT, format!("must be at most {}", limits.max_amount));
    match Cents::parse(text) {
        Ok(amount) if amount > limits.max_amount => Err(too_large()),
        Ok(_) => Ok(()),
        Err(NotMoney::Format) => Err(wrong(&reading::MONEY_FORMAT, "must be an amount, as in 100.00 or $1,234.50")),
        Err(NotMoney::Decimals) => Err(wrong(&reading::MONEY_DECIMALS, "must have at most two decimals, as in 100.25")),
        Err(NotMoney::Negative) => Err(wrong(&reading::MONEY_NEGATIVE, "must not be below zero: write 0.00 or more")),
        Err(NotMoney::TooLarge) => Err(too_large()),
    }
}
