//! The whole system on one machine: the simulated gateway and any number of claim_process and payments, on a given
//! [`Infrastructure`], with data that is deleted when it is dropped.

use crate::api::Api;
use crate::infrastructure::{self, Infrastructure};
use crate::links::{Link, Links};
use crate::own_postgres::OwnPostgres;
use crate::process::Process;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use test_support::{ChaosProxy, eventually, free_address, within};

/// How long a process may take to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The running system.
#[derive(Debug)]
pub struct Stack {
    /// The simulated gateway.
    pub gateway: Process,
    /// The instances of the HTTP service.
    pub claim_process: Vec<Process>,
    /// The instances of the consumer service.
    pub payments: Vec<Process>,
    /// The system's HTTP API.
    pub api: Api,
    /// The broker and the databases.
    pub infrastructure: Infrastructure,
    /// The proxies between the services and what they connect to, if it was started behind them.
    links: Option<Links>,
    /// The URL of each service, in the order of `processes`.
    urls: Vec<String>,
    directory: TempDir,
}

/// How the services reach the servers and the gateway.
#[derive(Debug, Clone, Copy)]
enum Network {
    Direct,
    /// Through [`Links`].
    BehindLinks,
}

/// The settings of the services beside addresses and databases.
#[derive(Debug, Clone, Copy)]
enum Tuning {
    /// Time-outs that are short enough for a test.
    ForTests,
    /// The services' own defaults.
    Defaults,
}

/// Keeps the logs of a failed test and prints their directory.
impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.directory.disable_cleanup(true);
            eprintln!("the output of every process is in {}", self.directory.path().display());
        }
    }
}

/// Timeouts short enough for a test: a lost outcome is requested again after 4 seconds instead of 15.
const SHARED: [(&str, &str); 4] = [
    ("KAFKA__CONSUMER__SESSION_TIMEOUT_MS", "3000"),
    ("KAFKA__PRODUCER__DELIVERY_TIMEOUT_MS", "3000"),
    ("HEALTH__INTERVAL_MS", "500"),
    ("LOG__FILTER", "info,actix_server=warn"),
];
const CLAIM_PROCESS: [(&str, &str); 4] = [
    ("DATABASE__MAX_CONNECTIONS", "8"),
    ("WATCHDOG__FIRST_PAUSE_MS", "4000"),
    ("WATCHDOG__MAX_PAUSE_MS", "8000"),
    ("RATE_LIMIT__TOP_PROVIDERS_PER_MINUTE", "60000"),
];
const PAYMENTS: [(&str, &str); 4] = [
    ("GATEWAY__REQUEST_TIMEOUT_MS", "2000"),
    ("GATEWAY__WEBHOOK_SECRET", WEBHOOK_SECRET),
    ("SAGA__LEASE_MS", "5000"),
    ("SAGA__MAX_RETRY_PAUSE_MS", "2000"),
];
const WEBHOOK_SECRET: &str = "known to the gateway and to payments";

impl Stack {
    /// Starts the system on the embedded default with a number of payments instances, and waits until it is ready.
    ///
    /// # Panics
    /// If a process does not become ready.
    pub async fn start(payments: usize) -> Self {
        Self::start_with(payments, &[]).await
    }

    /// Like [`Stack::start`], with further settings, each given by its environment variable.
    ///
    /// # Panics
    /// If a process does not become ready.
    pub async fn start_with(payments: usize, settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut infrastructure = Infrastructure::embedded(directory.path());
        infrastructure.start_broker();
        Self::start_on(infrastructure, directory, [1, payments], settings, Network::Direct, Tuning::ForTests).await
    }

    /// Starts the system on running servers with the services' default settings: only addresses, databases and the gateway are
    /// set, and `settings`, each given by its environment variable.
    ///
    /// # Panics
    /// If a process does not become ready.
    pub async fn start_with_defaults(
        infrastructure: Infrastructure,
        directory: TempDir,
        instances: [usize; 2],
        settings: &[(&str, &str)],
    ) -> Self {
        Self::start_on(infrastructure, directory, instances, settings, Network::Direct, Tuning::Defaults).await
    }

    /// Starts the system on PostgreSQL and the embedded broker, with further settings.
    ///
    /// # Panics
    /// If a process does not become ready, or the server is not available.
    pub async fn start_on_postgres(claim_process: usize, payments: usize, settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut infrastructure = Infrastructure::on_postgres(directory.path());
        infrastructure.start_broker();
        Self::start_on(
            infrastructure,
            directory,
            [claim_process, payments],
            settings,
            Network::Direct,
            Tuning::ForTests,
        )
        .await
    }

    /// Starts the system, with one instance of each service, on this PostgreSQL server and the embedded broker, with further
    /// settings.
    ///
    /// # Panics
    /// If a process does not become ready.
    pub async fn start_on_own_postgres(server: OwnPostgres, settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut infrastructure = Infrastructure::on_own_postgres(directory.path(), server);
        infrastructure.start_broker();
        Self::start_on(infrastructure, directory, [1, 1], settings, Network::Direct, Tuning::ForTests).await
    }

