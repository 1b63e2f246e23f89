//! The whole system on one machine: embedded broker, simulated gateway, claim_process and any number of payments, with
//! their data in a directory that goes away with it.

use crate::api::Api;
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
    /// The embedded broker.
    pub broker: Process,
    /// The simulated gateway.
    pub gateway: Process,
    /// The HTTP service.
    pub claim_process: Process,
    /// The instances of the consumer service.
    pub payments: Vec<Process>,
    /// The system's HTTP API.
    pub api: Api,
    payments_urls: Vec<String>,
    directory: TempDir,
}

/// Times that are short enough for a test: what is lost is asked for after seconds, not after a quarter of a minute.
const SHARED: [(&str, &str); 4] = [
    ("KAFKA__CONSUMER__SESSION_TIMEOUT_MS", "3000"),
    ("KAFKA__PRODUCER__DELIVERY_TIMEOUT_MS", "3000"),
    ("KAFKA__HEALTH_INTERVAL_MS", "200"),
    ("LOG__FILTER", "info,actix_server=warn"),
];
const CLAIM_PROCESS: [(&str, &str); 2] = [("WATCHDOG__FIRST_PAUSE_MS", "4000"), ("WATCHDOG__MAX_PAUSE_MS", "8000")];
const PAYMENTS: [(&str, &str); 3] =
    [("GATEWAY__REQUEST_TIMEOUT_MS", "2000"), ("SAGA__LEASE_MS", "5000"), ("SAGA__MAX_RETRY_PAUSE_MS", "2000")];

impl Stack {
    /// Starts the system with so many payments instances and waits until it is ready.
    ///
    /// # Panics
    /// When a part of it does not become ready.
    pub async fn start(payments: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let at = directory.path();
        let broker_address = format!("127.0.0.1:{}", free_port());
        let broker =
            Process::new(at, "local_broker", "local_broker", vec!["--listen".into(), broker_address.clone()], vec![]);

        let gateway_port = free_port();
        let gateway_url = format!("http://127.0.0.1:{gateway_port}");
        let gateway = service(
            at,
            "simulated_gateway",
            "simulated_gateway",
            "SIMULATED_GATEWAY",
            gateway_port,
            "gateway.db",
            &[("LOG__FILTER", "info,actix_server=warn".to_owned())],
        );

        let mut settings: Vec<(&str, String)> = SHARED.map(|(name, value)| (name, value.to_owned())).to_vec();
        settings.push(("KAFKA__BROKERS", broker_address));
        let claims_port = free_port();
        let claim_settings =
            [settings.clone(), CLAIM_PROCESS.map(|(name, value)| (name, value.to_owned())).to_vec()].concat();
        let claim_process =
            service(at, "claim_process", "claim_process", "CLAIM_PROCESS", claims_port, "claims.db", &claim_settings);

        settings.extend(PAYMENTS.map(|(name, value)| (name, value.to_owned())));
        settings.push(("GATEWAY__URL", gateway_url.clone()));
        let ports: Vec<u16> = (0..payments).map(|_| free_port()).collect();
        let payments = ports.iter().zip(1..).map(|(port, number)| {
            service(at, &format!("payments-{number}"), "payments", "PAYMENTS", *port, "payments.db", &settings)
        });
        let payments = payments.collect();
        let payments_urls: Vec<String> = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();

        let api = Api::new(
            format!("http://127.0.0.1:{claims_port}"),
            payments_urls.first().cloned().unwrap_or_default(),
            gateway_url,
        );
        let mut stack = Self { broker, gateway, claim_process, payments, api, payments_urls, directory };
        stack.broker.start();
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
        let services = [&self.broker, &self.gateway, &self.claim_process].into_iter().chain(&self.payments);
        services.map(Process::output).collect()
    }

    /// Where the system keeps its data.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

fn service(
    directory: &Path,
    name: &str,
    program: &'static str,
    prefix: &str,
    port: u16,
    database: &str,
    settings: &[(&str, String)],
) -> Process {
    let own =
        [("HTTP__PORT", port.to_string()), ("DATABASE__URL", format!("sqlite://{}/{database}", directory.display()))];
    let environment =
        own.iter().chain(settings).map(|(name, value)| (format!("{prefix}__{name}"), value.clone())).collect();
    Process::new(directory, name, program, vec![], environment)
}

/// A port that was free a moment ago. A process that is started again must find its old one, so 0 would not do.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port can be bound");
    listener.local_addr().expect("a bound port is known").port()
}
