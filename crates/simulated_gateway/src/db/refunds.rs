//! Refunds by idempotency key. A payment is refunded or returned once, whatever the keys.

use super::book::{self, MoneyBack, NewEntry};
use super::notices;
use super::payments::APPROVED;
use super::random_id;
use super::schema::{payments, refunds};
use crate::domain::book::Kind;
use crate::domain::fate::Fate;
use crate::domain::faults::{Operation, Outcome};
use crate::domain::request::{Amount, RefundRequest};
use crate::domain::response::RefundResponse;
use crate::domain::rules::Rules;
use diesel::prelude::*;
use diesel::upsert::excluded;
use dual_db::{Connection, Result, load_for_update, on_each_backend};

/// The values of the column `status`.
const OPEN: &str = "open";
const REFUNDED: &str = "refunded";
const ALREADY_REFUNDED: &str = "already_refunded";
const ALREADY_RETURNED: &str = "already_returned";

#[derive(Insertable)]
#[diesel(table_name = refunds)]
struct NewRow<'a> {
    idempotency_key: &'a str,
    reference: &'a str,
    amount_cents: i64,
    attempts: i64,
    status: &'a str,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = refunds)]
struct Row {
    id: i64,
    attempts: i64,
    status: String,
    refund_id: Option<String>,
    failed_at_us: Option<i64>,
}

impl Row {
    fn definite_response(self) -> Option<RefundResponse> {
        if self.failed_at_us.is_some() {
            return Some(RefundResponse::FailedLater);
        }
        match (self.status.as_str(), self.refund_id) {
            (REFUNDED, Some(refund_id)) => Some(RefundResponse::Refunded { refund_id }),
            (ALREADY_REFUNDED, Some(refund_id)) => Some(RefundResponse::AlreadyRefunded { refund_id }),
            (ALREADY_RETURNED, _) => Some(RefundResponse::AlreadyReturned),
            _ => None,
        }
    }
}

/// The columns of an approved payment that a refund needs.
#[derive(Queryable, Selectable)]
#[diesel(table_name = payments)]
struct PaidRow {
    id: i64,
    amount_cents: i64,
    paid_cents: Option<i64>,
    refund_attempts: i64,
}

/// Processes a refund request, inside the caller's transaction.
///
/// Only a request that matches a payment is stored under its key. The key of any other one stays free for a corrected request,
/// and no random fault applies to it.
pub(super) fn refund(
    connection: &mut Connection,
    request: &RefundRequest,
    rules: &Rules,
) -> Result<Outcome<RefundResponse>> {
    let payments = lock_payments(connection, request)?;
    let refused = |response| Ok(Outcome::Processed(response));
    let Some(known) = is_known(connection, request)? else { return refused(RefundResponse::KeyReused) };
    if !known {
        // A stored key has matched a payment before.
        if payments.is_empty() {
            return refused(RefundResponse::NoSuchPayment);
        }
        if !payments.iter().any(|payment| payment.paid_cents == Some(request.amount.cents())) {
            return refused(RefundResponse::OtherAmount);
        }
    }
    let Some(row) = count_attempt(connection, request)? else { return refused(RefundResponse::KeyReused) };
    let (row_id, attempt) = (row.id, row.attempts);
    rules.faults.inject(Operation::Refund, request.key.as_str(), attempt, || {
        if let Some(response) = row.definite_response() {
            return Ok(response);
        }
        let response = pay_back(connection, request, &payments, rules)?;
        store(connection, row_id, &response)?;
        Ok(response)
    })
}

/// Reads the payments of the request's reference and locks them until the transaction ends, so that refunds of one payment are
/// processed one after the other.
fn lock_payments(connection: &mut Connection, request: &RefundRequest) -> Result<Vec<PaidRow>> {
    Ok(load_for_update!(
        connection,
        payments::table
            .filter(payments::reference.eq(request.reference.as_str()).and(payments::status.eq(APPROVED)))
            .order(payments::id)
            .select(PaidRow::as_select())
    )?)
}

/// Whether the key is stored; `None` if it is stored with another body.
fn is_known(connection: &mut Connection, request: &RefundRequest) -> Result<Option<bool>> {
    let found: Option<(String, i64)> = on_each_backend!(connection, |c| {
        refunds::table
            .filter(refunds::idempotency_key.eq(request.key.as_str()))
            .select((refunds::reference, refunds::amount_cents))
            .first(c)
            .optional()
    })?;
    Ok(match found {
        None => Some(false),
        Some((reference, cents)) if reference == request.reference.as_str() && cents == request.amount.cents() => {
            Some(true)
        }
        Some(_) => None,
    })
}

