//! Operator actions on payments: added and read, never changed.

use super::schema::operator_actions;
use crate::domain::saga::ActionKind;
use diesel::prelude::*;
use dual_db::{Connection, Result, on_each_backend};

/// What an operator did.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = operator_actions, treat_none_as_default_value = false)]
pub struct OperatorActionRow {
    /// The claim.
    pub claim_id: String,
    /// What kind of action it was.
    pub action: ActionKind,
    /// The answer that was given in the gateway's place, where it was forced; the event's id, where a return was resolved.
    pub answer: Option<String>,
    /// Why.
    pub reason: String,
    /// Who, as they call themselves.
    pub operator: Option<String>,
    /// From which address.
    pub client: String,
    /// Where the payment stood, or the return.
    pub state_before: String,
    /// Where it stood then.
    pub state_after: String,
    /// When.
    pub at_us: i64,
}

/// Writes down what an operator did.
pub fn insert(connection: &mut Connection, action: &OperatorActionRow) -> Result<()> {
    on_each_backend!(connection, |c| diesel::insert_into(operator_actions::table).values(action).execute(c))?;
    Ok(())
}

/// The last `limit` actions on a claim's payment, in order.
pub fn last_of_claim(connection: &mut Connection, claim_id: &str, limit: i64) -> Result<Vec<OperatorActionRow>> {
    let mut actions: Vec<OperatorActionRow> = on_each_backend!(connection, |c| {
        operator_actions::table
            .filter(operator_actions::claim_id.eq(claim_id))
            .order(operator_actions::id.desc())
            .limit(limit)
            .select(OperatorActionRow::as_select())
            .load(c)
    })?;
    actions.reverse();
    Ok(actions)
}
