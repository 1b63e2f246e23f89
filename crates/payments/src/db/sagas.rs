//! Sagas as they are written. Every write compares and raises the revision, so that what a worker knew before it was
//! stopped can never overwrite what others did since.

use super::schema::sagas;
use super::statement::{self, insert_statement, write_rows};
use crate::domain::saga::{Disbursement, PaymentState, Saga, State, Trust};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use dual_db::{Connection, Error, Result, load_for_update, load_skipping_locked, on_each_backend};

/// A saga and what is known of its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSaga {
    /// The facts.
    pub saga: Saga,
    /// Hash of the claim in its events, which is the same in all of them; another is an alarm.
    pub content_hash: String,
    /// Raised by every write; 0 before the first.
    pub revision: i64,
    /// The revision under which the gateway call in hand was planned; 0 before the first.
    pub call_revision: i64,
    /// When it is taken up next: later while a worker has it or a pause lasts; none at rest.
    pub next_attempt_at_us: Option<i64>,
    /// The instance that has it, or had it last.
    pub worker: Option<String>,
    /// Why an operator should look, where one should.
    pub stuck_reason: Option<String>,
    /// Whether the last `payment.attention` that was published raised attention.
    pub attention_raised: bool,
    /// The revision under which it was published; 0 before the first.
    pub attention_revision: i64,
    /// The gateway's last answer, in a few words, while it was not definite.
    pub last_answer: Option<String>,
    /// The id of the request that began it all.
    pub correlation_id: String,
    /// The id of the event that the next outcome answers.
    pub cause_id: String,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
    /// When it began.
    pub started_at_us: i64,
    /// When it was last written; while an outcome stands, when that came to be.
    pub updated_at_us: i64,
}

impl StoredSaga {
    /// The state of the payment.
    pub fn state(&self) -> PaymentState {
        PaymentState::of(self.saga.state(), self.stuck_reason.is_some())
    }

    /// Corrects when it began, where that is after `now_us`: by a clock that was ahead. Its age then is not known; it is taken to
    /// be as great as the clock was ahead at least, lest a key be sent that the gateway has forgotten. Nothing that was not
    /// requested can be forgotten.
    pub fn correct_start(&mut self, now_us: i64) {
        let ahead_us = self.started_at_us.saturating_sub(now_us);
        if ahead_us > 0 {
            let nothing_requested = self.saga.trust == Trust::Sure && self.saga.disbursement == Disbursement::None;
            self.started_at_us = if nothing_requested { now_us } else { now_us.saturating_sub(ahead_us) };
        }
    }

    /// Whether nothing was written since a gateway call was planned: its answer is still to come.
    pub fn has_call_in_hand(&self) -> bool {
        self.call_revision == self.revision
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = sagas)]
struct Row {
    claim_id: String,
    facts: String,
    content_hash: String,
    revision: i64,
    call_revision: i64,
    next_attempt_at_us: Option<i64>,
    worker: Option<String>,
    stuck_reason: Option<String>,
    attention_raised: bool,
    attention_revision: i64,
    last_answer: Option<String>,
    correlation_id: String,
    cause_id: String,
    traceparent: Option<String>,
    started_at_us: i64,
    updated_at_us: i64,
}

/// A saga as it is to be written.
#[derive(Debug, Clone)]
pub struct SagaWrite {
    /// The saga, under the revision that it will have.
    pub stored: StoredSaga,
    /// The revision that it was read with; 0 for a new one.
    pub read_revision: i64,
}

impl SagaWrite {
    fn facts(&self) -> String {
        serde_json::to_string(&self.stored.saga).expect("a saga is plain data")
    }

    fn tries(&self) -> i64 {
        self.stored.saga.attempts.all().into()
    }
}

impl Row {
    fn into_stored(self) -> Result<StoredSaga> {
        let saga = serde_json::from_str(&self.facts)
            .map_err(|error| Error::Query(diesel::result::Error::DeserializationError(Box::new(error))))?;
        Ok(StoredSaga {
            saga,
            content_hash: self.content_hash,
            revision: self.revision,
            call_revision: self.call_revision,
            next_attempt_at_us: self.next_attempt_at_us,
            worker: self.worker,
            stuck_reason: self.stuck_reason,
            attention_raised: self.attention_raised,
            attention_revision: self.attention_revision,
            last_answer: self.last_answer,
            correlation_id: self.correlation_id,
            cause_id: self.cause_id,
            traceparent: self.traceparent,
            started_at_us: self.started_at_us,
            updated_at_us: self.updated_at_us,
        })
    }
}

/// A claim's saga.
pub fn find(connection: &mut Connection, claim_id: &str) -> Result<Option<StoredSaga>> {
    let row: Option<Row> = on_each_backend!(connection, |c| {
        sagas::table.filter(sagas::claim_id.eq(claim_id)).select(Row::as_select()).first(c).optional()
    })?;
    row.map(Row::into_stored).transpose()
}

