//! When a saga is worked on next, by whom, and whether it is shown as stuck until then. Pure: it changes the row that is about
//! to be written.

use crate::db::sagas::StoredSaga;
use crate::domain::saga::{Inquiry, NextAttempt, Saga, WritePlan};
use crate::settings::SagaSettings;
use dual_db::DueTimes;
use std::time::Duration;
use worker_threads::Backoff;

/// The longest pause that a gateway may demand.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// When sagas are due: at the end of a lease or of a pause.
pub(super) fn due_times(settings: &SagaSettings) -> DueTimes {
    let pause = Duration::from_millis(settings.max_retry_pause_ms);
    // Jitter adds a quarter to a pause.
    let longest = Duration::from_millis(settings.lease_ms).max(pause + pause / 4).max(LONGEST_RETRY_AFTER);
    DueTimes::new("sagas", "next_attempt_at_us", longest)
}

/// Takes over when the planned write is to be followed by the next one. `stored` still holds the saga as it was before;
/// `worker` is the instance that makes the planned call.
pub(super) fn schedule(stored: &mut StoredSaga, plan: &WritePlan, settings: &SagaSettings, worker: &str, now_us: i64) {
    let after = |ms| Some(now_us.saturating_add(dual_db::micros(Duration::from_millis(ms))));
    if plan.saga.failed_refunds != stored.saga.failed_refunds {
        // The answer to a call for the refund that failed must not be taken for that to the next one.
        stored.call_revision = 0;
    }
    match plan.next_attempt() {
        NextAttempt::AfterLease => {
            if plan.saga.waiting() != stored.saga.waiting() {
                // It has got past what it was stuck at.
                stored.stuck_reason = None;
            }
            stored.next_attempt_at_us = after(settings.lease_ms);
            stored.worker = Some(worker.to_owned());
            stored.call_revision = stored.revision + 1;
        }
        NextAttempt::Stuck(reason) => {
            stored.next_attempt_at_us = after(settings.max_retry_pause_ms);
            stored.stuck_reason = Some(reason.to_owned());
        }
        NextAttempt::Retry { attempts, retry_after_ms } => {
            stored.next_attempt_at_us =
                Some(now_us + pause_us(settings, &plan.saga.claim_id, attempts, retry_after_ms));
            // That the gateway does not let us in says nothing of this payment.
            if plan.saga.attempts.unauthorized == 0 {
                stored.stuck_reason = stuck_reason(settings, &plan.saga, attempts, stored.last_answer.as_deref());
            }
        }
        NextAttempt::Never => {
            stored.next_attempt_at_us = None;
            stored.worker = None;
            stored.stuck_reason = None;
            stored.last_answer = None;
        }
        NextAttempt::Unchanged => {}
    }
}

fn stuck_reason(settings: &SagaSettings, saga: &Saga, attempts: u32, last_answer: Option<&str>) -> Option<String> {
    if attempts < settings.stuck_after_attempts {
        return None;
    }
    Some(if saga.waits_for_record() {
        format!(
            "claim_process has not recorded the outcome, which was published {attempts} times; it is still republished"
        )
    } else if saga.inquiry == Inquiry::Pending {
        format!("the gateway had it as pending in {attempts} look-ups; it is still looked up")
    } else {
        let last = last_answer.map(|answer| format!(" (the last: {answer})")).unwrap_or_default();
        format!("the gateway gave no definite answer to {attempts} requests{last}; the request is still being sent")
    })
}

