//! A batch as a stream over a slow or broken connection: results come while it is still being sent, and a sender that stalls,
//! goes away or does not read delays no other.

use crate::batch::{NAMES, row, send};
use crate::service::{Answer, PROVIDERS, Service, claim, with_service, with_settings};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use test_support::{TestDatabase, count, eventually, number, on_both_databases};

/// A request over a socket, sent piece by piece.
struct Wire(TcpStream);

impl Wire {
    fn open(service: &Service, headers: &str) -> Self {
        let mut stream = TcpStream::connect(service.address()).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("is set");
        let head = format!("POST /v1/claims/batch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).expect("sends");
        Self(stream)
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).expect("sends");
    }

    /// Sends a byte a second until it reads this.
    fn drip(&mut self, wanted: &str) -> String {
        self.0.set_read_timeout(Some(Duration::from_secs(1))).expect("is set");
        let mut seen = String::new();
        let mut buffer = [0; 4096];
        while !seen.contains(wanted) {
            // The service may have stopped reading; its answer comes all the same.
            let _ = self.0.write_all(b"1\r\n{\r\n");
            match self.0.read(&mut buffer) {
                Ok(read) => {
                    assert!(read > 0, "ended before '{wanted}'");
                    seen.push_str(std::str::from_utf8(&buffer[..read]).expect("text"));
                }
                Err(waits) if waits.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(broken) => panic!("{broken}"),
            }
        }
        seen
    }

    fn read_until(&mut self, wanted: &str) -> String {
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = self.0.read(&mut buffer).expect("answers");
            assert!(read > 0, "ended before '{wanted}'");
            let from = seen.len().saturating_sub(wanted.len());
            seen.extend_from_slice(&buffer[..read]);
            if seen[from..].windows(wanted.len()).any(|window| window == wanted.as_bytes()) {
                break;
            }
        }
        String::from_utf8(seen).expect("text")
    }
}

on_both_databases! {
    fn results_flow_while_the_batch_is_still_being_sent(database: &TestDatabase) {
        with_service(database, async |service| {
            let sender = service.clone();
            let sending = tokio::task::spawn_blocking(move || {
                let mut wire = Wire::open(&sender, "Content-Type: application/x-ndjson\r\n");
                wire.send(&format!("{}\n", claim(PROVIDERS[0], "1.00")));
                assert!(wire.read_until("\"index\":0").contains("accepted"));
                wire.send(&format!("{}\n", claim(PROVIDERS[0], "2.00")));
                wire.read_until("\"index\":1");
                wire.0.write_all(b"0\r\n\r\n").expect("sends");
                wire.read_until("\"accepted\":2");
            });
            sending.await.expect("flows");
        });
    }

    fn a_sender_that_goes_away_leaves_only_whole_claims(database: &TestDatabase) {
        with_settings(database, |settings| settings.batch.max_concurrent = 1, async |service| {
            let sender = service.clone();
            let sending = tokio::task::spawn_blocking(move || {
                let mut wire = Wire::open(&sender, "Content-Type: text/csv\r\n");
                wire.send(&[NAMES, &row("1", "1"), &row("2", "2"), &row("2", "3")].concat());
                wire.read_until("\"index\":0");
            });
            sending.await.expect("goes away");
            // Once it was noticed its place is free again, and the claim that might have gone on is not stored.
            eventually("a place to be free", async || {
                let results = send(&service, "application/json", "[]").await;
                (results.status == 200).then_some(())
            })
            .await;
        });
        assert_eq!(count(database.database(), "claims"), 1);
        assert_eq!(number(database.database(), "SELECT count(*) AS n FROM claim_lines"), 1);
    }

    fn a_sender_that_is_too_slow_is_cut_off_and_delays_no_other(database: &TestDatabase) {
        with_settings(database, |settings| {
            settings.batch.stall_timeout_ms = 10_000;
            settings.http.body_timeout_ms = 10_000;
        }, async |service| {
            let open = Arc::new(AtomicUsize::new(0));
            let slow: Vec<_> = (0..200).map(|n| {
                let (sender, open) = (service.clone(), Arc::clone(&open));
                tokio::task::spawn_blocking(move || {
                    let mut wire = Wire::open(&sender, "Content-Type: application/x-ndjson\r\n");
                    open.fetch_add(1, Ordering::SeqCst);
                    // Half of them send nothing, the others a byte a second for ever.
                    let response = if n % 2 == 0 { wire.drip("too-slow") } else { wire.read_until("too-slow") };
                    assert!(response.starts_with("HTTP/1.1 408"), "{response}");
                })
            }).collect();
            eventually("all of them send", async || (open.load(Ordering::SeqCst) == 200).then_some(())).await;
            let quick = tokio::time::timeout(Duration::from_secs(8), service.post(&claim(PROVIDERS[0], "1.00"))).await;
            assert_eq!(quick.expect("it does not wait for them").status, 201);
            for slow in slow {
                slow.await.expect("is cut off");
            }
        });
    }

    fn a_service_that_stops_does_not_wait_for_a_batch_that_goes_on(database: &TestDatabase) {
        let mut open = None;
        with_settings(database, |settings| settings.http.shutdown_timeout_s = 1, async |service| {
            let sending = tokio::task::spawn_blocking(move || {
                let mut wire = Wire::open(&service, "Content-Type: application/x-ndjson\r\n");
                wire.send(&format!("{}\n{{\"lines\": ", claim(PROVIDERS[0], "1.00")));
                wire.read_until("\"index\":0");
                wire
            });
            open = Some((sending.await.expect("is being taken"), std::time::Instant::now()));
        });
        let (_, since) = open.expect("was begun");
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
        assert_eq!(count(database.database(), "claims"), 1);
    }

    fn more_batches_than_allowed_at_once_get_retry_after(database: &TestDatabase) {
        with_settings(database, |settings| settings.batch.max_concurrent = 1, async |service| {
            let mut first = Wire::open(&service, "Content-Type: application/x-ndjson\r\n");
            first.send(&format!("{}\n", claim(PROVIDERS[0], "1.00")));
            let sender = tokio::task::spawn_blocking(move || {
                first.read_until("\"index\":0");
                first
            });
            let first = sender.await.expect("is being taken");
            let request = service.request(reqwest::Method::POST, "/v1/claims/batch");
            let answer = Answer::of(request.header("content-type", "application/json").body("[]")).await;
            assert_eq!((answer.problem(503), answer.header("retry-after")), ("unavailable", "5"));
            drop(first);
            eventually("a place to be free", async || {
                let results = send(&service, "application/json", "[]").await;
                (results.status == 200).then_some(())
            })
            .await;
        });
    }
}

