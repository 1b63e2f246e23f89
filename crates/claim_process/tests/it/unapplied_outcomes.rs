//! Outcomes that cannot be applied: each becomes a dead letter, and the outcomes around it are applied.

use crate::kafka::{encoded, settled, unwound};
use crate::service::{Answer, PROVIDERS, assert_totals_agree};
use crate::submitted::{Submitted, handled, with_submitted};
use claim_events::{Headers, PAYMENT_TOPIC, PaymentEvent};
use rdkafka::producer::BaseRecord;
use reqwest::Method;
use serde_json::json;
use test_support::{TestDatabase, count, eventually, execute, number, on_both_databases};

on_both_databases! {
    fn a_contradiction_under_the_same_version_is_dead_lettered(database: &TestDatabase) {
        with_submitted(database, async |Submitted { service, kafka, id, partition }| {
            kafka.outcome(1, &settled(&id, 8_125));
            kafka.outcome(1, &PaymentEvent::Unwound(unwound(&id)));
            handled(&service, kafka, partition).await;
            assert_eq!(service.claim(&id).await["status"], "settled");
            let letter = format!(
                "dead_letters WHERE topic = 'payments.payment.v1' AND partition = {partition} AND message_offset = 1 \
             AND reason = 'it contradicts the outcome recorded under the same version'"
            );
            assert_eq!((count(database.database(), &letter), count(database.database(), "dead_letters")), (1, 1));
            kafka.outcome(2, &PaymentEvent::Unwound(unwound(&id)));
            service.claim_with_status(&id, "unwound").await;
        });
        assert!(!assert_totals_agree(database.database()).contains_key(PROVIDERS[0]));
    }

    fn an_outcome_for_an_unreadable_claim_is_dead_lettered(database: &TestDatabase) {
        let set = |columns: &str| {
            let sql = format!("UPDATE claims SET {columns} WHERE provider_npi = '{}'", PROVIDERS[0]);
            database.database().write(|connection| execute(connection, &sql)).unwrap();
        };
        with_submitted(database, async |Submitted { service, kafka, id, partition }| {
            // An unknown status, and an outcome without its version, time and body.
            let unreadables =
                [("status = 'paid'", "status = 'submitted'"), ("outcome_type = 'payment.settled'", "outcome_type = NULL")];
            for (round, (unreadable, readable)) in unreadables.into_iter().enumerate() {
                set(unreadable);
                kafka.outcome(1, &settled(&id, 8_125));
                handled(&service, kafka, partition).await;
                eventually("it is dead-lettered", async || {
                    (count(database.database(), "dead_letters") == 1 + i64::try_from(round).unwrap()).then_some(())
                })
                .await;
                let void = service.request(Method::POST, &format!("/v1/claims/{id}/void"));
                assert_eq!(Answer::of(void.json(&json!({"reason": "a slip"}))).await.status, 500, "{unreadable}");
                set(readable);
            }
            let of_partition = format!("dead_letters WHERE partition = {partition}");
            assert_eq!((count(database.database(), &of_partition), count(database.database(), "dead_letters")), (2, 2));
            assert_eq!(service.claim(&id).await["timeline"].as_array().map(Vec::len), Some(1), "nothing was recorded");
            kafka.outcome(1, &settled(&id, 8_125));
            service.claim_with_status(&id, "settled").await;
        });
    }

    fn poison_is_dead_lettered_and_its_partition_goes_on(database: &TestDatabase) {
        with_submitted(database, async |Submitted { service, kafka, id, partition }| {
            let good = encoded(1, &settled(&id, 8_125));
            let send = |key: Option<&str>, body: &str, change: &dyn Fn(&mut Headers)| {
                let (key, body) = (key.map(str::to_owned), body.to_owned());
                let mut headers = good.headers.clone();
                change(&mut headers);
                let record = BaseRecord::to(PAYMENT_TOPIC).partition(partition).payload(&body);
                kafka.send(
                    match &key {
                        Some(key) => record.key(key),
                        None => record,
                    },
                    &headers,
                );
            };
            let keep = |_: &mut Headers| ();
            let set = |name: &'static str, value: &'static str| {
                move |headers: &mut Headers| {
                    headers.iter_mut().find(|(header, _)| header == name).expect("the header").1 = value.to_owned();
                }
            };
            let unknown_claim = encoded(1, &settled("AAAAAAAAAAAAAAAAAAAAAA", 1));
            send(Some(&id), "{\"claim_id\": SECRET", &keep);
            send(Some(&id), "", &keep);
            send(Some(&id), "{}", &keep);
            send(Some(&id), &good.body, &|headers| headers.retain(|(name, _)| name != "ce_type"));
            send(Some(&id), &good.body, &|headers| headers.clear());
            send(Some(&id), &good.body, &set("ce_type", "payment.lost"));
            send(Some(&id), &good.body, &set("ce_aggregateversion", "0"));
            send(Some(&id), &good.body, &set("ce_time", "yesterday"));
            send(Some(&id), &good.body, &|headers| headers.push(("ce_type".to_owned(), "payment.unwound".to_owned())));
            send(Some("AAAAAAAAAAAAAAAAAAAAAA"), &good.body, &keep);
            send(None, &good.body, &keep);
            send(Some(&id), &unknown_claim.body, &keep);
            send(Some(&unknown_claim.key), &unknown_claim.body, &|headers| {
                headers.clone_from(&unknown_claim.headers)
            });
            send(Some(&id), &good.body, &keep);
            service.claim_with_status(&id, "settled").await;
            kafka.outcome(2, &PaymentEvent::Unwound(unwound(&id)));
            service.claim_with_status(&id, "unwound").await;
        });
        let database = database.database();
        assert_eq!(count(database, "dead_letters"), 13);
        for (reason, letters) in [
            ("the body is not JSON of the shape of 'payment.settled' (line 1, column 14)", 1),
            ("the body is not JSON of the shape of 'payment.settled' (line 1, column 0)", 1),
            ("the body is not JSON of the shape of 'payment.settled' (line 1, column 2)", 1),
            ("the header 'ce_type' is missing", 1),
            ("the header 'ce_specversion' is missing", 1),
            ("the header 'ce_type' is ambiguous: the message has it more than once", 1),
            (
                "the header 'ce_aggregateversion' is not as the contract says: it must be a whole number from 1 to 1000000000",
                1,
            ),
            ("the header 'ce_time' is not as the contract says: it must be an RFC 3339 time", 1),
            ("the key, the subject and the body do not name the same claim", 3),
            ("there is no such claim in this database", 1),
        ] {
            let like = reason.replace('\'', "''");
            assert_eq!(count(database, &format!("dead_letters WHERE reason = '{like}'")), letters, "{reason}");
        }
        // Each dead letter is complete: it can be inspected and redriven.
        assert_eq!(number(database, "SELECT COUNT(DISTINCT message_offset) AS n FROM dead_letters"), 13);
        assert_eq!(count(database, "dead_letters WHERE headers LIKE '%ce_dataschema%'"), 12);
        assert_eq!(count(database, "dead_letters WHERE message_key IS NULL"), 1);
        assert_eq!(
            number(
                database,
                "SELECT CAST(MAX(LENGTH(body)) AS BIGINT) AS n FROM dead_letters WHERE reason LIKE '%column 14%'"
            ),
            19
        );
    }
}
