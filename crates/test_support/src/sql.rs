//! Plain SQL that works on both databases.

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use dual_db::{Connection, Database, on_each_backend};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// The number `n` that a query returns.
///
/// # Panics
/// If the query fails.
pub fn number(database: &Database, sql: &str) -> i64 {
    database.read(|connection| number_in(connection, sql)).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

/// The number `n` that a query returns, in a transaction.
///
/// # Errors
/// The error of the database.
pub fn number_in(connection: &mut Connection, sql: &str) -> dual_db::Result<i64> {
    let found: Number = on_each_backend!(connection, |c| sql_query(sql).get_result(c))?;
    Ok(found.n)
}

/// The number of rows of a table.
///
/// # Panics
/// If the table does not exist.
pub fn count(database: &Database, table: &str) -> i64 {
    number(database, &format!("SELECT count(*) AS n FROM {table}"))
}

/// Runs a statement.
///
/// # Errors
/// The error of the database.
pub fn execute(connection: &mut Connection, sql: &str) -> dual_db::Result<()> {
    on_each_backend!(connection, |c| sql_query(sql).execute(c))?;
    Ok(())
}

#[derive(QueryableByName)]
struct SqlitePlan {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[derive(QueryableByName)]
struct PostgresPlan {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    line: String,
}

/// Asserts that a query is answered from an index. On PostgreSQL, which reads small tables whole, that it can be.
///
/// # Panics
/// If it is not, with the database's plan.
pub fn assert_uses_index(database: &Database, query: &str, index: &str) {
    let plan = database.write(|connection| match connection {
        Connection::Sqlite(c) => {
            let plan: Vec<SqlitePlan> = sql_query(format!("EXPLAIN QUERY PLAN {query}")).load(c)?;
            Ok(plan.into_iter().map(|step| step.detail).collect::<Vec<_>>().join("\n"))
        }
        Connection::Postgres(c) => {
            sql_query("SET LOCAL enable_seqscan = off").execute(c)?;
            let plan: Vec<PostgresPlan> = sql_query(format!("EXPLAIN {query}")).load(c)?;
            Ok(plan.into_iter().map(|step| step.line).collect::<Vec<_>>().join("\n"))
        }
    });
    let plan = plan.expect("the query can be planned");
    let sorts = plan.contains("Sort") || plan.contains("TEMP B-TREE");
    assert!(plan.contains(index) && !sorts, "{query}\n{plan}");
}

/// Makes a table refuse the rows of an operation, `INSERT` or `DELETE`, as a CHECK does. Only one table at a time.
///
/// # Panics
/// If the trigger cannot be created.
pub fn forbid(database: &Database, operation: &str, table: &str) {
    let made = database.write(|connection| match connection {
        // An error that a trigger raises on SQLite has no kind.
        Connection::Sqlite(_) => {
            execute(connection, "CREATE TABLE IF NOT EXISTS forbidden (n INTEGER CHECK (n = 0))")?;
            let refuse = "INSERT INTO forbidden VALUES (1)";
            execute(connection, &format!("CREATE TRIGGER forbid BEFORE {operation} ON {table} BEGIN {refuse}; END"))
        }
        Connection::Postgres(_) => {
            let function = "CREATE OR REPLACE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS \
                            $$ BEGIN RAISE EXCEPTION 'forbidden' USING ERRCODE = 'check_violation'; END $$";
            execute(connection, function)?;
            let trigger =
                format!("CREATE TRIGGER forbid BEFORE {operation} ON {table} FOR EACH ROW EXECUTE FUNCTION forbid()");
            execute(connection, &trigger)
        }
    });
    made.expect("the trigger can be created");
}

/// Reverts [`forbid`].
///
/// # Panics
/// If [`forbid`] was not called for the table.
pub fn allow(database: &Database, table: &str) {
    let dropped = database.write(|connection| match connection {
        Connection::Sqlite(_) => execute(connection, "DROP TRIGGER forbid"),
        Connection::Postgres(_) => execute(connection, &format!("DROP TRIGGER forbid ON {table}")),
    });
    dropped.expect("the trigger can be dropped");
}
