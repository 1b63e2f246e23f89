//! Claims with their lines, outcome and timeline: reading them, and recording voids. Outcomes are recorded in
//! [`outcomes`](super::outcomes). Which claims are re-requested is in [`requests`](super::requests).

use super::attention::Attention;
use super::outcome::{OutcomeColumnNames, OutcomeColumns, StoredOutcome};
use super::schema::{claim_lines, claim_timeline, claims};
use crate::domain::canonical::canonical;
use crate::domain::claim::Claim;
use crate::domain::finding::Finding;
use crate::domain::owner;
use crate::domain::timeline::TimelineEvent;
use crate::domain::transition::{State, Status};
use claim_events::{Cents, ClaimId, KnownOutcome, Npi};
use diesel::prelude::*;
use dual_db::{Connection, Result, load_for_update, on_each_backend};
use std::collections::HashMap;

/// A row of `claims`.
#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = claims)]
#[allow(missing_docs)]
pub struct ClaimRow {
    pub id: i64,
    #[diesel(deserialize_as = String)]
    pub claim_id: ClaimId,
    pub external_claim_id: Option<String>,
    pub status: Status,
    pub needs_attention: bool,
    pub plan_group: String,
    pub subscriber_id: String,
    #[diesel(deserialize_as = String)]
    pub provider_npi: Npi,
    #[diesel(deserialize_as = i64)]
    pub net_fee_cents: Cents,
    pub submitted_at_us: i64,
    pub warnings: String,
    pub correlation_id: String,
    pub traceparent: Option<String>,
    pub version: i64,
    pub resync_epoch: i64,
    #[diesel(
        select_expression = (claims::outcome_type, claims::outcome_version, claims::outcome_at_us, claims::outcome),
        select_expression_type = OutcomeColumnNames,
        deserialize_as = OutcomeColumns
    )]
    pub outcome: Option<StoredOutcome>,
    pub next_attempt_at_us: Option<i64>,
    pub request_count: i64,
    pub voided_at_us: Option<i64>,
    pub void_reason: Option<String>,
    #[diesel(embed)]
    pub attention: Attention,
}

/// A row of `claim_lines`.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = claim_lines, treat_none_as_default_value = false)]
#[allow(missing_docs)]
pub struct LineRow {
    pub claim_key: i64,
    pub line: i64,
    pub service_date: String,
    pub submitted_procedure: String,
    pub quadrant: Option<String>,
    pub provider_fees_cents: i64,
    pub allowed_fees_cents: i64,
    pub member_coinsurance_cents: i64,
    pub member_copay_cents: i64,
    pub net_fee_cents: i64,
}

/// The rows of a claim's lines, before the claim has a key.
pub fn line_rows(claim: &Claim) -> Vec<LineRow> {
    claim
        .lines
        .iter()
        .zip(1_i64..)
        .map(|(line, number)| LineRow {
            claim_key: 0,
            line: number,
            service_date: line.service_date.to_string(),
            submitted_procedure: line.submitted_procedure.as_str().to_owned(),
            quadrant: line.quadrant.map(|quadrant| quadrant.as_str().to_owned()),
            provider_fees_cents: line.provider_fees.0,
            allowed_fees_cents: line.allowed_fees.0,
            member_coinsurance_cents: line.member_coinsurance.0,
            member_copay_cents: line.member_copay.0,
            net_fee_cents: line.net_fee().0,
        })
        .collect()
}

/// An event of a claim's timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    /// When it happened, in microseconds since 1970.
    pub at_us: i64,
    /// What happened.
    pub event: TimelineEvent,
}

/// A claim as it is stored.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct StoredClaim {
    pub row: ClaimRow,
    pub lines: Vec<LineRow>,
    /// The events after the submission, oldest first.
    pub timeline: Vec<TimelineEntry>,
}

/// The row holds a subscriber id, which must not reach a log by way of a `{:?}`.
impl std::fmt::Debug for ClaimRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClaimRow({} {})", self.claim_id, self.status)
    }
}

impl ClaimRow {
    /// The kind and version of the recorded outcome.
    pub fn known_outcome(&self) -> Option<KnownOutcome> {
        self.outcome.as_ref().map(|outcome| KnownOutcome { kind: outcome.kind, version: outcome.version })
    }

