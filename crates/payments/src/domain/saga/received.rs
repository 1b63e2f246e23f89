//! What a claim's event does to its saga, and where the memories of the two services differ.
//!
//! - A claim that comes too late is not begun: it is unwound. Once the gateway may have been called, no deadline counts.
//! - A resync epoch below the highest one seen is ignored; the highest one is echoed in every outcome.
//! - An event whose outcome is there is answered with it; while the saga works, with silence.
//! - An outcome that claim_process has as *unwound* always wins: whatever stands here is undone.
//! - Where we have *unwound* and claim_process knows *settled* under the same or a higher version, *unwound* is sent again,
//!   one version higher. After a restore also where it knows *unwound*, since the details may differ.

use super::facts::{Disbursement, Outcome, Reservation, Saga, Trust};
use super::input::{ClaimUpdate, Effect};
use crate::domain::reasons::Reason;
use claim_events::{Cause, KnownOutcome, OutcomeKind};

impl Saga {
    pub(super) fn receive(&mut self, update: &ClaimUpdate, effects: &mut Vec<Effect>) {
        if update.resync_epoch < self.resync_epoch {
            return;
        }
        let was_unverified = self.trust == Trust::Unverified;
        if was_unverified {
            if !self.restore_marker.is_answered_by(update.resync_epoch) {
                return;
            }
            // Only the gateway can know more than the facts, and it knows nothing of what was not due.
            self.trust = if self.amount_cents > 0 { Trust::LookingUp } else { Trust::Sure };
            // claim_process may have been restored as well: only what it knows now counts.
            self.known_unwound = false;
        }
        let is_news = update.version > self.claim_version;
        if is_news || update.resync_epoch > self.resync_epoch {
            self.unsolicited = false;
        }
        self.resync_epoch = update.resync_epoch;
        self.claim_version = self.claim_version.max(update.version);
        let was_unwinding = self.unwinding.is_some();
        if update.version >= 2 && !self.has_unwound_outcome() {
            self.unwind(Cause::VoidRequested, None, Reason::voided());
        }
        self.note_known(update.known, was_unverified);
        if update.too_late && self.has_not_begun() {
            self.unwind(Cause::Deadline, None, Reason::too_late());
        }
        if self.has_ended() {
            effects.extend(self.publication());
        } else if is_news || was_unverified || was_unwinding != self.unwinding.is_some() {
            self.proceed(effects);
        }
    }

    /// Whether nothing was done, and nothing was requested of the gateway, as far as can be known.
    fn has_not_begun(&self) -> bool {
        let Self { trust, reservation, disbursement, outcome, .. } = self;
        let untouched = (*trust, *reservation, *disbursement) == (Trust::Sure, Reservation::None, Disbursement::None);
        untouched && outcome.is_none()
    }

    fn note_known(&mut self, known: Option<KnownOutcome>, was_unverified: bool) {
        let Some(known) = known else { return };
        self.known_version = self.known_version.max(known.version);
        if known.kind == OutcomeKind::Unwound {
            self.known_unwound = true;
            self.unwind(Cause::Operator, None, Reason::known_unwound());
        }
        // After a restore our unwinding may differ in detail from the one that was published under the same version.
        let may_contradict = known.kind == OutcomeKind::Settled || was_unverified;
        if let Some(Outcome { kind: OutcomeKind::Unwound, version }) = &mut self.outcome
            && may_contradict
        {
            *version = (*version).max(known.version + 1);
        }
    }

    /// claim_process has an outcome: if it is ours, it need not be republished.
    pub(super) fn recorded(&mut self, known: KnownOutcome, resync_epoch: i64) {
        let it_is_ours = self.outcome.is_some_and(|outcome| known.version >= outcome.version);
        if resync_epoch >= self.resync_epoch && self.trust == Trust::Sure && it_is_ours {
            self.unsolicited = false;
        }
    }

    pub(super) fn resume(&mut self, effects: &mut Vec<Effect>) {
        if self.waits_for_record() {
            effects.extend(self.publication());
            self.republish_later(effects);
        } else {
            self.proceed(effects);
        }
    }

    pub(super) fn republish_later(&mut self, effects: &mut Vec<Effect>) {
        self.attempts.republish = self.attempts.republish.saturating_add(1);
        effects.push(Effect::RetryLater { attempts: self.attempts.republish, retry_after_ms: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::saga::fixture::{intended, update};
    use crate::domain::saga::{Input, PayAnswer, RefundAnswer, State, advance};
    use OutcomeKind::{Settled, Unwound};

    /// A saga that came to this end by itself, under this version.
    fn ended(kind: OutcomeKind, version: i64) -> Saga {
        let answer = match kind {
            Settled => PayAnswer::Approved { amount_cents: 100 },
            Unwound => PayAnswer::Declined { code: "no".into() },
        };
        let (mut saga, _) = advance(intended(None), Input::PayAnswer(answer));
        assert_eq!(saga.outcome, Some(Outcome { kind, version: 1 }));
        saga.outcome = Some(Outcome { kind, version });
        saga
    }

    fn receive(saga: Saga, known: (OutcomeKind, i64)) -> (Saga, Vec<Effect>) {
        advance(saga, Input::Claim(update(Some(known))))
    }

    fn end(saga: &Saga) -> Option<(OutcomeKind, i64)> {
        saga.outcome.map(|outcome| (outcome.kind, outcome.version))
    }

    #[test]
    fn the_next_outcome_is_above_the_own_and_every_known_version() {
        // The own version, what claim_process knows one after the other, and the version of the refunded end.
        for (own, known, next) in [
            (1, vec![(Unwound, 1)], 2),
            (4, vec![(Unwound, 2)], 5),
            (2, vec![(Unwound, 4)], 5),
            (2, vec![(Unwound, 2), (Unwound, 4)], 5),
            (2, vec![(Unwound, 4), (Unwound, 2)], 5),
            (1, vec![(Settled, 6), (Unwound, 2)], 7),
            (1, vec![(Unwound, 2), (Settled, 4)], 5),
        ] {
            let mut saga = ended(Settled, own);
            let mut effects = Vec::new();
            for known in &known {
                let (next, more) = receive(saga, *known);
                saga = next;
                effects.extend(more);
            }
            assert_eq!(saga.state(), State::Unwinding, "known unwound wins: {own}, {known:?}");
            assert!(saga.known_unwound);
            let (saga, _) = advance(saga, Input::RefundAnswer(RefundAnswer::Refunded));
            assert_eq!(end(&saga), Some((Unwound, next)), "{own}, {known:?}");
        }
    }

    #[test]
    fn an_own_unwinding_is_raised_above_a_known_settlement_and_no_other_outcome() {
        for (own, known, raised) in [
            (2, (Settled, 4), 5),
            (2, (Settled, 2), 3),
            (2, (Settled, 1), 2),
            (5, (Settled, 1), 5),
            (2, (Unwound, 2), 2),
            (2, (Unwound, 4), 2),
        ] {
            let (saga, effects) = receive(ended(Unwound, own), known);
            assert_eq!(end(&saga), Some((Unwound, raised)), "{own}, {known:?}");
            assert!(matches!(effects[..], [Effect::Publish(_)]), "it is published again: {effects:?}");
        }
    }

    #[test]
    fn a_first_outcome_is_above_what_claim_process_knows() {
        let approved = Input::PayAnswer(PayAnswer::Approved { amount_cents: 100 });
        let (saga, _) = advance(intended(Some((Settled, 4))), approved);
        assert_eq!(end(&saga), Some((Settled, 5)));
    }
}
