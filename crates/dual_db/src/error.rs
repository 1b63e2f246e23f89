//! Two errors: [`OpenError`] stops a start and is a sentence for the operator. [`Error`] is the error of a query or
//! transaction, and reports whether a retry can succeed.
//!
//! An error is classified by the kind that Diesel gives it. The message of a database may be in any language, and decides
//! nothing.

use diesel::result::{DatabaseErrorKind as Kind, Error as DieselError};

/// The result of a query or transaction.
pub type Result<T> = std::result::Result<T, Error>;

/// The error of a query or transaction. Never send its text to a client: it can contain the names of tables, and values.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection was free in time, the connection was lost, or the database can only be read.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database failed a statement for a reason that has no kind: its disk is full, a lock was held for too long, a right
    /// or a table is missing, a deadlock. It may succeed later.
    #[error("the database failed a statement")]
    Failed(#[source] DieselError),
    /// Another transaction changed a row meanwhile; run the whole transaction again.
    #[error("a row changed while it was being worked on")]
    Conflict,
    /// The database refuses a row, or a value cannot be read or written.
    #[error("a database query was refused")]
    Query(#[source] DieselError),
}

impl Error {
    /// Whether the transaction is refused for its rows: running it again, now or later, fails in the same way.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Error::Query(_))
    }

    /// Whether the database is the reason, and not the rows: the same transaction can succeed once the database has recovered.
    pub fn is_trouble(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::Failed(_))
    }
}

/// What an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The row or value.
    Refusal,
    /// Another transaction.
    LostRace,
    /// The database or the connection to it.
    Trouble,
}

pub(crate) fn class(error: &DieselError) -> Class {
    match error {
        DieselError::DatabaseError(
            Kind::UniqueViolation
            | Kind::ForeignKeyViolation
            | Kind::NotNullViolation
            | Kind::CheckViolation
            | Kind::ExclusionViolation
            | Kind::RestrictViolation,
            _,
        )
        | DieselError::NotFound
        | DieselError::InvalidCString(_)
        | DieselError::QueryBuilderError(_)
        | DieselError::SerializationError(_)
        | DieselError::DeserializationError(_)
        // What a transaction returns to be rolled back.
        | DieselError::RollbackTransaction => Class::Refusal,
        DieselError::DatabaseError(Kind::SerializationFailure, _) => Class::LostRace,
        _ => Class::Trouble,
    }
}

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        match (class(&error), error) {
            (Class::Refusal, error) => Error::Query(error),
            (Class::LostRace, _) => Error::Conflict,
            (Class::Trouble, error @ DieselError::DatabaseError(Kind::Unknown, _)) => Error::Failed(error),
            (Class::Trouble, error) => Error::Unavailable(error.to_string()),
        }
    }
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

    /// The error of a server that sends its messages in German.
    fn database_error(kind: Kind) -> Error {
        Error::from(DieselError::DatabaseError(kind, Box::new("Verklemmung entdeckt".to_owned())))
    }

    #[test]
    fn an_error_is_about_the_row_another_transaction_or_the_database_by_its_kind() {
        for kind in [
            Kind::UniqueViolation,
            Kind::ForeignKeyViolation,
            Kind::NotNullViolation,
            Kind::CheckViolation,
            Kind::ExclusionViolation,
            Kind::RestrictViolation,
        ] {
            let error = database_error(kind);
            assert!(error.is_refusal() && !error.is_trouble(), "{error:?}");
        }
        assert!(Error::from(DieselError::NotFound).is_refusal());
        assert!(Error::from(DieselError::DeserializationError("no number".into())).is_refusal());
        assert!(matches!(database_error(Kind::SerializationFailure), Error::Conflict));
        for kind in [Kind::ReadOnlyTransaction, Kind::ClosedConnection, Kind::UnableToSendCommand] {
            assert!(matches!(database_error(kind), Error::Unavailable(_)));
        }
        assert!(matches!(Error::from(DieselError::BrokenTransactionManager), Error::Unavailable(_)));
        assert!(matches!(database_error(Kind::Unknown), Error::Failed(_)));
        assert!(database_error(Kind::Unknown).is_trouble() && !database_error(Kind::Unknown).is_refusal());
    }
}
