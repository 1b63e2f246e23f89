//! What holds of everything that claim_process reads, whatever it was read from.

pub mod memory;

use claim_process::domain::field::Field;
use claim_process::domain::raw_claim::RawClaim;
use claim_process::domain::limits::Limits;
use claim_process::domain::rules::rule_set::RuleSet;
use claim_process::domain::rules::{default_severities, parse_errors};
use jiff::Timestamp;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What a claim of so many bytes may take in memory: a list of findings, and for each empty line of two bytes, or unknown
/// name, what is kept of it.
pub const fn memory_of_claim(bytes: usize) -> usize {
    2 * 1024 * 1024 + 256 * bytes
}

/// The day on which claims are read: 1 April 2018.
const NOW: Timestamp = Timestamp::constant(1_522_540_800, 0);

/// More than any message has.
const LONGEST_MESSAGE: usize = 1024;

/// More of a value than any message has by chance.
const LONG_RUN: usize = 24;

/// Puts a claim before the rules: it is taken or refused with a reason, and nothing that is said shows what it holds.
pub fn judge(raw_claim: &RawClaim) {
    let limits = Limits::default();
    let findings = match RuleSet::new(default_severities(), limits, None).accept(raw_claim, NOW) {
        Ok((claim, warnings)) => {
            assert_eq!(claim.lines.len(), raw_claim.line_count());
            warnings
        }
        Err(findings) => {
            assert!(!findings.is_empty(), "a claim is refused without a reason");
            findings
        }
    };
    assert!(findings.len() <= limits.max_findings + 1);
    let values: HashSet<u64> = (1..=raw_claim.line_count().min(limits.max_lines))
        .flat_map(|line| Field::ALL.into_iter().filter_map(move |field| raw_claim.text(Some(line), field)))
        .filter_map(|text| text.as_bytes().get(..LONG_RUN).map(hash))
        .collect();
    for finding in findings {
        assert!(finding.message.len() <= LONGEST_MESSAGE, "{} has a long message", finding.code());
        assert!(
            finding.sent_as.as_ref().is_none_or(|name| name.len() <= LONGEST_MESSAGE),
            "{} has a long name",
            finding.code()
        );
        let shows_a_value = finding.message.as_bytes().windows(LONG_RUN).any(|run| values.contains(&hash(run)));
        // The names under which a field was sent are said, and may be what a value is, too.
        let says_names = finding.code() == parse_errors::SENT_TWICE.code;
        assert!(says_names || !shows_a_value, "{} shows a value", finding.code());
    }
}

/// Texts are compared by this: the fuzzer looks on when texts are, and would write the messages into its inputs.
fn hash(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// What is said of a body that cannot be read is short, so it is not the body.
pub fn is_short(why: &str) {
    assert!(why.len() <= LONGEST_MESSAGE);
}
