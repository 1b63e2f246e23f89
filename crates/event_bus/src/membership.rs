//! What librdkafka's statistics show of a consumer: whether it is a member of its group, and which partitions it reads.

use serde::Deserialize;
use std::collections::HashMap;

/// The part of librdkafka's statistics that is read.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Statistics {
    cgrp: Option<Group>,
    #[serde(default)]
    topics: HashMap<String, Topic>,
}

#[derive(Debug, Deserialize)]
struct Group {
    state: String,
    join_state: String,
}

#[derive(Debug, Deserialize)]
struct Topic {
    partitions: HashMap<String, Partition>,
}

#[derive(Debug, Deserialize)]
struct Partition {
    partition: i32,
    fetch_state: String,
    committed_offset: i64,
    /// -1 after a fetch that the broker refused.
    hi_offset: i64,
}

/// The state of a member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Membership {
    /// Whether it is a member that has its assignment. There may be no partition in it, if there are more members than partitions.
    pub(crate) is_member: bool,
    /// Whether the last fetch of each assigned partition was answered with messages or with none, and not refused.
    pub(crate) reads: bool,
    /// The committed offsets of the assigned partitions that have one, by partition.
    pub(crate) committed: Vec<(i32, i64)>,
}

impl Membership {
    /// Reads the statistics of a consumer of `topic`.
    pub(crate) fn parse(statistics: &[u8], topic: &str) -> Option<Self> {
        let Statistics { cgrp, topics } = serde_json::from_slice(statistics).ok()?;
        let cgrp = cgrp?;
        let assigned: Vec<&Partition> = topics
            .get(topic)
            .into_iter()
            .flat_map(|topic| topic.partitions.values())
            .filter(|partition| partition.fetch_state == "active")
            .collect();
        Some(Self {
            is_member: cgrp.state == "up" && cgrp.join_state == "steady",
            reads: assigned.iter().all(|partition| partition.hi_offset >= 0),
            committed: assigned
                .iter()
                .filter(|partition| partition.committed_offset >= 0)
                .map(|partition| (partition.partition, partition.committed_offset))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(state: &str, join_state: &str, hi_offset: i64) -> Membership {
        let text = format!(
            r#"{{"name": "x", "topics": {{"claims": {{"topic": "claims", "partitions": {{
                "0": {{"partition": 0, "fetch_state": "active", "committed_offset": 7, "hi_offset": {hi_offset}, "broker": 1}},
                "1": {{"partition": 1, "fetch_state": "none", "committed_offset": 9, "hi_offset": -1}},
                "2": {{"partition": 2, "fetch_state": "active", "committed_offset": -1001, "hi_offset": 0}}}}}}}},
              "cgrp": {{"state": "{state}", "stateage": 1, "join_state": "{join_state}", "assignment_size": 2}}}}"#
        );
        Membership::parse(text.as_bytes(), "claims").unwrap()
    }

    #[test]
    fn a_member_has_a_coordinator_and_its_assignment_and_reads_what_is_assigned() {
        assert_eq!(parsed("up", "steady", 8), Membership { is_member: true, reads: true, committed: vec![(0, 7)] });
        assert!(!parsed("wait-coord", "steady", 8).is_member);
        assert!(!parsed("up", "wait-join", 8).is_member);
        assert!(!parsed("up", "steady", -1).reads);
        assert_eq!(Membership::parse(b"{}", "claims"), None);
        assert_eq!(Membership::parse(b"no statistics", "claims"), None);
    }
}
