//! Makes COMMIT fail after every statement of its transaction has succeeded, as a deferred constraint or a full disk
//! does. Included by path in the tests of the crates that publish after a commit.

use diesel::{RunQueryDsl, sql_query};
use dual_db::{Connection, Database, Result, on_each_backend};

fn execute(connection: &mut Connection, sql: &str) -> Result<()> {
    on_each_backend!(connection, |c| sql_query(sql).execute(c))?;
    Ok(())
}

/// From now on each transaction that inserts into `table` fails at its COMMIT, and not before.
pub fn fail_commits_that_insert_into(database: &Database, table: &str) {
    let made = database.write(|connection| match connection {
        // A foreign key is the only constraint that SQLite checks at COMMIT.
        Connection::Sqlite(_) => {
            execute(connection, "CREATE TABLE commits (id INTEGER PRIMARY KEY)")?;
            execute(
                connection,
                "CREATE TABLE failing_commits (id INTEGER REFERENCES commits (id) DEFERRABLE INITIALLY DEFERRED)",
            )?;
            execute(
                connection,
                &format!(
                    "CREATE TRIGGER fail_commit AFTER INSERT ON {table} BEGIN INSERT INTO failing_commits VALUES (1); END"
                ),
            )
        }
        Connection::Postgres(_) => {
            execute(
                connection,
                "CREATE FUNCTION fail_commit() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'this commit fails'; END $$",
            )?;
            execute(
                connection,
                &format!(
                    "CREATE CONSTRAINT TRIGGER fail_commit AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED \
                     FOR EACH ROW EXECUTE FUNCTION fail_commit()"
                ),
            )
        }
    });
    made.expect("a constraint that is checked at COMMIT can be made");
}

/// Undoes [`fail_commits_that_insert_into`].
pub fn let_commits_succeed(database: &Database, table: &str) {
    let dropped = database.write(|connection| match connection {
        Connection::Sqlite(_) => execute(connection, "DROP TRIGGER fail_commit"),
        Connection::Postgres(_) => execute(connection, &format!("DROP TRIGGER fail_commit ON {table}")),
    });
    dropped.expect("the constraint can be dropped");
}