#[test]
fn a_sender_that_reads_only_after_it_has_sent_everything_gets_every_result() {
    let database = TestDatabase::sqlite();
    with_service(&database, async |service| {
        let sender = service.clone();
        let sending = tokio::task::spawn_blocking(move || {
            let mut wire = Wire::open(&sender, "Content-Type: application/x-ndjson\r\n");
            // The answers are longer than what both sockets hold.
            let bad = "5\n".repeat(1_000);
            for _ in 0..60 {
                wire.send(&bad);
            }
            wire.0.write_all(b"0\r\n\r\n").expect("sends");
            let response = wire.read_until("\"summary\"");
            assert!(response.len() > 8_000_000, "{} bytes", response.len());
            assert!(response.contains("\"index\":59999"));
        });
        sending.await.expect("is answered");
    });
}

#[test]
fn a_sender_that_leaves_too_many_results_unread_gets_a_problem_in_the_last_line() {
    let database = TestDatabase::sqlite();
    let narrow = |settings: &mut claim_process::settings::Settings| {
        (settings.batch.max_unread_bytes, settings.batch.stall_timeout_ms) = (65_536, 2_000);
    };
    with_settings(&database, narrow, async |service| {
        let sending = tokio::task::spawn_blocking(move || {
            let mut wire = Wire::open(&service, "Content-Type: application/x-ndjson\r\n");
            for _ in 0..60 {
                wire.send(&"5\n".repeat(1_000));
            }
            // More than the sockets hold: it can be sent only because the service reads it. Once results have waited too
            // long, the service discards what it reads. Most senders read only when they have sent everything.
            for _ in 0..500 {
                wire.send(&"5\n".repeat(20_000));
            }
            wire.0.write_all(b"0\r\n\r\n").expect("sends");
            wire.read_until("0\r\n\r\n")
        });
        let response = sending.await.expect("is answered");
        let last = response.lines().rfind(|line| line.starts_with('{')).expect("a line");
        assert!(last.starts_with("{\"problem\":") && last.contains("read them while you send"), "{last}");
    });
}
