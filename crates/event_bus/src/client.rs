//! What every Kafka client here shares: the base configuration, librdkafka's log, and error messages that name the settings to
//! check.

use crate::KafkaSettings;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::{Mutex, PoisonError};

/// The base configuration of producers and consumers.
pub(crate) fn configuration(settings: &KafkaSettings) -> ClientConfig {
    let mut configuration = ClientConfig::new();
    configuration
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", &settings.consumer.group_id)
        .set("message.max.bytes", settings.max_message_bytes.to_string())
        // Also how soon a consumer that started before its topic existed finds it.
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true")
        .set("allow.auto.create.topics", "false")
        // `LastBrokerError` reads why a broker closed a connection from the lines of this level.
        .set_log_level(RDKafkaLogLevel::Info);
    settings.security.apply(&mut configuration);
    configuration
}

/// Logs a line of librdkafka's log. Reconnects are logged at debug: the health check reports whether the cluster answers.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, "librdkafka: {message}");
        }
        _ => tracing::debug!(facility, "librdkafka: {message}"),
    }
}

/// Logs an error that librdkafka passes to its error callback. librdkafka retries by itself.
pub(crate) fn error(error: &KafkaError, reason: &str) {
    tracing::debug!(%error, "librdkafka: {reason}");
}

/// Why the last attempt to connect to a broker failed. The error of a request is only a time-out; librdkafka passes the
/// reason to its error callback and its log.
#[derive(Debug, Default)]
pub(crate) struct LastBrokerError(Mutex<Option<(RDKafkaErrorCode, String)>>);

impl LastBrokerError {
    /// Keeps an error from librdkafka's error callback.
    pub(crate) fn note(&self, error: &KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // This follows the error with the reason and carries none.
            None | Some(RDKafkaErrorCode::AllBrokersDown) => {}
            Some(code) => self.keep(code, reason),
        }
    }

    /// Keeps that a broker closed the connection, which librdkafka only logs and does not report as an error.
    pub(crate) fn note_line(&self, facility: &str, line: &str) {
        if facility == "FAIL" && line.contains("Disconnected") {
            let (_thread, reason) = line.split_once("]: ").unwrap_or(("", line));
            self.keep(RDKafkaErrorCode::BrokerTransportFailure, reason);
        }
    }

    fn keep(&self, code: RDKafkaErrorCode, reason: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, reason.to_owned()));
    }

    /// Forgets the error, because the brokers answered.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A sentence that names the settings to check when a request fails with `error`.
    pub(crate) fn sentence(&self, error: &KafkaError) -> String {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last.as_ref() {
            Some((RDKafkaErrorCode::Authentication, reason)) => format!(
                "Kafka rejects this user ({reason}): check the settings kafka.security.sasl_username, \
                 sasl_password, sasl_mechanism and protocol"
            ),
            Some((RDKafkaErrorCode::SSL, reason)) => format!(
                "the TLS connection to Kafka failed ({reason}): check the settings kafka.security.protocol, ca_file, \
                 certificate_file and key_file"
            ),
            // The broker closed an established connection: the protocol is another one, or the broker is stopping.
            Some((RDKafkaErrorCode::BrokerTransportFailure, reason)) if !reason.contains("state CONNECT") => format!(
                "the Kafka brokers close the connection ({reason}): check the setting kafka.security.protocol, which must be \
                 the protocol of this port"
            ),
            _ => format!("the Kafka brokers do not answer ({error}): check the setting kafka.brokers"),
        }
    }
}
