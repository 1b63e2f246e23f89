//! Payments: the rules by cents, and one payment for each key.

use crate::gateway::{Payer, Response, with_gateway, with_settings};
use serde_json::json;
use std::time::{Duration, Instant};
use test_support::{TestDatabase, on_both_databases};

on_both_databases! {
    fn a_payment_is_approved_booked_and_found(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            let response = payer.pay("k1", "claim1", 11_685).await.unwrap();
            let id = response.body["payment_id"].as_str().unwrap().to_owned();
            assert_eq!(response.status, 200);
            assert_eq!(response.body, json!({"status": "approved", "payment_id": id, "reference": "claim1",
                "amount_cents": 11_685, "currency": "USD"}));
            assert_eq!(payer.look_up("claim1").await, [json!({"payment_id": id, "reference": "claim1",
                "idempotency_key": "k1", "status": "approved", "amount_cents": 11_685, "currency": "USD", "refunded": false, "returned": false})]);
            assert_eq!(payer.book_of("claim1").await, (11_685, 0, vec!["payment".to_owned()]));
            assert_eq!(payer.look_up("claim2").await, Vec::<serde_json::Value>::new());
        });
    }

    fn a_repeat_gets_the_same_response_and_another_body_is_a_conflict(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            let first = payer.pay("k1", "claim1", 5_000).await.unwrap();
            assert_eq!(payer.pay("k1", "claim1", 5_000).await.unwrap(), first);
            for (reference, cents) in [("claim1", 5_001), ("claim2", 5_000)] {
                let conflict = payer.pay("k1", reference, cents).await.unwrap();
                assert_eq!((conflict.status, conflict.body["status"].clone()), (409, json!(409)));
            }
            let payee = json!({"reference": "claim1", "amount_cents": 5_000, "currency": "USD", "payee": "1234567893"});
            let other_payee = payer.post_to("/payments").header("idempotency-key", "k1").json(&payee).send().await.unwrap();
            assert_eq!(other_payee.status(), 409);
            // Another key is another payment, also for the same reference.
            assert_ne!(payer.pay("k2", "claim1", 5_000).await.unwrap().body["payment_id"], first.body["payment_id"]);
            assert_eq!(payer.book_of("claim1").await.0, 10_000);
        });
    }

    fn cents_31_are_declined_for_good(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            for _ in 0..3 {
                let response = payer.pay("k1", "claim1", 10_031).await.unwrap();
                assert_eq!(response.status, 402);
                assert_eq!(response.body, json!({"status": "declined", "code": "insufficient_funds", "reference": "claim1"}));
            }
            assert_eq!(payer.look_up("claim1").await, [json!({"payment_id": null, "reference": "claim1",
                "idempotency_key": "k1", "status": "declined", "amount_cents": 10_031, "currency": "USD", "refunded": false, "returned": false,
                "code": "insufficient_funds"})]);
            assert_eq!(payer.book_of("claim1").await, (0, 0, vec![]));
        });
    }

    fn cents_37_are_paid_and_the_first_response_is_lost(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            let began = Instant::now();
            let lost = payer.pay("k1", "claim1", 10_037).await.unwrap_err();
            assert!(!lost.is_timeout() && began.elapsed() < Duration::from_secs(20), "{lost:?}");
            assert_eq!(payer.book_of("claim1").await.0, 10_037);
            let paid = payer.look_up("claim1").await;
            let repeat = payer.pay("k1", "claim1", 10_037).await.unwrap();
            assert_eq!((repeat.status, &repeat.body["payment_id"]), (200, &paid[0]["payment_id"]));
            assert_eq!(payer.book_of("claim1").await.0, 10_037);
        });
    }

    fn cents_41_lose_the_first_request(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            let began = Instant::now();
            let lost = payer.pay("k1", "claim1", 10_041).await.unwrap_err();
            assert!(!lost.is_timeout() && began.elapsed() < Duration::from_secs(20), "{lost:?}");
            assert_eq!(payer.look_up("claim1").await, Vec::<serde_json::Value>::new());
            assert_eq!(payer.book_of("claim1").await, (0, 0, vec![]));
            assert_eq!(payer.pay("k1", "claim1", 10_041).await.unwrap().status, 200);
            assert_eq!(payer.book_of("claim1").await.0, 10_041);
        });
    }

    fn cents_43_are_throttled_twice(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            for _ in 0..2 {
                let response = payer.pay("k1", "claim1", 10_043).await.unwrap();
                assert_eq!((response.status, response.retry_after.as_deref()), (429, Some("1")));
                assert_eq!(payer.book_of("claim1").await.0, 0);
            }
            assert_eq!(payer.pay("k1", "claim1", 10_043).await.unwrap().status, 200);
            assert_eq!(payer.pay("k1", "claim1", 10_043).await.unwrap().status, 200);
            assert_eq!(payer.book_of("claim1").await.0, 10_043);
        });
    }

    fn cents_47_and_59_are_paid_with_another_amount(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            for (reference, cents) in [("claim47", 10_047), ("claim59", 10_059)] {
                for _ in 0..2 {
                    let response = payer.pay(reference, reference, cents).await.unwrap();
                    assert_eq!((response.status, &response.body["amount_cents"]), (200, &json!(cents + 100)));
                }
                assert_eq!(payer.book_of(reference).await.0, cents + 100);
                assert_eq!(payer.look_up(reference).await[0]["amount_cents"], cents + 100);
            }
        });
    }

    fn concurrent_requests_with_one_key_pay_once_and_get_the_same_response(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            let paying: Vec<_> = (0..50)
                .map(|_| {
                    let payer = payer.clone();
                    tokio::spawn(async move { payer.pay("k1", "claim1", 7_700).await.unwrap() })
                })
                .collect();
            let mut responses = Vec::new();
            for task in paying {
                responses.push(task.await.unwrap());
            }
            assert_eq!(responses[0].status, 200, "{:?}", responses[0]);
            assert!(responses.iter().all(|response| response == &responses[0]), "{responses:?}");
            assert_eq!(payer.book_of("claim1").await, (7_700, 0, vec!["payment".to_owned()]));
        });
    }

    fn of_concurrent_requests_with_one_key_one_loses_its_response_or_two_are_throttled(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            for (reference, cents, wanted) in [("claim37", 137, [19, 0, 1]), ("claim43", 143, [18, 2, 0])] {
                let paying: Vec<_> = (0..20)
                    .map(|_| {
                        let payer = payer.clone();
                        tokio::spawn(async move { payer.pay(reference, reference, cents).await })
                    })
                    .collect();
                let mut seen = [0; 3];
                for task in paying {
                    match task.await.unwrap() {
                        Ok(response) if response.status == 200 => seen[0] += 1,
                        Ok(response) => { assert_eq!(response.status, 429); seen[1] += 1; }
                        Err(_) => seen[2] += 1,
                    }
                }
                assert_eq!(seen, wanted);
                assert_eq!(payer.book_of(reference).await.0, cents);
            }
        });
    }

    fn a_restart_keeps_the_book_the_responses_and_the_attempts(database: &TestDatabase) {
        let mut paid = Vec::new();
        with_gateway(database, |payer| {
            let paid = &mut paid;
            async move {
                for reference in ["a", "b", "c"] {
                    paid.push(payer.pay(reference, reference, 2_500).await.unwrap());
                }
                assert_eq!(payer.refund("r", "a", 2_500).await.status, 200);
                assert_eq!(payer.pay("slow", "slow", 43).await.unwrap().status, 429);
                payer.pay("lost", "lost", 41).await.unwrap_err();
            }
        });
        with_gateway(database, |payer| async move {
            for (reference, first) in ["a", "b", "c"].into_iter().zip(paid) {
                assert_eq!(payer.pay(reference, reference, 2_500).await.unwrap(), first);
            }
            let summary = payer.get("/book/summary").await.body;
            assert_eq!((&summary["payments"], &summary["net_cents"]), (&json!(3), &json!(5_000)));
            assert_eq!(payer.refund("other", "a", 2_500).await.body["status"], "already_refunded");
            assert_eq!(payer.pay("slow", "slow", 43).await.unwrap().status, 429);
            assert_eq!(payer.pay("slow", "slow", 43).await.unwrap().status, 200);
            assert_eq!(payer.pay("lost", "lost", 41).await.unwrap().status, 200);
        });
    }
}

