//! The ledger: double entry, whole cents, append-only. A transfer moves an amount from one account's credit to another's
//! debit; nothing is ever changed or deleted, a mistake is undone by a transfer that names the one it reverses.

use serde::{Deserialize, Serialize};
use std::fmt;
use text_enum::text_enum;
use utoipa::ToSchema;

/// The most that one transfer moves, in cents: far more than a claim can be due, and so little that no sum gets too large.
pub const MOST_CENTS: i64 = 1_000_000_000_000;

/// Whether the gateway can have paid or given back so many cents.
pub fn is_amount(cents: i64) -> bool {
    (1..=MOST_CENTS).contains(&cents)
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// What a plan pays from.
    PlanBudget(String),
    /// What is owed to a provider.
    ProviderPayable(String),
    /// What a provider owes.
    Receivable(String),
    /// Money at the gateway: what the gateway's own book must agree with.
    Cash,
}

/// `plan_budget:GRP-1000`, `provider_payable:1497775530`, `receivable:1497775530` or `cash`.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Account::PlanBudget(plan) => write!(f, "plan_budget:{plan}"),
            Account::ProviderPayable(npi) => write!(f, "provider_payable:{npi}"),
            Account::Receivable(npi) => write!(f, "receivable:{npi}"),
            Account::Cash => f.write_str("cash"),
        }
    }
}

text_enum! {
    /// What a transfer is for. There is at most one of each kind for a claim, but where a refund fails after it was booked: then
    /// [`Repeats`] numbers what is booked again. Its id ends with the kind's text, or with that and the number.
    #[derive(PartialOrd, Ord, ToSchema)]
    #[schema(as = TransferKind)]
    pub enum Kind {
        /// Plan budget to provider payable, pending.
        Reserve = "reserve",
        /// Makes the reservation final.
        Post = "post",
        /// Voids the reservation.
        Release = "release",
        /// Provider payable to cash: the gateway paid.
        Disburse = "disburse",
        /// Cash back to provider payable: the gateway took the payment back at our wish.
        Refund = "refund",
        /// Cash back to provider payable: the payment came back by itself.
        Return = "return",
        /// Undoes a posted reservation or a receivable.
        Reverse = "reverse",
        /// A net fee below zero: the provider owes the plan.
        Receivable = "receivable",
        /// Provider payable to receivable: what was paid, had to be taken back and cannot be had from the gateway, the
        /// provider owes.
        OpenReceivable = "open_receivable",
        /// Undoes that: the money came back after all.
        CloseReceivable = "close_receivable",
        /// Provider payable to cash: undoes a refund that failed after it was approved.
        RefundFailed = "refund_failed",
    }
}

text_enum! {
    /// Whether a transfer counts.
    #[derive(PartialOrd, Ord, ToSchema)]
    #[schema(as = TransferWeight)]
    pub enum Weight {
        /// It is reserved until it is posted or voided.
        Pending = "pending",
        /// It counts.
        Posted = "posted",
        /// It ends a pending transfer and moves nothing.
        Void = "void",
    }
}

/// One transfer. Its id is derived from the claim, the kind and its number among those, so that writing it twice is refused by the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// `<claim id>.<kind>`, and from the second of this kind on `.<number>`.
    pub id: String,
    /// The claim it belongs to.
    pub claim_id: String,
    /// What it is for.
    pub kind: Kind,
    /// The account that is debited.
    pub debit: Account,
    /// The account that is credited.
    pub credit: Account,
    /// More than zero.
    pub amount_cents: i64,
    /// Whether it counts.
    pub weight: Weight,
    /// The pending transfer that it posts or voids; at most one transfer does.
    pub ends_pending: Option<String>,
    /// The transfer that it undoes; at most one transfer does, so money never comes back twice.
    pub reverses: Option<String>,
}

/// The id of a claim's first transfer of a kind.
pub fn transfer_id(claim_id: &str, kind: Kind) -> String {
    format!("{claim_id}.{kind}")
}

