//! Refunds: a payment is refunded once, whatever the keys.

use crate::gateway::with_gateway;
use diesel::RunQueryDsl;
use diesel::sql_query;
use dual_db::on_each_backend;
use serde_json::json;
use test_support::{TestDatabase, on_both_databases};

on_both_databases! {
    fn a_payment_is_refunded_once_whatever_the_keys(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            payer.pay("k1", "claim1", 11_685).await.unwrap();
            let refunded = payer.refund("r1", "claim1", 11_685).await;
            let id = refunded.body["refund_id"].clone();
            assert_eq!(refunded.status, 200);
            assert_eq!(refunded.body, json!({"status": "refunded", "refund_id": id, "reference": "claim1", "amount_cents": 11_685, "currency": "USD"}));
            assert_eq!(payer.refund("r1", "claim1", 11_685).await, refunded, "a repeat gets the same response");
            let again = payer.refund("r2", "claim1", 11_685).await;
            assert_eq!((again.status, &again.body["status"], &again.body["refund_id"]), (200, &json!("already_refunded"), &id));
            assert_eq!(payer.refund("r2", "claim1", 11_685).await, again);
            assert_eq!(payer.refund("r1", "claim1", 11_685).await, refunded);

            assert_eq!(payer.book_of("claim1").await, (11_685, 11_685, vec!["payment".to_owned(), "refund".to_owned()]));
            let payment = &payer.look_up("claim1").await[0];
            assert_eq!((&payment["refunded"], &payment["returned"]), (&json!(true), &json!(false)));
            let repeat = payer.pay("k1", "claim1", 11_685).await.unwrap();
            assert_eq!((repeat.status, &repeat.body["status"]), (200, &json!("approved")), "the payment's response does not change");
        });
    }

    fn concurrent_refunds_refund_once(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            payer.pay("k1", "claim1", 900).await.unwrap();
            let refunding: Vec<_> = (0..30)
                .map(|n| {
                    let payer = payer.clone();
                    tokio::spawn(async move { payer.refund(&format!("r{}", n % 10), "claim1", 900).await })
                })
                .collect();
            let mut ids = std::collections::BTreeSet::new();
            let mut refunding_keys = 0;
            for task in refunding {
                let response = task.await.unwrap();
                assert_eq!(response.status, 200, "{response:?}");
                ids.insert(response.body["refund_id"].as_str().unwrap().to_owned());
                refunding_keys += usize::from(response.body["status"] == "refunded");
            }
            assert_eq!(ids.len(), 1);
            assert_eq!(refunding_keys, 3, "the key that refunded was sent three times");
            assert_eq!(payer.book_of("claim1").await.1, 900);
        });
    }

    fn a_refund_that_matches_no_payment_is_refused_and_its_key_stays_free(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            assert_eq!(payer.refund("r1", "claim1", 500).await.status, 404);
            payer.pay("declined", "claim1", 531).await.unwrap();
            assert_eq!(payer.refund("r1", "claim1", 531).await.status, 404, "a declined payment cannot be refunded");
            payer.pay("k1", "claim1", 500).await.unwrap();
            let other = payer.refund("r1", "claim1", 499).await;
            assert_eq!((other.status, &other.body["errors"][0]["code"]), (422, &json!("other_amount")));
            assert_eq!(payer.refund("r1", "claim1", 500).await.body["status"], "refunded");
            payer.pay("k2", "claim2", 600).await.unwrap();
            assert_eq!(payer.refund("r1", "claim2", 600).await.status, 409);
            assert_eq!(payer.refund("r1", "claim1", 499).await.status, 409);
            assert_eq!(payer.book_of("claim2").await.1, 0);
        });
    }

    fn cents_47_are_refunded_as_paid_and_cents_59_fail_once(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            payer.pay("k47", "claim47", 10_047).await.unwrap();
            assert_eq!(payer.refund("r47", "claim47", 10_047).await.status, 422, "another amount was paid");
            assert_eq!(payer.refund("r47", "claim47", 10_147).await.body["status"], "refunded");

            payer.pay("k59", "claim59", 10_059).await.unwrap();
            let failed = payer.refund("r59", "claim59", 10_159).await;
            assert_eq!((failed.status, failed.retry_after.as_deref()), (503, Some("1")));
            assert_eq!(payer.book_of("claim59").await.1, 0);
            assert_eq!(payer.refund("r59", "claim59", 10_159).await.body["status"], "refunded");
            assert_eq!(payer.book_of("claim59").await, (10_159, 10_159, vec!["payment".to_owned(), "refund".to_owned()]));
        });
    }

    fn two_payments_for_one_reference_are_refunded_one_by_one(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            payer.pay("k1", "claim1", 500).await.unwrap();
            payer.pay("k2", "claim1", 500).await.unwrap();
            let first = payer.refund("r1", "claim1", 500).await;
            let second = payer.refund("r2", "claim1", 500).await;
            assert_eq!((&first.body["status"], &second.body["status"]), (&json!("refunded"), &json!("refunded")));
            assert_ne!(first.body["refund_id"], second.body["refund_id"]);
            assert_eq!(payer.refund("r3", "claim1", 500).await.body["status"], "already_refunded");
            assert_eq!(payer.book_of("claim1").await, (1_000, 1_000, ["payment", "payment", "refund", "refund"].map(str::to_owned).to_vec()));
        });
    }

    fn returned_money_is_not_refunded(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            payer.pay("k1", "claim1", 800).await.unwrap();
            // A return by the payee's bank: the book's unique index treats it like a refund.
            let returned = "INSERT INTO book (at_us, kind, payment_key, reference, amount_cents, entry_id) \
                SELECT 1, 'return', id, reference, paid_cents, 'return1' FROM payments";
            let give_back = || database.database().write(|connection| {
                on_each_backend!(connection, |c| sql_query(returned).execute(c))?;
                Ok(())
            });
            give_back().expect("is booked");
            give_back().expect_err("the book refuses it a second time");
            for _ in 0..2 {
                let response = payer.refund("r1", "claim1", 800).await;
                assert_eq!((response.status, response.body), (200, json!({"status": "already_returned", "reference": "claim1", "amount_cents": 800, "currency": "USD"})));
            }
            assert_eq!(payer.book_of("claim1").await, (800, 800, vec!["payment".to_owned(), "return".to_owned()]));
            let payment = &payer.look_up("claim1").await[0];
            assert_eq!((&payment["refunded"], &payment["returned"]), (&json!(false), &json!(true)));
        });
    }
}
