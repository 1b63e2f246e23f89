//! Migrations and what the queries are written against: the tables are those of `schema.rs` on both databases, and every
//! migration can be taken back.

use claim_process::db::{MIGRATIONS, schema};
use dual_db::{Database, DatabaseSettings, Pooler};
use test_support::schema_drift::{
    assert_down_and_up_again_is_the_same, assert_migrations_make, assert_rows_survive_the_newest_migrations, columns,
    columns_in_schema,
};
use test_support::{PgBouncer, TestDatabase, behind_pgbouncer, on_both_databases};

on_both_databases! {
    fn the_tables_are_those_of_the_schema(database: &Database) {
        assert_migrations_make(database, &[&event_bus::MIGRATIONS], &MIGRATIONS, &[
            columns_in_schema(schema::claims::table),
            columns_in_schema(schema::claim_lines::table),
            columns_in_schema(schema::claim_timeline::table),
            columns_in_schema(schema::canonical_forms::table),
            columns_in_schema(schema::idempotency_keys::table),
            columns_in_schema(dual_db::trusted_clock::schema::trusted_clock::table),
            columns_in_schema(schema::provider_totals::table),
        ]);
    }

    fn down_and_up_again_is_the_same(database: &Database) {
        assert_down_and_up_again_is_the_same(database, &[&event_bus::MIGRATIONS, &MIGRATIONS]);
    }

    fn the_newest_migrations_keep_rows(database: &Database) {
        assert_rows_survive_the_newest_migrations(database, &[&event_bus::MIGRATIONS, &MIGRATIONS], 5, &[
            "INSERT INTO claims (claim_id, status, needs_attention, plan_group, subscriber_id, provider_npi, net_fee_cents, submitted_at_us, \
             warnings, correlation_id, version, resync_epoch, outcome, next_attempt_at_us, request_count) VALUES ('c', 'settled', FALSE, \
             '\"ask\":', 's', 'n', 1, 2, '[]', 'r', 1, 5, '{\"resync_epoch\":5,\"unsolicited\":true,\"reason\":\"\\\"ask\\\":\"}', 9, 3)",
            "INSERT INTO outbox (event_id, topic, message_key, headers, body, created_at_us, send_after_us) \
             VALUES ('c.claim.submitted.1', 't', 'c', '[]', '{\"resync_epoch\":5}', 1, 2)",
        ]);
    }

    fn a_start_without_migrations_names_the_command_that_migrates(test: &TestDatabase) {
        let by_hand = DatabaseSettings { migrate_at_start: false, ..test.settings().clone() };
        let sets = [&event_bus::MIGRATIONS, &MIGRATIONS];
        let error = Database::open_migrated(&by_hand, &sets).expect_err("nothing was migrated").to_string();
        assert!(error.contains("migrate_at_start is false: run '") && error.ends_with(" migrate'"), "{error}");
        assert!(test.database().read(columns).expect("reads").is_empty(), "it only looks");
        // Some are there, some are not.
        test.database().migrate(&sets[..1]).expect("migrates");
        let error = Database::open_migrated(&by_hand, &sets).expect_err("some are missing").to_string();
        assert!(error.contains("lacks the migrations 20261123000002"), "{error}");
        test.database().migrate(&sets).expect("migrates");
        Database::open_migrated(&by_hand, &sets).expect("nothing is missing");
        // An older program, which does not know the last migrations.
        for settings in [&by_hand, test.settings()] {
            let error = Database::open_migrated(settings, &sets[..1]).expect_err("the database is newer").to_string();
            assert!(error.contains("by a newer version of this program"), "{error}");
        }
    }

    fn ten_instances_that_start_at_once_migrate_once(test: &TestDatabase) {
        let sets = [&event_bus::MIGRATIONS, &MIGRATIONS];
        std::thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| Database::open_migrated(test.settings(), &sets).expect("each of them starts"));
            }
        });
        assert!(test.database().read(columns).expect("reads").contains("claims.id bigint"));
    }
}

behind_pgbouncer! {
    #[test]
    fn ten_instances_that_start_at_once_behind_a_transaction_pooler_migrate_once() {
        let test = TestDatabase::postgres();
        // Fewer server connections than instances.
        let pgbouncer = PgBouncer::start("transaction", 3, &[]);
        let settings = DatabaseSettings { pooler: Pooler::Transaction, ..pgbouncer.settings(test.settings()) };
        let sets = [&event_bus::MIGRATIONS, &MIGRATIONS];
        std::thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| Database::open_migrated(&settings, &sets).expect("each of them starts"));
            }
        });
        assert!(test.database().read(columns).expect("reads").contains("claims.id bigint"));
    }
}
