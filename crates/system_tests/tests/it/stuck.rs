//! A compensation that keeps failing is reported as stuck, by payments and with its claim, and retried until the gateway accepts
//! it; one that fails after the gateway accepted it is undone, and waits for an operator.

use std::time::Duration;
use system_tests::audit::{self, Accepted, Strictness};
use system_tests::fates::Fate;
use system_tests::stack::Stack;
use system_tests::watch::metric;
use test_support::{eventually, within};

const REFUND_FAILURES: &str = "SIMULATED_GATEWAY__BEHAVIOUR__REFUND_FAILURES";

/// The number of stuck payments by their list and by the metric, and the number of claims that need attention.
async fn troubles(stack: &Stack) -> (usize, f64, Option<u64>) {
    let listed = stack.api.stuck_payments().await.unwrap_or_default().len();
    let metrics = stack.api.payments_metrics().await.unwrap_or_default();
    let attention = stack.api.reconciliation().await["needs_attention"]["claims"].as_u64();
    (listed, metric(&metrics, "payments_stuck"), attention)
}

async fn wait_for_troubles(stack: &Stack, wanted: (usize, f64, Option<u64>)) {
    within(Duration::from_secs(60), async || {
        let found = troubles(stack).await;
        if found == wanted { Ok(()) } else { Err(format!("expected {wanted:?}, found {found:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_keeps_failing_is_reported_as_stuck_and_retried_until_it_succeeds() {
    let settings = [
        (REFUND_FAILURES, "1000000"),
        ("PAYMENTS__SAGA__STUCK_AFTER_ATTEMPTS", "4"),
        ("CLAIM_PROCESS__WATCHDOG__FIRST_PAUSE_MS", "500"),
        ("CLAIM_PROCESS__WATCHDOG__MAX_PAUSE_MS", "1000"),
        ("CLAIM_PROCESS__WATCHDOG__ATTENTION_AFTER", "3"),
    ];
    let mut stack = Stack::start_with(1, &settings).await;
    let mut accepted = Vec::new();
    for (number, fate) in (0..).zip([Fate::WrongAmountRefundFails, Fate::Approved]) {
        let claim = stack.api.submit(&fate.claim(number), &format!("key-{number}")).await;
        accepted.push(Accepted::new(claim["id"].as_str().expect("an id").to_owned(), fate));
    }
    wait_for_troubles(&stack, (1, 1.0, Some(1))).await;

    let stuck = &stack.api.stuck_payments().await.expect("answers")[0];
    assert_eq!(stuck["claim_id"], accepted[0].id.as_str());
    assert!(stuck["stuck_reason"].as_str().is_some_and(|reason| reason.contains("still being sent")), "{stuck}");
    assert!(stuck["next_attempt_at"].is_string(), "it is retried: {stuck}");
    let claim = stack.api.claim(&accepted[0].id).await.expect("answers");
    assert_eq!((claim["status"].as_str(), &claim["needs_attention"]), (Some("submitted"), &true.into()), "{claim}");
    let book = stack.api.book_summary().await;
    assert_eq!((&book["payments"], &book["refunds"]), (&2.into(), &0.into()), "paid, and not refunded: {book}");

    stack.gateway.kill();
    stack.gateway.set(REFUND_FAILURES, "1");
    stack.gateway.start();
    audit::check(&stack.api, &accepted, Duration::from_secs(60), Strictness::EndedOnce).await;
    wait_for_troubles(&stack, (0, 0.0, Some(0))).await;
}

/// Waits until the claim, the list of those that need attention and the reconciliation show that its payment needs a person, or
/// none: within five seconds.
async fn wait_for_attention(stack: &Stack, id: &str, wanted: Option<&str>) {
    within(Duration::from_secs(5), async || {
        let claim = stack.api.claim(id).await.unwrap_or_default();
        let counted = stack.api.reconciliation().await["needs_attention"]["claims"].clone();
        let reason = claim["attention"]["payment"].as_str();
        let shown = claim["needs_attention"] == wanted.is_some()
            && counted == usize::from(wanted.is_some())
            && reason.is_some() == wanted.is_some()
            && wanted.is_none_or(|wanted| reason.is_some_and(|reason| reason.contains(wanted)));
        if shown { Ok(()) } else { Err(format!("expected {wanted:?}: {counted} claims, {claim}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_shows_within_seconds_that_its_payment_needs_a_person_and_no_longer_after_a_retry() {
    let settings = [
        (REFUND_FAILURES, "1000000"),
        ("PAYMENTS__SAGA__STUCK_AFTER_ATTEMPTS", "3"),
        // What the claim shows is the reason of payments alone.
        ("CLAIM_PROCESS__WATCHDOG__FIRST_PAUSE_MS", "600000"),
        ("CLAIM_PROCESS__WATCHDOG__MAX_PAUSE_MS", "600000"),
    ];
    let mut stack = Stack::start_with(1, &settings).await;
    let fate = Fate::WrongAmountRefundFails;
    let claim = stack.api.submit(&fate.claim(0), "key").await;
    let id = claim["id"].as_str().expect("an id").to_owned();
    within(Duration::from_secs(60), async || match stack.api.stuck_payments().await {
        Some(stuck) if stuck.len() == 1 => Ok(()),
        other => Err(format!("the payment is stuck: {other:?}")),
    })
    .await;
    wait_for_attention(&stack, &id, Some("requests (the last: 50")).await;
    let lines = |of: &str| {
        let output = stack.payments[0].output();
        output.lines().filter(|line| line.contains(of)).map(str::to_owned).collect::<Vec<_>>()
    };
    let warned = lines("payment is stuck and needs a person");
    let all_is_named =
        |line: &String| ["WARN", &id, "refund", "tries=3", "last_answer=\"50"].iter().all(|part| line.contains(part));
    assert!(warned.len() == 1 && warned.iter().all(all_is_named), "{warned:?}");

    stack.gateway.kill();
    stack.gateway.set(REFUND_FAILURES, "1");
    stack.gateway.start();
    stack.wait_until_ready().await;
    stack.api.retry_payment(&id).await;
    wait_for_attention(&stack, &id, None).await;
    audit::check(&stack.api, &[Accepted::new(id, fate)], Duration::from_secs(60), Strictness::EndedOnce).await;
    wait_for_troubles(&stack, (0, 0.0, Some(0))).await;
    let output = stack.payments[0].output();
    assert_eq!(output.matches("payment is no longer stuck").count(), 1, "it became stuck once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_fails_later_is_undone_and_waits_for_an_operator() {
    let stack = Stack::start_with(1, &[("SIMULATED_GATEWAY__WEBHOOK__RETURN_AFTER_MS", "500")]).await;
    let claim = stack.api.submit(&Fate::RefundFailsLater.claim(0), "key").await;
    let id = claim["id"].as_str().expect("an id");
    let stuck = eventually("the payment is stuck", async || {
        stack.api.stuck_payments().await.unwrap_or_default().into_iter().find(|payment| payment["claim_id"] == id)
    });
    let reason = stuck.await["stuck_reason"].clone();
    assert!(reason.as_str().is_some_and(|reason| reason.contains("the refund failed")), "{reason}");
    // The claim is unwound, and says that the money is out all the same.
    let attention = eventually("the claim needs attention", async || {
        let claim = stack.api.claim(id).await?;
        claim["attention"]["payment"].as_str().map(str::to_owned)
    });
    let attention = attention.await;
    assert!(attention.contains("the provider still has the money"), "{attention}");
    let book = stack.api.book_summary().await;
    assert_eq!(book["net_cents"], stack.api.audit().await["cash_out_cents"], "the money is out in both books: {book}");
    assert_ne!(book["net_cents"], 0, "{book}");

    stack.api.retry_payment(id).await;
    eventually("the refund stands", async || {
        let claim = stack.api.claim(id).await?;
        (claim["outcome"]["version"] == 2).then_some(())
    })
    .await;
    let claim = stack.api.claim(id).await.expect("answers");
    assert_eq!(claim["status"], "unwound");
    assert_eq!(claim["outcome"]["compensations"], serde_json::json!(["release", "refund"]), "{claim}");
    let accepted = [Accepted::new(id.to_owned(), Fate::RefundFailsLater)];
    audit::check(&stack.api, &accepted, Duration::from_secs(60), Strictness::EndedRight).await;
}
