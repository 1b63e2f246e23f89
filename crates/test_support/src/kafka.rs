//! The Kafka that `scripts/services.sh` runs. Tests stop and wipe it, so they take no other. Also runs that script for a test's own
//! servers.

use crate::kafka_brokers;
use std::path::Path;
use std::process::{Command, Stdio};

/// The Kafka that `TEST_KAFKA_BROKERS` names.
///
/// # Panics
/// If it names no Kafka, or one that `scripts/services.sh` does not run.
pub fn brokers_of_services() -> String {
    let brokers = kafka_brokers();
    // Only a Kafka that the script runs has the users, and may be wiped and stopped.
    let own = services(&["env", "kafka"]);
    assert_eq!(brokers, own, "TEST_KAFKA_BROKERS must name the Kafka of scripts/services.sh");
    brokers
}

/// Runs `scripts/services.sh`, and returns its standard output.
///
/// # Panics
/// If it fails.
pub fn services(arguments: &[&str]) -> String {
    services_with(&[], arguments)
}

/// Like [`services`], with environment variables.
///
/// # Panics
/// If it fails.
pub fn services_with(environment: &[(&str, &str)], arguments: &[&str]) -> String {
    let done = Command::new("bash")
        .envs(environment.iter().copied())
        .arg("scripts/services.sh")
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .stderr(Stdio::inherit())
        .output()
        .expect("bash can be run");
    assert!(done.status.success(), "scripts/services.sh {arguments:?} failed");
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}
