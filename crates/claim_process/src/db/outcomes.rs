//! Outcomes that payments publishes, for all claims of a batch: one statement locks and reads what decides about them, and one
//! writes what changed, with the timelines.

use super::attention::Attention;
use super::outcome::{OutcomeColumnNames, OutcomeColumns, StoredOutcome};
use super::schema::{claim_timeline, claims};
use crate::domain::timeline::TimelineEvent;
use crate::domain::transition::{State, Status};
use claim_events::{Cents, ClaimId, KnownOutcome, Npi, PaymentEvent};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};
use dual_db::{Connection, Result, load_for_update};

/// What of a claim decides about its outcomes, or is changed by them.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = claims)]
#[allow(missing_docs)]
pub struct OutcomeRow {
    pub id: i64,
    #[diesel(deserialize_as = String)]
    pub claim_id: ClaimId,
    pub status: Status,
    #[diesel(deserialize_as = String)]
    pub provider_npi: Npi,
    #[diesel(deserialize_as = i64)]
    pub net_fee_cents: Cents,
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
    #[diesel(embed)]
    pub attention: Attention,
}

impl OutcomeRow {
    /// The kind and version of the recorded outcome.
    pub fn known_outcome(&self) -> Option<KnownOutcome> {
        self.outcome.as_ref().map(|outcome| KnownOutcome { kind: outcome.kind, version: outcome.version })
    }

    /// The recorded outcome as payments published it.
    pub fn outcome_event(&self) -> Option<PaymentEvent> {
        self.outcome.as_ref().and_then(StoredOutcome::event)
    }

    /// What its transitions depend on.
    pub fn state(&self) -> State {
        let Self { status, version, resync_epoch, .. } = *self;
        State { status, version, resync_epoch, outcome: self.known_outcome() }
    }
}

/// A new event in the timeline of a claim.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = claim_timeline)]
pub struct NewTimelineEntry {
    /// The key of the claim's row.
    pub claim_key: i64,
    /// When it happened, in microseconds since 1970.
    pub at_us: i64,
    /// What happened.
    pub event: TimelineEvent,
}

/// Claims by their public ids, locked until the transaction ends.
pub fn lock(connection: &mut Connection, claim_ids: &[&str]) -> Result<Vec<OutcomeRow>> {
    Ok(load_for_update!(
        connection,
        claims::table.filter(claims::claim_id.eq_any(claim_ids)).order(claims::id).select(OutcomeRow::as_select())
    )?)
}

/// Writes the status, outcome, re-request and attention of claims that are locked, and adds to their timelines.
pub fn write(connection: &mut Connection, changed: &[&OutcomeRow], timeline: &[NewTimelineEntry]) -> Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    match connection {
        Connection::Postgres(c) => _ = WriteAll::of(changed, timeline).execute(c)?,
        Connection::Sqlite(c) => {
            for row in changed {
                let outcome = row.outcome.as_ref();
                diesel::update(claims::table.find(row.id))
                    .set((
                        claims::status.eq(row.status),
                        claims::outcome_type.eq(outcome.map(|outcome| outcome.kind.as_str())),
                        claims::outcome_version.eq(outcome.map(|outcome| outcome.version)),
                        claims::outcome_at_us.eq(outcome.map(|outcome| outcome.at_us)),
                        claims::outcome.eq(outcome.map(|outcome| outcome.body.as_str())),
                        claims::next_attempt_at_us.eq(row.next_attempt_at_us),
                        claims::needs_attention.eq(row.attention.is_needed()),
                        claims::outcome_overdue.eq(row.attention.outcome_overdue),
                        claims::payment_attention.eq(row.attention.payment_attention.as_deref()),
                        claims::payment_attention_revision.eq(row.attention.payment_attention_revision),
                    ))
                    .execute(c)?;
            }
            for entry in timeline {
                diesel::insert_into(claim_timeline::table).values(entry).execute(c)?;
            }
        }
    }
    Ok(())
}

