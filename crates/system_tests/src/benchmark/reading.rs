//! Measures reads with growing numbers of claims: one claim, pages of claims with each single filter, and the top providers.

use super::http_load::{Load, Pace};
use super::meter::Meter;
use super::own_tables::{OwnTables, State};
use super::run::Benchmark;
use super::system::{On, System};
use std::rc::Rc;
use std::time::Duration;

/// Reads of each kind.
const REQUESTS: u64 = 400;
/// The reads of a kind may take so long.
const LASTS: Duration = Duration::from_secs(20);
/// The most requests for the top providers that can be allowed. The default, ten a minute, measures nothing.
const TOP_LIMIT: (&str, &str) = ("CLAIM_PROCESS__RATE_LIMIT__TOP_PROVIDERS_PER_MINUTE", "60000");
/// The ids that are read.
const IDS: i64 = 200;

/// Measures each kind of read at each size, over one connection.
pub async fn measure(benchmark: &mut Benchmark) {
    let own = OwnTables::sample(benchmark, State::Settled).await;
    for claims in benchmark.plan.sizes.clone() {
        let filled = benchmark.servers.postgres.create("filled", Some(&own.template));
        own.fill(&filled, claims);
        let mut settings = benchmark.plan.settings.clone();
        settings.push((TOP_LIMIT.0.to_owned(), TOP_LIMIT.1.to_owned()));
        let system = System::start_from(&benchmark.servers, On::Servers, 0, &settings, Some(&filled)).await;
        drop(filled);
        for (name, paths) in reads(&system) {
            read(benchmark, &system, &format!("{name}, {claims} claims"), paths).await;
        }
        system.stop();
    }
}

/// The name of each kind of read, and its paths.
fn reads(system: &System) -> Vec<(String, Vec<String>)> {
    let claims = system.claims_database();
    let some = |column: &str| {
        claims.texts(&format!(
            "SELECT {column}::text AS t FROM claims WHERE {column} IS NOT NULL ORDER BY random() LIMIT {IDS}"
        ))
    };
    let of = |path: &str, values: Vec<String>| values.into_iter().map(|value| format!("{path}{value}")).collect();
    let list = |filter: &str| vec![format!("/v1/claims?{filter}")];
    let by_value = |filter: &str, column: &str| {
        (format!("GET /v1/claims?{filter}="), of(&format!("/v1/claims?{filter}="), some(column)))
    };
    let mut reads = vec![
        ("GET /v1/claims/{id}".to_owned(), of("/v1/claims/", some("claim_id"))),
        ("GET /v1/providers/top".to_owned(), vec!["/v1/providers/top?limit=100".to_owned()]),
        ("GET /v1/claims".to_owned(), list("limit=100")),
        by_value("provider_npi", "provider_npi"),
        by_value("plan_group", "plan_group"),
        ("GET /v1/claims?external_claim_id=".to_owned(), list("external_claim_id=none-such")),
    ];
    let fixed = [
        "status=settled",
        "status=submitted",
        "needs_attention=true",
        "needs_attention=false",
        "submitted_from=2020-01-01T00:00:00Z",
        "submitted_to=2100-01-01T00:00:00Z",
        "submitted_to=2020-01-01T00:00:00Z",
    ];
    reads.extend(fixed.map(|filter| (format!("GET /v1/claims?{filter}"), list(filter))));
    reads
}

/// Measures reads over one connection, which are all answered with 200.
async fn read(benchmark: &mut Benchmark, system: &System, case: &str, paths: Vec<String>) {
    assert!(!paths.is_empty(), "{case} has something to read");
    let address = system.address();
    let requests: Vec<Vec<u8>> =
        paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes()).collect();
    let load = Load {
        address,
        connections: 1,
        pace: Pace::Closed,
        lasts: LASTS,
        requests: REQUESTS / 10,
        first: 0,
        write: Rc::new(move |number, to| {
            let index = usize::try_from(number).expect("small") % requests.len();
            to.extend_from_slice(&requests[index]);
        }),
    };
    load.send().await;
    let load = Load { requests: REQUESTS, ..load };
    let meter = Meter::start(system).await;
    let answers = load.send().await;
    let mut figures = meter.stop(system, answers.accepted()).await;
    assert_eq!(answers.accepted(), answers.all(), "{case}: {:?}", answers.by_status);
    figures.extend(answers.latencies.figures());
    benchmark.add(case, figures);
}
