//! Each provider's total, kept in the transactions that change it, so that the top providers cost the same at ten claims
//! and at ten million.

use super::schema::provider_totals;
use claim_events::{Cents, Npi};
use diesel::prelude::*;
use diesel::upsert::excluded;
use dual_db::{Connection, Result, on_each_backend};
use std::collections::BTreeMap;

/// A provider's total.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct ProviderTotal {
    /// The provider.
    #[diesel(deserialize_as = String)]
    pub provider_npi: Npi,
    /// The sum of the net fees of its claims that are not unwound.
    #[diesel(deserialize_as = i64)]
    pub net_fee_cents: Cents,
    /// How many claims those are.
    pub claims: i64,
}

/// Changes to totals, collected in one transaction. They are applied in the order of the NPIs, so that two transactions cannot
/// deadlock.
#[derive(Debug, Default)]
pub struct Changes(BTreeMap<Npi, (i64, i64)>);

impl Changes {
    /// Adds a claim to its provider's total.
    pub fn add(&mut self, provider_npi: &Npi, net_fee: Cents) {
        self.change(provider_npi, net_fee.0, 1);
    }

    /// Takes a claim out of its provider's total.
    pub fn remove(&mut self, provider_npi: &Npi, net_fee: Cents) {
        self.change(provider_npi, -net_fee.0, -1);
    }

    fn change(&mut self, provider_npi: &Npi, cents: i64, claims: i64) {
        let entry = self.0.entry(provider_npi.clone()).or_default();
        *entry = (entry.0 + cents, entry.1 + claims);
    }

    /// Writes the changes.
    pub fn apply(self, connection: &mut Connection) -> Result<()> {
        for (provider_npi, (net_fee_cents, claims)) in self.0 {
            let change = (
                provider_totals::provider_npi.eq(provider_npi.as_str()),
                provider_totals::net_fee_cents.eq(net_fee_cents),
                provider_totals::claims.eq(claims),
            );
            on_each_backend!(connection, |c| {
                diesel::insert_into(provider_totals::table)
                    .values(change)
                    .on_conflict(provider_totals::provider_npi)
                    .do_update()
                    .set((
                        provider_totals::net_fee_cents
                            .eq(provider_totals::net_fee_cents + excluded(provider_totals::net_fee_cents)),
                        provider_totals::claims.eq(provider_totals::claims + excluded(provider_totals::claims)),
                    ))
                    .execute(c)
            })?;
        }
        Ok(())
    }
}

/// The providers with the highest totals, ties by NPI. A provider all of whose claims are unwound is not listed.
pub fn top(connection: &mut Connection, limit: i64) -> Result<Vec<ProviderTotal>> {
    Ok(on_each_backend!(connection, |c| {
        provider_totals::table
            .filter(provider_totals::claims.gt(0))
            .order((provider_totals::net_fee_cents.desc(), provider_totals::provider_npi))
            .limit(limit)
            .load(c)
    })?)
}