/// How often a claim's money came back and went out again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Repeats {
    /// Refunds that were booked and then failed.
    pub reopened: u32,
    /// Receivables for a payment that were closed.
    pub closed_receivables: u32,
}

/// Whose money it is about: what every transfer of a claim needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Parties<'a> {
    /// The claim.
    pub claim_id: &'a str,
    /// The plan that pays.
    pub plan_group: &'a str,
    /// The provider that is paid.
    pub provider_npi: &'a str,
    /// What happened to the claim's money before.
    pub repeats: Repeats,
}

impl Parties<'_> {
    /// The id of the claim's next transfer of a kind, or of the last one where that stands.
    pub fn transfer_id(&self, kind: Kind) -> String {
        let before = match kind {
            Kind::Refund | Kind::Return | Kind::RefundFailed => self.repeats.reopened,
            Kind::OpenReceivable | Kind::CloseReceivable => self.repeats.closed_receivables,
            _ => 0,
        };
        numbered(transfer_id(self.claim_id, kind), before)
    }

    /// The id of the transfer by which the money went out last.
    fn money_out_id(&self) -> String {
        match self.repeats.reopened.checked_sub(1) {
            None => transfer_id(self.claim_id, Kind::Disburse),
            Some(before) => numbered(transfer_id(self.claim_id, Kind::RefundFailed), before),
        }
    }

    /// The transfer of a kind; `amount_cents` is more than zero. `undone` is the transfer that a reverse undoes.
    pub fn transfer(&self, kind: Kind, amount_cents: i64) -> Transfer {
        let budget = || Account::PlanBudget(self.plan_group.to_owned());
        let payable = || Account::ProviderPayable(self.provider_npi.to_owned());
        let receivable = || Account::Receivable(self.provider_npi.to_owned());
        let (debit, credit) = match kind {
            Kind::Reserve | Kind::Post | Kind::Release => (budget(), payable()),
            Kind::Disburse | Kind::RefundFailed => (payable(), Account::Cash),
            Kind::Refund | Kind::Return => (Account::Cash, payable()),
            Kind::Reverse => (payable(), budget()),
            Kind::Receivable => (receivable(), budget()),
            Kind::OpenReceivable => (receivable(), payable()),
            Kind::CloseReceivable => (payable(), receivable()),
        };
        let weight = match kind {
            Kind::Reserve => Weight::Pending,
            Kind::Release => Weight::Void,
            _ => Weight::Posted,
        };
        let id_of = |kind| Some(self.transfer_id(kind));
        Transfer {
            id: self.transfer_id(kind),
            claim_id: self.claim_id.to_owned(),
            kind,
            debit,
            credit,
            amount_cents,
            weight,
            ends_pending: if matches!(kind, Kind::Post | Kind::Release) { id_of(Kind::Reserve) } else { None },
            reverses: match kind {
                Kind::Refund | Kind::Return => Some(self.money_out_id()),
                Kind::RefundFailed => id_of(Kind::Refund),
                Kind::Reverse => id_of(Kind::Post),
                Kind::CloseReceivable => id_of(Kind::OpenReceivable),
                _ => None,
            },
        }
    }

    /// Undoes a receivable of a net fee below zero.
    pub fn reverse_receivable(&self, amount_cents: i64) -> Transfer {
        let booked = self.transfer(Kind::Receivable, amount_cents);
        Transfer {
            id: transfer_id(self.claim_id, Kind::Reverse),
            kind: Kind::Reverse,
            debit: booked.credit,
            credit: booked.debit,
            reverses: Some(booked.id),
            ..booked
        }
    }
}

