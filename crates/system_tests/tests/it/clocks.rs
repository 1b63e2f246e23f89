//! Hosts whose clock is wrong: both services, each of them, or the database's host run under it, from their start, and then under
//! the right one.

use dual_db::{Database, DatabaseSettings};
use std::time::{Duration, Instant};
use system_tests::audit::{self, Accepted, Strictness};
use system_tests::fates::Fate;
use system_tests::own_postgres::OwnPostgres;
use system_tests::process::Process;
use system_tests::stack::Stack;
use test_support::{execute, on_postgres, shifted_clock};

/// Within this, everything is due once the clock is right.
const ENDED_WITHIN: Duration = Duration::from_secs(60);

const DAY_S: i64 = 86_400;
/// By how many seconds a wrong clock is ahead.
const A_DAY_BEHIND: i64 = -DAY_S;
const EIGHT_DAYS_AHEAD: i64 = 8 * DAY_S;
const TEN_YEARS_AHEAD: i64 = 3_653 * DAY_S;

const SETTINGS: [(&str, &str); 2] = [
    ("CLAIM_PROCESS__IDEMPOTENCY__PURGE_INTERVAL_S", "1"),
    // A claim that is older than two days is not begun.
    ("PAYMENTS__SAGA__DEADLINE_MS", "172800000"),
];

/// The hosts whose clock is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Services,
    ClaimProcess,
    Payments,
    Database,
}

/// Kills every service and, if its clock is to change, the database, and starts them under clocks that are ahead by so many seconds.
fn restart(stack: &mut Stack, wrong: Wrong, ahead_s: i64) {
    stack.running().for_each(Process::kill);
    let directory = stack.directory().to_owned();
    match wrong {
        Wrong::Database => {
            stack.infrastructure.own_postgres.as_mut().expect("it has its own").restart_under_clock(ahead_s);
        }
        Wrong::Services | Wrong::ClaimProcess => set_clock(&mut stack.claim_process[0], &directory, ahead_s),
        Wrong::Payments => {}
    }
    if matches!(wrong, Wrong::Services | Wrong::Payments) {
        set_clock(&mut stack.payments[0], &directory, ahead_s);
    }
    stack.start_stopped();
}

fn set_clock(process: &mut Process, directory: &std::path::Path, ahead_s: i64) {
    shifted_clock(directory, ahead_s).iter().for_each(|(variable, value)| process.set(variable, value));
}

/// Submits a claim under a key, and returns its id: that of the first time, where it was submitted before.
async fn submit(stack: &Stack, number: i64) -> String {
    let claim = stack.api.submit(&Fate::Approved.claim(number), &format!("key-{number}")).await;
    claim["id"].as_str().expect("an id").to_owned()
}

async fn ended(stack: &Stack, ids: &[String]) {
    let until = Instant::now() + ENDED_WITHIN;
    for id in ids {
        stack.api.ended(id, until).await;
    }
}

/// Makes the database of payments older than a clock is behind. A claim that was accepted before the database was made may have been
/// begun in one that is lost, so that it is looked up, and left to a person where the gateway may have forgotten its key.
fn make_older(stack: &Stack) {
    let settings = DatabaseSettings::at(stack.infrastructure.payments_url.as_str());
    let database = Database::open(&settings).expect("opens");
    let sql = format!("UPDATE restore_marker SET at_us = at_us - {}", 2 * DAY_S * 1_000_000);
    database.write(|connection| execute(connection, &sql)).expect("writes");
}

/// A system that was right before, and whose clock is then wrong for two starts.
async fn a_wrong_clock_for_a_while(mut stack: Stack, wrong: Wrong, ahead_s: i64) {
    make_older(&stack);
    let mut ids = vec![submit(&stack, 0).await];
    ended(&stack, &ids).await;
    stack.infrastructure.stop_broker();
    ids.push(submit(&stack, 1).await);
    // Two starts: the second finds what the first has written.
    for number in [2, 3] {
        restart(&mut stack, wrong, ahead_s);
        ids.push(submit(&stack, number).await);
        assert_eq!(submit(&stack, 0).await, ids[0], "the key is known");
    }
    restart(&mut stack, wrong, 0);
    stack.infrastructure.start_broker();
    all_end_and_every_key_is_known(&stack, &ids).await;
}

