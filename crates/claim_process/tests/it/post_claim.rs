//! `POST /v1/claims` and `GET /v1/claims/{id}` with claims that are accepted, over real HTTP.

use crate::service::{Answer, PROVIDERS, REAL_CLAIM, assert_totals_agree, claim, line, with_service, with_settings};
use reqwest::Method;
use serde_json::{Value, json};
use test_support::{TestDatabase, count, number, on_both_databases};

on_both_databases! {
    fn the_real_claim_is_accepted_and_read_back(database: &TestDatabase) {
        with_service(database, async |service| {
            let answer = service.post_csv(REAL_CLAIM).await;
            assert_eq!(answer.status, 201, "{}", answer.body);
            assert_eq!(answer.net_fees(), ["0.00", "0.00", "81.25", "35.60"]);
            let id = answer.body["id"].as_str().unwrap();
            assert!(id.len() == 22 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
            assert_eq!(answer.header("location"), format!("/v1/claims/{id}"));
            assert_eq!(answer.header("content-type"), "application/json");
            let expected = json!({
                "id": id, "external_claim_id": null, "status": "submitted", "needs_attention": false, "attention": null,
                "plan_group": "GRP-1000", "subscriber_id": "3730189502", "provider_npi": "1497775530",
                "net_fee": "116.85", "submitted_at": answer.body["submitted_at"],
                "lines": answer.body["lines"], "warnings": [], "outcome": null,
                "timeline": [{"at": answer.body["submitted_at"], "event": "claim.submitted"}],
            });
            assert_eq!(answer.body, expected);
            assert_eq!(
                answer.body["lines"][2],
                json!({
                    "line": 3, "service_date": "2018-03-28", "submitted_procedure": "D4346", "quadrant": null,
                    "provider_fees": "130.00", "allowed_fees": "65.00", "member_coinsurance": "16.25",
                    "member_copay": "0.00", "net_fee": "81.25",
                })
            );
            assert_eq!(answer.body["lines"][3]["quadrant"], "UR");

            let read = service.get(answer.header("location")).await;
            assert_eq!((read.status, &read.body), (200, &answer.body));
        });
        assert_eq!(count(database.database(), "claims"), 1);
        assert_eq!(count(database.database(), "claim_lines"), 4);
        assert_eq!(assert_totals_agree(database.database())["1497775530"], (11_685, 1));
        assert_eq!(number(database.database(), "SELECT count(*) AS n FROM outbox WHERE topic = 'claims.claim.v1'"), 1);
    }

    fn every_answer_has_an_id_and_a_duration(database: &TestDatabase) {
        with_service(database, async |service| {
            let with_id = async |id: &str| {
                Answer::of(service.request(Method::GET, "/v1/claims").header("x-request-id", id)).await
            };
            assert_eq!(with_id("a-request_of.mine-17").await.header("x-request-id"), "a-request_of.mine-17");
            let longest = "x".repeat(64);
            assert_eq!(with_id(&longest).await.header("x-request-id"), longest);
            // What could forge a log line, or fill one, is replaced.
            for hostile in ["", "a b", "a\tb", "\"},{\"level\":\"error", "id=1;id=2", "../../etc", &"x".repeat(65)] {
                let made = with_id(hostile).await;
                let id = made.header("x-request-id");
                assert!(id != hostile && !id.is_empty(), "{id:?} for {hostile:?}");
                assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')), "{id:?}");
            }
            let without = service.get("/v1/claims").await;
            let again = service.get("/v1/claims").await;
            assert_ne!(without.header("x-request-id"), again.header("x-request-id"));
            for path in ["/v1/claims", "/healthz", "/readyz", "/metrics", "/nowhere"] {
                let answer = service.get(path).await;
                let took: f64 =
                    answer.header("x-process-time-ms").parse().unwrap_or_else(|_| panic!("{path}: {answer:?}"));
                assert!((0.0..10_000.0).contains(&took), "{path}: {took}");
                assert!(!answer.header("x-request-id").is_empty(), "{path}");
            }
        });
    }

    fn what_curl_sends_by_itself_is_read_and_other_kinds_are_not(database: &TestDatabase) {
        with_service(database, async |service| {
            let send = async |kind: Option<&str>, body: &str| {
                let request = service.claims().body(body.to_owned());
                Answer::of(match kind {
                    Some(kind) => request.header("content-type", kind),
                    None => request,
                })
                .await
            };
            let as_json = claim(PROVIDERS[0], "116.85").to_string();
            for (kind, body) in [
                (Some("application/x-www-form-urlencoded"), REAL_CLAIM),
                (Some("application/x-www-form-urlencoded"), as_json.as_str()),
                (None, REAL_CLAIM),
                (None, as_json.as_str()),
                (Some("text/csv; charset=utf-8"), REAL_CLAIM),
                (Some("Text/CSV"), REAL_CLAIM),
                (Some("application/json; charset=utf-8"), as_json.as_str()),
                (None, &format!("\u{feff}{as_json}")),
            ] {
                let answer = send(kind, body).await;
                assert_eq!(
                    (answer.status, &answer.body["net_fee"]),
                    (201, &json!("116.85")),
                    "{kind:?}: {}",
                    answer.body
                );
            }
            let packed = service.request(reqwest::Method::POST, "/v1/claims").header("content-encoding", "gzip");
            let refused = Answer::of(packed.body(as_json.clone())).await;
            assert!(refused.problem(415) == "media-type" && refused.body["detail"].as_str().unwrap().contains("/batch"));
            for kind in ["text/plain", "application/xml", "multipart/form-data; boundary=x", "json", ""] {
                assert_eq!(send(Some(kind), &as_json).await.problem(415), "media-type", "{kind:?}");
            }
        });
        assert_eq!(count(database.database(), "claims"), 8);
    }

    fn the_shapes_of_json_are_the_same_claim_over_http(database: &TestDatabase) {
        // That they are the same is what it would warn of.
        let change = |settings: &mut claim_process::settings::Settings| {
            settings.rules.insert("likely_duplicate".into(), claim_process::domain::rules::rule::Severity::Off);
        };
        with_settings(database, change, async |service| {
            let mut stored: Vec<Value> = Vec::new();
            for shape in [json!({"lines": [line(&[])]}), line(&[]), json!([line(&[])])] {
                let mut body = service.post(&shape).await.body;
                for differs in ["id", "submitted_at", "timeline"] {
                    body.as_object_mut().unwrap().remove(differs);
                }
                stored.push(body);
            }
            assert_eq!(stored[0], stored[1]);
            assert_eq!(stored[0], stored[2]);
            assert_eq!(stored[0]["net_fee"], "10.00");
        });
    }

    fn warnings_are_in_the_answer_and_stay_with_the_claim(database: &TestDatabase) {
        with_service(database, async |service| {
            let unknown = json!({"lines": [line(&[("tooth", json!("14")), ("provider_npi", json!("1234567890"))])]});
            let answer = service.post(&unknown).await;
            assert_eq!(answer.status, 201, "{}", answer.body);
            let warnings = answer.body["warnings"].as_array().unwrap();
            let found: Vec<_> = warnings.iter().map(|warning| (&warning["field"], &warning["code"])).collect();
            assert_eq!(
                found,
                [(&json!("tooth"), &json!("unknown_field")), (&json!("provider_npi"), &json!("npi_checksum"))]
            );
            assert_eq!(warnings[0]["pointer"], "/lines/0/tooth");
            assert_eq!(warnings[0]["line"], 1);
            let read = service.claim(answer.body["id"].as_str().unwrap()).await;
            assert_eq!(read["warnings"], answer.body["warnings"]);
        });
    }

    fn a_negative_net_fee_is_stored_as_it_is(database: &TestDatabase) {
        with_service(database, async |service| {
            let owed = json!([line(&[("provider_fees", json!("10.00")), ("allowed_fees", json!("30.05"))])]);
            let answer = service.post(&owed).await;
            assert_eq!((answer.status, &answer.body["net_fee"]), (201, &json!("-20.05")));
            assert_eq!(service.claim(answer.body["id"].as_str().unwrap()).await["net_fee"], "-20.05");
        });
        assert_eq!(assert_totals_agree(database.database())["1497775530"], (-2_005, 1));
    }

    fn a_deployment_chooses_its_limits_and_rules(database: &TestDatabase) {
        let change = |settings: &mut claim_process::settings::Settings| {
            settings.checks.max_lines = 2;
            settings.rules.insert("procedure_prefix".into(), claim_process::domain::rules::rule::Severity::Warn);
            settings.rules.insert("procedure_format".into(), claim_process::domain::rules::rule::Severity::Off);
        };
        with_settings(database, change, async |service| {
            let three = json!([line(&[]), line(&[]), line(&[])]);
            assert_eq!(service.post(&three).await.body["errors"][0]["code"], "line_count");
            let answer = service.post(&json!([line(&[("submitted_procedure", json!("E4211"))])])).await;
            assert_eq!((answer.status, &answer.body["warnings"][0]["code"]), (201, &json!("procedure_prefix")));
        });
    }

    fn the_service_reports_health_readiness_and_metrics(database: &TestDatabase) {
        with_service(database, async |service| {
            assert_eq!(service.get("/healthz").await.body, json!({"status": "alive"}));
            // Nothing listens where Kafka should be: the service accepts claims, and reports that it is not ready.
            let ready = test_support::eventually("the database is reached", async || {
                let ready = service.get("/readyz").await;
                (ready.body["dependencies"]["database"] == "ready").then_some(ready)
            })
            .await;
            assert_eq!((ready.status, &ready.body["ready"]), (503, &json!(false)));
            assert_ne!(ready.body["dependencies"]["kafka"], "ready");
            assert_eq!(service.post(&claim(PROVIDERS[0], "1.00")).await.status, 201);
            let metrics = service.get("/metrics").await.body;
            let metrics = metrics.as_str().unwrap();
            for named in ["claims_accepted_total", "http_request_seconds", "ingest_group_claims"] {
                assert!(metrics.contains(named), "{named} in {metrics}");
            }
        });
    }
}
