//! Comparisons that must agree, claim by claim or provider by provider, computed in the database: the sums, how many are off,
//! and the first of these. Two differences that cancel each other out in a sum are found, too.

use super::reconciliation::Sum;
use claim_events::OutcomeKind;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};
use dual_db::{Connection, Result, on_each_backend};

/// The most claims or providers that a comparison names.
pub const MOST_NAMED: i64 = 20;

/// What a comparison compares one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Each {
    /// Claims, by id.
    Claim,
    /// Providers, by NPI.
    Provider,
}

/// The result of a comparison: two sums that must be the same, for each claim or provider and in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// What must be true.
    pub name: &'static str,
    /// What is compared one by one.
    pub each: Each,
    /// The expected sum.
    pub expected: Sum,
    /// The sum that was found.
    pub found: Sum,
    /// How many claims or providers differ.
    pub off: i64,
    /// The first of them, at most [`MOST_NAMED`].
    pub named: Vec<Pair>,
}

/// The sums of one claim or provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The claim's id or the provider's NPI.
    pub id: String,
    /// The expected sum.
    pub expected: Sum,
    /// The sum that was found.
    pub found: Sum,
}

/// A comparison: `pairs` selects `id, expected_claims, expected_cents, found_claims, found_cents`.
struct Comparison {
    name: &'static str,
    each: Each,
    pairs: String,
}

#[derive(QueryableByName)]
struct Sums {
    #[diesel(sql_type = BigInt)]
    expected_claims: i64,
    #[diesel(sql_type = BigInt)]
    expected_cents: i64,
    #[diesel(sql_type = BigInt)]
    found_claims: i64,
    #[diesel(sql_type = BigInt)]
    found_cents: i64,
    #[diesel(sql_type = BigInt)]
    off: i64,
}

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(embed)]
    sums: Sums,
}

const IS_OFF: &str = "(expected_claims <> found_claims OR expected_cents <> found_cents)";

/// Makes all comparisons. Call it in one transaction, so that all numbers are from one snapshot.
pub fn compare(connection: &mut Connection) -> Result<Vec<Agreement>> {
    comparisons(connection).into_iter().map(|comparison| run(connection, comparison)).collect()
}

fn comparisons(connection: &Connection) -> Vec<Comparison> {
    // The column `outcome` has the event's JSON body. A body that was edited by hand must not break the query.
    let amount = match connection {
        Connection::Sqlite(_) => {
            "CASE WHEN json_valid(outcome) THEN CAST(json_extract(outcome, '$.amount_cents') AS BIGINT) END"
        }
        Connection::Postgres(_) => r#"CAST(substring(outcome FROM '"amount_cents"\s*:\s*(-?[0-9]{1,18})') AS BIGINT)"#,
    };
    let has_outcome = |kind: OutcomeKind| format!("outcome_type = '{}'", kind.as_str());
    vec![
        Comparison {
            name: "settled, unwound and pending claims are those submitted",
            each: Each::Claim,
            pairs: if_so("status IN ('submitted', 'void_requested', 'settled', 'unwound')", "1 = 1"),
        },
        Comparison {
            name: "a claim's net fee is that of its lines",
            each: Each::Claim,
            pairs: "SELECT claim_id AS id, 1 AS expected_claims, net_fee_cents AS expected_cents,
                CASE WHEN lines.claim_key IS NULL THEN 0 ELSE 1 END AS found_claims,
                COALESCE(lines.cents, 0) AS found_cents
                FROM claims LEFT JOIN (
                    SELECT claim_key, CAST(SUM(net_fee_cents) AS BIGINT) AS cents FROM claim_lines GROUP BY claim_key
                ) AS lines ON lines.claim_key = claims.id"
                .to_owned(),
        },
        Comparison {
            name: "settled claims are paid their net fees",
            each: Each::Claim,
            pairs: format!(
                "SELECT id, 1 AS expected_claims, net_fee_cents AS expected_cents,
                 CASE WHEN amount IS NULL THEN 0 ELSE 1 END AS found_claims, COALESCE(amount, 0) AS found_cents
                 FROM (SELECT claim_id AS id, net_fee_cents, CASE WHEN {} THEN {amount} END AS amount
                       FROM claims WHERE status = 'settled') AS paid",
                has_outcome(OutcomeKind::Settled)
            ),
        },
        Comparison {
            name: "unwound claims have an unwound outcome",
            each: Each::Claim,
            pairs: if_so(&has_outcome(OutcomeKind::Unwound), "status = 'unwound'"),
        },
        Comparison {
            name: "pending claims are due for a re-request",
            each: Each::Claim,
            pairs: if_so("next_attempt_at_us IS NOT NULL", "status IN ('submitted', 'void_requested')"),
        },
        Comparison {
            name: "the providers' totals are the claims that are not unwound",
            each: Each::Provider,
            pairs: "SELECT COALESCE(counted.provider_npi, kept.provider_npi) AS id,
                COALESCE(counted.claims, 0) AS expected_claims, COALESCE(counted.cents, 0) AS expected_cents,
                COALESCE(kept.claims, 0) AS found_claims, COALESCE(kept.net_fee_cents, 0) AS found_cents
                FROM (SELECT provider_npi, COUNT(*) AS claims, CAST(SUM(net_fee_cents) AS BIGINT) AS cents
                      FROM claims WHERE status <> 'unwound' GROUP BY provider_npi) AS counted
                FULL OUTER JOIN provider_totals AS kept ON kept.provider_npi = counted.provider_npi"
                .to_owned(),
        },
    ]
}

