//! The key by which rows of a CSV are grouped into claims, and the comparison of keys that could be read only in part.

use crate::domain::field::Field;
use crate::domain::identifiers::Identifier;
use crate::domain::service_date::ServiceDate;
use crate::intake::csv::Columns;
use ::csv::ByteRecord;
use claim_events::Npi;

/// The sender's own id of a row's claim, and the fields that all rows of a claim share. A part that cannot be read may have
/// any value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RowKey {
    /// Empty if it was left out.
    own_id: Part,
    /// Empty for a row with an own id, for which they do not count.
    shared: Vec<Part>,
}

/// `None` if it cannot be read.
type Part = Option<String>;

const SHARED: [Field; 4] = [Field::ServiceDate, Field::PlanGroup, Field::SubscriberId, Field::ProviderNpi];

impl RowKey {
    pub fn of(columns: &Columns, record: &ByteRecord) -> Self {
        if columns.is_ragged(record) {
            return Self { own_id: None, shared: Vec::new() };
        }
        let own_id = match columns.text(record, Field::ExternalClaimId) {
            Some("") => Some(String::new()),
            text => text.and_then(Identifier::parse).map(|id| id.as_str().to_owned()),
        };
        let shared = match own_id.as_deref() {
            Some("") => SHARED.map(|field| Self::shared(columns, record, field)).into(),
            _ => Vec::new(),
        };
        Self { own_id, shared }
    }

    fn shared(columns: &Columns, record: &ByteRecord, field: Field) -> Part {
        if !columns.name(field) {
            return Some(String::new());
        }
        let text = columns.text(record, field)?;
        match field {
            Field::ServiceDate => ServiceDate::parse(text).ok().map(|date| date.to_string()),
            Field::ProviderNpi => Npi::parse(text).map(|npi| npi.as_str().to_owned()),
            _ => Identifier::parse(text).map(|id| id.as_str().to_owned()),
        }
    }

    /// Whether all parts can be read. A claim with a row whose key is not whole is refused.
    pub fn is_whole(&self) -> bool {
        self.own_id.is_some() && self.shared.iter().all(Option::is_some)
    }

    /// Whether two rows may be of one claim, as far as both keys can be read. For whole keys: whether they are.
    pub fn may_be(&self, other: &Self) -> bool {
        let may_be = |(one, other): (&Part, &Part)| one.is_none() || other.is_none() || one == other;
        may_be((&self.own_id, &other.own_id)) && self.shared.iter().zip(&other.shared).all(may_be)
    }
}
