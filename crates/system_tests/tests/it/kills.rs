//! Processes are killed with SIGKILL and started again while claims of all fates are sent. Every accepted claim ends as its cents
//! demand, paid once or not at all, and the books agree.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use system_tests::api::Api;
use system_tests::audit::{self, Accepted, Strictness};
use system_tests::fates::ALL;
use system_tests::stack::Stack;
use test_support::{on_postgres_and_kafka, within};

const CLAIMS: i64 = 300;
const SENDERS: usize = 4;

/// Sends claims with numbers taken from `next` until all are sent.
async fn send(api: Api, next: Arc<AtomicI64>) -> Vec<Accepted> {
    let mut accepted = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::SeqCst);
        if number >= CLAIMS {
            return accepted;
        }
        let fate = ALL[usize::try_from(number).expect("small") % ALL.len()];
        let claim = api.submit(&fate.claim(number), &format!("key-{number}")).await;
        accepted.push(Accepted::new(claim["id"].as_str().expect("an id").to_owned(), fate));
        // Paces the load, so that the kills happen in the middle of it.
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

async fn sent(next: &AtomicI64, number: i64) {
    within(Duration::from_secs(300), async || {
        let sent = next.load(Ordering::SeqCst);
        if sent >= number { Ok(()) } else { Err(format!("expected {number} sent claims, found {sent}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_claim_ends_correctly_while_both_services_and_the_gateway_are_killed() {
    kill_while_claims_are_sent(Stack::start(1).await).await;
}

on_postgres_and_kafka! {
    #[tokio::test(flavor = "multi_thread")]
    async fn the_same_on_postgresql_and_kafka() {
        kill_while_claims_are_sent(Stack::start_on_servers(1, 3).await).await;
    }
}

async fn kill_while_claims_are_sent(mut stack: Stack) {
    let next = Arc::new(AtomicI64::new(0));
    let senders: Vec<_> = (0..SENDERS).map(|_| tokio::spawn(send(stack.api.clone(), Arc::clone(&next)))).collect();

    sent(&next, CLAIMS / 4).await;
    stack.payments[0].kill();
    sent(&next, CLAIMS / 3).await;
    stack.payments[0].start();

    sent(&next, CLAIMS / 2).await;
    stack.claim_process[0].kill();
    stack.api.wait_for_a_resend().await;
    stack.claim_process[0].start();

    sent(&next, CLAIMS * 3 / 4).await;
    stack.payments[0].kill();
    stack.claim_process[0].kill();
    stack.gateway.kill();
    stack.payments[0].start();
    stack.claim_process[0].start();
    stack.gateway.start();

    let mut accepted = Vec::new();
    for sender in senders {
        accepted.extend(sender.await.expect("the sender ends"));
    }
    assert_eq!(accepted.len(), usize::try_from(CLAIMS).expect("small"));
    audit::check(&stack.api, &accepted, Duration::from_secs(120), Strictness::EndedOnce).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_loses_all_its_data_loses_no_claims() {
    let mut stack = Stack::start(2).await;
    let mut accepted = Vec::new();
    for number in 0..60 {
        if number == 20 || number == 40 {
            stack.infrastructure.stop_broker();
        }
        if number == 30 || number == 50 {
            stack.infrastructure.start_broker();
        }
        let fate = ALL[usize::try_from(number).expect("small") % ALL.len()];
        let claim = stack.api.submit(&fate.claim(number), &format!("key-{number}")).await;
        accepted.push(Accepted::new(claim["id"].as_str().expect("an id").to_owned(), fate));
    }
    audit::check(&stack.api, &accepted, Duration::from_secs(120), Strictness::EndedOnce).await;
}
