//! The lost answer to a COMMIT: the transaction happened, the writer does not know it, and stores the same group again.
//! Each sender must get the same response as if the answer had come, and nothing may be stored twice.

use crate::service::{PROVIDERS, assert_totals_agree, claim};
use claim_process::claims::store::{Times, store};
use claim_process::claims::submission::{IdempotencyKey, Origin, Submission, Submitted};
use claim_process::db;
use claim_process::domain::identifiers::random_claim_id;
use claim_process::domain::limits::Limits;
use claim_process::domain::rules::default_severities;
use claim_process::domain::rules::rule_set::RuleSet;
use claim_process::domain::transition::Status;
use claim_process::intake::{ReadLimits, read_json};
use claim_process::settings::Settings;
use dual_db::Database;
use event_bus::{KafkaSettings, Relay};
use serde_json::json;
use std::sync::Arc;
use test_support::{count, execute, on_both_databases};

/// A claim on its way into the database, with a key and an external id where they are not empty.
fn submission(provider_npi: &str, net_fee: &str, key: &str, external_id: &str) -> Submission {
    let mut body = claim(provider_npi, net_fee);
    if !external_id.is_empty() {
        body["external_claim_id"] = json!(external_id);
    }
    let form = read_json(body.to_string().as_bytes(), ReadLimits::default()).unwrap();
    let rules = RuleSet::new(default_severities(), Limits::default(), None);
    let (claim, warnings) = rules.accept(&form, jiff::Timestamp::now()).unwrap();
    let idempotency =
        (!key.is_empty()).then(|| IdempotencyKey { key: key.to_owned(), body_hash: format!("hash of {net_fee}") });
    Submission {
        claim_id: random_claim_id(),
        duplicate_check: rules.duplicate_check(&claim),
        claim,
        warnings,
        idempotency,
        origin: Origin { correlation_id: "request".to_owned(), traceparent: None },
    }
}

/// The response of each sender, in one word, and of which claim.
fn responses(results: &[Submitted]) -> Vec<(&'static str, String)> {
    let responses = results.iter().map(|result| match result {
        Submitted::Accepted(claim) => ("accepted", claim.row.claim_id.to_string()),
        Submitted::Replayed(claim) => ("replayed", claim.row.claim_id.to_string()),
        Submitted::KeyReused => ("key reused", String::new()),
        Submitted::LikelyDuplicate { claim_id } => ("equals", claim_id.clone()),
        Submitted::ExternalIdTaken { claim_id } => ("taken", claim_id.clone()),
    });
    responses.collect()
}

/// A relay without a Kafka: what it publishes stays in the outbox.
fn relay(database: &Database) -> Arc<Relay> {
    database.migrate(&[&event_bus::MIGRATIONS, &db::MIGRATIONS]).unwrap();
    let kafka = KafkaSettings { brokers: "127.0.0.1:1".to_owned(), ..Settings::default().kafka };
    Relay::start(database, &kafka).unwrap()
}

/// What the writer does with a group, in one transaction.
fn try_to_store(relay: &Relay, group: &[Submission]) -> dual_db::Result<Vec<Submitted>> {
    relay.commit(|connection, publications| {
        let now_us = publications.now_us();
        let stored = store(connection, group, Times::at(now_us, 60_000_000))?;
        publications.publish(stored.events);
        Ok(stored.results)
    })
}

fn stored(database: &Database) -> Vec<i64> {
    let tables = ["claims", "claim_lines", "claim_timeline", "idempotency_keys", "provider_totals", "outbox"];
    tables.iter().map(|table| count(database, table)).collect()
}