/// The id of one that has so many of its kind before it.
fn numbered(first_id: String, before: u32) -> String {
    if before == 0 { first_id } else { format!("{first_id}.{}", before + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Repeats = Repeats { reopened: 0, closed_receivables: 0 };
    const PARTIES: Parties<'_> = Parties { claim_id: "claim", plan_group: "plan", provider_npi: "npi", repeats: FIRST };

    #[test]
    fn each_transfer_names_what_it_ends_or_reverses() {
        for (kind, ends_pending, reverses) in [
            (Kind::Reserve, None, None),
            (Kind::Post, Some("claim.reserve"), None),
            (Kind::Release, Some("claim.reserve"), None),
            (Kind::Disburse, None, None),
            (Kind::Refund, None, Some("claim.disburse")),
            (Kind::Return, None, Some("claim.disburse")),
            (Kind::RefundFailed, None, Some("claim.refund")),
            (Kind::Reverse, None, Some("claim.post")),
            (Kind::Receivable, None, None),
            (Kind::OpenReceivable, None, None),
            (Kind::CloseReceivable, None, Some("claim.open_receivable")),
        ] {
            let transfer = PARTIES.transfer(kind, 100);
            let names = (transfer.ends_pending.as_deref(), transfer.reverses.as_deref());
            assert_eq!(names, (ends_pending, reverses), "{kind:?}");
        }
    }

    #[test]
    fn what_is_booked_again_has_a_number_and_undoes_the_last_one() {
        let names = |repeats, kind| {
            let transfer = Parties { repeats, ..PARTIES }.transfer(kind, 100);
            (transfer.id, transfer.reverses.unwrap_or_default())
        };
        let again = Repeats { reopened: 1, closed_receivables: 1 };
        let third = Repeats { reopened: 2, ..again };
        for (repeats, kind, id, reverses) in [
            (again, Kind::Refund, "claim.refund.2", "claim.refund_failed"),
            (again, Kind::Return, "claim.return.2", "claim.refund_failed"),
            (again, Kind::RefundFailed, "claim.refund_failed.2", "claim.refund.2"),
            (third, Kind::Refund, "claim.refund.3", "claim.refund_failed.2"),
            (again, Kind::OpenReceivable, "claim.open_receivable.2", ""),
            (third, Kind::Reverse, "claim.reverse", "claim.post"),
        ] {
            assert_eq!(names(repeats, kind), (id.to_owned(), reverses.to_owned()), "{kind:?}, {repeats:?}");
        }
    }

    #[test]
    fn a_receivable_that_is_opened_again_is_closed_by_its_own_transfer() {
        let again = Parties { repeats: Repeats { closed_receivables: 1, ..FIRST }, ..PARTIES };
        let [open, close] = [Kind::OpenReceivable, Kind::CloseReceivable].map(|kind| again.transfer(kind, 100));
        assert_eq!(close.reverses.as_ref(), Some(&open.id));
        assert_ne!(close.id, PARTIES.transfer(Kind::CloseReceivable, 100).id);
    }

    #[test]
    fn what_undoes_a_transfer_moves_the_same_amount_back() {
        for (done, undone) in [
            (PARTIES.transfer(Kind::Disburse, 100), PARTIES.transfer(Kind::Refund, 100)),
            (PARTIES.transfer(Kind::Disburse, 100), PARTIES.transfer(Kind::Return, 100)),
            (PARTIES.transfer(Kind::Refund, 100), PARTIES.transfer(Kind::RefundFailed, 100)),
            (PARTIES.transfer(Kind::Post, 100), PARTIES.transfer(Kind::Reverse, 100)),
            (PARTIES.transfer(Kind::OpenReceivable, 100), PARTIES.transfer(Kind::CloseReceivable, 100)),
            (PARTIES.transfer(Kind::Receivable, 100), PARTIES.reverse_receivable(100)),
        ] {
            assert_eq!(undone.reverses.as_ref(), Some(&done.id));
            assert_eq!((&undone.debit, &undone.credit), (&done.credit, &done.debit), "{undone:?}");
            assert_eq!((undone.amount_cents, undone.weight), (done.amount_cents, Weight::Posted));
        }
    }
}
