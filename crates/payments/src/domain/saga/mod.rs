//! The saga of one claim's payment: reserve, disburse, post, and what undoes them.
//!
//! A saga is a set of facts: what stands at the ledger and what is known of the gateway. [`advance`] takes a saga and an
//! input and returns the saga as it is to be written, with the effects of that write. It never waits and never calls: a
//! gateway call is an effect to be performed *after* the write that holds its intent, and its answer is the next input.
//!
//! `received` is what a claim's event does, `steps` the way forward and back, `reconcile` what is made of facts that may
//! be older than the world, `operator` what people do about a saga that does not get on.
//!
//! **The money rule.** Once an intent to disburse is stored, the same key is sent again until the answer is definite,
//! whatever else has happened meanwhile; only then is it refunded, if the saga is unwinding. No look-up, time-out or
//! void may stand in for an answer, because a request that was sent can still be delivered at any later time.

#[cfg(test)]
mod fixture;
mod operator;
mod received;
mod reconcile;
mod steps;

pub use super::gateway_call::{Call, LookUpAnswer, PayAnswer, RefundAnswer};
use super::ledger::{Parties, Transfer};
use super::reasons::Reason;
use super::restore_marker::RestoreMarker;
use claim_events::{Cause, Compensation, KnownOutcome, OutcomeKind, PaymentEvent, Step};
pub use operator::{Forced, Waiting};
pub use received::ClaimSays;
use serde::{Deserialize, Serialize};

/// The facts of one claim's payment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Saga {
    /// The claim.
    pub claim_id: String,
    /// The plan that pays.
    pub plan_group: String,
    /// The provider that is paid.
    pub provider_npi: String,
    /// What is due, in cents; below zero the provider owes it.
    pub amount_cents: i64,
    /// The highest version of the claim that was seen: 1 submitted, 2 void requested.
    pub claim_version: i64,
    /// The highest resync epoch that was seen.
    pub resync_epoch: i64,
    /// The highest version of an outcome that claim_process said it has; 0 while it said none.
    #[serde(default)]
    pub known_version: i64,
    /// Whether claim_process said that it has the payment as unwound.
    #[serde(default)]
    pub known_unwound: bool,
    /// What stands between plan and provider.
    pub reservation: Reservation,
    /// What is known of the payment at the gateway.
    pub disbursement: Disbursement,
    /// Why the saga unwinds, once it does.
    pub unwinding: Option<Unwinding>,
    /// What was undone, in order.
    pub compensations: Vec<Compensation>,
    /// The end it came to, and its version.
    pub outcome: Option<Outcome>,
    /// Whether nobody asked for that end: it is said again until claim_process has recorded it.
    #[serde(default)]
    pub unsolicited: bool,
    /// How often the gateway was asked.
    pub attempts: Attempts,
    /// What it waited for when an operator retried it while it was stuck, as long as it waits for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried_wait: Option<Waiting>,
    /// The database's marker under which `trust` is meant.
    #[serde(default)]
    pub restore_marker: RestoreMarker,
    /// Whether the facts are complete.
    #[serde(default)]
    pub trust: Trust,
}

/// Whether a saga's facts are complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// They are.
    #[default]
    Sure,
    /// They may be older than the world: nothing is done until claim_process asks (anew, after a restore).
    Unverified,
    /// The gateway is being asked what became of the payment.
    LookingUp,
}

/// What stands between plan and provider in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reservation {
    /// Nothing yet.
    None,
    /// The budget does not cover it.
    Refused,
    /// Set aside.
    Pending,
    /// Final.
    Posted,
    /// Set aside no more.
    Released,
    /// Undone after it was final.
    Reversed,
}

/// What is known of the payment at the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disbursement {
    /// Nothing was asked of the gateway, and nothing need be.
    None,
    /// The intent is stored: a request may be on its way, and its answer is not known.
    Intended,
    /// Declined, for good.
    Declined,
    /// Paid.
    Paid {
        /// What was paid, which may be another amount than was asked for.
        amount_cents: i64,
    },
    /// Paid, and the intent to take it back is stored.
    RefundIntended {
        /// What was paid.
        amount_cents: i64,
    },
    /// Paid and taken back.
    Refunded,
    /// Paid and come back by itself.
    Returned,
    /// Paid, to be taken back, and not to be had from the gateway: the provider owes it, as an operator said.
    Owed {
        /// What was paid.
        amount_cents: i64,
    },
}

