//! Random faults: of requests and their responses, and of payments that their cents approve.
//!
//! Each fault is drawn from the seed, the operation, the key and the number of the attempt. So the same requests with the same
//! seed get the same faults in any order, and no draw needs to be stored.

use super::fate::Fate;
use super::request::IdempotencyKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use validator::{Validate, ValidationError};

/// The percentages of random faults, apart from the rules by cents; 0 by default.
///
/// The first six apply to payment and refund requests. Those of them by which a request is not processed apply to look-ups,
/// too. A fault is drawn from the seed, the idempotency key and the number of the attempt, so that a run can be repeated. Each
/// key is paid at most once, whatever faults its requests have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "at_most_all"))]
pub struct Faults {
    /// The seed of all random draws except those of `throughput`; 1.
    pub seed: u64,
    /// Requests that are lost: the connection is closed, and the request is not processed. In percent, as all that follow; 0.
    pub lost_request_percent: u8,
    /// Requests that are processed, and whose connection is closed without a response; 0.
    pub lost_answer_percent: u8,
    /// Requests that are processed, and whose connection is closed in the middle of the response body; 0.
    pub half_answer_percent: u8,
    /// Requests that are not processed, with the status 500 or 503; 0.
    pub server_error_percent: u8,
    /// Requests that are not processed, with the status 429 and `Retry-After`; 0.
    pub too_many_percent: u8,
    /// Requests that are not processed, with the status 401; 0.
    pub unauthorized_percent: u8,
    /// Payments that their cents approve and that are declined for good, drawn once for each key; 0.
    pub decline_percent: u8,
    /// Payments that their cents approve and that are returned later, as amounts that end in `.53` are; 0.
    pub return_percent: u8,
}

fn at_most_all(faults: &Faults) -> Result<(), ValidationError> {
    let sum = |percentages: &[u8]| percentages.iter().map(|percent| u32::from(*percent)).sum::<u32>();
    let requests = sum(&[
        faults.lost_request_percent,
        faults.lost_answer_percent,
        faults.half_answer_percent,
        faults.server_error_percent,
        faults.too_many_percent,
        faults.unauthorized_percent,
    ]);
    let payments = sum(&[faults.decline_percent, faults.return_percent]);
    if requests <= 100 && payments <= 100 {
        return Ok(());
    }
    let message = "the percentages in faults are too high: the sum of lost_request, lost_answer, half_answer, server_error, \
                   too_many and unauthorized must be at most 100, and so must the sum of decline and return";
    Err(ValidationError::new("faults").with_message(message.into()))
}

/// The operation of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A payment.
    Payment,
    /// A refund.
    Refund,
    /// A look-up of the payments of a reference.
    LookUp,
}

/// A fault by which a request is not processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestFault {
    /// The connection is closed.
    Lost,
    /// Status 500.
    InternalError,
    /// Status 503.
    Unavailable,
    /// Status 429.
    TooManyRequests,
    /// Status 401.
    Unauthorized,
}

/// A fault of the response to a request that was processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFault {
    /// The connection is closed before the response.
    Lost,
    /// The connection is closed in the middle of the response.
    Truncated,
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<A> {
    /// It was processed, and the response is sent.
    Processed(A),
    /// It was processed, and the response is lost or truncated.
    Damaged(A, ResponseFault),
    /// It was not processed.
    NotProcessed(RequestFault),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Request(RequestFault),
    Response(ResponseFault),
}

