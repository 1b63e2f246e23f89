//! The facts of a payment, and what follows from them alone: where it stands, and whether anything is left to do.

use crate::domain::ledger::{Parties, Repeats};
use crate::domain::reasons::Reason;
use crate::domain::restore_marker::RestoreMarker;
use claim_events::{Cause, Compensation, OutcomeKind, Step};
use serde::{Deserialize, Serialize};
use text_enum::text_enum;
use utoipa::ToSchema;

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
    /// The highest version of an outcome that claim_process is known to have; 0 while it has none.
    #[serde(default)]
    pub known_version: i64,
    /// Whether claim_process is known to have the payment as unwound.
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
    /// Whether that outcome is unsolicited: it is republished until claim_process has recorded it.
    #[serde(default)]
    pub unsolicited: bool,
    /// How often a request had no definite answer.
    pub attempts: Attempts,
    /// How the answer that it waits for is sought.
    #[serde(default, skip_serializing_if = "is_default")]
    pub inquiry: Inquiry,
    /// Refunds that failed for good: the next one has a key of its own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failed_refunds: u32,
    /// How often the money came back and went out again, in the ledger.
    #[serde(default, skip_serializing_if = "is_default")]
    pub repeats: Repeats,
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

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How the gateway's answer to a payment or a refund is sought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inquiry {
    /// The request is sent again, under the same key.
    #[default]
    Send,
    /// The payment is looked up, and the request is sent again where that does not find the answer: several answers were not
    /// definite.
    LookUpFirst,
    /// The payment is looked up, and the request is not sent again as long as the gateway has it as pending.
    Pending,
}

/// Whether a saga's facts are complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// They are.
    #[default]
    Sure,
    /// They may be older than the world: nothing is done until the claim is re-requested (reannounced, after a restore).
    Unverified,
    /// The payment is being looked up at the gateway.
    LookingUp,
}

/// What a saga waits for from the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// Whether it was paid.
    ForPayment,
    /// Whether it was taken back.
    ForRefund,
    /// What became of it, because the facts may be older than the world.
    ForLookUp,
}

/// What stands between plan and provider in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reservation {
    /// Nothing yet.
    None,
    /// The budget does not cover it.
    Refused,
    /// Reserved.
    Pending,
    /// Final.
    Posted,
    /// The reservation is void.
    Released,
    /// Undone after it was final.
    Reversed,
}

/// What is known of the payment at the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disbursement {
    /// Nothing was requested of the gateway, and nothing need be.
    None,
    /// The intent is stored: a request may be on its way, and its answer is not known.
    Intended,
    /// Declined, for good.
    Declined,
    /// Paid.
    Paid {
        /// What was paid, which may be another amount than was requested.
        amount_cents: i64,
    },
    /// Paid, and the intent to take it back is stored.
    RefundIntended {
        /// What was paid.
        amount_cents: i64,
    },
    /// Paid, and the refund failed: an operator decides whether another one is requested.
    RefundFailed {
        /// What was paid.
        amount_cents: i64,
    },
    /// Paid and taken back.
    Refunded,
    /// Paid and come back by itself.
    Returned,
    /// Paid, to be taken back, and not to be had from the gateway: the provider owes it, as an operator stated.
    Owed {
        /// What was paid.
        amount_cents: i64,
    },
}

