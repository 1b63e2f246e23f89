//! The key by which rows of a CSV are grouped into claims, and the comparison of keys that could be read only in part.

use crate::domain::field::Field;
use crate::domain::identifiers::Identifier;
use crate::domain::service_date::ServiceDate;
use crate::intake::csv::Columns;
use ::csv::ByteRecord;
use claim_events::Npi;

/// The sender's own id of a row's claim, and the fields that all rows of a claim share.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RowKey {
    own_id: Part<Identifier>,
    /// `None` for a row with an own id, for which they do not count.
    shared: Option<SharedKey>,
}

#[derive(Debug, PartialEq, Eq)]
struct SharedKey {
    service_date: Part<ServiceDate>,
    plan_group: Part<Identifier>,
    subscriber_id: Part<Identifier>,
    provider_npi: Part<Npi>,
}

/// A part of a key.
#[derive(Debug, PartialEq, Eq)]
enum Part<T> {
    /// It was left out.
    Absent,
    Value(T),
    /// It cannot be read, and may have any value.
    Unreadable,
}

impl<T: PartialEq> Part<T> {
    fn of(columns: &Columns, record: &ByteRecord, field: Field, parse: impl FnOnce(&str) -> Option<T>) -> Self {
        if !columns.name(field) {
            return Self::Absent;
        }
        columns.text(record, field).and_then(parse).map_or(Self::Unreadable, Self::Value)
    }

    fn is_readable(&self) -> bool {
        !matches!(self, Self::Unreadable)
    }

    fn may_be(&self, other: &Self) -> bool {
        !self.is_readable() || !other.is_readable() || self == other
    }
}

impl RowKey {
    pub fn of(columns: &Columns, record: &ByteRecord) -> Self {
        if columns.is_ragged(record) {
            return Self { own_id: Part::Unreadable, shared: None };
        }
        let own_id = match columns.text(record, Field::ExternalClaimId) {
            Some("") => Part::Absent,
            text => text.and_then(Identifier::parse).map_or(Part::Unreadable, Part::Value),
        };
        let shared = (own_id == Part::Absent).then(|| SharedKey {
            service_date: Part::of(columns, record, Field::ServiceDate, |text| ServiceDate::parse(text).ok()),
            plan_group: Part::of(columns, record, Field::PlanGroup, Identifier::parse),
            subscriber_id: Part::of(columns, record, Field::SubscriberId, Identifier::parse),
            provider_npi: Part::of(columns, record, Field::ProviderNpi, Npi::parse),
        });
        Self { own_id, shared }
    }

    /// Whether all parts can be read. A claim with a row whose key is not whole is refused.
    pub fn is_whole(&self) -> bool {
        self.own_id.is_readable() && self.shared.as_ref().is_none_or(SharedKey::is_whole)
    }

    /// Whether two rows may be of one claim, as far as both keys can be read. For whole keys: whether they are.
    pub fn may_be(&self, other: &Self) -> bool {
        let shared = self.shared.as_ref().zip(other.shared.as_ref());
        self.own_id.may_be(&other.own_id) && shared.is_none_or(|(one, other)| one.may_be(other))
    }
}

impl SharedKey {
    fn is_whole(&self) -> bool {
        let Self { service_date, plan_group, subscriber_id, provider_npi } = self;
        service_date.is_readable()
            && plan_group.is_readable()
            && subscriber_id.is_readable()
            && provider_npi.is_readable()
    }

    fn may_be(&self, other: &Self) -> bool {
        self.service_date.may_be(&other.service_date)
            && self.plan_group.may_be(&other.plan_group)
            && self.subscriber_id.may_be(&other.subscriber_id)
            && self.provider_npi.may_be(&other.provider_npi)
    }
}