impl Disbursement {
    /// What was paid, where that is known and the money is not back.
    fn paid_cents(self) -> Option<i64> {
        match self {
            Disbursement::Paid { amount_cents }
            | Disbursement::RefundIntended { amount_cents }
            | Disbursement::Owed { amount_cents } => Some(amount_cents),
            _ => None,
        }
    }
}

/// Why a saga unwinds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unwinding {
    /// The kind of reason.
    pub cause: Cause,
    /// The step that failed, where one did.
    pub failed_step: Option<Step>,
    /// The reason; [`Saga::reason`] says with it what is owed.
    pub reason: Reason,
}

/// The end a saga came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Outcome {
    /// Settled or unwound.
    pub kind: OutcomeKind,
    /// 1 for the first; a later one is higher.
    pub version: i64,
}

/// How often something was tried without a definite answer so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempts {
    /// To pay.
    pub disburse: u32,
    /// To refund.
    pub refund: u32,
    /// To look the payment up.
    #[serde(default)]
    pub look_up: u32,
    /// To have an outcome recorded that nobody asked for.
    #[serde(default)]
    pub announce: u32,
}

impl Attempts {
    /// All of them together.
    pub fn all(self) -> u32 {
        let Self { disburse, refund, look_up, announce } = self;
        disburse.saturating_add(refund).saturating_add(look_up).saturating_add(announce)
    }
}

/// What happens to a saga.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// An event of the claim, new or repeated.
    Claim(ClaimSays),
    /// claim_process has recorded an outcome that nobody had asked for.
    Recorded {
        /// The outcome it has.
        known: KnownOutcome,
        /// The resync epoch that it says it under.
        resync_epoch: i64,
    },
    /// The answer to [`Effect::Reserve`], given in the same write.
    Reserved {
        /// Whether the budget covers it.
        covered: bool,
    },
    /// Somebody takes the saga up again: its last worker stopped, or a pause is over.
    Resume,
    /// The gateway's answer to [`Call::Pay`].
    PayAnswer(PayAnswer),
    /// The gateway's answer to [`Call::Refund`].
    RefundAnswer(RefundAnswer),
    /// The gateway's answer to [`Call::LookUp`].
    LookedUp {
        /// The answer.
        answer: LookUpAnswer,
        /// Whether the payment would be so old that the gateway may have forgotten its key: sent again, it would be a
        /// second payment.
        key_expired: bool,
    },
    /// The money came back by itself.
    Returned {
        /// How much, in cents.
        amount_cents: i64,
    },
    /// An operator wants it tried again, now.
    Retried {
        /// Whether it was stuck.
        is_stuck: bool,
    },
    /// An operator says what the gateway does not say.
    Forced(Forced),
}

/// What one write of a saga brings with it. All but calls are part of that write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Set this transfer aside if the plan's budget covers it, and answer with [`Input::Reserved`].
    Reserve(Transfer),
    /// Set this transfer aside whether or not the budget covers it: the payment was made, or may have been.
    ReserveAnyway(Transfer),
    /// Book this transfer.
    Book(Transfer),
    /// Say the outcome.
    Announce(PaymentEvent),
    /// After the write: call the gateway.
    Call(Call),
    /// Take the saga up again later.
    RetryLater {
        /// How often it was tried already.
        attempts: u32,
        /// How long the gateway asked to be left alone, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// Somebody must look: this should never be.
    Alarm(&'static str),
    /// It cannot go on by itself, for this reason; it is tried again at the longest pause.
    Stuck(&'static str),
}

/// Where a saga stands, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Its facts may be older than the world.
    Unverified,
    /// On its way forward.
    Working,
    /// On its way back.
    Unwinding,
    /// Paid.
    Settled,
    /// Not paid, or paid back.
    Unwound,
}

impl State {
    /// All there are.
    pub const ALL: [State; 5] = [State::Unverified, State::Working, State::Unwinding, State::Settled, State::Unwound];

    /// Not a state of its own: not at rest, and not getting on.
    pub const STUCK: &str = "stuck";

    /// Its name in the API and in the database.
    pub fn name(self) -> &'static str {
        match self {
            State::Unverified => "suspect",
            State::Working => "working",
            State::Unwinding => "unwinding",
            State::Settled => "settled",
            State::Unwound => "unwound",
        }
    }
}

