//! The queue in front of the book and the thread that empties it: group commit.
//!
//! The thread takes all requests that wait, so that concurrent payers share the cost of a commit, which is high beside that of a
//! row. Under load the groups are spaced out; after a rest a request waits for no other. A request is answered after the commit of
//! its group.

use crate::db::group::{self, Outcomes};
use crate::domain::faults::Outcome;
use crate::domain::request::{PaymentRequest, RefundRequest};
use crate::domain::response::{PaymentResponse, RefundResponse};
use crate::domain::rules::Rules;
use crate::settings::BehaviourSettings;

use dual_db::{Database, Error};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use worker_threads::Spacing;

/// Why a request has no outcome: its group was not committed, as far as the gateway knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotCommitted {
    /// The database is not available.
    Unavailable,
    /// The database refuses a row, or the writer has ended.
    Failed,
}

/// The outcome of a request, once its group is committed.
type Answer<R> = oneshot::Sender<Result<Outcome<R>, NotCommitted>>;

#[derive(Debug)]
enum Waiting {
    Payment(PaymentRequest, Answer<PaymentResponse>, OwnedSemaphorePermit),
    Refund(RefundRequest, Answer<RefundResponse>, OwnedSemaphorePermit),
}

/// The way to the writer, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Writer(mpsc::Sender<Waiting>);

impl Writer {
    /// Starts the thread. At most as many requests wait or are processed as the gateway has capacity for.
    pub fn start(database: Database, rules: Rules, settings: &BehaviourSettings) -> Self {
        let capacity = settings.capacity;
        let mut spacing = Spacing::new(Duration::from_millis(settings.commit_interval_ms));
        let (sender, mut waiting) = mpsc::channel(capacity);
        worker_threads::spawn("book writer", move || {
            while let Some(first) = waiting.blocking_recv() {
                std::thread::sleep(spacing.wait(Instant::now()));
                spacing.begin(Instant::now());
                let mut group = vec![first];
                while let Ok(next) = waiting.try_recv() {
                    group.push(next);
                }
                metrics::histogram!("gateway_group_requests").record(u32::try_from(group.len()).unwrap_or(u32::MAX));
                Group::of(group).process(&database, &rules);
            }
        });
        Self(sender)
    }

    /// Pays, or repeats the definite response of the request's key. The payment goes on if this is dropped.
    ///
    /// # Errors
    /// [`NotCommitted`]: the payment may have been made nevertheless, as the response to a COMMIT can be lost.
    pub async fn pay(
        &self,
        request: PaymentRequest,
        permit: OwnedSemaphorePermit,
    ) -> Result<Outcome<PaymentResponse>, NotCommitted> {
        self.answered(|answer| Waiting::Payment(request, answer, permit)).await
    }

    /// Refunds, or repeats the definite response of the request's key. The refund goes on if this is dropped.
    ///
    /// # Errors
    /// As [`pay`](Self::pay).
    pub async fn refund(
        &self,
        request: RefundRequest,
        permit: OwnedSemaphorePermit,
    ) -> Result<Outcome<RefundResponse>, NotCommitted> {
        self.answered(|answer| Waiting::Refund(request, answer, permit)).await
    }

    async fn answered<R>(&self, waiting: impl FnOnce(Answer<R>) -> Waiting) -> Result<Outcome<R>, NotCommitted> {
        let (answer, answered) = oneshot::channel();
        self.0.send(waiting(answer)).await.map_err(|_| NotCommitted::Failed)?;
        answered.await.unwrap_or(Err(NotCommitted::Failed))
    }
}

