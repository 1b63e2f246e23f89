//! The saga of one claim's payment: reserve, disburse, post, and what undoes them.
//!
//! A saga is a set of facts: what stands at the ledger and what is known of the gateway. [`advance`] takes a saga and an
//! input and returns the saga as it is to be written, with the effects of that write. It never waits and never calls: a
//! gateway call is an effect to be performed *after* the write that holds its intent, and its answer is the next input.
//!
//! **The money rule.** Once an intent to disburse is stored, the same key is sent again until the answer is definite,
//! whatever else has happened meanwhile; only then is it refunded, if the saga is unwinding. No look-up, time-out or
//! void may stand in for an answer, because a request that was sent can still be delivered at any later time.

pub use super::gateway_call::{Call, PayAnswer, RefundAnswer};
use super::ledger::{Kind, Parties, Transfer, transfer_id};
use super::reasons::Reason;
use claim_events::{Cause, Compensation, OutcomeKind, PaymentEvent, Settled, Step, Unwound};
use serde::{Deserialize, Serialize};

/// The facts of one claim's payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The highest ask that was seen.
    pub ask: i64,
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
    /// How often the gateway was asked to pay and to refund.
    pub attempts: Attempts,
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
}

/// Why a saga unwinds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unwinding {
    /// The kind of reason.
    pub cause: Cause,
    /// The step that failed, where one did.
    pub failed_step: Option<Step>,
    /// The reason.
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

/// How often the gateway was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempts {
    /// To pay, without a definite answer so far.
    pub disburse: u32,
    /// To refund, without a definite answer so far.
    pub refund: u32,
}

/// What a claim's event says to its saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimSays {
    /// The claim.
    pub claim_id: String,
    /// The plan that pays.
    pub plan_group: String,
    /// The provider that is paid.
    pub provider_npi: String,
    /// What is due, in cents.
    pub amount_cents: i64,
    /// 1 submitted, 2 void requested.
    pub version: i64,
    /// The ask.
    pub ask: i64,
}

/// What happens to a saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// An event of the claim, new or repeated.
    Claim(ClaimSays),
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
}

/// What one write of a saga brings with it. All but calls are part of that write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Set this transfer aside if the plan's budget covers it, and answer with [`Input::Reserved`].
    Reserve(Transfer),
    /// Book this transfer.
    Book(Transfer),
    /// Say the outcome.
    Announce(PaymentEvent),
    /// After the write: call the gateway.
    Call(Call),
    /// Take the saga up again later.
    RetryLater {
        /// How often the gateway was asked already.
        attempts: u32,
        /// How long the gateway asked to be left alone, in milliseconds.
        retry_after_ms: Option<u64>,
    },
}

/// Where a saga stands, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
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
    /// Its name in the API and in the database.
    pub fn name(self) -> &'static str {
        match self {
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
        Input::Claim(says) => saga.hear(&says, &mut effects),
        Input::Reserved { covered } => saga.reserved(covered, &mut effects),
        Input::Resume => saga.proceed(&mut effects),
        Input::PayAnswer(answer) => saga.pay_answered(answer, &mut effects),
        Input::RefundAnswer(answer) => saga.refund_answered(&answer, &mut effects),
    }
    (saga, effects)
}

/// Begins the saga of a claim at its first event, whichever that is.
pub fn begin(says: &ClaimSays) -> (Saga, Vec<Effect>) {
    let saga = Saga {
        claim_id: says.claim_id.clone(),
        plan_group: says.plan_group.clone(),
        provider_npi: says.provider_npi.clone(),
        amount_cents: says.amount_cents,
        claim_version: 0,
        ask: says.ask,
        reservation: Reservation::None,
        disbursement: Disbursement::None,
        unwinding: None,
        compensations: Vec::new(),
        outcome: None,
        attempts: Attempts::default(),
    };
    advance(saga, Input::Claim(says.clone()))
}

impl Saga {
    /// Where it stands.
    pub fn state(&self) -> State {
        match (self.outcome, &self.unwinding) {
            (Some(Outcome { kind: OutcomeKind::Unwound, .. }), _) => State::Unwound,
            (_, Some(_)) => State::Unwinding,
            (Some(Outcome { kind: OutcomeKind::Settled, .. }), None) => State::Settled,
            (None, None) => State::Working,
        }
    }

    /// Whether nothing is left to do.
    pub fn is_at_rest(&self) -> bool {
        matches!(self.state(), State::Settled | State::Unwound)
    }

