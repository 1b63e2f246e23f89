//! A machine whose clock was ahead for a while: both services run under it, and then under the right one. A clock that is behind is
//! tested by shifting stored times, as `faketime` makes timed waits of the Kafka client longer by as much.

use std::process::Command;
use std::time::{Duration, Instant};
use system_tests::audit::{self, Accepted, Strictness};
use system_tests::fates::Fate;
use system_tests::process::Process;
use system_tests::stack::Stack;
use test_support::{faketime, with_faketime};

/// Lets the clock of a process differ by an offset from its next start on. The monotonic clock is always right.
fn set_clock(process: &mut Process, offset: &str) {
    let printed = Command::new(faketime()).args(["-m", "-f", offset, "printenv", "LD_PRELOAD"]).output();
    let library = String::from_utf8(printed.expect("faketime runs").stdout).expect("a path");
    process.set("LD_PRELOAD", library.trim());
    process.set("FAKETIME", offset);
    process.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    process.set("DONT_FAKE_MONOTONIC", "1");
}

/// Submits a claim under a key, and returns its id: that of the first time, where it was submitted before.
async fn submit(stack: &Stack, number: i64) -> String {
    let claim = stack.api.submit(&Fate::Approved.claim(number), &format!("key-{number}")).await;
    claim["id"].as_str().expect("an id").to_owned()
}

async fn ended(stack: &Stack, ids: &[String]) {
    let until = Instant::now() + Duration::from_secs(60);
    for id in ids {
        stack.api.ended(id, until).await;
    }
}

fn restart(stack: &mut Stack, offset: &str) {
    for service in stack.running() {
        service.kill();
        set_clock(service, offset);
        service.start();
    }
}

async fn runs_under_a_clock_that_is_ahead_and_then_a_right_one(offset: &str) {
    let settings = [
        ("CLAIM_PROCESS__IDEMPOTENCY__PURGE_INTERVAL_S", "1"),
        // A claim that is older than a day is not begun.
        ("PAYMENTS__SAGA__DEADLINE_MS", "86400000"),
    ];
    let mut stack = Stack::start_with(1, &settings).await;
    let mut ids = vec![submit(&stack, 0).await];
    ended(&stack, &ids).await;
    stack.infrastructure.stop_broker();
    ids.push(submit(&stack, 1).await);
    // Two starts: the second finds what the first has written.
    for number in [2, 3] {
        restart(&mut stack, offset);
        ids.push(submit(&stack, number).await);
        assert_eq!(submit(&stack, 0).await, ids[0], "the key is known");
    }
    for service in stack.running() {
        service.kill();
        service.set("LD_PRELOAD", "");
        service.start();
    }
    stack.infrastructure.start_broker();
    let accepted: Vec<Accepted> = ids.iter().map(|id| Accepted::new(id.clone(), Fate::Approved)).collect();
    audit::check(&stack.api, &accepted, Duration::from_secs(60), Strictness::EndedOnce).await;
    for (number, id) in (0..).zip(&ids) {
        assert_eq!(submit(&stack, number).await, *id, "key {number} makes no second claim");
    }
}

with_faketime! {
    #[tokio::test(flavor = "multi_thread")]
    async fn eight_days_ahead_delay_no_claim_and_make_no_second_one() {
        runs_under_a_clock_that_is_ahead_and_then_a_right_one("+8d").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn ten_years_ahead_delay_no_claim_and_make_no_second_one() {
        runs_under_a_clock_that_is_ahead_and_then_a_right_one("+10y").await;
    }
}
