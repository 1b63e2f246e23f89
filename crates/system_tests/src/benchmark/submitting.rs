//! Measures the submission of claims: one by one over some connections, and in batches. No payments run.

use super::claims;
use super::http_load::{Load, Pace, WriteRequest};
use super::meter::Meter;
use super::run::Benchmark;
use super::system::{On, System};
use super::upload::{Summary, upload};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// The different requests that are prepared; each is sent with another subscriber.
const PREPARED: u64 = 4_096;
/// How long the load lasts before the measurement.
const WARM_UP: Duration = Duration::from_secs(2);
/// The claims of the batch before the measurement.
const WARM_UP_CLAIMS: u64 = 5_000;
/// The share of the limit of single claims is taken of this group size.
const SINGLE_GROUP: u32 = 64;
/// The share of the limit of a batch is taken of this group size.
pub const BATCH_GROUP: u32 = 256;

/// Requests that submit one claim each.
pub fn requests(address: SocketAddr) -> WriteRequest {
    let prepared: Vec<Vec<u8>> = (0..PREPARED).map(|number| request(address, number)).collect();
    let marked = claims::subscriber(0).to_string();
    let at = position(&prepared[0], marked.as_bytes());
    Rc::new(move |number, to| {
        let index = usize::try_from(number % PREPARED).expect("small");
        to.extend_from_slice(&prepared[index]);
        let digits = claims::subscriber(number).to_string();
        to[at..at + digits.len()].copy_from_slice(digits.as_bytes());
    })
}

fn request(address: SocketAddr, number: u64) -> Vec<u8> {
    let mut body = Vec::new();
    claims::write_json(number, &mut body);
    let head = format!(
        "POST /v1/claims HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// Where some bytes are in others.
fn position(all: &[u8], part: &[u8]) -> usize {
    all.windows(part.len()).position(|window| window == part).expect("the subscriber is in the request")
}

/// Measures single claims over each number of connections.
pub async fn singles(benchmark: &mut Benchmark, on: On) {
    let system = benchmark.system(on, 0).await;
    let write = requests(system.address());
    for connections in benchmark.plan.connections.clone() {
        let first = benchmark.take_numbers(100_000_000);
        let load = Load {
            address: system.address(),
            connections,
            pace: Pace::Closed,
            lasts: WARM_UP,
            requests: u64::MAX,
            first,
            write: Rc::clone(&write),
        };
        load.send().await;
        let load = Load { lasts: benchmark.plan.lasts, first: first + 50_000_000, ..load };
        let meter = Meter::start(&system).await;
        let answers = load.send().await;
        let accepted = answers.accepted();
        let mut figures = meter.stop(&system, accepted).await;
        assert!(
            !answers.by_status.contains_key(&429),
            "the limit of writes throttles the load: {:?}; raise it with --set CLAIM_PROCESS__RATE_LIMIT__WRITES_PER_MINUTE=6000000",
            answers.by_status
        );
        figures.insert("refused_share".to_owned(), (answers.all() - accepted) as f64 / answers.all() as f64);
        figures.extend(answers.latencies.figures());
        benchmark.add_share(&format!("single, {connections} connections"), figures, on, SINGLE_GROUP);
    }
    system.stop();
}

/// How a batch is written.
#[derive(Debug, Clone, Copy)]
pub enum Format {
    /// One claim a line.
    Ndjson,
    /// One line of a claim a line.
    Csv,
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Format::Ndjson => "application/x-ndjson",
            Format::Csv => "text/csv",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Format::Ndjson => "NDJSON",
            Format::Csv => "CSV",
        }
    }

    fn body(self, first: u64, claims: u64) -> Vec<u8> {
        let mut body = Vec::new();
        match self {
            Format::Ndjson => {
                for number in first..first + claims {
                    claims::write_json(number, &mut body);
                    body.push(b'\n');
                }
            }
            Format::Csv => {
                body.extend_from_slice(claims::CSV_HEADER.as_bytes());
                (first..first + claims).for_each(|number| claims::write_csv(number, &mut body));
            }
        }
        body
    }
}

/// Submits a batch of claims, all of which must be accepted.
///
/// # Panics
/// If one is not.
pub async fn submit(system: &System, format: Format, first: u64, claims: u64) -> Duration {
    let body = format.body(first, claims);
    submit_body(system, format, &body, claims).await
}

async fn submit_body(system: &System, format: Format, body: &[u8], claims: u64) -> Duration {
    let uploaded = upload(system.address(), format.content_type(), body).await;
    assert_eq!(uploaded.summary, Summary { claims, accepted: claims, rejected: 0, duplicates: 0 });
    uploaded.took
}

/// Measures batches in each format.
pub async fn batches(benchmark: &mut Benchmark, on: On) {
    let formats = if benchmark.plan.csv { &[Format::Ndjson, Format::Csv][..] } else { &[Format::Ndjson] };
    for format in formats.iter().copied() {
        let system = benchmark.system(on, 0).await;
        let claims = benchmark.plan.bulk_claims;
        let first = benchmark.take_numbers(WARM_UP_CLAIMS + claims);
        submit(&system, format, first, WARM_UP_CLAIMS).await;
        let body = format.body(first + WARM_UP_CLAIMS, claims);
        let meter = Meter::start(&system).await;
        submit_body(&system, format, &body, claims).await;
        let figures = meter.stop(&system, claims).await;
        benchmark.add_share(&format!("bulk {}", format.name()), figures, on, BATCH_GROUP);
        system.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_has_another_subscriber_and_the_same_length_as_its_claim() {
        let address = "127.0.0.1:8000".parse().unwrap();
        let write = requests(address);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        write(7, &mut one);
        write(7 + PREPARED, &mut other);
        assert_ne!(one, other);
        assert_eq!(one, request(address, 7));
        let subscriber = claims::subscriber(7 + PREPARED).to_string();
        assert_eq!(
            position(&other, subscriber.as_bytes()),
            position(&one, claims::subscriber(7).to_string().as_bytes())
        );
    }
}
