//! A server falls silent, or is frozen (SIGSTOP), while claims are sent: connections stay open, and nothing comes back. Every request
//! is answered within its bound, what cannot work is not ready and still obeys SIGTERM, and after the silence everything goes on and
//! nothing is lost.

use reqwest::StatusCode;
use std::time::{Duration, Instant};
use system_tests::audit::{self, Strictness};
use system_tests::infrastructure::Infrastructure;
use system_tests::links::Link;
use system_tests::load::Load;
use system_tests::process::Process;
use system_tests::stack::Stack;
use test_support::{on_postgres, on_postgres_and_kafka, within};

const SENDERS: usize = 4;
/// Within this, a service that cannot work is not ready.
const NOT_READY_WITHIN: Duration = Duration::from_secs(10);
/// A request is answered within 5 s. The rest is for a busy machine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(6);
/// Within this a service ends after SIGTERM, whatever is silent: an orchestrator kills it then.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
/// Within this after the silence, everything is ready and works.
const RECOVERED_WITHIN: Duration = Duration::from_secs(30);
const ENDED_WITHIN: Duration = Duration::from_secs(120);

/// What a silence may stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stops {
    ClaimProcess,
    Payments,
    /// Both services, and claims are still accepted.
    Both,
    /// Both services, and no claim is accepted.
    BothAndClaims,
}

impl Stops {
    fn claim_process(self) -> bool {
        self != Stops::Payments
    }

    fn payments(self) -> bool {
        self != Stops::ClaimProcess
    }

    fn claims_are_accepted(self) -> bool {
        matches!(self, Stops::Payments | Stops::Both)
    }
}

async fn silence(stack: Stack, stops: Stops, begin: impl Fn(&Stack), end: impl Fn(&Stack)) {
    silence_and_recover(stack, stops, begin, end, RECOVERED_WITHIN).await;
}

async fn silence_and_recover(
    mut stack: Stack,
    stops: Stops,
    begin: impl Fn(&Stack),
    end: impl Fn(&Stack),
    recovered_within: Duration,
) {
    let load = Load::start(&stack.api, SENDERS);
    load.accepted_more(5 * SENDERS, RECOVERED_WITHIN).await;

    begin(&stack);
    let silent_since = Instant::now();
    let of = |is_stopped: bool| {
        let claim_process = stack.claim_process_urls().iter().filter(move |_| stops.claim_process() == is_stopped);
        let payments = stack.payments_urls().iter().filter(move |_| stops.payments() == is_stopped);
        claim_process.chain(payments).cloned().collect::<Vec<String>>()
    };
    let (stopped, working) = (of(true), of(false));
    for url in &stopped {
        let limit = NOT_READY_WITHIN.saturating_sub(silent_since.elapsed());
        within(limit, async || has(&stack, url, StatusCode::SERVICE_UNAVAILABLE).await).await;
    }
    if stops.claims_are_accepted() {
        load.accepted_more(5 * SENDERS, RECOVERED_WITHIN).await;
    } else {
        within(RECOVERED_WITHIN, async || match load.answers().by_status.get(&503) {
            Some(refused) if *refused >= SENDERS => Ok(()),
            _ => Err(format!("requests are answered 503: {:?}", load.answers())),
        })
        .await;
    }
    if stops.claim_process() {
        stop_the_last(&mut stack.claim_process);
    }
    if stops.payments() {
        stop_the_last(&mut stack.payments);
    }
    for url in [&stack.claim_process_urls()[0], &stack.payments_urls()[0]] {
        if working.contains(url) {
            // A busy machine may miss a check now and then.
            within(NOT_READY_WITHIN, async || has(&stack, url, StatusCode::OK).await).await;
        } else {
            let lasts = has(&stack, url, StatusCode::SERVICE_UNAVAILABLE).await;
            lasts.expect("a service is not ready as long as the silence lasts");
        }
    }

    end(&stack);
    let over_since = Instant::now();
    for process in stack.claim_process.iter_mut().chain(&mut stack.payments).filter(|process| !process.is_running()) {
        process.start();
    }
    for url in stopped.iter().chain(&working) {
        let limit = recovered_within.saturating_sub(over_since.elapsed());
        within(limit, async || has(&stack, url, StatusCode::OK).await).await;
    }
    finish(&stack, load).await;
}

