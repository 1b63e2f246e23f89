//! What a request may cost: its size, its number of lines and findings, and how long its sender may take.

use crate::refusals::post_json;
use crate::service::{Answer, PROVIDERS, assert_empty, claim, line, with_service, with_settings};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use test_support::{TestDatabase, count};

const MIB: usize = 1024 * 1024;

#[test]
fn a_body_over_the_limit_is_too_large_however_it_is_sent() {
    let database = TestDatabase::sqlite();
    with_service(&database, async |service| {
        let padded = |length: usize| {
            let mut body = claim(PROVIDERS[0], "1.00").to_string();
            body.push_str(&" ".repeat(length - body.len()));
            body
        };
        assert_eq!(post_json(&service, padded(MIB)).await.status, 201, "exactly the limit is fine");
        for length in [MIB + 1, 2 * MIB, 16 * MIB] {
            let answer = post_json(&service, padded(length)).await;
            assert_eq!(answer.problem(413), "too-large", "{length} bytes");
            assert!(answer.body["detail"].as_str().unwrap().contains("1048576"), "{}", answer.body);
        }
        // Without a length beforehand: chunk after chunk.
        let answer = raw(service.address(), |stream| {
            stream.write_all(b"POST /v1/claims HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")?;
            let chunk = format!("{:x}\r\n{}\r\n", 64 * 1024, " ".repeat(64 * 1024));
            (0..32).try_for_each(|_| stream.write_all(chunk.as_bytes()))
        });
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert_eq!(service.get("/healthz").await.status, 200);
    });
    assert_eq!(count(database.database(), "claims"), 1);
}

#[test]
fn the_number_of_lines_and_of_findings_is_bounded() {
    let database = TestDatabase::sqlite();
    with_service(&database, async |service| {
        let lines = |count: usize| json!((0..count).map(|n| line(&[("provider_fees", json!(n))])).collect::<Vec<_>>());
        assert_eq!(service.post(&lines(100)).await.status, 201);
        let answer = service.post(&lines(101)).await;
        assert_eq!((answer.problem(422), &answer.body["errors"][0]["code"]), ("claim-refused", &json!("line_count")));

        // As many lines as a body holds, and everything is wrong with each: the answer stays small, and quick.
        let began = Instant::now();
        for body in [
            format!("[{}{{}}]", "{},".repeat(MIB / 3 - 10)),
            format!("[{}{{}}]", "{\"npi\":1,\"npi\":2},".repeat(50_000)),
        ] {
            let answer = post_json(&service, body).await;
            assert_eq!(answer.problem(422), "claim-refused");
            assert!(answer.body.to_string().len() < MIB / 4, "{} bytes", answer.body.to_string().len());
        }
        let csv = format!("npi\n{}", "1\n".repeat(MIB / 2 - 10));
        let answer = service.post_csv(&csv).await;
        assert_eq!((answer.problem(422), &answer.body["errors"][0]["code"]), ("claim-refused", &json!("line_count")));
        assert!(answer.body.to_string().len() < MIB / 4);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    });
    assert_eq!(count(database.database(), "claims"), 1);
}

