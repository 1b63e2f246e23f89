//! `POST /v1/claims/validate`: it reports of a claim what storing it would report.

use crate::batch::{Results, send_to, three};
use crate::duplicates::with_external_id;
use crate::service::{Answer, REAL_CLAIM, assert_empty, line, with_service, with_settings};
use claim_process::domain::rules::rule::Severity;
use serde_json::{Value, json};
use test_support::{TestDatabase, count, on_both_databases};

on_both_databases! {
    fn validating_reports_the_same_and_stores_nothing(database: &TestDatabase) {
        with_service(database, async |service| {
            let validate = async |query: &str, kind: &str, body: String| {
                let request = service.request(reqwest::Method::POST, &format!("/v1/claims/validate{query}"));
                Answer::of(request.header("content-type", kind).body(body)).await
            };
            let good = validate("", "text/csv", REAL_CLAIM.to_owned()).await;
            assert_eq!((good.status, &good.body["valid"]), (200, &json!(true)), "{}", good.body);
            assert_eq!((&good.body["claim"]["net_fee"], &good.body["claim"]["lines"][2]["net_fee"]), (&json!("116.85"), &json!("81.25")));
            let bad = validate("", "application/json", three()[1].to_string()).await;
            assert_eq!((bad.status, &bad.body["valid"], &bad.body["claim"]), (200, &json!(false), &Value::Null));
            assert_eq!((&bad.body["findings"][0]["severity"], &bad.body["findings"][0]["code"]), (&json!("reject"), &json!("procedure_prefix")));
            assert_eq!(validate("", "application/json", "{".to_owned()).await.problem(400), "malformed");
            let batch = Results::of(validate("?batch=true", "application/json", json!(three()).to_string()).await);
            assert_eq!(batch.statuses(), ["valid", "rejected", "valid"]);
            assert_eq!(batch.summary(), &json!({"claims": 3, "valid": 2, "rejected": 1}));
        });
        assert_empty(database.database());
    }

    fn validating_looks_at_what_is_stored(database: &TestDatabase) {
        let stored = with_external_id(line(&[]), "A-1");
        let other = line(&[("provider_fees", json!("77.00"))]);
        let taken = with_external_id(other.clone(), "A-1");
        with_service(database, async |service| {
            let id = service.accepted(&stored).await;
            let validate = async |body: &Value| Answer::of(service.request(reqwest::Method::POST, "/v1/claims/validate").json(body)).await;
            let found = |answer: &Answer| -> Vec<Value> { answer.body["findings"].as_array().expect("findings").clone() };
            let named = |finding: &Value| finding["message"].as_str().expect("text").contains(&id);

            // The findings of the same claim sent again, and under another id of the sender's.
            let answer = validate(&stored).await;
            assert_eq!((&answer.body["valid"], &answer.body["claim"]), (&json!(false), &Value::Null), "{}", answer.body);
            let codes = |answer: &Answer| found(answer).iter().map(|finding| json!([finding["severity"], finding["code"]])).collect::<Vec<_>>();
            assert_eq!(codes(&answer), [json!(["reject", "external_claim_id_taken"]), json!(["warn", "likely_duplicate"])]);
            assert!(found(&answer).iter().all(named), "{}", answer.body);
            let equal = with_external_id(line(&[]), "A-2");
            let answer = validate(&equal).await;
            assert_eq!((&answer.body["valid"], codes(&answer)), (&json!(true), vec![json!(["warn", "likely_duplicate"])]), "{}", answer.body);
            assert_eq!(codes(&validate(&taken).await), [json!(["reject", "external_claim_id_taken"])]);
            assert_eq!((codes(&validate(&other).await), count(database.database(), "claims")), (vec![], 1));

            // The same in a batch, each in its place.
            let claims: Vec<&Value> = [&stored, &equal, &other, &taken].into_iter().cycle().take(1_000).collect();
            let json = [("content-type", "application/json")];
            let batch = send_to(&service, "/v1/claims/validate?batch=true", &json, json!(claims).to_string()).await;
            assert_eq!(batch.statuses(), ["rejected", "valid", "valid", "rejected"].into_iter().cycle().take(1_000).collect::<Vec<_>>());
            assert_eq!(batch.summary(), &json!({"claims": 1_000, "valid": 500, "rejected": 500}));
            let of_batch: Vec<Value> = (0..4).map(|n| json!([batch.lines[n]["errors"][0]["code"], batch.lines[n]["warnings"][0]["code"]])).collect();
            assert_eq!(json!(of_batch), json!([
                ["external_claim_id_taken", "likely_duplicate"], [null, "likely_duplicate"], [null, null], ["external_claim_id_taken", null],
            ]));

            // A voided claim is not paid, so an equal one is no duplicate; but its id of the sender's stays taken.
            let void = service.request(reqwest::Method::POST, &format!("/v1/claims/{id}/void"));
            assert_eq!(Answer::of(void.json(&json!({"reason": "a slip"}))).await.status, 202);
            assert_eq!(codes(&validate(&equal).await), Vec::<Value>::new());
            assert_eq!(codes(&validate(&taken).await), [json!(["reject", "external_claim_id_taken"])]);
        });
        with_settings(database, |settings| {
            settings.rules.insert("likely_duplicate".to_owned(), Severity::Reject);
        }, async |service| {
            let id = service.accepted(&other).await;
            let json = [("content-type", "application/json")];
            let batch = send_to(&service, "/v1/claims/validate?batch=true", &json, json!([other, taken]).to_string()).await;
            assert_eq!(batch.statuses(), ["rejected", "rejected"]);
            assert!(batch.lines[0]["errors"][0]["message"].as_str().expect("text").contains(&id), "{batch:?}");
            let codes = |n: usize| batch.lines[n]["errors"].as_array().expect("errors").iter().map(|error| error["code"].clone()).collect::<Vec<_>>();
            assert_eq!(codes(0), ["likely_duplicate"]);
            assert_eq!(codes(1), ["likely_duplicate", "external_claim_id_taken"]);
        });
        assert_eq!(count(database.database(), "claims"), 2);
    }

    fn validating_a_refused_claim_reports_its_warnings_too_and_posting_it_does_not(database: &TestDatabase) {
        let findings = |answer: &Answer| -> Vec<(String, String)> {
            let findings = answer.body["findings"].as_array().expect("findings");
            let text = |finding: &Value, name: &str| finding[name].as_str().expect("text").to_owned();
            findings.iter().map(|finding| (text(finding, "severity"), text(finding, "code"))).collect()
        };
        let of = |expected: &[(&str, &str)]| -> Vec<(String, String)> {
            expected.iter().map(|(severity, code)| ((*severity).to_owned(), (*code).to_owned())).collect()
        };
        let bad = line(&[
            ("submitted_procedure", json!("D4341")), ("provider_npi", json!("1234567890")),
            ("allowed_fees", json!("20.00")), ("service_date", json!("2999-01-01")), ("tooth", json!("14")),
        ]);
        with_service(database, async |service| {
            let validate = |body: &Value| service.request(reqwest::Method::POST, "/v1/claims/validate").json(body);
            let answer = Answer::of(validate(&bad)).await;
            assert_eq!((&answer.body["valid"], &answer.body["claim"]), (&json!(false), &Value::Null));
            assert_eq!(findings(&answer), of(&[
                ("reject", "service_date_future"), ("warn", "unknown_field"), ("warn", "quadrant_missing"),
                ("warn", "npi_checksum"), ("warn", "allowed_above_fees"),
            ]));
            let posted = service.post(&bad).await;
            assert_eq!((posted.problem(422), posted.body["errors"].as_array().map(Vec::len)), ("claim-refused", Some(1)));
            assert_eq!(posted.body["detail"], "1 thing has to be put right; nothing was stored");

            let batch = json!([bad]).to_string();
            let json = [("content-type", "application/json")];
            let validated = send_to(&service, "/v1/claims/validate?batch=true", &json, batch.clone()).await;
            let refused = &validated.lines[0];
            assert_eq!((&refused["status"], &refused["errors"][0]["code"]), (&json!("rejected"), &json!("service_date_future")));
            let warnings = refused["warnings"].as_array().expect("warnings");
            assert_eq!((warnings.len(), &warnings[1]["pointer"]), (4, &json!("/0/quadrant")), "{refused}");
            let stored = send_to(&service, "/v1/claims/batch", &json, batch).await;
            assert_eq!((&stored.lines[0]["status"], stored.lines[0].get("warnings")), (&json!("rejected"), None));
        });
        with_settings(database, |settings| settings.checks.max_findings = 2, async |service| {
            let validate = |body: &Value| service.request(reqwest::Method::POST, "/v1/claims/validate").json(body);
            let answer = Answer::of(validate(&bad)).await;
            assert_eq!(findings(&answer), of(&[
                ("reject", "service_date_future"), ("warn", "unknown_field"), ("warn", "more_findings"),
            ]));
            let worse = json!([bad, {}]);
            let answer = Answer::of(validate(&worse)).await;
            let rejects = [("reject", "service_date_future"), ("reject", "required"), ("reject", "more_findings")];
            assert_eq!(findings(&answer), of(&[&rejects[..], &[("warn", "more_findings")]].concat()));
        });
        assert_empty(database.database());
    }
}
