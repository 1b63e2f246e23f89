//! Amounts that end in `.53` come back later, and whoever paid is told until they say that they know.

use crate::gateway::{Payer, with_settings};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};
use simulated_gateway::settings::Settings;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use test_support::{TestDatabase, count, eventually, on_both_databases};

type ReturnOutcome = Arc<Mutex<Vec<(String, Value)>>>;

/// Somebody who is told, and answers with these statuses, one after the other, the last one again and again.
fn somebody(answers: &'static [u16]) -> (String, ReturnOutcome) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/told", listener.local_addr().expect("bound"));
    let told = ReturnOutcome::default();
    let telling = Arc::clone(&told);
    std::thread::spawn(move || {
        let server = HttpServer::new(move || {
            let telling = Arc::clone(&telling);
            App::new().default_service(web::to(move |request: HttpRequest, body: web::Json<Value>| {
                let signature = request.headers().get("gateway-signature").expect("signed").to_str().expect("text");
                let mut told = telling.lock().expect("no panic");
                told.push((signature.to_owned(), body.into_inner()));
                let status = answers[(told.len() - 1).min(answers.len() - 1)];
                let status = actix_web::http::StatusCode::from_u16(status).expect("a status");
                async move { HttpResponse::build(status).finish() }
            }))
        });
        let running = server.workers(1).disable_signals().listen(listener).expect("listens").run();
        actix_web::rt::System::new().block_on(running).expect("runs");
    });
    (url, told)
}

fn hurried(url: String) -> impl FnOnce(&mut Settings) {
    move |settings| {
        settings.webhook.url = url;
        settings.webhook.secret = "a secret".into();
        settings.webhook.return_after_ms = 2_000;
        settings.webhook.interval_ms = 20;
        settings.webhook.retry_pause_ms = 50;
    }
}

async fn told_times(told: &ReturnOutcome, wanted: usize) {
    eventually("somebody is told", async || (told.lock().expect("no panic").len() >= wanted).then_some(())).await;
}

/// All that was told by the time at which one more payment, made now, has come back: what was to be told before that, was.
async fn all_told(payer: &Payer, told: &ReturnOutcome) -> Vec<(String, Value)> {
    let is_last = |(_, body): &(String, Value)| body["reference"] == "last";
    assert_eq!(payer.pay("last", "last", 10_053).await.unwrap().status, 200);
    let told = eventually("the last one comes back", async || {
        let told = told.lock().expect("no panic").clone();
        told.iter().any(is_last).then_some(told)
    });
    told.await.into_iter().filter(|told| !is_last(told)).collect()
}

on_both_databases! {
    fn cents_53_come_back_and_are_told_until_it_is_known(database: &TestDatabase) {
        let (url, told) = somebody(&[500, 404, 200]);
        with_settings(database, hurried(url), |payer| async move {
            assert_eq!(payer.pay("k1", "claim1", 10_053).await.unwrap().status, 200);
            assert_eq!(payer.pay("k2", "claim2", 10_000).await.unwrap().status, 200);
            assert_eq!(payer.book_of("claim1").await.1, 0, "not yet");
            told_times(&told, 3).await;
            let all = all_told(&payer, &told).await;
            assert_eq!(all.len(), 3, "and then no more");
            for (signature, body) in &all {
                assert!(signature.starts_with("t=") && signature.contains(",v1="), "{signature}");
                assert_eq!(body["id"], all[0].1["id"], "one event, told three times");
                assert_eq!(body["type"], "payment.returned");
                assert_eq!((&body["reference"], &body["amount_cents"]), (&json!("claim1"), &json!(10_053)));
            }
            let (out, back, _) = payer.book_of("claim1").await;
            assert_eq!((out, back), (10_053, 10_053));
            assert_eq!(payer.look_up("claim1").await[0]["returned"], true);
            assert_eq!(payer.book_of("claim2").await.1, 0);
        });
    }

    fn what_was_refunded_in_time_does_not_come_back(database: &TestDatabase) {
        let (url, told) = somebody(&[200]);
        with_settings(database, hurried(url), |payer| async move {
            payer.pay("k1", "claim1", 10_053).await.unwrap();
            assert_eq!(payer.refund("r1", "claim1", 10_053).await.status, 200);
            payer.pay("k2", "claim2", 10_053).await.unwrap();
            told_times(&told, 1).await;
            let all = all_told(&payer, &told).await;
            assert_eq!(all.iter().map(|(_, body)| body["reference"].clone()).collect::<Vec<_>>(), ["claim2"]);
            assert_eq!(payer.book_of("claim1").await.1, 10_053, "back once");
            assert_eq!(payer.refund("r2", "claim2", 10_053).await.body["status"], "already_returned");
        });
    }

    fn any_amount_comes_back_as_often_as_is_set(database: &TestDatabase) {
        let (url, told) = somebody(&[200]);
        let all = |settings: &mut Settings| {
            hurried(url)(settings);
            settings.faults.return_percent = 100;
        };
        with_settings(database, all, |payer| async move {
            assert_eq!(payer.pay("k1", "claim1", 10_000).await.unwrap().status, 200);
            assert_eq!(payer.pay("k2", "claim2", 10_031).await.unwrap().status, 402, "the cents decide that");
            told_times(&told, 1).await;
            assert_eq!(all_told(&payer, &told).await[0].1["reference"], "claim1");
            assert_eq!(payer.book_of("claim1").await.1, 10_000);
        });
    }

    fn where_nobody_is_told_nothing_comes_back(database: &TestDatabase) {
        with_settings(database, |settings| settings.webhook.return_after_ms = 0, |payer| async move {
            payer.pay("k1", "claim1", 10_053).await.unwrap();
            assert_eq!(count(database.database(), "returns"), 0, "nothing is to come back");
            assert_eq!(payer.book_of("claim1").await.1, 0);
        });
    }
}