/// Sagas of claims, held until the transaction ends.
pub fn find_for_update(connection: &mut Connection, claim_ids: &[&str]) -> Result<Vec<StoredSaga>> {
    let rows: Vec<Row> = load_for_update!(
        connection,
        sagas::table.filter(sagas::claim_id.eq_any(claim_ids)).order(sagas::id).select(Row::as_select())
    )?;
    rows.into_iter().map(Row::into_stored).collect()
}

/// Sagas whose time has come, past those that another instance is taking; and the claims of those whose facts cannot be read,
/// which must not keep the others from getting on.
///
/// A third of them are those that wait longest, and the others those that were tried least: those that fail again and again
/// are always the ones that wait longest, and others would hardly ever be tried.
pub fn take_due(connection: &mut Connection, now_us: i64, limit: i64) -> Result<(Vec<StoredSaga>, Vec<String>)> {
    let is_due = sagas::next_attempt_at_us.le(now_us);
    let mut rows: Vec<Row> = load_skipping_locked!(
        connection,
        sagas::table
            .filter(is_due)
            .order((sagas::next_attempt_at_us, sagas::claim_id))
            .limit(limit / 3)
            .select(Row::as_select())
    )?;
    let taken: Vec<String> = rows.iter().map(|row| row.claim_id.clone()).collect();
    let tried_least: Vec<Row> = load_skipping_locked!(
        connection,
        sagas::table
            .filter(is_due.and(sagas::claim_id.ne_all(&taken)))
            .order((sagas::tries, sagas::next_attempt_at_us, sagas::claim_id))
            .limit(limit - limit / 3)
            .select(Row::as_select())
    )?;
    rows.extend(tried_least);
    let mut unreadable = Vec::new();
    let readable = rows.into_iter().filter_map(|row| {
        let claim_id = row.claim_id.clone();
        row.into_stored().map_err(|_| unreadable.push(claim_id)).ok()
    });
    let readable = readable.collect();
    Ok((readable, unreadable))
}

/// Whether [`take_due`] would find anything.
pub fn any_due(connection: &mut Connection, now_us: i64) -> Result<bool> {
    let first: Option<i64> = on_each_backend!(connection, |c| {
        // In the order of an index, so that a table without such rows is not read as a whole.
        sagas::table
            .filter(sagas::next_attempt_at_us.le(now_us))
            .order(sagas::next_attempt_at_us)
            .select(sagas::id)
            .first(c)
            .optional()
    })?;
    Ok(first.is_some())
}

insert_statement!(
    InsertSagas,
    "sagas (claim_id, content_hash, correlation_id, amount_cents, state, facts, revision, call_revision, next_attempt_at_us, \
     worker, stuck_reason, attention_raised, attention_revision, last_answer, cause_id, traceparent, started_at_us, \
     updated_at_us, tries)",
    " ON CONFLICT DO NOTHING"
);

/// Compares the revision, and raises it.
struct UpdateSagas;

impl statement::Text for UpdateSagas {
    const POSTGRES: [&'static str; 2] = [
        "UPDATE sagas SET state = n.state, facts = n.facts, revision = n.revision, call_revision = n.call_revision, \
         next_attempt_at_us = n.next_attempt_at_us, worker = n.worker, stuck_reason = n.stuck_reason, \
         attention_raised = n.attention_raised, attention_revision = n.attention_revision, last_answer = n.last_answer, \
         cause_id = n.cause_id, traceparent = n.traceparent, started_at_us = n.started_at_us, \
         updated_at_us = n.updated_at_us, tries = n.tries FROM UNNEST(",
        ") AS n (claim_id, read_revision, state, facts, revision, call_revision, next_attempt_at_us, worker, stuck_reason, \
         attention_raised, attention_revision, last_answer, cause_id, traceparent, started_at_us, updated_at_us, tries) \
         WHERE sagas.claim_id = n.claim_id AND sagas.revision = n.read_revision",
    ];
    const SQLITE: [&'static str; 2] = [
        "UPDATE sagas SET state = n.column3, facts = n.column4, revision = n.column5, call_revision = n.column6, \
         next_attempt_at_us = n.column7, worker = n.column8, stuck_reason = n.column9, attention_raised = n.column10, \
         attention_revision = n.column11, last_answer = n.column12, cause_id = n.column13, traceparent = n.column14, \
         started_at_us = n.column15, updated_at_us = n.column16, tries = n.column17 FROM (VALUES (",
        ")) AS n WHERE sagas.claim_id = n.column1 AND sagas.revision = n.column2",
    ];
}

