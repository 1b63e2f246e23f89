//! What operators do: checked against where the payment stands, carried out and written down in one transaction.

use super::{Executor, PlannedCall, held};
use crate::db::operator_actions::{self, OperatorActionRow};
use crate::db::sagas::StoredSaga;
use crate::domain::saga::{self, Effect, Forced, Input, State};
use dual_db::Result;

/// What an operator does about a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Tries it again, now, and counts its tries anew.
    Retry,
    /// Gives the answer that the gateway does not give. Without one it is refused with those that are possible.
    Force(Option<Forced>),
}

/// Who does it, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// Why.
    pub reason: String,
    /// Who, as they call themselves.
    pub operator: Option<String>,
    /// From which address.
    pub client: String,
}

/// What became of an operator's act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acted {
    /// It is done.
    Done(Vec<PlannedCall>),
    /// There is no such payment.
    NoPayment,
    /// The payment stands where this cannot be done.
    Refused {
        /// Its state.
        state: &'static str,
        /// Why, and what can be done.
        why: String,
    },
    /// It can be forced, by one of these answers, and none was given.
    AnswerMissing(&'static [Forced]),
}

impl Act {
    fn name(self) -> &'static str {
        match self {
            Act::Retry => "retry",
            Act::Force(_) => "force",
        }
    }
}

impl Executor {
    /// Does what an operator wants about a claim's payment.
    ///
    /// # Errors
    /// The database's; nothing was done then.
    pub fn act(&self, claim_id: &str, act: Act, by: &By) -> Result<Acted> {
        let mut acted = Acted::NoPayment;
        let calls = self.commit(|connection, now, out| {
            let mut known = held(connection, [claim_id].into_iter(), now)?;
            let Some(stored) = known.get_mut(claim_id) else {
                acted = Acted::NoPayment;
                return Ok(());
            };
            self.heed_age(stored, now);
            let state_before = stored.state_name();
            let input = match allowed(act, stored) {
                Ok(input) => input,
                Err(refusal) => {
                    acted = refusal;
                    return Ok(());
                }
            };
            let answer = if let Input::Forced(answer) = input { Some(answer.name()) } else { None };
            let result = saga::advance(stored.saga.clone(), input);
            if result.1.iter().any(|effect| matches!(effect, Effect::Stuck(_))) {
                let why = "that contradicts what is known of this payment: look at its transfers".to_owned();
                acted = Acted::Refused { state: state_before, why };
                return Ok(());
            }
            stored.stuck_reason = None;
            self.apply_effects(connection, stored, result, now, out)?;
            let row = OperatorActionRow {
                claim_id: claim_id.to_owned(),
                action: act.name().to_owned(),
                answer: answer.map(str::to_owned),
                reason: by.reason.clone(),
                operator: by.operator.clone(),
                client: by.client.clone(),
                state_before: state_before.to_owned(),
                state_after: stored.state_name().to_owned(),
                at_us: now.us,
            };
            operator_actions::insert(connection, &row)?;
            self.apply_waiting_returns(connection, &mut known, now, out)?;
            acted = Acted::Done(Vec::new());
            Ok(())
        })?;
        if let Acted::Done(_) = acted {
            metrics::counter!("operator_acts_total", "act" => act.name()).increment(1);
            tracing::warn!(claim_id, act = act.name(), client = by.client, "an operator acts on a payment");
            acted = Acted::Done(calls);
        }
        Ok(acted)
    }
}

/// What the action is for this saga, or the refusal of it.
fn allowed(act: Act, stored: &StoredSaga) -> std::result::Result<Input, Acted> {
    let saga = &stored.saga;
    let state = stored.state_name();
    let refused = |why: String| Err(Acted::Refused { state, why: format!("the payment is {state}{why}") });
    let is_stuck = stored.stuck_reason.is_some();
    if saga.is_at_rest() {
        let next = if state == State::Unverified.name() {
            "; it waits until claim_process asks anew: run 'claim_process reannounce'"
        } else {
            "; nothing is left to do"
        };
        return refused(next.to_owned());
    }
    let Act::Force(answer) = act else { return Ok(Input::Retried { is_stuck }) };
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
        None => Err(Acted::AnswerMissing(possible)),
        Some(answer) if possible.contains(&answer) => Ok(Input::Forced(answer)),
        Some(_) => refused(format!(
            ", and waits to learn {}: answer must be one of {}",
            waiting.words(),
            Forced::names(possible)
        )),
    }
}
