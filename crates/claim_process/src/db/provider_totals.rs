//! Each provider's total, kept in the transactions that change it, so that the top providers cost the same at ten claims
//! and at ten million.

use super::claims::ClaimRow;
use super::schema::provider_totals;
use claim_events::{Cents, Npi};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Text};
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
    /// Adds claims to their providers' totals.
    pub fn of<'a>(claims: impl Iterator<Item = &'a ClaimRow>) -> Self {
        let mut changes = Self::default();
        for claim in claims {
            changes.change(&claim.provider_npi, claim.net_fee_cents.0, 1);
        }
        changes
    }

    /// Takes a claim out of its provider's total.
    pub fn remove(&mut self, provider_npi: &Npi, net_fee: Cents) {
        self.change(provider_npi, -net_fee.0, -1);
    }

    fn change(&mut self, provider_npi: &Npi, cents: i64, claims: i64) {
        let entry = self.0.entry(provider_npi.clone()).or_default();
        *entry = (entry.0 + cents, entry.1 + claims);
    }

    /// The statement that writes the changes on PostgreSQL.
    pub(super) fn upsert(&self) -> UpsertTotals<'_> {
        UpsertTotals {
            provider_npi: self.0.keys().map(Npi::as_str).collect(),
            net_fee_cents: self.0.values().map(|(cents, _)| *cents).collect(),
            claims: self.0.values().map(|(_, claims)| *claims).collect(),
        }
    }

    /// Writes the changes.
    pub fn apply(self, connection: &mut Connection) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        if let Connection::Postgres(c) = connection {
            self.upsert().execute(c)?;
            return Ok(());
        }
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

/// Adds changes to totals with one statement, in the order of the NPIs. It can be a part of another one.
pub(super) struct UpsertTotals<'a> {
    provider_npi: Vec<&'a str>,
    net_fee_cents: Vec<i64>,
    claims: Vec<i64>,
}

impl QueryFragment<Pg> for UpsertTotals<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("INSERT INTO provider_totals (provider_npi, net_fee_cents, claims) SELECT * FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.provider_npi)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.net_fee_cents)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.claims)?;
        out.push_sql(
            ") ON CONFLICT (provider_npi) DO UPDATE SET \
             net_fee_cents = provider_totals.net_fee_cents + excluded.net_fee_cents, \
             claims = provider_totals.claims + excluded.claims",
        );
        Ok(())
    }
}

impl QueryId for UpsertTotals<'_> {
    type QueryId = UpsertTotals<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<PgConnection> for UpsertTotals<'_> {}

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
