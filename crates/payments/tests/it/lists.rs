//! What an operator can list: payments by state, balances, and dead letters.

use crate::harness::{CLAIM, Instance, approved, declined, event, settings, unknown, with_application};
use event_bus::DeadLetter;
use payments::db::sagas;
use serde_json::{Value, json};
use test_support::{TestDatabase, on_both_databases};

async fn get(base: &str, path: &str) -> (u16, Value) {
    let answer = reqwest::get(format!("{base}{path}")).await.expect("answers");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

fn ids(page: &Value) -> Vec<&str> {
    page["payments"].as_array().expect("a list").iter().filter_map(|payment| payment["claim_id"].as_str()).collect()
}

/// One that is settled, one that is unwound, one that is stuck, in this order.
fn three_payments(test: &TestDatabase) {
    let mut impatient = settings();
    impatient.saga.stuck_after_attempts = 1;
    let instance = Instance::with_settings(test.database(), "one", impatient);
    for (id, answer) in [("settled", approved(100)), ("unwound", declined()), ("stuck", unknown())] {
        let calls = instance.receive(&event(id, 100, 1));
        instance.answer(&calls[0], answer);
    }
}

on_both_databases! {
    fn payments_are_listed_by_state_page_by_page(test: &TestDatabase) {
        three_payments(test);
        with_application(test, |_| (), async |base, _| {
            let (status, all) = get(&base, "/v1/payments").await;
            assert_eq!((status, ids(&all)), (200, vec!["stuck", "unwound", "settled"]));
            for state in ["settled", "unwound", "stuck"] {
                let (_, page) = get(&base, &format!("/v1/payments?state={state}")).await;
                assert_eq!(ids(&page), [state]);
                assert_eq!((&page["payments"][0]["state"], &page["payments"][0]["amount"]), (&json!(state), &json!("1.00")));
                assert_eq!(page["payments"][0]["stuck_reason"].is_string(), state == "stuck");
            }
            let (_, working) = get(&base, "/v1/payments?state=working").await;
            assert!(ids(&working).is_empty(), "each is listed under the state that is shown");
            assert_eq!(test.database().read(sagas::count_stuck).expect("counts"), 1);
            let (mut seen, mut path) = (Vec::new(), "/v1/payments?limit=1".to_owned());
            loop {
                let (_, page) = get(&base, &path).await;
                seen.extend(ids(&page).into_iter().map(str::to_owned));
                let Some(cursor) = page["next_cursor"].as_str() else { break };
                path = format!("/v1/payments?limit=1&cursor={cursor}");
                assert!(seen.len() < 4);
            }
            assert_eq!(seen, ["stuck", "unwound", "settled"]);
            for wrong in ["state=lost", "limit=0", "limit=501", "cursor=x", "cursor=1", "more=1", "state=%00"] {
                assert_eq!(get(&base, &format!("/v1/payments?{wrong}")).await.0, 400, "{wrong}");
            }
            // What no database can hold is not asked of one.
            assert_eq!(get(&base, "/v1/payments/%00").await.0, 404);
        });
    }

    fn balances_show_what_is_posted_and_what_is_reserved(test: &TestDatabase) {
        three_payments(test);
        with_application(test, |_| (), async |base, _| {
            let (status, page) = get(&base, "/v1/ledger/balances").await;
            let line = |account: &str, debits: &str, credits: &str, balance: &str, pending: &str| {
                json!({"account": account, "debits": debits, "credits": credits, "balance": balance, "pending": pending})
            };
            assert_eq!(status, 200);
            assert_eq!(page["balances"], json!([
                line("cash", "0.00", "1.00", "1.00", "0.00"),
                line("plan_budget:GRP-1000", "1.00", "0.00", "-1.00", "0.00"),
                line("provider_payable:1497775530", "1.00", "1.00", "0.00", "1.00"),
            ]));
            let (_, first) = get(&base, "/v1/ledger/balances?limit=1").await;
            let cursor = first["next_cursor"].as_str().expect("there is more");
            let (_, next) = get(&base, &format!("/v1/ledger/balances?limit=1&cursor={cursor}")).await;
            assert_eq!(next["balances"][0]["account"], "plan_budget:GRP-1000");
        });
    }

    fn each_list_reads_its_own_cursors_and_no_others(test: &TestDatabase) {
        three_payments(test);
        let instance = Instance::new(test.database(), "two");
        let dead_letter = |offset: i64| {
            let mut message = event(CLAIM, 100, 1).message;
            message.offset = offset;
            DeadLetter { message, reason: "it cannot be read".to_owned() }
        };
        instance.executor.apply_events(&[], &[dead_letter(1), dead_letter(2)]).expect("keeps them");
        for (id, claim_id) in [("evt-1", "none"), ("evt-2", "none")] {
            instance.executor.apply_return(id, claim_id, 100).expect("keeps it");
        }
        with_application(test, |_| (), async |base, _| {
            let lists = ["/v1/payments", "/v1/dead-letters", "/v1/returns", "/v1/ledger/balances", "/v1/ledger/audit"];
            let mut cursors = Vec::new();
            for list in lists {
                let (status, first) = get(&base, &format!("{list}?limit=1")).await;
                assert_eq!(status, 200, "{list}: {first}");
                cursors.push(first["next_cursor"].as_str().unwrap_or_else(|| panic!("{list}: {first}")).to_owned());
            }
            for (list, own) in lists.iter().zip(&cursors) {
                for cursor in &cursors {
                    let (status, page) = get(&base, &format!("{list}?limit=1&cursor={cursor}")).await;
                    let is_named = page["detail"].as_str().is_some_and(|why| why.starts_with("cursor must be"));
                    assert_eq!((status, is_named), if cursor == own { (200, false) } else { (400, true) }, "{list}: {page}");
                }
                let (status, refused) = get(&base, &format!("{list}?after=x")).await;
                assert!(status == 400 && refused["detail"].as_str().is_some_and(|why| why.contains("cursor")), "{refused}");
            }
        });
    }

    fn dead_letters_are_listed_without_their_bodies(test: &TestDatabase) {
        let instance = Instance::new(test.database(), "one");
        let dead_letter = |offset: i64| {
            let mut message = event(CLAIM, 100, 1).message;
            message.offset = offset;
            message.body = b"patient data".to_vec();
            DeadLetter { message, reason: "it cannot be read".to_owned() }
        };
        instance.executor.apply_events(&[], &[dead_letter(1), dead_letter(2)]).expect("keeps them");
        with_application(test, |_| (), async |base, _| {
            let (status, page) = get(&base, "/v1/dead-letters").await;
            let dead_letters = page["dead_letters"].as_array().expect("a list");
            assert_eq!((status, dead_letters.len()), (200, 2));
            assert_eq!((&dead_letters[0]["offset"], &dead_letters[0]["key"]), (&json!(2), &json!(CLAIM)));
            assert_eq!((&dead_letters[0]["reason"], &dead_letters[0]["body_bytes"]), (&json!("it cannot be read"), &json!(12)));
            assert!(!page.to_string().contains("patient"));
            let (_, first) = get(&base, "/v1/dead-letters?limit=1").await;
            let cursor = first["next_cursor"].as_str().expect("there is more").to_owned();
            let (_, rest) = get(&base, &format!("/v1/dead-letters?limit=1&cursor={cursor}")).await;
            assert_eq!((&rest["dead_letters"][0]["offset"], &rest["next_cursor"]), (&json!(1), &Value::Null));
        });
    }
}
