//! The versions of outcomes where the services remember different ones: known unwound wins, and the next outcome of payments
//! has a version above every one that either service knows.

use crate::harness::{CLAIM, Instance, approved, declined, event, reconcile, refunded};
use claim_events::{KnownOutcome, OutcomeKind, OutcomeRecorded};
use dual_db::Database;
use payments::db::restore_marker;
use payments::domain::saga::{Call, LookUpAnswer, State};
use payments::executor::{ClaimEventRead, Received};
use test_support::on_both_databases;

/// Later than any restore in a test.
const LATER_EPOCH: i64 = 4_000_000_000;

/// The claim's event, re-requested with this outcome.
fn known(kind: OutcomeKind, version: i64) -> ClaimEventRead {
    let mut event = event(CLAIM, 100, 1);
    event.update.resync_epoch = LATER_EPOCH;
    event.update.known = Some(KnownOutcome { kind, version });
    event
}

/// The ids of what was published since the last time: claim, type and version.
fn published(instance: &Instance) -> Vec<String> {
    instance
        .delivered()
        .into_iter()
        .map(|(envelope, _)| envelope.id.strip_prefix(&format!("{CLAIM}.payment.")).expect("ours").to_owned())
        .collect()
}

/// Restores the database of a payment that is known as settled under version 3 and is found at the gateway.
fn settled_as_version_4(database: &Database) -> Instance {
    let instance = Instance::new(database, "one");
    instance.receive(&event(CLAIM, 100, 1));
    let marked = database.write(|connection| {
        let now_us = connection.now_us()?;
        restore_marker::restored(connection, now_us)
    });
    marked.expect("marks");
    let look_up = instance.receive(&known(OutcomeKind::Settled, 3));
    assert_eq!(instance.answer(&look_up[0], reconcile(LookUpAnswer::Paid { amount_cents: 100 })), []);
    assert_eq!(published(&instance), ["settled.4"]);
    instance
}

/// claim_process has the payment as unwound under `known_version`, whatever it received before: payments follows.
fn unwinds_as_version_5(database: &Database, known_version: i64) {
    let instance = settled_as_version_4(database);
    let refund = instance.receive(&known(OutcomeKind::Unwound, known_version));
    assert!(matches!(refund[0].call, Call::Refund { amount_cents: 100, .. }), "{refund:?}");
    assert_eq!((instance.saga(CLAIM).saga.state(), published(&instance)), (State::Unwinding, vec![]));
    let again = instance.receive(&known(OutcomeKind::Unwound, known_version));
    assert_eq!((again, published(&instance)), (vec![], vec![]), "repeated while it unwinds, it changes nothing");
    instance.answer(&refund[0], refunded());
    assert_eq!(published(&instance), ["unwound.5"]);
    assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "post", "refund", "reserve", "reverse"]);
    assert_eq!(instance.books_off(), 0);
}

on_both_databases! {
    fn unwound_as_version_2_wins_over_settled_as_version_4(database: &Database) {
        unwinds_as_version_5(database, 2);
    }

    fn unwound_under_the_version_of_the_own_settlement_wins_over_it(database: &Database) {
        unwinds_as_version_5(database, 4);
    }

    fn an_own_unwinding_is_published_again_above_a_settlement_that_claim_process_knows(database: &Database) {
        let instance = Instance::new(database, "one");
        let calls = instance.receive(&event(CLAIM, 100, 1));
        instance.answer(&calls[0], declined());
        assert_eq!(published(&instance), ["unwound.1"]);
        instance.receive(&known(OutcomeKind::Settled, 4));
        assert_eq!(published(&instance), ["unwound.5"]);
        // claim_process applied it: nothing is raised again.
        instance.receive(&known(OutcomeKind::Unwound, 5));
        assert_eq!(published(&instance), ["unwound.5"]);
        assert_eq!(instance.books_off(), 0);
    }

    fn a_late_return_after_version_4_is_version_5_until_it_is_recorded(database: &Database) {
        let instance = settled_as_version_4(database);
        instance.executor.apply_return("evt-1", CLAIM, 100).expect("applies");
        assert_eq!(published(&instance), ["unwound.5"]);
        let recorded = |version| {
            let known_outcome = KnownOutcome { kind: OutcomeKind::Unwound, version };
            let recorded = OutcomeRecorded { claim_id: CLAIM.into(), known_outcome, resync_epoch: LATER_EPOCH };
            instance.executor.apply_events(&[Received::Recorded(recorded)], &[]).expect("applies");
            instance.saga(CLAIM).saga.waits_for_record()
        };
        assert!(recorded(4), "an older outcome is another one");
        assert!(!recorded(5));
    }

    fn a_payment_that_is_begun_with_a_known_outcome_ends_above_it(database: &Database) {
        let instance = Instance::new(database, "one");
        let calls = instance.receive(&known(OutcomeKind::Settled, 4));
        instance.answer(&calls[0], approved(100));
        assert_eq!(published(&instance), ["settled.5"]);
    }
}