impl Faults {
    /// Runs `work`, unless the fault that is drawn for the `attempt`th request with this name, counted from 1, prevents it. The
    /// name of a payment or refund is its key, and that of a look-up its reference.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn inject<A, E>(
        &self,
        operation: Operation,
        name: &str,
        attempt: i64,
        work: impl FnOnce() -> Result<A, E>,
    ) -> Result<Outcome<A>, E> {
        Ok(match self.fault(operation, name, attempt) {
            Some(Fault::Request(fault)) => Outcome::NotProcessed(fault),
            Some(Fault::Response(fault)) => Outcome::Damaged(work()?, fault),
            None => Outcome::Processed(work()?),
        })
    }

    /// The fate of a payment with this key whose amount has the fate `by_cents`. It depends on the key and the seed only, so
    /// that a repeated request has the same fate.
    pub fn fate(&self, key: &IdempotencyKey, by_cents: Fate) -> Fate {
        if by_cents != Fate::Approved {
            return by_cents;
        }
        let chances = [(self.decline_percent, Fate::Declined), (self.return_percent, Fate::ReturnedLater)];
        pick(self.draw("fate", key.as_str(), 0) % 100, chances).unwrap_or(by_cents)
    }

    fn fault(&self, operation: Operation, name: &str, attempt: i64) -> Option<Fault> {
        let drawn = self.draw(operation.name(), name, attempt);
        let even = (drawn / 100).is_multiple_of(2);
        let server_error = if even { RequestFault::InternalError } else { RequestFault::Unavailable };
        let chances = [
            (self.lost_request_percent, Fault::Request(RequestFault::Lost)),
            (self.server_error_percent, Fault::Request(server_error)),
            (self.too_many_percent, Fault::Request(RequestFault::TooManyRequests)),
            (self.unauthorized_percent, Fault::Request(RequestFault::Unauthorized)),
            (self.lost_answer_percent, Fault::Response(ResponseFault::Lost)),
            (self.half_answer_percent, Fault::Response(ResponseFault::Truncated)),
        ];
        // A look-up changes nothing, so to lose its response is the same as to lose the request.
        pick(drawn % 100, chances).filter(|fault| operation != Operation::LookUp || matches!(fault, Fault::Request(_)))
    }

    fn draw(&self, what: &str, name: &str, attempt: i64) -> u64 {
        let digest = Sha256::digest(format!("{}/{what}/{attempt}/{name}", self.seed));
        digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// The item that `percent`, a number below 100, picks from items with their chances in percent.
fn pick<T>(percent: u64, chances: impl IntoIterator<Item = (u8, T)>) -> Option<T> {
    let mut below = 0;
    chances.into_iter().find_map(|(chance, picked)| {
        below += u64::from(chance);
        (percent < below).then_some(picked)
    })
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Payment => "payment",
            Operation::Refund => "refund",
            Operation::LookUp => "look_up",
        }
    }
}