/// More claims are accepted, every request was answered in time, and every accepted claim ends correctly.
async fn finish(stack: &Stack, load: Load) {
    load.accepted_more(5 * SENDERS, RECOVERED_WITHIN).await;
    let (accepted, answers) = load.stop().await;
    assert!(answers.slowest <= ANSWERED_WITHIN, "{answers:?}");
    audit::check(&stack.api, &accepted, ENDED_WITHIN, Strictness::EndedOnce).await;
    let dead_letters = stack.api.dead_letters().await;
    assert!(dead_letters.is_empty(), "{dead_letters:?}");
    assert!(!stack.all_output().contains("panicked"), "a thread panicked");
}

async fn has(stack: &Stack, url: &str, expected: StatusCode) -> Result<(), String> {
    let found = stack.api.readiness(url).await;
    if found == Some(expected) {
        return Ok(());
    }
    let dependencies = stack.api.dependencies(url).await;
    Err(format!("expected {expected} of {url}, found {found:?}: {dependencies:?}"))
}

fn stop_the_last(instances: &mut [Process]) {
    if let [.., last] = instances {
        last.stop_within(STOPPED_WITHIN);
    }
}

async fn silent_link(link: Link, stops: Stops) {
    let stack = Stack::start_behind_links(2, 2).await;
    silence(stack, stops, |stack| stack.proxy(link).silence(), |stack| stack.proxy(link).restore()).await;
}

async fn frozen_broker(stack: Stack, recovers_by_itself_within: Duration) {
    let [freeze, thaw]: [fn(&Infrastructure); 2] = [Infrastructure::freeze_broker, Infrastructure::thaw_broker];
    let recovered_within = RECOVERED_WITHIN + recovers_by_itself_within;
    silence_and_recover(
        stack,
        Stops::Both,
        |stack| freeze(&stack.infrastructure),
        |stack| thaw(&stack.infrastructure),
        recovered_within,
    )
    .await;
}

on_postgres! {
    #[tokio::test(flavor = "multi_thread")]
    async fn a_frozen_broker() {
        frozen_broker(Stack::start_on_postgres(2, 2, &[]).await, Duration::ZERO).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_frozen_gateway() {
        let stack = Stack::start_on_postgres(2, 2, &[]).await;
        silence(stack, Stops::Payments, |stack| stack.gateway.freeze(), |stack| stack.gateway.thaw()).await;
    }
}

on_postgres_and_kafka! {
    #[tokio::test(flavor = "multi_thread")]
    async fn a_silent_database_of_claim_process_on_postgresql_and_kafka() {
        silent_link(Link::ClaimsDatabase, Stops::ClaimProcess).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_silent_database_of_payments_on_postgresql_and_kafka() {
        silent_link(Link::PaymentsDatabase, Stops::Payments).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_silent_kafka_on_postgresql_and_kafka() {
        silent_link(Link::Kafka, Stops::Both).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_silent_gateway_on_postgresql_and_kafka() {
        silent_link(Link::Gateway, Stops::Payments).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_frozen_kafka_on_postgresql_and_kafka() {
        // Kafka's controller takes a broker that was frozen for dead, and the broker has to be registered again before it leads.
        frozen_broker(Stack::start_on_servers(2, 2).await, Duration::from_secs(15)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_frozen_server_on_postgresql_and_kafka() {
        let stack = Stack::start_with_own_postgres(2, 2).await;
        let server = |stack: &Stack, act: fn(&system_tests::own_postgres::OwnPostgres)| {
            act(stack.infrastructure.own_postgres.as_ref().expect("it has its own"));
        };
        silence(stack, Stops::BothAndClaims, |stack| server(stack, |own| own.freeze()), |stack| server(stack, |own| own.thaw()))
            .await;
    }

    // As after a failover behind a proxy: the connections of before stay silent for ever, and new ones work.
    #[tokio::test(flavor = "multi_thread")]
    async fn connections_that_stay_silent_are_replaced_on_postgresql_and_kafka() {
        let stack = Stack::start_behind_links(2, 2).await;
        let load = Load::start(&stack.api, SENDERS);
        load.accepted_more(5 * SENDERS, RECOVERED_WITHIN).await;
        for link in [Link::ClaimsDatabase, Link::PaymentsDatabase] {
            stack.proxy(link).silence_open_connections();
        }
        let silent_since = Instant::now();
        load.accepted_more(5 * SENDERS, RECOVERED_WITHIN).await;
        for url in stack.claim_process_urls().iter().chain(stack.payments_urls()) {
            let limit = RECOVERED_WITHIN.saturating_sub(silent_since.elapsed());
            within(limit, async || has(&stack, url, StatusCode::OK).await).await;
        }
        finish(&stack, load).await;
    }
}
