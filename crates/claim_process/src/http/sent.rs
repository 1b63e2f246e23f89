//! What senders send and what a refusal tells them, as the API document shows it. Nothing is read into these: names and
//! values come in more spellings than a schema holds, which `intake` understands.

#![allow(dead_code, clippy::large_enum_variant, reason = "they stand for bodies in the document")]

use crate::domain::form::Finding;
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

/// A row of names, then a row for each line of the claim.
#[derive(ToSchema)]
pub(super) struct SentCsv(String);

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
