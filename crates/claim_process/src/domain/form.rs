//! A claim as it was sent: text in fields, with the name and place each had, and what is wrong with its shape.
//!
//! The shape is what it takes to become a typed [`Claim`](super::claim::Claim): a field that must be there is there, and
//! reads as a date, an amount, an NPI. It is written down once, in the `validate` attributes of [`LineForm`]. Whether a
//! well-shaped claim is *acceptable* is for the [`rules`](super::rules) to say.

use super::field::Field;
use super::identifiers::Identifier;
use super::rules::{Limits, Rule, reading};
use super::shape;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::{BTreeMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;
use utoipa::ToSchema;
use validator::{Validate, ValidateArgs, ValidationErrors};

/// One thing that is wrong with a claim, or worth a warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The line, from 1; none where the claim as a whole is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The field's canonical name; for an unknown field the sender's.
    pub field: String,
    /// How the sender spelt the field, where that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_as: Option<String>,
    /// A JSON pointer (RFC 6901) into what was sent; none for CSV.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// A stable code.
    pub code: String,
    /// What to write instead. Never the value that was sent.
    pub message: String,
}

/// The name and place a value had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentAs {
    /// The name as sent.
    pub name: String,
    /// The JSON pointer, where it was JSON.
    pub pointer: Option<String>,
}

/// The most lines that are read, and so the most that a deployment may allow. A reader stops one line later: what a body
/// holds beyond that need not be in memory to be refused.
pub const MOST_LINES: usize = 1_000;

/// What was found of one claim. Only so many findings are kept as can be listed, and the others are counted: a body can
/// hold many times as many mistakes as anybody reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings {
    kept: Vec<Finding>,
    more: usize,
}

impl Findings {
    /// Notes one.
    pub fn note(&mut self, finding: Finding) {
        self.note_with(|| finding);
    }

    /// Notes one that is made only where it is kept.
    fn note_with(&mut self, finding: impl FnOnce() -> Finding) {
        if self.kept.len() < Limits::MOST_FINDINGS {
            self.kept.push(finding());
        } else {
            self.more += 1;
        }
    }

    /// The places of those with this code: line and field.
    fn with_code(&self, code: &'static str) -> impl Iterator<Item = (Option<usize>, &str)> {
        self.kept
            .iter()
            .filter(move |finding| finding.code == code)
            .map(|finding| (finding.line, finding.field.as_str()))
    }

    /// The first with this code.
    pub fn first_with_code(&self, code: &str) -> Option<&Finding> {
        self.kept.iter().find(|finding| finding.code == code)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The same, those about the whole claim first, then line by line.
    pub fn by_line(mut self) -> Self {
        self.kept.sort_by_key(|finding| finding.line);
        self
    }

    /// The first `most` of them, and how many there are besides.
    pub fn first(self, most: usize) -> (Vec<Finding>, usize) {
        let Self { mut kept, more } = self;
        let more = more + kept.len().saturating_sub(most);
        kept.truncate(most);
        // It may wait for a while to be answered.
        kept.shrink_to_fit();
        (kept, more)
    }
}

impl From<Finding> for Findings {
    fn from(finding: Finding) -> Self {
        Self { kept: vec![finding], more: 0 }
    }
}

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
        Finding {
            line,
            field: field.name().to_owned(),
            sent_as: sent.map(|sent| sent.name.clone()).filter(|name| name != field.name()),
            pointer: match sent {
                Some(sent) => sent.pointer.clone(),
                None => place.map(|place| format!("{place}/{}", field.name())),
            },
            code: rule.code.to_owned(),
            message,
        }
    }

    /// Everything that is wrong with the shape, line by line and in the order of the fields.
    pub fn shape_findings(&self, limits: &Limits) -> Vec<Finding> {
        let mut findings = self.shape_findings_of(None, self.header.validate());
        for (index, line) in self.lines.iter().enumerate() {
            findings.extend(self.shape_findings_of(Some(index + 1), line.validate_with_args(limits)));
        }
        // What was sent and could not be read is not missing, besides.
        let unread: HashSet<(Option<usize>, &str)> = [reading::NOT_TEXT.code, reading::VALUE_LENGTH.code]
            .into_iter()
            .flat_map(|code| self.misread.with_code(code))
            .collect();
        let unread_rows: HashSet<_> = self.misread.with_code(reading::RAGGED_ROW.code).map(|(line, _)| line).collect();
        findings.retain(|Finding { line, field, code, .. }| {
            let was_sent =
                unread.contains(&(*line, field)) || unread.contains(&(None, field)) || unread_rows.contains(line);
            !(was_sent && code == reading::REQUIRED.code)
        });
        findings
    }

    fn shape_findings_of(&self, line: Option<usize>, result: Result<(), ValidationErrors>) -> Vec<Finding> {
        let Err(errors) = result else { return Vec::new() };
        let by_field = errors.field_errors();
        Field::ALL
            .into_iter()
            .filter_map(|field| by_field.get(field.name()).map(|errors| (field, errors)))
            .flat_map(|(field, errors)| errors.iter().map(move |error| (field, error)))
            .map(|(field, error)| {
                let rule = reading::with_code(&error.code).expect("the codes of the attributes are rules of reading");
                let message = error.message.as_deref().unwrap_or("is not as it should be").to_owned();
                self.finding(line, field, rule, message)
            })
            .collect()
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
