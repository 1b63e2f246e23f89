//! The databases and the broker of the system: the embedded default (SQLite files and the local broker), or real servers
//! (PostgreSQL, Kafka and PgBouncer), fresh for each test.

use crate::own_postgres::OwnPostgres;
use crate::process::Process;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;
use test_support::kafka::{brokers_of_services, services};
use test_support::{PgBouncer, TestDatabase, free_address, within};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// There is one Kafka, and the topics have fixed names, so tests on it run one at a time.
static TURN: LazyLock<std::sync::Arc<Mutex<()>>> = LazyLock::new(std::sync::Arc::default);

/// The server connections of PgBouncer for each database: fewer than the services open, so that these share them.
const SERVER_CONNECTIONS: u32 = 4;

/// The topics of both services.
const TOPICS: [&str; 2] = ["claims.claim.v1", "payments.payment.v1"];
/// Their partitions, as the services expect them by default.
const PARTITIONS: i32 = 12;

/// The settings, without a service's prefix, with which Kafka takes it for its user `restricted`, who has no right that was not
/// granted.
pub(crate) fn settings_of_restricted_user() -> Vec<(String, String)> {
    let own = [("MECHANISM", "PLAIN"), ("USERNAME", "restricted")]
        .map(|(name, value)| (format!("KAFKA__SECURITY__SASL_{name}"), value));
    let of_listener = services(&["env", "kafka", "sasl_plaintext"]);
    let of_listener = of_listener.lines().filter_map(|line| line.split_once('='));
    let settings = of_listener.map(|(name, value)| (name.to_owned(), value.to_owned()));
    // The later one of two counts.
    settings.chain(own.map(|(name, value)| (name, value.to_owned()))).collect()
}

/// The databases and the broker of a system.
#[derive(Debug)]
pub struct Infrastructure {
    /// The bootstrap servers of Kafka.
    pub brokers: String,
    /// claim_process's database.
    pub claims_url: String,
    /// payments' database.
    pub payments_url: String,
    /// The embedded broker; `None` on real servers.
    pub local_broker: Option<Process>,
    /// The PostgreSQL server, if no other system uses it.
    pub own_postgres: Option<OwnPostgres>,
    _pgbouncer: Option<PgBouncer>,
    _databases: Vec<TestDatabase>,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Infrastructure {
    /// SQLite files in `directory` and a local broker that is not yet started.
    pub fn embedded(directory: &Path) -> Self {
        let brokers = free_address().to_string();
        let arguments = vec!["--listen".to_owned(), brokers.clone()];
        Self {
            local_broker: Some(Process::new(directory, "local_broker", "local_broker", arguments, vec![])),
            brokers,
            claims_url: format!("sqlite://{}/claims.db", directory.display()),
            payments_url: format!("sqlite://{}/payments.db", directory.display()),
            own_postgres: None,
            _pgbouncer: None,
            _databases: Vec::new(),
            _turn: None,
        }
    }

    /// Fresh PostgreSQL databases behind a PgBouncer in transaction mode, with few server connections for each, and a local
    /// broker that is not yet started.
    ///
    /// # Panics
    /// If they are not available: a test that needs them is written in `behind_pgbouncer!`.
    pub fn behind_pgbouncer(directory: &Path) -> Self {
        let (claims, payments) = (TestDatabase::postgres(), TestDatabase::postgres());
        let pgbouncer = PgBouncer::start("transaction", SERVER_CONNECTIONS, &[]);
        Self {
            claims_url: pgbouncer.url(claims.settings().url.expose()),
            payments_url: pgbouncer.url(payments.settings().url.expose()),
            _pgbouncer: Some(pgbouncer),
            _databases: vec![claims, payments],
            ..Self::embedded(directory)
        }
    }

    /// Fresh PostgreSQL databases, and a local broker that is not yet started.
    ///
    /// # Panics
    /// If the server is not available: a test that needs it is written in `on_postgres!`.
    pub fn on_postgres(directory: &Path) -> Self {
        let (claims, payments) = (TestDatabase::postgres(), TestDatabase::postgres());
        Self {
            claims_url: claims.settings().url.expose().to_owned(),
            payments_url: payments.settings().url.expose().to_owned(),
            _databases: vec![claims, payments],
            ..Self::embedded(directory)
        }
    }

    /// The databases of a PostgreSQL server of its own, and a local broker that is not yet started.
    pub fn on_own_postgres(directory: &Path, server: OwnPostgres) -> Self {
        Self {
            claims_url: server.url("claims"),
            payments_url: server.url("payments"),
            own_postgres: Some(server),
            ..Self::embedded(directory)
        }
    }

    /// Fresh PostgreSQL databases and an empty Kafka.
    ///
    /// # Panics
    /// If the servers are not available: a test that needs them is written in `on_postgres_and_kafka!`.
    pub async fn servers() -> Self {
        let (claims, payments) = (TestDatabase::postgres(), TestDatabase::postgres());
        let urls = [&claims, &payments].map(|database| database.settings().url.expose().to_owned());
        Self { _databases: vec![claims, payments], ..Self::on_kafka(urls).await }
    }

    /// A PostgreSQL server of its own, with its databases, and an empty Kafka.
    ///
    /// # Panics
    /// As [`Infrastructure::servers`].
    pub async fn servers_with_own_postgres() -> Self {
        let server = OwnPostgres::start();
        let urls = ["claims", "payments"].map(|database| server.url(database));
        Self { own_postgres: Some(server), ..Self::on_kafka(urls).await }
    }

    async fn on_kafka([claims_url, payments_url]: [String; 2]) -> Self {
        let brokers = brokers_of_services();
        let turn = std::sync::Arc::clone(&TURN).lock_owned().await;
        services(&["wipe", "kafka"]);
        services(&["start", "kafka"]);
        Self {
            brokers,
            claims_url,
            payments_url,
            local_broker: None,
            own_postgres: None,
            _pgbouncer: None,
            _databases: Vec::new(),
            _turn: Some(turn),
        }
    }

    /// PostgreSQL databases and a Kafka that the caller keeps, and that no other system uses at the same time. The topics and groups
    /// of earlier systems are deleted; the broker goes on running.
    ///
    /// # Panics
    /// If Kafka does not delete them.
    pub async fn on_running_servers(brokers: &str, [claims_url, payments_url]: [String; 2]) -> Self {
        let infrastructure = Self {
            brokers: brokers.to_owned(),
            claims_url,
            payments_url,
            local_broker: None,
            own_postgres: None,
            _pgbouncer: None,
            _databases: Vec::new(),
            _turn: None,
        };
        infrastructure.delete_topics().await;
        infrastructure
    }

    async fn delete_topics(&self) {
        let (admin, options) = (self.admin(), AdminOptions::new());
        // What does not exist needs no deletion, so a refusal is no error.
        let _ = admin.delete_groups(&["claim_process", "payments"], &options).await.expect("Kafka answers");
        let _ = admin.delete_topics(&TOPICS, &options).await.expect("Kafka answers");
        within(Duration::from_secs(30), async || {
            let found =
                admin.inner().fetch_metadata(None, Duration::from_secs(5)).map_err(|error| error.to_string())?;
            match found.topics().iter().any(|topic| TOPICS.contains(&topic.name())) {
                true => Err("the topics are deleted".to_owned()),
                false => Ok(()),
            }
        })
        .await;
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.brokers).create().expect("a client")
    }

