//! The system under test: the services as release processes with default settings, on PostgreSQL and Kafka, or on SQLite and the
//! embedded broker. Each measurement gets fresh databases and topics; the servers go on running, so that they stay warm.

use super::postgres::{Owned, Postgres};
use crate::infrastructure::Infrastructure;
use crate::process::Process;
use crate::stack::Stack;
use reqwest::Client;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use test_support::within;

/// The servers that go on running.
#[derive(Debug, Clone)]
pub struct Servers {
    /// The PostgreSQL server.
    pub postgres: Postgres,
    /// The first process of that server.
    pub postgres_process: u32,
    /// The bootstrap servers of Kafka.
    pub brokers: String,
    /// The process of Kafka.
    pub kafka_process: u32,
}

/// What the services run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum On {
    /// PostgreSQL and Kafka.
    Servers,
    /// SQLite and the embedded broker.
    Embedded,
}

impl On {
    /// What begins the names of cases on this.
    pub fn prefix(self) -> &'static str {
        match self {
            On::Servers => "",
            On::Embedded => "embedded, ",
        }
    }
}

/// The running system.
#[derive(Debug)]
pub struct System {
    /// Its processes.
    pub stack: Stack,
    /// What it runs on.
    pub on: On,
    servers: Servers,
    databases: Vec<Owned>,
    client: Client,
}

impl System {
    /// Starts one claim_process and a number of payments, and waits until they are ready.
    ///
    /// # Panics
    /// If one does not become ready.
    pub async fn start(servers: &Servers, on: On, payments: usize, settings: &[(String, String)]) -> Self {
        Self::start_from(servers, on, payments, settings, None).await
    }

    /// Like [`System::start`]; on PostgreSQL with the claims of another database, which has no connections.
    ///
    /// # Panics
    /// If a service does not become ready.
    pub async fn start_from(
        servers: &Servers,
        on: On,
        payments: usize,
        settings: &[(String, String)],
        claims: Option<&Owned>,
    ) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let (infrastructure, databases) = match on {
            On::Servers => {
                let databases = [("claims", claims), ("payments", None)]
                    .map(|(name, template)| servers.postgres.create(name, template));
                let urls = [databases[0].url(), databases[1].url()];
                (Infrastructure::on_running_servers(&servers.brokers, urls).await, Vec::from(databases))
            }
            On::Embedded => {
                let mut infrastructure = Infrastructure::embedded(directory.path());
                infrastructure.start_broker();
                (infrastructure, Vec::new())
            }
        };
        let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let stack = Stack::start_with_defaults(infrastructure, directory, [1, payments], &settings).await;
        Self { stack, on, servers: servers.clone(), databases, client: Client::new() }
    }

    /// Stops the services, so that they leave their groups.
    ///
    /// # Panics
    /// If one does not stop.
    pub fn stop(mut self) {
        for process in self.stack.running() {
            process.stop();
        }
        drop(self.stack);
    }

    /// Stops the services, and returns the database of claim_process, which nothing uses any more.
    ///
    /// # Panics
    /// On the embedded stack, or if a service does not stop.
    pub fn stop_and_keep_claims_database(mut self) -> Owned {
        let database = self.databases.remove(0);
        self.stop();
        database
    }

    /// The database of claim_process.
    ///
    /// # Panics
    /// On the embedded stack.
    pub fn claims_database(&self) -> &Owned {
        self.databases.first().expect("it runs on PostgreSQL")
    }

    /// The server's counters; `None` on the embedded stack.
    pub fn postgres(&self) -> Option<&Postgres> {
        (self.on == On::Servers).then_some(&self.servers.postgres)
    }

    /// The first process of the PostgreSQL server; `None` on the embedded stack.
    pub fn postgres_process(&self) -> Option<u32> {
        (self.on == On::Servers).then_some(self.servers.postgres_process)
    }

    /// The address of claim_process.
    ///
    /// # Panics
    /// If its URL is no address.
    pub fn address(&self) -> SocketAddr {
        let url = &self.stack.claim_process_urls()[0];
        url.trim_start_matches("http://").parse().expect("an address")
    }

    /// The processes of the system by the name of their kind, this one included, which is the load generator.
    pub fn processes(&self) -> Vec<(&'static str, Vec<u32>)> {
        let ids = |processes: &[Process]| processes.iter().filter_map(Process::id).collect::<Vec<_>>();
        let mut all = vec![
            ("claim_process", ids(&self.stack.claim_process)),
            ("payments", ids(&self.stack.payments)),
            ("simulated_gateway", self.stack.gateway.id().into_iter().collect()),
            ("load", vec![std::process::id()]),
        ];
        match self.on {
            On::Servers => all.push(("kafka", vec![self.servers.kafka_process])),
            On::Embedded => {
                let broker = self.stack.infrastructure.local_broker.as_ref();
                all.push(("local_broker", broker.and_then(Process::id).into_iter().collect()));
            }
        }
        all
    }

    /// The counters of claim_process, each summed over its labels.
    pub async fn claim_process_metrics(&self) -> BTreeMap<String, f64> {
        self.metrics(self.stack.claim_process_urls()).await
    }

    /// The counters of all payments, each summed over instances and labels.
    pub async fn payments_metrics(&self) -> BTreeMap<String, f64> {
        self.metrics(self.stack.payments_urls()).await
    }

    async fn metrics(&self, urls: &[String]) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for url in urls {
            if let Ok(answer) = self.client.get(format!("{url}/metrics")).send().await {
                add_metrics(&answer.text().await.unwrap_or_default(), &mut sums);
            }
        }
        sums
    }

    /// Waits until a counter of claim_process has reached a value.
    ///
    /// # Panics
    /// If it does not within the limit.
    pub async fn claim_process_counts(&self, counter: &str, wanted: f64, limit: Duration) {
        reaches(counter, wanted, limit, || self.claim_process_metrics()).await;
    }

    /// Waits until a counter of all payments together has reached a value.
    ///
    /// # Panics
    /// If it does not within the limit.
    pub async fn payments_count(&self, counter: &str, wanted: f64, limit: Duration) {
        reaches(counter, wanted, limit, || self.payments_metrics()).await;
    }

    /// The claims that claim_process has as settled.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn settled(&self) -> u64 {
        let report: Value = self.stack.api.reconciliation().await;
        let settled = &report["settled"];
        settled["claims"].as_u64().or(settled.as_u64()).expect("the reconciliation counts settled claims")
    }
}

async fn reaches<F: Future<Output = BTreeMap<String, f64>>>(
    counter: &str,
    wanted: f64,
    limit: Duration,
    metrics: impl Fn() -> F,
) {
    within(limit, async || {
        let found = metrics().await.get(counter).copied().unwrap_or_default();
        if found >= wanted { Ok(()) } else { Err(format!("{counter} is {found}, and is to reach {wanted}")) }
    })
    .await;
}

/// Adds the values of a page in Prometheus' text format.
fn add_metrics(page: &str, to: &mut BTreeMap<String, f64>) {
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        if let Some((series, value)) = line.rsplit_once(' ')
            && let Ok(value) = value.parse::<f64>()
        {
            let name = series.split('{').next().unwrap_or(series);
            *to.entry(name.to_owned()).or_default() += value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_labels_and_instances() {
        let mut sums = BTreeMap::new();
        let page = "# HELP a text\n# TYPE a counter\na{type=\"x y\"} 2\na{type=\"z\"} 3\nb_sum 1.5\nc NaN\n";
        add_metrics(page, &mut sums);
        add_metrics(page, &mut sums);
        assert_eq!((sums["a"], sums["b_sum"]), (10.0, 3.0));
    }
}
