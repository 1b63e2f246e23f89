//! What every Kafka client here shares: where the cluster is, who we are to it, where librdkafka's own words go, and what
//! they mean for whoever has to put the settings right.

use crate::KafkaSettings;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::{Mutex, PoisonError};

/// The configuration that producers and consumers start from.
pub(crate) fn configuration(settings: &KafkaSettings) -> ClientConfig {
    let mut configuration = ClientConfig::new();
    configuration
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", &settings.consumer.group_id)
        .set("message.max.bytes", settings.max_message_bytes.to_string())
        // Also how soon a consumer that came before its topic finds it.
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true")
        .set("allow.auto.create.topics", "false")
        // Down to the lines that tell why a broker hung up; see `LastTrouble`.
        .set_log_level(RDKafkaLogLevel::Info);
    settings.security.apply(&mut configuration);
    configuration
}

/// A line of librdkafka's log. Its own reconnecting is not news to anybody: health tells whether the cluster answers.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, "librdkafka: {message}");
        }
        _ => tracing::debug!(facility, "librdkafka: {message}"),
    }
}

/// An error that librdkafka reports on the side; it retries by itself.
pub(crate) fn error(error: &KafkaError, reason: &str) {
    tracing::debug!(%error, "librdkafka: {reason}");
}

/// Why the brokers could not be used when one was last tried. A request that got no answer knows only that; librdkafka
/// reports the reason on the side.
#[derive(Debug, Default)]
pub(crate) struct LastTrouble(Mutex<Option<(RDKafkaErrorCode, String)>>);

impl LastTrouble {
    /// Keeps an error that was reported on the side.
    pub(crate) fn note(&self, error: &KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // This comes after the reason and says less.
            None | Some(RDKafkaErrorCode::AllBrokersDown) => {}
            Some(code) => self.keep(code, reason),
        }
    }

    /// Keeps that a broker hung up, which is only a line in librdkafka's log and no error to it.
    pub(crate) fn note_line(&self, facility: &str, line: &str) {
        if facility == "FAIL" && line.contains("Disconnected") {
            let (_thread, reason) = line.split_once("]: ").unwrap_or(("", line));
            self.keep(RDKafkaErrorCode::BrokerTransportFailure, reason);
        }
    }

    fn keep(&self, code: RDKafkaErrorCode, reason: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, reason.to_owned()));
    }

    /// The brokers answer.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A sentence that says what to check when a request fails with `error`.
    pub(crate) fn sentence(&self, error: &KafkaError) -> String {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last.as_ref() {
            Some((RDKafkaErrorCode::Authentication, reason)) => format!(
                "Kafka does not let this user in ({reason}): check the settings kafka.security.sasl_username, \
                 sasl_password, sasl_mechanism and protocol"
            ),
            Some((RDKafkaErrorCode::SSL, reason)) => format!(
                "there is no TLS connection to Kafka ({reason}): check the settings kafka.security.protocol, ca_file, \
                 certificate_file and key_file"
            ),
            // Connected, and then hung up on: not what these brokers expect to hear, unless they are just stopping.
            Some((RDKafkaErrorCode::BrokerTransportFailure, reason)) if !reason.contains("state CONNECT") => format!(
                "the Kafka brokers hang up ({reason}): check the setting kafka.security.protocol, which must be what they \
                 speak at this port"
            ),
            _ => format!("the Kafka brokers do not answer ({error}): check the setting kafka.brokers"),
        }
    }
}
