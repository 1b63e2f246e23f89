//! Parsing: from the text of each field to its type, once, with a finding for each text that cannot be parsed and each
//! required field that is missing.

use super::field::Field;
use super::finding::Finding;
use super::identifiers::{Identifier, ProcedureCode, Quadrant};
use super::limits::Limits;
use super::partial_claim::{PartialClaim, PartialLine};
use super::raw_claim::RawClaim;
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
    let external_claim_id = parser.optional(None, Field::ExternalClaimId);
    let mut lines: Vec<PartialLine> = Vec::with_capacity(raw.line_count());
    for line in 1..=raw.line_count() {
        lines.push(parser.line(line, lines.last()));
    }
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
    /// The fields are parsed in the order in which findings are listed. `before` is the line before.
    fn line(&mut self, line: usize, before: Option<&PartialLine>) -> PartialLine {
        const DATE: &str = "is required: write a date, as in 2018-03-28";
        const PROCEDURE: &str = "is required: write a procedure code, as in D0180";
        const PLAN: &str = "is required: write the plan or group number, as in GRP-1000";
        const SUBSCRIBER: &str = "is required: write the subscriber's number";
        const NPI: &str = "is required: write the provider's ten-digit NPI, as in 1497775530";
        const FEE: &str = "is required: write an amount, as in 100.00";
        const SHARE: &str = "is required: write an amount, as in 0.00";
        PartialLine {
            service_date: self.mostly_repeated(
                line,
                Field::ServiceDate,
                DATE,
                before.and_then(|line| line.service_date.as_ref()),
            ),
            submitted_procedure: self.required(line, Field::SubmittedProcedure, PROCEDURE),
            quadrant: self.optional(Some(line), Field::Quadrant),
            plan_group: self.mostly_repeated(
                line,
                Field::PlanGroup,
                PLAN,
                before.and_then(|line| line.plan_group.as_ref()),
            ),
            subscriber_id: self.mostly_repeated(
                line,
                Field::SubscriberId,
                SUBSCRIBER,
                before.and_then(|line| line.subscriber_id.as_ref()),
            ),
            provider_npi: self.mostly_repeated(
                line,
                Field::ProviderNpi,
                NPI,
                before.and_then(|line| line.provider_npi.as_ref()),
            ),
            provider_fees: self.required(line, Field::ProviderFees, FEE),
            allowed_fees: self.required(line, Field::AllowedFees, FEE),
            member_coinsurance: self.required(line, Field::MemberCoinsurance, SHARE),
            member_copay: self.required(line, Field::MemberCopay, SHARE),
        }
    }

    /// A field that the lines of a claim mostly have in common. What is written as in the line before has its value.
    fn mostly_repeated<T: FieldValue + Clone>(
        &mut self,
        line: usize,
        field: Field,
        hint: &str,
        before: Option<&T>,
    ) -> Option<T> {
        match before {
            Some(value) if self.raw.text(Some(line), field) == self.raw.text(Some(line - 1), field) => {
                Some(value.clone())
            }
            _ => self.required(line, field, hint),
        }
    }

    fn required<T: FieldValue>(&mut self, line: usize, field: Field, hint: &str) -> Option<T> {
        if self.raw.text(Some(line), field).is_none() && !self.malformed.has(line, field) {
            self.findings.push(self.raw.finding(Some(line), field, &REQUIRED, hint.to_owned()));
        }
        self.optional(Some(line), field)
    }

    fn optional<T: FieldValue>(&mut self, line: Option<usize>, field: Field) -> Option<T> {
        match T::parse(self.raw.text(line, field)?, self.limits) {
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
