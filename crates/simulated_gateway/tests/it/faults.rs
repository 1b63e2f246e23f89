//! Random faults: whatever faults the requests for a key have, it is paid once, and a retry gets the definite response.

use crate::gateway::{Payer, Response, with_gateway, with_settings};
use serde_json::json;
use simulated_gateway::settings::{Faults, Settings};
use std::time::{Duration, Instant};
use test_support::{TestDatabase, on_both_databases};

fn faults(set: impl FnOnce(&mut Faults)) -> impl FnOnce(&mut Settings) {
    |settings| set(&mut settings.faults)
}

/// The status of a payment request, or `None` if the connection was closed.
async fn seen(payer: &Payer, key: &str, cents: i64) -> Option<u16> {
    payer.pay(key, key, cents).await.ok().map(|response| response.status)
}

on_both_databases! {
    fn a_request_fault_pays_nothing(database: &TestDatabase) {
        with_settings(database, faults(|set| set.lost_request_percent = 100), |payer| async move {
            assert_eq!(seen(&payer, "k1", 1_000).await, None);
            assert_eq!(payer.book_of("k1").await.0, 0);
            payer.request(reqwest::Method::GET, "/payments?reference=k1").send().await.unwrap_err();
        });
        with_settings(database, faults(|set| set.too_many_percent = 100), |payer| async move {
            let throttled = payer.pay("k1", "k1", 1_000).await.unwrap();
            assert_eq!((throttled.status, throttled.retry_after.as_deref()), (429, Some("1")));
            assert_eq!(payer.get("/payments?reference=k1").await.status, 429);
            assert_eq!(payer.book_of("k1").await.0, 0);
        });
        with_settings(database, faults(|set| set.server_error_percent = 100), |payer| async move {
            let mut statuses = Vec::new();
            for n in 0..20 {
                statuses.push(seen(&payer, &format!("k{n}"), 1_000).await.expect("answers"));
            }
            statuses.sort_unstable();
            statuses.dedup();
            assert_eq!(statuses, [500, 503]);
            assert_eq!(payer.get("/book/summary").await.body["payments"], 0);
        });
        // The key is free, as if it had never been used.
        with_gateway(database, |payer| async move {
            assert_eq!(seen(&payer, "k1", 1_000).await, Some(200));
        });
    }

    fn a_request_with_a_response_fault_is_processed(database: &TestDatabase) {
        for (lost, halved) in [(100, 0), (0, 100)] {
            let key = format!("k{lost}");
            let damaged = faults(|set| (set.lost_answer_percent, set.half_answer_percent) = (lost, halved));
            with_settings(database, damaged, |payer| {
                let key = key.clone();
                async move {
                    for _ in 0..3 {
                        assert_eq!(seen(&payer, &key, 1_000).await, None);
                    }
                    assert_eq!(payer.book_of(&key).await, (1_000, 0, vec!["payment".to_owned()]));
                    assert_eq!(payer.look_up(&key).await.len(), 1, "a look-up has no response faults");
                    let body = json!({"reference": key, "amount_cents": 1_000, "currency": "USD"});
                    let refund = payer.post_to("/refunds").header("idempotency-key", format!("{key}.r")).json(&body).send().await;
                    if let Ok(half) = refund {
                        half.text().await.unwrap_err();
                    }
                    assert_eq!(payer.book_of(&key).await.1, 1_000);
                }
            });
            with_gateway(database, |payer| async move {
                assert_eq!(seen(&payer, &key, 1_000).await, Some(200));
                assert_eq!(payer.refund(&format!("{key}.r"), &key, 1_000).await.body["status"], "refunded");
                assert_eq!(payer.book_of(&key).await, (1_000, 1_000, vec!["payment".to_owned(), "refund".to_owned()]));
            });
        }
    }

    fn a_key_is_paid_once_and_gets_a_definite_response_whatever_the_faults(database: &TestDatabase) {
        let all = faults(|set| {
            set.lost_request_percent = 15;
            set.lost_answer_percent = 15;
            set.half_answer_percent = 15;
            set.server_error_percent = 15;
            set.too_many_percent = 15;
        });
        with_settings(database, all, |payer| async move {
            let paying: Vec<_> = (0..40).map(|n| {
                let payer = payer.clone();
                tokio::spawn(async move { until_definite(&payer, &format!("k{n}"), 1_000 + n * 100).await })
            }).collect();
            let mut tried = 0;
            for (paid, n) in paying.into_iter().zip(0..) {
                let (response, times) = paid.await.unwrap();
                tried += times;
                assert_eq!((response.status, &response.body["amount_cents"]), (200, &json!(1_000 + n * 100)));
                // A repeat gets the same payment.
                let (again, _) = until_definite(&payer, &format!("k{n}"), 1_000 + n * 100).await;
                assert_eq!(again, response);
                assert_eq!(payer.book_of(&format!("k{n}")).await.0, 1_000 + n * 100);
            }
            assert!(tried > 80, "three of four requests fail, and {tried} were made for 40 payments");
        });
    }

    fn random_declines_are_for_good_and_the_same_with_the_same_seed(database: &TestDatabase) {
        let mut before = Vec::new();
        for _ in 0..2 {
            let mut statuses = Vec::new();
            with_settings(database, faults(|set| set.decline_percent = 40), |payer| {
                let statuses = &mut statuses;
                async move {
                    for n in 0..20 {
                        statuses.push(seen(&payer, &format!("k{n}"), 1_000).await);
                        assert_eq!(seen(&payer, &format!("k{n}"), 1_000).await, statuses[n]);
                    }
                }
            });
            assert!(statuses.contains(&Some(200)) && statuses.contains(&Some(402)), "{statuses:?}");
            before.push(statuses);
        }
        assert_eq!(before[0], before[1]);
        // A decline is stored and not drawn again.
        with_gateway(database, |payer| async move {
            for (n, status) in before[0].iter().enumerate() {
                assert_eq!(seen(&payer, &format!("k{n}"), 1_000).await, *status);
            }
        });
    }

    fn the_refund_of_59_fails_as_often_as_is_set_until_a_restart_with_another_setting(database: &TestDatabase) {
        with_settings(database, |settings| settings.behaviour.refund_failures = 1_000_000, |payer| async move {
            payer.pay("k", "claim", 10_059).await.unwrap();
            for _ in 0..5 {
                assert_eq!(payer.refund("r", "claim", 10_159).await.status, 503);
            }
            assert_eq!(payer.book_of("claim").await.1, 0);
        });
        with_gateway(database, |payer| async move {
            assert_eq!(payer.refund("r", "claim", 10_159).await.body["status"], "refunded");
        });
    }
}

