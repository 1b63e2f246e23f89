//! A claim as it was sent: text in fields, with the name and place each had, and what is wrong with its shape.
//!
//! The shape is what it takes to become a typed [`Claim`](super::claim::Claim): a field that must be there is there, and
//! reads as a date, an amount, an NPI. It is written down once, in the `validate` attributes of [`LineForm`]. Whether a
//! well-shaped claim is *acceptable* is for the [`rules`](super::rules) to say.

use super::field::Field;
use super::finding::{Finding, Findings, SentAs};
use super::identifiers::Identifier;
use super::limits::Limits;
use super::rules::reading;
use super::rules::rule::Rule;
use super::shape;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use validator::Validate;

/// The most lines that are read, and so the most that a deployment may allow. A reader stops one line later: what a body
/// holds beyond that need not be in memory to be refused.
pub const MOST_LINES: usize = 1_000;

/// A claim as it was sent.
#[derive(Debug, Default)]
pub struct ClaimForm {
    /// The claim's own fields.
    pub header: HeaderForm,
    /// The lines, at most one more than [`MOST_LINES`].
    pub lines: Vec<LineForm>,
    /// What is wrong with how it was written: a field sent twice, a list where text belongs.
    pub(super) misread: Findings,
    /// What was ignored.
    pub(super) ignored: Findings,
}

/// A text as it was sent. One that was sent once for all lines is in memory once: it may be as long as a body.
#[derive(Clone)]
struct Text(Arc<str>);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// `validator` puts the value into its errors, where patient data is of no use.
impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("masked")
    }
}

/// The claim's own fields as they were sent.
#[derive(Default, Validate)]
pub struct HeaderForm {
    #[validate(custom(function = "shape::identifier"))]
    external_claim_id: Option<Text>,
    sent: BTreeMap<Field, SentAs>,
}

/// One line as it was sent. A field that was empty, null or absent is `None`.
#[derive(Default, Clone, Validate)]
#[validate(context = Limits)]
pub struct LineForm {
    #[validate(
        required(code = "required", message = "is required: write a date, as in 2018-03-28"),
        custom(function = "shape::service_date")
    )]
    service_date: Option<Text>,
    #[validate(
        required(code = "required", message = "is required: write a procedure code, as in D0180"),
        custom(function = "shape::procedure")
    )]
    submitted_procedure: Option<Text>,
    #[validate(custom(function = "shape::quadrant"))]
    quadrant: Option<Text>,
    #[validate(
        required(code = "required", message = "is required: write the plan or group number, as in GRP-1000"),
        custom(function = "shape::identifier")
    )]
    plan_group: Option<Text>,
    #[validate(
        required(code = "required", message = "is required: write the subscriber's number"),
        custom(function = "shape::identifier")
    )]
    subscriber_id: Option<Text>,
    #[validate(
        required(code = "required", message = "is required: write the provider's ten-digit NPI, as in 1497775530"),
        custom(function = "shape::npi")
    )]
    provider_npi: Option<Text>,
    #[validate(
        required(code = "required", message = "is required: write an amount, as in 100.00"),
        custom(function = "shape::money", use_context)
    )]
    provider_fees: Option<Text>,
    #[validate(
        required(code = "required", message = "is required: write an amount, as in 100.00"),
        custom(function = "shape::money", use_context)
    )]
    allowed_fees: Option<Text>,
    #[validate(
        required(code = "required", message = "is required: write an amount, as in 0.00"),
        custom(function = "shape::money", use_context)
    )]
    member_coinsurance: Option<Text>,
    #[validate(
        required(code = "required", message = "is required: write an amount, as in 0.00"),
        custom(function = "shape::money", use_context)
    )]
    member_copay: Option<Text>,
    sent: BTreeMap<Field, SentAs>,
    place: Option<String>,
}

impl HeaderForm {
    /// Notes the sender's own id for the claim.
    pub fn set_external_claim_id(&mut self, text: &str, sent_as: SentAs) {
        self.external_claim_id = not_blank(text.into());
        self.sent.insert(Field::ExternalClaimId, sent_as);
    }

    /// Whether another id of the sender's own was noted before. A blank one is none.
    pub fn contradicts_external_claim_id(&self, text: &str) -> bool {
        let text = text.trim();
        !text.is_empty() && self.external_claim_id.as_deref().is_some_and(|noted| noted != text)
    }

    /// How the field was sent, if it was.
    pub fn sent_as(&self, field: Field) -> Option<&SentAs> {
        self.sent.get(&field)
    }

