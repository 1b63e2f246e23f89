//! The OpenAPI document: it is what the service does, example by example, and the page that shows it needs no network.

use crate::service::{Service, with_service, with_settings};
use claim_events::PAYMENT_TOPIC;
use event_bus::{DeadLetter, IncomingMessage};
use reqwest::Method;
use serde_json::json;
use test_support::openapi_walk::{assert_conforms, document, operations, send_examples};
use test_support::{TestDatabase, execute, on_both_databases};

/// The id in the document's examples.
const EXAMPLE_ID: &str = "4fXk0aV1StGXR8Z5jdHi6B";

/// A dead letter.
fn dead_letter(offset: i64) -> DeadLetter {
    let message = IncomingMessage {
        topic: PAYMENT_TOPIC.to_owned(),
        partition: 0,
        offset,
        time_ms: 0,
        key: Some(EXAMPLE_ID.into()),
        headers: Vec::new(),
        body: b"{}".to_vec(),
    };
    DeadLetter { message, reason: "poison".to_owned() }
}

on_both_databases! {
    fn every_example_is_answered_as_the_document_says(database: &TestDatabase) {
        with_service(database, async |service| {
            let document = document(&service.base()).await;
            let id = service.accepted(&crate::service::claim("1497775530", "1.00")).await;
            let sql = format!("UPDATE claims SET claim_id = '{EXAMPLE_ID}' WHERE claim_id = '{id}'");
            database.database().write(|connection| execute(connection, &sql)).unwrap();
            let letters = [1, 2].map(dead_letter);
            database.database().write(|connection| event_bus::insert_dead_letters(connection, &letters, 0)).unwrap().report();
            let statuses = send_examples(&service.base(), &document).await;
            for (operation, statuses) in &statuses {
                let wanted = |status: &u16| match operation.as_str() {
                    "docs" => *status == 303,
                    // The database may not have been reached yet.
                    "readyz" => matches!(status, 200 | 503),
                    _ => (200..300).contains(status),
                };
                assert!(statuses.iter().all(wanted), "{operation}: {statuses:?}");
            }
            assert_eq!(statuses["submit_claim"], [201, 201, 201]);
            assert_eq!(statuses.len(), operations(&document).len());
        });
    }
}

#[test]
fn errors_are_answered_as_the_document_says() {
    let database = TestDatabase::sqlite();
    let tight = |settings: &mut claim_process::settings::Settings| {
        settings.http.max_body_bytes = 2_000;
        settings.rate_limit.top_providers_per_minute = 2;
    };
    with_settings(&database, tight, async |service| {
        let document = document(&service.base()).await;
        let letters = [1, 2].map(dead_letter);
        database
            .database()
            .write(|connection| event_bus::insert_dead_letters(connection, &letters, 0))
            .unwrap()
            .report();
        let post = "/v1/claims";
        let (redrive, discard) = ("/v1/dead-letters/{id}/redrive", "/v1/dead-letters/{id}/discard");
        for (method, path, query, body, kind, status) in [
            (Method::GET, "/v1/claims", "?limit=0", "", "", 400),
            (Method::GET, "/v1/claims/{id}", "", "", "", 404),
            (Method::GET, "/v1/providers/top", "?limit=x", "", "", 400),
            (Method::GET, "/v1/providers/top", "", "", "", 200),
            (Method::GET, "/v1/providers/top", "", "", "", 429),
            (Method::POST, post, "", "{", "application/json", 400),
            (Method::POST, post, "", "{}", "application/json", 422),
            (Method::POST, post, "", "x", "application/pdf", 415),
            (Method::POST, post, "", &"x".repeat(3_000), "text/csv", 413),
            (Method::POST, "/v1/claims/{id}/void", "", "{}", "application/json", 422),
            (Method::POST, "/v1/claims/{id}/void", "", "{\"reason\": \"x\"}", "application/json", 404),
            (Method::GET, "/v1/dead-letters", "?state=x", "", "", 400),
            (Method::GET, "/v1/dead-letters/{id}", "", "", "", 404),
            (Method::POST, redrive, "", "{", "application/json", 400),
            (Method::POST, redrive, "", "", "", 422),
            (Method::POST, redrive, "", "{\"reason\": \"x\"}", "application/json", 202),
            (Method::POST, redrive, "", "{\"reason\": \"x\"}", "application/json", 409),
            (Method::POST, discard, "", "{}", "application/json", 422),
            (Method::POST, discard, "", "{\"reason\": \"x\"}", "application/json", 409),
        ] {
            let operation = &document["paths"][path][method.as_str().to_lowercase()];
            let is_dead_letter = path.starts_with("/v1/dead-letters") && method == Method::POST;
            let url = path.replace("{id}", if is_dead_letter { "1" } else { EXAMPLE_ID });
            let mut request = service.request(method.clone(), &format!("{url}{query}")).body(body.to_owned());
            if !kind.is_empty() {
                request = request.header("content-type", kind);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{method} {path}{query}");
            assert_conforms(&document, operation, &format!("{method} {path}"), answer).await;
        }
        // The limits in force are documented.
        let answers = &document["paths"][post]["post"]["responses"];
        assert!(answers["413"]["description"].as_str().unwrap().contains("2000 bytes"), "{answers}");
    });
}

#[test]
fn a_path_with_a_wrong_method_names_the_allowed_ones() {
    let database = TestDatabase::sqlite();
    with_service(&database, async |service| {
        for (path, allowed) in [("/v1/claims", "GET, POST"), ("/v1/providers/top", "GET"), ("/openapi.json", "GET")] {
            let answer = service.request(Method::DELETE, path).send().await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), answer.headers()["allow"].to_str().unwrap()),
                (405, allowed),
                "{path}"
            );
        }
    });
}

#[test]
fn the_page_is_complete_and_loads_nothing_from_elsewhere() {
    let database = TestDatabase::sqlite();
    with_service(&database, async |service: Service| {
        let page = service.get("/docs").await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html"), "it leads to docs/");
        let policy = page.header("content-security-policy").to_owned();
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
        assert!(!policy.contains("http"), "no other place: {policy}");
        for file in ["swagger-ui.css", "index.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js"] {
            let answer = service.get(&format!("/docs/{file}")).await;
            assert_eq!((answer.status, answer.header("content-security-policy")), (200, policy.as_str()), "{file}");
        }
        let start = service.get("/docs/swagger-initializer.js").await.body;
        assert!(start.as_str().unwrap().contains("../openapi.json"), "{start}");
        assert_eq!(service.get("/docs/no-such-file").await.problem(404), "not-found");
        assert_eq!(service.get("/docs/..%2f..%2fetc%2fpasswd").await.body["status"], json!(404));
    });
}