/// Of the claims that meet `of_those`, all are expected and those that meet `condition` are found.
fn if_so(condition: &str, of_those: &str) -> String {
    format!(
        "SELECT claim_id AS id, 1 AS expected_claims, net_fee_cents AS expected_cents,
         CASE WHEN {condition} THEN 1 ELSE 0 END AS found_claims,
         CASE WHEN {condition} THEN net_fee_cents ELSE 0 END AS found_cents
         FROM claims WHERE {of_those}"
    )
}

fn run(connection: &mut Connection, Comparison { name, each, pairs }: Comparison) -> Result<Agreement> {
    let sum = |column: &str| format!("CAST(COALESCE(SUM({column}), 0) AS BIGINT) AS {column}");
    let columns = ["expected_claims", "expected_cents", "found_claims", "found_cents"];
    let in_all = format!(
        "SELECT {}, COUNT(CASE WHEN {IS_OFF} THEN 1 END) AS off FROM ({pairs}) AS pairs",
        columns.map(sum).join(", ")
    );
    let sums: Sums = on_each_backend!(connection, |c| sql_query(in_all).get_result(c))?;
    let mut named: Vec<Named> = Vec::new();
    if sums.off > 0 {
        let one = |column: &str| format!("CAST({column} AS BIGINT) AS {column}");
        let first = format!(
            "SELECT id, {}, CAST(1 AS BIGINT) AS off FROM ({pairs}) AS pairs WHERE {IS_OFF} ORDER BY id LIMIT $1",
            columns.map(one).join(", ")
        );
        named = on_each_backend!(connection, |c| sql_query(first).bind::<BigInt, _>(MOST_NAMED).load(c))?;
    }
    Ok(Agreement {
        name,
        each,
        expected: sums.expected(),
        found: sums.found(),
        off: sums.off,
        named: named
            .into_iter()
            .map(|Named { id, sums }| Pair { id, expected: sums.expected(), found: sums.found() })
            .collect(),
    })
}

impl Sums {
    fn expected(&self) -> Sum {
        Sum { claims: self.expected_claims, cents: self.expected_cents }
    }

    fn found(&self) -> Sum {
        Sum { claims: self.found_claims, cents: self.found_cents }
    }
}