    /// The sender's own id, where it is one.
    pub fn external_claim_id(&self) -> Option<Identifier> {
        self.external_claim_id.as_deref().and_then(Identifier::parse)
    }
}

impl LineForm {
    /// An empty line; `place` is its JSON pointer, where it was JSON.
    pub fn at(place: Option<String>) -> Self {
        Self { place, ..Self::default() }
    }

    /// Notes a field's text.
    pub fn set(&mut self, field: Field, text: impl Into<Arc<str>>, sent_as: SentAs) {
        if let Some(slot) = self.slot(field) {
            *slot = not_blank(text.into());
            self.sent.insert(field, sent_as);
        }
    }

    /// How the field was sent, if it was.
    pub fn sent_as(&self, field: Field) -> Option<&SentAs> {
        self.sent.get(&field)
    }

    /// The field's text, where it is not blank.
    pub fn text(&self, field: Field) -> Option<&str> {
        match field {
            Field::ServiceDate => self.service_date.as_deref(),
            Field::SubmittedProcedure => self.submitted_procedure.as_deref(),
            Field::Quadrant => self.quadrant.as_deref(),
            Field::PlanGroup => self.plan_group.as_deref(),
            Field::SubscriberId => self.subscriber_id.as_deref(),
            Field::ProviderNpi => self.provider_npi.as_deref(),
            Field::ProviderFees => self.provider_fees.as_deref(),
            Field::AllowedFees => self.allowed_fees.as_deref(),
            Field::MemberCoinsurance => self.member_coinsurance.as_deref(),
            Field::MemberCopay => self.member_copay.as_deref(),
            Field::ExternalClaimId => None,
        }
    }

    fn slot(&mut self, field: Field) -> Option<&mut Option<Text>> {
        match field {
            Field::ServiceDate => Some(&mut self.service_date),
            Field::SubmittedProcedure => Some(&mut self.submitted_procedure),
            Field::Quadrant => Some(&mut self.quadrant),
            Field::PlanGroup => Some(&mut self.plan_group),
            Field::SubscriberId => Some(&mut self.subscriber_id),
            Field::ProviderNpi => Some(&mut self.provider_npi),
            Field::ProviderFees => Some(&mut self.provider_fees),
            Field::AllowedFees => Some(&mut self.allowed_fees),
            Field::MemberCoinsurance => Some(&mut self.member_coinsurance),
            Field::MemberCopay => Some(&mut self.member_copay),
            Field::ExternalClaimId => None,
        }
    }
}

fn not_blank(text: Arc<str>) -> Option<Text> {
    match text.trim() {
        "" => None,
        trimmed if trimmed.len() == text.len() => Some(Text(text)),
        trimmed => Some(Text(trimmed.into())),
    }
}

impl ClaimForm {
    /// Whether there are more lines than any claim may have, so that reading on is of no use.
    pub fn is_overfull(&self) -> bool {
        self.lines.len() > MOST_LINES
    }

    /// Notes something that is wrong with how the claim was written.
    pub fn note_misread(&mut self, finding: Finding) {
        self.misread.note(finding);
    }

    /// Notes something that was ignored.
    pub fn note_ignored(&mut self, finding: impl FnOnce() -> Finding) {
        self.ignored.note_with(finding);
    }

    /// Whether a field that nobody knows was noted.
    pub fn has_unknown_field(&self) -> bool {
        self.ignored.first_with_code(reading::UNKNOWN_FIELD.code).is_some()
    }

    /// What breaks a rule: a finding about `field`, with the name and place the sender gave it. `line` counts from 1.
    pub fn finding(&self, line: Option<usize>, field: Field, rule: &Rule, message: String) -> Finding {
        let form = line.and_then(|line| self.lines.get(line - 1));
        let sent = form.map_or_else(|| self.header.sent_as(field), |form| form.sent_as(field));
        let place = form.and_then(|form| form.place.as_deref());
        let sent = sent.cloned().unwrap_or_else(|| SentAs {
            name: field.name().to_owned(),
            pointer: place.map(|place| format!("{place}/{}", field.name())),
        });
        Finding::new(rule, line, field.name(), sent, message)
    }
}

/// Text that holds patient data, so it is not shown.
impl std::fmt::Debug for HeaderForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HeaderForm(masked)")
    }
}

/// Text that holds patient data, so it is not shown.
impl std::fmt::Debug for LineForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LineForm(masked)")
    }
}
