//! What operators did about payments: added and read, never changed.

use super::schema::operator_acts;
use diesel::prelude::*;
use dual_db::{Connection, Result, on_each_backend};

/// What an operator did.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = operator_acts, treat_none_as_default_value = false)]
pub struct OperatorActRow {
    /// The claim.
    pub claim_id: String,
    /// `retry` or `force`.
    pub act: String,
    /// What was said in the gateway's stead, where it was forced.
    pub answer: Option<String>,
    /// Why.
    pub reason: String,
    /// Who, as they call themselves.
    pub operator: Option<String>,
    /// From which address.
    pub client: String,
    /// Where the payment stood.
    pub state_before: String,
    /// Where it stood then.
    pub state_after: String,
    /// When.
    pub at_us: i64,
}

/// Writes down what an operator did.
pub fn insert(connection: &mut Connection, act: &OperatorActRow) -> Result<()> {
    on_each_backend!(connection, |c| diesel::insert_into(operator_acts::table).values(act).execute(c))?;
    Ok(())
}

/// The last `limit` acts about a claim's payment, in order.
pub fn last_of_claim(connection: &mut Connection, claim_id: &str, limit: i64) -> Result<Vec<OperatorActRow>> {
    let mut acts: Vec<OperatorActRow> = on_each_backend!(connection, |c| {
        operator_acts::table
            .filter(operator_acts::claim_id.eq(claim_id))
            .order(operator_acts::id.desc())
            .limit(limit)
            .select(OperatorActRow::as_select())
            .load(c)
    })?;
    acts.reverse();
    Ok(acts)
}
