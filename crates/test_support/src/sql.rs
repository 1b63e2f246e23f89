//! A look into a database, and a hand in it, with plain SQL that is the same on both.

use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use dual_db::{Connection, Database, on_each_backend};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// The one number `n` that a query returns.
///
/// # Panics
/// When the query fails.
pub fn number(database: &Database, sql: &str) -> i64 {
    database.read(|connection| number_in(connection, sql)).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

/// The one number `n` that a query returns, in a transaction.
///
/// # Errors
/// The database's.
pub fn number_in(connection: &mut Connection, sql: &str) -> dual_db::Result<i64> {
    let found: Number = on_each_backend!(connection, |c| sql_query(sql).get_result(c))?;
    Ok(found.n)
}

/// How many rows a table has.
///
/// # Panics
/// When there is no such table.
pub fn count(database: &Database, table: &str) -> i64 {
    number(database, &format!("SELECT count(*) AS n FROM {table}"))
}

/// Runs a statement.
///
/// # Errors
/// The database's.
pub fn execute(connection: &mut Connection, sql: &str) -> dual_db::Result<()> {
    on_each_backend!(connection, |c| sql_query(sql).execute(c))?;
    Ok(())
}

/// Makes a table refuse what is done to it: `INSERT`, `DELETE`. It is one table at a time.
///
/// # Panics
/// When the trigger cannot be made.
pub fn forbid(database: &Database, operation: &str, table: &str) {
    let made = database.write(|connection| match connection {
        Connection::Sqlite(_) => execute(
            connection,
            &format!("CREATE TRIGGER forbid BEFORE {operation} ON {table} BEGIN SELECT RAISE(ABORT, 'forbidden'); END"),
        ),
        Connection::Postgres(_) => {
            let function = "CREATE OR REPLACE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS \
                            $$ BEGIN RAISE EXCEPTION 'forbidden'; END $$";
            execute(connection, function)?;
            let trigger =
                format!("CREATE TRIGGER forbid BEFORE {operation} ON {table} FOR EACH ROW EXECUTE FUNCTION forbid()");
            execute(connection, &trigger)
        }
    });
    made.expect("a trigger can be made");
}

/// Takes back what [`forbid`] did.
///
/// # Panics
/// When the table was not forbidden.
pub fn allow(database: &Database, table: &str) {
    let dropped = database.write(|connection| match connection {
        Connection::Sqlite(_) => execute(connection, "DROP TRIGGER forbid"),
        Connection::Postgres(_) => execute(connection, &format!("DROP TRIGGER forbid ON {table}")),
    });
    dropped.expect("the trigger can be dropped");
}
