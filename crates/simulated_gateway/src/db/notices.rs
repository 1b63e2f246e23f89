//! Payments that the payee's bank returns: when, and whether the webhook about it was delivered.

use super::book::{self, NewEntry};
use super::random_id;
use super::schema::{payments, returns};
use crate::domain::book::Kind;
use crate::domain::webhook::Returned;
use diesel::prelude::*;
use dual_db::{Connection, Result, load_skipping_locked, on_each_backend};

/// Schedules the return of a payment at `next_attempt_at_us`, unless it is refunded before.
pub(super) fn schedule(connection: &mut Connection, payment_key: i64, next_attempt_at_us: i64) -> Result<()> {
    let row = (
        returns::payment_key.eq(payment_key),
        returns::event_id.eq(random_id()),
        returns::attempts.eq(0_i64),
        returns::next_attempt_at_us.eq(next_attempt_at_us),
    );
    on_each_backend!(connection, |c| diesel::insert_into(returns::table).values(row).execute(c))?;
    Ok(())
}

/// Books due returns and reads the webhooks that are due, each until [`mark_delivered`]. No other instance takes such a webhook
/// again before `next_attempt_at_us` of the number of its attempts.
pub fn take_due(
    connection: &mut Connection,
    now_us: i64,
    next_attempt_at_us: impl Fn(i64) -> i64,
    limit: i64,
) -> Result<Vec<Returned>> {
    let due: Vec<(i64, String, i64)> = load_skipping_locked!(
        connection,
        returns::table
            .filter(returns::next_attempt_at_us.le(now_us))
            .order(returns::next_attempt_at_us)
            .limit(limit)
            .select((returns::payment_key, returns::event_id, returns::attempts))
    )?;
    let mut taken = Vec::new();
    for (payment_key, event_id, attempts) in due {
        let payment: (Option<String>, String, Option<i64>) = dual_db::load_for_update!(
            connection,
            payments::table.filter(payments::id.eq(payment_key)).select((
                payments::payment_id,
                payments::reference,
                payments::paid_cents
            ))
        )?
        .pop()
        .unwrap_or_default();
        let (Some(payment_id), reference, Some(amount_cents)) = payment else { continue };
        match book::money_back(connection, &[payment_key])?.remove(&payment_key).map(|back| back.kind) {
            Some(Kind::Refund) => {
                mark_delivered(connection, &event_id)?;
                continue;
            }
            Some(_) => {}
            None => book::add(
                connection,
                &NewEntry {
                    at_us: now_us,
                    kind: Kind::Return.name(),
                    payment_key,
                    reference: &reference,
                    amount_cents,
                    entry_id: &event_id,
                },
            )?,
        }
        on_each_backend!(connection, |c| {
            diesel::update(returns::table.find(payment_key))
                .set((
                    returns::attempts.eq(attempts + 1),
                    returns::next_attempt_at_us.eq(next_attempt_at_us(attempts + 1)),
                ))
                .execute(c)
        })?;
        taken.push(Returned { event_id, payment_id, reference, amount_cents });
    }
    Ok(taken)
}

/// Marks the webhook about a return as delivered, so that it is not sent again.
pub fn mark_delivered(connection: &mut Connection, event_id: &str) -> Result<()> {
    on_each_backend!(connection, |c| {
        diesel::update(returns::table.filter(returns::event_id.eq(event_id)))
            .set(returns::next_attempt_at_us.eq(None::<i64>))
            .execute(c)
    })?;
    Ok(())
}