    /// Starts the system on PostgreSQL and Kafka.
    ///
    /// # Panics
    /// If a process does not become ready, or the servers are not available.
    pub async fn start_on_servers(claim_process: usize, payments: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let infrastructure = Infrastructure::servers().await;
        Self::start_on(infrastructure, directory, [claim_process, payments], &[], Network::Direct, Tuning::ForTests)
            .await
    }

    /// Starts the system on PostgreSQL and Kafka, each connection through a proxy that can be disturbed.
    ///
    /// # Panics
    /// If a process does not become ready, or the servers are not available.
    pub async fn start_behind_links(claim_process: usize, payments: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let infrastructure = Infrastructure::servers().await;
        Self::start_on(
            infrastructure,
            directory,
            [claim_process, payments],
            &[],
            Network::BehindLinks,
            Tuning::ForTests,
        )
        .await
    }

    /// Starts the system on a PostgreSQL of its own, and Kafka.
    ///
    /// # Panics
    /// If a process does not become ready, or the servers are not available.
    pub async fn start_with_own_postgres(claim_process: usize, payments: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let infrastructure = Infrastructure::servers_with_own_postgres().await;
        Self::start_on(infrastructure, directory, [claim_process, payments], &[], Network::Direct, Tuning::ForTests)
            .await
    }