    /// Creates the topics of both services, as an administrator does for services that may not.
    ///
    /// # Panics
    /// If they cannot be created.
    pub async fn create_topics(&self) {
        let admin = self.admin();
        let topics = TOPICS.map(|topic| NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1)));
        for created in admin.create_topics(&topics, &AdminOptions::new()).await.expect("Kafka answers") {
            created.expect("the topic is created");
        }
    }

    /// Freezes the broker with SIGSTOP. Connections stay open.
    pub fn freeze_broker(&self) {
        match &self.local_broker {
            Some(broker) => broker.freeze(),
            None => drop(services(&["freeze", "kafka"])),
        }
    }

    /// Continues a frozen broker.
    pub fn thaw_broker(&self) {
        match &self.local_broker {
            Some(broker) => broker.thaw(),
            None => drop(services(&["thaw", "kafka"])),
        }
    }

    /// Kills the broker.
    pub fn stop_broker(&mut self) {
        match &mut self.local_broker {
            Some(broker) => broker.kill(),
            None => drop(services(&["stop", "kafka", "at-once"])),
        }
    }

    /// Starts the broker. The embedded one has lost all its data.
    pub fn start_broker(&mut self) {
        match &mut self.local_broker {
            Some(broker) => broker.start(),
            None => drop(services(&["start", "kafka"])),
        }
    }

    /// Kills Kafka, deletes its data, and starts it again without a topic.
    pub fn wipe_broker(&mut self) {
        self.stop_broker();
        if self.local_broker.is_none() {
            services(&["wipe", "kafka"]);
        }
        self.start_broker();
    }

    /// Crashes PostgreSQL. Returns `false` if `scripts/services.sh` does not run the server, which must then not be crashed.
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
    /// If the group has members or Kafka refuses.
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
        // A member that did not leave the group is removed only after its session timeout.
        let refused = |error: KafkaError| format!("the offsets of the group {group} can be moved: {error}");
        within(wait, async || consumer.commit(&offsets, CommitMode::Sync).map_err(refused)).await;
    }

    /// Copies payments' database to a file.
    ///
    /// # Panics
    /// If it is not on PostgreSQL, or cannot be copied.
    pub fn dump_payments(&self, to: &Path) {
        run(Command::new("pg_dump").args(["--format=custom", "--file"]).arg(to).arg(&self.payments_url));
    }

    /// Restores payments' database from a copy. No payments may be running.
    ///
    /// # Panics
    /// If it cannot be restored.
    pub fn restore_payments(&self, from: &Path) {
        let clean = ["--clean", "--if-exists", "--single-transaction", "--dbname"];
        run(Command::new("pg_restore").args(clean).arg(&self.payments_url).arg(from));
    }
}

fn run(command: &mut Command) {
    let done = command.stdin(Stdio::null()).status().expect("PostgreSQL's programs are installed");
    assert!(done.success(), "{:?} failed", command.get_program());
}
