//! Claims and their payments on a system without faults.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use system_tests::audit::{self, Accepted, Strictness};
use system_tests::fates::{ALL, Fate};
use system_tests::stack::Stack;

const REAL_CLAIM: &str = include_str!("../../../../scripts/claim_1234.csv");
/// A subscriber id that no log line and no event may contain.
const CANARY: &str = "CANARY7714935028";

#[tokio::test(flavor = "multi_thread")]
async fn the_real_claim_settles_within_two_seconds() {
    let stack = Stack::start(1).await;
    // The first claim waits until the consumer groups have formed, and any claim may be slowed down by other work on the machine:
    // the fastest one shows how long a claim takes.
    let mut took = Vec::new();
    while took.iter().min().is_none_or(|quickest| *quickest >= Duration::from_secs(2)) {
        assert!(took.len() < 10, "no claim took less than two seconds: {took:?}");
        let claim = post_csv(&stack, REAL_CLAIM).await;
        let posted = Instant::now();
        assert_eq!(claim["net_fee"], "116.85");
        let net_fees: Vec<&str> =
            claim["lines"].as_array().unwrap().iter().filter_map(|line| line["net_fee"].as_str()).collect();
        assert_eq!(net_fees, ["0.00", "0.00", "81.25", "35.60"]);
        let ended = stack.api.ended(claim["id"].as_str().unwrap(), posted + Duration::from_secs(60)).await;
        took.push(posted.elapsed());
        audit::check_end(&ended, Fate::Approved);
    }
}

async fn post_csv(stack: &Stack, body: &str) -> Value {
    let answer = stack.api.post("text/csv", body, None).await.expect("it answers");
    assert_eq!(answer.status(), 201);
    answer.json().await.expect("a claim")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fate_ends_as_its_cents_demand_with_two_consumers() {
    let mut stack = Stack::start(2).await;
    let mut accepted = Vec::new();
    for number in 0..40 {
        let fate = ALL[usize::try_from(number).unwrap() % ALL.len()];
        let claim = stack.api.submit(&fate.claim(number), &format!("key-{number}")).await;
        accepted.push(Accepted::new(claim["id"].as_str().unwrap().to_owned(), fate));
    }
    audit::check(&stack.api, &accepted, Duration::from_secs(60), Strictness::EndedOnce).await;

    let returned = accepted.iter().find(|claim| claim.fate == Fate::ReturnedLater).expect("one");
    let claim = stack.api.claim(&returned.id).await.expect("answers");
    assert_eq!((&claim["outcome"]["version"], &claim["outcome"]["compensations"]), (&json!(2), &json!(["reverse"])));
    let events: Vec<&Value> = claim["timeline"].as_array().unwrap().iter().map(|entry| &entry["event"]).collect();
    assert_eq!(events, ["claim.submitted", "payment.settled", "payment.unwound"]);

    for service in stack.payments.iter_mut().chain(&mut stack.claim_process).chain([&mut stack.gateway]) {
        let status = service.stop();
        assert!(status.success(), "{} ended with {status}: {}", service.name(), service.last_lines());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_line_and_no_error_shows_a_subscriber() {
    let stack = Stack::start(1).await;
    let with_canary = REAL_CLAIM.replace("3730189502", CANARY);
    let accepted = post_csv(&stack, &with_canary).await;
    stack.api.ended(accepted["id"].as_str().unwrap(), Instant::now() + Duration::from_secs(30)).await;
    let bad = [
        with_canary.replace("D0180", "E0180"),
        with_canary.replace("$100.00", CANARY),
        format!("{{\"subscriber_id\": {CANARY}}}"),
        format!("[{{\"subscriber_id\": \"{CANARY}\", \"{CANARY}\": 1}}]"),
    ];
    for body in bad {
        let kind = if body.starts_with(['{', '[']) { "application/json" } else { "text/csv" };
        let answer = stack.api.post(kind, body.clone(), None).await.unwrap();
        assert!(answer.status().is_client_error());
        let text = answer.text().await.unwrap();
        // The last body uses it as a field name, which the answer to the sender repeats.
        assert!(!text.contains(CANARY) || body.ends_with("1}]"), "{text}");
    }
    let payment = stack.api.payment(accepted["id"].as_str().unwrap()).await.unwrap();
    assert!(!payment.to_string().contains(CANARY));
    assert!(!stack.all_output().contains(CANARY));
    let payments_database = std::fs::read(stack.directory().join("payments.db")).unwrap();
    let wal = std::fs::read(stack.directory().join("payments.db-wal")).unwrap_or_default();
    for bytes in [payments_database, wal] {
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()), "an event contains it");
    }
}
