//! The whole system on one machine: simulated gateway, claim_process and any number of payments, on whatever
//! [`Ground`] it is given, with data that goes away with it.

use crate::api::Api;
use crate::ground::Ground;
use crate::process::Process;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a process may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The running system.
#[derive(Debug)]
pub struct Stack {
    /// The simulated gateway.
    pub gateway: Process,
    /// The HTTP service.
    pub claim_process: Process,
    /// The instances of the consumer service.
    pub payments: Vec<Process>,
    /// The system's HTTP API.
    pub api: Api,
    /// The broker and the databases.
    pub ground: Ground,
    payments_urls: Vec<String>,
    directory: TempDir,
}

/// Times that are short enough for a test: what is lost is asked for after seconds, not after a quarter of a minute.
const SHARED: [(&str, &str); 4] = [
    ("KAFKA__CONSUMER__SESSION_TIMEOUT_MS", "3000"),
    ("KAFKA__PRODUCER__DELIVERY_TIMEOUT_MS", "3000"),
    ("KAFKA__HEALTH_INTERVAL_MS", "500"),
    ("LOG__FILTER", "info,actix_server=warn"),
];
const CLAIM_PROCESS: [(&str, &str); 2] = [("WATCHDOG__FIRST_PAUSE_MS", "4000"), ("WATCHDOG__MAX_PAUSE_MS", "8000")];
const PAYMENTS: [(&str, &str); 3] =
    [("GATEWAY__REQUEST_TIMEOUT_MS", "2000"), ("SAGA__LEASE_MS", "5000"), ("SAGA__MAX_RETRY_PAUSE_MS", "2000")];

impl Stack {
    /// Starts the system on the embedded default with so many payments instances, and waits until it is ready.
    ///
    /// # Panics
    /// When a part of it does not become ready.
    pub async fn start(payments: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut ground = Ground::embedded(directory.path());
        ground.start_broker();
        Self::start_on(ground, directory, payments).await
    }

    /// Starts the system on PostgreSQL and Kafka; `None`, noted as skipped, where there are no such servers.
    ///
    /// # Panics
    /// When a part of it does not become ready.
    pub async fn start_on_servers(payments: usize) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let ground = Ground::servers().await?;
        Some(Self::start_on(ground, directory, payments).await)
    }

    async fn start_on(ground: Ground, directory: TempDir, payments: usize) -> Self {
        let at = directory.path();
        let gateway_port = free_port();
        let gateway_url = url(gateway_port);
        let gateway_database = format!("sqlite://{}/gateway.db", at.display());
        let quiet = [("LOG__FILTER", "info,actix_server=warn".to_owned())];
        let gateway = service(at, "simulated_gateway", 0, gateway_port, &gateway_database, &quiet);

        let with = |own: &[(&'static str, &str)], more: (&'static str, String)| -> Vec<(&'static str, String)> {
            let given = SHARED.iter().chain(own).map(|(name, value)| (*name, (*value).to_owned()));
            given.chain([more, ("KAFKA__BROKERS", ground.brokers.clone())]).collect()
        };
        let claims_port = free_port();
        let claim_settings = with(&CLAIM_PROCESS, ("DATABASE__MAX_CONNECTIONS", "8".to_owned()));
        let claim_process = service(at, "claim_process", 0, claims_port, &ground.claims_url, &claim_settings);

        let payments_settings = with(&PAYMENTS, ("GATEWAY__URL", gateway_url.clone()));
        let ports: Vec<u16> = (0..payments).map(|_| free_port()).collect();
        let payments = ports
            .iter()
            .zip(1..)
            .map(|(port, number)| service(at, "payments", number, *port, &ground.payments_url, &payments_settings))
            .collect();
        let payments_urls: Vec<String> = ports.into_iter().map(url).collect();

        let api = Api::new(url(claims_port), payments_urls.first().cloned().unwrap_or_default(), gateway_url);
        let mut stack = Self { gateway, claim_process, payments, api, ground, payments_urls, directory };
        stack.gateway.start();
        stack.claim_process.start();
        for payments in &mut stack.payments {
            payments.start();
        }
        stack.wait_until_ready().await;
        stack
    }

    /// Waits until every service says that it is ready.
    ///
    /// # Panics
    /// When one does not, with its last words.
    pub async fn wait_until_ready(&self) {
        let mut services = vec![(&self.gateway, self.api.gateway_url()), (&self.claim_process, self.api.claims_url())];
        services.extend(self.payments.iter().zip(self.payments_urls.iter().map(String::as_str)));
        for (process, url) in services {
            let until = Instant::now() + READY_TIMEOUT;
            while !self.api.is_ready(url).await {
                assert!(
                    Instant::now() < until,
                    "{} is not ready; its last words:\n{}",
                    process.name(),
                    process.last_words()
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Everything every process said, for searching.
    pub fn all_output(&self) -> String {
        let services = [&self.gateway, &self.claim_process].into_iter().chain(&self.payments);
        services.chain(&self.ground.local_broker).map(Process::output).collect()
    }

    /// Where the system keeps its data.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// A service with its settings. A number above 0 tells instances of one program apart.
fn service(
    directory: &Path,
    program: &'static str,
    number: usize,
    port: u16,
    database_url: &str,
    settings: &[(&str, String)],
) -> Process {
    let name = if number == 0 { program.to_owned() } else { format!("{program}-{number}") };
    let prefix = program.to_uppercase();
    let own = [("HTTP__PORT", port.to_string()), ("DATABASE__URL", database_url.to_owned())];
    let environment =
        own.iter().chain(settings).map(|(name, value)| (format!("{prefix}__{name}"), value.clone())).collect();
    Process::new(directory, &name, program, vec![], environment)
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// A port that was free a moment ago. A process that is started again must find its old one, so 0 would not do.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port can be bound");
    listener.local_addr().expect("a bound port is known").port()
}
