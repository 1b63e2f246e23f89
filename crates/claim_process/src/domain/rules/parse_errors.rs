//! Errors of how a claim was written (reported by `intake`) and of fields that cannot be parsed (by
//! [`parse`](crate::domain::parse)). Their severity cannot be set: a claim with one could not be stored.
//!
//! `rules!` makes each a constant and an entry of [`RULES`], so that every finding has its row in the table.

use super::example::{Example, GOOD};
use super::rule::{Check, Rule, Severity};
use crate::domain::field::Field;
use crate::domain::finding::Finding;

const MONEY: &[&str] = &[
    Field::ProviderFees.name(),
    Field::AllowedFees.name(),
    Field::MemberCoinsurance.name(),
    Field::MemberCopay.name(),
];

const ANY: &[&str] = &["any"];

/// A text of more than a thousand bytes.
const LONG: &str = {
    const BYTES: [u8; 1_003] = {
        let mut bytes = [b'7'; 1_003];
        bytes[0] = b'"';
        bytes[1_002] = b'"';
        bytes
    };
    match str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => panic!("digits are text"),
    }
};

macro_rules! rules {
    ($($name:ident: $severity:ident, $code:literal, $fields:expr, $source:literal, $description:literal,
       breaks $breaks:expr, passes $passes:expr;)*) => {
        $(
            #[doc = $description]
            pub const $name: Rule = Rule {
                code: $code,
                description: $description,
                fields: $fields,
                source: $source,
                severity: Severity::$severity,
                settable: false,
                breaks: $breaks,
                passes: $passes,
                check: Check::Parsing,
            };
        )*
        /// All of them.
        pub const RULES: &[Rule] = &[$($name),*];
    };
}

