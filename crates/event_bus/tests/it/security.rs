//! Authentication and TLS against a real Kafka, and error messages that name the settings to check. These tests need the Kafka
//! of `scripts/services.sh`, whose listeners require a user.

use crate::bus::{Recorder, outgoing, publish, settings_for};
use dual_db::Database;
use event_bus::{
    Consumer, KafkaSettings, MIGRATIONS, OutgoingMessage, Protocol, Relay, SaslMechanism, SecuritySettings,
};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use test_support::kafka::{brokers_of_services, services};
use test_support::{PATIENCE, TestDatabase, on_kafka, unique, wait_until};

/// The settings for the listener of this name, which requires a user.
pub fn settings_of(listener: &str) -> KafkaSettings {
    // No other Kafka has this user.
    brokers_of_services();
    let environment = services(&["env", "kafka", listener]);
    let value =
        |name: &str| environment.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap_or_default();
    let mut settings = settings_for(value("KAFKA__BROKERS"), &unique("security_group"));
    settings.security.protocol = match value("KAFKA__SECURITY__PROTOCOL") {
        "sasl_ssl" => Protocol::SaslSsl,
        _ => Protocol::SaslPlaintext,
    };
    settings.security.sasl_username = value("KAFKA__SECURITY__SASL_USERNAME").to_owned();
    settings.security.sasl_password = value("KAFKA__SECURITY__SASL_PASSWORD").into();
    settings.security.ca_file = value("KAFKA__SECURITY__CA_FILE").to_owned();
    settings
}

/// A fresh database with the tables of the bus.
pub fn migrated() -> TestDatabase {
    let test = TestDatabase::sqlite();
    test.database().migrate(&[&MIGRATIONS]).unwrap();
    test
}

/// Creates a topic, publishes messages and consumes them.
fn publish_and_consume(settings: &KafkaSettings) {
    let test = migrated();
    let database = test.database();
    let topic = unique("security_topic");
    let relay = Relay::start(database, settings).unwrap();
    // A JVM that has just started is slow.
    let timeout = Duration::from_secs(5);
    wait_until("the topic is there", || {
        relay.check(&[&topic], timeout).inspect_err(|error| eprintln!("{error}")).is_ok()
    });
    let recorder = Recorder::new();
    let consumer = Consumer::start(settings, &topic, database.clone(), recorder.clone()).unwrap();
    let messages: Vec<OutgoingMessage> =
        (0..20).map(|n| OutgoingMessage { topic: topic.clone(), ..outgoing(n) }).collect();
    publish(&relay, &messages);
    recorder.wait_for(20);
    consumer.stop().unwrap();
    relay.stop();
}

/// The error of the health check, once it contains `awaited`.
fn refusal(database: &Database, settings: &KafkaSettings, awaited: &str) -> String {
    let relay = Relay::start(database, settings).unwrap();
    let until = Instant::now() + PATIENCE;
    let error = loop {
        let error = relay.check(&["any"], Duration::from_millis(500)).expect_err("the connection is refused");
        if error.contains(awaited) || Instant::now() > until {
            break error;
        }
    };
    relay.stop();
    assert!(error.contains(awaited) && !error.contains('\n'), "{error}");
    error
}

on_kafka! {
    #[test]
    fn a_user_authenticates_with_each_mechanism_on_kafka() {
        let mut settings = settings_of("sasl_plaintext");
        for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha512] {
            settings.security.sasl_mechanism = mechanism;
            publish_and_consume(&settings);
        }
    }

    #[test]
    fn a_user_authenticates_over_tls_with_and_without_a_certificate_on_kafka() {
        let mut settings = settings_of("sasl_ssl");
        publish_and_consume(&settings);
        let key = PathBuf::from(&settings.security.ca_file).with_file_name("key.pem");
        settings.security.certificate_file = settings.security.ca_file.clone();
        settings.security.key_file = key.display().to_string();
        publish_and_consume(&settings);
    }

    #[test]
    fn a_wrong_password_is_reported_and_not_shown_on_kafka() {
        let test = migrated();
        for listener in ["sasl_plaintext", "sasl_ssl"] {
            let mut settings = settings_of(listener);
            settings.security.sasl_password = "hunter2hunter2".into();
            let error = refusal(test.database(), &settings, "kafka.security.sasl_username");
            assert!(error.contains("sasl_password") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_wrong_protocol_is_reported_on_kafka() {
        let test = migrated();
        let sasl = settings_of("sasl_plaintext");
        let tls = settings_of("sasl_ssl");
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
    fn a_broker_with_an_untrusted_certificate_is_refused_on_kafka() {
        let test = migrated();
        let mut settings = settings_of("sasl_ssl");
        settings.security.ca_file = String::new();
        refusal(test.database(), &settings, "kafka.security.protocol, ca_file");
        settings.security.ca_file = "/nowhere/ca.pem".to_owned();
        let refused = Relay::start(test.database(), &settings).expect_err("there is no such file");
        let error = format!("{refused:#}");
        assert!(error.contains("ssl.ca.location") && !error.contains('\n'), "{error}");
    }
}
