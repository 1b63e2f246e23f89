//! Connections that can do no work are closed, and not handed out again.

use dual_db::{Database, DatabaseSettings, Error};
use test_support::{TestDatabase, count, execute, number_in, on_both_databases, on_postgres};

/// A pool with one connection.
fn single(test: &TestDatabase) -> Database {
    Database::open(&DatabaseSettings { max_connections: 1, max_retries: 0, ..test.settings().clone() }).expect("opens")
}

on_both_databases! {
    fn a_connection_is_closed_after_an_error_that_is_not_about_a_row_and_kept_after_one_that_is(test: &TestDatabase) {
        let database = single(test);
        database.write(|c| execute(c, "CREATE TABLE numbers (n BIGINT CHECK (n > 0))")).expect("creates");
        // A table of the session tells whether it is the same one.
        let mark = "CREATE TEMPORARY TABLE mark (n BIGINT)";
        database.write(|c| execute(c, mark)).expect("the session is marked");
        let refused = database.write(|c| execute(c, "INSERT INTO numbers VALUES (0)"));
        assert!(matches!(refused, Err(Error::Query(_))), "{refused:?}");
        database.write(|c| execute(c, "INSERT INTO mark VALUES (1)")).expect("it is the same session");
        let failed = database.write(|c| execute(c, "INSERT INTO nowhere VALUES (1)"));
        assert!(matches!(failed, Err(Error::Failed(_))), "{failed:?}");
        database.write(|c| execute(c, mark)).expect("it is a new session");
    }

    fn a_connection_is_closed_also_if_the_caller_ignores_the_error(test: &TestDatabase) {
        let database = single(test);
        let mark = "CREATE TEMPORARY TABLE mark (n BIGINT)";
        database.write(|c| execute(c, mark)).expect("the session is marked");
        let ignored = database.write(|c| {
            number_in(c, "SELECT n FROM nowhere").expect_err("there is no such table");
            Ok(())
        });
        // PostgreSQL rolls back a transaction with a failed statement.
        let _ = ignored;
        database.write(|c| execute(c, mark)).expect("it is a new session");
    }
}

on_postgres! {
    #[test]
    fn a_session_that_stays_read_only_after_the_server_is_writable_again_is_given_up() {
        let test = TestDatabase::postgres();
        let database = single(&test);
        database.write(|c| execute(c, "CREATE TABLE numbers (n BIGINT)")).expect("creates");
        database.read(|c| execute(c, "SET default_transaction_read_only = on")).expect("this session is read-only");
        let refused = database.write(|c| execute(c, "INSERT INTO numbers VALUES (1)"));
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        database.write(|c| execute(c, "INSERT INTO numbers VALUES (1)")).expect("a new session writes");
        assert_eq!(count(&database, "numbers"), 1);
    }
}
