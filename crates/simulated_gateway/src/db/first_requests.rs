//! Stores the payments of requests whose keys are new, all in one statement: what becomes of such a request is known before
//! anything is stored.

use super::book::{self, NewEntry};
use super::payments::{self as each, APPROVED, Change, DECLINED, OPEN};
use super::schema::payments;
use crate::domain::book::Kind;
use crate::domain::fate::Fate;
use crate::domain::faults::{Operation, Outcome};
use crate::domain::request::PaymentRequest;
use crate::domain::response::PaymentResponse;
use crate::domain::rules::Rules;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use dual_db::{Connection, Result, on_each_backend};
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;

/// A request and what becomes of it if its key is new.
struct First<'a> {
    fate: Fate,
    change: Change,
    outcome: Outcome<PaymentResponse>,
    row: NewRow<'a>,
}

/// The row of the first request with a key.
#[derive(Insertable)]
#[diesel(table_name = payments, treat_none_as_default_value = false)]
struct NewRow<'a> {
    idempotency_key: &'a str,
    reference: &'a str,
    amount_cents: i64,
    payee: &'a str,
    attempts: i64,
    refund_attempts: i64,
    status: &'static str,
    payment_id: Option<String>,
    paid_cents: Option<i64>,
    pending_until_us: Option<i64>,
}

/// Processes the requests whose keys are new, inside the caller's transaction. Returns `None` for each other one, and for each
/// that repeats the key of one before it.
pub(super) fn store(
    connection: &mut Connection,
    requests: &[PaymentRequest],
    rules: &Rules,
) -> Result<Vec<Option<Outcome<PaymentResponse>>>> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let now_us = connection.now_us()?;
    let mut keys = HashSet::with_capacity(requests.len());
    let first = requests.iter().filter(|request| keys.insert(request.key.as_str()));
    let first: Vec<First<'_>> = first.map(|request| First::of(request, now_us, rules)).collect();
    let ids = insert(connection, &first, now_us)?;
    let mut outcomes = HashMap::with_capacity(first.len());
    for First { fate, change, outcome, row } in first {
        let Some(id) = ids.get(row.idempotency_key) else { continue };
        if let Change::Approved { paid_cents, .. } = change {
            each::schedule_return(connection, *id, fate, paid_cents, rules)?;
        }
        outcomes.insert(row.idempotency_key, outcome);
    }
    Ok(requests.iter().map(|request| outcomes.remove(request.key.as_str())).collect())
}

impl<'a> First<'a> {
    fn of(request: &'a PaymentRequest, now_us: i64, rules: &Rules) -> Self {
        let fate = rules.faults.fate(&request.key, Fate::of(request.amount));
        let mut change = Change::Nothing;
        let Ok(outcome) = rules.faults.inject(Operation::Payment, request.key.as_str(), 1, || {
            let (changed, response) = each::decide(fate.verdict(request.amount, 1), fate);
            change = changed;
            Ok::<_, Infallible>(response)
        });
        let (status, payment_id, paid_cents, pending_until_us) = match &change {
            Change::Nothing => (OPEN, None, None, None),
            Change::Pends => (OPEN, None, None, Some(now_us + rules.pending_us)),
            Change::Declined => (DECLINED, None, None, None),
            Change::Approved { payment_id, paid_cents } => {
                (APPROVED, Some(payment_id.clone()), Some(*paid_cents), None)
            }
        };
        let row = NewRow {
            idempotency_key: request.key.as_str(),
            reference: request.reference.as_str(),
            amount_cents: request.amount.cents(),
            payee: request.payee.as_str(),
            attempts: 1,
            refund_attempts: 0,
            status,
            payment_id,
            paid_cents,
            pending_until_us,
        };
        Self { fate, change, outcome, row }
    }
}

