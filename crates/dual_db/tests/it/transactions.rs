//! Transactions: rollback, retries after lost races, outages, and concurrent writers.

use dual_db::{Connection, Database, DatabaseSettings, Error, Result};
use test_support::{TestDatabase, count, execute, on_both_databases};

on_both_databases! {
    fn a_failed_transaction_leaves_nothing(database: &Database) {
        database.write(|c| execute(c, "CREATE TABLE numbers (n BIGINT)")).expect("creates");
        let failed: Result<()> = database.write(|c| {
            execute(c, "INSERT INTO numbers VALUES (1)")?;
            Err(Error::Query(diesel::result::Error::RollbackTransaction))
        });
        assert!(failed.is_err());
        assert_eq!(count(database, "numbers"), 0);
        database.write(|c| execute(c, "INSERT INTO numbers VALUES (1)")).expect("the connection still works");
        assert_eq!(count(database, "numbers"), 1);
    }

    fn a_lost_race_is_run_again_a_bounded_number_of_times(database: &Database) {
        let mut runs = 0;
        let won = database.write(|_| { runs += 1; if runs < 3 { Err(Error::Conflict) } else { Ok(runs) } });
        assert_eq!(won.expect("the third run wins"), 3);
        let mut runs = 0;
        let lost: Result<()> = database.write(|_| { runs += 1; Err(Error::Conflict) });
        assert!(matches!(lost, Err(Error::Conflict)));
        assert_eq!(runs, 1 + DatabaseSettings::at("").max_retries);
    }

    fn a_database_that_is_full_read_only_or_slow_is_unavailable_and_refuses_nothing(test: &TestDatabase) {
        let database = test.database();
        let attempt = |prepare: &str, sql: &str| database.write(|connection| {
            execute(connection, prepare)?;
            execute(connection, sql)
        });
        database.write(|c| execute(c, "CREATE TABLE numbers (n BIGINT)")).expect("creates");
        let on_postgres = database.read(|c| Ok(matches!(c, Connection::Postgres(_)))).expect("reads");
        let outages = if on_postgres {
            vec![
                attempt("SET LOCAL statement_timeout = 20", "SELECT pg_sleep(10)"),
                attempt("SET LOCAL transaction_read_only = on", "INSERT INTO numbers VALUES (1)"),
                attempt("SELECT 1", "SELECT pg_terminate_backend(pg_backend_pid())"),
            ]
        } else {
            let full = attempt("PRAGMA max_page_count = 1", "INSERT INTO numbers SELECT zeroblob(1000000)");
            vec![full]
        };
        for outage in outages {
            assert!(outage.as_ref().is_err_and(Error::is_trouble), "{outage:?}");
        }
        database.write(|c| execute(c, "INSERT INTO numbers VALUES (1)")).expect("it has recovered");
        let missing = database.write(|c| execute(c, "INSERT INTO nowhere VALUES (1)")).expect_err("no such table");
        assert!(matches!(missing, Error::Failed(_)), "{missing:?}");
    }

    fn a_lock_that_is_held_by_another_writer_is_waited_for_and_is_no_refusal(test: &TestDatabase) {
        let database = test.database();
        database.write(|c| execute(c, "CREATE TABLE numbers (n BIGINT)")).expect("creates");
        let hasty = DatabaseSettings { busy_timeout_ms: 20, lock_timeout_ms: 20, max_retries: 1, ..test.settings().clone() };
        let hasty = Database::open(&hasty).expect("opens");
        database.write(|connection| {
            if matches!(connection, Connection::Postgres(_)) {
                execute(connection, "LOCK TABLE numbers IN EXCLUSIVE MODE")?;
            }
            let error = hasty.write(|c| execute(c, "INSERT INTO numbers VALUES (1)")).expect_err("it is locked");
            assert!(error.is_trouble(), "{error:?}");
            Ok(())
        }).expect("nothing else is wrong");
        hasty.write(|c| execute(c, "INSERT INTO numbers VALUES (1)")).expect("the lock is gone");
    }

    fn writers_on_many_threads_queue_up(database: &Database) {
        database.write(|c| execute(c, "CREATE TABLE numbers (n BIGINT)")).expect("creates");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| for _ in 0..10 {
                    database.write(|c| execute(c, "INSERT INTO numbers VALUES (1)")).expect("inserts");
                });
            }
        });
        assert_eq!(count(database, "numbers"), 80);
    }
}
