//! What becomes of each claim of a group, decided over facts that the database holds. Pure: it runs no query.
//!
//! The claims are decided in their order, and each sees what was decided for those before it: two claims of one group with
//! the same key, the same `external_claim_id` (by its canonical form) or the same content meet each other as they would in two groups.

use super::submission::Submission;
use crate::db::duplicates::ContentDigest;
use crate::db::idempotency::Holder;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// What the database holds that claims of the group meet.
#[derive(Debug, Default)]
pub struct Facts {
    /// The holder of each idempotency key. Keys that were free are held by claims of the group itself.
    pub key_holders: HashMap<String, Holder>,
    /// The oldest active claim (submitted or settled) of each content digest.
    pub active_claims: HashMap<ContentDigest, String>,
    /// The claim that has each `external_claim_id`, by its canonical form.
    pub external_id_holders: HashMap<String, String>,
    /// Claims of the group that an earlier try stored. Needed only of those that [`may_be_refused_as_duplicate`] names.
    pub stored: HashSet<String>,
}

/// What becomes of a claim. Claims are named by their public ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is inserted, unless an earlier try stored it.
    Insert {
        /// The active claim with the same content, of which its sender is warned.
        duplicate_of: Option<String>,
    },
    /// It repeats the request with this index in the group, and is answered like that.
    RepeatOf(usize),
    /// The same request was stored before.
    Replay {
        /// The claim that it made.
        claim_id: String,
    },
    /// Its key was used with another body.
    KeyReused,
    /// It is refused: an active claim has the same content.
    LikelyDuplicate {
        /// The active claim.
        duplicate_of: String,
    },
    /// It is refused: another claim has its `external_claim_id`.
    ExternalIdTaken {
        /// The claim that has it.
        claim_id: String,
    },
}

/// Decides each claim of a group, in its order.
pub fn decide(group: &[Submission], facts: &Facts) -> Vec<Decision> {
    let indexes = group.iter().enumerate().map(|(index, submission)| (submission.id(), index)).collect();
    let mut met = Met {
        facts,
        indexes,
        active_claims: facts.active_claims.iter().map(|(digest, id)| (digest, id.as_str())).collect(),
        external_keys: facts.external_id_holders.iter().map(|(key, id)| (key.as_str().into(), id.as_str())).collect(),
    };
    group.iter().map(|submission| met.by_key(submission).unwrap_or_else(|| met.by_content(submission))).collect()
}

/// Whether no other request holds its key, so that its content decides.
pub fn has_own_key(submission: &Submission, key_holders: &HashMap<String, Holder>) -> bool {
    other_holder(submission, key_holders).is_none()
}

/// Whether it is refused where `active_claims` holds another claim of its content and no earlier try stored it.
pub fn may_be_refused_as_duplicate(submission: &Submission, active_claims: &HashMap<ContentDigest, String>) -> bool {
    let check = submission.duplicate_check.as_ref().filter(|check| check.refuse);
    check.and_then(|check| active_claims.get(&check.digest)).is_some_and(|id| id != submission.id())
}

/// Whether a group that was decided over facts, and again over later ones, differs only by claims that are refused now
/// because their `external_claim_id` is taken. What was done by the earlier decisions then stays right.
pub fn differ_only_by_taken_ids(earlier: &[Decision], later: &[Decision]) -> bool {
    let mut decisions = earlier.iter().zip(later);
    decisions.all(|(earlier, later)| earlier == later || matches!(later, Decision::ExternalIdTaken { .. }))
}

fn other_holder<'a>(submission: &Submission, key_holders: &'a HashMap<String, Holder>) -> Option<&'a Holder> {
    let holder = key_holders.get(&submission.idempotency.as_ref()?.key)?;
    (holder.claim_id != submission.id()).then_some(holder)
}

/// What a claim meets: the facts, and the claims of its group before it that are stored.
struct Met<'a> {
    facts: &'a Facts,
    /// The indexes of the group's claims, by their ids.
    indexes: HashMap<&'a str, usize>,
    active_claims: HashMap<&'a ContentDigest, &'a str>,
    external_keys: HashMap<Cow<'a, str>, &'a str>,
}

