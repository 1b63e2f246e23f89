//! What is refused over HTTP: the form of the answer, that it echoes no patient data, and that nothing is stored.

use crate::service::{Answer, PROVIDERS, REAL_CLAIM, Service, assert_empty, claim, line, with_service};
use reqwest::Method;
use serde_json::{Value, json};
use test_support::{TestDatabase, on_both_databases};

/// Sends a body as JSON, whatever it is.
pub async fn post_json(service: &Service, body: impl Into<reqwest::Body>) -> Answer {
    Answer::of(service.claims().header("content-type", "application/json").body(body)).await
}

/// Every route that shows what is stored shows nothing.
async fn assert_shows_nothing(service: &Service) {
    assert_eq!(service.get("/v1/claims").await.body, json!({"claims": [], "next_cursor": null}));
    assert_eq!(service.get("/v1/providers/top").await.body["providers"], json!([]));
}

on_both_databases! {
    fn a_refused_claim_gets_all_findings_at_once_and_leaves_nothing(database: &TestDatabase) {
        with_service(database, async |service| {
            let bad = json!({"lines": [{
                "Service Date": "soon", "proc_code": "E1", "Plan/Group #": "GRP-1000", "member_id": "777000111",
                "npi": "149777553", "provider fees": "-1.00", "Allowed fees": "1.234", "copay": "0.00",
            }]});
            let answer = Answer::of(service.claims().header("idempotency-key", "k").json(&bad)).await;
            assert_eq!(answer.problem(422), "claim-refused");
            let errors = answer.body["errors"].as_array().unwrap();
            assert_eq!(
                answer.body["detail"],
                format!("{} things have to be put right; nothing was stored", errors.len())
            );
            let expected = json!({
                "line": 1, "field": "submitted_procedure", "sent_as": "proc_code", "pointer": "/lines/0/proc_code",
                "code": "procedure_prefix", "message": "must start with 'D', as in D0180",
            });
            assert!(errors.contains(&expected), "{errors:#?}");
            for (field, code, sent_as) in [
                ("service_date", "date_format", json!("Service Date")),
                ("provider_npi", "npi_digits", json!("npi")),
                ("provider_fees", "money_negative", json!("provider fees")),
                ("allowed_fees", "money_decimals", json!("Allowed fees")),
                ("member_coinsurance", "required", Value::Null),
            ] {
                let found = errors.iter().find(|error| error["field"] == field && error["code"] == code);
                let found = found.unwrap_or_else(|| panic!("{field} {code} in {errors:#?}"));
                assert_eq!((&found["line"], &found["sent_as"]), (&json!(1), &sent_as));
                let name = sent_as.as_str().unwrap_or(field);
                assert_eq!(found["pointer"], format!("/lines/0/{name}"));
                assert!(found["message"].as_str().is_some_and(|message| message.len() > 10), "{found}");
            }
            // The answer never echoes a value, patient data least of all.
            let text = answer.body.to_string();
            for value in ["777000111", "149777553\"", "1.234", "soon"] {
                assert!(!text.contains(value), "{value} in {text}");
            }
            assert_shows_nothing(&service).await;
        });
        assert_empty(database.database());
    }

    fn a_good_line_with_a_bad_line_is_not_stored(database: &TestDatabase) {
        with_service(database, async |service| {
            let mixed = json!([line(&[]), line(&[("submitted_procedure", json!("0180"))])]);
            let answer = service.post(&mixed).await;
            assert_eq!(answer.problem(422), "claim-refused");
            let errors = answer.body["errors"].as_array().unwrap();
            assert!(!errors.is_empty() && errors.iter().all(|error| error["line"] == 2), "{errors:#?}");

            let csv = REAL_CLAIM.replace("D4346", "X4346");
            let answer = service.post_csv(&csv).await;
            assert_eq!(answer.problem(422), "claim-refused");
            let error = &answer.body["errors"][0];
            assert_eq!((&error["line"], &error["sent_as"]), (&json!(3), &json!("submitted procedure")));
            assert_eq!(error.get("pointer"), None, "there are no pointers into a CSV");
            assert_shows_nothing(&service).await;
        });
        assert_empty(database.database());
    }
}

