//! Invalid input: all findings at once, and nothing booked.

use crate::gateway::{Payer, Response, read, with_gateway, with_settings};
use serde_json::{Value, json};
use test_support::TestDatabase;

async fn post(payer: &Payer, path: &str, key: Option<&str>, body: impl Into<reqwest::Body>) -> Response {
    let mut request = payer.post_to(path).body(body);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    read(request.send().await.expect("answers")).await.expect("has a body")
}

/// The fields of the findings.
fn fields(response: &Response) -> Vec<&str> {
    assert_eq!(response.status, 422, "{response:?}");
    response.body["errors"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|finding| finding["field"].as_str().expect("a field"))
        .collect()
}

#[test]
fn all_findings_are_returned_at_once() {
    let database = TestDatabase::sqlite();
    with_gateway(&database, |payer| async move {
        let nothing = post(&payer, "/payments", None, "{}").await;
        assert_eq!(fields(&nothing), ["Idempotency-Key", "reference", "amount_cents", "currency", "payee"]);
        assert!(nothing.body["errors"].as_array().unwrap().iter().all(|finding| finding["code"] == "missing"));
        let nothing = post(&payer, "/refunds", None, "{}").await;
        assert_eq!(fields(&nothing), ["Idempotency-Key", "reference", "amount_cents", "currency"]);

        let good = json!({"reference": "claim1", "amount_cents": 100, "currency": "USD", "payee": "1497775530"});
        let with = |field: &str, value: Value| {
            let mut body = good.clone();
            body[field] = value;
            body.to_string()
        };
        for (field, value) in [
            ("amount_cents", json!(0)),
            ("amount_cents", json!(-100)),
            ("amount_cents", json!(1.5)),
            ("amount_cents", json!("100")),
            ("amount_cents", json!(1_000_000_000_001_i64)),
            ("amount_cents", json!(u64::MAX)),
            ("currency", json!("EUR")),
            ("currency", json!(null)),
            ("reference", json!("")),
            ("reference", json!("two words")),
            ("reference", json!("nul\u{0}")),
            ("reference", json!("x".repeat(65))),
            ("payee", json!(1_497_775_530)),
        ] {
            let refused = post(&payer, "/payments", Some("k1"), with(field, value.clone())).await;
            assert_eq!(fields(&refused), [field], "{value}");
            assert_eq!(refused.body["errors"][0]["code"], "wrong");
        }
        for key in ["", "with blank", &"k".repeat(129)] {
            assert_eq!(fields(&post(&payer, "/payments", Some(key), good.to_string()).await), ["Idempotency-Key"]);
        }
        assert_eq!(payer.book_of("claim1").await, (0, 0, vec![]), "nothing was booked");
        // The key of a refused request is free.
        assert_eq!(post(&payer, "/payments", Some("k1"), good.to_string()).await.status, 200);
    });
}

#[test]
fn malformed_input_is_refused_and_not_echoed() {
    let database = TestDatabase::sqlite();
    with_gateway(&database, |payer| async move {
        for body in ["", "{\"reference\": canary", "[]", "\"canary\"", "{\"canary\": 1} x"] {
            let refused = post(&payer, "/payments", Some("k1"), body).await;
            assert_eq!(refused.status, 400, "{body}");
            assert!(!refused.body.to_string().contains("canary"), "{refused:?}");
        }
        assert_eq!(post(&payer, "/refunds", Some("k1"), vec![b'"', 0xff, b'"']).await.status, 400);
        for path in ["/payments", "/payments?reference=", "/book", "/book?reference=two%20words", "/book?reference=%00"]
        {
            assert_eq!(payer.get(path).await.status, 400, "{path}");
        }
        for limit in ["0", "1001", "-1", "many", ""] {
            assert_eq!(fields(&payer.get(&format!("/book/claims?limit={limit}")).await), ["limit"], "{limit:?}");
        }
        for wrong in ["cursor=", "cursor=%00", "cursor=c1", "after=c1"] {
            let refused = payer.get(&format!("/book/claims?{wrong}")).await;
            assert!(
                refused.status == 400 && refused.body["detail"].as_str().unwrap().contains("cursor"),
                "{refused:?}"
            );
        }
    });
}

#[test]
fn wrong_routes_methods_and_sizes_are_problems() {
    let database = TestDatabase::sqlite();
    with_settings(
        &database,
        |settings| settings.http.max_body_bytes = 1_000,
        |payer| async move {
            let missing = payer.get("/nothing/here").await;
            assert_eq!((missing.status, &missing.body["title"]), (404, &json!("Not found")));
            for (method, path) in [("DELETE", "/payments"), ("GET", "/refunds"), ("POST", "/book/summary")] {
                let method = method.parse().unwrap();
                let refused = read(payer.request(method, path).send().await.unwrap()).await.unwrap();
                assert_eq!((refused.status, &refused.body["status"]), (405, &json!(405)), "{path}");
                assert!(refused.body["request_id"].is_string());
            }
            assert_eq!(post(&payer, "/payments", Some("k1"), vec![b' '; 1_001]).await.status, 413);
        },
    );
}