    /// The part of the row that its transitions depend on.
    pub fn state(&self) -> State {
        let Self { status, version, resync_epoch, .. } = *self;
        State { status, version, resync_epoch, outcome: self.known_outcome() }
    }
}

impl StoredClaim {
    /// The warnings that its sender got.
    pub fn warnings(&self) -> Vec<Finding> {
        serde_json::from_str(&self.row.warnings).unwrap_or_default()
    }

    /// The claim as in its first response, which is what a repeated `Idempotency-Key` gets.
    pub fn as_first_answered(mut self) -> Self {
        self.row.status = Status::Submitted;
        self.row.needs_attention = false;
        self.row.attention = Attention::default();
        self.row.outcome = None;
        self.row.voided_at_us = None;
        self.row.void_reason = None;
        self.timeline.clear();
        self
    }
}

/// Which claims to list.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Only those with this status.
    pub status: Option<Status>,
    /// Only those of this provider.
    pub provider_npi: Option<Npi>,
    /// Only those of this plan.
    pub plan_group: Option<String>,
    /// Only the claim with this id of its sender's, however it is spelt.
    pub external_claim_id: Option<String>,
    /// Only those that need attention, or only those that do not.
    pub needs_attention: Option<bool>,
    /// Only those submitted at this time or later, in microseconds since 1970.
    pub submitted_from_us: Option<i64>,
    /// Only those submitted before this time, in microseconds since 1970.
    pub submitted_before_us: Option<i64>,
    /// Only those before this key.
    pub before: Option<i64>,
}

/// A claim by its public id.
pub fn find(connection: &mut Connection, claim_id: &str) -> Result<Option<StoredClaim>> {
    let rows = on_each_backend!(connection, |c| {
        claims::table.filter(claims::claim_id.eq(claim_id)).select(ClaimRow::as_select()).load(c)
    })?;
    Ok(with_details(connection, rows)?.pop())
}

/// Claims by their public ids, in no particular order.
pub fn find_many(connection: &mut Connection, claim_ids: &[&str]) -> Result<Vec<StoredClaim>> {
    if claim_ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = on_each_backend!(connection, |c| {
        claims::table.filter(claims::claim_id.eq_any(claim_ids)).select(ClaimRow::as_select()).load(c)
    })?;
    with_details(connection, rows)
}

/// A page of claims, newest first: by their keys, or by their times of submission where these are limited. Each order is that of
/// an index, so that a page costs the same wherever it begins.
pub fn list(connection: &mut Connection, filter: &ListFilter, limit: i64) -> Result<Vec<StoredClaim>> {
    let by_time = filter.submitted_from_us.is_some() || filter.submitted_before_us.is_some();
    let before_us: Option<i64> = match filter.before {
        Some(before) if by_time => on_each_backend!(connection, |c| {
            claims::table.find(before).select(claims::submitted_at_us).first(c).optional()
        })?,
        _ => None,
    };
    let rows = on_each_backend!(connection, |c| {
        let mut query = claims::table
            .filter(claims::owner.eq(owner::LOCAL))
            .select(ClaimRow::as_select())
            .limit(limit)
            .into_boxed();
        query = if by_time {
            query.order((claims::submitted_at_us.desc(), claims::id.desc()))
        } else {
            query.order(claims::id.desc())
        };
        if let Some(status) = filter.status {
            query = query.filter(claims::status.eq(status));
        }
        if let Some(provider_npi) = &filter.provider_npi {
            query = query.filter(claims::provider_npi.eq(provider_npi.as_str()));
        }
        if let Some(plan_group) = &filter.plan_group {
            query = query.filter(claims::plan_group.eq(plan_group));
        }
        if let Some(external_claim_id) = &filter.external_claim_id {
            query = query.filter(claims::external_claim_key.eq(canonical(external_claim_id)));
        }
        // The bare column, as the partial index has it: with a bound value SQLite would not use that.
        match filter.needs_attention {
            Some(true) => query = query.filter(claims::needs_attention),
            Some(false) => query = query.filter(diesel::dsl::not(claims::needs_attention)),
            None => {}
        }
        if let Some(from_us) = filter.submitted_from_us {
            query = query.filter(claims::submitted_at_us.ge(from_us));
        }
        if let Some(before_us) = filter.submitted_before_us {
            query = query.filter(claims::submitted_at_us.lt(before_us));
        }
        match (filter.before, before_us) {
            (Some(before), Some(before_us)) => {
                // The first condition follows from the second, and is the one by which the index is entered.
                let earlier = claims::submitted_at_us.lt(before_us);
                let beside = claims::submitted_at_us.eq(before_us).and(claims::id.lt(before));
                query = query.filter(claims::submitted_at_us.le(before_us)).filter(earlier.or(beside));
            }
            (Some(before), None) => query = query.filter(claims::id.lt(before)),
            (None, _) => {}
        }
        query.load(c)
    })?;
    with_details(connection, rows)
}

