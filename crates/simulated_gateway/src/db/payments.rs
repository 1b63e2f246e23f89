//! Payments by idempotency key: the request, the number of attempts, and the definite response.

use super::book::{self, NewEntry};
use super::notices;
use super::schema::payments;
use super::{MOST_ROWS, random_id};
use crate::domain::book::{Kind, KnownPayment};
use crate::domain::fate::{Fate, Verdict, Wrapping};
use crate::domain::faults::{Operation, Outcome};
use crate::domain::request::{Amount, IdempotencyKey, PaymentRequest};
use crate::domain::response::PaymentResponse;
use crate::domain::rules::Rules;
use diesel::prelude::*;
use diesel::upsert::excluded;
use dual_db::{Connection, Result, load_for_update, on_each_backend};

/// The values of the column `status`.
pub(super) const OPEN: &str = "open";
pub(super) const APPROVED: &str = "approved";
pub(super) const DECLINED: &str = "declined";

#[derive(Insertable)]
#[diesel(table_name = payments)]
struct NewRow<'a> {
    idempotency_key: &'a str,
    reference: &'a str,
    amount_cents: i64,
    payee: &'a str,
    attempts: i64,
    refund_attempts: i64,
    status: &'a str,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = payments)]
struct Row {
    id: i64,
    attempts: i64,
    status: String,
    payment_id: Option<String>,
    paid_cents: Option<i64>,
    pending_until_us: Option<i64>,
}

impl Row {
    fn definite_response(&self) -> Option<PaymentResponse> {
        match (self.payment_id.clone(), self.paid_cents) {
            (Some(payment_id), Some(paid_cents)) => {
                Some(PaymentResponse::Approved { payment_id, paid_cents, created: false })
            }
            _ if self.status == DECLINED => Some(PaymentResponse::Declined),
            _ => None,
        }
    }
}

/// Processes a payment request whose key may be stored, inside the caller's transaction: counts the attempt, and pays at most once
/// for each key.
pub(super) fn pay(
    connection: &mut Connection,
    request: &PaymentRequest,
    rules: &Rules,
) -> Result<Outcome<PaymentResponse>> {
    let Some(row) = count_attempt(connection, request)? else {
        return Ok(Outcome::Processed(PaymentResponse::KeyReused));
    };
    let attempt = row.attempts;
    rules.faults.inject(Operation::Payment, request.key.as_str(), attempt, || process(connection, request, row, rules))
}

fn process(connection: &mut Connection, request: &PaymentRequest, row: Row, rules: &Rules) -> Result<PaymentResponse> {
    let fate = rules.faults.fate(&request.key, Fate::of(request.amount));
    if let Some(response) = row.definite_response() {
        return Ok(wrapped(response, fate));
    }
    let verdict = match row.pending_until_us {
        None => fate.verdict(request.amount, row.attempts),
        Some(until_us) if until_us > connection.now_us()? => Verdict::Pend,
        Some(_) => fate.verdict_after_pending(request.amount),
    };
    let (change, response) = decide(verdict, fate);
    store(connection, row.id, request.reference.as_str(), fate, &change, rules)?;
    Ok(response)
}

/// What a request changes of a payment that has no definite response yet.
pub(super) enum Change {
    Nothing,
    Pends,
    Declined,
    Approved { payment_id: String, paid_cents: i64 },
}

/// What a verdict changes of a payment, and the response to its request.
pub(super) fn decide(verdict: Verdict, fate: Fate) -> (Change, PaymentResponse) {
    match verdict {
        Verdict::Approve { paid_cents, response_is_lost } => {
            let payment_id = random_id();
            let approved = PaymentResponse::Approved { payment_id: payment_id.clone(), paid_cents, created: false };
            let response = if response_is_lost { PaymentResponse::Lost } else { wrapped(approved, fate) };
            (Change::Approved { payment_id, paid_cents }, response)
        }
        Verdict::Decline => (Change::Declined, PaymentResponse::Declined),
        Verdict::Pend => (Change::Pends, PaymentResponse::Pending),
        Verdict::InProgress => (Change::Nothing, PaymentResponse::InProgress),
        Verdict::Throttled => (Change::Nothing, PaymentResponse::Throttled),
        Verdict::Lose => (Change::Nothing, PaymentResponse::Lost),
    }
}

/// Stores a change of a payment whose row is there.
fn store(
    connection: &mut Connection,
    id: i64,
    reference: &str,
    fate: Fate,
    change: &Change,
    rules: &Rules,
) -> Result<()> {
    match change {
        Change::Nothing => Ok(()),
        Change::Pends => {
            let until_us = connection.now_us()? + rules.pending_us;
            on_each_backend!(connection, |c| {
                diesel::update(payments::table.find(id).filter(payments::pending_until_us.is_null()))
                    .set(payments::pending_until_us.eq(until_us))
                    .execute(c)
            })?;
            Ok(())
        }
        Change::Declined => {
            on_each_backend!(connection, |c| {
                diesel::update(payments::table.find(id)).set(payments::status.eq(DECLINED)).execute(c)
            })?;
            Ok(())
        }
        Change::Approved { payment_id, paid_cents } => {
            approve(connection, id, reference, payment_id, *paid_cents)?;
            schedule_return(connection, id, fate, *paid_cents, rules)
        }
    }
}

/// Schedules the return of a payment that was made, if its fate has one.
pub(super) fn schedule_return(
    connection: &mut Connection,
    id: i64,
    fate: Fate,
    paid_cents: i64,
    rules: &Rules,
) -> Result<()> {
    let Some(after_us) = rules.returned_after_us else { return Ok(()) };
    let parts = fate.returned_parts(paid_cents);
    if parts.is_empty() { Ok(()) } else { notices::schedule_return(connection, id, &parts, after_us) }
}