/// The pause before the next attempt, with jitter; never shorter than the gateway demands.
fn pause_us(settings: &SagaSettings, claim_id: &str, attempts: u32, retry_after_ms: Option<u64>) -> i64 {
    let pause = Backoff::from_millis(settings.retry_pause_ms, settings.max_retry_pause_ms)
        .pause_with_jitter(attempts, claim_id);
    dual_db::micros(pause.max(Duration::from_millis(retry_after_ms.unwrap_or(0)).min(LONGEST_RETRY_AFTER)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::restore_marker::RestoreMarker;
    use crate::domain::saga::{self, Attempts, Call, ClaimUpdate, Disbursement, Effect};
    use crate::settings::Settings;
    use std::convert::Infallible;

    const NOW_US: i64 = 1_000_000_000;

    /// A saga that waits for the gateway's answer to its payment.
    fn paying() -> Saga {
        let update = ClaimUpdate {
            claim_id: "claim".into(),
            plan_group: "plan".into(),
            provider_npi: "1497775530".into(),
            amount_cents: 100,
            submitted_at_us: 0,
            version: 1,
            resync_epoch: 0,
            known: None,
            too_late: false,
        };
        planned(saga::begin(&update, RestoreMarker::default())).saga
    }

    fn refunding() -> Saga {
        Saga { disbursement: Disbursement::RefundIntended { amount_cents: 100 }, ..paying() }
    }

    fn planned(result: (Saga, Vec<Effect>)) -> WritePlan {
        let Ok(plan) = saga::plan(result, |_| Ok::<_, Infallible>(true));
        plan
    }

    /// The row of a saga that another worker holds and that is shown as stuck.
    fn stored(saga: Saga) -> StoredSaga {
        StoredSaga {
            saga,
            content_hash: String::new(),
            revision: 5,
            call_revision: 2,
            next_attempt_at_us: Some(7),
            worker: Some("other".into()),
            stuck_reason: Some("before".into()),
            attention_raised: true,
            attention_revision: 4,
            last_answer: Some("503".into()),
            correlation_id: String::new(),
            cause_id: String::new(),
            traceparent: None,
            started_at_us: 0,
            updated_at_us: 0,
        }
    }

    /// What becomes of such a row by a write with these effects: when it is worked on next, counted from now, by whom, under
    /// which call's revision, and why it is stuck.
    fn scheduled(
        before: Saga,
        after: Saga,
        effects: Vec<Effect>,
    ) -> (Option<i64>, Option<String>, i64, Option<String>) {
        let mut stored = stored(before);
        let settings = SagaSettings {
            lease_ms: 10,
            retry_pause_ms: 100,
            max_retry_pause_ms: 1_000,
            stuck_after_attempts: 3,
            ..Settings::default().saga
        };
        schedule(&mut stored, &planned((after, effects)), &settings, "me", NOW_US);
        let StoredSaga { next_attempt_at_us, worker, call_revision, stuck_reason, .. } = stored;
        (next_attempt_at_us.map(|at_us| at_us - NOW_US), worker, call_revision, stuck_reason)
    }

    fn call() -> Effect {
        Effect::Call(Call::LookUp { key: "key".into(), reference: "claim".into() })
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_call_leases_the_saga_and_stays_stuck_only_at_the_same_question() {
        let all = || vec![call(), Effect::Stuck("now"), Effect::RetryLater { attempts: 3, retry_after_ms: None }];
        assert_eq!(scheduled(paying(), paying(), all()), (Some(10_000), text("me"), 6, text("before")));
        assert_eq!(scheduled(paying(), refunding(), all()), (Some(10_000), text("me"), 6, None));
    }

    #[test]
    fn what_is_stuck_waits_for_the_longest_pause_whatever_the_attempts_say() {
        let effects = vec![Effect::Stuck("now"), Effect::RetryLater { attempts: 1, retry_after_ms: None }];
        assert_eq!(scheduled(paying(), paying(), effects), (Some(1_000_000), text("other"), 2, text("now")));
    }

    #[test]
    fn a_retry_is_stuck_only_from_the_bound_on() {
        let retry = |attempts, retry_after_ms| vec![Effect::RetryLater { attempts, retry_after_ms }];
        let (next_us, worker, call_revision, stuck) = scheduled(paying(), paying(), retry(2, None));
        assert!((200_000..250_000).contains(&next_us.unwrap()), "{next_us:?}");
        assert_eq!((worker, call_revision, stuck), (text("other"), 2, None));
        let (_, _, _, stuck) = scheduled(paying(), paying(), retry(3, None));
        assert!(stuck.unwrap().contains("no definite answer to 3 requests (the last: 503)"));
        // The gateway demands more than the pause; it does not shorten one.
        assert_eq!(scheduled(paying(), paying(), retry(2, Some(5_000))).0, Some(5_000_000));
        assert_eq!(scheduled(paying(), paying(), retry(2, Some(1))).0, next_us);
    }

    #[test]
    fn not_being_let_in_makes_nothing_stuck_and_leaves_stuck_what_was() {
        let unauthorized = |after: Saga| Saga { attempts: Attempts { unauthorized: 9, ..after.attempts }, ..after };
        let retry = || vec![Effect::RetryLater { attempts: 9, retry_after_ms: None }];
        let (_, _, _, stuck) = scheduled(paying(), unauthorized(paying()), retry());
        assert_eq!(stuck, text("before"));
    }

    #[test]
    fn what_is_pending_is_shown_as_that_once_it_is_stuck() {
        let retry = vec![Effect::RetryLater { attempts: 3, retry_after_ms: None }];
        let (_, _, _, stuck) = scheduled(paying(), Saga { inquiry: Inquiry::Pending, ..paying() }, retry);
        assert_eq!(stuck, text("the gateway had it as pending in 3 look-ups; it is still looked up"));
    }

    #[test]
    fn no_call_for_a_refund_that_failed_can_be_answered_any_more() {
        let failed = Saga { failed_refunds: 1, ..refunding() };
        assert_eq!(scheduled(refunding(), failed, vec![Effect::Stuck("now")]).2, 0);
    }

    #[test]
    fn a_saga_at_rest_is_never_due_and_one_that_is_not_stays_as_it_is() {
        let unverified = paying().under(RestoreMarker { at_us: 1, restored: true });
        assert_eq!(scheduled(paying(), unverified, vec![]), (None, None, 2, None));
        assert_eq!(scheduled(paying(), paying(), vec![]), (Some(7 - NOW_US), text("other"), 2, text("before")));
    }
}
