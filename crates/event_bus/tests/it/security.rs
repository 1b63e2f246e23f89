//! Kafka lets in who proves who it is, over TLS where that is wanted, and whoever is not let in reads what to check. This
//! needs the Kafka of `scripts/services.sh`, whose listeners want a user.

use crate::bus::{PATIENCE, Recorder, outgoing, settings_for, wait_until};
use dual_db::Database;
use dual_db::testing::{TestDatabase, note_skipped};
use event_bus::{
    Consumer, KafkaSettings, MIGRATIONS, OutgoingMessage, Protocol, Relay, SaslMechanism, SecuritySettings,
};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Names the Kafka that `scripts/services.sh` runs.
const KAFKA_VARIABLE: &str = "TEST_KAFKA_BROKERS";

/// What the script says, on standard output.
fn services(arguments: &[&str]) -> String {
    let said = Command::new("bash")
        .arg("scripts/services.sh")
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .output()
        .expect("bash can be run");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

/// The settings for the listener of this name, which wants a user; `None`, noted as skipped, where there is no Kafka.
fn settings_of(listener: &str) -> Option<KafkaSettings> {
    let Ok(brokers) = std::env::var(KAFKA_VARIABLE) else {
        note_skipped(&format!("{KAFKA_VARIABLE} names no Kafka"));
        return None;
    };
    // Nobody else's Kafka has this user.
    assert_eq!(brokers, services(&["env", "kafka"]), "{KAFKA_VARIABLE} must name the Kafka of scripts/services.sh");
    let told = services(&["env", "kafka", listener]);
    let value = |name: &str| told.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap_or_default();
    let mut settings = settings_for(value("KAFKA__BROKERS"), &unique("group"));
    // A JVM that has just begun takes its time.
    settings.health_interval_ms = 5_000;
    settings.security.protocol = match value("KAFKA__SECURITY__PROTOCOL") {
        "sasl_ssl" => Protocol::SaslSsl,
        _ => Protocol::SaslPlaintext,
    };
    settings.security.sasl_username = value("KAFKA__SECURITY__SASL_USERNAME").to_owned();
    settings.security.sasl_password = value("KAFKA__SECURITY__SASL_PASSWORD").into();
    settings.security.ca_file = value("KAFKA__SECURITY__CA_FILE").to_owned();
    Some(settings)
}

fn unique(name: &str) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    format!("security-{name}-{}-{}", std::process::id(), since.as_nanos())
}

fn migrated() -> TestDatabase {
    let test = TestDatabase::sqlite();
    test.database().migrate(&[&MIGRATIONS]).unwrap();
    test
}

/// The topic is made, messages go out and come in.
fn a_message_goes_round(settings: &KafkaSettings) {
    let test = migrated();
    let database = test.database();
    let topic = unique("topic");
    let relay = Relay::start(database, settings).unwrap();
    wait_until("the topic is there", || relay.check(&[&topic]).inspect_err(|said| eprintln!("{said}")).is_ok());
    let recorder = Recorder::new();
    let consumer = Consumer::start(settings, &topic, database.clone(), recorder.clone()).unwrap();
    let messages: Vec<OutgoingMessage> =
        (0..20).map(|n| OutgoingMessage { topic: topic.clone(), ..outgoing(n) }).collect();
    let rows = database.write(|connection| {
        let now_us = connection.now_us()?;
        relay.enqueue(connection, &messages, now_us)
    });
    relay.hand_off(&rows.unwrap());
    recorder.wait_for(20);
    consumer.stop().unwrap();
    relay.stop();
}

/// What readiness says, once it knows why.
fn refusal(database: &Database, settings: &KafkaSettings, awaited: &str) -> String {
    let settings = KafkaSettings { health_interval_ms: 500, ..settings.clone() };
    let relay = Relay::start(database, &settings).unwrap();
    let until = Instant::now() + PATIENCE;
    let said = loop {
        let said = relay.check(&["any"]).expect_err("nobody gets in like this");
        if said.contains(awaited) || Instant::now() > until {
            break said;
        }
    };
    relay.stop();
    assert!(said.contains(awaited) && !said.contains('\n'), "{said}");
    said
}

#[test]
fn a_user_is_let_in_by_each_mechanism_on_kafka() {
    let Some(mut settings) = settings_of("sasl_plaintext") else { return };
    for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha512] {
        settings.security.sasl_mechanism = mechanism;
        a_message_goes_round(&settings);
    }
}

#[test]
fn a_user_is_let_in_over_tls_with_and_without_a_certificate_on_kafka() {
    let Some(mut settings) = settings_of("sasl_ssl") else { return };
    a_message_goes_round(&settings);
    let key = PathBuf::from(&settings.security.ca_file).with_file_name("key.pem");
    settings.security.certificate_file = settings.security.ca_file.clone();
    settings.security.key_file = key.display().to_string();
    a_message_goes_round(&settings);
}

#[test]
fn a_wrong_password_is_told_as_such_and_not_shown_on_kafka() {
    let test = migrated();
    for listener in ["sasl_plaintext", "sasl_ssl"] {
        let Some(mut settings) = settings_of(listener) else { return };
        settings.security.sasl_password = "hunter2hunter2".into();
        let said = refusal(test.database(), &settings, "kafka.security.sasl_username");
        assert!(said.contains("sasl_password") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn another_protocol_than_the_listener_speaks_is_told_as_such_on_kafka() {
    let test = migrated();
    let Some(sasl) = settings_of("sasl_plaintext") else { return };
    let Some(tls) = settings_of("sasl_ssl") else { return };
    let with = |settings: &KafkaSettings, security: &SecuritySettings| {
        refusal(test.database(), &KafkaSettings { security: security.clone(), ..settings.clone() }, "protocol");
    };
    let nothing = SecuritySettings::default();
    with(&sasl, &nothing);
    with(&tls, &nothing);
    with(&sasl, &tls.security);
    with(&tls, &sasl.security);
    let plain = KafkaSettings { brokers: services(&["env", "kafka"]), ..sasl.clone() };
    with(&plain, &sasl.security);
    with(&plain, &tls.security);
}

#[test]
fn a_broker_that_no_authority_vouches_for_is_not_trusted_on_kafka() {
    let test = migrated();
    let Some(mut settings) = settings_of("sasl_ssl") else { return };
    settings.security.ca_file = String::new();
    refusal(test.database(), &settings, "kafka.security.protocol, ca_file");
    settings.security.ca_file = "/nowhere/ca.pem".to_owned();
    let said = Relay::start(test.database(), &settings).expect_err("there is no such file");
    assert!(said.contains("ssl.ca.location") && !said.contains('\n'), "{said}");
}
