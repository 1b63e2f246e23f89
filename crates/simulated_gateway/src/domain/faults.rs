//! Faults by chance: how a request fares on its way, and what becomes of a payment, whatever its cents say.
//!
//! Each is drawn from the seed, what is asked, its key and how often that key came: the same requests with the same seed
//! fare the same, in whatever order they come, and none has to be remembered.

use super::fate::Fate;
use super::request::IdempotencyKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use validator::{Validate, ValidationError};

/// What goes wrong by chance, beside the rules by cents; nothing by default.
///
/// The first five apply to requests for payments and refunds; those of them that prevent the work apply to look-ups, too.
/// Whether one does is drawn from the seed, the idempotency key and how often it came, so that a run can be repeated. A key that was paid is paid
/// once, whatever befalls the requests for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "at_most_all"))]
pub struct Faults {
    /// The seed of all chance but that of `throughput`; 1.
    pub seed: u64,
    /// Of the requests, how many are lost: the connection breaks, and nothing is done. In percent, as all that follow; 0.
    pub lost_request_percent: u8,
    /// How many are carried out, and the connection breaks without an answer; 0.
    pub lost_answer_percent: u8,
    /// How many are carried out, and the connection breaks in the middle of the answer's body; 0.
    pub half_answer_percent: u8,
    /// How many are answered 500 or 503, and nothing is done; 0.
    pub server_error_percent: u8,
    /// How many are answered 429 with `Retry-After`, and nothing is done; 0.
    pub too_many_percent: u8,
    /// Of the payments that their cents approve, how many are declined for good: drawn once a key; 0.
    pub decline_percent: u8,
    /// Of these, how many come back later by themselves, as amounts that end in `.53` do; 0.
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
    ]);
    let payments = sum(&[faults.decline_percent, faults.return_percent]);
    if requests <= 100 && payments <= 100 {
        return Ok(());
    }
    let message = "the percentages in faults are too high: lost_request, lost_answer, half_answer, server_error and too_many \
                   befall requests and come to 100 at most together, and so do decline and return, which befall payments";
    Err(ValidationError::new("faults").with_message(message.into()))
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A payment.
    Payment,
    /// A refund.
    Refund,
    /// What became of a reference's payments.
    LookUp,
}

/// Why nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindrance {
    /// The connection breaks.
    RequestLost,
    /// The gateway has an error of its own: status 500.
    Broken,
    /// It is not available: status 503.
    Unavailable,
    /// It asks to be asked later: status 429.
    TooMany,
}

/// What becomes of the answer to something that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// The connection breaks before it.
    Lost,
    /// The connection breaks in its middle.
    Halved,
}

/// How a request fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fared<A> {
    /// It was done, and the answer arrives.
    Answered(A),
    /// It was done, and the answer does not arrive whole.
    Damaged(A, Damage),
    /// It was not done.
    Hindered(Hindrance),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Hindrance(Hindrance),
    Damage(Damage),
}

impl Faults {
    /// Does `work`, or does not, as the `attempt`th request with this name, counted from 1, fares. The name of a payment or
    /// refund is its key, and that of a look-up its reference.
    ///
    /// # Errors
    /// What `work` fails with.
    pub fn fare<A, E>(
        &self,
        asked: Asked,
        name: &str,
        attempt: i64,
        work: impl FnOnce() -> Result<A, E>,
    ) -> Result<Fared<A>, E> {
        Ok(match self.fault(asked, name, attempt) {
            Some(Fault::Hindrance(hindrance)) => Fared::Hindered(hindrance),
            Some(Fault::Damage(damage)) => Fared::Damaged(work()?, damage),
            None => Fared::Answered(work()?),
        })
    }

    /// What is to become of a payment with this key whose amount has this fate. It is drawn once a key, so that coming again
    /// changes nothing.
    pub fn fate(&self, key: &IdempotencyKey, by_cents: Fate) -> Fate {
        if by_cents != Fate::Approved {
            return by_cents;
        }
        let chances = [(self.decline_percent, Fate::Declined), (self.return_percent, Fate::ReturnedLater)];
        pick(self.draw("fate", key.as_str(), 0) % 100, chances).unwrap_or(by_cents)
    }

    fn fault(&self, asked: Asked, name: &str, attempt: i64) -> Option<Fault> {
        let drawn = self.draw(asked.name(), name, attempt);
        let broken = if (drawn / 100).is_multiple_of(2) { Hindrance::Broken } else { Hindrance::Unavailable };
        let chances = [
            (self.lost_request_percent, Fault::Hindrance(Hindrance::RequestLost)),
            (self.server_error_percent, Fault::Hindrance(broken)),
            (self.too_many_percent, Fault::Hindrance(Hindrance::TooMany)),
            (self.lost_answer_percent, Fault::Damage(Damage::Lost)),
            (self.half_answer_percent, Fault::Damage(Damage::Halved)),
        ];
        // A look-up does nothing that its answer could hide.
        pick(drawn % 100, chances).filter(|fault| asked != Asked::LookUp || matches!(fault, Fault::Hindrance(_)))
    }