#[test]
fn a_body_that_cannot_be_read_is_placed_and_not_echoed() {
    let database = TestDatabase::sqlite();
    with_service(&database, async |service| {
        for (body, place) in [
            ("{\"lines\": [{\"subscriber_id\": 3730189502,}]}", "line 1, column 41"),
            ("{\n \"subscriber_id\": SECRET-3730189502\n}", "line 2, column 19"),
            ("", "line 1, column 0"),
            ("[1, 2", "line 1, column 5"),
            ("{\"lines\": \"3730189502\"}", "'lines' must be an array"),
            ("\"3730189502\"", "must be a claim"),
            ("[\"3730189502\"]", "line 1 must be a JSON object"),
        ] {
            let answer = post_json(&service, body).await;
            assert_eq!(answer.problem(400), "malformed", "{body}");
            let text = answer.body.to_string();
            assert!(text.contains(place), "{place} in {text}");
            assert!(!text.contains("SECRET") && !text.contains("3730189502"), "{text}");
        }
        assert_eq!(post_json(&service, b"\xff\xfe{}".to_vec()).await.problem(400), "malformed");
        let csv = async |csv: &str| service.post_csv(csv).await;
        assert_eq!(csv("apples,pears\n1,2").await.problem(400), "malformed");
        assert_eq!(csv("").await.problem(400), "malformed");
        assert_eq!(csv(&REAL_CLAIM.replace("3730189502,", "")).await.problem(422), "claim-refused");
        for key in ["", "   ", &"k".repeat(256)] {
            let answer = service.post_with_key(key, &claim(PROVIDERS[0], "1.00")).await;
            assert_eq!(answer.problem(400), "malformed", "{key:?}");
        }
    });
    assert_empty(database.database());
}

