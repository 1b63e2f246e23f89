//! What the system stands on: the embedded default (SQLite files and the local broker), or real servers (PostgreSQL and
//! Kafka), fresh for each test.

use crate::process::Process;
use crate::stack::free_port;
use dual_db::testing::{TestDatabase, note_skipped};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Names the Kafka that `scripts/services.sh` runs. It is wiped before each test that uses it.
pub const KAFKA_VARIABLE: &str = "TEST_KAFKA_BROKERS";

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
        let brokers = format!("127.0.0.1:{}", free_port());
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

    /// Fresh PostgreSQL databases and an empty Kafka, or `None`, noted as skipped, where there are no such servers.
    ///
    /// # Panics
    /// In CI, where there must be.
    pub async fn servers() -> Option<Self> {
        let Ok(brokers) = std::env::var(KAFKA_VARIABLE) else {
            note_skipped(&format!("{KAFKA_VARIABLE} names no Kafka"));
            return None;
        };
        let Some(claims) = TestDatabase::postgres() else {
            note_skipped("there is no PostgreSQL server");
            return None;
        };
        let payments = TestDatabase::postgres()?;
        // Only a Kafka that the script runs can be wiped and stopped; nobody's own should be.
        assert_eq!(brokers, services("env"), "{KAFKA_VARIABLE} must name the Kafka of scripts/services.sh");
        let turn = std::sync::Arc::clone(&TURN).lock_owned().await;
        services("wipe");
        services("start");
        Some(Self {
            brokers,
            claims_url: claims.settings().url.clone(),
            payments_url: payments.settings().url.clone(),
            local_broker: None,
            _databases: vec![claims, payments],
            _turn: Some(turn),
        })
    }

    /// Stops the broker as hard as it can be stopped.
    pub fn stop_broker(&mut self) {
        match &mut self.local_broker {
            Some(broker) => broker.kill(),
            None => drop(services("stop")),
        }
    }

    /// Starts the broker. The embedded one has forgotten everything.
    pub fn start_broker(&mut self) {
        match &mut self.local_broker {
            Some(broker) => broker.start(),
            None => drop(services("start")),
        }
    }
}

/// Calls the script that runs Kafka, and returns what it says on standard output.
fn services(what: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let done = Command::new("bash")
        .args(["scripts/services.sh", what, "kafka"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .expect("bash can be run");
    assert!(done.status.success(), "scripts/services.sh {what} kafka failed");
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}