/// What `input` makes of `saga`: the saga as it is to be written, and what that write brings with it.
pub fn advance(mut saga: Saga, input: Input) -> (Saga, Vec<Effect>) {
    let mut effects = Vec::new();
    match input {
        Input::Claim(says) => saga.receive(&says, &mut effects),
        Input::Recorded { known, resync_epoch } => saga.recorded(known, resync_epoch),
        Input::Reserved { covered } => saga.reserved(covered, &mut effects),
        Input::Resume => saga.resume(&mut effects),
        Input::PayAnswer(answer) => saga.pay_answered(answer, &mut effects),
        Input::RefundAnswer(answer) => saga.refund_answered(&answer, &mut effects),
        Input::LookedUp { answer, key_expired } => saga.reconcile(answer, key_expired, &mut effects),
        Input::Returned { amount_cents } => saga.returned(amount_cents, &mut effects),
        Input::Retried { is_stuck } => saga.retried(is_stuck, &mut effects),
        Input::Forced(answer) => saga.forced(answer, &mut effects),
    }
    if saga.retried_wait != saga.waiting() {
        saga.retried_wait = None;
    }
    (saga, effects)
}

/// Begins the saga of a claim at its first event, whichever that is, in a database with this marker.
pub fn begin(says: &ClaimSays, marker: RestoreMarker) -> (Saga, Vec<Effect>) {
    let saga = Saga {
        claim_id: says.claim_id.clone(),
        plan_group: says.plan_group.clone(),
        provider_npi: says.provider_npi.clone(),
        amount_cents: says.amount_cents,
        claim_version: 0,
        resync_epoch: 0,
        known_version: 0,
        known_unwound: false,
        reservation: Reservation::None,
        disbursement: Disbursement::None,
        unwinding: None,
        compensations: Vec::new(),
        outcome: None,
        unsolicited: false,
        attempts: Attempts::default(),
        retried_wait: None,
        restore_marker: marker,
        trust: if says.submitted_at_us < marker.at_us { Trust::Unverified } else { Trust::Sure },
    };
    advance(saga, Input::Claim(says.clone()))
}

impl Saga {
    /// The saga as it is to be taken in a database with this marker: written under another one, it is suspect.
    pub fn under(mut self, marker: RestoreMarker) -> Self {
        if self.restore_marker != marker {
            self.restore_marker = marker;
            self.trust = Trust::Unverified;
        }
        self
    }

    /// The saga once the gateway may have forgotten the payment's key: sending it again could pay twice, so the payment is
    /// looked up first.
    pub fn past_key_lifetime(mut self) -> Self {
        if self.trust == Trust::Sure && self.disbursement == Disbursement::Intended {
            self.trust = Trust::LookingUp;
        }
        self
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        if self.trust != Trust::Sure {
            return State::Unverified;
        }
        let money_stands = matches!(
            self.disbursement,
            Disbursement::Intended | Disbursement::Paid { .. } | Disbursement::RefundIntended { .. }
        );
        match (self.outcome, &self.unwinding) {
            _ if self.has_unwound_outcome() && !money_stands => State::Unwound,
            (_, Some(_)) => State::Unwinding,
            (Some(_), None) => State::Settled,
            (None, None) => State::Working,
        }
    }

    /// Whether nothing is left to do; a suspect saga does nothing until claim_process asks. One that waits for a record is
    /// not at rest: were it taken for that when a message comes again, its outcome would not be said again.
    pub fn is_at_rest(&self) -> bool {
        self.trust == Trust::Unverified || (self.has_ended() && !self.waits_for_record())
    }

    /// Whether it came to an end that stands.
    fn has_ended(&self) -> bool {
        matches!(self.state(), State::Settled | State::Unwound)
    }

    /// Whether it has an outcome that nothing has begun to undo, as far as is known.
    pub fn outcome_stands(&self) -> bool {
        self.outcome.is_some() && !matches!(self.state(), State::Working | State::Unwinding)
    }

    fn has_unwound_outcome(&self) -> bool {
        self.outcome.is_some_and(|outcome| outcome.kind == OutcomeKind::Unwound)
    }

    /// Turns back. The first reason stands: what is undone does not depend on it.
    fn unwind(&mut self, cause: Cause, failed_step: Option<Step>, reason: Reason) {
        if self.unwinding.is_none() {
            self.unwinding = Some(Unwinding { cause, failed_step, reason });
        }
    }

    /// Why it unwinds, once it does, and that what was paid is owed, where it is.
    pub fn reason(&self) -> Option<Reason> {
        let reason = self.unwinding.as_ref()?.reason.clone();
        Some(if matches!(self.disbursement, Disbursement::Owed { .. }) { reason.and_owed() } else { reason })
    }

    fn parties(&self) -> Parties<'_> {
        Parties { claim_id: &self.claim_id, plan_group: &self.plan_group, provider_npi: &self.provider_npi }
    }
}
