//! The outcome columns of a claim: all of them NULL until payments publishes an outcome, and all of them set from then on.

use super::schema::claims;
use claim_events::{Event, OutcomeKind, PaymentEvent};
use diesel::Queryable;
use std::error::Error;

/// A recorded outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOutcome {
    /// Settled or unwound.
    pub kind: OutcomeKind,
    /// The payment's version.
    pub version: i64,
    /// When it was recorded, in microseconds since 1970.
    pub at_us: i64,
    /// The JSON body of the event, as payments published it.
    pub body: String,
}

impl StoredOutcome {
    /// The event that was recorded; `None` if this version of the service cannot read its body.
    pub fn event(&self) -> Option<PaymentEvent> {
        PaymentEvent::from_body(self.kind.as_str(), self.body.as_bytes()).ok()
    }
}

/// The columns, in the order of [`OutcomeColumns`].
pub type OutcomeColumnNames = (claims::outcome_type, claims::outcome_version, claims::outcome_at_us, claims::outcome);

/// The columns as they are read: type, version, time and body.
#[derive(Debug, Queryable)]
pub struct OutcomeColumns(Option<String>, Option<i64>, Option<i64>, Option<String>);

impl TryFrom<OutcomeColumns> for Option<StoredOutcome> {
    type Error = Box<dyn Error + Send + Sync>;

    fn try_from(columns: OutcomeColumns) -> Result<Self, Self::Error> {
        match columns {
            OutcomeColumns(None, None, None, None) => Ok(None),
            OutcomeColumns(Some(event_type), Some(version), Some(at_us), Some(body)) => {
                let kind: OutcomeKind = event_type.parse().map_err(|error| format!("claims.outcome_type: {error}"))?;
                Ok(Some(StoredOutcome { kind, version, at_us, body }))
            }
            OutcomeColumns(..) => Err("claims: some of the outcome columns are NULL and others are not".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        event_type: Option<&str>,
        version: Option<i64>,
        at_us: Option<i64>,
        body: Option<&str>,
    ) -> Result<Option<StoredOutcome>, String> {
        let columns = OutcomeColumns(event_type.map(str::to_owned), version, at_us, body.map(str::to_owned));
        Option::<StoredOutcome>::try_from(columns).map_err(|error| error.to_string())
    }

    #[test]
    fn the_columns_are_all_null_or_all_set() {
        assert_eq!(read(None, None, None, None), Ok(None));
        let whole = StoredOutcome { kind: OutcomeKind::Settled, version: 1, at_us: 5, body: "{}".to_owned() };
        assert_eq!(read(Some("payment.settled"), Some(1), Some(5), Some("{}")), Ok(Some(whole)));
        for (event_type, version, at_us, body) in [
            (None, Some(1), Some(5), Some("{}")),
            (Some("payment.settled"), None, Some(5), Some("{}")),
            (Some("payment.settled"), Some(1), None, Some("{}")),
            (Some("payment.settled"), Some(1), Some(5), None),
        ] {
            assert!(read(event_type, version, at_us, body).is_err(), "{event_type:?} {version:?} {at_us:?} {body:?}");
        }
    }

    #[test]
    fn an_unknown_event_type_is_an_error_that_names_its_column() {
        let error = read(Some("payment.lost"), Some(1), Some(5), Some("{}")).unwrap_err();
        assert!(error.contains("outcome_type"), "{error}");
    }
}