    fn draw(&self, what: &str, name: &str, attempt: i64) -> u64 {
        let digest = Sha256::digest(format!("{}/{what}/{attempt}/{name}", self.seed));
        digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// What a number below 100 picks, of things with so many percent each.
fn pick<T>(percent: u64, chances: impl IntoIterator<Item = (u8, T)>) -> Option<T> {
    let mut below = 0;
    chances.into_iter().find_map(|(chance, picked)| {
        below += u64::from(chance);
        (percent < below).then_some(picked)
    })
}

impl Asked {
    fn name(self) -> &'static str {
        match self {
            Asked::Payment => "payment",
            Asked::Refund => "refund",
            Asked::LookUp => "look_up",
        }
    }
}

impl<A> Fared<A> {
    /// A name of the fault, for logs and metrics; none where there was none.
    pub fn fault(&self) -> Option<&'static str> {
        match self {
            Fared::Answered(_) => None,
            Fared::Damaged(_, Damage::Lost) => Some("answer_lost"),
            Fared::Damaged(_, Damage::Halved) => Some("answer_halved"),
            Fared::Hindered(Hindrance::RequestLost) => Some("request_lost"),
            Fared::Hindered(Hindrance::Broken | Hindrance::Unavailable) => Some("server_error"),
            Fared::Hindered(Hindrance::TooMany) => Some("too_many"),
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
        decline_percent: 30,
        return_percent: 20,
    };

    fn fared(faults: &Faults, asked: Asked, name: &str, attempt: i64) -> Fared<()> {
        faults.fare(asked, name, attempt, || Ok::<_, ()>(())).unwrap()
    }

    /// How often what befell ten thousand requests, in percent.
    fn befell(faults: &Faults, asked: Asked) -> BTreeMap<&'static str, i32> {
        let mut befell = BTreeMap::new();
        for n in 0..10_000 {
            let fault = fared(faults, asked, &format!("claim{}.disburse", n / 4), 1 + n % 4).fault();
            *befell.entry(fault.unwrap_or("none")).or_insert(0) += 1;
        }
        befell.into_iter().map(|(fault, times)| (fault, (times + 50) / 100)).collect()
    }

    fn fates(faults: &Faults) -> Vec<Fate> {
        let key = |n| IdempotencyKey::parse(&format!("claim{n}.disburse")).unwrap();
        (0..10_000).map(|n| faults.fate(&key(n), Fate::Approved)).collect()
    }

    #[test]
    fn without_percentages_nothing_goes_wrong() {
        for asked in [Asked::Payment, Asked::Refund, Asked::LookUp] {
            assert_eq!(befell(&Faults { seed: 7, ..Faults::default() }, asked), [("none", 100)].into());
        }
        assert!(fates(&Faults::default()).iter().all(|fate| *fate == Fate::Approved));
    }

    #[test]
    fn each_fault_comes_about_as_often_as_is_set() {
        let wanted =
            [("request_lost", 10), ("server_error", 10), ("too_many", 5), ("answer_lost", 20), ("answer_halved", 5)];
        for asked in [Asked::Payment, Asked::Refund] {
            let befell = befell(&ALL, asked);
            for (fault, percent) in wanted {
                assert!((befell[fault] - percent).abs() <= 1, "{fault}: {befell:?}");
            }
        }
        let fates = fates(&ALL);
        let percent = |wanted| fates.iter().filter(|fate| **fate == wanted).count() / 100;
        assert!((28..=32).contains(&percent(Fate::Declined)), "{}", percent(Fate::Declined));
        assert!((18..=22).contains(&percent(Fate::ReturnedLater)), "{}", percent(Fate::ReturnedLater));
    }

    #[test]
    fn a_look_up_is_hindered_and_its_answer_is_never_damaged() {
        let befell = befell(&ALL, Asked::LookUp);
        assert_eq!(befell.keys().copied().collect::<Vec<_>>(), ["none", "request_lost", "server_error", "too_many"]);
    }

    #[test]
    fn the_same_seed_key_and_attempt_fare_the_same_and_others_do_not() {
        let run = |faults: &Faults, key: &str| -> Vec<_> {
            (1..=100).map(|attempt| fared(faults, Asked::Payment, key, attempt)).collect()
        };
        assert_eq!(run(&ALL, "k1"), run(&ALL, "k1"));
        assert_ne!(run(&ALL, "k1"), run(&ALL, "k2"));
        assert_ne!(run(&ALL, "k1"), run(&Faults { seed: 2, ..ALL }, "k1"));
        assert_ne!(fates(&ALL), fates(&Faults { seed: 2, ..ALL }));
    }

    #[test]
    fn what_is_hindered_is_not_done_and_what_is_damaged_is() {
        let lost = Faults { lost_request_percent: 100, ..Faults::default() };
        let not_done = lost.fare(Asked::Payment, "k", 1, || -> Result<(), ()> { panic!("nothing is done") });
        assert_eq!(not_done, Ok(Fared::Hindered(Hindrance::RequestLost)));
        let unheard = Faults { lost_answer_percent: 100, ..Faults::default() };
        assert_eq!(unheard.fare(Asked::Payment, "k", 1, || Ok::<_, ()>(7)), Ok(Fared::Damaged(7, Damage::Lost)));
        assert_eq!(unheard.fare(Asked::Payment, "k", 1, || Err::<(), _>("gone")), Err("gone"));
    }

    #[test]
    fn chance_leaves_alone_what_the_cents_decide() {
        let all_declined = Faults { decline_percent: 100, ..Faults::default() };
        let key = IdempotencyKey::parse("k").unwrap();
        assert_eq!(all_declined.fate(&key, Fate::Approved), Fate::Declined);
        for by_cents in [Fate::AnswerLost, Fate::RequestLost, Fate::OtherAmount, Fate::ReturnedLater] {
            assert_eq!(all_declined.fate(&key, by_cents), by_cents);
        }
    }
}