/// Stores the key, or counts another attempt of it. Returns `None` if it was stored with another body meanwhile.
fn count_attempt(connection: &mut Connection, request: &RefundRequest) -> Result<Option<Row>> {
    let new = NewRow {
        idempotency_key: request.key.as_str(),
        reference: request.reference.as_str(),
        amount_cents: request.amount.cents(),
        attempts: 1,
        status: OPEN,
    };
    Ok(on_each_backend!(connection, |c| {
        diesel::query_dsl::methods::FilterDsl::filter(
            diesel::insert_into(refunds::table)
                .values(&new)
                .on_conflict(refunds::idempotency_key)
                .do_update()
                .set(refunds::attempts.eq(refunds::attempts + 1)),
            refunds::reference
                .eq(excluded(refunds::reference))
                .and(refunds::amount_cents.eq(excluded(refunds::amount_cents))),
        )
        .returning(Row::as_returning())
        .get_result(c)
        .optional()
    })?)
}

/// Refunds the oldest payment of this amount that is neither refunded nor returned.
fn pay_back(
    connection: &mut Connection,
    request: &RefundRequest,
    paid: &[PaidRow],
    rules: &Rules,
) -> Result<RefundResponse> {
    let keys: Vec<i64> = paid.iter().map(|payment| payment.id).collect();
    let mut back = book::money_back(connection, &keys)?;
    let mut fitting = paid.iter().filter(|payment| payment.paid_cents == Some(request.amount.cents())).peekable();
    let Some(oldest) = fitting.peek().map(|payment| payment.id) else { return Ok(RefundResponse::NoSuchPayment) };
    let stands = |id: &i64| back.get(id).is_some_and(|history| history.stands.is_some());
    let Some(payment) = fitting.find(|payment| !stands(&payment.id)) else {
        return Ok(match back.remove(&oldest).and_then(|history| history.stands) {
            Some(MoneyBack { kind: Kind::Return, .. }) => RefundResponse::AlreadyReturned,
            Some(MoneyBack { entry_id, .. }) => RefundResponse::AlreadyRefunded { refund_id: entry_id },
            None => RefundResponse::NoSuchPayment,
        });
    };

    let attempt = payment.refund_attempts + 1;
    on_each_backend!(connection, |c| {
        diesel::update(payments::table.find(payment.id)).set(payments::refund_attempts.eq(attempt)).execute(c)
    })?;
    let requested = Amount::from_cents(payment.amount_cents);
    let fate = requested.map(Fate::of);
    if fate.is_some_and(|fate| fate.fails_refund(attempt, rules.refund_failures)) {
        return Ok(RefundResponse::Failed);
    }
    let refund_id = random_id();
    let at_us = connection.now_us()?;
    book::add(
        connection,
        &NewEntry {
            at_us,
            kind: Kind::Refund.name(),
            payment_key: payment.id,
            reference: request.reference.as_str(),
            amount_cents: request.amount.cents(),
            entry_id: &refund_id,
            number: back.get(&payment.id).map_or(0, |history| history.failed_refunds),
        },
    )?;
    if let (true, Some(after_us)) = (fate.is_some_and(|fate| fate.refund_fails_later(attempt)), rules.returned_after_us)
    {
        let (key, cents) = (request.key.as_str(), request.amount.cents());
        notices::schedule_refund_failure(connection, payment.id, key, cents, after_us)?;
    }
    Ok(RefundResponse::Refunded { refund_id })
}

/// Stores a definite response under its key.
fn store(connection: &mut Connection, row_id: i64, response: &RefundResponse) -> Result<()> {
    let (status, refund_id) = match response {
        RefundResponse::Refunded { refund_id } => (REFUNDED, Some(refund_id)),
        RefundResponse::AlreadyRefunded { refund_id } => (ALREADY_REFUNDED, Some(refund_id)),
        RefundResponse::AlreadyReturned => (ALREADY_RETURNED, None),
        _ => return Ok(()),
    };
    on_each_backend!(connection, |c| {
        diesel::update(refunds::table.find(row_id))
            .set((refunds::status.eq(status), refunds::refund_id.eq(refund_id)))
            .execute(c)
    })?;
    Ok(())
}
