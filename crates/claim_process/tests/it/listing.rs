//! `GET /v1/claims`: the order, pages that miss and repeat nothing, filters, and queries that cannot be read.

use crate::service::{PROVIDERS, Service, claim, line, with_service};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use test_support::{TestDatabase, execute, on_both_databases};

/// The ids of a page, and where the next one begins.
async fn page(service: &Service, query: &str) -> (Vec<String>, Option<String>) {
    let answer = service.get(&format!("/v1/claims{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    (ids(&answer.body), answer.body["next_cursor"].as_str().map(str::to_owned))
}

/// The ids of a list of claims.
fn ids(body: &Value) -> Vec<String> {
    let claims = body["claims"].as_array().expect("a list").iter();
    claims.map(|claim| claim["id"].as_str().expect("an id").to_owned()).collect()
}

/// Posts `count` claims, one after the other, and returns their ids, newest first.
async fn posted(service: &Service, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..count {
        ids.insert(0, service.accepted(&claim(PROVIDERS[n % 2], "1.00")).await);
    }
    ids
}

on_both_databases! {
    fn claims_are_listed_newest_first_with_everything_a_claim_has(database: &TestDatabase) {
        with_service(database, async |service| {
            assert_eq!(service.get("/v1/claims").await.body, json!({"claims": [], "next_cursor": null}));
            let newest_first = posted(&service, 7).await;
            assert_eq!(page(&service, "").await, (newest_first.clone(), None));
            let listed = service.get("/v1/claims").await.body;
            for (id, listed) in newest_first.iter().zip(listed["claims"].as_array().unwrap()) {
                assert_eq!(&service.claim(id).await, listed);
            }
        });
    }

    fn pages_miss_and_repeat_nothing_while_claims_come_in(database: &TestDatabase) {
        with_service(database, async |service| {
            let mut everything = posted(&service, 23).await;
            for limit in [22, 23, 24, 500, 5, 1] {
                let mut seen = Vec::new();
                let mut next = Some(format!("?limit={limit}"));
                let mut newcomers = 0;
                while let Some(query) = next {
                    let (ids, cursor) = page(&service, &query).await;
                    assert!(ids.len() == limit || cursor.is_none(), "only the last page is short");
                    seen.extend(ids);
                    assert!(seen.len() <= everything.len(), "a page repeats another");
                    next = cursor.map(|cursor| format!("?limit={limit}&cursor={cursor}"));
                    service.accepted(&claim(PROVIDERS[3], "1.00")).await;
                    newcomers += 1;
                }
                // What came while the pages were read is newer than all of them, and on no page.
                assert_eq!(seen, everything, "limit {limit}");
                everything = page(&service, "?limit=500").await.0;
                assert_eq!(everything.len(), seen.len() + newcomers);
            }
        });
    }

    fn old_claims_are_each_on_one_page_while_many_senders_are_at_work(database: &TestDatabase) {
        with_service(database, async |service| {
            let old = posted(&service, 40).await;
            let (stop, stopped) = tokio::sync::watch::channel(false);
            let senders: Vec<_> = (0..4)
                .map(|n| {
                    let (service, stopped) = (service.clone(), stopped.clone());
                    tokio::spawn(async move {
                        let mut sent = 0;
                        while !*stopped.borrow() {
                            service.accepted(&claim(PROVIDERS[n], "1.00")).await;
                            sent += 1;
                        }
                        sent
                    })
                })
                .collect();
            for limit in [3, 7, 40] {
                let mut seen = Vec::new();
                let mut next = Some(format!("?limit={limit}"));
                while let Some(query) = next {
                    let (ids, cursor) = page(&service, &query).await;
                    seen.extend(ids);
                    next = cursor.map(|cursor| format!("?limit={limit}&cursor={cursor}"));
                }
                let oldest = seen.split_off(seen.len() - old.len());
                assert_eq!(oldest, old, "limit {limit}");
                assert!(seen.iter().all(|newcomer| !old.contains(newcomer)), "limit {limit}: no claim is there twice");
            }
            stop.send(true).unwrap();
            for sender in senders {
                assert!(sender.await.unwrap() > 0, "claims came in meanwhile");
            }
        });
    }

    fn filters_by_plan_own_id_attention_and_time(database: &TestDatabase) {
        with_service(database, async |service| {
            let mut newest_first = Vec::new();
            for n in 0..6 {
                let plan = ["GRP-1000", "GRP 2 & Söhne"][n % 2];
                let line = line(&[("plan_group", json!(plan))]);
                let claim = json!({"external_claim_id": format!("own-{n}"), "lines": [line]});
                newest_first.insert(0, service.accepted(&claim).await);
            }
            // Day by day, the newest on 6 November at noon; the first two need attention.
            for (n, id) in newest_first.iter().enumerate() {
                let noon_us = format!("2026-11-{:02}T12:00:00Z", 6 - n).parse::<jiff::Timestamp>().unwrap().as_microsecond();
                let sql = format!(
                    "UPDATE claims SET submitted_at_us = {noon_us}, needs_attention = {} WHERE claim_id = '{id}'",
                    n > 3
                );
                database.database().write(|connection| execute(connection, &sql)).unwrap();
            }
            for (query, wanted) in [
                ("plan_group=GRP-1000", vec![1, 3, 5]),
                ("plan_group=GRP%202%20%26%20S%C3%B6hne", vec![0, 2, 4]),
                ("plan_group=grp-1000", vec![]),
                ("external_claim_id=own-0", vec![5]),
                ("external_claim_id=own-6", vec![]),
                ("needs_attention=true", vec![4, 5]),
                ("needs_attention=false", vec![0, 1, 2, 3]),
                ("submitted_from=2026-11-05", vec![0, 1]),
                ("submitted_from=2026-11-05T12:00:00Z", vec![0, 1]),
                ("submitted_from=2026-11-05T12:00:00.000001Z", vec![0]),
                ("submitted_to=2026-11-02", vec![4, 5]),
                ("submitted_to=2026-11-02T12:00:00Z", vec![5]),
                ("submitted_to=2026-11-02T13:00:00.000001%2B01:00", vec![4, 5]),
                ("submitted_from=2026-11-03&submitted_to=2026-11-03", vec![3]),
                ("submitted_from=2026-11-05&submitted_to=9999-12-31", vec![0, 1]),
                ("submitted_from=2026-11-02&submitted_to=2026-11-05&plan_group=GRP-1000", vec![1, 3]),
                ("submitted_from=2026-11-02&needs_attention=true&status=submitted", vec![4]),
            ] {
                let wanted: Vec<String> = wanted.into_iter().map(|n: usize| newest_first[n].clone()).collect();
                assert_eq!(page(&service, &format!("?{query}")).await, (wanted, None), "{query}");
            }
            let (first, cursor) = page(&service, "?plan_group=GRP-1000&limit=2").await;
            let (rest, end) = page(&service, &format!("?plan_group=GRP-1000&limit=2&cursor={}", cursor.unwrap())).await;
            assert_eq!((first, rest), (vec![newest_first[1].clone(), newest_first[3].clone()], vec![newest_first[5].clone()]));
            assert_eq!(end, None);
        });
    }

    fn filters_hold_on_every_page(database: &TestDatabase) {
        with_service(database, async |service| {
            let newest_first = posted(&service, 12).await;
            for (n, id) in newest_first.iter().enumerate() {
                let status = ["submitted", "settled", "unwound"][n % 3];
                database
                    .database()
                    .write(|c| execute(c, &format!("UPDATE claims SET status = '{status}' WHERE claim_id = '{id}'")))
                    .unwrap();
            }
            let expected = |wanted: &dyn Fn(usize) -> bool| -> Vec<String> {
                newest_first.iter().enumerate().filter(|(n, _)| wanted(*n)).map(|(_, id)| id.clone()).collect()
            };
            // The newest was posted last, for the second provider.
            let of_second = |n: usize| n.is_multiple_of(2);
            for (query, expected) in [
                ("status=submitted".to_owned(), expected(&|n| n % 3 == 0)),
                ("status=settled".to_owned(), expected(&|n| n % 3 == 1)),
                ("status=unwound".to_owned(), expected(&|n| n % 3 == 2)),
                ("status=void_requested".to_owned(), vec![]),
                (format!("provider_npi={}", PROVIDERS[1]), expected(&of_second)),
                (format!("provider_npi={}", PROVIDERS[2]), vec![]),
                (format!("status=settled&provider_npi={}", PROVIDERS[1]), expected(&|n| n % 3 == 1 && of_second(n))),
            ] {
                assert_eq!(page(&service, &format!("?{query}")).await, (expected.clone(), None), "{query}");
                let mut seen = Vec::new();
                let mut next = Some(String::new());
                while let Some(cursor) = next {
                    let cursor = if cursor.is_empty() { cursor } else { format!("&cursor={cursor}") };
                    let (ids, following) = page(&service, &format!("?{query}&limit=1{cursor}")).await;
                    seen.extend(ids);
                    next = following;
                    assert!(seen.len() <= expected.len(), "{query}: a page repeats another");
                }
                assert_eq!(seen, expected, "{query}, one a page");
            }
        });
    }
}

#[test]
fn an_invalid_query_is_a_problem_with_what_is_allowed() {
    let database = TestDatabase::sqlite();
    with_service(&database, async |service| {
        posted(&service, 2).await;
        let (_, cursor) = page(&service, "?limit=1").await;
        let cursor = cursor.unwrap();
        for (query, detail) in [
            ("limit=0", "limit must be 1 to 500"),
            ("limit=501", "limit must be 1 to 500"),
            ("limit=-1", "limit must be 1 to 500"),
            ("limit=many", "limit cannot be read. It is: How many claims a page has: 1 to 500"),
            ("limit=", "limit cannot be read"),
            ("limit=99999999999999999999", "limit cannot be read"),
            ("status=paid", "status must be one of submitted, void_requested, settled, unwound"),
            ("status=", "status must be one of"),
            ("status=SETTLED", "status must be one of"),
            ("provider_npi=149777553", "provider_npi must be ten digits"),
            ("provider_npi=149777553O", "provider_npi must be ten digits"),
            ("cursor=", "cursor must be the next_cursor of the page before"),
            ("cursor=7", "cursor must be the next_cursor"),
            ("cursor=c", "cursor must be the next_cursor"),
            ("cursor=c-1", "cursor must be the next_cursor"),
            ("cursor=c%2B1", "cursor must be the next_cursor"),
            ("cursor=c1%27%20OR%201=1", "cursor must be the next_cursor"),
            (&format!("cursor=x{cursor}"), "cursor must be the next_cursor"),
            (&format!("after={cursor}"), "not known here: there are status"),
            ("plan_group=", "plan_group must have 1 to 64 printable characters"),
            ("external_claim_id=a%00b", "external_claim_id must have no NUL character"),
            ("needs_attention=yes", "needs_attention cannot be read. It is: `true`:"),
            ("submitted_from=yesterday", "submitted_from must be a time, as in 2026-11-22T09:30:00Z"),
            ("submitted_from=2026-11-31", "or a date, as in 2026-11-22"),
            ("submitted_to=2026-11-22T09:30:00", "submitted_to must be a time"),
            ("submitted_to=2026-11-22T09:30:00+01:00", "write the + of an offset as %2B"),
            ("submitted_from=2026-11-23&submitted_to=2026-11-22", "submitted_from must be earlier than submitted_to"),
            ("page=2", "not known here: there are status, provider_npi, plan_group, external_claim_id"),
            ("limit=1&limit=2", "limit is there twice"),
        ] {
            let answer = service.get(&format!("/v1/claims?{query}")).await;
            assert_eq!(answer.problem(400), "malformed", "{query}: {}", answer.body);
            assert!(answer.body["detail"].as_str().unwrap().contains(detail), "{query}: {}", answer.body);
        }
        let all: BTreeSet<String> = page(&service, "?limit=500").await.0.into_iter().collect();
        assert_eq!(all.len(), 2);
    });
}
