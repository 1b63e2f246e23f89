//! What the system stands on: the embedded default (SQLite files and the local broker), or real servers (PostgreSQL and
//! Kafka), fresh for each test.

use crate::process::Process;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;
use test_support::kafka::{brokers_of_services, services};
use test_support::{TestDatabase, free_address, within};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// There is one Kafka, and topics have fixed names: tests on it take turns.
static TURN: LazyLock<std::sync::Arc<Mutex<()>>> = LazyLock::new(std::sync::Arc::default);

/// What the system stands on.
#[derive(Debug)]
pub struct Ground {
    /// How Kafka is reached.
    pub brokers: String,
    /// claim_process's database.
    pub claims_url: String,
    /// payments' database.
    pub payments_url: String,
    /// The embedded broker; none on real servers.
    pub local_broker: Option<Process>,
    _databases: Vec<TestDatabase>,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Ground {
    /// SQLite files in `directory` and a local broker that is not started yet.
    pub fn embedded(directory: &Path) -> Self {
        let brokers = free_address().to_string();
        let arguments = vec!["--listen".to_owned(), brokers.clone()];
        Self {
            local_broker: Some(Process::new(directory, "local_broker", "local_broker", arguments, vec![])),
            brokers,
            claims_url: format!("sqlite://{}/claims.db", directory.display()),
            payments_url: format!("sqlite://{}/payments.db", directory.display()),
            _databases: Vec::new(),
            _turn: None,
        }
    }

    /// Fresh PostgreSQL databases and an empty Kafka.
    ///
    /// # Panics
    /// Where there are no such servers: a test on them is written in `on_postgres_and_kafka!`.
    pub async fn servers() -> Self {
        let (claims, payments) = (TestDatabase::postgres(), TestDatabase::postgres());
        let brokers = brokers_of_services();
        let turn = std::sync::Arc::clone(&TURN).lock_owned().await;
        services(&["wipe", "kafka"]);
        services(&["start", "kafka"]);
        Self {
            brokers,
            claims_url: claims.settings().url.expose().to_owned(),
            payments_url: payments.settings().url.expose().to_owned(),
            local_broker: None,
            _databases: vec![claims, payments],
            _turn: Some(turn),
        }
    }

    /// Stops the broker as hard as it can be stopped.
    pub fn stop_broker(&mut self) {
        match &mut self.local_broker {
            Some(broker) => broker.kill(),
            None => drop(services(&["stop", "kafka", "at-once"])),
        }
    }

    /// Starts the broker. The embedded one has forgotten everything.
    pub fn start_broker(&mut self) {
        match &mut self.local_broker {
            Some(broker) => broker.start(),
            None => drop(services(&["start", "kafka"])),
        }
    }

    /// Stops Kafka as hard as it can be stopped, deletes all that it kept, and starts it again without a topic.
    pub fn wipe_broker(&mut self) {
        self.stop_broker();
        if self.local_broker.is_none() {
            services(&["wipe", "kafka"]);
        }
        self.start_broker();
    }

    /// Has PostgreSQL crash. A server that the script does not run is nobody's to crash: then `false`.
    pub fn stop_postgres(&self) -> bool {
        let own = services(&["env", "postgres"]);
        let (server, _) = self.claims_url.rsplit_once('/').expect("the URL ends in /database");
        if !own.starts_with(server) {
            return false;
        }
        services(&["stop", "postgres", "at-once"]);
        true
    }

    /// Starts PostgreSQL again.
    pub fn start_postgres(&self) {
        services(&["start", "postgres"]);
    }

    /// Moves the offsets of a consumer group whose members have all left, for every partition of a topic.
    ///
    /// # Panics
    /// When the group has members or Kafka refuses.
    pub async fn reset_offsets(&self, group: &str, topic: &str, to: Offset) {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", group)
            .create()
            .expect("a consumer");
        let wait = Duration::from_secs(20);
        let metadata = consumer.fetch_metadata(Some(topic), wait).expect("Kafka answers");
        let mut offsets = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), wait).expect("Kafka answers");
            let offset = Offset::Offset(if to == Offset::Beginning { low } else { high });
            offsets.add_partition_offset(topic, partition.id(), offset).expect("an offset");
        }
        // A member that could not say goodbye is missed only after its session time-out.
        let refused = |error: KafkaError| format!("the offsets of the group {group} can be moved: {error}");
        within(wait, async || consumer.commit(&offsets, CommitMode::Sync).map_err(refused)).await;
    }

    /// A copy of payments' database as it is now.
    ///
    /// # Panics
    /// When it is not on PostgreSQL, or cannot be copied.
    pub fn dump_payments(&self, to: &Path) {
        run(Command::new("pg_dump").args(["--format=custom", "--file"]).arg(to).arg(&self.payments_url));
    }

    /// Puts payments' database back to a copy of it. No payments may be running.
    ///
    /// # Panics
    /// When it cannot be put back.
    pub fn restore_payments(&self, from: &Path) {
        let clean = ["--clean", "--if-exists", "--single-transaction", "--dbname"];
        run(Command::new("pg_restore").args(clean).arg(&self.payments_url).arg(from));
    }
}

fn run(command: &mut Command) {
    let done = command.stdin(Stdio::null()).status().expect("PostgreSQL's programs are installed");
    assert!(done.success(), "{:?} failed", command.get_program());
}
