//! What is made of facts that may be older than the world, once the gateway has answered what it knows of the payment.
//!
//! What is found is adopted. Where nothing is found, that proves nothing: a request may still be on its way from a
//! process that was stopped. So an intent is *presumed*, and the money rule holds for it. Only where claim_process has the
//! payment as unwound and no intent is stored does "not found" mean that nothing will come.

use super::facts::{Disbursement, Reservation, Saga, Trust};
use super::input::Effect;
use crate::domain::gateway_call::{LookUpAnswer, PayAnswer};
use crate::domain::ledger::Kind;
use crate::domain::reasons::Reason;
use claim_events::{Cause, Step};

/// What cannot be: the gateway's book contradicts ours.
struct Contradiction;

impl Saga {
    pub(super) fn reconcile(&mut self, answer: LookUpAnswer, key_expired: bool, effects: &mut Vec<Effect>) {
        if self.trust != Trust::LookingUp {
            return;
        }
        let adopted = match answer {
            LookUpAnswer::Unknown { retry_after_ms } | LookUpAnswer::Pending { retry_after_ms } => {
                return self.look_up_later(retry_after_ms, effects);
            }
            LookUpAnswer::Unauthorized => return self.not_authorized(effects),
            LookUpAnswer::NotFound if key_expired && self.must_presume() => {
                effects.push(Effect::Stuck(
                    "the payment may have been made so long ago that the gateway has forgotten its key, and is not found \
                     by its reference: it is not sent again",
                ));
                return self.look_up_later(None, effects);
            }
            LookUpAnswer::NotFound => self.presume(effects),
            LookUpAnswer::Declined { code } => self.adopt_decline(&code, effects),
            LookUpAnswer::Paid { amount_cents } => self.adopt_payment(amount_cents, effects).map(drop),
            LookUpAnswer::Refunded { amount_cents } => self.adopt_refund(amount_cents, effects),
            LookUpAnswer::Returned { amount_cents } => self.adopt_return(amount_cents, effects),
        };
        if adopted.is_err() {
            effects.push(Effect::Alarm("the gateway's book contradicts the facts of a payment"));
            effects.push(Effect::Stuck("the gateway's book contradicts what is known of this payment"));
            return self.look_up_later(None, effects);
        }
        self.trust = Trust::Sure;
        self.end_inquiry();
        if self.has_ended() { effects.extend(self.publication()) } else { self.proceed(effects) }
    }

    /// Whether a payment that is not found may still come, so that its key has to be sent. That it was unwound by these
    /// facts proves nothing: they may be a copy from before the database was lost and created again, and the new one may have
    /// had an intent.
    fn must_presume(&self) -> bool {
        match self.disbursement {
            Disbursement::Intended => true,
            Disbursement::None => !self.known_unwound,
            _ => false,
        }
    }

    fn presume(&mut self, effects: &mut Vec<Effect>) -> Result<(), Contradiction> {
        match self.disbursement {
            Disbursement::None | Disbursement::Intended if self.must_presume() => {
                self.reopen();
                self.reserve_anyway(effects);
                self.disbursement = Disbursement::Intended;
            }
            Disbursement::None | Disbursement::Intended | Disbursement::Declined => {}
            // The gateway knew of it once.
            Disbursement::Paid { .. }
            | Disbursement::RefundIntended { .. }
            | Disbursement::RefundFailed { .. }
            | Disbursement::Refunded
            | Disbursement::Returned
            | Disbursement::Owed { .. } => return Err(Contradiction),
        }
        Ok(())
    }

    /// A restored copy may say that a claim ended unpaid although it was paid later, so its end is dropped. Unwinding goes on
    /// only where claim_process itself has a reason for it: after the next restore a refund might be unknown whose reason
    /// stands only in this copy.
    fn reopen(&mut self) {
        self.drop_outcome();
        if self.claim_version < 2 && !self.known_unwound {
            self.unwinding = None;
        }
        if self.reservation == Reservation::Refused {
            self.reservation = Reservation::None;
        }
    }

    /// There was an intent, so there was a reservation; it cannot fail now.
    fn reserve_anyway(&mut self, effects: &mut Vec<Effect>) {
        if self.reservation == Reservation::None {
            effects.push(Effect::ReserveAnyway(self.parties().transfer(Kind::Reserve, self.amount_cents)));
            self.reservation = Reservation::Pending;
        }
    }

    fn adopt_decline(&mut self, code: &str, effects: &mut Vec<Effect>) -> Result<(), Contradiction> {
        match self.disbursement {
            Disbursement::None | Disbursement::Intended => {
                if !self.has_unwound_outcome() {
                    self.reserve_anyway(effects);
                }
                self.note_pay_answer(PayAnswer::Declined { code: code.to_owned() }, effects);
                Ok(())
            }
            Disbursement::Declined => Ok(()),
            _ => Err(Contradiction),
        }
    }