/// A system whose first start is under a wrong clock. It works there, and under the right one.
async fn a_wrong_clock_from_the_first_start(mut stack: Stack, wrong: Wrong) {
    let mut ids = vec![submit(&stack, 0).await];
    ended(&stack, &ids).await;
    stack.infrastructure.stop_broker();
    ids.push(submit(&stack, 1).await);
    restart(&mut stack, wrong, 0);
    ids.push(submit(&stack, 2).await);
    stack.infrastructure.start_broker();
    all_end_and_every_key_is_known(&stack, &ids).await;
}

async fn all_end_and_every_key_is_known(stack: &Stack, ids: &[String]) {
    let accepted: Vec<Accepted> = ids.iter().map(|id| Accepted::new(id.clone(), Fate::Approved)).collect();
    audit::check(&stack.api, &accepted, ENDED_WITHIN, Strictness::EndedOnce).await;
    for (number, id) in (0..).zip(ids) {
        assert_eq!(submit(stack, number).await, *id, "key {number} makes no second claim");
    }
    let dead_letters = stack.api.dead_letters().await;
    assert!(dead_letters.is_empty(), "{dead_letters:?}");
}

/// Settings that put both services and the gateway under a wrong clock. The directory has the library that does so.
fn wrong_from_the_start(directory: &std::path::Path, ahead_s: i64) -> Vec<(&'static str, String)> {
    let settings = SETTINGS.map(|(variable, value)| (variable, value.to_owned()));
    settings.into_iter().chain(shifted_clock(directory, ahead_s)).collect()
}

fn borrowed<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    settings.iter().map(|(variable, value)| (*variable, value.as_str())).collect()
}

async fn on_sqlite(wrong: Wrong, ahead_s: i64) {
    a_wrong_clock_for_a_while(Stack::start_with(1, &SETTINGS).await, wrong, ahead_s).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_eight_days_ahead_delay_no_claim_and_make_no_second_one() {
    on_sqlite(Wrong::Services, EIGHT_DAYS_AHEAD).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_ten_years_ahead_delay_no_claim_and_make_no_second_one() {
    on_sqlite(Wrong::Services, TEN_YEARS_AHEAD).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_a_day_behind_delay_no_claim_and_make_no_second_one() {
    on_sqlite(Wrong::Services, A_DAY_BEHIND).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_service_ahead_or_behind_delays_no_claim_and_makes_no_second_one() {
    for ahead_s in [EIGHT_DAYS_AHEAD, A_DAY_BEHIND] {
        on_sqlite(Wrong::ClaimProcess, ahead_s).await;
        on_sqlite(Wrong::Payments, ahead_s).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_under_a_wrong_clock_delays_no_claim_and_makes_no_second_one() {
    for ahead_s in [A_DAY_BEHIND, TEN_YEARS_AHEAD] {
        let directory = tempfile::tempdir().expect("a directory");
        let settings = wrong_from_the_start(directory.path(), ahead_s);
        let stack = Stack::start_with(1, &borrowed(&settings)).await;
        a_wrong_clock_from_the_first_start(stack, Wrong::Services).await;
    }
}

on_postgres! {
    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_host_ahead_or_behind_delays_no_claim_and_makes_no_second_one() {
        for ahead_s in [A_DAY_BEHIND, EIGHT_DAYS_AHEAD, TEN_YEARS_AHEAD] {
            let stack = Stack::start_on_own_postgres(OwnPostgres::start(), &SETTINGS).await;
            a_wrong_clock_for_a_while(stack, Wrong::Database, ahead_s).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn services_ahead_of_or_behind_the_database_delay_no_claim_and_make_no_second_one() {
        for ahead_s in [A_DAY_BEHIND, EIGHT_DAYS_AHEAD, TEN_YEARS_AHEAD] {
            let stack = Stack::start_on_postgres(1, 1, &SETTINGS).await;
            a_wrong_clock_for_a_while(stack, Wrong::Services, ahead_s).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_first_start_on_a_database_host_under_a_wrong_clock_delays_no_claim_and_makes_no_second_one() {
        for ahead_s in [A_DAY_BEHIND, TEN_YEARS_AHEAD] {
            let mut server = OwnPostgres::start();
            server.restart_under_clock(ahead_s);
            let stack = Stack::start_on_own_postgres(server, &SETTINGS).await;
            a_wrong_clock_from_the_first_start(stack, Wrong::Database).await;
        }
    }
}