    fn hear(&mut self, says: &ClaimSays, effects: &mut Vec<Effect>) {
        if says.ask < self.ask || says.version < self.claim_version {
            return;
        }
        self.ask = says.ask;
        let is_news = says.version > self.claim_version;
        self.claim_version = says.version;
        match self.state() {
            State::Unwound => effects.extend(self.announcement()),
            State::Settled if !is_news => effects.extend(self.announcement()),
            State::Working | State::Unwinding if !is_news => {}
            State::Unwinding => {}
            State::Working | State::Settled => {
                if says.version >= 2 {
                    self.unwind(Cause::VoidRequested, None, Reason::voided());
                }
                self.proceed(effects);
            }
        }
    }

    fn reserved(&mut self, covered: bool, effects: &mut Vec<Effect>) {
        if self.reservation != Reservation::None {
            return;
        }
        if covered {
            self.reservation = Reservation::Pending;
        } else {
            self.reservation = Reservation::Refused;
            self.unwind(Cause::StepFailed, Some(Step::Reserve), Reason::budget_exhausted());
        }
        self.proceed(effects);
    }

    fn pay_answered(&mut self, answer: PayAnswer, effects: &mut Vec<Effect>) {
        if self.disbursement != Disbursement::Intended {
            return;
        }
        match answer {
            PayAnswer::Approved { amount_cents } => {
                effects.push(Effect::Book(self.parties().transfer(Kind::Disburse, amount_cents)));
                self.disbursement = Disbursement::Paid { amount_cents };
                if amount_cents != self.amount_cents {
                    self.unwind(Cause::StepFailed, Some(Step::Disburse), Reason::amount_mismatch());
                }
            }
            PayAnswer::Declined { code } => {
                self.disbursement = Disbursement::Declined;
                self.unwind(Cause::StepFailed, Some(Step::Disburse), Reason::declined(&code));
            }
            PayAnswer::Unknown { retry_after_ms } => {
                self.attempts.disburse = self.attempts.disburse.saturating_add(1);
                effects.push(Effect::RetryLater { attempts: self.attempts.disburse, retry_after_ms });
                return;
            }
        }
        self.proceed(effects);
    }

    fn refund_answered(&mut self, answer: &RefundAnswer, effects: &mut Vec<Effect>) {
        let Disbursement::RefundIntended { amount_cents } = self.disbursement else { return };
        match answer {
            RefundAnswer::Refunded => {
                effects.push(Effect::Book(self.parties().transfer(Kind::Refund, amount_cents)));
                self.disbursement = Disbursement::Refunded;
                self.compensations.push(Compensation::Refund);
            }
            RefundAnswer::AlreadyReturned => {
                effects.push(Effect::Book(self.parties().transfer(Kind::Return, amount_cents)));
                self.disbursement = Disbursement::Returned;
            }
            RefundAnswer::Unknown { retry_after_ms } => {
                self.attempts.refund = self.attempts.refund.saturating_add(1);
                effects.push(Effect::RetryLater { attempts: self.attempts.refund, retry_after_ms: *retry_after_ms });
                return;
            }
        }
        self.proceed(effects);
    }

    /// Turns back. The first reason stands: what is undone does not depend on it.
    fn unwind(&mut self, cause: Cause, failed_step: Option<Step>, reason: Reason) {
        if self.unwinding.is_none() {
            self.unwinding = Some(Unwinding { cause, failed_step, reason });
        }
    }

    /// Does whatever can be done without waiting, up to the next answer or the end.
    fn proceed(&mut self, effects: &mut Vec<Effect>) {
        while !self.is_at_rest() && self.step(effects) {}
    }

    /// One step; `false` when an answer has to come first.
    fn step(&mut self, effects: &mut Vec<Effect>) -> bool {
        if self.disbursement == Disbursement::Intended {
            // The money rule: forward or back, the same key until the answer is definite.
            effects.push(Effect::Call(self.pay()));
            return false;
        }
        if self.unwinding.is_some() { self.step_back(effects) } else { self.step_forward(effects) }
    }

