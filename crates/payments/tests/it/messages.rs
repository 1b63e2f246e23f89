//! What comes from Kafka: events are applied, and what can never be applied is dead-lettered while the rest goes on.

use crate::harness::{Approving, CLAIM, Instance, settings};
use claim_events::{ClaimBody, ClaimEvent, Event, KnownOutcome, OutcomeKind, OutcomeRecorded};
use dual_db::Database;
use event_bus::{Handler, IncomingMessage};
use payments::domain::saga::State;
use payments::events::claims::Claims;
use payments::gateway::Dispatcher;
use payments::settings::Settings;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use test_support::on_both_databases;

/// Settings with a lease in which a call can be made.
fn patient() -> Settings {
    let mut settings = settings();
    settings.saga.lease_ms = 60_000;
    settings
}

fn body(claim_id: &str) -> ClaimBody {
    ClaimBody {
        claim_id: claim_id.into(),
        plan_group: "GRP-1000".into(),
        provider_npi: "1497775530".into(),
        net_fee_cents: 100,
        submitted_at: "2100-01-01T09:30:00.123456Z".into(),
        lines: vec![],
        known_outcome: None,
        resync_epoch: 0,
    }
}

fn message(event: &ClaimEvent, version: i64, offset: i64) -> IncomingMessage {
    let encoded = event.encode(version, "2026-11-22T09:30:00.123456Z".into(), "req-1", "req-1", None);
    IncomingMessage {
        topic: encoded.topic.into(),
        partition: 0,
        offset,
        time_ms: 0,
        key: Some(encoded.key.into_bytes()),
        headers: encoded.headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect(),
        body: encoded.body.into_bytes(),
    }
}

pub fn submitted(claim_id: &str, offset: i64) -> IncomingMessage {
    message(&ClaimEvent::Submitted(body(claim_id)), 1, offset)
}

on_both_databases! {
    fn poison_is_dead_lettered_with_its_neighbours_applied(database: &Database) {
        let instance = Instance::new(database, "one");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("starts");
        let (answers, answered) = channel();
        let dispatcher = Dispatcher::new(Arc::new(Approving::default()), runtime.handle().clone(), &patient(), answers);
        let mut claims = Claims::new(instance.executor.clone(), dispatcher.clone());

        let mut batch = vec![submitted(CLAIM, 0)];
        let mut broken = submitted("broken", 1);
        broken.body = b"{\"claim_id\": ".to_vec();
        let mut headerless = submitted("headerless", 2);
        headerless.headers.retain(|(name, _)| name != "ce_aggregateversion");
        let mut foreign = submitted("foreign", 3);
        foreign.key = Some(b"another".to_vec());
        let mut tombstone = submitted("tombstone", 4);
        tombstone.body.clear();
        let mut ambiguous = submitted("ambiguous", 10);
        ambiguous.headers.push(("ce_id".to_owned(), b"another".to_vec()));
        let of_another_version = message(&ClaimEvent::VoidRequested(body("versions")), 7, 5);
        let absurd = ClaimBody { net_fee_cents: i64::MIN, ..body("absurd") };
        let absurd = message(&ClaimEvent::Submitted(absurd), 1, 8);
        let endless = KnownOutcome { kind: OutcomeKind::Settled, version: i64::MAX };
        let endless = ClaimBody { known_outcome: Some(endless), ..body("endless") };
        let endless = message(&ClaimEvent::Submitted(endless), 1, 9);
        batch.extend([broken, headerless, foreign, tombstone, of_another_version, submitted("neighbour", 6), absurd, endless, ambiguous]);
        let recorded = OutcomeRecorded {
            claim_id: CLAIM.into(),
            known_outcome: KnownOutcome { kind: OutcomeKind::Unwound, version: 2 },
            resync_epoch: 0,
        };
        batch.push(message(&ClaimEvent::OutcomeRecorded(recorded), 2, 7));

        claims.handle(&batch).expect("the batch is applied");
        assert_eq!(instance.dead_letters(), 8);
        claims.handle(&batch).expect("a batch that comes again is applied again");
        assert_eq!(instance.dead_letters(), 8, "a message that comes again is dead-lettered once");
        for _ in 0..2 {
            let answered = answered.recv_timeout(Duration::from_secs(10)).expect("both neighbours are paid");
            instance.executor.apply_answers(std::slice::from_ref(&answered.0)).expect("writes");
        }
        assert_eq!(instance.saga("neighbour").saga.state(), State::Settled);
        assert_eq!(instance.published(), 2);
        assert_eq!(dispatcher.in_flight(), 0);
    }

    fn a_repeated_claim_may_know_and_request_more_and_must_not_differ_otherwise(database: &Database) {
        let instance = Instance::new(database, "one");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("starts");
        let (answers, _answered) = channel();
        let dispatcher = Dispatcher::new(Arc::new(Approving::default()), runtime.handle().clone(), &patient(), answers);
        let mut claims = Claims::new(instance.executor.clone(), dispatcher);
        let known_outcome = Some(KnownOutcome { kind: OutcomeKind::Settled, version: 1 });
        let again = ClaimBody { known_outcome, resync_epoch: 7, ..body(CLAIM) };
        claims.handle(&[submitted(CLAIM, 0), message(&ClaimEvent::Submitted(again), 1, 1)]).expect("applies");
        let saga = instance.saga(CLAIM).saga;
        assert_eq!((instance.dead_letters(), saga.resync_epoch, saga.known_version), (0, 7, 1));
        for (dead_letters, other) in [
            (1, ClaimBody { net_fee_cents: 101, ..body(CLAIM) }),
            (2, ClaimBody { provider_npi: "1234567893".into(), ..body(CLAIM) }),
            (3, ClaimBody { plan_group: "GRP-2000".into(), ..body(CLAIM) }),
        ] {
            claims.handle(&[message(&ClaimEvent::VoidRequested(other), 2, 1 + dead_letters)]).expect("applies");
            assert_eq!((instance.dead_letters(), instance.saga(CLAIM).saga.claim_version), (dead_letters, 1));
        }
    }

    fn at_the_bound_no_new_claims_are_taken(database: &Database) {
        let instance = Instance::new(database, "one");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("starts");
        let (answers, answered) = channel();
        let mut small = patient();
        small.saga.max_in_flight = 2;
        let dispatcher = Dispatcher::new(Arc::new(Approving::default()), runtime.handle().clone(), &small, answers);
        let mut claims = Claims::new(instance.executor.clone(), dispatcher);
        assert!(claims.has_room());
        claims.handle(&[submitted("one", 0), submitted("two", 1)]).expect("applies");
        let waiting: Vec<_> = (0..2).map(|_| answered.recv_timeout(Duration::from_secs(10)).expect("answers")).collect();
        assert!(!claims.has_room(), "an answer that is not written yet takes up room");
        drop(waiting);
        assert!(claims.has_room());
    }
}