rules! {
    REQUIRED: Reject, "required", ANY, "this system",
    "Every field of a line but the quadrant must be there and not be blank or null.",
    breaks Example::Line(&[("subscriber_id", "null")]), passes GOOD;

    NOT_TEXT: Reject, "not_text", ANY, "this system",
    "A value is text or a number, and text is of whole Unicode characters: no lists, objects, true or false, and no half of a surrogate pair.",
    breaks Example::Line(&[("subscriber_id", "[\"3730189502\"]")]), passes Example::Line(&[("subscriber_id", "3730189502")]);

    VALUE_LENGTH: Reject, "value_length", ANY, "this system",
    "A value has at most as many bytes as the setting intake.max_value_bytes says, 1000 where it is not set.",
    breaks Example::Line(&[("subscriber_id", LONG)]), passes GOOD;

    SENT_TWICE: Reject, "sent_twice", ANY, "this system",
    "A field is sent once. Names that mean the same field are the same field.",
    breaks Example::Line(&[("Provider NPI", "\"1497775530\"")]), passes GOOD;

    CONTRADICTION: Reject, "contradiction",
    &[Field::ExternalClaimId.name(), Field::ServiceDate.name(), Field::PlanGroup.name(), Field::SubscriberId.name(), Field::ProviderNpi.name()], "this system",
    "A value that is given once for the whole claim, beside its lines, is not another one in a line; and the sender's own id for the claim is not another one in another line.",
    breaks Example::Claim(&[("plan_group", "\"GRP-2000\"")], &[&[]]), passes Example::Claim(&[("plan_group", "\"GRP-1000\"")], &[&[]]);

    RAGGED_ROW: Reject, "ragged_row", &["row"], "RFC 4180",
    "Each row of a CSV has as many columns as the row of names. In a batch one that has not is refused with the claims beside it, since it may be a line of either.",
    breaks Example::Csv("service_date,submitted_procedure,plan_group,subscriber_id,provider_npi,provider_fees,allowed_fees,member_coinsurance,member_copay\n\
                         2018-03-28,D0180,GRP-1000,3730189502,1497775530,1,000.00,100.00,0.00,0.00\n"),
    passes Example::Csv("service_date,submitted_procedure,plan_group,subscriber_id,provider_npi,provider_fees,allowed_fees,member_coinsurance,member_copay\n\
                         2018-03-28,D0180,GRP-1000,3730189502,1497775530,\"1,000.00\",100.00,0.00,0.00\n");

    UNCLOSED_QUOTE: Reject, "unclosed_quote", &["row"], "RFC 4180",
    "A quote that opens a cell is closed before the text ends; a quote inside quotes is written twice.",
    breaks Example::Csv("service_date,submitted_procedure,plan_group,subscriber_id,provider_npi,provider_fees,allowed_fees,member_coinsurance,member_copay\n\
                         2018-03-28,\"D0180,GRP-1000,3730189502,1497775530,100.00,100.00,0.00,0.00\n"),
    passes Example::Csv("service_date,submitted_procedure,plan_group,subscriber_id,provider_npi,provider_fees,allowed_fees,member_coinsurance,member_copay\n\
                         2018-03-28,\"D0180\",GRP-1000,3730189502,1497775530,100.00,100.00,0.00,0.00\n");

    UNKNOWN_FIELD: Warn, "unknown_field", ANY, "this system",
    "A name that is no field of a claim is ignored, with a warning.",
    breaks Example::Line(&[("tooth", "\"14\"")]), passes GOOD;

    IGNORED_FIELD: Warn, "ignored_field", ANY, "this system",
    "Beside 'lines' a claim gives what all its lines share: service date, plan, subscriber and provider. What belongs into each line is ignored there, with a warning.",
    breaks Example::Claim(&[("quadrant", "\"UR\"")], &[&[]]), passes Example::Claim(&[], &[&[("quadrant", "\"UR\"")]]);

    DATE_FORMAT: Reject, "date_format", &[Field::ServiceDate.name()], "this system",
    "A service date is a day of the calendar, written as 2018-03-28, 3/28/18 or 3/28/2018. A time behind it is read and dropped.",
    breaks Example::Line(&[("service_date", "\"2023-02-29\"")]), passes Example::Line(&[("service_date", "\"3/28/18 0:00\"")]);

    PROCEDURE_CHARACTERS: Reject, "procedure_characters", &[Field::SubmittedProcedure.name()], "this system",
    "A procedure code is 1 to 10 letters and digits. Small letters are made capital.",
    breaks Example::Line(&[("submitted_procedure", "\"D-0180\"")]), passes Example::Line(&[("submitted_procedure", "\"d0180\"")]);

    QUADRANT: Reject, "quadrant", &[Field::Quadrant.name()], "ADA Dental Claim Form, item 25 (Area of Oral Cavity); ISO 3950",
    "A quadrant is UR, UL, LR or LL, or the number of an area of the oral cavity: 10, 20, 30, 40, 00, 01 or 02.",
    breaks Example::Line(&[("quadrant", "\"Upper\"")]), passes Example::Line(&[("quadrant", "\"UR\"")]);

    LENGTH: Reject, "length",
    &[Field::ExternalClaimId.name(), Field::PlanGroup.name(), Field::SubscriberId.name(), "reason"], "this system",
    "An identifier has at most 64 characters, none of them a control character such as a line break. The reason of a void has at most 500, none of them NUL.",
    breaks Example::Line(&[("plan_group", "\"GRP\\n1000\"")]), passes GOOD;

    NPI_DIGITS: Reject, "npi_digits", &[Field::ProviderNpi.name()], "45 CFR 162.406",
    "An NPI is ten digits.",
    breaks Example::Line(&[("provider_npi", "\"149777553\"")]), passes Example::Line(&[("provider_npi", "1497775530")]);

    MONEY_FORMAT: Reject, "money_format", MONEY, "this system",
    "An amount is written in digits, with a point before its cents. A dollar sign and commas between thousands are read, too; exponents are not.",
    breaks Example::Line(&[("provider_fees", "\"1.000,00\"")]), passes Example::Line(&[("provider_fees", "\"$1,000.00\"")]);

    MONEY_DECIMALS: Reject, "money_decimals", MONEY, "this system",
    "An amount has at most two decimals.",
    breaks Example::Line(&[("provider_fees", "\"100.255\"")]), passes Example::Line(&[("provider_fees", "\"100.25\"")]);

    MONEY_NEGATIVE: Reject, "money_negative", MONEY, "this system",
    "An amount has no minus sign.",
    breaks Example::Line(&[("provider_fees", "\"-100.00\"")]), passes GOOD;

    MONEY_LIMIT: Reject, "money_limit", MONEY, "this system",
    "An amount is at most what the setting checks.max_amount_cents says, 99999999.99 where it is not set.",
    breaks Example::Line(&[("provider_fees", "\"100000000.00\"")]), passes GOOD;

    MORE_FINDINGS: Warn, "more_findings", &["lines"], "this system",
    "Only so many findings of a claim are listed, 100 where checks.max_findings is not set. The last one counts the others; they refuse the claim, or warn, like those before it.",
    breaks Example::Json("[{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}]"), passes GOOD;
}

/// The last finding of a claim that has more than are listed.
pub(super) fn more_findings(more: usize) -> Finding {
    Finding::of_claim(&MORE_FINDINGS, format!("and {more} more: put these right first"))
}