    /// Returns what was paid, as far as it is not back yet by our own facts.
    fn adopt_payment(&mut self, amount_cents: i64, effects: &mut Vec<Effect>) -> Result<i64, Contradiction> {
        match self.disbursement {
            Disbursement::None | Disbursement::Intended => {
                self.reopen();
                self.reserve_anyway(effects);
                self.note_pay_answer(PayAnswer::Approved { amount_cents }, effects);
                Ok(amount_cents)
            }
            // The refund failed, and the facts are older.
            Disbursement::Refunded => {
                self.reopen_refund(amount_cents, effects);
                Ok(amount_cents)
            }
            known if known.paid_cents() == Some(amount_cents) => Ok(amount_cents),
            _ => Err(Contradiction),
        }
    }

    fn adopt_refund(&mut self, amount_cents: i64, effects: &mut Vec<Effect>) -> Result<(), Contradiction> {
        if self.disbursement == Disbursement::Refunded {
            return Ok(());
        }
        let paid_cents = self.adopt_payment(amount_cents, effects)?;
        self.take_back(Kind::Refund, paid_cents, effects);
        self.unwind(Cause::Operator, Some(Step::Disburse), Reason::refund_found());
        Ok(())
    }

    fn adopt_return(&mut self, amount_cents: i64, effects: &mut Vec<Effect>) -> Result<(), Contradiction> {
        if self.disbursement == Disbursement::Returned {
            return Ok(());
        }
        let paid_cents = self.adopt_payment(amount_cents, effects)?;
        self.take_back(Kind::Return, paid_cents, effects);
        self.unwind(Cause::LateReturn, None, Reason::returned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::restore_marker::RestoreMarker;
    use crate::domain::saga::fixture::{intended, update};
    use crate::domain::saga::{Call, ClaimUpdate, Input, State, advance};
    use claim_events::{OutcomeKind, PaymentEvent};

    /// A saga with an intent that was restored, and whose claim is re-requested with this outcome.
    fn looking_up(known: Option<(OutcomeKind, i64)>) -> Saga {
        let restored = intended(None).under(RestoreMarker { at_us: 1_000_000, restored: true });
        let (saga, effects) = advance(restored, Input::Claim(ClaimUpdate { resync_epoch: 2, ..update(known) }));
        assert!(matches!(effects[..], [Effect::Call(Call::LookUp { .. })]), "{effects:?}");
        saga
    }

    fn found(saga: Saga, answer: LookUpAnswer) -> (Saga, Vec<Effect>) {
        advance(saga, Input::LookedUp { answer, key_expired: false })
    }

    fn published(effects: &[Effect]) -> Vec<&PaymentEvent> {
        effects
            .iter()
            .filter_map(|effect| if let Effect::Publish(event) = effect { Some(event) } else { None })
            .collect()
    }

    #[test]
    fn an_intent_found_paid_is_refunded_next_where_the_claim_is_known_as_unwound() {
        let (saga, effects) =
            found(looking_up(Some((OutcomeKind::Unwound, 1))), LookUpAnswer::Paid { amount_cents: 100 });
        assert!(matches!(effects.last(), Some(Effect::Call(Call::Refund { amount_cents: 100, .. }))), "{effects:?}");
        assert!(published(&effects).is_empty(), "{effects:?}");
        assert_eq!((saga.state(), saga.outcome, saga.reservation), (State::Unwinding, None, Reservation::Pending));
    }

    #[test]
    fn an_intent_found_paid_settles_where_nothing_else_is_known() {
        for known in [None, Some((OutcomeKind::Settled, 1))] {
            let (saga, effects) = found(looking_up(known), LookUpAnswer::Paid { amount_cents: 100 });
            assert!(matches!(published(&effects)[..], [PaymentEvent::Settled(_)]), "{effects:?}");
            assert_eq!(saga.state(), State::Settled);
        }
    }

    #[test]
    fn an_intent_that_is_not_found_is_sent_again_and_taken_back_where_the_claim_is_known_as_unwound() {
        let (saga, effects) = found(looking_up(Some((OutcomeKind::Unwound, 1))), LookUpAnswer::NotFound);
        assert!(matches!(effects[..], [Effect::Call(Call::Pay { .. })]), "{effects:?}");
        let (_, effects) = advance(saga, Input::PayAnswer(PayAnswer::Approved { amount_cents: 100 }));
        assert!(matches!(effects.last(), Some(Effect::Call(Call::Refund { amount_cents: 100, .. }))), "{effects:?}");
        assert!(published(&effects).is_empty(), "{effects:?}");
    }

    #[test]
    fn a_payment_found_against_the_facts_stops_the_saga() {
        let paid = Disbursement::Paid { amount_cents: 100 };
        for (disbursement, found_cents, agrees) in [
            (paid, 100, true),
            (paid, 150, false),
            (Disbursement::Declined, 100, false),
            (Disbursement::Returned, 100, false),
        ] {
            let saga = Saga { disbursement, ..looking_up(None) };
            let (saga, effects) = found(saga, LookUpAnswer::Paid { amount_cents: found_cents });
            let stuck = effects.iter().any(|effect| matches!(effect, Effect::Stuck(_)));
            assert_eq!((stuck, saga.trust == Trust::LookingUp), (!agrees, !agrees), "{disbursement:?}: {effects:?}");
        }
    }
}
