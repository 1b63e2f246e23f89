//! Migrations and what the queries are written against: the tables are those of `schema.rs` on both databases, and every
//! migration can be taken back.

use dual_db::Database;
use payments::db::{MIGRATIONS, schema};
use test_support::on_both_databases;
use test_support::schema_drift::{assert_down_and_up_again_is_the_same, assert_tables_are, columns_in_schema};

on_both_databases! {
    fn the_tables_are_those_of_the_schema(database: &Database) {
        database.migrate(&[&MIGRATIONS]).expect("migrates");
        assert_tables_are(database, &[
            columns_in_schema(schema::database_mark::table),
            columns_in_schema(schema::gateway_returns::table),
            columns_in_schema(schema::ledger_transfers::table),
            columns_in_schema(schema::operator_acts::table),
            columns_in_schema(schema::plan_budgets::table),
            columns_in_schema(schema::sagas::table),
        ]);
    }

    fn down_and_up_again_is_the_same(database: &Database) {
        assert_down_and_up_again_is_the_same(database, &[&event_bus::MIGRATIONS, &MIGRATIONS]);
    }
}