impl<A> Outcome<A> {
    /// The name of the fault in metrics; `None` if there was no fault.
    pub fn fault(&self) -> Option<&'static str> {
        match self {
            Outcome::Processed(_) => None,
            Outcome::Damaged(_, ResponseFault::Lost) => Some("answer_lost"),
            Outcome::Damaged(_, ResponseFault::Truncated) => Some("answer_halved"),
            Outcome::NotProcessed(RequestFault::Lost) => Some("request_lost"),
            Outcome::NotProcessed(RequestFault::InternalError | RequestFault::Unavailable) => Some("server_error"),
            Outcome::NotProcessed(RequestFault::TooManyRequests) => Some("too_many"),
            Outcome::NotProcessed(RequestFault::Unauthorized) => Some("unauthorized"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const ALL: Faults = Faults {
        seed: 1,
        lost_request_percent: 10,
        lost_answer_percent: 20,
        half_answer_percent: 5,
        server_error_percent: 10,
        too_many_percent: 5,
        unauthorized_percent: 5,
        decline_percent: 30,
        return_percent: 20,
    };

    fn outcome(faults: &Faults, operation: Operation, name: &str, attempt: i64) -> Outcome<()> {
        faults.inject(operation, name, attempt, || Ok::<_, ()>(())).unwrap()
    }

    /// The frequency of each fault in ten thousand requests, in percent.
    fn frequencies(faults: &Faults, operation: Operation) -> BTreeMap<&'static str, i32> {
        let mut counts = BTreeMap::new();
        for n in 0..10_000 {
            let fault = outcome(faults, operation, &format!("claim{}.disburse", n / 4), 1 + n % 4).fault();
            *counts.entry(fault.unwrap_or("none")).or_insert(0) += 1;
        }
        counts.into_iter().map(|(fault, times)| (fault, (times + 50) / 100)).collect()
    }

    fn fates(faults: &Faults) -> Vec<Fate> {
        let key = |n| IdempotencyKey::parse(&format!("claim{n}.disburse")).unwrap();
        (0..10_000).map(|n| faults.fate(&key(n), Fate::Approved)).collect()
    }

    #[test]
    fn without_percentages_there_are_no_faults() {
        for operation in [Operation::Payment, Operation::Refund, Operation::LookUp] {
            assert_eq!(frequencies(&Faults { seed: 7, ..Faults::default() }, operation), [("none", 100)].into());
        }
        assert!(fates(&Faults::default()).iter().all(|fate| *fate == Fate::Approved));
    }

    #[test]
    fn each_fault_has_the_frequency_that_is_set() {
        let wanted = [
            ("request_lost", 10),
            ("server_error", 10),
            ("too_many", 5),
            ("unauthorized", 5),
            ("answer_lost", 20),
            ("answer_halved", 5),
        ];
        for operation in [Operation::Payment, Operation::Refund] {
            let found = frequencies(&ALL, operation);
            for (fault, percent) in wanted {
                assert!((found[fault] - percent).abs() <= 1, "{fault}: {found:?}");
            }
        }
        let fates = fates(&ALL);
        let percent = |wanted| fates.iter().filter(|fate| **fate == wanted).count() / 100;
        assert!((28..=32).contains(&percent(Fate::Declined)), "{}", percent(Fate::Declined));
        assert!((18..=22).contains(&percent(Fate::ReturnedLater)), "{}", percent(Fate::ReturnedLater));
    }

    #[test]
    fn a_look_up_has_request_faults_and_no_response_faults() {
        let found = frequencies(&ALL, Operation::LookUp);
        assert_eq!(
            found.keys().copied().collect::<Vec<_>>(),
            ["none", "request_lost", "server_error", "too_many", "unauthorized"]
        );
    }

    #[test]
    fn the_same_seed_key_and_attempt_have_the_same_outcome_and_others_do_not() {
        let run = |faults: &Faults, key: &str| -> Vec<_> {
            (1..=100).map(|attempt| outcome(faults, Operation::Payment, key, attempt)).collect()
        };
        assert_eq!(run(&ALL, "k1"), run(&ALL, "k1"));
        assert_ne!(run(&ALL, "k1"), run(&ALL, "k2"));
        assert_ne!(run(&ALL, "k1"), run(&Faults { seed: 2, ..ALL }, "k1"));
        assert_ne!(fates(&ALL), fates(&Faults { seed: 2, ..ALL }));
    }

    #[test]
    fn a_request_with_a_request_fault_is_not_processed_and_one_with_a_response_fault_is() {
        let lost_request = Faults { lost_request_percent: 100, ..Faults::default() };
        let outcome = lost_request.inject(Operation::Payment, "k", 1, || -> Result<(), ()> { panic!("not processed") });
        assert_eq!(outcome, Ok(Outcome::NotProcessed(RequestFault::Lost)));
        let lost_response = Faults { lost_answer_percent: 100, ..Faults::default() };
        let outcome = lost_response.inject(Operation::Payment, "k", 1, || Ok::<_, ()>(7));
        assert_eq!(outcome, Ok(Outcome::Damaged(7, ResponseFault::Lost)));
        assert_eq!(lost_response.inject(Operation::Payment, "k", 1, || Err::<(), _>("gone")), Err("gone"));
    }

    #[test]
    fn random_fates_apply_only_to_amounts_that_their_cents_approve() {
        let all_declined = Faults { decline_percent: 100, ..Faults::default() };
        let key = IdempotencyKey::parse("k").unwrap();
        assert_eq!(all_declined.fate(&key, Fate::Approved), Fate::Declined);
        for by_cents in [Fate::ResponseLost, Fate::RequestLost, Fate::OtherAmount, Fate::ReturnedLater] {
            assert_eq!(all_declined.fate(&key, by_cents), by_cents);
        }
    }
}