/// Requests a payment until it is approved, and returns the response and the number of attempts.
async fn until_definite(payer: &Payer, key: &str, cents: i64) -> (Response, u32) {
    for times in 1..=200 {
        if let Ok(response) = payer.pay(key, key, cents).await
            && response.status == 200
        {
            return (response, times);
        }
    }
    panic!("no definite response for {key}");
}

/// A truncated response is the head with the whole length, and half of the body.
#[test]
fn a_truncated_response_has_half_of_its_content_length() {
    let database = TestDatabase::sqlite();
    with_settings(&database, faults(|set| set.half_answer_percent = 100), |payer| async move {
        let seen = payer.pay_on_the_wire("claim1", 1_000).await;
        let (head, body) = seen.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        assert_eq!(length.map(|length: usize| length / 2), Some(body.len()), "{seen}");
        assert!(body.starts_with('{') && !body.is_empty(), "{seen}");
        assert_eq!(payer.book_of("claim1").await.0, 1_000);
    });
}

#[test]
fn latency_varies_by_the_spread_that_is_set() {
    let database = TestDatabase::sqlite();
    let spread = |settings: &mut Settings| settings.behaviour.latency_spread_ms = 400;
    with_settings(&database, spread, |payer| async move {
        let mut times = Vec::new();
        for n in 0..12 {
            let began = Instant::now();
            payer.pay(&format!("k{n}"), "claim1", 1_000).await.unwrap();
            times.push(began.elapsed());
        }
        times.sort_unstable();
        assert!(times[11] - times[0] > Duration::from_millis(100), "{times:?}");
    });
}
