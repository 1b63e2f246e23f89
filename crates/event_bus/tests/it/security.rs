//! Kafka lets in who proves who it is, over TLS where that is wanted, and whoever is not let in reads what to check. This
//! needs the Kafka of `scripts/services.sh`, whose listeners want a user.

use crate::bus::{Recorder, outgoing, publish, settings_for};
use dual_db::Database;
use event_bus::{
    Consumer, KafkaSettings, MIGRATIONS, OutgoingMessage, Protocol, Relay, SaslMechanism, SecuritySettings,
};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use test_support::kafka::{brokers_of_services, services};
use test_support::{PATIENCE, TestDatabase, on_kafka, unique, wait_until};

/// The settings for the listener of this name, which wants a user.
fn settings_of(listener: &str) -> KafkaSettings {
    // No other Kafka has this user.
    brokers_of_services();
    let told = services(&["env", "kafka", listener]);
    let value = |name: &str| told.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap_or_default();
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

fn migrated() -> TestDatabase {
    let test = TestDatabase::sqlite();
    test.database().migrate(&[&MIGRATIONS]).unwrap();
    test
}

/// The topic is made, messages go out and come in.
fn a_message_goes_round(settings: &KafkaSettings) {
    let test = migrated();
    let database = test.database();
    let topic = unique("security_topic");
    let relay = Relay::start(database, settings).unwrap();
    // A JVM that has just begun takes its time.
    let timeout = Duration::from_secs(5);
    wait_until("the topic is there", || {
        relay.check(&[&topic], timeout).inspect_err(|said| eprintln!("{said}")).is_ok()
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

/// What readiness says, once it knows why.
fn refusal(database: &Database, settings: &KafkaSettings, awaited: &str) -> String {
    let relay = Relay::start(database, settings).unwrap();
    let until = Instant::now() + PATIENCE;
    let said = loop {
        let said = relay.check(&["any"], Duration::from_millis(500)).expect_err("nobody gets in like this");
        if said.contains(awaited) || Instant::now() > until {
            break said;
        }
    };
    relay.stop();
    assert!(said.contains(awaited) && !said.contains('\n'), "{said}");
    said
}

on_kafka! {
    #[test]
    fn a_user_is_let_in_by_each_mechanism_on_kafka() {
        let mut settings = settings_of("sasl_plaintext");
        for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha512] {
            settings.security.sasl_mechanism = mechanism;
            a_message_goes_round(&settings);
        }
    }

    #[test]
    fn a_user_is_let_in_over_tls_with_and_without_a_certificate_on_kafka() {
        let mut settings = settings_of("sasl_ssl");
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
            let mut settings = settings_of(listener);
            settings.security.sasl_password = "hunter2hunter2".into();
            let said = refusal(test.database(), &settings, "kafka.security.sasl_username");
            assert!(said.contains("sasl_password") && !said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn another_protocol_than_the_listener_speaks_is_told_as_such_on_kafka() {
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
    fn a_broker_that_no_authority_vouches_for_is_not_trusted_on_kafka() {
        let test = migrated();
        let mut settings = settings_of("sasl_ssl");
        settings.security.ca_file = String::new();
        refusal(test.database(), &settings, "kafka.security.protocol, ca_file");
        settings.security.ca_file = "/nowhere/ca.pem".to_owned();
        let refused = Relay::start(test.database(), &settings).expect_err("there is no such file");
        let said = format!("{refused:#}");
        assert!(said.contains("ssl.ca.location") && !said.contains('\n'), "{said}");
    }
}