    /// Starts the system on PostgreSQL and Kafka, where the services have only the rights that `grant` gives to Kafka's user
    /// `restricted`. Topics are created before.
    ///
    /// # Panics
    /// If a process does not become ready, or the servers are not available.
    pub async fn start_restricted(grant: impl Fn()) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let infrastructure = Infrastructure::servers().await;
        infrastructure.create_topics().await;
        grant();
        let settings = infrastructure::settings_of_restricted_user();
        let settings: Vec<_> = ["CLAIM_PROCESS", "PAYMENTS"]
            .iter()
            .flat_map(|service| {
                settings.iter().map(move |(name, value)| (format!("{service}__{name}"), value.as_str()))
            })
            .collect();
        let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        Self::start_on(infrastructure, directory, [1, 1], &settings, Network::Direct, Tuning::ForTests).await
    }

    /// Starts the system on PostgreSQL behind a PgBouncer in transaction mode, and the embedded broker.
    ///
    /// # Panics
    /// If a process does not become ready, or the servers are not available.
    pub async fn start_behind_pgbouncer(claim_process: usize, payments: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut infrastructure = Infrastructure::behind_pgbouncer(directory.path());
        infrastructure.start_broker();
        let settings = ["CLAIM_PROCESS", "PAYMENTS"].map(|service| format!("{service}__DATABASE__POOLER"));
        let settings: Vec<_> = settings.iter().map(|name| (name.as_str(), "transaction")).collect();
        Self::start_on(
            infrastructure,
            directory,
            [claim_process, payments],
            &settings,
            Network::Direct,
            Tuning::ForTests,
        )
        .await
    }

    async fn start_on(
        infrastructure: Infrastructure,
        directory: TempDir,
        [claim_process, payments]: [usize; 2],
        own_settings: &[(&str, &str)],
        network: Network,
        tuning: Tuning,
    ) -> Self {
        let at = directory.path();
        let gateway_url = free_url();
        let links = match network {
            Network::Direct => None,
            Network::BehindLinks => Some(Links::open(&infrastructure, gateway_url.trim_start_matches("http://"))),
        };
        let database_url =
            |link, url: &str| links.as_ref().map_or_else(|| url.to_owned(), |links| links.database_url(link, url));
        let behind = |link| links.as_ref().map(|links| links.proxy(link).address());
        let brokers = behind(Link::Kafka).map_or_else(|| infrastructure.brokers.clone(), |proxy| proxy.to_string());
        let claims_database = database_url(Link::ClaimsDatabase, &infrastructure.claims_url);
        let payments_database = database_url(Link::PaymentsDatabase, &infrastructure.payments_url);
        let gateway_for_payments =
            behind(Link::Gateway).map_or_else(|| gateway_url.clone(), |proxy| format!("http://{proxy}"));
        let gateway_database = format!("sqlite://{}/gateway.db", at.display());
        let with = |own: &[(&'static str, &'static str)],
                    more: Option<(&'static str, String)>|
         -> Vec<(&'static str, String)> {
            let for_tests: Vec<_> = match tuning {
                Tuning::ForTests => SHARED.iter().chain(own).copied().collect(),
                Tuning::Defaults => Vec::new(),
            };
            let given = for_tests.into_iter().map(|(name, value)| (name, value.to_owned()));
            given.chain(more).chain([("KAFKA__BROKERS", brokers.clone())]).collect()
        };
        let instances = |program, count: usize, database: &str, settings: &[(&str, String)]| {
            let urls: Vec<String> = (0..count).map(|_| free_url()).collect();
            let numbered = urls.iter().zip(1..);
            let processes: Vec<Process> =
                numbered.map(|(url, number)| service(at, program, number, url, database, settings)).collect();
            (processes, urls)
        };
        let claim_settings = with(&CLAIM_PROCESS, None);
        let (claim_process, claims_urls) = instances("claim_process", claim_process, &claims_database, &claim_settings);
        let payments_settings = with(&PAYMENTS, Some(("GATEWAY__URL", gateway_for_payments)));
        let (payments, payments_urls) = instances("payments", payments, &payments_database, &payments_settings);
        let webhook_url = payments_urls.first().map(|url| format!("{url}/v1/webhooks/gateway")).unwrap_or_default();
        let gateway_settings = match tuning {
            Tuning::ForTests => vec![
                ("LOG__FILTER", "warn".to_owned()),
                ("WEBHOOK__URL", webhook_url),
                ("WEBHOOK__SECRET", WEBHOOK_SECRET.to_owned()),
                ("WEBHOOK__MAX_RETRY_PAUSE_MS", "2000".to_owned()),
            ],
            Tuning::Defaults => Vec::new(),
        };
        let gateway = service(at, "simulated_gateway", 1, &gateway_url, &gateway_database, &gateway_settings);

        let urls = [&[gateway_url.clone()][..], &claims_urls, &payments_urls].concat();
        let api = Api::new(claims_urls, payments_urls, gateway_url);
        let mut stack = Self { gateway, claim_process, payments, api, infrastructure, links, urls, directory };
        for process in [&mut stack.gateway].into_iter().chain(&mut stack.claim_process).chain(&mut stack.payments) {
            // Each service reads only variables with its own prefix.
            own_settings.iter().for_each(|(variable, value)| process.set(variable, value));
        }
        stack.gateway.start();
        for service in stack.claim_process.iter_mut().chain(&mut stack.payments) {
            service.start();
        }
        stack.wait_until_ready().await;
        stack
    }

    /// Waits until every started service reports that it is ready.
    ///
    /// # Panics
    /// If one does not, with its last lines of output.
    pub async fn wait_until_ready(&self) {
        for (process, url) in self.processes().zip(&self.urls).filter(|(process, _)| process.is_running()) {
            self.wait_for(process, url).await;
        }
    }

    /// Waits until the last payments reports that it is ready.
    ///
    /// # Panics
    /// If it does not, with its last lines of output.
    pub async fn wait_for_last_payments(&self) {
        let (Some(process), Some(url)) = (self.payments.last(), self.urls.last()) else { return };
        self.wait_for(process, url).await;
    }

    /// Waits until the first claim_process reports that it is not ready, because Kafka is down.
    ///
    /// # Panics
    /// If it stays ready.
    pub async fn wait_until_not_ready_without_kafka(&self) {
        let url = &self.urls[1];
        eventually("claim_process is not ready without Kafka", async || (!self.api.is_ready(url).await).then_some(()))
            .await;
    }

    async fn wait_for(&self, process: &Process, url: &str) {
        within(READY_TIMEOUT, async || match self.api.is_ready(url).await {
            true => Ok(()),
            false => Err(format!("{} is ready; its last lines:\n{}", process.name(), process.last_lines())),
        })
        .await;
    }

    /// The gateway and the instances of both services.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        [&self.gateway].into_iter().chain(&self.claim_process).chain(&self.payments)
    }

    /// The running instances of both services.
    pub fn running(&mut self) -> impl Iterator<Item = &mut Process> {
        self.claim_process.iter_mut().chain(&mut self.payments).filter(|instance| instance.is_running())
    }

    /// Starts the stopped instances of both services. If there are several payments, the last one stays stopped: tests add it
    /// later.
    pub fn start_stopped(&mut self) {
        let wanted = self.payments.len().saturating_sub(1).max(1);
        let instances = self.claim_process.iter_mut().chain(self.payments.iter_mut().take(wanted));
        instances.filter(|instance| !instance.is_running()).for_each(Process::start);
    }

    /// The output of all processes, for searching.
    pub fn all_output(&self) -> String {
        self.processes().chain(&self.infrastructure.local_broker).map(Process::output).collect()
    }

    /// The proxy of a link.
    ///
    /// # Panics
    /// If the system was not started behind links.
    pub fn proxy(&self, link: Link) -> &ChaosProxy {
        self.links.as_ref().expect("it was started behind links").proxy(link)
    }

    /// The URLs of the instances of claim_process.
    pub fn claim_process_urls(&self) -> &[String] {
        &self.urls[1..=self.claim_process.len()]
    }

    /// The URLs of the instances of payments.
    pub fn payments_urls(&self) -> &[String] {
        &self.urls[1 + self.claim_process.len()..]
    }

    /// The data directory of the system.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// An instance of a service with its settings.
fn service(
    directory: &Path,
    program: &'static str,
    number: usize,
    url: &str,
    database_url: &str,
    settings: &[(&str, String)],
) -> Process {
    let prefix = program.to_uppercase();
    let port = url.rsplit(':').next().unwrap_or_default();
    let own = [("HTTP__PORT", port.to_owned()), ("DATABASE__URL", database_url.to_owned())];
    let environment =
        own.iter().chain(settings).map(|(name, value)| (format!("{prefix}__{name}"), value.clone())).collect();
    Process::new(directory, &format!("{program}-{number}"), program, vec![], environment)
}

fn free_url() -> String {
    format!("http://{}", free_address())
}
