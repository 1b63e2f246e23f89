//! PostgreSQL has statistics of a table soon after it has grown.

use dual_db::{Database, analyze_grown};
use test_support::{execute, number, on_both_databases, wait_until};

on_both_databases! {
    fn a_table_that_has_grown_is_analyzed_once(database: &Database) {
        if !database.is_postgres() {
            assert_eq!(analyze_grown(database).unwrap(), 0);
            return;
        }
        let grow = |from: i64, to: i64| {
            let insert = format!("INSERT INTO grown SELECT n FROM generate_series({from}, {to}) AS n");
            database.write(|c| execute(c, &insert)).unwrap();
        };
        let rows = || number(database, "SELECT reltuples::bigint AS n FROM pg_class WHERE relname = 'grown'");
        database.write(|c| execute(c, "CREATE TABLE grown (id BIGINT PRIMARY KEY)")).unwrap();
        grow(1, 400);
        grow(401, 2_000);
        // PostgreSQL counts rows with a delay.
        wait_until("it is analyzed", || analyze_grown(database).unwrap() == 1);
        assert_eq!(rows(), 2_000);
        grow(2_001, 5_000);
        assert_eq!(analyze_grown(database).unwrap(), 0, "it has not grown much");
        grow(5_001, 20_000);
        wait_until("it is analyzed", || analyze_grown(database).unwrap() == 1);
        assert_eq!(rows(), 20_000);
    }
}
