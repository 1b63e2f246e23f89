//! What senders send and what a refusal tells them, as the API document shows it. Nothing is read into these: names and
//! values come in more spellings than a schema holds, which `intake` understands.

#![allow(dead_code, clippy::large_enum_variant, reason = "they stand for bodies in the document")]

use crate::domain::finding::Finding;
use serde::Serialize;
use utoipa::ToSchema;

/// A claim with `lines`, a flat object that is its only line, or an array of lines. Names may be spelt in other ways (`Plan/Group #`, `serviceDate`), which is
/// why more members are allowed than are listed. What a line and the claim have in common may stand in either.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum SentClaim {
    /// A claim with lines.
    Claim(SentFields),
    /// The lines of one claim.
    Lines(Vec<SentFields>),
}

/// A claim or a line of one. Money is text or a number, with two decimals at most.
#[derive(Serialize, ToSchema)]
pub(super) struct SentFields {
    /// Your own id for the claim; two claims cannot have the same.
    #[schema(value_type = Option<SentText>)]
    external_claim_id: Option<String>,
    #[schema(value_type = Option<SentText>)]
    plan_group: Option<String>,
    #[schema(value_type = Option<SentText>)]
    subscriber_id: Option<String>,
    /// Ten digits.
    #[schema(value_type = Option<SentText>)]
    provider_npi: Option<String>,
    /// A date, as in 2018-03-28 or 3/28/18.
    #[schema(value_type = Option<SentText>)]
    service_date: Option<String>,
    /// A procedure code, as in D0180.
    #[schema(value_type = Option<SentText>)]
    submitted_procedure: Option<String>,
    /// UR, UL, LR, LL, 10, 20, 30, 40, 00, 01 or 02.
    #[schema(value_type = Option<SentText>)]
    quadrant: Option<String>,
    #[schema(value_type = Option<SentText>)]
    provider_fees: Option<String>,
    #[schema(value_type = Option<SentText>)]
    allowed_fees: Option<String>,
    #[schema(value_type = Option<SentText>)]
    member_coinsurance: Option<String>,
    #[schema(value_type = Option<SentText>)]
    member_copay: Option<String>,
    /// The lines, where this is a claim and not a line.
    #[schema(value_type = Option<Vec<Object>>)]
    lines: Option<Vec<Line>>,
}

#[derive(Serialize)]
struct Line;

/// A text or a number.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum SentText {
    Text(String),
    Number(f64),
}

/// A claim of one line as CSV, for the examples of the document.
pub(super) const ONE_LINE_CSV: &str = "service date,submitted procedure,plan group,subscriber id,provider npi,provider fees,\
    allowed fees,member coinsurance,member copay\n2018-03-28,D0180,GRP-1000,3730189502,1497775530,100.00,100.00,0.00,0.00\n";

/// A row of names, then a row for each line of the claim.
#[derive(ToSchema)]
pub(super) struct SentCsv(String);

/// A claim a line.
#[derive(ToSchema)]
pub(super) struct SentLines(String);

/// A form with a batch in any of the other kinds as its file.
#[derive(ToSchema)]
pub(super) struct SentForm {
    file: String,
}

/// A line of the answer to a batch. Each claim has one with `index` and `status`; the last has a `summary`, or the `problem`
/// with which the batch broke off.
#[derive(ToSchema)]
pub(super) struct BatchLine {
    /// The claim's place in the batch, from 0.
    index: Option<u64>,
    /// The first and the last of its rows in a CSV, from 1, without the row of names.
    #[schema(value_type = Option<Vec<u64>>, min_items = 2, max_items = 2)]
    rows: Option<[u64; 2]>,
    /// The line of a CSV at which its first row begins, from 1.
    file_line: Option<u64>,
    /// Its line in JSON Lines, from 1.
    input_line: Option<u64>,
    /// `accepted`, `duplicate` (stored by an earlier request with the same `Idempotency-Key`), `rejected`, or where nothing
    /// is stored `valid`.
    status: Option<String>,
    /// The claim's id.
    id: Option<String>,
    /// What has to be put right.
    #[schema(required = false)]
    errors: Vec<Finding>,
    /// What is worth a look. A claim that is `rejected` has them only where nothing is stored.
    #[schema(required = false)]
    warnings: Vec<Finding>,
    summary: Option<BatchSummary>,
    #[schema(value_type = Option<Object>)]
    problem: Option<String>,
}

/// How many claims of a batch became what.
#[derive(ToSchema)]
pub(super) struct BatchSummary {
    claims: u64,
    rejected: u64,
    accepted: Option<u64>,
    duplicates: Option<u64>,
    /// Where nothing is stored, instead of `accepted` and `duplicates`.
    valid: Option<u64>,
}

/// Why something was refused: a problem as in RFC 9457, with everything that has to be put right.
#[derive(ToSchema)]
pub(super) struct Refusal {
    #[schema(rename = "type", examples("urn:claims-to-payments:problem:claim-refused"))]
    kind: String,
    title: String,
    status: u16,
    detail: String,
    request_id: Option<String>,
    /// None where the body is not what is wrong.
    #[schema(required = false)]
    errors: Vec<Finding>,
}
