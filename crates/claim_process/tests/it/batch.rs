//! Many claims in one request: every format of a batch, each claim alone, in order, and safely sent again.

use crate::service::{
    Answer, PROVIDERS, REAL_CLAIM, Service, assert_totals_agree, claim, line, with_service, with_settings,
};
use claim_process::domain::rules::rule::Severity;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;
use test_support::{TestDatabase, count, on_both_databases};

pub const NAMES: &str = "service date,submitted procedure,quadrant,Plan/Group #,Subscriber#,Provider NPI,provider fees,\
                     Allowed fees,member coinsurance,member copay\n";

/// The lines of an answer to a batch.
#[derive(Debug)]
pub struct Results {
    pub status: u16,
    pub lines: Vec<Value>,
}

impl Results {
    pub fn of(answer: Answer) -> Self {
        let text = match &answer.body {
            Value::String(text) => text.clone(),
            one => one.to_string(),
        };
        Self {
            status: answer.status,
            lines: text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(),
        }
    }

    pub fn summary(&self) -> &Value {
        &self.lines.last().expect("a line")["summary"]
    }

    pub fn statuses(&self) -> Vec<&str> {
        self.lines.iter().filter_map(|line| line["status"].as_str()).collect()
    }
}

pub async fn send(service: &Service, kind: &str, body: impl Into<Vec<u8>>) -> Results {
    send_to(service, "/v1/claims/batch", &[("content-type", kind)], body).await
}

pub async fn send_to(service: &Service, path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Results {
    let mut request = service.request(reqwest::Method::POST, path).body(body.into());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Results::of(Answer::of(request).await)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text.as_bytes()).expect("packs");
    packed.finish().expect("packs")
}

pub fn row(subscriber: &str, fees: &str) -> String {
    format!("3/28/18 0:00,D0180,,GRP-1000,{subscriber},{},{fees},0.00,0.00,0.00\n", PROVIDERS[0])
}

/// Two good claims, and between them one with an invalid procedure.
pub fn three() -> [Value; 3] {
    let bad = json!({"lines": [line(&[("submitted_procedure", json!("E4211"))])]});
    [claim(PROVIDERS[0], "10.00"), bad, claim(PROVIDERS[1], "20.00")]
}

