//! Makes COMMIT fail after every statement of its transaction has succeeded, as a deferred constraint or a full disk does.

use crate::execute;
use dual_db::{Connection, Database};

/// Makes the COMMIT of each transaction fail that inserts a row `NEW` into `table` for which the SQL `condition` holds.
///
/// # Panics
/// If the constraint cannot be created.
pub fn fail_commits(database: &Database, table: &str, condition: &str) {
    let made = database.write(|connection| match connection {
        // A foreign key is the only constraint that SQLite checks at COMMIT.
        Connection::Sqlite(_) => {
            execute(connection, "CREATE TABLE IF NOT EXISTS never_filled (id INTEGER PRIMARY KEY)")?;
            execute(
                connection,
                "CREATE TABLE IF NOT EXISTS failing_commits \
                 (id INTEGER REFERENCES never_filled (id) DEFERRABLE INITIALLY DEFERRED)",
            )?;
            execute(
                connection,
                &format!(
                    "CREATE TRIGGER fail_commit AFTER INSERT ON {table} WHEN {condition} \
                     BEGIN INSERT INTO failing_commits VALUES (1); END"
                ),
            )
        }
        Connection::Postgres(_) => {
            execute(
                connection,
                "CREATE OR REPLACE FUNCTION fail_commit() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'this commit fails' USING ERRCODE = 'foreign_key_violation'; END $$",
            )?;
            execute(
                connection,
                &format!(
                    "CREATE CONSTRAINT TRIGGER fail_commit AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED \
                     FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION fail_commit()"
                ),
            )
        }
    });
    made.expect("a constraint that is checked at COMMIT can be created");
}

/// Reverts [`fail_commits`].
///
/// # Panics
/// If [`fail_commits`] was not called.
pub fn let_commits_succeed(database: &Database, table: &str) {
    let dropped = database.write(|connection| match connection {
        Connection::Sqlite(_) => execute(connection, "DROP TRIGGER fail_commit"),
        Connection::Postgres(_) => execute(connection, &format!("DROP TRIGGER fail_commit ON {table}")),
    });
    dropped.expect("the constraint can be dropped");
}
