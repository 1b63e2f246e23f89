//! What real gateways do besides: payments that are pending, statuses and conflicts, keys that are never answered again, refunds
//! that fail later, returns in parts, and webhooks that come twice, with two signatures, or of unknown types.

use crate::gateway::{Payer, Response, with_settings};
use crate::returns::{Webhooks, receiver, short_times, wait_for_webhooks};
use serde_json::{Value, json};
use simulated_gateway::settings::Settings;
use test_support::{TestDatabase, eventually, on_both_databases};

async fn pay(payer: &Payer, key: &str, cents: i64) -> Response {
    payer.pay(key, key, cents).await.expect("answers")
}

/// The bodies of the webhooks of a type.
fn of_type(received: &Webhooks, kind: &str) -> Vec<Value> {
    let received = received.lock().expect("no panic");
    received.iter().filter(|(_, body)| body["type"] == kind).map(|(_, body)| body.clone()).collect()
}

async fn is_decided(payer: &Payer, reference: &str) -> Value {
    eventually("the payment is decided", async || {
        let payment = payer.look_up(reference).await[0].clone();
        (payment["status"] != "pending").then_some(payment)
    })
    .await
}

on_both_databases! {
    fn a_pending_payment_is_decided_later_whether_it_is_looked_up_or_requested_again(database: &TestDatabase) {
        with_settings(database, |settings| settings.behaviour.pending_ms = 300, |payer| async move {
            for (key, cents) in [("k61", 10_061), ("k67", 10_067), ("k161", 10_161)] {
                let pending = pay(&payer, key, cents).await;
                assert_eq!((pending.status, &pending.body["status"]), (202, &json!("pending")), "{key}");
                assert_eq!(payer.look_up(key).await[0]["status"], "pending", "{key}");
                assert_eq!(payer.book_of(key).await.0, 0, "{key} is not paid yet");
            }
            let approved = is_decided(&payer, "k61").await;
            assert_eq!((&approved["status"], &approved["amount_cents"]), (&json!("approved"), &json!(10_061)));
            let declined = is_decided(&payer, "k67").await;
            assert_eq!((&declined["status"], &declined["code"]), (&json!("declined"), &json!("insufficient_funds")));
            let paid = eventually("the same request is approved", async || {
                let again = pay(&payer, "k161", 10_161).await;
                (again.status == 200).then_some(again)
            });
            assert_eq!(paid.await.body["amount_cents"], 10_161);
            for (key, cents, status, paid_cents) in [("k61", 10_061, 200, 10_061), ("k67", 10_067, 402, 0), ("k161", 10_161, 200, 10_161)] {
                assert_eq!(pay(&payer, key, cents).await.status, status, "{key} is definite");
                assert_eq!(payer.book_of(key).await.0, paid_cents, "{key} is paid once at most");
            }
        });
    }

    fn statuses_and_conflicts_are_those_of_the_cents(database: &TestDatabase) {
        with_settings(database, |_| (), |payer| async move {
            let created = pay(&payer, "k71", 10_071).await;
            assert_eq!((created.status, &created.body["status"]), (201, &json!("approved")));
            for _ in 0..2 {
                let busy = pay(&payer, "k73", 10_073).await;
                assert_eq!((busy.status, busy.retry_after.as_deref()), (409, Some("1")));
                assert!(busy.body["type"].as_str().is_some_and(|kind| kind.ends_with("request-in-progress")), "{:?}", busy.body);
            }
            assert_eq!(pay(&payer, "k73", 10_073).await.status, 200);
            for (key, cents, status) in [("k79", 10_079, 500), ("k83", 10_083, 409)] {
                for _ in 0..3 {
                    assert_eq!(pay(&payer, key, cents).await.status, status, "{key}");
                }
                assert_eq!(payer.look_up(key).await[0]["status"], "approved", "only a look-up finds {key}");
                assert_eq!(payer.book_of(key).await.0, cents, "{key} is paid once");
            }
        });
    }

    fn a_refund_that_fails_later_is_final_for_its_key_and_another_one_stands(database: &TestDatabase) {
        let (url, received) = receiver(&[200]);
        let soon = |settings: &mut Settings| {
            short_times(url)(settings);
            settings.webhook.return_after_ms = 50;
        };
        with_settings(database, soon, |payer| async move {
            assert_eq!(pay(&payer, "c89", 10_089).await.status, 200);
            assert_eq!(payer.refund("r1", "c89", 10_189).await.body["status"], "refunded");
            wait_for_webhooks(&received, 1).await;
            let failed = &of_type(&received, "refund.failed")[0];
            assert_eq!((&failed["idempotency_key"], &failed["amount_cents"]), (&json!("r1"), &json!(10_189)), "{failed}");
            assert_eq!(payer.book_of("c89").await, (10_189, 0, vec!["payment".into(), "refund".into(), "refund_failed".into()]));
            assert_eq!(payer.look_up("c89").await[0]["refunded"], false);
            assert_eq!(payer.refund("r1", "c89", 10_189).await.body["status"], "failed", "for good");
            assert_eq!(payer.refund("r2", "c89", 10_189).await.body["status"], "refunded");
            assert_eq!(payer.refund("r3", "c89", 10_189).await.body["status"], "already_refunded");
            assert_eq!(payer.book_of("c89").await.1, 10_189);
            let summary = payer.get("/book/summary").await.body;
            assert_eq!((&summary["money_back_cents"], &summary["net_cents"]), (&json!(10_189), &json!(0)), "{summary}");
        });
    }

    fn a_return_in_parts_is_whole_in_the_book_and_reported_in_two(database: &TestDatabase) {
        let (url, received) = receiver(&[200]);
        let soon = |settings: &mut Settings| {
            short_times(url)(settings);
            settings.webhook.return_after_ms = 50;
        };
        with_settings(database, soon, |payer| async move {
            assert_eq!(pay(&payer, "c97", 10_097).await.status, 200);
            wait_for_webhooks(&received, 2).await;
            let parts: Vec<_> = of_type(&received, "payment.returned").iter().map(|body| body["amount_cents"].as_i64()).collect();
            assert_eq!(parts, [Some(4_038), Some(6_059)]);
            let ids: Vec<_> = of_type(&received, "payment.returned").iter().map(|body| body["id"].clone()).collect();
            assert_ne!(ids[0], ids[1]);
            assert_eq!(payer.book_of("c97").await, (10_097, 10_097, vec!["payment".into(), "return".into(), "return".into()]));
            assert_eq!(payer.refund("r", "c97", 10_097).await.body["status"], "already_returned");
        });
    }

    fn webhooks_come_twice_under_two_secrets_and_beside_unknown_ones_as_is_set(database: &TestDatabase) {
        let (url, received) = receiver(&[200]);
        let all = |settings: &mut Settings| {
            short_times(url)(settings);
            settings.webhook.return_after_ms = 50;
            settings.webhook.second_secret = "another".into();
            settings.webhook.deliver_twice = true;
            settings.webhook.unknown_events = true;
            settings.webhook.currency_in_lower_case = true;
        };
        with_settings(database, all, |payer| async move {
            pay(&payer, "c53", 10_053).await;
            wait_for_webhooks(&received, 3).await;
            assert_eq!(of_type(&received, "payment.audited").len(), 1);
            let returned = of_type(&received, "payment.returned");
            assert_eq!((returned.len(), &returned[0]), (2, &returned[1]), "the same again");
            assert_eq!(returned[0]["currency"], "usd");
            for (signature, _) in received.lock().expect("no panic").iter() {
                assert_eq!(signature.matches("v1=").count(), 2, "{signature}");
            }
        });
    }

    fn only_a_payer_with_the_key_is_let_in(database: &TestDatabase) {
        with_settings(database, |settings| settings.behaviour.api_key = "ours".into(), |payer| async move {
            assert_eq!(pay(&payer, "k", 100).await.status, 401);
            assert_eq!(payer.refund("r", "k", 100).await.status, 401);
            assert_eq!(payer.get("/payments?reference=k").await.status, 401);
            assert_eq!(payer.get("/healthz").await.status, 200, "it is alive for all");
            assert_eq!(payer.book_of("k").await.0, 0);
            let with_key = payer.request(reqwest::Method::GET, "/payments?reference=k").bearer_auth("ours");
            assert_eq!(with_key.send().await.expect("answers").status(), 200);
        });
    }
}
