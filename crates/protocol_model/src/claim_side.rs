//! claim_process in the model: applies the decisions of `claim_process` to the claim's row, as its adapters do.

use crate::messages::{ClaimMessage, PaymentMessage};
use crate::params::{Mutant, Params};
use crate::tables::Tables;
use crate::world::{Claim, World};
use claim_events::OutcomeKind;
use claim_process::domain::transition::{self, Arrival, Effect, Status, Void};

impl World {
    /// Applies an outcome as `events/outcomes.rs` does.
    ///
    /// # Errors
    /// The violated property.
    pub fn apply_outcome(
        &mut self,
        message: PaymentMessage,
        params: &Params,
        tables: &mut Tables,
    ) -> Result<(), &'static str> {
        let claim = &mut self.claim;
        let mut arrival = Arrival {
            kind: message.kind,
            version: message.version,
            claim_version: message.claim_version,
            resync_epoch: message.resync_epoch,
            differs: claim.outcome.is_some() && claim.content != message.content,
        };
        if params.lacks(Mutant::OlderEchoesCount) {
            arrival.resync_epoch = arrival.resync_epoch.max(i64::from(claim.resync_epoch));
        }
        let mut answered = match transition::apply(claim.state(), arrival) {
            Effect::Nothing { answers } => answers,
            Effect::Alarm => return Err("another outcome under the same version"),
            Effect::Applied { status, entered_unwound, answers } => {
                if entered_unwound != (status == Status::Unwound && claim.status != Status::Unwound) {
                    return Err("the provider's total is not reduced exactly once");
                }
                if claim.status == Status::Unwound && status != Status::Unwound {
                    return Err("unwound is not final");
                }
                claim.status = status;
                claim.outcome = Some((message.kind, small(message.version)));
                claim.content = message.content;
                answers
            }
        };
        if params.lacks(Mutant::SettlementAnswersVoid) && message.kind == OutcomeKind::Settled {
            answered = true;
        }
        claim.due &= !answered;
        if message.unsolicited
            && let Some(known) = claim.known_outcome()
        {
            let recorded = ClaimMessage::Recorded { known, resync_epoch: i64::from(claim.resync_epoch) };
            self.claims_topic = tables.claims_topic.with(self.claims_topic, recorded);
        }
        Ok(())
    }

    /// Voids the claim as `claims/void.rs` does. Returns `false` if that changes nothing.
    pub fn void(&mut self, tables: &mut Tables) -> bool {
        let Void::Accepted(status) = transition::void(self.claim.state()) else { return false };
        self.claim = Claim { status, version: 2, due: true, ..self.claim };
        self.publish_current(tables);
        true
    }

    /// Publishes the claim's current event.
    pub fn publish_current(&mut self, tables: &mut Tables) {
        self.claims_topic = tables.claims_topic.with(self.claims_topic, self.claim.current_event());
    }

    /// Raises the claim's resync epoch above every earlier one, so that its outcome is requested again.
    pub fn raise_epoch(&mut self) {
        self.claim.resync_epoch = self.later();
        self.claim.due = true;
    }

    /// Restores the database to `copy`. The journal replays acknowledged voids, but not the outcomes applied since the copy;
    /// recovery then raises the resync epoch.
    ///
    /// # Errors
    /// An acknowledged void could not be replayed.
    pub fn restore_claim(&mut self, copy: Claim) -> Result<(), &'static str> {
        let voided = self.claim.version == 2;
        self.claim = copy;
        if voided && copy.version == 1 {
            match transition::void(copy.state()) {
                Void::Accepted(status) => self.claim = Claim { status, version: 2, ..copy },
                Void::Already | Void::Refused => return Err("an acknowledged void is lost by the restore"),
            }
        }
        self.raise_epoch();
        Ok(())
    }
}

/// Versions and epochs stay small in a bounded search.
fn small(number: i64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
