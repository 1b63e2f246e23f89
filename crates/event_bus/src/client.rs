//! What every Kafka client here shares: where the cluster is, and where librdkafka's own words go.

use crate::KafkaSettings;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

/// The configuration that producers and consumers start from.
pub(crate) fn configuration(settings: &KafkaSettings) -> ClientConfig {
    let mut configuration = ClientConfig::new();
    configuration
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", env!("CARGO_PKG_NAME"))
        .set("message.max.bytes", settings.max_message_bytes.to_string())
        // Also how soon a consumer that came before its topic finds it.
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true")
        .set("allow.auto.create.topics", "false")
        .set_log_level(RDKafkaLogLevel::Warning);
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
