//! Refunds by idempotency key. Money comes back once a payment, whatever the keys and whoever sends it back.

use super::book::{self, MoneyBack, NewEntry};
use super::payments::APPROVED;
use super::random_id;
use super::schema::{payments, refunds};
use crate::domain::answer::RefundAnswer;
use crate::domain::book::Kind;
use crate::domain::fate::Fate;
use crate::domain::faults::{Asked, Fared};
use crate::domain::request::{Amount, RefundRequest};
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
}

impl Row {
    fn definite_answer(self) -> Option<RefundAnswer> {
        match (self.status.as_str(), self.refund_id) {
            (REFUNDED, Some(refund_id)) => Some(RefundAnswer::Refunded { refund_id }),
            (ALREADY_REFUNDED, Some(refund_id)) => Some(RefundAnswer::AlreadyRefunded { refund_id }),
            (ALREADY_RETURNED, _) => Some(RefundAnswer::AlreadyReturned),
            _ => None,
        }
    }
}

/// A payment that was made, as a refund needs it.
#[derive(Queryable, Selectable)]
#[diesel(table_name = payments)]
struct PaidRow {
    id: i64,
    amount_cents: i64,
    paid_cents: Option<i64>,
    refund_attempts: i64,
}

/// Answers a request for a refund, inside the caller's transaction.
///
/// Only a request that fits a payment is remembered under its key; the others may come again, corrected. Nothing goes wrong
/// with these by chance.
pub fn refund(connection: &mut Connection, request: &RefundRequest, rules: &Rules) -> Result<Fared<RefundAnswer>> {
    let payments = lock_payments(connection, request)?;
    let refused = |answer| Ok(Fared::Answered(answer));
    let Some(known) = is_known(connection, request)? else { return refused(RefundAnswer::KeyReused) };
    if !known {
        // A key that was remembered before has found its payment before.
        if payments.is_empty() {
            return refused(RefundAnswer::NoSuchPayment);
        }
        if !payments.iter().any(|payment| payment.paid_cents == Some(request.amount.cents())) {
            return refused(RefundAnswer::OtherAmount);
        }
    }
    let Some(row) = count_attempt(connection, request)? else { return refused(RefundAnswer::KeyReused) };
    let (row_id, attempt) = (row.id, row.attempts);
    rules.faults.fare(Asked::Refund, request.key.as_str(), attempt, || {
        if let Some(answer) = row.definite_answer() {
            return Ok(answer);
        }
        let answer = pay_back(connection, request, &payments, rules.refund_failures)?;
        remember(connection, row_id, &answer)?;
        Ok(answer)
    })
}

/// The payments of the request's reference, held until the transaction ends: refunds of one payment queue up here.
fn lock_payments(connection: &mut Connection, request: &RefundRequest) -> Result<Vec<PaidRow>> {
    Ok(load_for_update!(
        connection,
        payments::table
            .filter(payments::reference.eq(request.reference.as_str()).and(payments::status.eq(APPROVED)))
            .order(payments::id)
            .select(PaidRow::as_select())
    )?)
}

/// Whether the key is remembered; `None` when it is for something else.
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

/// Notes the key, or that it came again. `None` when it was used for something else in the meantime.
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

/// Pays back the oldest payment of that amount whose money is not back yet.
fn pay_back(
    connection: &mut Connection,
    request: &RefundRequest,
    paid: &[PaidRow],
    refund_failures: u32,
) -> Result<RefundAnswer> {
    let keys: Vec<i64> = paid.iter().map(|payment| payment.id).collect();
    let mut back = book::money_back(connection, &keys)?;
    let mut fitting = paid.iter().filter(|payment| payment.paid_cents == Some(request.amount.cents())).peekable();
    let Some(oldest) = fitting.peek().map(|payment| payment.id) else { return Ok(RefundAnswer::NoSuchPayment) };
    let Some(payment) = fitting.find(|payment| !back.contains_key(&payment.id)) else {
        return Ok(match back.remove(&oldest) {
            Some(MoneyBack { kind: Kind::Return, .. }) => RefundAnswer::AlreadyReturned,
            Some(MoneyBack { entry_id, .. }) => RefundAnswer::AlreadyRefunded { refund_id: entry_id },
            None => RefundAnswer::NoSuchPayment,
        });
    };

    let attempt = payment.refund_attempts + 1;
    on_each_backend!(connection, |c| {
        diesel::update(payments::table.find(payment.id)).set(payments::refund_attempts.eq(attempt)).execute(c)
    })?;
    let asked = Amount::from_cents(payment.amount_cents);
    if asked.is_some_and(|asked| Fate::of(asked).fails_refund(attempt, refund_failures)) {
        return Ok(RefundAnswer::Failed);
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
        },
    )?;
    Ok(RefundAnswer::Refunded { refund_id })
}

/// Stores a definite answer under its key.
fn remember(connection: &mut Connection, row_id: i64, answer: &RefundAnswer) -> Result<()> {
    let (status, refund_id) = match answer {
        RefundAnswer::Refunded { refund_id } => (REFUNDED, Some(refund_id)),
        RefundAnswer::AlreadyRefunded { refund_id } => (ALREADY_REFUNDED, Some(refund_id)),
        RefundAnswer::AlreadyReturned => (ALREADY_RETURNED, None),
        _ => return Ok(()),
    };
    on_each_backend!(connection, |c| {
        diesel::update(refunds::table.find(row_id))
            .set((refunds::status.eq(status), refunds::refund_id.eq(refund_id)))
            .execute(c)
    })?;
    Ok(())
}