/// Claims by their public ids, locked until the transaction ends.
pub fn find_for_update(connection: &mut Connection, claim_ids: &[&str]) -> Result<Vec<ClaimRow>> {
    Ok(load_for_update!(
        connection,
        claims::table.filter(claims::claim_id.eq_any(claim_ids)).order(claims::id).select(ClaimRow::as_select())
    )?)
}

fn add_to_timeline(connection: &mut Connection, id: i64, at_us: i64, event: TimelineEvent) -> Result<()> {
    on_each_backend!(connection, |c| {
        diesel::insert_into(claim_timeline::table)
            .values((
                claim_timeline::claim_key.eq(id),
                claim_timeline::at_us.eq(at_us),
                claim_timeline::event.eq(event),
            ))
            .execute(c)
    })?;
    Ok(())
}

/// Records a void with its reason, version status and attention as the row has them, and adds it to the timeline. The outcome
/// of the claim's new event is re-requested from `next_attempt_at_us` on.
pub fn record_void(
    connection: &mut Connection,
    claim: &ClaimRow,
    voided_at_us: i64,
    next_attempt_at_us: i64,
) -> Result<()> {
    on_each_backend!(connection, |c| {
        diesel::update(claims::table.find(claim.id))
            .set((
                claims::status.eq(claim.status),
                claims::version.eq(claim.version),
                claims::voided_at_us.eq(voided_at_us),
                claims::void_reason.eq(&claim.void_reason),
                claims::next_attempt_at_us.eq(next_attempt_at_us),
                claims::request_count.eq(0),
                claims::outcome_overdue.eq(claim.attention.outcome_overdue),
                claims::needs_attention.eq(claim.needs_attention),
            ))
            .execute(c)
    })?;
    add_to_timeline(connection, claim.id, voided_at_us, TimelineEvent::VoidRequested)
}

/// The lines of claims in their order, by the keys of the claims.
pub fn lines_of(connection: &mut Connection, keys: &[i64]) -> Result<HashMap<i64, Vec<LineRow>>> {
    let lines: Vec<LineRow> = on_each_backend!(connection, |c| {
        claim_lines::table
            .filter(claim_lines::claim_key.eq_any(keys))
            .order((claim_lines::claim_key, claim_lines::line))
            .select(LineRow::as_select())
            .load(c)
    })?;
    let mut lines_of: HashMap<i64, Vec<LineRow>> = HashMap::new();
    for line in lines {
        lines_of.entry(line.claim_key).or_default().push(line);
    }
    Ok(lines_of)
}

/// Claims with their lines and timelines.
pub fn with_details(connection: &mut Connection, rows: Vec<ClaimRow>) -> Result<Vec<StoredClaim>> {
    let keys: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let mut lines_of = lines_of(connection, &keys)?;
    let entries: Vec<(i64, i64, TimelineEvent)> = on_each_backend!(connection, |c| {
        claim_timeline::table
            .filter(claim_timeline::claim_key.eq_any(&keys))
            .order(claim_timeline::id)
            .select((claim_timeline::claim_key, claim_timeline::at_us, claim_timeline::event))
            .load(c)
    })?;
    let mut timeline_of: HashMap<i64, Vec<TimelineEntry>> = HashMap::new();
    for (key, at_us, event) in entries {
        timeline_of.entry(key).or_default().push(TimelineEntry { at_us, event });
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let lines = lines_of.remove(&row.id).unwrap_or_default();
            let timeline = timeline_of.remove(&row.id).unwrap_or_default();
            StoredClaim { row, lines, timeline }
        })
        .collect())
}