/// Requests that share a transaction, with whom to answer. The permits are freed with it.
#[derive(Default)]
struct Group {
    payments: Vec<PaymentRequest>,
    payers: Vec<Answer<PaymentResponse>>,
    refunds: Vec<RefundRequest>,
    refunded: Vec<Answer<RefundResponse>>,
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Group {
    fn of(waiting: Vec<Waiting>) -> Self {
        let mut group = Self::default();
        for waiting in waiting {
            match waiting {
                Waiting::Payment(request, answer, permit) => {
                    group.payments.push(request);
                    group.payers.push(answer);
                    group._permits.push(permit);
                }
                Waiting::Refund(request, answer, permit) => {
                    group.refunds.push(request);
                    group.refunded.push(answer);
                    group._permits.push(permit);
                }
            }
        }
        group
    }

    fn process(self, database: &Database, rules: &Rules) {
        let (payments, refunds) = match commit(database, &self.payments, &self.refunds, rules) {
            Ok(Outcomes { payments, refunds }) => {
                (payments.into_iter().map(Ok).collect(), refunds.into_iter().map(Ok).collect())
            }
            // A row that the database refuses must not fail its neighbours.
            Err(NotCommitted::Failed) if self.payments.len() + self.refunds.len() > 1 => {
                let payments = self
                    .payments
                    .chunks(1)
                    .map(|one| commit(database, one, &[], rules)?.payments.pop().ok_or(NotCommitted::Failed));
                let refunds = self
                    .refunds
                    .chunks(1)
                    .map(|one| commit(database, &[], one, rules)?.refunds.pop().ok_or(NotCommitted::Failed));
                (payments.collect(), refunds.collect::<Vec<_>>())
            }
            Err(error) => (vec![Err(error); self.payers.len()], vec![Err(error); self.refunded.len()]),
        };
        // A payer that is gone does not need its answer.
        self.payers.into_iter().zip(payments).for_each(|(payer, result)| drop(payer.send(result)));
        self.refunded.into_iter().zip(refunds).for_each(|(payer, result)| drop(payer.send(result)));
    }
}

/// Processes requests in one transaction.
fn commit(
    database: &Database,
    payments: &[PaymentRequest],
    refunds: &[RefundRequest],
    rules: &Rules,
) -> Result<Outcomes, NotCommitted> {
    database.write(|connection| group::process(connection, payments, refunds, rules)).map_err(|error| match error {
        Error::Unavailable(_) | Error::Failed(_) | Error::Conflict => {
            tracing::warn!(%error, "database of the book unavailable");
            NotCommitted::Unavailable
        }
        Error::Query(_) => {
            tracing::error!(error = &error as &dyn std::error::Error, "database query failed");
            NotCommitted::Failed
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::MIGRATIONS;
    use crate::domain::request::{Amount, IdempotencyKey, Payee, Reference};
    use crate::settings::Settings;
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use test_support::{count, execute, fail_commits, let_commits_succeed, number, on_both_databases};
    use tokio::sync::Semaphore;

    const CALLS: usize = 40;

    fn payment(n: usize) -> PaymentRequest {
        PaymentRequest {
            key: IdempotencyKey::parse(&format!("k{n}")).unwrap(),
            reference: Reference::parse(&format!("c{n}")).unwrap(),
            amount: Amount::from_cents(1_000 + i64::try_from(n).unwrap() * 200).unwrap(),
            payee: Payee::parse("1497775530").unwrap(),
        }
    }

    /// The results of payments that wait while no transaction of the writer can begin, by their numbers.
    fn pay_together(database: &Database) -> Vec<Result<Outcome<PaymentResponse>, NotCommitted>> {
        let (release, released) = channel::<()>();
        let (locked, lock) = channel();
        let other = database.clone();
        let holding = std::thread::spawn(move || {
            other.write(|connection| {
                if let dual_db::Connection::Postgres(_) = connection {
                    execute(connection, "LOCK TABLE payments IN EXCLUSIVE MODE")?;
                }
                locked.send(()).unwrap();
                let _ = released.recv();
                Ok(())
            })
        });
        lock.recv().unwrap();
        let settings = Settings::default();
        let writer = Writer::start(database.clone(), settings.rules(), &settings.behaviour);
        let permits = Arc::new(Semaphore::new(CALLS));
        let waiting: Vec<_> = (0..CALLS)
            .map(|n| {
                let (answer, answered) = oneshot::channel();
                let permit = Arc::clone(&permits).try_acquire_owned().unwrap();
                writer.0.try_send(Waiting::Payment(payment(n), answer, permit)).unwrap();
                answered
            })
            .collect();
        drop(release);
        holding.join().unwrap().unwrap();
        waiting.into_iter().map(|answered| answered.blocking_recv().unwrap()).collect()
    }

    fn is_approved(result: &Result<Outcome<PaymentResponse>, NotCommitted>) -> bool {
        matches!(result, Ok(Outcome::Processed(PaymentResponse::Approved { .. })))
    }

    on_both_databases! {
        fn concurrent_calls_share_a_commit(database: &Database) {
            database.migrate(&[&MIGRATIONS]).unwrap();
            let results = pay_together(database);
            assert!(results.iter().all(is_approved), "{results:?}");
            assert_eq!(count(database, "book"), 40);
            // The entries of a transaction have one time. The first calls may have waited for the lock without the others.
            let commits = number(database, "SELECT COUNT(DISTINCT at_us) AS n FROM book");
            assert!((1..=2).contains(&commits), "{commits} commits");
        }

        fn a_group_whose_commit_fails_answers_none_of_its_calls_as_made(database: &Database) {
            database.migrate(&[&MIGRATIONS]).unwrap();
            fail_commits(database, "payments", "true");
            let results = pay_together(database);
            assert!(results.iter().all(|result| *result == Err(NotCommitted::Failed)), "{results:?}");
            assert_eq!(count(database, "book"), 0);
            let_commits_succeed(database, "payments");
            // The keys are free, and each is paid once.
            assert!(pay_together(database).iter().all(is_approved));
            assert!(pay_together(database).iter().all(is_approved));
            assert_eq!(count(database, "book"), 40);
        }

        fn a_call_that_the_database_refuses_does_not_fail_its_neighbours(database: &Database) {
            database.migrate(&[&MIGRATIONS]).unwrap();
            fail_commits(database, "payments", "NEW.idempotency_key = 'k10'");
            let results = pay_together(database);
            assert_eq!(results[10], Err(NotCommitted::Failed));
            assert_eq!(results.iter().filter(|result| is_approved(result)).count(), 39, "{results:?}");
            assert_eq!(count(database, "book"), 39);
        }
    }
}
