//! Payments with amounts that end in `.53` are returned later, and the webhook about it is retried until it is delivered.

use crate::gateway::{Payer, with_settings};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};
use simulated_gateway::settings::Settings;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use test_support::{TestDatabase, count, eventually, on_both_databases};

/// The signatures and bodies of received webhooks.
pub type Webhooks = Arc<Mutex<Vec<(String, Value)>>>;

/// A receiver of webhooks that responds with these statuses in order, and then always with the last one.
pub fn receiver(statuses: &'static [u16]) -> (String, Webhooks) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/webhooks", listener.local_addr().expect("bound"));
    let received = Webhooks::default();
    let receiving = Arc::clone(&received);
    std::thread::spawn(move || {
        let server = HttpServer::new(move || {
            let receiving = Arc::clone(&receiving);
            App::new().default_service(web::to(move |request: HttpRequest, body: web::Json<Value>| {
                let signature = request.headers().get("gateway-signature").expect("signed").to_str().expect("text");
                let mut received = receiving.lock().expect("no panic");
                received.push((signature.to_owned(), body.into_inner()));
                let status = statuses[(received.len() - 1).min(statuses.len() - 1)];
                let status = actix_web::http::StatusCode::from_u16(status).expect("a status");
                async move { HttpResponse::build(status).finish() }
            }))
        });
        let running = server.workers(1).disable_signals().listen(listener).expect("listens").run();
        actix_web::rt::System::new().block_on(running).expect("runs");
    });
    (url, received)
}

pub fn short_times(url: String) -> impl FnOnce(&mut Settings) {
    move |settings| {
        settings.webhook.url = url;
        settings.webhook.secret = "a secret".into();
        settings.webhook.return_after_ms = 2_000;
        settings.webhook.interval_ms = 20;
        settings.webhook.retry_pause_ms = 50;
    }
}

pub async fn wait_for_webhooks(received: &Webhooks, wanted: usize) {
    eventually("webhooks are received", async || (received.lock().expect("no panic").len() >= wanted).then_some(()))
        .await;
}

/// All webhooks that are received before that of one more payment, which is made now. An earlier return is due earlier.
async fn all_webhooks(payer: &Payer, received: &Webhooks) -> Vec<(String, Value)> {
    let is_last = |(_, body): &(String, Value)| body["reference"] == "last";
    assert_eq!(payer.pay("last", "last", 10_053).await.unwrap().status, 200);
    let all = eventually("the last one is returned", async || {
        let all = received.lock().expect("no panic").clone();
        all.iter().any(is_last).then_some(all)
    });
    all.await.into_iter().filter(|webhook| !is_last(webhook)).collect()
}

on_both_databases! {
    fn cents_53_are_returned_and_the_webhook_is_retried_until_it_is_delivered(database: &TestDatabase) {
        let (url, received) = receiver(&[500, 404, 200]);
        with_settings(database, short_times(url), |payer| async move {
            assert_eq!(payer.pay("k1", "claim1", 10_053).await.unwrap().status, 200);
            assert_eq!(payer.pay("k2", "claim2", 10_000).await.unwrap().status, 200);
            assert_eq!(payer.book_of("claim1").await.1, 0, "it is not returned yet");
            wait_for_webhooks(&received, 3).await;
            let all = all_webhooks(&payer, &received).await;
            assert_eq!(all.len(), 3, "a delivered webhook is not sent again");
            for (signature, body) in &all {
                assert!(signature.starts_with("t=") && signature.contains(",v1="), "{signature}");
                assert_eq!(body["id"], all[0].1["id"], "each retry has the same id");
                assert_eq!(body["type"], "payment.returned");
                assert_eq!((&body["reference"], &body["amount_cents"]), (&json!("claim1"), &json!(10_053)));
            }
            let (out, back, _) = payer.book_of("claim1").await;
            assert_eq!((out, back), (10_053, 10_053));
            assert_eq!(payer.look_up("claim1").await[0]["returned"], true);
            assert_eq!(payer.book_of("claim2").await.1, 0);
        });
    }

    fn a_refunded_payment_is_not_returned(database: &TestDatabase) {
        let (url, received) = receiver(&[200]);
        with_settings(database, short_times(url), |payer| async move {
            payer.pay("k1", "claim1", 10_053).await.unwrap();
            assert_eq!(payer.refund("r1", "claim1", 10_053).await.status, 200);
            payer.pay("k2", "claim2", 10_053).await.unwrap();
            wait_for_webhooks(&received, 1).await;
            let all = all_webhooks(&payer, &received).await;
            assert_eq!(all.iter().map(|(_, body)| body["reference"].clone()).collect::<Vec<_>>(), ["claim2"]);
            assert_eq!(payer.book_of("claim1").await.1, 10_053, "it was refunded once");
            assert_eq!(payer.refund("r2", "claim2", 10_053).await.body["status"], "already_returned");
        });
    }

    fn any_amount_is_returned_with_the_percentage_that_is_set(database: &TestDatabase) {
        let (url, received) = receiver(&[200]);
        let all = |settings: &mut Settings| {
            short_times(url)(settings);
            settings.faults.return_percent = 100;
        };
        with_settings(database, all, |payer| async move {
            assert_eq!(payer.pay("k1", "claim1", 10_000).await.unwrap().status, 200);
            assert_eq!(payer.pay("k2", "claim2", 10_031).await.unwrap().status, 402, "the cents decide that");
            wait_for_webhooks(&received, 1).await;
            assert_eq!(all_webhooks(&payer, &received).await[0].1["reference"], "claim1");
            assert_eq!(payer.book_of("claim1").await.1, 10_000);
        });
    }

    fn without_a_webhook_url_no_payment_is_returned(database: &TestDatabase) {
        with_settings(database, |settings| settings.webhook.return_after_ms = 0, |payer| async move {
            payer.pay("k1", "claim1", 10_053).await.unwrap();
            assert_eq!(count(database.database(), "notices"), 0, "no return is scheduled");
            assert_eq!(payer.book_of("claim1").await.1, 0);
        });
    }
}