/// Writes sagas, each under the revision it was read with, in the transaction in which it was read.
///
/// # Errors
/// [`Error::Conflict`] when another instance wrote one of them meanwhile: the transaction is to be run again.
pub fn write_all(connection: &mut Connection, writes: &[SagaWrite]) -> Result<()> {
    let (new, known): (Vec<&SagaWrite>, Vec<&SagaWrite>) = writes.iter().partition(|write| write.read_revision == 0);
    if !new.is_empty() {
        let inserted = write_rows!(connection, InsertSagas, &new, |write| {
            write.stored.saga.claim_id.as_str() => Text,
            write.stored.content_hash.as_str() => Text,
            write.stored.correlation_id.as_str() => Text,
            write.stored.saga.amount_cents => BigInt,
            write.stored.saga.state().as_str() => Text,
            write.facts() => Text,
            write.stored.revision => BigInt,
            write.stored.call_revision => BigInt,
            write.stored.next_attempt_at_us => Nullable<BigInt>,
            write.stored.worker.as_deref() => Nullable<Text>,
            write.stored.stuck_reason.as_deref() => Nullable<Text>,
            write.stored.attention_raised => Bool,
            write.stored.attention_revision => BigInt,
            write.stored.last_answer.as_deref() => Nullable<Text>,
            write.stored.cause_id.as_str() => Text,
            write.stored.traceparent.as_deref() => Nullable<Text>,
            write.stored.started_at_us => BigInt,
            write.stored.updated_at_us => BigInt,
            write.tries() => BigInt,
        })?;
        all_written(inserted, new.len())?;
    }
    if !known.is_empty() {
        let updated = write_rows!(connection, UpdateSagas, &known, |write| {
            write.stored.saga.claim_id.as_str() => Text,
            write.read_revision => BigInt,
            write.stored.saga.state().as_str() => Text,
            write.facts() => Text,
            write.stored.revision => BigInt,
            write.stored.call_revision => BigInt,
            write.stored.next_attempt_at_us => Nullable<BigInt>,
            write.stored.worker.as_deref() => Nullable<Text>,
            write.stored.stuck_reason.as_deref() => Nullable<Text>,
            write.stored.attention_raised => Bool,
            write.stored.attention_revision => BigInt,
            write.stored.last_answer.as_deref() => Nullable<Text>,
            write.stored.cause_id.as_str() => Text,
            write.stored.traceparent.as_deref() => Nullable<Text>,
            write.stored.started_at_us => BigInt,
            write.stored.updated_at_us => BigInt,
            write.tries() => BigInt,
        })?;
        all_written(updated, known.len())?;
    }
    Ok(())
}

fn all_written(written: usize, writes: usize) -> Result<()> {
    if written == writes { Ok(()) } else { Err(Error::Conflict) }
}

/// When the newest saga began, in microseconds since 1970.
pub fn newest_us(connection: &mut Connection) -> Result<Option<i64>> {
    Ok(on_each_backend!(connection, |c| {
        sagas::table.order(sagas::id.desc()).select(sagas::started_at_us).first(c).optional()
    })?)
}

/// Which sagas to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListFilter {
    /// Only those of payments in this state.
    pub state: Option<PaymentState>,
    /// Only those before this key.
    pub before: Option<i64>,
}

/// A saga in a list.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = sagas)]
#[allow(missing_docs)]
pub struct Listed {
    pub id: i64,
    pub claim_id: String,
    pub state: State,
    pub amount_cents: i64,
    pub stuck_reason: Option<String>,
    pub next_attempt_at_us: Option<i64>,
    pub started_at_us: i64,
    pub updated_at_us: i64,
}

/// A page of sagas, newest first.
pub fn list(connection: &mut Connection, filter: &ListFilter, limit: i64) -> Result<Vec<Listed>> {
    Ok(on_each_backend!(connection, |c| {
        let mut query = sagas::table.select(Listed::as_select()).order(sagas::id.desc()).limit(limit).into_boxed();
        match filter.state {
            None => {}
            Some(PaymentState::Stuck) => query = query.filter(sagas::stuck_reason.is_not_null()),
            Some(state) => query = query.filter(sagas::state.eq(state).and(sagas::stuck_reason.is_null())),
        }
        if let Some(before) = filter.before {
            query = query.filter(sagas::id.lt(before));
        }
        query.load(c)
    })?)
}

/// How many sagas do not get on.
pub fn count_stuck(connection: &mut Connection) -> Result<i64> {
    Ok(on_each_backend!(connection, |c| sagas::table.filter(sagas::stuck_reason.is_not_null()).count().get_result(c))?)
}

/// How many sagas stand where.
pub fn counts(connection: &mut Connection) -> Result<Vec<(State, i64)>> {
    Ok(on_each_backend!(connection, |c| {
        sagas::table.group_by(sagas::state).select((sagas::state, diesel::dsl::count_star())).load(c)
    })?)
}