on_both_databases! {
    fn every_format_of_the_same_claims_stores_the_same(database: &TestDatabase) {
        with_service(database, async |service| {
            let claims: Vec<Value> = serde_json::from_str(&format!("[{}]", (0..5).map(|n| {
                claim(PROVIDERS[n % 2], &format!("{n}.25")).to_string()
            }).collect::<Vec<_>>().join(","))).expect("JSON");
            let array = json!(claims).to_string();
            let lines: String = claims.iter().map(|claim| format!("{claim}\r\n\n")).collect();
            let csv: String = std::iter::once("\u{feff}".to_owned() + NAMES)
                .chain((0..5).map(|n| format!(
                    "2018-03-28,D0180,,GRP-1000,3730189502,{},\"${n}.25 \",0.00,0.00,0\r\n", PROVIDERS[n % 2]
                )))
                .collect();
            let semicolons = csv.replace(',', ";");
            let form = |file: &str| format!(
                "--b\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n\
                 --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"claims.csv\"\r\n\
                 Content-Type: application/vnd.ms-excel\r\n\r\n{file}\r\n--b--\r\n"
            );
            let multipart = "multipart/form-data; boundary=b";
            let sent: [(&str, Vec<u8>); 9] = [
                ("application/json", array.clone().into()),
                ("application/x-ndjson", lines.clone().into()),
                ("text/csv", csv.clone().into()),
                ("text/csv; charset=utf-8", semicolons.replace(';', "\t").into()),
                ("text/csv", semicolons.into()),
                (multipart, form(&csv).into()),
                (multipart, form(&array).into()),
                ("application/gzip", gzip(&lines)),
                ("application/x-www-form-urlencoded", array.into()),
            ];
            let rounds = sent.len();
            for (kind, body) in sent {
                let results = send(&service, kind, body).await;
                assert_eq!(results.status, 200, "{kind}: {:?}", results.lines);
                assert_eq!(results.summary(), &json!({"claims": 5, "accepted": 5, "rejected": 0, "duplicates": 0}), "{kind}");
                let mut stored = Vec::new();
                for result in &results.lines[..5] {
                    let claim = service.claim(result["id"].as_str().expect("an id")).await;
                    stored.push((claim["provider_npi"].clone(), claim["net_fee"].clone(), claim["subscriber_id"].clone()));
                }
                let expected: Vec<_> = (0..5)
                    .map(|n| (json!(PROVIDERS[n % 2]), json!(format!("{n}.25")), json!("3730189502")))
                    .collect();
                assert_eq!(stored, expected, "{kind}");
            }
            assert_eq!(count(database.database(), "claims"), 5 * i64::try_from(rounds).expect("few"));
        });
        assert_totals_agree(database.database());
    }

    fn rows_next_to_each_other_are_one_claim(database: &TestDatabase) {
        with_service(database, async |service| {
            let results = send(&service, "text/csv", REAL_CLAIM).await;
            assert_eq!((&results.lines[0]["rows"], &results.lines[0]["file_line"]), (&json!([1, 4]), &json!(2)));
            let real = service.claim(results.lines[0]["id"].as_str().expect("an id")).await;
            assert_eq!((&real["net_fee"], real["lines"].as_array().map(Vec::len)), (&json!("116.85"), Some(4)));

            // The same subscriber again, but not next to each other, is another claim.
            let csv = [NAMES, &row("1", "1"), &row("1", "2"), &row("2", "3"), "\n", &row("1", "4")].concat();
            let results = send(&service, "text/csv", csv.clone()).await;
            let rows: Vec<&Value> = results.lines.iter().map(|line| &line["rows"]).collect();
            assert_eq!(rows[..3], [&json!([1, 2]), &json!([3, 3]), &json!([4, 4])]);
            let by_row = send_to(&service, "/v1/claims/batch?group=row", &[("content-type", "text/csv")], csv).await;
            assert_eq!(by_row.summary()["claims"], 4);

            let named = "external_claim_id,".to_owned() + NAMES
                + &["A", "A", "B", "", ""].map(|id| format!("{id},{}", row("7", "1"))).concat();
            let results = send(&service, "text/csv", named).await;
            let rows: Vec<&Value> = results.lines.iter().map(|line| &line["rows"]).collect();
            assert_eq!(rows[..3], [&json!([1, 2]), &json!([3, 3]), &json!([4, 5])]);
        });
    }

    fn each_claim_is_refused_alone_with_its_place(database: &TestDatabase) {
        with_service(database, async |service| {
            let results = send(&service, "application/json", json!(three()).to_string()).await;
            assert_eq!(results.statuses(), ["accepted", "rejected", "accepted"]);
            assert_eq!(results.lines[1]["errors"][0]["pointer"], "/1/lines/0/submitted_procedure");
            assert_eq!(results.lines[1]["errors"][0]["code"], "procedure_prefix");

            let lines = format!("{}\n{{\"lines\": \n5\n{}", three()[0], three()[2]);
            let results = send(&service, "application/x-ndjson", lines).await;
            assert_eq!(results.statuses(), ["accepted", "rejected", "rejected", "accepted"]);
            assert_eq!((&results.lines[1]["input_line"], &results.lines[1]["errors"][0]["code"]), (&json!(2), &json!("malformed")));

            let csv = [NAMES, &row("1", "1"), &row("2", "x"), &row("3", "3")].concat();
            let results = send(&service, "text/csv", csv).await;
            assert_eq!(results.statuses(), ["accepted", "rejected", "accepted"]);
            assert_eq!(results.lines[1]["errors"][0]["code"], "money_format");

            // The claim in hand may not be whole, so it is refused with the row that broke it.
            let csv = [NAMES, &row("1", "1"), &row("2", "2"), "3/28/18,\"D0180\n", &row("2", "2")].concat();
            let results = send(&service, "text/csv", csv).await;
            assert_eq!(results.statuses(), ["accepted", "rejected"]);
            let refused = &results.lines[1];
            assert_eq!((&refused["rows"], &refused["errors"][0]["code"]), (&json!([2, 3]), &json!("unclosed_quote")));
            assert_eq!(results.summary()["claims"], 2);
        });
        assert_totals_agree(database.database());
    }

    fn a_batch_that_breaks_off_ends_with_the_problem_and_keeps_the_claims_before_it(database: &TestDatabase) {
        with_settings(database, |settings| settings.batch.max_claims = 2, async |service| {
            let results = send(&service, "application/json", format!("[{}, {{\"lines\": ]", three()[0])).await;
            assert_eq!(results.statuses(), ["accepted"]);
            let problem = &results.lines[1]["problem"];
            assert_eq!((&problem["status"], results.lines.len()), (&json!(400), 2), "{results:?}");
            assert!(problem["detail"].as_str().expect("text").contains("line 1, column"), "{problem}");

            let many = json!([three()[0], three()[2], three()[0]]).to_string();
            let results = send(&service, "application/json", many).await;
            assert_eq!(results.statuses(), ["accepted", "accepted"]);
            assert_eq!(results.lines[2]["problem"]["status"], 413, "{results:?}");
        });
        assert_eq!(count(database.database(), "claims"), 3);
    }

    fn a_body_that_is_not_a_batch_is_refused_whole(database: &TestDatabase) {
        let tight = |settings: &mut claim_process::settings::Settings| {
            settings.batch.max_body_bytes = 100_000;
            settings.batch.max_claim_bytes = 2_000;
        };
        with_settings(database, tight, async |service| {
            let long = "x".repeat(3_000);
            let one = three()[0].to_string();
            let bomb = gzip(&format!("[\"{}", "a".repeat(10_000_000)));
            let part = |name: &str, text: &str| {
                format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
            };
            for (status, kind, body) in [
                (400, "application/json", one.clone().into_bytes()),
                (400, "application/json", format!("[\"{long}\"]").into_bytes()),
                (400, "application/json", bomb),
                (400, "text/csv", b"1,2,3\n".to_vec()),
                (400, "text/csv", Vec::new()),
                (400, "text/csv", format!("{}\n", "a,".repeat(300)).into_bytes()),
                (400, "multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nx\r\n--b--\r\n".to_vec()),
                (400, "multipart/form-data", b"x".to_vec()),
                (413, "multipart/form-data; boundary=b", format!("{}{}", part("f", &"x".repeat(100_001)), part("file", &one)).into_bytes()),
                (400, "multipart/form-data; boundary=b", part("f", "").repeat(101).into_bytes()),
                (400, "application/gzip", vec![0x1f, 0x8b, 1, 2, 3]),
                (413, "application/x-ndjson", vec![b'\n'; 100_001]),
                (415, "text/plain", one.into_bytes()),
            ] {
                let request = service.request(reqwest::Method::POST, "/v1/claims/batch").header("content-type", kind);
                let answer = Answer::of(request.body(body)).await;
                assert_eq!(answer.status, status, "{kind}: {}", answer.body);
                answer.problem(status);
                assert!(!answer.body.to_string().contains("xxx"), "{}", answer.body);
            }
            // So is a bomb of blank lines, wherever it is.
            for (kind, begins) in [("text/csv", [NAMES, &row("1", "1")].concat()), ("application/x-ndjson", format!("{}\n", three()[0]))] {
                let results = send(&service, kind, gzip(&format!("{begins}{}", "\r\n".repeat(5_000_000)))).await;
                let last = results.lines.last().expect("a line");
                assert_eq!(last["problem"]["status"], 400, "{kind}: {results:?}");
            }
            // A line that is too long is refused alone.
            let results = send(&service, "application/x-ndjson", format!("{}\n\"{long}\"\n{}", three()[0], three()[2])).await;
            assert_eq!(results.statuses(), ["accepted", "rejected", "accepted"]);
            assert_eq!(results.lines[1]["errors"][0]["code"], "too_large");
            for (kind, empty) in [("application/json", " [ ] "), ("application/x-ndjson", "\n\n"), ("text/csv", NAMES)] {
                let results = send(&service, kind, empty).await;
                assert_eq!(results.summary(), &json!({"claims": 0, "accepted": 0, "rejected": 0, "duplicates": 0}));
            }
        });
        assert_eq!(count(database.database(), "claims"), 3);
    }

    fn a_batch_sent_again_with_its_key_stores_exactly_the_rest(database: &TestDatabase) {
        with_service(database, async |service| {
            let lines: Vec<String> = (0..40).map(|n| format!("{}\n", claim(PROVIDERS[0], &format!("{n}.00")))).collect();
            let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", "night-1")];
            let first = send_to(&service, "/v1/claims/batch", &headers, lines[..25].concat()).await;
            assert_eq!(first.summary()["accepted"], 25);
            let whole = send_to(&service, "/v1/claims/batch", &headers, lines.concat()).await;
            assert_eq!(whole.summary(), &json!({"claims": 40, "accepted": 15, "rejected": 0, "duplicates": 25}));
            let ids = |results: &Results| -> Vec<Value> { results.lines[..25].iter().map(|line| line["id"].clone()).collect() };
            assert_eq!(ids(&whole), ids(&first));
            // Another claim at a place that was taken is refused, and nothing changes.
            let other = send_to(&service, "/v1/claims/batch", &headers, lines[1].clone()).await;
            assert_eq!((other.status, &other.lines[0]["type"]), (422, &json!("urn:claims-to-payments:problem:idempotency-key-reused")));
            // A single claim with the same key is no part of the batch.
            assert_eq!(service.post_with_key("night-1", &claim(PROVIDERS[1], "1.00")).await.status, 201);
        });
        assert_eq!(count(database.database(), "claims"), 41);
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (78_000, 40));
    }

    fn a_batch_with_a_claim_inserted_behind_place_200_is_refused_there_and_stores_nothing(database: &TestDatabase) {
        // What was stored before is looked up for 200 places at a time: the second 200 count as the first.
        let lines: Vec<String> = (0..210).map(|n| format!("{}\n", claim(PROVIDERS[0], &format!("{n}.00")))).collect();
        let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", "night-1")];
        with_service(database, async |service| {
            let first = send_to(&service, "/v1/claims/batch", &headers, lines.concat()).await;
            assert_eq!(first.summary()["accepted"], 210);
            for place in [199, 200, 201, 205] {
                let mut changed = lines.clone();
                changed.insert(place, format!("{}\n", claim(PROVIDERS[0], "0.99")));
                let second = send_to(&service, "/v1/claims/batch", &headers, changed.concat()).await;
                assert_eq!(second.statuses(), vec!["duplicate"; place], "{place}");
                let problem = &second.lines.last().expect("a line")["problem"];
                assert_eq!(problem["type"], "urn:claims-to-payments:problem:idempotency-key-reused", "{place}: {problem}");
                let detail = problem["detail"].as_str().expect("text");
                assert!(detail.contains(&format!("index {place} ")), "{place}: {detail}");
            }
            let whole = send_to(&service, "/v1/claims/batch", &headers, lines.concat()).await;
            assert_eq!(whole.summary(), &json!({"claims": 210, "accepted": 0, "rejected": 0, "duplicates": 210}));
        });
        assert_eq!((count(database.database(), "claims"), count(database.database(), "idempotency_keys")), (210, 210));
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (2_194_500, 210));
    }

    fn a_key_followed_by_a_place_is_not_taken_for_a_longer_key(database: &TestDatabase) {
        // Equal claims, so that a key that two places share would pass for a repeat.
        let lines: Vec<String> = (0..12).map(|_| format!("{}\n", claim(PROVIDERS[0], "1.00"))).collect();
        with_service(database, async |service| {
            for (key, claims) in [("a", 12), ("a1", 2), ("a11", 1)] {
                let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", key)];
                let results = send_to(&service, "/v1/claims/batch", &headers, lines[..claims].concat()).await;
                assert_eq!(results.statuses(), vec!["accepted"; claims], "{key}: {results:?}");
            }
            assert_eq!(service.post_with_key("a11", &claim(PROVIDERS[0], "1.00")).await.status, 201);
        });
        assert_eq!((count(database.database(), "claims"), count(database.database(), "idempotency_keys")), (16, 16));
    }

    fn a_corrected_batch_ends_at_the_first_claim_that_came_from_another_place(database: &TestDatabase) {
        let row = |subscriber: &str, fees: &str| format!("3/28/18,D0180,,GRP-1000,{subscriber},{},{fees},0,0,0\n", PROVIDERS[0]);
        let headers = [("content-type", "text/csv"), ("idempotency-key", "night-1")];
        let sent = |bad: &str| [NAMES.to_owned(), row("A", "1"), row("B", "2"), bad.to_owned(), row("C", "4"), row("D", "5"), row("E", "6")].concat();
        with_service(database, async |service| {
            // Its separator tells the row from a claim, and with it the claims beside it.
            let first = send_to(&service, "/v1/claims/batch", &headers, sent(&row("X", "1,000.00"))).await;
            assert_eq!(first.statuses(), ["accepted", "rejected", "rejected", "accepted", "accepted"], "{first:?}");
            // Put right, there is one claim more, and all behind it have other places.
            let second = send_to(&service, "/v1/claims/batch", &headers, sent(&row("X", "\"1,000.00\""))).await;
            assert_eq!(second.statuses(), ["duplicate", "accepted", "accepted"], "{second:?}");
            let problem = &second.lines.last().expect("a line")["problem"];
            assert!(problem["detail"].as_str().expect("text").contains("index 3"), "{second:?}");
            // With a key of its own the rest is stored, and nothing twice.
            let rest = [("content-type", "text/csv"), ("idempotency-key", "night-1-rest")];
            let rest = send_to(&service, "/v1/claims/batch", &rest, [NAMES.to_owned(), row("C", "4")].concat()).await;
            assert_eq!(rest.statuses(), ["accepted"]);
        });
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (101_800, 6));
    }

    fn the_same_cells_under_other_names_are_another_batch(database: &TestDatabase) {
        let row = format!("3/28/18,D0180,,GRP-1000,A,{},100,500,0,0\n", PROVIDERS[0]);
        let headers = [("content-type", "text/csv"), ("idempotency-key", "night-1")];
        let swapped = NAMES.replace("provider fees,", "fees-1,").replace("Allowed fees", "provider fees").replace("fees-1", "Allowed fees");
        with_service(database, async |service| {
            let first = send_to(&service, "/v1/claims/batch", &headers, format!("{NAMES}{row}")).await;
            assert_eq!(first.statuses(), ["accepted"]);
            let second = send_to(&service, "/v1/claims/batch", &headers, format!("{swapped}{row}")).await;
            assert_eq!(second.status, 422, "{second:?}");
            // In another spelling they are the same.
            let again = send_to(&service, "/v1/claims/batch", &headers, format!("{}{row}", NAMES.to_uppercase())).await;
            assert_eq!(again.statuses(), ["duplicate"]);
        });
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (-40_000, 1));
    }

    fn a_batch_sent_again_is_answered_as_before_also_when_it_would_be_refused_by_now(database: &TestDatabase) {
        let claims = [claim(PROVIDERS[0], "1.00"), claim("1234567890", "2.00"), claim("1234567890", "3.00")];
        let headers = [("content-type", "application/json"), ("idempotency-key", "night-1")];
        let mut ids = Vec::new();
        with_service(database, async |service| {
            let first = send_to(&service, "/v1/claims/batch", &headers, json!(claims[..2]).to_string()).await;
            assert_eq!(first.summary()["accepted"], 2);
            ids = first.lines[..2].iter().map(|line| line["id"].clone()).collect();
        });
        with_settings(database, |settings| {
            settings.rules.insert("npi_checksum".to_owned(), Severity::Reject);
            settings.query.max_waiting_reads = 1;
        }, async |service| {
            let again = send_to(&service, "/v1/claims/batch", &headers, json!(claims).to_string()).await;
            assert_eq!(again.statuses(), ["duplicate", "duplicate", "rejected"], "{again:?}");
            assert_eq!([&again.lines[0]["id"], &again.lines[1]["id"]], [&ids[0], &ids[1]]);
            assert_eq!(again.lines[1]["warnings"][0]["code"], "npi_checksum");
            assert_eq!(again.lines[2]["errors"][0]["code"], "npi_checksum");
            assert_eq!(again.summary(), &json!({"claims": 3, "accepted": 0, "rejected": 1, "duplicates": 2}));
            // Another claim in a place that was taken is refused for that alone.
            let other = send_to(&service, "/v1/claims/batch", &headers, json!([claims[2]]).to_string()).await;
            assert_eq!(other.status, 422, "{other:?}");
            // A dry run is not compared with earlier answers.
            let validated = send_to(&service, "/v1/claims/validate?batch=true", &headers, json!(claims).to_string()).await;
            assert_eq!(validated.statuses(), ["valid", "rejected", "rejected"]);
        });
        assert_eq!((count(database.database(), "claims"), count(database.database(), "idempotency_keys")), (2, 2));
    }

    fn blanks_around_a_claim_of_a_batch_do_not_make_it_another_one(database: &TestDatabase) {
        let claims: Vec<String> = (1..4).map(|n| claim(PROVIDERS[0], &format!("{n}.00")).to_string()).collect();
        with_service(database, async |service| {
            let ends = ["\n", "\r\n", " \t\n", "\n \n\n \t"];
            let lines = ends.map(|end| claims.iter().map(|claim| format!("{claim}{end}")).collect::<String>());
            let without_last_end = claims.join("\n");
            let all_lines: Vec<&str> = lines.iter().chain([&without_last_end]).map(String::as_str).collect();
            let arrays = [",", " ,", ",\r\n\t"].map(|comma| format!("[{}]", claims.join(comma)));
            let spread = format!(" [\n{}\n]\n", claims.join("\n,\n"));
            let all_arrays: Vec<&str> = arrays.iter().chain([&spread]).map(String::as_str).collect();
            for (kind, bodies) in [("application/x-ndjson", all_lines), ("application/json", all_arrays)] {
                let headers = [("content-type", kind), ("idempotency-key", kind)];
                let first = send_to(&service, "/v1/claims/batch", &headers, bodies[0]).await;
                assert_eq!(first.summary()["accepted"], 3, "{first:?}");
                for body in &bodies[1..] {
                    let again = send_to(&service, "/v1/claims/batch", &headers, *body).await;
                    assert_eq!(again.statuses(), ["duplicate"; 3], "{body:?}: {again:?}");
                }
            }
        });
        assert_eq!(count(database.database(), "claims"), 6);
    }
}
