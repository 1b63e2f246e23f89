//! From the effects of an input to one write: what is committed together with the saga, and when the saga is worked on
//! next. Nothing here reads or writes; whether a plan's budget covers a reservation is the caller's to answer.

use super::facts::Saga;
use super::input::Effect;
use crate::domain::gateway_call::Call;
use crate::domain::ledger::Transfer;
use claim_events::PaymentEvent;
use std::collections::VecDeque;

/// One write of a saga, with everything that it brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WritePlan {
    /// The saga as it is to be written.
    pub saga: Saga,
    /// Transfers to be booked, in this order.
    pub bookings: Vec<Transfer>,
    /// What is to be taken from the plan's budget whether or not the budget covers it, in cents.
    pub overdraft_cents: i64,
    /// Outcomes to be published.
    pub outcomes: Vec<PaymentEvent>,
    /// The gateway call that follows the commit.
    pub call: Option<Call>,
    /// What an operator must look at.
    pub alarms: Vec<&'static str>,
    retry: Option<Retry>,
    stuck: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Retry {
    attempts: u32,
    retry_after_ms: Option<u64>,
}

/// When a saga is worked on next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextAttempt {
    /// When the lease of the worker that makes the call is over.
    AfterLease,
    /// After the longest pause: it is stuck for this reason.
    Stuck(&'static str),
    /// After a pause that grows with the attempts.
    Retry {
        /// How often it was tried.
        attempts: u32,
        /// The pause that the gateway demands at least, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// Never: it is at rest until something comes to it.
    Never,
    /// At the time that is stored: another worker's call or pause goes on.
    Unchanged,
}

/// Gathers the effects of one write. `covers` answers whether the plan's budget covers a reservation, and takes the amount
/// from the budget where it does; the saga goes on by its answer.
///
/// # Errors
/// Those of `covers`.
pub fn plan<E>(
    (saga, effects): (Saga, Vec<Effect>),
    mut covers: impl FnMut(&Transfer) -> Result<bool, E>,
) -> Result<WritePlan, E> {
    let mut plan = WritePlan {
        saga,
        bookings: Vec::new(),
        overdraft_cents: 0,
        outcomes: Vec::new(),
        call: None,
        alarms: Vec::new(),
        retry: None,
        stuck: None,
    };
    let mut left = VecDeque::from(effects);
    while let Some(effect) = left.pop_front() {
        match effect {
            Effect::Reserve(transfer) => {
                let covered = covers(&transfer)?;
                if covered {
                    plan.bookings.push(transfer);
                }
                let mut more = Vec::new();
                plan.saga.reserved(covered, &mut more);
                left.extend(more);
            }
            Effect::ReserveAnyway(transfer) => {
                plan.overdraft_cents += transfer.amount_cents;
                plan.bookings.push(transfer);
            }
            Effect::Book(transfer) => plan.bookings.push(transfer),
            Effect::Publish(event) => plan.outcomes.push(event),
            Effect::Call(call) => plan.call = Some(call),
            Effect::RetryLater { attempts, retry_after_ms } => plan.retry = Some(Retry { attempts, retry_after_ms }),
            Effect::Stuck(reason) => plan.stuck = Some(reason),
            Effect::Alarm(what) => plan.alarms.push(what),
        }
    }
    Ok(plan)
}

impl WritePlan {
    /// When the saga is worked on next. A call comes first: its lease must hold, whatever else the write brings. What is
    /// stuck waits for the longest pause although it is retried, and what is retried is not at rest.
    pub fn next_attempt(&self) -> NextAttempt {
        if self.call.is_some() {
            NextAttempt::AfterLease
        } else if let Some(reason) = self.stuck {
            NextAttempt::Stuck(reason)
        } else if let Some(Retry { attempts, retry_after_ms }) = self.retry {
            NextAttempt::Retry { attempts, retry_after_ms }
        } else if self.saga.is_at_rest() {
            NextAttempt::Never
        } else {
            NextAttempt::Unchanged
        }
    }

    /// Whether the saga's row changes. It does not where the write only republishes what `stored` holds; but a saga at rest
    /// must not stay due, or it would be taken up again and again.
    pub fn changes_row(&self, stored: Option<&Saga>, is_due: bool) -> bool {
        let Self { saga, bookings, overdraft_cents: _, outcomes: _, call, alarms, retry, stuck } = self;
        let only_republishes = stored == Some(saga)
            && bookings.is_empty()
            && call.is_none()
            && alarms.is_empty()
            && retry.is_none()
            && stuck.is_none();
        !only_republishes || (is_due && saga.is_at_rest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ledger::Kind;
    use crate::domain::restore_marker::RestoreMarker;
    use crate::domain::saga::fixture::{intended, update};
    use crate::domain::saga::{Disbursement, Input, PayAnswer, Reservation, advance, begin};
    use std::convert::Infallible;

    fn planned(result: (Saga, Vec<Effect>), covered: bool) -> WritePlan {
        let Ok(plan) = plan(result, |_| Ok::<_, Infallible>(covered));
        plan
    }

    fn call() -> Effect {
        Effect::Call(Call::LookUp { key: "key".into(), reference: "claim".into() })
    }

    fn settled() -> Saga {
        advance(intended(None), Input::PayAnswer(PayAnswer::Approved { amount_cents: 100 })).0
    }

    const RETRY: Effect = Effect::RetryLater { attempts: 3, retry_after_ms: Some(7) };

    #[test]
    fn the_saga_goes_on_by_what_the_budget_covers() {
        let begun = || begin(&update(None), RestoreMarker::default());
        let covered = planned(begun(), true);
        let kinds = |plan: &WritePlan| plan.bookings.iter().map(|transfer| transfer.kind).collect::<Vec<_>>();
        assert_eq!((kinds(&covered), covered.saga.reservation), (vec![Kind::Reserve], Reservation::Pending));
        assert!(matches!(covered.call, Some(Call::Pay { .. })) && covered.outcomes.is_empty(), "{covered:?}");
        let refused = planned(begun(), false);
        assert_eq!((kinds(&refused), refused.saga.reservation), (vec![], Reservation::Refused));
        assert!(refused.call.is_none(), "{refused:?}");
        assert!(matches!(refused.outcomes[..], [PaymentEvent::Unwound(_)]), "{refused:?}");
    }

    #[test]
    fn no_budget_can_refuse_what_was_paid_before_a_restore() {
        let reserve = intended(None).parties().transfer(Kind::Reserve, 100);
        let post = intended(None).parties().transfer(Kind::Post, 100);
        let effects = vec![Effect::ReserveAnyway(reserve.clone()), Effect::Book(post.clone())];
        let Ok(plan) =
            plan((intended(None), effects), |_| -> Result<bool, Infallible> { panic!("the budget was asked") });
        assert_eq!((plan.overdraft_cents, plan.bookings), (100, vec![reserve, post]));
    }

    #[test]
    fn an_error_of_the_budget_ends_the_plan() {
        let result = plan(begin(&update(None), RestoreMarker::default()), |_| Err("away"));
        assert_eq!(result, Err("away"));
    }

    #[test]
    fn a_call_comes_before_being_stuck_before_a_retry_before_rest() {
        let retry = NextAttempt::Retry { attempts: 3, retry_after_ms: Some(7) };
        for (saga, effects, next) in [
            (settled(), vec![RETRY, Effect::Stuck("why"), call()], NextAttempt::AfterLease),
            (settled(), vec![call(), Effect::Stuck("why")], NextAttempt::AfterLease),
            (settled(), vec![call(), RETRY], NextAttempt::AfterLease),
            (settled(), vec![Effect::Stuck("why"), RETRY], NextAttempt::Stuck("why")),
            (settled(), vec![RETRY], retry),
            (settled(), vec![], NextAttempt::Never),
            (intended(None), vec![RETRY], retry),
            (intended(None), vec![], NextAttempt::Unchanged),
        ] {
            let plan = planned((saga, effects.clone()), true);
            assert_eq!(plan.next_attempt(), next, "{effects:?}");
        }
    }

    #[test]
    fn only_a_republish_leaves_the_row_as_it_is() {
        let publish = || settled().publication().expect("it has an outcome");
        let post = || Effect::Book(intended(None).parties().transfer(Kind::Post, 100));
        let other = || Saga { disbursement: Disbursement::Returned, ..settled() };
        for (before, effects, is_due, changes) in [
            (Some(settled()), vec![], false, false),
            (Some(settled()), vec![publish()], false, false),
            (Some(settled()), vec![publish()], true, true),
            (None, vec![publish()], false, true),
            (Some(other()), vec![publish()], false, true),
            (Some(settled()), vec![post()], false, true),
            (Some(settled()), vec![RETRY], false, true),
            (Some(settled()), vec![call()], false, true),
            (Some(settled()), vec![Effect::Stuck("why")], false, true),
            (Some(settled()), vec![Effect::Alarm("what")], false, true),
        ] {
            let plan = planned((settled(), effects.clone()), true);
            assert_eq!(plan.changes_row(before.as_ref(), is_due), changes, "{effects:?}, due {is_due}");
        }
        // One that is not at rest may stay due.
        let plan = planned((intended(None), vec![]), true);
        assert!(!plan.changes_row(Some(&intended(None)), true));
    }
}