impl<'a> Met<'a> {
    /// What another holder of its key decides.
    fn by_key(&self, submission: &Submission) -> Option<Decision> {
        let holder = other_holder(submission, &self.facts.key_holders)?;
        if submission.idempotency.as_ref().is_some_and(|own| own.body_hash != holder.body_hash) {
            return Some(Decision::KeyReused);
        }
        Some(match self.indexes.get(holder.claim_id.as_str()) {
            Some(first) => Decision::RepeatOf(*first),
            None => Decision::Replay { claim_id: holder.claim_id.clone() },
        })
    }

    /// What its content and its `external_claim_id` decide. A claim that an earlier try stored is met by itself, which
    /// refuses nothing.
    fn by_content(&mut self, submission: &'a Submission) -> Decision {
        let own_id = submission.id();
        let other = |id: &&'a str| -> Option<String> { (*id != own_id).then(|| (*id).to_owned()) };
        let duplicate_of = submission.digest().and_then(|digest| self.active_claims.get(digest)).and_then(other);
        let refuses = submission.duplicate_check.as_ref().is_some_and(|check| check.refuse);
        if refuses
            && !self.facts.stored.contains(own_id)
            && let Some(duplicate_of) = duplicate_of
        {
            return Decision::LikelyDuplicate { duplicate_of };
        }
        let external_key = submission.external_key();
        if let Some(claim_id) = external_key.as_ref().and_then(|key| self.external_keys.get(key)).and_then(other) {
            return Decision::ExternalIdTaken { claim_id };
        }
        if let Some(digest) = submission.digest() {
            self.active_claims.entry(digest).or_insert(own_id);
        }
        if let Some(external_key) = external_key {
            self.external_keys.insert(external_key, own_id);
        }
        Decision::Insert { duplicate_of }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::submission::{IdempotencyKey, Origin};
    use crate::domain::canonical::canonical;
    use crate::domain::identifiers::{Identifier, random_claim_id};
    use crate::domain::limits::Limits;
    use crate::domain::rules::rule::Severity;
    use crate::domain::rules::rule_set::RuleSet;
    use crate::intake::{ReadLimits, read_json};
    use jiff::Timestamp;
    use std::collections::BTreeMap;

    const WARN: Severity = Severity::Warn;
    const REJECT: Severity = Severity::Reject;

    /// A claim whose content is `fee`, under a rule of duplicates with this severity.
    fn claim(fee: u32, severity: Severity) -> Submission {
        let body = format!(
            r#"{{"plan_group": "GRP-1000", "subscriber_id": "3730189502", "provider_npi": "1497775530",
                "service_date": "2018-03-28", "submitted_procedure": "D0180", "provider_fees": "{fee}.00",
                "allowed_fees": "{fee}.00", "member_coinsurance": "0.00", "member_copay": "0.00"}}"#
        );
        let raw_claim = read_json(body.as_bytes(), ReadLimits::default()).expect("it is JSON");
        let severities = BTreeMap::from([("likely_duplicate".to_owned(), severity)]);
        let rules = RuleSet::new(severities, Limits::default(), None);
        let (claim, warnings) = rules.accept(&raw_claim, Timestamp::now()).expect("it breaks no rule");
        Submission {
            claim_id: random_claim_id(),
            duplicate_check: rules.duplicate_check(&claim),
            claim,
            warnings,
            idempotency: None,
            origin: Origin::default(),
        }
    }

    fn with_key(mut claim: Submission, key: &str, body_hash: &str) -> Submission {
        claim.idempotency = Some(IdempotencyKey { key: key.to_owned(), body_hash: body_hash.to_owned() });
        claim
    }

    fn with_external_id(mut claim: Submission, id: &str) -> Submission {
        claim.claim.external_claim_id = Identifier::parse(id);
        claim
    }

    fn key_held_by(key: &str, claim_id: &str, body_hash: &str) -> Facts {
        let holder = Holder { body_hash: body_hash.to_owned(), claim_id: claim_id.to_owned() };
        Facts { key_holders: HashMap::from([(key.to_owned(), holder)]), ..Facts::default() }
    }

    fn active(claim: &Submission, claim_id: &str) -> Facts {
        let digest = *claim.digest().expect("it is compared");
        Facts { active_claims: HashMap::from([(digest, claim_id.to_owned())]), ..Facts::default() }
    }

    fn external_id_held_by(external_id: &str, claim_id: &str) -> Facts {
        let holders = HashMap::from([(canonical(external_id).into_owned(), claim_id.to_owned())]);
        Facts { external_id_holders: holders, ..Facts::default() }
    }

    const INSERT: Decision = Decision::Insert { duplicate_of: None };

    fn warned_of(id: &str) -> Decision {
        Decision::Insert { duplicate_of: Some(id.to_owned()) }
    }

    fn refused_for(id: &str) -> Decision {
        Decision::LikelyDuplicate { duplicate_of: id.to_owned() }
    }

    fn taken_by(id: &str) -> Decision {
        Decision::ExternalIdTaken { claim_id: id.to_owned() }
    }

    #[test]
    fn a_claim_that_meets_nothing_is_inserted() {
        assert_eq!(
            decide(&[claim(1, WARN), claim(2, REJECT), claim(3, Severity::Off)], &Facts::default()),
            [INSERT, INSERT, INSERT]
        );
        assert_eq!(decide(&[], &Facts::default()), []);
    }

    #[test]
    fn a_key_that_the_claim_holds_itself_decides_nothing() {
        let own = with_key(claim(1, WARN), "key", "hash");
        let facts = key_held_by("key", own.id(), "hash");
        assert!(has_own_key(&own, &facts.key_holders));
        assert_eq!(decide(&[own], &facts), [INSERT]);
    }

    #[test]
    fn a_key_of_an_earlier_request_replays_it_or_is_reused_whatever_else_is_met() {
        let same = with_external_id(with_key(claim(1, REJECT), "key", "hash"), "A-17");
        let other = with_key(claim(1, REJECT), "key", "other hash");
        let mut facts = key_held_by("key", "earlier", "hash");
        facts.active_claims = active(&same, "equal").active_claims;
        facts.external_id_holders = external_id_held_by("A-17", "holder").external_id_holders;
        assert!(!has_own_key(&same, &facts.key_holders));
        let decisions = decide(&[same, other], &facts);
        assert_eq!(decisions, [Decision::Replay { claim_id: "earlier".to_owned() }, Decision::KeyReused]);
    }

    #[test]
    fn a_key_of_the_same_group_makes_a_repeat_of_the_claim_that_holds_it() {
        let group = [
            claim(1, WARN),
            with_key(claim(2, WARN), "key", "hash"),
            with_key(claim(2, WARN), "key", "hash"),
            with_key(claim(3, WARN), "key", "other hash"),
        ];
        let facts = key_held_by("key", group[1].id(), "hash");
        assert_eq!(decide(&group, &facts), [INSERT, INSERT, Decision::RepeatOf(1), Decision::KeyReused]);
    }

    #[test]
    fn a_stored_duplicate_warns_or_refuses_as_the_rule_says() {
        let group = [claim(1, WARN), claim(1, REJECT), claim(1, Severity::Off)];
        let facts = active(&group[0], "stored");
        assert_eq!(decide(&group, &facts), [warned_of("stored"), refused_for("stored"), INSERT]);
        let refusable = group.each_ref().map(|claim| may_be_refused_as_duplicate(claim, &facts.active_claims));
        assert_eq!(refusable, [false, true, false]);
    }

    #[test]
    fn duplicates_within_the_group_name_the_first_that_is_stored() {
        let group = [claim(1, WARN), claim(1, WARN), claim(1, REJECT), claim(2, REJECT), claim(2, WARN)];
        let (first, other) = (group[0].id(), group[3].id());
        let expected = [INSERT, warned_of(first), refused_for(first), INSERT, warned_of(other)];
        assert_eq!(decide(&group, &Facts::default()), expected);
    }

    #[test]
    fn no_claim_is_a_duplicate_of_one_that_is_refused_or_replayed() {
        let group = [
            with_external_id(claim(1, WARN), "A-17"),
            with_key(claim(1, WARN), "key", "hash"),
            claim(1, REJECT),
            claim(1, REJECT),
        ];
        let mut facts = external_id_held_by("A-17", "holder");
        facts.key_holders = key_held_by("key", "earlier", "hash").key_holders;
        let replay = Decision::Replay { claim_id: "earlier".to_owned() };
        assert_eq!(decide(&group, &facts), [taken_by("holder"), replay, INSERT, refused_for(group[2].id())]);
    }

    #[test]
    fn an_external_id_belongs_to_the_claim_that_is_stored_or_to_the_first_of_the_group() {
        let group = [
            with_external_id(claim(1, WARN), "A-17"),
            with_external_id(claim(2, WARN), "A-18"),
            with_external_id(claim(3, WARN), "A-18"),
            claim(4, WARN),
        ];
        let expected = [taken_by("stored"), INSERT, taken_by(group[1].id()), INSERT];
        assert_eq!(decide(&group, &external_id_held_by("A-17", "stored")), expected);
    }

    #[test]
    fn an_external_id_is_compared_by_its_canonical_form() {
        let group = [
            with_external_id(claim(1, WARN), "A-17"),
            with_external_id(claim(2, WARN), "b\u{2011}18"),
            with_external_id(claim(3, WARN), " B-18"),
        ];
        let expected = [taken_by("stored"), INSERT, taken_by(group[1].id())];
        assert_eq!(decide(&group, &external_id_held_by("a\u{2013}17", "stored")), expected);
    }

    #[test]
    fn an_external_id_stays_free_where_the_first_claim_with_it_is_refused() {
        let group = [with_external_id(claim(1, REJECT), "A-17"), with_external_id(claim(2, REJECT), "A-17")];
        assert_eq!(decide(&group, &active(&group[0], "stored")), [refused_for("stored"), INSERT]);
    }

    #[test]
    fn a_refusable_duplicate_with_a_taken_external_id_is_refused_as_a_duplicate() {
        let both = with_external_id(claim(1, REJECT), "A-17");
        let mut facts = active(&both, "equal");
        facts.external_id_holders = external_id_held_by("A-17", "holder").external_id_holders;
        assert_eq!(decide(std::slice::from_ref(&both), &facts), [refused_for("equal")]);
        let warned = Submission { duplicate_check: claim(1, WARN).duplicate_check, ..both };
        assert_eq!(decide(&[warned], &facts), [taken_by("holder")]);
    }

    #[test]
    fn a_claim_that_an_earlier_try_stored_meets_itself_and_is_not_refused() {
        let stored = with_external_id(claim(1, REJECT), "A-17");
        let mut facts = active(&stored, stored.id());
        facts.external_id_holders = external_id_held_by("A-17", stored.id()).external_id_holders;
        assert!(!may_be_refused_as_duplicate(&stored, &facts.active_claims));
        assert_eq!(decide(std::slice::from_ref(&stored), &facts), [INSERT]);
    }

    #[test]
    fn a_claim_that_an_earlier_try_stored_is_not_refused_for_one_that_became_active_since() {
        let group = [claim(1, REJECT), claim(1, REJECT)];
        let mut facts = active(&group[0], "later");
        facts.stored = HashSet::from([group[0].id().to_owned()]);
        assert_eq!(decide(&group, &facts), [warned_of("later"), refused_for("later")]);
    }

    #[test]
    fn an_external_id_that_is_taken_late_refuses_its_claim_and_changes_nothing_else() {
        let group =
            [with_external_id(claim(1, WARN), "A-17"), with_external_id(claim(2, WARN), "A-17"), claim(3, WARN)];
        let earlier = decide(&group, &Facts::default());
        let later = decide(&group, &external_id_held_by("A-17", "other"));
        assert_eq!(later, [taken_by("other"), taken_by("other"), INSERT]);
        assert!(differ_only_by_taken_ids(&earlier, &later));
    }

    #[test]
    fn an_external_id_that_is_taken_late_changes_what_was_a_duplicate_of_its_claim() {
        for severity in [WARN, REJECT] {
            let group = [with_external_id(claim(1, severity), "A-17"), claim(1, severity)];
            let earlier = decide(&group, &Facts::default());
            let later = decide(&group, &external_id_held_by("A-17", "other"));
            assert_eq!(later, [taken_by("other"), INSERT]);
            assert!(!differ_only_by_taken_ids(&earlier, &later), "{earlier:?}");
        }
    }
}
