//! What an operator does with dead letters: looks at one, redrives it, discards it. None of it shows the content of the
//! message.

use crate::harness::{Approving, CLAIM, Instance, settings, with_application};
use crate::messages::submitted;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use dual_db::{Database, on_each_backend};
use event_bus::{DeadLetter, Handler, IncomingMessage};
use payments::events::claims::Claims;
use payments::gateway::Dispatcher;
use reqwest::Client;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use test_support::{TestDatabase, on_both_databases, outbox};

const CANARY: &str = "CANARY8675309";

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Dead-letters a message and returns the dead letter's id.
fn dead_letter(database: &Database, message: IncomingMessage) -> i64 {
    let dead_letter = DeadLetter { message, reason: "the database refuses it".to_owned() };
    let stored = database.write(|connection| {
        event_bus::insert_dead_letters(connection, std::slice::from_ref(&dead_letter), 1_000_000)?.report();
        let query = "SELECT CAST(MAX(id) AS BIGINT) AS id FROM dead_letters";
        let found: Id = on_each_backend!(connection, |c| sql_query(query).get_result(c))?;
        Ok(found.id)
    });
    stored.expect("it is kept")
}

/// A service under test.
struct Service {
    client: Client,
    base: String,
}

impl Service {
    fn of(base: String) -> Self {
        Self { client: Client::new(), base }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await.expect("answers");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = self.client.post(format!("{}{path}", self.base)).header("x-forwarded-for", "198.51.100.1");
        let answer = request.body(body).send().await.expect("answers");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    async fn ids(&self, query: &str) -> Vec<i64> {
        let (status, page) = self.get(&format!("/v1/dead-letters{query}")).await;
        assert_eq!(status, 200, "{page}");
        page["dead_letters"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|dead_letter| dead_letter["id"].as_i64())
            .collect()
    }
}

fn because(reason: &str) -> Value {
    json!({"reason": reason})
}

on_both_databases! {
    fn a_dead_letter_is_redriven_once_and_unchanged_however_many_operators_try(test: &TestDatabase) {
        with_application(test, |settings| settings.proxies.trusted = vec!["127.0.0.1".to_owned()], async |base, instance| {
            let service = Service::of(base);
            let came = submitted(CLAIM, 7);
            let id = dead_letter(&instance.database, came.clone());
            let path = format!("/v1/dead-letters/{id}/redrive");
            let asked = json!({"reason": "the database is well again", "operator": "A. Smith"});
            let answers = [(); 8].map(|()| service.post(&path, &asked));
            let [a, b, c, d, e, f, g, h] = answers;
            let answers: [(u16, Value); 8] = tokio::join!(a, b, c, d, e, f, g, h).into();
            let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(status, _)| *status == 202);
            assert_eq!((done.len(), refused.len()), (1, 7));
            let dead_letter = &done[0].1;
            assert_eq!((&dead_letter["id"], &dead_letter["state"]), (&json!(id), &json!("redriven")));
            assert_eq!(
                (&dead_letter["ended_reason"], &dead_letter["ended_by"], &dead_letter["ended_from"]),
                (&json!("the database is well again"), &json!("A. Smith"), &json!("198.51.100.1"))
            );
            for (status, problem) in &refused {
                assert_eq!((*status, &problem["state"]), (409, &json!("redriven")), "{problem}");
                assert_eq!(problem["ended_at"], dead_letter["ended_at"]);
                assert!(problem["detail"].as_str().expect("text").contains("redriven at 20"), "{problem}");
            }

            let rows = outbox(&instance.database);
            assert_eq!(rows.len(), 1, "one row, however many operators tried");
            let headers: Vec<(String, Vec<u8>)> = serde_json::from_str::<Vec<(String, String)>>(&rows[0].headers)
                .expect("pairs")
                .into_iter()
                .map(|(name, value)| (name, value.into_bytes()))
                .collect();
            assert_eq!((&rows[0].topic, &headers), (&came.topic, &came.headers));
            assert_eq!(Some(rows[0].message_key.as_bytes()), came.key.as_deref());
            assert_eq!(rows[0].body.as_bytes(), came.body);
            assert_eq!(rows[0].event_id, format!("{CLAIM}.claim.submitted.1"));

            assert_eq!(service.post(&format!("/v1/dead-letters/{id}/discard"), &because("no")).await.0, 409);
            let (_, read) = service.get(&format!("/v1/dead-letters/{id}")).await;
            assert_eq!((&read["state"], &read["ended_at"]), (&json!("redriven"), &dead_letter["ended_at"]));
        });
    }

