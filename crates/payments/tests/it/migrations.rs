//! Migrations and what the queries are written against: the tables are those of `schema.rs` on both databases, and every
//! migration can be taken back.

use dual_db::Database;
use dual_db::schema_drift::{columns, columns_in_schema, indexes_and_constraints, revert};
use dual_db::testing::on_both_databases;
use payments::db::{MIGRATIONS, schema};
use std::collections::BTreeSet;

on_both_databases! {
    fn the_tables_are_those_of_the_schema(database: &Database) {
        database.migrate(&[&MIGRATIONS]).expect("migrates");
        let said: BTreeSet<String> = [
        columns_in_schema(schema::database_mark::table),
        columns_in_schema(schema::ledger_transfers::table),
        columns_in_schema(schema::plan_budgets::table),
        columns_in_schema(schema::sagas::table),
        ]
        .into_iter()
        .flatten()
        .collect();
        assert_eq!(database.read(columns).expect("reads"), said);
    }

    fn down_and_up_again_is_the_same(database: &Database) {
        let sets = [&event_bus::MIGRATIONS, &MIGRATIONS];
        let all = |database: &Database| {
            database.read(|c| Ok((columns(c)?, indexes_and_constraints(c)?))).expect("reads")
        };
        database.migrate(&sets).expect("migrates");
        let before = all(database);
        assert!(!before.0.is_empty() && !before.1.is_empty());
        revert(database, &sets);
        assert_eq!(all(database), (BTreeSet::new(), BTreeSet::new()), "nothing is left");
        database.migrate(&sets).expect("migrates again");
        assert_eq!(all(database), before);
    }
}
