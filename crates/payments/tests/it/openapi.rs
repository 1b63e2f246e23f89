//! The OpenAPI document is what the service does, example by example.

use crate::harness::{approved, event, unknown, with_application};
use crate::messages::submitted;
use event_bus::{DeadLetter, DeadLetterState};
use payments::domain::saga::{Forced, PaymentState};
use serde_json::json;
use test_support::openapi_walk::{document, operations, send_examples};
use test_support::{TestDatabase, on_both_databases};

/// The claim in the document's examples.
const EXAMPLE_ID: &str = "4fXk0aV1StGXR8Z5jdHi6B";

on_both_databases! {
    fn every_example_is_answered_as_the_document_says(test: &TestDatabase) {
        let secret = |settings: &mut payments::settings::Settings| settings.gateway.webhook_secret = "secret".into();
        with_application(test, secret, async |base, instance| {
            let calls = instance.receive(&event(EXAMPLE_ID, 11_685, 1));
            instance.answer(&calls[0], approved(11_685));
            let dead_letters = [1, 2].map(|offset| DeadLetter { message: submitted(EXAMPLE_ID, offset), reason: "poison".to_owned() });
            instance.executor.apply_events(&[], &dead_letters).expect("keeps them");
            for claim_id in ["stuck0000000000000retry", "stuck0000000000000force"] {
                let mut calls = instance.receive(&event(claim_id, 100, 1));
                while instance.saga(claim_id).stuck_reason.is_none() {
                    instance.answer(&calls[0], unknown());
                    calls = instance.resume().into_iter().filter(|call| call.claim_id == claim_id).collect();
                }
            }
            instance.executor.apply_return("evt-1", "unknown", 100).expect("keeps it");
            let document = document(&base).await;
            let statuses = send_examples(&base, &document).await;
            for (operation, statuses) in &statuses {
                let wanted = |status: &u16| match operation.as_str() {
                    "docs" => *status == 303,
                    // The example's signature is of no use.
                    "gateway_webhook" => *status == 401,
                    "redrive_dead_letter" | "retry_payment" => *status == 202,
                    // The database may not have been reached yet.
                    "readyz" => matches!(status, 200 | 503),
                    _ => *status == 200,
                };
                assert!(statuses.iter().all(wanted), "{operation}: {statuses:?}");
            }
            assert_eq!(statuses.len(), operations(&document).len());
        });
    }

    fn the_document_has_the_names_and_the_fields_that_are_read(test: &TestDatabase) {
        with_application(test, |_| (), async |base, _| {
            let document = document(&base).await;
            let schemas = &document["components"]["schemas"];
            assert_eq!(schemas["StateName"]["enum"], json!(PaymentState::ALL));
            assert_eq!(schemas["ForceAnswer"]["enum"], json!(Forced::ALL));
            assert_eq!(schemas["ForceBody"]["required"], json!(["reason", "answer"]));
            assert_eq!(schemas["ReasonedBody"]["required"], json!(["reason"]));
            assert_eq!(schemas["DeadLetterState"]["enum"], json!(DeadLetterState::ALL));
            let state = &document["paths"]["/v1/dead-letters"]["get"]["parameters"][0];
            assert_eq!((&state["name"], &state["required"]), (&json!("state"), &json!(false)), "{state}");
            assert_eq!(state["schema"]["enum"], json!(["waiting", "redriven", "discarded", "all"]), "{state}");
            assert!(state["description"].as_str().is_some_and(|text| text.contains("By default those that wait")), "{state}");
        });
    }
}