/// The response to a payment that was made, as its fate has it sent.
fn wrapped(response: PaymentResponse, fate: Fate) -> PaymentResponse {
    match (response, fate.wrapping()) {
        (PaymentResponse::Approved { payment_id, paid_cents, .. }, Wrapping::Created) => {
            PaymentResponse::Approved { payment_id, paid_cents, created: true }
        }
        (PaymentResponse::Approved { .. }, Wrapping::ServerError) => PaymentResponse::ServerError,
        (PaymentResponse::Approved { .. }, Wrapping::KeyTaken) => PaymentResponse::KeyReused,
        (response, _) => response,
    }
}

/// Stores the key, or counts another attempt of it, and locks its row until the transaction ends, so that requests with one key
/// are processed one after the other. Returns `None` if the key was used with another body, which is not counted.
fn count_attempt(connection: &mut Connection, request: &PaymentRequest) -> Result<Option<Row>> {
    let new = NewRow {
        idempotency_key: request.key.as_str(),
        reference: request.reference.as_str(),
        amount_cents: request.amount.cents(),
        payee: request.payee.as_str(),
        attempts: 1,
        refund_attempts: 0,
        status: OPEN,
    };
    Ok(on_each_backend!(connection, |c| {
        diesel::query_dsl::methods::FilterDsl::filter(
            diesel::insert_into(payments::table)
                .values(&new)
                .on_conflict(payments::idempotency_key)
                .do_update()
                .set(payments::attempts.eq(payments::attempts + 1)),
            payments::reference
                .eq(excluded(payments::reference))
                .and(payments::amount_cents.eq(excluded(payments::amount_cents)))
                .and(payments::payee.eq(excluded(payments::payee))),
        )
        .returning(Row::as_returning())
        .get_result(c)
        .optional()
    })?)
}

fn approve(connection: &mut Connection, id: i64, reference: &str, payment_id: &str, paid_cents: i64) -> Result<()> {
    let at_us = connection.now_us()?;
    on_each_backend!(connection, |c| {
        diesel::update(payments::table.find(id))
            .set((
                payments::status.eq(APPROVED),
                payments::payment_id.eq(Some(payment_id)),
                payments::paid_cents.eq(Some(paid_cents)),
            ))
            .execute(c)
    })?;
    book::add(
        connection,
        &NewEntry {
            at_us,
            kind: Kind::Payment.name(),
            payment_key: id,
            reference,
            amount_cents: paid_cents,
            entry_id: payment_id,
            number: 0,
        },
    )
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = payments)]
struct KnownRow {
    id: i64,
    payment_id: Option<String>,
    reference: String,
    idempotency_key: String,
    amount_cents: i64,
    paid_cents: Option<i64>,
    status: String,
    pending_until_us: Option<i64>,
}

/// The payments of a reference that have a definite response or are pending, oldest first.
///
/// A missing payment proves nothing: its request may still arrive.
pub fn look_up(connection: &mut Connection, reference: &str) -> Result<Vec<KnownPayment>> {
    let rows = known(connection, reference)?;
    let keys: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let back = book::money_back(connection, &keys)?;
    let stands = |id: i64| Some(back.get(&id)?.stands.as_ref()?.kind);
    Ok(rows
        .into_iter()
        .map(|row| KnownPayment {
            payment_id: row.payment_id,
            is_pending: row.status == OPEN,
            reference: row.reference,
            idempotency_key: row.idempotency_key,
            amount_cents: row.paid_cents.unwrap_or(row.amount_cents),
            money_back: stands(row.id),
        })
        .collect())
}

fn known(connection: &mut Connection, reference: &str) -> Result<Vec<KnownRow>> {
    Ok(on_each_backend!(connection, |c| {
        payments::table
            .filter(payments::reference.eq(reference))
            .filter(payments::status.ne(OPEN).or(payments::pending_until_us.is_not_null()))
            .order(payments::id)
            .limit(MOST_ROWS)
            .select(KnownRow::as_select())
            .load(c)
    })?)
}

/// Whether a payment of a reference was pending for long enough.
pub fn has_pended(connection: &mut Connection, reference: &str) -> Result<bool> {
    let now_us = connection.now_us()?;
    Ok(known(connection, reference)?.iter().any(|row| row.has_pended(now_us)))
}

/// Decides the payments of a reference that were pending for long enough, inside the caller's transaction.
pub fn decide_pended(connection: &mut Connection, reference: &str, rules: &Rules) -> Result<()> {
    let now_us = connection.now_us()?;
    let held: Vec<KnownRow> = load_for_update!(
        connection,
        payments::table
            .filter(payments::reference.eq(reference).and(payments::pending_until_us.is_not_null()))
            .order(payments::id)
            .select(KnownRow::as_select())
    )?;
    for row in held.into_iter().filter(|row| row.has_pended(now_us)) {
        let (Some(key), Some(amount)) =
            (IdempotencyKey::parse(&row.idempotency_key), Amount::from_cents(row.amount_cents))
        else {
            continue;
        };
        let fate = rules.faults.fate(&key, Fate::of(amount));
        let (change, _) = decide(fate.verdict_after_pending(amount), fate);
        store(connection, row.id, reference, fate, &change, rules)?;
    }
    Ok(())
}

impl KnownRow {
    fn has_pended(&self, now_us: i64) -> bool {
        self.status == OPEN && self.pending_until_us.is_some_and(|until_us| until_us <= now_us)
    }
}