impl Disbursement {
    /// What was paid, where that is known and the money is not back.
    pub fn paid_cents(self) -> Option<i64> {
        match self {
            Disbursement::Paid { amount_cents }
            | Disbursement::RefundIntended { amount_cents }
            | Disbursement::RefundFailed { amount_cents }
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
    /// The reason; [`Saga::reason`] adds what is owed.
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
    /// To have an unsolicited outcome recorded.
    #[serde(default, rename = "announce")]
    pub republish: u32,
    /// To be let in by the gateway, since it last was. They do not count towards being stuck.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unauthorized: u32,
}

impl Attempts {
    /// All of them together.
    pub fn all(self) -> u32 {
        let Self { disburse, refund, look_up, republish, unauthorized } = self;
        [refund, look_up, republish, unauthorized].into_iter().fold(disburse, u32::saturating_add)
    }
}

text_enum! {
    /// Where a saga stands.
    pub enum State {
        /// Its facts may be older than the world.
        Unverified = "unverified",
        /// On its way forward.
        Working = "working",
        /// On its way back.
        Unwinding = "unwinding",
        /// Paid.
        Settled = "settled",
        /// Not paid, or paid back.
        Unwound = "unwound",
    }
}

text_enum! {
    /// The state of a payment. `stuck` is `unverified`, `working` or `unwinding` without progress; or settled or unwound, where
    /// claim_process has not recorded an unsolicited outcome although it was published again and again.
    #[derive(ToSchema)]
    #[schema(as = StateName)]
    pub enum PaymentState {
        /// [`State::Unverified`].
        Unverified = "unverified",
        /// [`State::Working`].
        Working = "working",
        /// [`State::Unwinding`].
        Unwinding = "unwinding",
        /// [`State::Settled`].
        Settled = "settled",
        /// [`State::Unwound`].
        Unwound = "unwound",
        /// In any of these, and not getting on.
        Stuck = "stuck",
    }
}

impl PaymentState {
    /// The state of a payment whose saga stands there, and gets on or not.
    pub fn of(state: State, is_stuck: bool) -> Self {
        match state {
            _ if is_stuck => PaymentState::Stuck,
            State::Unverified => PaymentState::Unverified,
            State::Working => PaymentState::Working,
            State::Unwinding => PaymentState::Unwinding,
            State::Settled => PaymentState::Settled,
            State::Unwound => PaymentState::Unwound,
        }
    }
}

impl Saga {
    /// The saga as it is to be taken in a database with this marker: written under another one, it is unverified.
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

    /// The saga once so many answers in a row were not definite: the payment is looked up before its request is sent again.
    pub fn after_unclear_answers(mut self, bound: u32) -> Self {
        let attempts = match self.disbursement {
            Disbursement::Intended => self.attempts.disburse,
            Disbursement::RefundIntended { .. } => self.attempts.refund,
            _ => 0,
        };
        if self.trust == Trust::Sure && self.inquiry == Inquiry::Send && attempts >= bound {
            self.inquiry = Inquiry::LookUpFirst;
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
            Disbursement::Intended
                | Disbursement::Paid { .. }
                | Disbursement::RefundIntended { .. }
                | Disbursement::RefundFailed { .. }
        );
        match (self.outcome, &self.unwinding) {
            _ if self.has_unwound_outcome() && !money_stands => State::Unwound,
            (_, Some(_)) => State::Unwinding,
            (Some(_), None) => State::Settled,
            (None, None) => State::Working,
        }
    }

    /// Whether nothing is left to do; an unverified saga does nothing until its claim is re-requested. One that waits for a
    /// record is not at rest: were it taken for that when a message comes again, its outcome would not be republished.
    pub fn is_at_rest(&self) -> bool {
        self.trust == Trust::Unverified || (self.has_ended() && !self.waits_for_record())
    }

    /// Whether its outcome has to be republished until claim_process has recorded it.
    pub fn waits_for_record(&self) -> bool {
        self.unsolicited && self.has_ended()
    }

    /// Whether it came to an end that stands.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state(), State::Settled | State::Unwound)
    }

    /// Whether it has an outcome that nothing has begun to undo, as far as is known.
    pub fn outcome_stands(&self) -> bool {
        self.outcome.is_some() && !matches!(self.state(), State::Working | State::Unwinding)
    }

    pub(super) fn has_unwound_outcome(&self) -> bool {
        self.outcome.is_some_and(|outcome| outcome.kind == OutcomeKind::Unwound)
    }

    /// Turns back. The first reason stands: what is undone does not depend on it.
    pub(super) fn unwind(&mut self, cause: Cause, failed_step: Option<Step>, reason: Reason) {
        if self.unwinding.is_none() {
            self.unwinding = Some(Unwinding { cause, failed_step, reason });
        }
    }

    /// Why it unwinds, once it does, and that what was paid is owed, where it is.
    pub fn reason(&self) -> Option<Reason> {
        let reason = self.unwinding.as_ref()?.reason.clone();
        Some(if matches!(self.disbursement, Disbursement::Owed { .. }) { reason.and_owed() } else { reason })
    }

    pub(super) fn parties(&self) -> Parties<'_> {
        Parties {
            claim_id: &self.claim_id,
            plan_group: &self.plan_group,
            provider_npi: &self.provider_npi,
            repeats: self.repeats,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::saga::fixture::intended;

    /// A row as versions before this one stored it.
    const STORED: &str = r#"{"claim_id":"claim","plan_group":"plan","provider_npi":"1497775530","amount_cents":100,"claim_version":1,"resync_epoch":2,"known_version":3,"known_unwound":true,"reservation":"released","disbursement":{"owed":{"amount_cents":101}},"unwinding":{"cause":"step_failed","failed_step":"disburse","reason":{"code":"amount_mismatch","words":"another amount"}},"compensations":["release"],"outcome":{"kind":"payment.unwound","version":4},"unsolicited":true,"attempts":{"disburse":5,"refund":6,"look_up":7,"announce":8},"restore_marker":{"at_us":9,"restored":true},"trust":"looking_up"}"#;

    #[test]
    fn stored_facts_are_read_and_written_as_before() {
        let saga: Saga = serde_json::from_str(STORED).expect("an older version wrote it");
        assert_eq!(saga.attempts, Attempts { disburse: 5, refund: 6, look_up: 7, republish: 8, unauthorized: 0 });
        assert_eq!(saga.disbursement, Disbursement::Owed { amount_cents: 101 });
        assert_eq!(serde_json::to_string(&saga).expect("plain data"), STORED);
    }

    #[test]
    fn facts_from_before_a_field_was_added_are_read() {
        let mut stored = serde_json::to_value(intended(None)).expect("plain data");
        let fields = stored.as_object_mut().expect("an object");
        for added in ["known_version", "known_unwound", "unsolicited", "restore_marker", "trust"] {
            fields.remove(added).expect("it is written now");
        }
        assert_eq!(serde_json::from_value::<Saga>(stored).expect("the defaults stand for them"), intended(None));
    }
}
