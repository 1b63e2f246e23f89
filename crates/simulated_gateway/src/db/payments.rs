//! Payments by idempotency key: the request, the number of attempts, and the definite response.

use super::book::{self, NewEntry};
use super::returns;
use super::schema::payments;
use super::{MOST_ROWS, random_id};
use crate::domain::book::{Kind, KnownPayment};
use crate::domain::fate::{Fate, Verdict};
use crate::domain::faults::{Operation, Outcome};
use crate::domain::request::PaymentRequest;
use crate::domain::response::PaymentResponse;
use crate::domain::rules::Rules;
use diesel::prelude::*;
use diesel::upsert::excluded;
use dual_db::{Connection, Result, on_each_backend};

/// The values of the column `status`.
pub(super) const OPEN: &str = "open";
pub(super) const APPROVED: &str = "approved";
const DECLINED: &str = "declined";

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
}

impl Row {
    fn definite_response(self) -> Option<PaymentResponse> {
        match (self.payment_id, self.paid_cents) {
            (Some(payment_id), Some(paid_cents)) => Some(PaymentResponse::Approved { payment_id, paid_cents }),
            _ if self.status == DECLINED => Some(PaymentResponse::Declined),
            _ => None,
        }
    }
}

/// Processes a payment request, inside the caller's transaction: counts the attempt, and pays at most once for each key.
pub fn pay(connection: &mut Connection, request: &PaymentRequest, rules: &Rules) -> Result<Outcome<PaymentResponse>> {
    let Some(row) = count_attempt(connection, request)? else {
        return Ok(Outcome::Processed(PaymentResponse::KeyReused));
    };
    let attempt = row.attempts;
    rules.faults.inject(Operation::Payment, request.key.as_str(), attempt, || process(connection, request, row, rules))
}

fn process(connection: &mut Connection, request: &PaymentRequest, row: Row, rules: &Rules) -> Result<PaymentResponse> {
    let (id, attempt) = (row.id, row.attempts);
    if let Some(response) = row.definite_response() {
        return Ok(response);
    }
    let fate = rules.faults.fate(&request.key, Fate::of(request.amount));
    match fate.verdict(request.amount, attempt) {
        Verdict::Approve { paid_cents, response_is_lost } => {
            let response = approve(connection, id, request, paid_cents)?;
            if let (Fate::ReturnedLater, Some(after_us)) = (fate, rules.returned_after_us) {
                let now_us = connection.now_us()?;
                returns::schedule(connection, id, now_us + after_us)?;
            }
            Ok(if response_is_lost { PaymentResponse::Lost } else { response })
        }
        Verdict::Decline => {
            on_each_backend!(connection, |c| {
                diesel::update(payments::table.find(id)).set(payments::status.eq(DECLINED)).execute(c)
            })?;
            Ok(PaymentResponse::Declined)
        }
        Verdict::Throttled => Ok(PaymentResponse::Throttled),
        Verdict::Lose => Ok(PaymentResponse::Lost),
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

fn approve(connection: &mut Connection, id: i64, request: &PaymentRequest, paid_cents: i64) -> Result<PaymentResponse> {
    let payment_id = random_id();
    let at_us = connection.now_us()?;
    on_each_backend!(connection, |c| {
        diesel::update(payments::table.find(id))
            .set((
                payments::status.eq(APPROVED),
                payments::payment_id.eq(Some(&payment_id)),
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
            reference: request.reference.as_str(),
            amount_cents: paid_cents,
            entry_id: &payment_id,
        },
    )?;
    Ok(PaymentResponse::Approved { payment_id, paid_cents })
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
}

/// The payments of a reference that have a definite response, oldest first.
///
/// A missing payment proves nothing: its request may still arrive.
pub fn look_up(connection: &mut Connection, reference: &str) -> Result<Vec<KnownPayment>> {
    let rows: Vec<KnownRow> = on_each_backend!(connection, |c| {
        payments::table
            .filter(payments::reference.eq(reference).and(payments::status.ne(OPEN)))
            .order(payments::id)
            .limit(MOST_ROWS)
            .select(KnownRow::as_select())
            .load(c)
    })?;
    let keys: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let back = book::money_back(connection, &keys)?;
    Ok(rows
        .into_iter()
        .map(|row| KnownPayment {
            payment_id: row.payment_id,
            reference: row.reference,
            idempotency_key: row.idempotency_key,
            amount_cents: row.paid_cents.unwrap_or(row.amount_cents),
            money_back: back.get(&row.id).map(|entry| entry.kind),
        })
        .collect())
}
