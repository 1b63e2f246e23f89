//! The book: an append-only table of all movements of money, and its totals. The database computes the sums.

use super::MOST_ROWS;
use super::schema::book;
use crate::domain::book::{ClaimTotals, Entry, Kind, Summary, Totals};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};
use dual_db::{Connection, Result, on_each_backend};
use std::collections::HashMap;

#[derive(Insertable)]
#[diesel(table_name = book)]
pub(super) struct NewEntry<'a> {
    pub at_us: i64,
    pub kind: &'a str,
    pub payment_key: i64,
    pub reference: &'a str,
    pub amount_cents: i64,
    pub entry_id: &'a str,
    /// How many entries of this kind the payment has before this one.
    pub number: i64,
}

/// Appends an entry. A unique index refuses a second payment under one key, and a second refund of a payment unless the first one
/// failed. The caller holds the payment's row, so that a payment is not both refunded and returned.
pub(super) fn add(connection: &mut Connection, entry: &NewEntry<'_>) -> Result<()> {
    on_each_backend!(connection, |c| diesel::insert_into(book::table).values(entry).execute(c))?;
    Ok(())
}

/// The refund or return of a payment.
pub(super) struct MoneyBack {
    pub kind: Kind,
    pub entry_id: String,
}

/// What became of a payment's money.
#[derive(Default)]
pub(super) struct MoneyBackHistory {
    /// The refund or return that stands.
    pub stands: Option<MoneyBack>,
    /// How many refunds failed.
    pub failed_refunds: i64,
}

/// What became of the money of these payments, by the primary key of the payment.
pub(super) fn money_back(connection: &mut Connection, payment_keys: &[i64]) -> Result<HashMap<i64, MoneyBackHistory>> {
    let rows: Vec<(i64, String, String)> = on_each_backend!(connection, |c| {
        book::table
            .filter(book::payment_key.eq_any(payment_keys).and(book::kind.ne(Kind::Payment.name())))
            .order(book::id)
            .select((book::payment_key, book::kind, book::entry_id))
            .load(c)
    })?;
    let mut histories: HashMap<i64, MoneyBackHistory> = HashMap::new();
    for (payment_key, kind, entry_id) in rows {
        let history = histories.entry(payment_key).or_default();
        match stored_kind(&kind) {
            Kind::RefundFailed => {
                history.stands = None;
                history.failed_refunds += 1;
            }
            kind => history.stands = Some(MoneyBack { kind, entry_id }),
        }
    }
    Ok(histories)
}

fn stored_kind(name: &str) -> Kind {
    Kind::parse(name).expect("the kind column is only written from Kind::name, and checked by the database")
}

/// The entries of a reference, oldest first, and their totals.
pub fn entries(connection: &mut Connection, reference: &str) -> Result<(Vec<Entry>, Totals)> {
    let rows: Vec<(i64, String, i64)> = on_each_backend!(connection, |c| {
        book::table
            .filter(book::reference.eq(reference))
            .order(book::id)
            .limit(MOST_ROWS)
            .select((book::at_us, book::kind, book::amount_cents))
            .load(c)
    })?;
    let entries = rows
        .into_iter()
        .map(|(at_us, kind, amount_cents)| Entry {
            at_us,
            kind: stored_kind(&kind),
            reference: reference.to_owned(),
            amount_cents,
        })
        .collect();
    let totals: TotalsRow = on_each_backend!(connection, |c| {
        sql_query(format!("SELECT {TOTALS} FROM book WHERE reference = $1")).bind::<Text, _>(reference).get_result(c)
    })?;
    Ok((entries, totals.into()))
}

/// Money out and money back as columns. The casts are needed on PostgreSQL, where a sum of `BIGINT` is a `NUMERIC`.
const TOTALS: &str = "\
    CAST(COALESCE(SUM(CASE WHEN kind = 'payment' THEN amount_cents ELSE 0 END), 0) AS BIGINT) AS money_out_cents, \
    CAST(COALESCE(SUM(CASE kind WHEN 'payment' THEN 0 WHEN 'refund_failed' THEN -amount_cents ELSE amount_cents END), 0) AS BIGINT) AS money_back_cents";

/// The number of payments as a column.
const PAYMENTS: &str = "COUNT(CASE WHEN kind = 'payment' THEN 1 END) AS payments";

#[derive(QueryableByName)]
struct TotalsRow {
    #[diesel(sql_type = BigInt)]
    money_out_cents: i64,
    #[diesel(sql_type = BigInt)]
    money_back_cents: i64,
}

impl From<TotalsRow> for Totals {
    fn from(row: TotalsRow) -> Self {
        Self { money_out_cents: row.money_out_cents, money_back_cents: row.money_back_cents }
    }
}

#[derive(QueryableByName)]
struct SummaryRow {
    #[diesel(sql_type = BigInt)]
    payments: i64,
    #[diesel(sql_type = BigInt)]
    refunds: i64,
    #[diesel(sql_type = BigInt)]
    claims: i64,
    #[diesel(embed)]
    totals: TotalsRow,
}

/// The totals of the whole book.
pub fn summary(connection: &mut Connection) -> Result<Summary> {
    let row: SummaryRow = on_each_backend!(connection, |c| {
        sql_query(format!(
            "SELECT {PAYMENTS}, COUNT(CASE WHEN kind = 'refund' THEN 1 END) AS refunds, \
             COUNT(DISTINCT reference) AS claims, {TOTALS} FROM book"
        ))
        .get_result(c)
    })?;
    Ok(Summary { payments: row.payments, refunds: row.refunds, claims: row.claims, totals: row.totals.into() })
}

#[derive(QueryableByName)]
struct ClaimRow {
    #[diesel(sql_type = Text)]
    reference: String,
    #[diesel(sql_type = BigInt)]
    payments: i64,
    #[diesel(embed)]
    totals: TotalsRow,
}

/// A page of references with entries, in the order of their bytes, starting after `after`.
pub fn claims(connection: &mut Connection, after: &str, limit: i64) -> Result<Vec<ClaimTotals>> {
    let rows: Vec<ClaimRow> = on_each_backend!(connection, |c| {
        sql_query(format!(
            "SELECT reference, {PAYMENTS}, {TOTALS} FROM book WHERE reference > $1 \
             GROUP BY reference ORDER BY reference LIMIT $2"
        ))
        .bind::<Text, _>(after)
        .bind::<BigInt, _>(limit)
        .load(c)
    })?;
    Ok(rows
        .into_iter()
        .map(|row| ClaimTotals { reference: row.reference, payments: row.payments, totals: row.totals.into() })
        .collect())
}
