//! A claim that equals an active claim: it warns with the earlier claim's id, or is refused, and its neighbours are stored.

use crate::service::{PROVIDERS, assert_totals_agree, claim, line, with_service, with_settings};
use claim_process::claims::store::{Times, store};
use claim_process::claims::submission::{Origin, Submission, Submitted};
use claim_process::db;
use claim_process::domain::identifiers::random_claim_id;
use claim_process::domain::limits::Limits;
use claim_process::domain::rules::default_severities;
use claim_process::domain::rules::rule::Severity;
use claim_process::domain::rules::rule_set::RuleSet;
use claim_process::intake::{ReadLimits, read_json};
use claim_process::settings::Settings;
use dual_db::Database;
use serde_json::{Value, json};
use test_support::{TestDatabase, count, execute, on_both_databases};

fn rule_set(severity: Severity) -> RuleSet {
    let mut severities = default_severities();
    severities.insert("likely_duplicate".to_owned(), severity);
    RuleSet::new(severities, Limits::default(), None)
}

fn submission(severity: Severity, body: &Value) -> Submission {
    let raw_claim = read_json(body.to_string().as_bytes(), ReadLimits::default()).unwrap();
    let rule_set = rule_set(severity);
    let (claim, warnings) = rule_set.accept(&raw_claim, jiff::Timestamp::now()).unwrap();
    Submission {
        claim_id: random_claim_id(),
        duplicate_check: rule_set.duplicate_check(&claim),
        claim,
        warnings,
        idempotency: None,
        origin: Origin { correlation_id: "request".to_owned(), traceparent: None },
    }
}

pub fn with_external_id(mut body: Value, id: &str) -> Value {
    body["external_claim_id"] = json!(id);
    body
}

/// Stores a group like the writer. For each claim: whether it was stored, and the id of the claim that it duplicates.
fn stored(database: &Database, group: &[Submission]) -> Vec<(bool, Option<String>)> {
    let group = database.write(|connection| store(connection, group, Times::at(1_000_000, 1_000_000))).unwrap();
    let results = group.results.iter().map(|result| match result {
        Submitted::Accepted(claim) => (true, named(&claim.row.warnings)),
        Submitted::LikelyDuplicate { claim_id } => (false, Some(claim_id.clone())),
        Submitted::ExternalIdTaken { .. } => (false, None),
        other => panic!("{other:?}"),
    });
    results.collect()
}

fn named(warnings: &str) -> Option<String> {
    let warnings: Vec<Value> = serde_json::from_str(warnings).unwrap();
    let message =
        warnings.iter().find(|warning| warning["code"] == "likely_duplicate")?["message"].as_str()?.to_owned();
    Some(message.split([' ', ',']).nth(4)?.to_owned())
}

fn id(submission: &Submission) -> Option<String> {
    Some(submission.claim_id.as_str().to_owned())
}

