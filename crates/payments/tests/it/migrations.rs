//! Migrations and what the queries are written against: the tables are those of `schema.rs` on both databases, and every
//! migration can be taken back.

use dual_db::Database;
use payments::db::{MIGRATIONS, schema};
use test_support::on_both_databases;
use test_support::schema_drift::{
    assert_down_and_up_again_is_the_same, assert_migrations_make, assert_rows_survive_the_newest_migrations,
    columns_in_schema,
};

on_both_databases! {
    fn the_tables_are_those_of_the_schema(database: &Database) {
        assert_migrations_make(database, &[&event_bus::MIGRATIONS], &MIGRATIONS, &[
            columns_in_schema(schema::restore_marker::table),
            columns_in_schema(schema::gateway_returns::table),
            columns_in_schema(schema::ledger_transfers::table),
            columns_in_schema(schema::operator_actions::table),
            columns_in_schema(schema::plan_budgets::table),
            columns_in_schema(schema::sagas::table),
            columns_in_schema(dual_db::trusted_clock::schema::trusted_clock::table),
        ]);
    }

    fn down_and_up_again_is_the_same(database: &Database) {
        assert_down_and_up_again_is_the_same(database, &[&event_bus::MIGRATIONS, &MIGRATIONS]);
    }

    fn the_newest_migrations_keep_rows(database: &Database) {
        assert_rows_survive_the_newest_migrations(database, &[&event_bus::MIGRATIONS, &MIGRATIONS], 5, &[
            "INSERT INTO sagas (claim_id, state, amount_cents, facts, content_hash, revision, next_attempt_at_us, correlation_id, cause_id, \
             started_at_us, updated_at_us) VALUES ('c', 'unverified', 1, '{\"plan_group\":\"\\\"ask\\\":\",\"resync_epoch\":5,\"unsolicited\":true,\
             \"restore_marker\":{\"at_us\":7,\"restored\":true},\"trust\":\"unverified\"}', 'h', 3, 9, 'r', 'r', 1, 2)",
            "INSERT INTO outbox (event_id, topic, message_key, headers, body, created_at_us, send_after_us) \
             VALUES ('c.payment.settled.1', 't', 'c', '[]', '{\"resync_epoch\":5,\"unsolicited\":false}', 1, 2)",
            "INSERT INTO restore_marker (id, at_us, restored, resynced) VALUES (1, 7, TRUE, FALSE)",
            "INSERT INTO operator_actions (claim_id, action, reason, client, state_before, state_after, at_us) \
             VALUES ('c', 'retry', 'because', '127.0.0.1', 'unverified', 'unverified', 1)",
            "INSERT INTO ledger_transfers (id, claim_id, kind, debit_account, credit_account, amount_cents, weight, booked_at_us) \
             VALUES ('c.open_receivable', 'c', 'open_receivable', 'receivable:n', 'provider_payable:n', 1, 'posted', 2)",
            "INSERT INTO ledger_transfers (id, claim_id, kind, debit_account, credit_account, amount_cents, weight, reverses, booked_at_us) \
             VALUES ('c.close_receivable', 'c', 'close_receivable', 'provider_payable:n', 'receivable:n', 1, 'posted', 'c.open_receivable', 3)",
            "INSERT INTO ledger_transfers (id, claim_id, kind, debit_account, credit_account, amount_cents, weight, booked_at_us) \
             VALUES ('c.receivable', 'c', 'receivable', 'receivable:n', 'plan_budget:p', 1, 'posted', 4)",
            "INSERT INTO gateway_returns (event_id, claim_id, amount_cents, received_at_us) VALUES ('e', 'c', 1, 2)",
        ]);
    }
}
