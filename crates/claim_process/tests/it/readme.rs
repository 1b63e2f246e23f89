//! What the READMEs show is what the service does: the claims that they send, and the answers in their code blocks.

use crate::batch::send;
use crate::kafka::{Kafka, settled, unwound};
use crate::service::{REAL_CLAIM, with_service, with_settings};
use claim_events::{Compensation, PaymentEvent, Unwound};
use claim_process::domain::rules::default_severities;
use serde_json::{Value, json};
use test_support::{TestDatabase, on_both_databases};

const README: &str = include_str!("../../../../README.md");
const OWN_README: &str = include_str!("../../README.md");

/// Members whose values differ from run to run.
const VARYING: [&str; 4] = ["id", "at", "submitted_at", "request_id"];

/// The code blocks of a README in a language.
fn blocks(readme: &'static str, language: &str) -> Vec<&'static str> {
    let opening = format!("\n```{language}\n");
    readme.split(&opening).skip(1).filter_map(|rest| Some(rest.split_once("\n```")?.0)).collect()
}

/// The JSON blocks of a README that have this text.
fn shown(readme: &'static str, text: &str) -> Vec<Value> {
    let blocks = blocks(readme, "json").into_iter().filter(|block| block.contains(text));
    let shown: Vec<Value> = blocks.map(|block| serde_json::from_str(block).expect("it is JSON")).collect();
    assert!(!shown.is_empty(), "a README shows {text}");
    shown
}

/// The claims that a README sends as JSON.
fn sent(readme: &'static str) -> Vec<Value> {
    let bodies = readme.split("-d '").skip(1).filter_map(|rest| rest.split('\'').next());
    let claims = bodies.filter(|body| body.contains("provider_npi"));
    claims.map(|claim| serde_json::from_str(claim).expect("it is JSON")).collect()
}

/// Asserts that the answer has all that is shown. What is left out is shown as `…`, or not at all.
fn assert_shows(shown: &Value, answer: &Value) {
    match (shown, answer) {
        (Value::Object(members), Value::Object(answer)) => {
            for (name, value) in members.iter().filter(|(name, _)| *name != "…") {
                let found = answer.get(name).unwrap_or_else(|| panic!("no {name} in {answer:?}"));
                if !VARYING.contains(&name.as_str()) {
                    assert_shows(value, found);
                }
            }
        }
        (Value::Array(shown), Value::Array(answer)) => {
            assert_eq!(shown.len(), answer.len(), "{shown:?} {answer:?}");
            shown.iter().zip(answer).for_each(|(shown, answer)| assert_shows(shown, answer));
        }
        _ => assert_eq!(shown, answer),
    }
}

on_both_databases! {
    fn the_readmes_show_what_becomes_of_their_claims(database: &TestDatabase) {
        let kafka = Kafka::start();
        with_settings(database, |settings| kafka.configure(settings), async |service| {
            let answer = service.post_csv(REAL_CLAIM).await;
            assert_eq!(answer.status, 201, "{}", answer.body);
            shown(OWN_README, "\"submitted\"").iter().for_each(|shown| assert_shows(shown, &answer.body));
            assert!(README.contains(&format!("`\"net_fee\": {}`", answer.body["net_fee"])), "{}", answer.body["net_fee"]);
            let id = answer.body["id"].as_str().expect("an id");
            kafka.outcome(1, &settled(id, 11_685));
            let claim = service.claim_with_status(id, "settled").await;
            for shown in [shown(README, "\"settled\""), shown(OWN_README, "\"settled\"")].concat() {
                assert_shows(&shown, &claim);
            }

            // One claim is sent as JSON, and the gateway declines it.
            let [declined] = &sent(README)[..] else { panic!("one claim is sent as JSON") };
            let id = service.accepted(declined).await;
            let outcome = Unwound {
                reason_code: Some("insufficient_funds".to_owned()),
                reason: Some("the payment gateway declined the payment".to_owned()),
                compensations: vec![Compensation::Release],
                ..unwound(&id)
            };
            kafka.outcome(1, &PaymentEvent::Unwound(outcome));
            let claim = service.claim_with_status(&id, "unwound").await;
            for shown in [shown(README, "\"unwound\""), shown(OWN_README, "\"unwound\"")].concat() {
                assert_shows(&shown, &claim);
            }
        });
    }

    fn the_readme_shows_the_results_of_its_batch(database: &TestDatabase) {
        with_service(database, async |service| {
            let results = send(&service, "text/csv", REAL_CLAIM).await;
            let [shown] = blocks(OWN_README, "jsonl")[..] else { panic!("one batch is shown") };
            let shown: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
            assert_shows(&Value::from(shown), &Value::from(results.lines));
        });
    }

    fn the_readme_shows_how_a_claim_is_refused(database: &TestDatabase) {
        with_service(database, async |service| {
            let answer = service.post(&json!([{
                "Service Date": "2018-02-30", "proc_code": "X0180", "Plan/Group #": "GRP-1000", "Subscriber#": "3730189502",
                "npi": "149777553", "provider_fees": "100.00", "allowed_fees": "0.00", "member_coinsurance": "0.00",
                "member_copay": "0.00",
            }])).await;
            let [shown] = &shown(OWN_README, "\"errors\"")[..] else { panic!("one refusal is shown") };
            assert_shows(shown, &answer.body);
        });
    }
}

#[test]
fn the_readme_lists_every_settable_rule_with_its_default_severity() {
    for (code, severity) in default_severities() {
        let row = OWN_README.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{code}`")));
        let row = row.unwrap_or_else(|| panic!("a row lists {code}"));
        assert_eq!(json!(row.split('|').nth(2).map(str::trim)), json!(severity), "{code}");
    }
}

#[test]
fn a_shown_value_that_differs_is_found() {
    let answer = json!({"id": "a", "lines": [{"line": 1, "net_fee": "1.00"}, {"line": 2, "net_fee": "2.00"}]});
    assert_shows(&json!({"id": "b", "lines": [{"line": 1, "…": "…"}, {"net_fee": "2.00"}]}), &answer);
    for wrong in [json!({"status": "settled"}), json!({"lines": []}), json!({"lines": [{}, {"net_fee": "2.01"}]})] {
        std::panic::catch_unwind(|| assert_shows(&wrong, &answer)).expect_err("it differs");
    }
}
