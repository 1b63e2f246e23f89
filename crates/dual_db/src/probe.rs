//! Whether the database does what the services need: a write that is committed, and every right that they have to have.

use crate::{Connection, Database, Error, Result, on_each_backend};
use diesel::connection::SimpleConnection;
use r2d2::ManageConnection;

/// Writes some pages of a temporary file, and drops it. The other probes need no room on PostgreSQL's disk: they update one row in
/// place, and the log has room in files that were made before. 64 kB is the least `work_mem`; 4,000 rows do not fit into it.
const POSTGRES_HAS_ROOM: &str = "SET LOCAL work_mem = '64kB'; SET LOCAL temp_tablespaces = ''; \
     SELECT count(*) FROM generate_series(1, 4000)";

impl Database {
    /// Runs the probes of the migrations that this database was opened with, in one transaction, and commits it: a real write of
    /// one row that has no meaning, and statements on the tables of the service that touch no row but need the same rights. On
    /// PostgreSQL it also proves that its disk has room.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Failed`] while the database does not do its work; the former also while an SQLite file
    /// is damaged.
    pub fn probe_write(&self) -> Result<()> {
        let damage = self.damage.as_ref().and_then(|damage| damage.after_errors(|| self.manager.connect()));
        if let Some(damage) = damage {
            return Err(Error::Unavailable(damage));
        }
        let statements = self.probe_statements();
        if statements.is_empty() {
            return self.ping();
        }
        self.write(|connection: &mut Connection| {
            if let Connection::Postgres(postgres) = connection {
                postgres.batch_execute(POSTGRES_HAS_ROOM)?;
            }
            Ok(on_each_backend!(connection, |c| c.batch_execute(&statements))?)
        })
    }
}
