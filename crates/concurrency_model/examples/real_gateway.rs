//! Measures the dispatcher and the HTTP adapter of `payments` on the real `simulated_gateway`, which takes 200, then 20, then
//! 200 calls a second for half a minute each: first with the adaptive limit, then with fixed ones. Prints a table; `--svg FILE`
//! draws a chart. It takes six minutes, and connects to 127.0.0.1 only.

use clap::Parser;
use concurrency_model::chart::Chart;
use concurrency_model::report::{self, SAMPLE_US, Sample, Span};
use concurrency_model::scenarios::FIXED_LIMITS;
use payments::domain::concurrency::Sign;
use payments::domain::gateway_call::PlannedCall;
use payments::domain::saga::{Call, LookUpAnswer, PayAnswer, RefundAnswer};
use payments::gateway::keyed_json::KeyedJsonGateway;
use payments::gateway::{Answered, Answering, Dispatcher, Gateway, PayRequest, RefundRequest, Reply};
use payments::settings::{ConcurrencySettings, Settings};
use std::error::Error;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use system_tests::binaries;
use system_tests::process::Process;
use test_support::free_address;
use tokio::runtime::Runtime;

const PHASE_S: i64 = 30;
const SCHEDULE: &str = "200@0s,20@30s,200@60s";
const PACES: [f64; 3] = [200.0, 20.0, 200.0];
const CALL_MS: i64 = 50;
const CEILING: usize = 512;

#[derive(Parser)]
struct Arguments {
    /// The SVG file to draw
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// The gateway adapter, which counts its calls.
struct Measured {
    gateway: KeyedJsonGateway,
    counted: Arc<Mutex<Sample>>,
}

impl Gateway for Measured {
    fn pay<'a>(&'a self, request: PayRequest<'a>) -> Answering<'a, Reply<PayAnswer>> {
        Box::pin(async move {
            let began = Instant::now();
            let reply = self.gateway.pay(request).await;
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            counted.made += 1;
            match reply.sign {
                Sign::Answered => {
                    counted.answered += 1;
                    counted.latency_us += i64::try_from(began.elapsed().as_micros()).unwrap_or(i64::MAX);
                }
                Sign::TimedOut => counted.timed_out += 1,
                Sign::Busy | Sign::Failed | Sign::Unclear => counted.refused += 1,
            }
            reply
        })
    }

    fn refund<'a>(&'a self, request: RefundRequest<'a>) -> Answering<'a, Reply<RefundAnswer>> {
        Box::pin(async move { self.gateway.refund(request).await })
    }

    fn look_up<'a>(&'a self, key: &'a str, reference: &'a str) -> Answering<'a, Reply<LookUpAnswer>> {
        Box::pin(async move { self.gateway.look_up(key, reference).await })
    }

    fn check(&self) -> Answering<'_, Result<(), String>> {
        Box::pin(async move { self.gateway.check().await })
    }
}

#[allow(clippy::print_stdout, reason = "the program prints its report")]
fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { svg } = Arguments::parse();
    // Builds the program before the schedule of the first gateway starts.
    binaries::path("simulated_gateway");
    let mut runs = Vec::new();
    for limit in [None].into_iter().chain(FIXED_LIMITS.map(Some)) {
        let name = limit.map_or("adaptive".to_owned(), |limit| format!("fixed at {limit}"));
        println!("{name}: {} seconds", PHASE_S * 3);
        runs.push((name, run(limit)?));
    }
    let spans: Vec<Span> = (0..)
        .zip(PACES)
        .map(|(phase, capacity)| Span {
            from_us: phase * PHASE_S * 1_000_000,
            until_us: (phase + 1) * PHASE_S * 1_000_000,
            capacity,
            call_us: CALL_MS * 1_000,
        })
        .collect();
    println!("\n{}", report::table(&runs, &spans));
    if let Some(path) = svg {
        let title = "simulated_gateway takes 200, 20 and 200 calls a second (measured)";
        Chart { title, runs: &runs, spans: &spans }.write(&path)?;
        println!("drawn in {}", path.display());
    }
    Ok(())
}

/// One run against a gateway of its own. `None` is the adaptive limit.
fn run(limit: Option<usize>) -> Result<Vec<Sample>, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let address = free_address();
    let environment = [
        ("HTTP__PORT", address.port().to_string()),
        ("DATABASE__URL", format!("sqlite://{}/gateway.db", directory.path().display())),
        ("LOG__FILTER", "warn".to_owned()),
        ("BEHAVIOUR__CAPACITY", "1000".to_owned()),
        ("THROUGHPUT__SCHEDULE", SCHEDULE.to_owned()),
        ("THROUGHPUT__CALL_MS", CALL_MS.to_string()),
        ("THROUGHPUT__MAX_QUEUED", "1000".to_owned()),
    ];
    let environment = environment.map(|(name, value)| (format!("SIMULATED_GATEWAY__{name}"), value)).to_vec();
    let mut gateway = Process::new(directory.path(), "simulated_gateway", "simulated_gateway", vec![], environment);
    gateway.start();
    let began = Instant::now();

    let mut settings = Settings::default();
    settings.gateway.url = format!("http://{address}");
    settings.gateway.max_concurrent_calls = limit.unwrap_or(CEILING);
    if let Some(limit) = limit {
        settings.gateway.concurrency =
            ConcurrencySettings { floor: limit, start: limit, longest_rest_ms: 0, ..settings.gateway.concurrency };
    }
    // There is always more work here, so no call may be left to another instance because it waited too long.
    settings.saga.lease_ms = 600_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let counted = Arc::new(Mutex::new(Sample::default()));
    let measured = Measured { gateway: KeyedJsonGateway::new(&settings.gateway)?, counted: Arc::clone(&counted) };
    wait_for(&runtime, &measured.gateway)?;
    let (answers, answered) = channel();
    let dispatcher = Dispatcher::new(Arc::new(measured), runtime.handle().clone(), &settings, answers);
    let samples = sample(&dispatcher, &answered, &counted, began);
    runtime.shutdown_background();
    gateway.kill();
    Ok(samples)
}

fn wait_for(runtime: &Runtime, gateway: &KeyedJsonGateway) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match runtime.block_on(gateway.check()) {
            Err(problem) if Instant::now() > until => return Err(problem),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
            Ok(()) => return Ok(()),
        }
    }
}

/// Keeps the dispatcher busy until all phases are over, and samples the counts.
fn sample(
    dispatcher: &Dispatcher,
    answered: &Receiver<Answered>,
    counted: &Mutex<Sample>,
    began: Instant,
) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut at_us = 0;
    while at_us < PHASE_S * 3 * 1_000_000 {
        let until = began + Duration::from_micros((at_us + SAMPLE_US).unsigned_abs());
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            dispatcher.dispatch((0..dispatcher.room()).map(|_| a_payment()).collect());
            // Each answer frees a permit.
            if answered.recv_timeout(left.min(Duration::from_millis(50))).is_ok() {
                answered.try_iter().for_each(drop);
            }
        }
        let mut sample = std::mem::take(&mut *counted.lock().unwrap_or_else(PoisonError::into_inner));
        sample.at_us = at_us;
        sample.limit = dispatcher.concurrency().limit;
        samples.push(sample);
        at_us += SAMPLE_US;
    }
    samples
}

fn a_payment() -> PlannedCall {
    let claim_id = nanoid::nanoid!(22);
    let key = format!("{claim_id}.disburse");
    let call = Call::Pay { key, reference: claim_id.clone(), payee: "1497775530".into(), amount_cents: 11_685 };
    PlannedCall { claim_id, revision: 1, call, tries: 0 }
}