    fn step_forward(&mut self, effects: &mut Vec<Effect>) -> bool {
        match (self.reservation, self.disbursement) {
            (Reservation::None, _) if self.amount_cents == 0 => self.end(OutcomeKind::Settled, effects),
            (Reservation::None, _) if self.amount_cents < 0 => {
                effects.push(Effect::Book(self.parties().transfer(Kind::Receivable, -self.amount_cents)));
                self.reservation = Reservation::Posted;
            }
            (Reservation::None, _) => {
                effects.push(Effect::Reserve(self.parties().transfer(Kind::Reserve, self.amount_cents)));
                return false;
            }
            (Reservation::Pending, Disbursement::None) => self.disbursement = Disbursement::Intended,
            (Reservation::Pending, _) => {
                effects.push(Effect::Book(self.parties().transfer(Kind::Post, self.amount_cents)));
                self.reservation = Reservation::Posted;
            }
            (Reservation::Posted, _) => self.end(OutcomeKind::Settled, effects),
            // Only a saga that unwinds has these.
            (Reservation::Refused | Reservation::Released | Reservation::Reversed, _) => return false,
        }
        true
    }

    fn step_back(&mut self, effects: &mut Vec<Effect>) -> bool {
        match (self.reservation, self.disbursement) {
            (Reservation::Posted, _) => {
                let reverse = if self.amount_cents < 0 {
                    self.parties().reverse_receivable(-self.amount_cents)
                } else {
                    self.parties().transfer(Kind::Reverse, self.amount_cents)
                };
                effects.push(Effect::Book(reverse));
                self.reservation = Reservation::Reversed;
                self.compensations.push(Compensation::Reverse);
            }
            (_, Disbursement::Paid { amount_cents }) => {
                self.disbursement = Disbursement::RefundIntended { amount_cents }
            }
            (_, Disbursement::RefundIntended { amount_cents }) => {
                effects.push(Effect::Call(self.refund(amount_cents)));
                return false;
            }
            (Reservation::Pending, _) => {
                effects.push(Effect::Book(self.parties().transfer(Kind::Release, self.amount_cents)));
                self.reservation = Reservation::Released;
                self.compensations.push(Compensation::Release);
            }
            _ => self.end(OutcomeKind::Unwound, effects),
        }
        true
    }

    fn end(&mut self, kind: OutcomeKind, effects: &mut Vec<Effect>) {
        let version = self.outcome.map_or(1, |outcome| outcome.version + 1);
        self.outcome = Some(Outcome { kind, version });
        effects.extend(self.announcement());
    }

    /// The outcome as an event; the saga says it again whenever it is asked.
    fn announcement(&self) -> Option<Effect> {
        let event = match (self.outcome?.kind, &self.unwinding) {
            (OutcomeKind::Settled, _) => PaymentEvent::Settled(Settled {
                claim_id: self.claim_id.clone(),
                claim_version: self.claim_version,
                ask: self.ask,
                unasked: false,
                amount_cents: self.amount_cents,
                transfer_ids: self.standing_transfers(),
            }),
            (OutcomeKind::Unwound, unwinding) => PaymentEvent::Unwound(Unwound {
                claim_id: self.claim_id.clone(),
                claim_version: self.claim_version,
                ask: self.ask,
                unasked: false,
                cause: unwinding.as_ref()?.cause,
                failed_step: unwinding.as_ref()?.failed_step,
                reason_code: unwinding.as_ref().map(|unwinding| unwinding.reason.code.clone()),
                reason: unwinding.as_ref().map(|unwinding| unwinding.reason.words.clone()),
                compensations: self.compensations.clone(),
            }),
        };
        Some(Effect::Announce(event))
    }

    fn standing_transfers(&self) -> Vec<String> {
        let kinds: &[Kind] = match self.amount_cents.signum() {
            1 => &[Kind::Reserve, Kind::Disburse, Kind::Post],
            0 => &[],
            _ => &[Kind::Receivable],
        };
        kinds.iter().map(|kind| transfer_id(&self.claim_id, *kind)).collect()
    }

    fn parties(&self) -> Parties<'_> {
        Parties { claim_id: &self.claim_id, plan_group: &self.plan_group, provider_npi: &self.provider_npi }
    }

    fn pay(&self) -> Call {
        Call::Pay {
            key: format!("{}.disburse", self.claim_id),
            reference: self.claim_id.clone(),
            payee: self.provider_npi.clone(),
            amount_cents: self.amount_cents,
        }
    }

    fn refund(&self, amount_cents: i64) -> Call {
        Call::Refund { key: format!("{}.refund", self.claim_id), reference: self.claim_id.clone(), amount_cents }
    }
}