/// The statement of a batch on PostgreSQL, with a column in each parameter: its text is constant, so Diesel prepares it once.
struct WriteAll<'a> {
    ids: Vec<i64>,
    statuses: Vec<&'a str>,
    outcome_types: Vec<Option<&'a str>>,
    outcome_versions: Vec<Option<i64>>,
    outcome_at_us: Vec<Option<i64>>,
    outcomes: Vec<Option<&'a str>>,
    next_attempt_at_us: Vec<Option<i64>>,
    needs_attention: Vec<bool>,
    outcome_overdue: Vec<bool>,
    payment_attention: Vec<Option<&'a str>>,
    payment_attention_revisions: Vec<i64>,
    timeline_keys: Vec<i64>,
    timeline_at_us: Vec<i64>,
    timeline_events: Vec<&'a str>,
}

impl<'a> WriteAll<'a> {
    fn of(changed: &'a [&'a OutcomeRow], timeline: &'a [NewTimelineEntry]) -> Self {
        let rows = || changed.iter().copied();
        let outcomes = || rows().map(|row| row.outcome.as_ref());
        let attention = || rows().map(|row| &row.attention);
        Self {
            ids: rows().map(|row| row.id).collect(),
            statuses: rows().map(|row| row.status.as_str()).collect(),
            outcome_types: outcomes().map(|outcome| Some(outcome?.kind.as_str())).collect(),
            outcome_versions: outcomes().map(|outcome| Some(outcome?.version)).collect(),
            outcome_at_us: outcomes().map(|outcome| Some(outcome?.at_us)).collect(),
            outcomes: outcomes().map(|outcome| Some(outcome?.body.as_str())).collect(),
            next_attempt_at_us: rows().map(|row| row.next_attempt_at_us).collect(),
            needs_attention: attention().map(Attention::is_needed).collect(),
            outcome_overdue: attention().map(|attention| attention.outcome_overdue).collect(),
            payment_attention: attention().map(|attention| attention.payment_attention.as_deref()).collect(),
            payment_attention_revisions: attention().map(|attention| attention.payment_attention_revision).collect(),
            timeline_keys: timeline.iter().map(|entry| entry.claim_key).collect(),
            timeline_at_us: timeline.iter().map(|entry| entry.at_us).collect(),
            timeline_events: timeline.iter().map(|entry| entry.event.as_str()).collect(),
        }
    }
}

impl QueryFragment<Pg> for WriteAll<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH timeline AS (INSERT INTO claim_timeline (claim_key, at_us, event) SELECT claim_key, at_us, event FROM unnest(",
        );
        out.push_bind_param::<Array<BigInt>, _>(&self.timeline_keys)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.timeline_at_us)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.timeline_events)?;
        out.push_sql(
            ") AS entry (claim_key, at_us, event)) UPDATE claims SET status = changed.status, \
             outcome_type = changed.outcome_type, outcome_version = changed.outcome_version, \
             outcome_at_us = changed.outcome_at_us, outcome = changed.outcome, \
             next_attempt_at_us = changed.next_attempt_at_us, needs_attention = changed.needs_attention, \
             outcome_overdue = changed.outcome_overdue, payment_attention = changed.payment_attention, \
             payment_attention_revision = changed.payment_attention_revision FROM unnest(",
        );
        out.push_bind_param::<Array<BigInt>, _>(&self.ids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.statuses)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.outcome_types)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&self.outcome_versions)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&self.outcome_at_us)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.outcomes)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&self.next_attempt_at_us)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Bool>, _>(&self.needs_attention)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Bool>, _>(&self.outcome_overdue)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.payment_attention)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.payment_attention_revisions)?;
        out.push_sql(
            ") AS changed (id, status, outcome_type, outcome_version, outcome_at_us, outcome, next_attempt_at_us, \
             needs_attention, outcome_overdue, payment_attention, payment_attention_revision) \
             WHERE claims.id = changed.id",
        );
        Ok(())
    }
}

impl QueryId for WriteAll<'_> {
    type QueryId = WriteAll<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<PgConnection> for WriteAll<'_> {}