#[test]
fn ten_megabytes_of_digits_are_no_amount() {
    let database = TestDatabase::sqlite();
    let digits = "9".repeat(10 * MIB);
    let bodies = ["", "\""].map(|quote| {
        let amount = format!("{quote}{digits}{quote}");
        line(&[("provider_fees", json!("?"))]).to_string().replacen("\"?\"", &amount, 1)
    });
    with_service(&database, async |service| {
        for body in &bodies {
            assert_eq!(post_json(&service, body.clone()).await.problem(413), "too-large");
        }
    });
    // Nor where a deployment takes bodies of that size.
    with_settings(
        &database,
        |settings| settings.http.max_body_bytes = 16 * MIB,
        async |service| {
            let began = Instant::now();
            for body in &bodies {
                let answer = post_json(&service, body.clone()).await;
                assert_eq!(answer.problem(422), "claim-refused");
                let found = &answer.body["errors"];
                assert_eq!((&found[0]["code"], &found[1]), (&json!("value_length"), &Value::Null), "{found}");
                assert!(answer.body.to_string().len() < 1_000);
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        },
    );
    assert_empty(database.database());
}

#[test]
fn the_findings_of_a_claim_are_bounded_and_the_others_are_counted() {
    let database = TestDatabase::sqlite();
    // Nine fields are missing in each line.
    let lines = |count: usize| json!(vec![json!({}); count]);
    let last = |answer: &Answer| answer.body["errors"].as_array().unwrap().last().unwrap().clone();
    with_service(&database, async |service| {
        let answer = service.post(&lines(11)).await;
        assert_eq!(answer.problem(422), "claim-refused");
        assert_eq!(answer.body["errors"].as_array().unwrap().len(), 99);
        assert_eq!(answer.body["detail"], "99 things have to be put right; nothing was stored");
        let answer = service.post(&lines(100)).await;
        assert_eq!(answer.body["errors"].as_array().unwrap().len(), 101);
        let more = json!({"field": "lines", "code": "more_findings", "message": "and 800 more: correct these first"});
        assert_eq!(last(&answer), more);
        assert_eq!(answer.body["detail"], "more than 100 things have to be put right; nothing was stored");
    });
    with_settings(
        &database,
        |settings| settings.checks.max_findings = 2,
        async |service| {
            let answer = service.post(&lines(1)).await;
            assert_eq!(answer.body["errors"].as_array().unwrap().len(), 3);
            assert_eq!(last(&answer)["message"], "and 7 more: correct these first");
            // Warnings, too; the claim is taken.
            let odd = line(&[("a", json!(1)), ("b", json!(1)), ("c", json!(1)), ("provider_npi", json!("1234567890"))]);
            let answer = service.post(&odd).await;
            assert_eq!(answer.status, 201, "{}", answer.body);
            let warnings = answer.body["warnings"].as_array().unwrap();
            let codes: Vec<&Value> = warnings.iter().map(|warning| &warning["code"]).collect();
            assert_eq!(codes, ["unknown_field", "unknown_field", "more_findings"]);
            assert_eq!(warnings[2]["message"], "and 2 more: correct these first");
        },
    );
    assert_eq!(count(database.database(), "claims"), 1);
}

#[test]
fn the_number_of_warnings_is_bounded() {
    let database = TestDatabase::sqlite();
    with_service(&database, async |service| {
        let mut odd = line(&[]);
        for n in 0..20_000 {
            odd[format!("unknown {n}")] = json!(1);
        }
        let answer = service.post(&odd).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let warnings = answer.body["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), 101);
        assert_eq!(warnings[100]["message"], "and 19900 more: correct these first");
        assert_eq!(warnings[0]["sent_as"], Value::Null);
        assert_eq!((&warnings[0]["field"], &warnings[0]["code"]), (&json!("unknown 0"), &json!("unknown_field")));
    });
}

#[test]
fn a_body_that_stalls_is_not_waited_for() {
    let database = TestDatabase::sqlite();
    with_settings(
        &database,
        |settings| settings.http.body_timeout_ms = 300,
        async |service| {
            let answer = raw(service.address(), |stream| {
                stream.write_all(b"POST /v1/claims HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"lines\"")
            });
            assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
            assert!(answer.contains("application/problem+json") && answer.contains("problem:too-slow"), "{answer}");
            // Nor is the rest of one without a length, so the connection is not held for ever.
            let answer = raw(service.address(), |stream| {
                stream.write_all(
                    b"POST /v1/claims HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nservi\r\n",
                )
            });
            assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
            // A body that breaks off is no error of the service, and stores nothing.
            let mut stream = TcpStream::connect(service.address()).unwrap();
            stream.write_all(b"POST /v1/claims HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nservice").unwrap();
            drop(stream);
            assert_eq!(service.get("/healthz").await.status, 200);
        },
    );
    assert_empty(database.database());
}

#[test]
fn headers_that_stall_are_not_waited_for() {
    let database = TestDatabase::sqlite();
    with_settings(
        &database,
        |settings| settings.http.header_timeout_ms = 300,
        async |service| {
            let answer = raw(service.address(), |stream| stream.write_all(b"POST /v1/claims HTTP/1.1\r\nhost: x\r\n"));
            assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        },
    );
}

/// Writes to the service over a plain connection and reads what it answers until it closes the connection.
fn raw(address: &str, write: impl FnOnce(&mut TcpStream) -> std::io::Result<()>) -> String {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out can be set");
    // A service that has answered already may close the connection under the writer.
    let _ = write(&mut stream);
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
            Err(error) if !answer.is_empty() => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the connection was left open");
                break;
            }
            Err(error) => panic!("no answer: {error}"),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}
