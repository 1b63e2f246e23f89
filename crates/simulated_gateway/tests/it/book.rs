//! The routes of the book: totals and pages; and those of health and metrics.

use crate::gateway::with_gateway;
use serde_json::{Value, json};
use test_support::{TestDatabase, eventually, on_both_databases};

on_both_databases! {
    fn the_summary_counts_payments_of_all_fates(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            let empty = payer.get("/book/summary").await.body;
            assert_eq!(empty, json!({"payments": 0, "refunds": 0, "claims": 0, "money_out_cents": 0, "money_back_cents": 0, "net_cents": 0}));
            for cents in [10_000, 10_031, 10_037, 10_041, 10_043, 10_047, 10_053, 10_059] {
                payer.pay_until_definite(&format!("k{cents}"), &format!("c{cents}"), cents).await;
            }
            payer.refund("r47", "c10047", 10_147).await;
            let paid = 10_000 + 10_037 + 10_041 + 10_043 + 10_147 + 10_053 + 10_159;
            assert_eq!(payer.get("/book/summary").await.body, json!({"payments": 7, "refunds": 1, "claims": 7,
                "money_out_cents": paid, "money_back_cents": 10_147, "net_cents": paid - 10_147}));
            let entry = &payer.get("/book?reference=c10047").await.body["entries"][1];
            assert_eq!((&entry["kind"], &entry["reference"], &entry["amount_cents"]), (&json!("refund"), &json!("c10047"), &json!(10_147)));
            let at: jiff::Timestamp = entry["at"].as_str().unwrap().parse().unwrap();
            assert!(jiff::Timestamp::now().duration_since(at).abs().as_secs() < 60, "{at}");
        });
    }

    fn claims_are_paged_in_the_order_of_their_bytes(database: &TestDatabase) {
        with_gateway(database, |payer| async move {
            // Dictionary order and byte order differ for these.
            for reference in ["b", "B", "a", "A", "_", "a1", "Z"] {
                payer.pay(reference, reference, 100).await.unwrap();
            }
            payer.pay("again", "a", 200).await.unwrap();
            payer.refund("r", "a", 200).await;
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = payer.get(&format!("/book/claims?limit=3{cursor}")).await.body;
                seen.extend(page["claims"].as_array().unwrap().clone());
                match &page["next_cursor"] {
                    Value::String(next) => cursor = format!("&cursor={next}"),
                    other => { assert_eq!(other, &Value::Null); break; }
                }
            }
            let references: Vec<_> = seen.iter().map(|claim| claim["reference"].as_str().unwrap()).collect();
            assert_eq!(references, ["A", "B", "Z", "_", "a", "a1", "b"]);
            assert_eq!(seen[4], json!({"reference": "a", "payments": 2, "money_out_cents": 300, "money_back_cents": 200}));
            assert_eq!(payer.get("/book/claims").await.body["claims"].as_array().unwrap().len(), 7);
            assert_eq!(payer.get("/book/claims?limit=7").await.body["next_cursor"], Value::Null);
        });
    }
}

#[test]
fn health_and_metrics_are_served() {
    let database = TestDatabase::sqlite();
    with_gateway(&database, |payer| async move {
        assert_eq!(payer.get("/healthz").await.status, 200);
        let ready = eventually("it is ready", async || {
            let ready = payer.get("/readyz").await;
            (ready.status == 200).then_some(ready)
        })
        .await;
        assert_eq!(ready.body, json!({"ready": true, "dependencies": {"database": "ready"}}));
        payer.pay("k1", "claim1", 100).await.unwrap();
        let metrics = payer.get("/metrics").await.body;
        let text = metrics.as_str().unwrap();
        assert!(text.contains("gateway_payment_requests_total{answer=\"approved\"}"), "{text}");
        assert!(text.contains("http_request_seconds"), "{text}");
    });
}
