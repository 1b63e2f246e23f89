//! Statistics of young tables on PostgreSQL. A connection plans a prepared statement once, by the statistics of that time, and again
//! only when they change. PostgreSQL gathers them about a minute after a table has grown: until then a statement that was planned for
//! an empty table reads a large one as a whole, each time it runs. So tables that have grown are analyzed at once.

use crate::{Connection, Database, Result};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::Text;
use std::time::Duration;
use worker_threads::{Pace, Periodic};

/// How often it is looked for tables that have grown.
const INTERVAL: Duration = Duration::from_secs(2);

/// Tables of this schema with at least 500 rows more than three times the rows of their statistics.
const GROWN: &str = "SELECT quote_ident(c.relname) AS name FROM pg_class c JOIN pg_stat_user_tables s ON s.relid = c.oid \
                     WHERE c.relnamespace = current_schema()::regnamespace AND s.n_live_tup > 500 + 3 * greatest(c.reltuples, 0)";

#[derive(QueryableByName)]
struct Table {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Starts the thread that analyzes tables which have grown; `None` on SQLite, whose plans do not depend on the size of a table.
pub fn keep_statistics(database: &Database) -> Option<Periodic> {
    let database = database.clone();
    database.is_postgres().then(|| {
        Periodic::spawn("statistics", INTERVAL, move || {
            if let Err(error) = analyze_grown(&database) {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "tables not analyzed, PostgreSQL does it later"
                );
            }
            Pace::Pause
        })
    })
}

/// Analyzes the tables that have grown, and returns how many.
///
/// # Errors
/// The database's.
pub fn analyze_grown(database: &Database) -> Result<usize> {
    database.read(|connection| {
        let Connection::Postgres(c) = connection else { return Ok(0) };
        let grown: Vec<Table> = sql_query(GROWN).load(c)?;
        for table in &grown {
            sql_query(format!("ANALYZE {}", table.name)).execute(c)?;
        }
        Ok(grown.len())
    })
}