/// A lost response is a closed connection without a byte.
#[test]
fn a_lost_response_has_no_bytes() {
    let database = TestDatabase::sqlite();
    with_gateway(&database, |payer| async move {
        assert_eq!(payer.pay_on_the_wire("claim1", 137).await, "");
        assert_eq!(payer.book_of("claim1").await.0, 137);
    });
}

/// The responses to `payments` concurrent payment requests for one claim, each with its own key.
async fn pay_at_once(payer: &Payer, payments: usize) -> Vec<Response> {
    let paying: Vec<_> = (0..payments)
        .map(|n| {
            let payer = payer.clone();
            tokio::spawn(async move { payer.pay(&format!("k{n}"), "claim1", 1_000).await.unwrap() })
        })
        .collect();
    let mut responses = Vec::new();
    for task in paying {
        responses.push(task.await.unwrap());
    }
    responses
}

#[test]
fn latency_delays_payers_and_capacity_bounds_them() {
    let database = TestDatabase::sqlite();
    let slow = |settings: &mut simulated_gateway::settings::Settings| {
        settings.behaviour.latency_ms = 3_000;
        settings.behaviour.capacity = 2;
    };
    with_settings(&database, slow, |payer| async move {
        let began = Instant::now();
        let mut paid = 0;
        for response in pay_at_once(&payer, 6).await {
            match response.status {
                200 => paid += 1,
                _ => assert_eq!((response.status, response.retry_after.as_deref()), (503, Some("1")), "{response:?}"),
            }
        }
        assert_eq!(paid, 2);
        assert!(began.elapsed() >= Duration::from_secs(3));
        assert_eq!(payer.book_of("claim1").await.0, 2_000);
    });
}

#[test]
fn requests_above_the_throughput_wait_and_then_are_refused_with_the_status_that_is_set() {
    for refuse_with in [429, 503] {
        let database = TestDatabase::sqlite();
        let busy = |settings: &mut simulated_gateway::settings::Settings| {
            settings.throughput.schedule = "1@0s".to_owned();
            settings.throughput.call_ms = 10;
            settings.throughput.max_queued = 2;
            settings.throughput.refuse_with = refuse_with;
        };
        with_settings(&database, busy, |payer| async move {
            let began = Instant::now();
            let mut paid = 0;
            for response in pay_at_once(&payer, 8).await {
                match response.status {
                    200 => paid += 1,
                    _ => assert_eq!((response.status, response.retry_after.as_deref()), (refuse_with, Some("1"))),
                }
            }
            // One starts and two wait; a fourth may arrive late enough to find room.
            assert!((3..=7).contains(&paid), "{paid} paid");
            assert!(began.elapsed() >= Duration::from_secs(2), "two wait for a second each");
            assert_eq!(payer.book_of("claim1").await.0, 1_000 * paid);
        });
    }
}