    fn a_redriven_dead_letter_is_applied_when_nothing_hinders_it_any_more(test: &TestDatabase) {
        with_application(test, |_| (), async |base, instance| {
            let id = dead_letter(&instance.database, submitted(CLAIM, 7));
            let (status, dead_letter) = Service::of(base).post(&format!("/v1/dead-letters/{id}/redrive"), &because("again")).await;
            assert_eq!((status, &dead_letter["ended_reason"], &dead_letter["ended_from"]), (202, &json!("again"), &json!("127.0.0.1")));
            let row = outbox(&instance.database).remove(0);
            let headers: Vec<(String, String)> = serde_json::from_str(&row.headers).expect("pairs");
            let again = IncomingMessage {
                topic: row.topic,
                partition: 0,
                offset: 8,
                time_ms: 0,
                key: Some(row.message_key.into_bytes()),
                headers: headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect(),
                body: row.body.into_bytes(),
            };
            let (answers, _answered) = channel();
            let calls = tokio::runtime::Handle::current();
            let dispatcher = Dispatcher::new(Arc::new(Approving::default()), calls, &settings(), answers);
            let mut claims = Claims::new(instance.executor.clone(), dispatcher);
            claims.handle(&[again]).expect("applies");
            assert_eq!(instance.saga(CLAIM).saga.claim_version, 1);
            assert_eq!(instance.dead_letters(), 1, "no new one");
        });
    }

    fn a_discarded_dead_letter_stays_with_its_reason(test: &TestDatabase) {
        with_application(test, |_| (), async |base, instance| {
            let service = Service::of(base);
            let [one, two, three] = [1, 2, 3].map(|offset| dead_letter(&instance.database, submitted(CLAIM, offset)));
            for action in ["discard", "redrive"] {
                let path = format!("/v1/dead-letters/{two}/{action}");
                for (body, pointer) in [
                    (Value::Null, "/reason"),
                    (json!({}), "/reason"),
                    (because(" "), "/reason"),
                    (because(&"x".repeat(501)), "/reason"),
                    (json!({"reason": "r", "operator": "x".repeat(101)}), "/operator"),
                ] {
                    let (status, problem) = service.post(&path, &body).await;
                    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{action}: {problem}");
                }
                assert_eq!(service.post(&path, &json!({"because": "r"})).await.0, 400);
            }
            assert_eq!((service.ids("").await, outbox(&instance.database).len()), (vec![three, two, one], 0), "nothing was changed");
            let path = format!("/v1/dead-letters/{two}/discard");

            let (status, dead_letter) = service.post(&path, &because("sent by mistake")).await;
            assert_eq!((status, &dead_letter["state"], &dead_letter["ended_reason"]), (200, &json!("discarded"), &json!("sent by mistake")));
            // A header is believed from trusted proxies alone.
            assert_eq!(dead_letter["ended_from"], "127.0.0.1");
            let again = service.post(&path, &because("another")).await;
            assert_eq!(again, (200, dead_letter.clone()), "the first reason stands");
            let (status, problem) = service.post(&format!("/v1/dead-letters/{two}/redrive"), &because("but")).await;
            assert_eq!((status, &problem["state"], &problem["ended_at"]), (409, &json!("discarded"), &dead_letter["ended_at"]));
            assert!(outbox(&instance.database).is_empty());

            assert_eq!(service.post(&format!("/v1/dead-letters/{three}/redrive"), &because("r")).await.0, 202);
            assert_eq!(service.ids("").await, [one], "those that wait");
            assert_eq!(service.ids("?state=waiting").await, [one]);
            assert_eq!(service.ids("?state=discarded").await, [two]);
            assert_eq!(service.ids("?state=redriven").await, [three]);
            assert_eq!(service.ids("?state=all").await, [three, two, one]);
            let (_, first) = service.get("/v1/dead-letters?state=all&limit=1").await;
            let cursor = first["next_cursor"].as_str().expect("there is more");
            assert_eq!(service.ids(&format!("?state=all&limit=1&cursor={cursor}")).await, [two]);
            assert_eq!(service.get("/v1/dead-letters?state=lost").await.0, 400);
            for wrong in ["4711", "0", "-1", "x", "99999999999999999999"] {
                assert_eq!(service.get(&format!("/v1/dead-letters/{wrong}")).await.0, 404, "{wrong}");
                for act in ["redrive", "discard"] {
                    let path = format!("/v1/dead-letters/{wrong}/{act}");
                    assert_eq!(service.post(&path, &because("r")).await.0, 404, "{path}");
                }
            }
            let metrics = service.client.get(format!("{}/metrics", service.base)).send().await.expect("answers");
            let metrics = metrics.text().await.expect("text");
            for name in ["dead_letters_redriven_total", "dead_letters_discarded_total"] {
                assert!(metrics.contains(&format!("{name}{{topic=\"claims.claim.v1\"}}")), "{name}");
            }
        });
    }

