//! What the gateway reports by webhooks: payments that the payee's bank returns, and refunds that fail after they were approved.
//! Each is booked when it is due, and its webhook is sent until it is delivered.

use super::book::{self, NewEntry};
use super::random_id;
use super::schema::{notices, payments, refunds};
use crate::domain::book::Kind;
use crate::domain::webhook::{Event, Notice};
use diesel::prelude::*;
use dual_db::{Connection, Result, load_skipping_locked, on_each_backend};

#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = notices, treat_none_as_default_value = false)]
struct Row {
    event_id: String,
    payment_key: i64,
    kind: String,
    amount_cents: i64,
    refund_key: Option<String>,
    attempts: i64,
    next_attempt_at_us: Option<i64>,
}

/// Schedules the return of a payment in these parts, `after_us` after now and after each other, unless it is refunded before.
pub(super) fn schedule_return(
    connection: &mut Connection,
    payment_key: i64,
    parts: &[i64],
    after_us: i64,
) -> Result<()> {
    let mut at_us = connection.now_us()?;
    for amount_cents in parts {
        at_us += after_us;
        let event = Event::PaymentReturned;
        schedule(connection, &row(payment_key, &event, *amount_cents, at_us))?;
    }
    Ok(())
}

/// Schedules that the refund with this key fails.
pub(super) fn schedule_refund_failure(
    connection: &mut Connection,
    payment_key: i64,
    refund_key: &str,
    amount_cents: i64,
    after_us: i64,
) -> Result<()> {
    let at_us = connection.now_us()? + after_us;
    let event = Event::RefundFailed { key: refund_key.to_owned() };
    schedule(connection, &row(payment_key, &event, amount_cents, at_us))
}

fn row(payment_key: i64, event: &Event, amount_cents: i64, at_us: i64) -> Row {
    Row {
        event_id: random_id(),
        payment_key,
        kind: event.name().to_owned(),
        amount_cents,
        refund_key: if let Event::RefundFailed { key } = event { Some(key.clone()) } else { None },
        attempts: 0,
        next_attempt_at_us: Some(at_us),
    }
}

fn schedule(connection: &mut Connection, row: &Row) -> Result<()> {
    on_each_backend!(connection, |c| diesel::insert_into(notices::table).values(row).execute(c))?;
    Ok(())
}

/// Books what is due and reads the webhooks that are due, each until [`mark_delivered`]. No other instance takes such a webhook
/// again before `next_attempt_at_us` of the number of its attempts.
pub fn take_due(
    connection: &mut Connection,
    now_us: i64,
    next_attempt_at_us: impl Fn(i64) -> i64,
    limit: i64,
) -> Result<Vec<Notice>> {
    let due: Vec<Row> = load_skipping_locked!(
        connection,
        notices::table
            .filter(notices::next_attempt_at_us.le(now_us))
            .order(notices::next_attempt_at_us)
            .limit(limit)
            .select(Row::as_select())
    )?;
    let mut taken = Vec::new();
    for row in due {
        let payment: (Option<String>, String, i64) = dual_db::load_for_update!(
            connection,
            payments::table.filter(payments::id.eq(row.payment_key)).select((
                payments::payment_id,
                payments::reference,
                payments::amount_cents
            ))
        )?
        .pop()
        .unwrap_or_default();
        let (Some(payment_id), reference, requested_cents) = payment else { continue };
        let event = match row.refund_key.clone() {
            Some(key) => Event::RefundFailed { key },
            None => Event::PaymentReturned,
        };
        let has_happened = match &event {
            Event::PaymentReturned => return_payment(connection, &row, &reference, requested_cents, now_us)?,
            Event::RefundFailed { key } => fail_refund(connection, &row, key, &reference, now_us)?,
        };
        if !has_happened {
            mark_delivered(connection, &row.event_id)?;
            continue;
        }
        on_each_backend!(connection, |c| {
            diesel::update(notices::table.find(&row.event_id))
                .set((
                    notices::attempts.eq(row.attempts + 1),
                    notices::next_attempt_at_us.eq(next_attempt_at_us(row.attempts + 1)),
                ))
                .execute(c)
        })?;
        taken.push(Notice { event_id: row.event_id, event, payment_id, reference, amount_cents: row.amount_cents });
    }
    Ok(taken)
}

/// Returns a whole payment, with its first part; `false` if it was refunded before.
fn return_payment(
    connection: &mut Connection,
    row: &Row,
    reference: &str,
    requested_cents: i64,
    now_us: i64,
) -> Result<bool> {
    let back = book::money_back(connection, &[row.payment_key])?.remove(&row.payment_key).unwrap_or_default();
    match back.stands.map(|stands| stands.kind) {
        Some(Kind::Return) => return Ok(true),
        Some(_) => return Ok(false),
        None => {}
    }
    let parts = parts_of(row, requested_cents);
    for (number, amount_cents) in (0..).zip(parts) {
        let entry_id = if number == 0 { row.event_id.clone() } else { random_id() };
        let entry = NewEntry {
            at_us: now_us,
            kind: Kind::Return.name(),
            payment_key: row.payment_key,
            reference,
            amount_cents,
            entry_id: &entry_id,
            number,
        };
        book::add(connection, &entry)?;
    }
    Ok(true)
}

/// The parts of a return whose first part is due.
fn parts_of(row: &Row, paid_cents: i64) -> Vec<i64> {
    if row.amount_cents < paid_cents {
        vec![row.amount_cents, paid_cents - row.amount_cents]
    } else {
        vec![row.amount_cents]
    }
}

/// Takes back the refund with this key, once.
fn fail_refund(connection: &mut Connection, row: &Row, key: &str, reference: &str, now_us: i64) -> Result<bool> {
    let failed = on_each_backend!(connection, |c| {
        diesel::update(refunds::table)
            .filter(refunds::idempotency_key.eq(key).and(refunds::failed_at_us.is_null()))
            .set(refunds::failed_at_us.eq(now_us))
            .execute(c)
    })?;
    if failed == 1 {
        let back = book::money_back(connection, &[row.payment_key])?.remove(&row.payment_key).unwrap_or_default();
        let entry = NewEntry {
            at_us: now_us,
            kind: Kind::RefundFailed.name(),
            payment_key: row.payment_key,
            reference,
            amount_cents: row.amount_cents,
            entry_id: &row.event_id,
            number: back.failed_refunds,
        };
        book::add(connection, &entry)?;
    }
    Ok(true)
}

/// Marks a webhook as delivered, so that it is not sent again.
pub fn mark_delivered(connection: &mut Connection, event_id: &str) -> Result<()> {
    on_each_backend!(connection, |c| {
        diesel::update(notices::table.filter(notices::event_id.eq(event_id)))
            .set(notices::next_attempt_at_us.eq(None::<i64>))
            .execute(c)
    })?;
    Ok(())
}
