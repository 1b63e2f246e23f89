//! Operator actions: checked against where the payment stands, applied and recorded in one transaction.

use super::{Executor, held};
use crate::db::operator_actions::{self, OperatorActionRow};
use crate::db::sagas::StoredSaga;
use crate::domain::saga::{self, ActionKind, Effect, Forced, Input, PaymentState, PlannedCall};
use dual_db::Result;

/// An operator action on a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Tries it again, now, and counts its tries from zero.
    Retry,
    /// Gives the answer that the gateway does not give. Without one it is refused with those that are possible.
    Force(Option<Forced>),
}

/// Who acts, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Why.
    pub reason: String,
    /// Who, as they call themselves.
    pub operator: Option<String>,
    /// From which address.
    pub client: String,
}

/// What became of an operator action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionOutcome {
    /// It is done.
    Done(Vec<PlannedCall>),
    /// There is no such payment.
    NoPayment,
    /// The payment stands where this cannot be done.
    Refused {
        /// Its state.
        state: PaymentState,
        /// Why, and what can be done.
        why: String,
    },
    /// It can be forced, by one of these answers, and none was given.
    AnswerMissing(&'static [Forced]),
}

impl Action {
    fn kind(self) -> ActionKind {
        match self {
            Action::Retry => ActionKind::Retry,
            Action::Force(_) => ActionKind::Force,
        }
    }
}

impl Executor {
    /// Applies an operator action to a claim's payment.
    ///
    /// # Errors
    /// The database's; nothing was done then.
    pub fn act(&self, claim_id: &str, action: Action, actor: &Actor) -> Result<ActionOutcome> {
        let mut outcome = ActionOutcome::NoPayment;
        let calls = self.commit(|connection, now, out| {
            let mut known = held(connection, [claim_id].into_iter(), now)?;
            let Some(stored) = known.get_mut(claim_id) else {
                outcome = ActionOutcome::NoPayment;
                return Ok(());
            };
            self.choose_call(stored, now);
            let state_before = stored.state();
            let input = match allowed(action, stored) {
                Ok(input) => input,
                Err(refusal) => {
                    outcome = refusal;
                    return Ok(());
                }
            };
            let answer = if let Input::Forced(answer) = input { Some(answer.to_string()) } else { None };
            let result = saga::advance(stored.saga.clone(), input);
            if result.1.iter().any(|effect| matches!(effect, Effect::Stuck(_))) {
                let why = "that contradicts what is known of this payment: look at its transfers".to_owned();
                outcome = ActionOutcome::Refused { state: state_before, why };
                return Ok(());
            }
            stored.stuck_reason = None;
            self.apply_effects(connection, stored, result, now, out)?;
            let row = OperatorActionRow {
                claim_id: claim_id.to_owned(),
                action: action.kind(),
                answer,
                reason: actor.reason.clone(),
                operator: actor.operator.clone(),
                client: actor.client.clone(),
                state_before: state_before.to_string(),
                state_after: stored.state().to_string(),
                at_us: now.us,
            };
            operator_actions::insert(connection, &row)?;
            self.apply_waiting_returns(connection, &mut known, now, out)?;
            outcome = ActionOutcome::Done(Vec::new());
            Ok(())
        })?;
        if let ActionOutcome::Done(_) = outcome {
            metrics::counter!("operator_actions_total", "action" => action.kind().as_str()).increment(1);
            tracing::warn!(claim_id, action = action.kind().as_str(), client = actor.client, "operator action applied");
            outcome = ActionOutcome::Done(calls);
        }
        Ok(outcome)
    }
}

/// The input that the action is for this saga, or its refusal.
fn allowed(action: Action, stored: &StoredSaga) -> std::result::Result<Input, ActionOutcome> {
    let saga = &stored.saga;
    let state = stored.state();
    let refused = |why: String| Err(ActionOutcome::Refused { state, why: format!("the payment is {state}{why}") });
    let is_stuck = stored.stuck_reason.is_some();
    if saga.is_at_rest() {
        let next = if state == PaymentState::Unverified {
            "; it waits until its claim is reannounced: run 'claim_process reannounce'"
        } else {
            "; nothing is left to do"
        };
        return refused(next.to_owned());
    }
    let Action::Force(answer) = action else { return Ok(Input::Retried { is_stuck }) };
    let Some(waiting) = saga.waiting().filter(|_| saga.may_be_forced(is_stuck)) else {
        let why = ", and only one that is stuck, or was retried while it was, and waits for the gateway can be forced: it goes on \
                   by itself";
        return refused(why.to_owned());
    };
    // The retry may succeed: an operator's answer does not compete with the gateway's.
    if !is_stuck && stored.has_call_in_hand() {
        let why = ", and a call to the gateway is in progress after the retry: force it once that call has ended without a \
                   definite answer";
        return refused(why.to_owned());
    }
    let possible = waiting.answers();
    match answer {
        None => Err(ActionOutcome::AnswerMissing(possible)),
        Some(answer) if possible.contains(&answer) => Ok(Input::Forced(answer)),
        Some(_) => refused(format!(
            ", and waits to learn {}: answer must be one of {}",
            waiting.description(),
            Forced::names(possible)
        )),
    }
}
