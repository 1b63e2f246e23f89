//! Claims from before there were canonical forms get theirs, in steps that may be interrupted anywhere.

use crate::service::{line, with_service};
use claim_process::claims::canonical_forms::{are_complete, complete};
use claim_process::claims::preflight::{Comparison, preflight};
use claim_process::db;
use claim_process::domain::limits::Limits;
use claim_process::domain::rules::default_severities;
use claim_process::domain::rules::rule_set::RuleSet;
use claim_process::intake::{ReadLimits, read_json};
use dual_db::{Database, DatabaseSettings};
use serde_json::json;
use test_support::{TestDatabase, count, execute, on_both_databases};

/// Claims as an earlier version stored them: `numbers` are the senders' own, in the order of the claims.
fn store_as_before(database: &Database, numbers: &[&str]) {
    database.migrate(&[&event_bus::MIGRATIONS, &db::MIGRATIONS]).expect("migrates");
    let insert = |n: usize, number: &str| {
        format!(
            "INSERT INTO claims (claim_id, external_claim_id, status, needs_attention, plan_group, subscriber_id, provider_npi, \
             net_fee_cents, submitted_at_us, warnings, correlation_id, version, resync_epoch, request_count) \
             VALUES ('claim-{n}', {number}, 'submitted', FALSE, 'p', 's', 'n', 1, 2, '[]', 'r', 1, 0, 0)"
        )
    };
    for (n, number) in numbers.iter().enumerate() {
        let number = if number.is_empty() { "NULL".to_owned() } else { format!("'{number}'") };
        database.write(|c| execute(c, &insert(n, &number))).expect("a row");
    }
}

fn has_key(database: &Database, claim_id: &str, key: &str) -> bool {
    count(database, &format!("claims WHERE claim_id = '{claim_id}' AND external_claim_key = '{key}'")) == 1
}

on_both_databases! {
    fn earlier_claims_get_their_forms_once_and_the_older_of_two_keeps_a_number(database: &Database) {
        store_as_before(database, &["A-17", "", "B\u{2013}18", "a-17", "B-18", "C-19"]);
        assert!(!are_complete(database).expect("reads"));
        assert_eq!(complete(database).expect("completes"), 6);
        for (id, key) in [("claim-0", "a-17"), ("claim-2", "b-18"), ("claim-5", "c-19")] {
            assert!(has_key(database, id, key), "{id}");
        }
        assert_eq!(count(database, "claims WHERE external_claim_key IS NULL"), 3, "the later ones, and that without a number");
        assert!(are_complete(database).expect("reads"));
        assert_eq!(complete(database).expect("has nothing to do"), 0);
    }

    fn an_interrupted_run_goes_on_where_it_stopped(database: &Database) {
        store_as_before(database, &["A-17", "B-18", "A\u{2011}17"]);
        // As after a step that ended at the first claim.
        for sql in ["UPDATE claims SET external_claim_key = 'a-17' WHERE claim_id = 'claim-0'",
                    "INSERT INTO canonical_forms (id, claims_to) SELECT 1, id FROM claims WHERE claim_id = 'claim-0'"] {
            database.write(|c| execute(c, sql)).expect("writes");
        }
        assert_eq!(complete(database).expect("completes"), 2);
        assert!(has_key(database, "claim-0", "a-17") && has_key(database, "claim-1", "b-18"));
        assert_eq!(count(database, "claims WHERE claim_id = 'claim-2' AND external_claim_key IS NULL"), 1);
    }

    fn an_earlier_claim_is_found_as_a_duplicate_however_its_plan_is_spelt(database: &TestDatabase) {
        let spelt = |plan: &str| json!([line(&[("plan_group", json!(plan))])]);
        with_service(database, async |service| drop(service.accepted(&spelt("GRP-1000")).await));
        let database = database.database();
        // The digest and the progress of an earlier version.
        for sql in ["UPDATE claims SET content_digest = CAST('earlier' AS BLOB)", "DELETE FROM canonical_forms"] {
            let sql = if matches!(database.read(|c| Ok(matches!(c, dual_db::Connection::Postgres(_)))), Ok(true)) {
                sql.replace("CAST('earlier' AS BLOB)", "'\\x01'")
            } else {
                sql.to_owned()
            };
            database.write(|c| execute(c, &sql)).expect("writes");
        }
        let rules = RuleSet::new(default_severities(), Limits::default(), None);
        let is_found = |plan: &str| {
            let raw = read_json(spelt(plan).to_string().as_bytes(), ReadLimits::default()).expect("it is JSON");
            let (claim, _) = rules.accept(&raw, jiff::Timestamp::now()).expect("it breaks no rule");
            preflight(database, &[Comparison::new(&rules, &claim)]).expect("reads")[0].warning.is_some()
        };
        assert!(!is_found("GRP-1000"));
        complete(database).expect("completes");
        assert!(is_found("GRP-1000") && is_found("grp\u{2011}1000") && !is_found("GRP-1001"));
    }

    fn a_start_that_may_not_migrate_needs_complete_forms(database: &TestDatabase) {
        store_as_before(database.database(), &["A-17"]);
        let by_hand = DatabaseSettings { migrate_at_start: false, ..database.settings().clone() };
        let error = claim_process::app::open_database(&by_hand).expect_err("a claim lacks its form").to_string();
        assert!(error.contains("run 'claim_process migrate'"), "{error}");
        claim_process::app::open_database(database.settings()).expect("completes");
        claim_process::app::open_database(&by_hand).expect("nothing is missing");
    }
}
