//! Two errors: [`OpenError`] stops a start and is a sentence for the operator. [`Error`] is the error of a query or
//! transaction, and reports whether a retry can succeed.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// The result of a query or transaction.
pub type Result<T> = std::result::Result<T, Error>;

/// The error of a query or transaction. Never send its text to a client: it can contain the names of tables, and values.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection was free in time, the connection was lost, or the database fails every such query for now: its disk is
    /// full, it is read-only, or it is too slow.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A row changed between being read and being written; run the whole transaction again.
    #[error("a row changed while it was being worked on")]
    Conflict,
    /// Any other error.
    #[error("a database query failed")]
    Query(#[source] DieselError),
}

impl Error {
    /// Whether the database refuses the transaction: running it again, now or later, fails in the same way.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Error::Query(_)) && !self.is_transient()
    }

    /// Whether running the transaction again at once, from its start, can succeed: after [`Error::Conflict`], a serialization
    /// failure (40001), a deadlock (40P01), a lock time-out (55P03) or `SQLITE_BUSY`. Diesel has a kind only for the
    /// serialization failure.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Conflict => true,
            Error::Unavailable(_) => false,
            Error::Query(DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _)) => true,
            Error::Query(DieselError::DatabaseError(_, information)) => {
                let message = information.message();
                [
                    "deadlock detected",
                    "canceling statement due to lock timeout",
                    "database is locked",
                    "database table is locked",
                ]
                .iter()
                .any(|known| message.contains(known))
            }
            Error::Query(_) => false,
        }
    }
}

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(kind, information) if is_outage(kind, information.message()) => {
                Error::Unavailable(information.message().to_owned())
            }
            DieselError::BrokenTransactionManager | DieselError::RollbackErrorOnCommit { .. } => {
                Error::Unavailable("the transaction was lost".to_owned())
            }
            other => Error::Query(other),
        }
    }
}

/// Whether an error is caused by the state of the database and not by the query: the same query succeeds once the database has
/// recovered. If it counted as a refusal, the consumer would dead-letter good messages.
fn is_outage(kind: DatabaseErrorKind, message: &str) -> bool {
    matches!(kind, DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::ReadOnlyTransaction)
        || [
            "canceling statement due to statement timeout",
            "No space left on device",
            "database or disk is full",
            "disk I/O error",
            "attempt to write a readonly database",
        ]
        .iter()
        .any(|known| message.contains(known))
}

impl From<r2d2::Error> for Error {
    fn from(error: r2d2::Error) -> Self {
        Error::Unavailable(error.to_string())
    }
}

/// Why a database could not be opened or migrated: one sentence that tells the operator what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    fn database_error(kind: DatabaseErrorKind, message: &str) -> Error {
        Error::from(DieselError::DatabaseError(kind, Box::new(message.to_owned())))
    }

    #[test]
    fn lost_races_are_transient_and_broken_data_is_not() {
        assert!(Error::Conflict.is_transient());
        assert!(database_error(DatabaseErrorKind::SerializationFailure, "could not serialize access").is_transient());
        assert!(database_error(DatabaseErrorKind::Unknown, "deadlock detected").is_transient());
        assert!(database_error(DatabaseErrorKind::Unknown, "database is locked").is_transient());
        assert!(database_error(DatabaseErrorKind::Unknown, "canceling statement due to lock timeout").is_transient());
        assert!(!database_error(DatabaseErrorKind::UniqueViolation, "duplicate key").is_transient());
        assert!(!database_error(DatabaseErrorKind::ClosedConnection, "server closed the connection").is_transient());
        assert!(!Error::Query(DieselError::NotFound).is_transient());
    }
}