on_both_databases! {
    fn a_duplicate_of_an_active_claim_is_warned_about_with_its_id(database: &TestDatabase) {
        with_service(database, async |service| {
            let lines = json!([line(&[]), line(&[("service_date", json!("2018-03-29"))])]);
            let first = service.accepted(&lines).await;
            // In another spelling, in the other order, under another external id.
            let again = json!({"external_claim_id": "A-2", "lines": [
                line(&[("service_date", json!("3/29/18 0:00")), ("provider_fees", json!("$10"))]), line(&[]),
            ]});
            let answer = service.post(&again).await;
            assert_eq!(answer.status, 201, "{}", answer.body);
            let expected = json!([{
                "field": "lines", "code": "likely_duplicate",
                "message": format!("are those of claim {first}, for the same plan, subscriber and provider: check whether it was sent twice"),
            }]);
            assert_eq!(answer.body["warnings"], expected);
            assert_eq!(service.claim(answer.body["id"].as_str().unwrap()).await["warnings"], expected);
            // Anything else is another claim.
            for change in [
                ("service_date", json!("2018-03-30")),
                ("submitted_procedure", json!("D0210")),
                ("quadrant", json!("UR")),
                ("provider_fees", json!("10.01")),
                ("member_copay", json!("0.01")),
            ] {
                let other = json!([line(&[]), line(&[("service_date", json!("2018-03-29")), change])]);
                assert_eq!(service.post(&other).await.body["warnings"], json!([]), "{other}");
            }
            for change in [("plan_group", json!("GRP-2")), ("subscriber_id", json!("1")), ("provider_npi", json!(PROVIDERS[1]))] {
                let changed = [change];
                let other = json!([line(&changed), line(&[changed[0].clone(), ("service_date", json!("2018-03-29"))])]);
                assert_eq!(service.post(&other).await.body["warnings"], json!([]), "{other}");
            }
            // A repeated key is no repeated claim.
            let paid = claim(PROVIDERS[0], "7.00");
            assert_eq!(service.post_with_key("k", &paid).await.status, 201);
            let replayed = service.post_with_key("k", &paid).await;
            assert_eq!((replayed.status, &replayed.body["warnings"]), (200, &json!([])));
        });
    }

    fn a_voided_or_unwound_claim_may_be_submitted_again(database: &TestDatabase) {
        with_service(database, async |service| {
            let paid = claim(PROVIDERS[0], "1.00");
            let first = service.accepted(&paid).await;
            let path = format!("/v1/claims/{first}/void");
            let void = service.request(reqwest::Method::POST, &path).json(&json!({"reason": "a slip"}));
            assert_eq!(void.send().await.unwrap().status(), 202);
            let answer = service.post(&paid).await;
            assert_eq!(answer.body["warnings"], json!([]));
            database.database().write(|c| execute(c, "UPDATE claims SET status = 'unwound'")).unwrap();
            let third = service.post(&paid).await;
            assert_eq!(third.body["warnings"], json!([]));
            database.database().write(|c| execute(c, "UPDATE claims SET status = 'settled' WHERE status = 'submitted'")).unwrap();
            let fourth = service.post(&paid).await.body["warnings"].to_string();
            assert!(fourth.contains(third.body["id"].as_str().unwrap()), "{fourth}");
        });
    }

    fn a_duplicate_is_not_stored_under_reject_and_not_reported_under_off(database: &TestDatabase) {
        let set = |severity| move |settings: &mut Settings| {
            settings.rules.insert("likely_duplicate".to_owned(), severity);
        };
        let paid = claim(PROVIDERS[0], "1.00");
        with_settings(database, set(Severity::Reject), async |service| {
            let first = service.accepted(&paid).await;
            let answer = service.post_with_key("k", &paid).await;
            assert_eq!(answer.problem(422), "claim-refused");
            assert_eq!(answer.body["errors"][0]["code"], "likely_duplicate");
            assert!(answer.body["errors"][0]["message"].as_str().unwrap().contains(&first), "{}", answer.body);
            // Its key is free again.
            assert_eq!(service.post_with_key("k", &claim(PROVIDERS[0], "2.00")).await.status, 201);
        });
        assert_eq!((count(database.database(), "claims"), count(database.database(), "outbox")), (2, 2));
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (300, 2));
        with_settings(database, set(Severity::Off), async |service| {
            assert_eq!(service.post(&paid).await.body["warnings"], json!([]));
        });
        assert_eq!(count(database.database(), "claims WHERE content_digest IS NULL"), 1);
    }

    fn equal_claims_in_one_group_name_the_first_that_is_stored(database: &Database) {
        database.migrate(&[&event_bus::MIGRATIONS, &db::MIGRATIONS]).unwrap();
        let taken = submission(Severity::Warn, &with_external_id(claim(PROVIDERS[1], "9.00"), "TAKEN"));
        stored(database, &[taken]);
        let (a, b) = (claim(PROVIDERS[0], "1.00"), claim(PROVIDERS[0], "2.00"));
        let group = [&with_external_id(a.clone(), "TAKEN"), &a, &b, &a, &a, &b].map(|body| submission(Severity::Warn, body));
        let expected = [
            // Never stored, so no duplicate names it.
            (false, None),
            (true, None),
            (true, None),
            (true, id(&group[1])),
            (true, id(&group[1])),
            (true, id(&group[2])),
        ];
        assert_eq!(stored(database, &group), expected);
        assert_eq!(count(database, "claims"), 6);
        // The commit's answer was lost, and the same group is stored again.
        assert_eq!(stored(database, &group), expected);
        assert_eq!(count(database, "claims"), 6);
        assert_totals_agree(database);
    }

    fn equal_claims_in_one_group_are_refused_and_their_neighbours_stored(database: &Database) {
        database.migrate(&[&event_bus::MIGRATIONS, &db::MIGRATIONS]).unwrap();
        let (a, b) = (claim(PROVIDERS[0], "1.00"), claim(PROVIDERS[0], "2.00"));
        let group = [&a, &b, &a].map(|body| submission(Severity::Reject, body));
        let expected = [(true, None), (true, None), (false, id(&group[0]))];
        for _ in 0..2 {
            assert_eq!(stored(database, &group), expected);
            assert_eq!((count(database, "claims"), count(database, "claim_lines")), (2, 2));
        }
        // Stored by an earlier try, while an older equal claim was not to be seen: it is not refused after all.
        let hidden = submission(Severity::Off, &b);
        let late = [submission(Severity::Reject, &claim(PROVIDERS[0], "3.00"))];
        stored(database, &[hidden]);
        assert_eq!(stored(database, &late), [(true, None)]);
        database
            .write(|c| {
                execute(
                    c,
                    "UPDATE claims SET content_digest = (SELECT content_digest FROM claims WHERE net_fee_cents = 300) \
                     WHERE net_fee_cents = 200",
                )
            })
            .unwrap();
        assert_eq!(stored(database, &late), [(true, None)]);
        assert_totals_agree(database);
    }
}
