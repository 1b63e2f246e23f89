//! Kafka takes a right from the services: the one that needs it is not ready, with the broker's reason and one readable line, and
//! once the right is back, everything goes on and nothing is lost.

use std::time::Duration;
use system_tests::audit::{self, Accepted, Strictness};
use system_tests::fates::Fate;
use system_tests::process::Process;
use system_tests::stack::Stack;
use test_support::kafka::services;
use test_support::{on_postgres_and_kafka, within};

/// Within this, a service without a right is not ready, and with it ready again.
const SHOWS_WITHIN: Duration = Duration::from_secs(10);
const RECOVERED_WITHIN: Duration = Duration::from_secs(30);
const ENDED_WITHIN: Duration = Duration::from_secs(60);

/// The rights that both services need on topics that exist.
const RIGHTS: [(&str, &str, &[&str]); 4] = [
    ("topic", "claims.claim.v1", &["Read", "Write", "Describe"]),
    ("topic", "payments.payment.v1", &["Read", "Write", "Describe"]),
    ("group", "claim_process", &["Read"]),
    ("group", "payments", &["Read"]),
];

fn rights(change: &str, kind: &str, name: &str, operations: &[&str]) {
    services(&[&["acl", "kafka", change, kind, name], operations].concat());
}

/// Waits until a service reports that Kafka refuses this operation, or no longer does.
async fn wait_for(stack: &Stack, url: &str, operation: &str, is_refused: bool, limit: Duration) {
    within(limit, async || {
        let dependencies = stack.api.dependencies(url).await;
        let shown = dependencies.values().any(|state| state.contains(operation));
        let is_ready = !dependencies.is_empty() && dependencies.values().all(|state| state == "ready");
        let wanted = if is_refused { shown } else { is_ready };
        if wanted { Ok(()) } else { Err(format!("{operation}, refused {is_refused}: {dependencies:?}")) }
    })
    .await;
}

/// How often the log of a process has this phrase with the operation.
fn logged(process: &Process, phrase: &str, operation: &str) -> usize {
    process.output().lines().filter(|line| line.contains(phrase) && line.contains(operation)).count()
}

on_postgres_and_kafka! {
    #[tokio::test(flavor = "multi_thread")]
    async fn a_right_that_kafka_takes_shows_in_readiness_and_costs_no_claim_on_postgresql_and_kafka() {
        let stack = Stack::start_restricted(|| {
            RIGHTS.iter().for_each(|(kind, name, operations)| rights("add", kind, name, operations));
        })
        .await;
        let (claims_url, payments_url) = (&stack.claim_process_urls()[0], &stack.payments_urls()[0]);
        let mut accepted = Vec::new();
        let taken = [
            ("group", "payments", "Read", "Read on the group payments", payments_url, &stack.payments[0]),
            ("topic", "claims.claim.v1", "Read", "Read on the topic claims.claim.v1", payments_url, &stack.payments[0]),
            ("topic", "claims.claim.v1", "Write", "Write on the topic claims.claim.v1", claims_url, &stack.claim_process[0]),
        ];
        for (n, (kind, name, right, operation, url, process)) in taken.into_iter().enumerate() {
            let n = i64::try_from(n).expect("few") * 2;
            accepted.push(submit(&stack, n).await);
            rights("remove", kind, name, &[right]);
            accepted.push(submit(&stack, n + 1).await);
            wait_for(&stack, url, operation, true, SHOWS_WITHIN).await;
            rights("add", kind, name, &[right]);
            wait_for(&stack, url, operation, false, RECOVERED_WITHIN).await;
            let lines = ["kafka refuses", "kafka no longer refuses"].map(|phrase| logged(process, phrase, operation));
            assert_eq!(lines, [1, 1], "{operation}: one line when it began, and one when it ended");
        }
        audit::check(&stack.api, &accepted, ENDED_WITHIN, Strictness::EndedOnce).await;
        assert!(stack.api.dead_letters().await.is_empty());
    }
}

async fn submit(stack: &Stack, n: i64) -> Accepted {
    let claim = stack.api.submit(&Fate::Approved.claim(n), &format!("key-{n}")).await;
    Accepted::new(claim["id"].as_str().expect("an id").to_owned(), Fate::Approved)
}
