//! What claim_process is to know of a saga that needs a person, and showing a saga as stuck that cannot be read or written.

use super::sagas::StoredSaga;
use super::schema::sagas;
use diesel::prelude::*;
use dual_db::{Connection, Result, load_for_update, on_each_backend};
use serde_json::Value;

/// Whether a saga needs a person, as claim_process is to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaAttention {
    /// The claim.
    pub claim_id: String,
    /// Why; `None` where it no longer does.
    pub reason: Option<String>,
    /// The revision of the saga since which it is so.
    pub revision: i64,
    /// The highest resync epoch that was received for the claim.
    pub resync_epoch: i64,
    /// Since when, in microseconds since 1970.
    pub at_us: i64,
    /// The id of the request that began it all.
    pub correlation_id: String,
    /// The id of the event that the next outcome answers.
    pub cause_id: String,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
}

impl StoredSaga {
    /// Whether it needs a person, as of its last `payment.attention`.
    pub fn attention(&self) -> SagaAttention {
        SagaAttention {
            claim_id: self.saga.claim_id.clone(),
            reason: self.stuck_reason.clone(),
            revision: self.attention_revision,
            resync_epoch: self.saga.resync_epoch,
            at_us: self.updated_at_us,
            correlation_id: self.correlation_id.clone(),
            cause_id: self.cause_id.clone(),
            traceparent: self.traceparent.clone(),
        }
    }
}

/// The columns of a saga that can be read whatever its facts are.
#[derive(Queryable, Selectable)]
#[diesel(table_name = sagas)]
struct Header {
    facts: String,
    revision: i64,
    attention_raised: bool,
    attention_revision: i64,
    correlation_id: String,
    cause_id: String,
    traceparent: Option<String>,
}

/// Shows a saga that is due, but cannot be read or written, as stuck, until it is tried again at `next_attempt_at_us`. Its facts
/// stay as they are: a newer version of this program may be able to work with them. Returns what claim_process is to know,
/// where it does not know yet that the saga needs a person.
pub fn mark_stuck(
    connection: &mut Connection,
    claim_id: &str,
    now_us: i64,
    next_attempt_at_us: i64,
    reason: &str,
) -> Result<Option<SagaAttention>> {
    let due = sagas::claim_id.eq(claim_id).and(sagas::next_attempt_at_us.le(now_us));
    let mut found: Vec<Header> = load_for_update!(connection, sagas::table.filter(due).select(Header::as_select()))?;
    let Some(header) = found.pop() else { return Ok(None) };
    let is_known = header.attention_raised;
    let revision = if is_known { header.revision } else { header.revision + 1 };
    let attention_revision = if is_known { header.attention_revision } else { revision };
    on_each_backend!(connection, |c| {
        diesel::update(sagas::table.filter(sagas::claim_id.eq(claim_id)))
            .set((
                sagas::revision.eq(revision),
                sagas::next_attempt_at_us.eq(next_attempt_at_us),
                sagas::stuck_reason.eq(reason),
                sagas::attention_raised.eq(true),
                sagas::attention_revision.eq(attention_revision),
            ))
            .execute(c)
    })?;
    if is_known {
        return Ok(None);
    }
    // Of facts that cannot be read as a saga, this one mostly can.
    let facts: Value = serde_json::from_str(&header.facts).unwrap_or_default();
    Ok(Some(SagaAttention {
        claim_id: claim_id.to_owned(),
        reason: Some(reason.to_owned()),
        revision,
        resync_epoch: facts["resync_epoch"].as_i64().unwrap_or(0),
        at_us: now_us,
        correlation_id: header.correlation_id,
        cause_id: header.cause_id,
        traceparent: header.traceparent,
    }))
}