/// Inserts the rows whose keys are new, and the entries of the book of those that are paid. Returns the ids by their keys.
fn insert(connection: &mut Connection, first: &[First<'_>], now_us: i64) -> Result<HashMap<String, i64>> {
    match connection {
        Connection::Postgres(c) => Ok(InsertAll::of(first, now_us).load(c)?.into_iter().collect()),
        Connection::Sqlite(_) => insert_each(connection, first, now_us),
    }
}

fn insert_each(connection: &mut Connection, first: &[First<'_>], now_us: i64) -> Result<HashMap<String, i64>> {
    let mut ids = HashMap::with_capacity(first.len());
    for First { row, .. } in first {
        let inserted: Option<i64> = on_each_backend!(connection, |c| {
            diesel::insert_into(payments::table)
                .values(row)
                .on_conflict_do_nothing()
                .returning(payments::id)
                .get_result(c)
                .optional()
        })?;
        let Some(id) = inserted else { continue };
        if let (Some(entry_id), Some(amount_cents)) = (&row.payment_id, row.paid_cents) {
            let entry = NewEntry {
                at_us: now_us,
                kind: Kind::Payment.name(),
                payment_key: id,
                reference: row.reference,
                amount_cents,
                entry_id,
                number: 0,
            };
            book::add(connection, &entry)?;
        }
        ids.insert(row.idempotency_key.to_owned(), id);
    }
    Ok(ids)
}

/// The one statement of a group on PostgreSQL, with a column in each parameter: its text is constant, so Diesel prepares it once.
struct InsertAll<'a> {
    keys: Vec<&'a str>,
    references: Vec<&'a str>,
    amounts_cents: Vec<i64>,
    payees: Vec<&'a str>,
    statuses: Vec<&'a str>,
    payment_ids: Vec<Option<&'a str>>,
    paid_cents: Vec<Option<i64>>,
    pending_until_us: Vec<Option<i64>>,
    now_us: i64,
}

impl<'a> InsertAll<'a> {
    fn of(first: &'a [First<'_>], now_us: i64) -> Self {
        let rows = || first.iter().map(|first| &first.row);
        Self {
            keys: rows().map(|row| row.idempotency_key).collect(),
            references: rows().map(|row| row.reference).collect(),
            amounts_cents: rows().map(|row| row.amount_cents).collect(),
            payees: rows().map(|row| row.payee).collect(),
            statuses: rows().map(|row| row.status).collect(),
            payment_ids: rows().map(|row| row.payment_id.as_deref()).collect(),
            paid_cents: rows().map(|row| row.paid_cents).collect(),
            pending_until_us: rows().map(|row| row.pending_until_us).collect(),
            now_us,
        }
    }
}

impl QueryFragment<Pg> for InsertAll<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH stored AS (INSERT INTO payments (idempotency_key, reference, amount_cents, payee, attempts, \
             refund_attempts, status, payment_id, paid_cents, pending_until_us) \
             SELECT key, reference, amount_cents, payee, 1, 0, status, payment_id, paid_cents, pending_until_us FROM unnest(",
        );
        out.push_bind_param::<Array<Text>, _>(&self.keys)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.references)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.amounts_cents)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.payees)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.statuses)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.payment_ids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&self.paid_cents)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&self.pending_until_us)?;
        out.push_sql(
            ") AS request (key, reference, amount_cents, payee, status, payment_id, paid_cents, pending_until_us) \
             ON CONFLICT (idempotency_key) DO NOTHING \
             RETURNING id, idempotency_key, reference, payment_id, paid_cents), \
             booked AS (INSERT INTO book (at_us, kind, payment_key, reference, amount_cents, entry_id, number) SELECT ",
        );
        out.push_bind_param::<BigInt, _>(&self.now_us)?;
        out.push_sql(
            ", 'payment', id, reference, paid_cents, payment_id, 0 FROM stored WHERE payment_id IS NOT NULL) \
             SELECT idempotency_key, id FROM stored",
        );
        Ok(())
    }
}

impl QueryId for InsertAll<'_> {
    type QueryId = InsertAll<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for InsertAll<'_> {
    type SqlType = (Text, BigInt);
}

impl RunQueryDsl<PgConnection> for InsertAll<'_> {}
