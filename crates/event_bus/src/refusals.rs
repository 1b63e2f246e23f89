//! What the brokers refuse to this client for want of a right (an ACL): logged once when it begins and once when it ends, and
//! part of the client's readiness meanwhile.

use crate::{KafkaSettings, Protocol};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// An operation that needs a right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    /// To be a member of this consumer group.
    ReadGroup(String),
    /// To consume this topic.
    ReadTopic(String),
    /// To publish to this topic.
    WriteTopic(String),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadGroup(group) => write!(f, "Read on the group {group}"),
            Self::ReadTopic(topic) => write!(f, "Read on the topic {topic}"),
            Self::WriteTopic(topic) => write!(f, "Write on the topic {topic}"),
        }
    }
}

/// The refusals of one client.
#[derive(Debug)]
pub(crate) struct Refusals {
    user: String,
    known: Mutex<BTreeMap<Operation, Refusal>>,
}

#[derive(Debug)]
struct Refusal {
    reason: String,
    since: Instant,
}

impl Refusals {
    pub(crate) fn new(settings: &KafkaSettings) -> Self {
        let security = &settings.security;
        let user = match security.protocol {
            Protocol::SaslPlaintext | Protocol::SaslSsl => &security.sasl_username,
            Protocol::Ssl if !security.certificate_file.is_empty() => "of kafka.security.certificate_file",
            Protocol::Ssl | Protocol::Plaintext => "ANONYMOUS",
        };
        Self { user: user.to_owned(), known: Mutex::default() }
    }

    /// The brokers refuse an operation, for their `reason`.
    pub(crate) fn begins(&self, operation: &Operation, reason: &str) {
        let mut known = self.known();
        let before = known.insert(operation.clone(), Refusal { reason: reason.to_owned(), since: Instant::now() });
        drop(known);
        if before.is_some() {
            return;
        }
        let (refused, user) = (tracing::field::display(operation), &self.user);
        let check = "the ACLs of this user, and the settings kafka.security.sasl_username and kafka.consumer.group_id";
        match operation {
            Operation::ReadGroup(_) => {
                tracing::warn!(refused, user, reason, check, "kafka refuses: group authorization failed");
            }
            Operation::ReadTopic(_) | Operation::WriteTopic(_) => {
                tracing::warn!(refused, user, reason, check, "kafka refuses: topic authorization failed");
            }
        }
    }

    /// The brokers do not refuse the operation. `evidence` is older than what shows that: a refusal since then stands.
    pub(crate) fn ends(&self, operation: &Operation, evidence: Instant) {
        let mut known = self.known();
        if known.get(operation).is_none_or(|refusal| refusal.since >= evidence) {
            return;
        }
        known.remove(operation);
        drop(known);
        tracing::info!(allowed = %operation, user = self.user, "kafka no longer refuses");
    }

    /// A sentence about the refusals that last, if there are any.
    pub(crate) fn sentence(&self) -> Option<String> {
        let known = self.known();
        let (operation, refusal) = known.first_key_value()?;
        Some(format!("Kafka refuses {operation} to the user {} ({}): grant it by an ACL", self.user, refusal.reason))
    }

    /// Whether the brokers refuse nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.known().is_empty()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Operation, Refusal>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_lasts_until_later_evidence_ends_it() {
        let refusals = Refusals::new(&KafkaSettings::for_group("claims"));
        let before = Instant::now();
        let group = Operation::ReadGroup("claims".to_owned());
        refusals.begins(&group, "Group authorization failed");
        refusals.ends(&group, before);
        refusals.ends(&Operation::ReadTopic("claims".to_owned()), Instant::now());
        let sentence = refusals.sentence().unwrap();
        assert_eq!(
            sentence,
            "Kafka refuses Read on the group claims to the user ANONYMOUS (Group authorization failed): grant it by an ACL"
        );
        refusals.ends(&group, Instant::now() + std::time::Duration::from_nanos(1));
        assert!(refusals.sentence().is_none() && refusals.is_empty());
    }
}