on_both_databases! {
    fn a_group_whose_commit_answer_was_lost_is_stored_once_and_answered_as_if_it_had_come(database: &Database) {
        let relay = relay(database);
        let group = [
            submission(PROVIDERS[0], "1.00", "", ""),
            submission(PROVIDERS[1], "2.00", "key-1", ""),
            // A repeat of the one before, in the same group.
            submission(PROVIDERS[1], "2.00", "key-1", ""),
            // Another body under the same key.
            submission(PROVIDERS[1], "3.00", "key-1", ""),
            submission(PROVIDERS[0], "4.00", "key-2", "A-17"),
            // Another claim under the same external id, with a key that must stay free.
            submission(PROVIDERS[0], "5.00", "key-3", "A-17"),
            submission(PROVIDERS[2], "6.00", "", "A-18"),
        ];
        let id = |n: usize| group[n].claim_id.as_str().to_owned();
        let expected = [
            ("accepted", id(0)),
            ("accepted", id(1)),
            ("replayed", id(1)),
            ("key reused", String::new()),
            ("accepted", id(4)),
            ("taken", id(4)),
            ("accepted", id(6)),
        ];

        let first = try_to_store(&relay, &group).unwrap();
        assert_eq!(responses(&first), expected);
        let once = stored(database);
        assert_eq!(once, [4, 4, 0, 2, 3, 4]);
        let totals = assert_totals_agree(database);
        assert_eq!((totals[PROVIDERS[0]], totals[PROVIDERS[1]], totals[PROVIDERS[2]]), ((500, 2), (200, 1), (600, 1)));

        for _ in 0..3 {
            let again = try_to_store(&relay, &group).unwrap();
            assert_eq!(responses(&again), expected);
            assert_eq!(stored(database), once, "claims, lines, timeline, keys, totals and events");
            assert_eq!(assert_totals_agree(database), totals);
            for (first, again) in first.iter().zip(&again) {
                if let (Submitted::Accepted(first), Submitted::Accepted(again)) = (first, again) {
                    assert_eq!(first.lines, again.lines);
                    assert_eq!(first.row.net_fee_cents, again.row.net_fee_cents);
                    assert_eq!(
                        first.row.submitted_at_us, again.row.submitted_at_us,
                        "it was stored when it was stored"
                    );
                }
            }
        }
    }

    fn a_part_of_the_group_that_others_stored_meanwhile_is_no_hindrance(database: &Database) {
        let relay = relay(database);
        let group = [submission(PROVIDERS[0], "1.00", "key-1", "A-17"), submission(PROVIDERS[0], "2.00", "key-2", "")];
        try_to_store(&relay, &group[..1]).unwrap();
        let results = try_to_store(&relay, &group).unwrap();
        let id = |n: usize| group[n].claim_id.as_str().to_owned();
        assert_eq!(responses(&results), [("accepted", id(0)), ("accepted", id(1))]);
        assert_eq!(stored(database), [2, 2, 0, 2, 1, 2]);
        assert_eq!(assert_totals_agree(database)[PROVIDERS[0]], (300, 2));
    }

    fn an_outcome_that_comes_before_the_second_try_is_kept(database: &Database) {
        let relay = relay(database);
        let group = [submission(PROVIDERS[0], "1.00", "", "")];
        let first = try_to_store(&relay, &group).unwrap();
        database
            .write(|connection| {
                execute(
                    connection,
                    "UPDATE claims SET status = 'unwound', outcome_type = 'payment.unwound', outcome_version = 1, \
                     outcome_at_us = 5, outcome = '{}'",
                )?;
                execute(connection, "UPDATE provider_totals SET net_fee_cents = 0, claims = 0")
            })
            .unwrap();
        let again = try_to_store(&relay, &group).unwrap();
        assert_eq!(responses(&again), responses(&first));
        let Submitted::Accepted(answered) = &again[0] else { panic!("{again:?}") };
        assert_eq!(answered.row.status, Status::Submitted, "the sender gets what was true when the claim was stored");
        assert_eq!(count(database, "claims WHERE status = 'unwound'"), 1);
        assert!(assert_totals_agree(database).is_empty(), "its net fee does not come back");
    }
}
