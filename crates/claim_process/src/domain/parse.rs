//! Parsing: from the text of each field to its type, once, with a finding for each text that cannot be parsed and each
//! required field that is missing.

use super::field::Field;
use super::finding::Finding;
use super::identifiers::{Identifier, ProcedureCode, Quadrant};
use super::limits::Limits;
use super::partial_claim::{PartialClaim, PartialLine};
use super::raw_claim::{RawClaim, RawFields};
use super::rules::parse_errors::{self, REQUIRED};
use super::rules::rule::Rule;
use super::service_date::ServiceDate;
use claim_events::Npi;
use claim_events::{Cents, NotMoney};
use std::borrow::Cow;
use std::collections::HashSet;

/// Parses a claim. The findings come line by line, and within a line in the order of [`Field::ALL`].
pub(super) fn parse(raw: &RawClaim, limits: &Limits) -> (PartialClaim, Vec<Finding>) {
    let mut parser = Parser { raw, limits, malformed: Malformed::of(raw), findings: Vec::new() };
    let external_claim_id = parser.optional(None, &raw.header, Field::ExternalClaimId);
    let lines = raw.lines.iter().enumerate().map(|(index, line)| parser.line(index + 1, &line.fields)).collect();
    (PartialClaim { external_claim_id, lines }, parser.findings)
}

/// A type that a field's text becomes.
trait FieldValue: Sized {
    /// The value, or what the sender has to correct. The error of a value that is too large holds the value as well.
    fn parse(text: &str, limits: &Limits) -> Result<Self, ParseError<Self>>;
}

/// Why a text is refused.
struct ParseError<T> {
    /// The value, if the text has one that this deployment does not allow.
    value: Option<T>,
    rule: &'static Rule,
    /// What to write instead.
    message: Cow<'static, str>,
}

fn refused<T>(rule: &'static Rule, message: &'static str) -> ParseError<T> {
    ParseError { value: None, rule, message: Cow::Borrowed(message) }
}

impl FieldValue for ServiceDate {
    fn parse(text: &str, _: &Limits) -> Result<Self, ParseError<Self>> {
        ServiceDate::parse(text).map_err(|_| {
            refused(&parse_errors::DATE_FORMAT, "must be a day of the calendar, as in 2018-03-28 or 3/28/18")
        })
    }
}

impl FieldValue for ProcedureCode {
    fn parse(text: &str, _: &Limits) -> Result<Self, ParseError<Self>> {
        ProcedureCode::parse(text).ok_or_else(|| {
            refused(&parse_errors::PROCEDURE_CHARACTERS, "must be 1 to 10 letters and digits, as in D0180")
        })
    }
}

impl FieldValue for Quadrant {
    fn parse(text: &str, _: &Limits) -> Result<Self, ParseError<Self>> {
        Quadrant::parse(text).ok_or_else(|| {
            refused(&parse_errors::QUADRANT, "must be UR, UL, LR, LL, 10, 20, 30, 40, 00, 01 or 02, or be left empty")
        })
    }
}

impl FieldValue for Identifier {
    fn parse(text: &str, _: &Limits) -> Result<Self, ParseError<Self>> {
        Identifier::parse(text).ok_or_else(|| {
            refused(
                &parse_errors::LENGTH,
                "must be at most 64 characters, without line breaks or other invisible characters",
            )
        })
    }
}

impl FieldValue for Npi {
    fn parse(text: &str, _: &Limits) -> Result<Self, ParseError<Self>> {
        Npi::parse(text)
            .ok_or_else(|| refused(&parse_errors::NPI_DIGITS, "must be the ten digits of an NPI, as in 1497775530"))
    }
}

