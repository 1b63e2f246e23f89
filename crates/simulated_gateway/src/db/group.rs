//! A group of requests that share one transaction.

use super::{first_requests, payments, refunds};
use crate::domain::faults::Outcome;
use crate::domain::request::{PaymentRequest, RefundRequest};
use crate::domain::response::{PaymentResponse, RefundResponse};
use crate::domain::rules::Rules;
use dual_db::{Connection, Result};

/// The outcomes of a group's requests, in their order.
#[derive(Debug)]
pub struct Outcomes {
    /// Of its payments.
    pub payments: Vec<Outcome<PaymentResponse>>,
    /// Of its refunds.
    pub refunds: Vec<Outcome<RefundResponse>>,
}

/// Processes a group, inside the caller's transaction. What is sent for the first time, as nearly all payments are, is stored in
/// one statement; repeats and refunds are processed one by one.
pub fn process(
    connection: &mut Connection,
    payments: &[PaymentRequest],
    refunds: &[RefundRequest],
    rules: &Rules,
) -> Result<Outcomes> {
    let first = first_requests::store(connection, payments, rules)?;
    let paid = payments.iter().zip(first).map(|(request, first)| match first {
        Some(outcome) => Ok(outcome),
        None => payments::pay(connection, request, rules),
    });
    let payments = paid.collect::<Result<_>>()?;
    let refunded = refunds.iter().map(|request| refunds::refund(connection, request, rules));
    Ok(Outcomes { payments, refunds: refunded.collect::<Result<_>>()? })
}
