//! The key that says to which claim a row of a CSV belongs, and how keys compare that could be read only in part.

use crate::domain::field::Field;
use crate::domain::identifiers::{Identifier, Npi};
use crate::domain::service_date::ServiceDate;
use crate::intake::csv::Columns;
use ::csv::ByteRecord;

/// The sender's own id of a row's claim, and what all rows of a claim have in common. A part that cannot be read may be
/// anything.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RowKey {
    /// Empty where it was left out.
    own_id: Part,
    /// Of a row with an own id they do not count, and are not kept.
    shared: Vec<Part>,
}

/// None where it cannot be read.
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

    /// Whether all of it can be read. A claim with a row of which that is not so is refused.
    pub fn is_whole(&self) -> bool {
        self.own_id.is_some() && self.shared.iter().all(Option::is_some)
    }

    /// Whether the rows may be of one claim, as far as both can be read. Of whole ones: whether they are.
    pub fn may_be(&self, other: &Self) -> bool {
        let may_be = |(one, other): (&Part, &Part)| one.is_none() || other.is_none() || one == other;
        may_be((&self.own_id, &other.own_id)) && self.shared.iter().zip(&other.shared).all(may_be)
    }
}
