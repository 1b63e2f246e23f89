//! Why a claim needs attention: the watchdog's reason and that of payments, each kept and cleared by itself. The column
//! `needs_attention` is true while there is either.

use super::schema::claims;
use diesel::prelude::*;
use dual_db::{Connection, Result, on_each_backend};

/// Why an operator should look at a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = claims)]
pub struct Attention {
    /// The watchdog's reason: the outcome was requested so often and did not come.
    pub outcome_overdue: bool,
    /// The reason of payments, in words.
    pub payment_attention: Option<String>,
    /// The revision of the payment's saga in the last `payment.attention` that was applied; 0 before the first.
    pub payment_attention_revision: i64,
}

impl Attention {
    /// Whether there is a reason.
    pub fn is_needed(&self) -> bool {
        self.outcome_overdue || self.payment_attention.is_some()
    }
}

/// How many claims need attention.
pub fn count(connection: &mut Connection) -> Result<i64> {
    // The bare column, as the partial index has it.
    Ok(on_each_backend!(connection, |c| claims::table.filter(claims::needs_attention).count().get_result(c))?)
}