/// Values that break programs, each refused with a finding of its field.
#[test]
fn values_that_break_programs_are_refused_with_a_finding() {
    let database = TestDatabase::sqlite();
    with_service(&database, async |service| {
        let good = line(&[]).to_string();
        for (field, json, code) in [
            ("plan_group", r#""GRP\u00001000""#, "length"),
            ("subscriber_id", r#""3730189502\u0000""#, "length"),
            ("external_claim_id", r#""A\u0000""#, "length"),
            ("provider_fees", r#""10\u0000.00""#, "money_format"),
            ("service_date", r#""2018-03-28\u0000""#, "date_format"),
            ("submitted_procedure", r#""D0180\u0000""#, "procedure_characters"),
            ("quadrant", r#""UR\u0000""#, "quadrant"),
            ("provider_npi", r#""149777553\u0000""#, "npi_digits"),
            ("plan_group", r#""\ud800""#, "not_text"),
            ("subscriber_id", "1e400", "not_text"),
            ("subscriber_id", "3.730189502e9", "not_text"),
            ("plan_group", "-0", "not_text"),
            ("plan_group", r#""GRP-1000\u200b""#, "length"),
            ("subscriber_id", r#""\udc00 3730189502""#, "not_text"),
            ("service_date", r#""2018-03-28\udbff""#, "not_text"),
            ("provider_fees", "1e400", "money_format"),
            ("provider_fees", "1E2", "money_format"),
            ("provider_fees", r#""1e400""#, "money_format"),
            ("provider_fees", r#""NaN""#, "money_format"),
            ("provider_fees", r#""Infinity""#, "money_format"),
            ("provider_fees", "-0", "money_negative"),
            ("provider_fees", "-0.0", "money_negative"),
            ("provider_fees", r#""-0.00""#, "money_negative"),
            ("provider_fees", r#""0x10""#, "money_format"),
            ("provider_fees", r#""１０""#, "money_format"),
            ("service_date", r#""10000-01-01""#, "date_format"),
            ("service_date", r#""1/1/10000""#, "date_format"),
            ("service_date", r#""-001-01-01""#, "date_format"),
            ("service_date", r#""0000-00-00""#, "date_format"),
            ("service_date", r#""9999-12-31""#, "service_date_future"),
            ("service_date", r#""0001-01-01""#, "service_date_age"),
            ("service_date", r#""2023-02-29""#, "date_format"),
            ("service_date", r#""2/29/1900""#, "date_format"),
            ("service_date", "20180328", "date_format"),
            ("submitted_procedure", "1e400", "procedure_prefix"),
            ("provider_npi", "1497775530.0", "npi_digits"),
            ("provider_npi", "1.49777553e9", "npi_digits"),
        ] {
            let parsed: Value = serde_json::from_str(&good).unwrap();
            let members = parsed.as_object().unwrap().iter().filter(|(name, _)| *name != field);
            let members: Vec<String> = members.map(|(name, value)| format!("\"{name}\": {value}")).collect();
            let body = format!("{{{}, \"{field}\": {json}}}", members.join(", "));
            let answer = post_json(&service, body).await;
            assert_eq!(answer.problem(422), "claim-refused", "{field}: {json}");
            let errors = answer.body["errors"].as_array().unwrap();
            assert_eq!(errors.len(), 1, "{field}: {json} in {errors:#?}");
            assert_eq!((&errors[0]["field"], &errors[0]["code"]), (&json!(field), &json!(code)), "{json}");
            assert_eq!(errors[0]["pointer"], format!("/{field}"));
        }
        // A key that is sent twice, spelt alike or not, is not the last one's value.
        for twice in [r#""plan_group": "GRP-2""#, r#""Plan/Group #": "GRP-1000""#, r#""plan_group": null"#] {
            let answer = post_json(&service, good.replacen('{', &format!("{{{twice}, "), 1)).await;
            assert_eq!(answer.problem(422), "claim-refused", "{twice}");
            assert_eq!(answer.body["errors"][0]["code"], "sent_twice", "{twice}");
        }
        // What is not JSON at all is placed, and not echoed.
        for (broken, place) in [("NaN", "line 1"), ("\0", "line 1"), ("\"GRP\u{0}1000\"", "line 1"), ("01", "line 1")] {
            let body = good.replacen("\"GRP-1000\"", broken, 1);
            assert_ne!(body, good);
            let answer = post_json(&service, body).await;
            assert_eq!(answer.problem(400), "malformed", "{broken:?}");
            assert!(answer.body["detail"].as_str().unwrap().contains(place), "{}", answer.body);
        }
        let answer = post_json(&service, good.replacen('{', r#"{"\ud800": 1, "#, 1)).await;
        assert_eq!(answer.problem(400), "malformed");
        let answer = service.post_csv(&REAL_CLAIM.replace("3730189502", "37301\u{0}89502")).await;
        assert_eq!((answer.problem(422), &answer.body["errors"][0]["code"]), ("claim-refused", &json!("length")));
    });
    assert_empty(database.database());
}

#[test]
fn unknown_paths_and_wrong_methods_are_problems() {
    let database = TestDatabase::sqlite();
    with_service(&database, async |service| {
        for path in ["/", "/v1", "/v1/claim", "/v1/claims/", "/v1/claims/x/y", "/v2/claims", "/v1/claims/3730189502"] {
            assert_eq!(service.get(path).await.problem(404), "not-found", "{path}");
        }
        for id in ["4fXk0aV1StGXR8Z5jdHi6B", "%00", "..%2f..", "'%20OR%201=1", &"x".repeat(2_000)] {
            let answer = service.get(&format!("/v1/claims/{id}")).await;
            assert_eq!(answer.problem(404), "not-found", "{id}");
            assert!(!answer.body.to_string().contains(id), "{}", answer.body);
        }
        for (method, path, allowed) in [
            (Method::PUT, "/v1/claims", "GET, POST"),
            (Method::DELETE, "/v1/claims", "GET, POST"),
            (Method::POST, "/v1/claims/4fXk0aV1StGXR8Z5jdHi6B", "GET"),
            (Method::DELETE, "/v1/claims/4fXk0aV1StGXR8Z5jdHi6B", "GET"),
            (Method::POST, "/v1/providers/top", "GET"),
        ] {
            let answer = Answer::of(service.request(method.clone(), path)).await;
            assert_eq!(answer.problem(405), "wrong-method", "{method} {path}");
            assert_eq!(answer.header("allow"), allowed, "{method} {path}");
        }
    });
}