    fn what_is_no_text_or_too_large_is_not_sent_and_can_be_discarded(test: &TestDatabase) {
        with_application(test, |_| (), async |base, instance| {
            let service = Service::of(base);
            let changed = |offset, change: fn(&mut IncomingMessage)| {
                let mut message = submitted(CLAIM, offset);
                change(&mut message);
                dead_letter(&instance.database, message)
            };
            for (id, why) in [
                (changed(1, |message| message.key = None), "no key"),
                (changed(2, |message| message.key = Some(b"\xff".to_vec())), "its key is not text"),
                (changed(3, |message| message.body = b"{\"\xff\"}".to_vec()), "its body is not text"),
                (changed(4, |message| message.body = b"\0".to_vec()), "its body is not text"),
                (changed(5, |message| message.headers.push(("x".to_owned(), b"\xff".to_vec()))), "a header of it is not text"),
                (changed(6, |message| message.body = vec![b'x'; 1_000_000]), "larger than the setting"),
            ] {
                let (status, problem) = service.post(&format!("/v1/dead-letters/{id}/redrive"), &because("r")).await;
                let detail = problem["detail"].as_str().expect("text");
                assert!(status == 409 && detail.contains(why) && detail.contains("discard the dead letter"), "{status} {problem}");
                assert_eq!(service.get(&format!("/v1/dead-letters/{id}")).await.1["state"], "waiting");
                assert_eq!(service.post(&format!("/v1/dead-letters/{id}/discard"), &because("no text")).await.0, 200);
            }
            assert!(outbox(&instance.database).is_empty());
        });
    }

