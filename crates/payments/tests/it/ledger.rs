//! What the ledger promises is kept by the database itself, and the audit finds what is off.

use crate::harness::{CLAIM, Instance, approved, event};
use diesel::{RunQueryDsl, sql_query};
use dual_db::{Connection, Database, on_each_backend};
use payments::db::ledger::{book_all, books, turnovers};
use payments::domain::ledger::{Kind, Parties, Repeats};
use test_support::on_both_databases;

const PARTIES: Parties<'_> = Parties {
    claim_id: CLAIM,
    plan_group: "GRP-1000",
    provider_npi: "1497775530",
    repeats: Repeats { reopened: 0, closed_receivables: 0 },
};

fn booked(database: &Database, kind: Kind) -> bool {
    database.write(|c| book_all(c, &[PARTIES.transfer(kind, 100)], 1)).is_ok()
}

fn execute(database: &Database, sql: &str) {
    let run = |connection: &mut Connection| -> dual_db::Result<()> {
        on_each_backend!(connection, |c| sql_query(sql).execute(c))?;
        Ok(())
    };
    database.write(run).expect("runs");
}

on_both_databases! {
    fn money_comes_back_once_and_a_reservation_ends_once(database: &Database) {
        let _instance = Instance::new(database, "one");
        assert!(booked(database, Kind::Reserve));
        assert!(!booked(database, Kind::Reserve), "nothing is booked twice");
        assert!(booked(database, Kind::Disburse));
        assert!(booked(database, Kind::Post));
        assert!(!booked(database, Kind::Release), "posted is not released");
        assert!(booked(database, Kind::Refund));
        assert!(!booked(database, Kind::Return), "refunded does not return as well");
        assert!(booked(database, Kind::Reverse));
        let nothing = PARTIES.transfer(Kind::Receivable, 0);
        assert!(database.write(|c| book_all(c, std::slice::from_ref(&nothing), 1)).is_err(), "a transfer moves more than nothing");
    }

    fn the_audit_sums_up_and_finds_a_claim_that_is_off(database: &Database) {
        let instance = Instance::new(database, "one");
        for (claim_id, amount) in [(CLAIM, 11_685), ("another", 0), ("a debt", -500)] {
            let calls = instance.receive(&event(claim_id, amount, 1));
            for call in calls {
                instance.answer(&call, approved(amount));
            }
        }
        let of = |account: &str| {
            let all = database.read(turnovers).expect("audits");
            all.into_iter().find(|turnover| turnover.account == account).map(|turnover| (turnover.debits_cents, turnover.credits_cents))
        };
        assert_eq!(of("cash"), Some((0, 11_685)));
        assert_eq!(of("provider_payable"), Some((11_685, 11_685)));
        assert_eq!(of("receivable"), Some((500, 0)));
        assert_eq!(of("plan_budget"), Some((11_685, 500)));
        assert_eq!(instance.books_off(), 0);

        let first = database.read(|c| books(c, "", 2)).expect("pages");
        let rest = database.read(|c| books(c, &first[1].claim_id, 2)).expect("pages");
        assert_eq!((first.len(), rest.len()), (2, 1));
        assert_eq!(first[0].cash_out_cents, 11_685);

        // The database itself refuses to spoil its ledger.
        execute(database, match database.read(|c| Ok(matches!(c, Connection::Sqlite(_)))).expect("reads") {
            true => "DROP TRIGGER ledger_transfers_are_not_deleted",
            false => "DROP TRIGGER ledger_transfers_are_not_changed ON ledger_transfers",
        });
        execute(database, "DELETE FROM ledger_transfers WHERE kind = 'post'");
        assert_eq!(instance.books_off(), 1, "a reservation that nothing ended under a settled saga");
        execute(database, "UPDATE sagas SET state = 'unwound' WHERE claim_id = 'a debt'");
        assert_eq!(instance.books_off(), 2);
    }
}
