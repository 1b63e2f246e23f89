//! Creates missing topics, with the number of partitions that the settings require. An existing topic with another number is
//! reported and never altered: the key decides the partition, so a change would spread the events of one key over two.

use crate::{KafkaSettings, client};
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use std::time::Duration;

struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::error(&error, reason);
    }
}

/// The `topics` that the cluster does not have.
///
/// # Errors
/// A sentence when it has one with other partitions than the settings say.
pub(crate) fn missing<'a>(
    metadata: &Metadata,
    settings: &KafkaSettings,
    topics: &[&'a str],
) -> Result<Vec<&'a str>, String> {
    let wanted = settings.topics.partitions;
    let mut missing = Vec::new();
    for topic in topics {
        match metadata.topics().iter().find(|found| found.name() == *topic) {
            None => missing.push(*topic),
            Some(found) if i32::try_from(found.partitions().len()) == Ok(wanted) => {}
            Some(found) => {
                return Err(format!(
                    "the topic {topic} has {} partitions where the setting kafka.topics.partitions says {wanted}: \
                     set that to {0}, or cut over to a new topic; a topic is never altered",
                    found.partitions().len()
                ));
            }
        }
    }
    Ok(missing)
}

/// Creates topics. Blocks for a bounded time.
///
/// # Errors
/// A sentence when the brokers do not answer or refuse.
pub(crate) fn create(settings: &KafkaSettings, topics: &[&str]) -> Result<(), String> {
    let wait = Duration::from_millis(settings.topics.create_timeout_ms);
    let failed = |error: KafkaError| format!("topics could not be created ({error}): check the setting kafka.brokers");
    let admin: AdminClient<Context> = client::configuration(settings).create_with_context(Context).map_err(failed)?;
    let retention_ms = settings.topics.retention_ms.to_string();
    let new: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|topic| {
            NewTopic::new(
                topic,
                settings.topics.partitions,
                TopicReplication::Fixed(settings.topics.replication_factor),
            )
            .set("retention.ms", &retention_ms)
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(wait)).request_timeout(Some(wait));
    let results = futures_executor::block_on(admin.create_topics(&new, &options)).map_err(failed)?;
    for result in results {
        match result {
            Ok(topic) => tracing::info!(topic, "topic created"),
            // Another instance created it first.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, error)) => {
                return Err(format!(
                    "the topic {topic} could not be created ({error}): create it by hand or allow this user to"
                ));
            }
        }
    }
    Ok(())
}