    fn a_dead_letter_is_shown_with_its_structure_and_without_its_content(test: &TestDatabase) {
        let instance = Instance::new(test.database(), "by hand");
        let mut poison = submitted(CLAIM, 1);
        poison.body = json!({"claim_id": CLAIM, "plan_group": CANARY, "lines": [{CANARY: CANARY, "line": 1}], CANARY: 1})
            .to_string()
            .into_bytes();
        poison.headers.push(("x-patient".to_owned(), CANARY.as_bytes().to_vec()));
        poison.headers.push((CANARY.to_owned(), b"1".to_vec()));
        let mut foreign = poison.clone();
        (foreign.key, foreign.offset) = (Some(CANARY.as_bytes().to_vec()), 2);
        let mut unreadable = poison.clone();
        (unreadable.body, unreadable.offset) = (format!("{{\"subscriber\": {CANARY}").into_bytes(), 3);
        let ids = [poison, foreign, unreadable].map(|message| dead_letter(&instance.database, message));
        drop(instance);

        let mut child = Command::new(env!("CARGO_BIN_EXE_payments"))
            .env_clear()
            .env("PAYMENTS__HTTP__PORT", "0")
            .env("PAYMENTS__DATABASE__URL", test.settings().url.expose())
            .env("PAYMENTS__KAFKA__BROKERS", "127.0.0.1:1")
            .env("PAYMENTS__KAFKA__PRODUCER__FLUSH_TIMEOUT_MS", "100")
            .env("PAYMENTS__GATEWAY__URL", "http://127.0.0.1:1")
            .env("PAYMENTS__LOG__FILTER", "debug")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut stderr = child.stderr.take().expect("piped");
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).expect("text");
            text
        });
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut log = Vec::new();
        let base = loop {
            let line = lines.next().expect("it says where it listens");
            let found = line.split_once("listens on ").map(|(_, rest)| {
                rest.trim_end_matches(|c: char| !c.is_ascii_digit()).split('"').next().unwrap_or_default().to_owned()
            });
            log.push(line);
            if let Some(base) = found {
                break base;
            }
        };
        let rest = std::thread::spawn(move || lines.collect::<Vec<_>>());

        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let service = Service::of(base);
            let mut said = Vec::new();
            let (_, read) = service.get(&format!("/v1/dead-letters/{}", ids[0])).await;
            assert_eq!(
                read["body"]["shape"],
                json!({"claim_id": CLAIM, "plan_group": "text of 13 characters", "name 1, text of 13 characters": "number",
                       "lines": [{"name 1, text of 13 characters": "text of 13 characters", "line": "number"}]})
            );
            assert_eq!((&read["key"], &read["body"]["problem"]), (&json!(CLAIM), &Value::Null));
            let headers = read["headers"].as_array().expect("pairs");
            assert!(headers.contains(&json!(["ce_type", "claim.submitted"])), "{headers:?}");
            assert!(headers.contains(&json!(["x-patient", "text of 13 characters"])), "{headers:?}");
            assert_eq!(read["body"]["sha256"].as_str().map(str::len), Some(64));
            said.push(read);
            let (_, read) = service.get(&format!("/v1/dead-letters/{}", ids[1])).await;
            assert_eq!(read["key"], "text of 13 characters");
            said.push(read);
            let (_, read) = service.get(&format!("/v1/dead-letters/{}", ids[2])).await;
            assert_eq!((&read["body"]["shape"], &read["body"]["problem"]), (&Value::Null, &json!("it is not JSON (line 1, column 16)")));
            said.push(read);
            // What an operator says may name a patient, too: it is shown with the dead letter, and not logged.
            let act = because("of J. Doe OPERATORCANARY");
            said.push(service.post(&format!("/v1/dead-letters/{}/redrive", ids[0]), &act).await.1);
            said.push(service.post(&format!("/v1/dead-letters/{}/redrive", ids[0]), &act).await.1);
            said.push(service.post(&format!("/v1/dead-letters/{}/discard", ids[1]), &act).await.1);
            said.push(service.post(&format!("/v1/dead-letters/{}/redrive", ids[2]), &json!({"reason": CANARY.repeat(50)})).await.1);
            said.push(service.post(&format!("/v1/dead-letters/{}/redrive", ids[2]), &json!({CANARY: 1})).await.1);
            said.push(service.get("/v1/dead-letters?state=all").await.1);
            for (place, said) in said.iter().enumerate() {
                assert!(!said.to_string().contains(CANARY), "{place}: {said}");
            }
            let metrics = service.client.get(format!("{}/metrics", service.base)).send().await.expect("answers");
            assert!(!metrics.text().await.expect("text").contains("CANARY"));
        });
        child.kill().expect("ends");
        child.wait().expect("ended");
        log.extend(rest.join().expect("no panic"));
        log.push(errors.join().expect("no panic"));
        let log = log.join("\n");
        assert!(log.contains("dead letter redriven"), "{log}");
        assert!(!log.contains("CANARY"), "{log}");
    }
}