impl FieldValue for Cents {
    fn parse(text: &str, limits: &Limits) -> Result<Self, ParseError<Self>> {
        let too_large = |value| ParseError {
            value,
            rule: &parse_errors::MONEY_LIMIT,
            message: format!("must be at most {}", limits.max_amount).into(),
        };
        match Cents::parse(text) {
            Ok(amount) if amount > limits.max_amount => Err(too_large(Some(amount))),
            Ok(amount) => Ok(amount),
            Err(NotMoney::Format) => {
                Err(refused(&parse_errors::MONEY_FORMAT, "must be an amount, as in 100.00 or $1,234.50"))
            }
            Err(NotMoney::Decimals) => {
                Err(refused(&parse_errors::MONEY_DECIMALS, "must have at most two decimals, as in 100.25"))
            }
            Err(NotMoney::Negative) => {
                Err(refused(&parse_errors::MONEY_NEGATIVE, "must not be below zero: write 0.00 or more"))
            }
            Err(NotMoney::TooLarge) => Err(too_large(None)),
        }
    }
}

struct Parser<'a> {
    raw: &'a RawClaim,
    limits: &'a Limits,
    malformed: Malformed<'a>,
    findings: Vec<Finding>,
}

impl Parser<'_> {
    /// The fields are parsed in the order in which findings are listed.
    fn line(&mut self, line: usize, sent: &RawFields) -> PartialLine {
        const DATE: &str = "is required: write a date, as in 2018-03-28";
        const PROCEDURE: &str = "is required: write a procedure code, as in D0180";
        const PLAN: &str = "is required: write the plan or group number, as in GRP-1000";
        const SUBSCRIBER: &str = "is required: write the subscriber's number";
        const NPI: &str = "is required: write the provider's ten-digit NPI, as in 1497775530";
        const FEE: &str = "is required: write an amount, as in 100.00";
        const SHARE: &str = "is required: write an amount, as in 0.00";
        PartialLine {
            service_date: self.required(line, sent, Field::ServiceDate, DATE),
            submitted_procedure: self.required(line, sent, Field::SubmittedProcedure, PROCEDURE),
            quadrant: self.optional(Some(line), sent, Field::Quadrant),
            plan_group: self.required(line, sent, Field::PlanGroup, PLAN),
            subscriber_id: self.required(line, sent, Field::SubscriberId, SUBSCRIBER),
            provider_npi: self.required(line, sent, Field::ProviderNpi, NPI),
            provider_fees: self.required(line, sent, Field::ProviderFees, FEE),
            allowed_fees: self.required(line, sent, Field::AllowedFees, FEE),
            member_coinsurance: self.required(line, sent, Field::MemberCoinsurance, SHARE),
            member_copay: self.required(line, sent, Field::MemberCopay, SHARE),
        }
    }

    fn required<T: FieldValue>(&mut self, line: usize, sent: &RawFields, field: Field, hint: &str) -> Option<T> {
        if sent.text(field).is_none() && !self.malformed.has(line, field) {
            self.findings.push(self.raw.finding(Some(line), field, &REQUIRED, hint.to_owned()));
        }
        self.optional(Some(line), sent, field)
    }

    fn optional<T: FieldValue>(&mut self, line: Option<usize>, sent: &RawFields, field: Field) -> Option<T> {
        match T::parse(sent.text(field)?, self.limits) {
            Ok(value) => Some(value),
            Err(ParseError { value, rule, message }) => {
                self.findings.push(self.raw.finding(line, field, rule, message.into_owned()));
                value
            }
        }
    }
}

/// The fields that were sent in a form that is not text, which are not missing, and those without a column, which were reported.
struct Malformed<'a> {
    fields: HashSet<(Option<usize>, &'a str)>,
    rows: HashSet<Option<usize>>,
}

impl<'a> Malformed<'a> {
    fn of(raw: &'a RawClaim) -> Self {
        let with_code = |rule: &Rule| raw.malformed.with_code(rule.code);
        Self {
            fields: [&parse_errors::NOT_TEXT, &parse_errors::VALUE_LENGTH, &REQUIRED]
                .into_iter()
                .flat_map(with_code)
                .collect(),
            rows: with_code(&parse_errors::RAGGED_ROW).map(|(line, _)| line).collect(),
        }
    }

    fn has(&self, line: usize, field: Field) -> bool {
        [Some(line), None].into_iter().any(|line| self.fields.contains(&(line, field.name())))
            || self.rows.contains(&Some(line))
    }
}
