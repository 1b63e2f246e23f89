//! Which rows of a CSV become which claim, above all where a row is in doubt: no claim is ever stored without a line that
//! it may have had.

use crate::service::{Answer, PROVIDERS, Service, assert_totals_agree, with_service};
use claim_process::domain::limits::Limits;
use claim_process::domain::rules::default_severities;
use claim_process::domain::rules::rule_set::RuleSet;
use claim_process::intake::ReadLimits;
use claim_process::intake::batch_input::{BatchFormat, BatchLimits, Grouping, SourceLocation, read_batch};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io::Read;
use test_support::{TestDatabase, count, number, on_both_databases};

const NAMES: &str = "service date;submitted procedure;quadrant;Plan/Group #;Subscriber#;Provider NPI;provider fees;\
                     Allowed fees;member coinsurance;member copay\n";

/// One cell too many, as with a separator that is typed twice.
const LONG: &str = "3/28/18;D0180;;;GRP-1000;1;1497775530;5;0;0;0\n";

/// Some too few, as where a line break is typed into a cell.
const SHORT: &str = "3/28/18;D0180\n";

fn row_of(date: &str, subscriber: &str, fees: &str) -> String {
    format!("{date};D0180;;GRP-1000;{subscriber};{};{fees};0.00;0.00;0.00\n", PROVIDERS[0])
}

fn row(subscriber: &str) -> String {
    row_of("3/28/18 0:00", subscriber, "5.00")
}

/// What became of the claims of a batch: their first and last row, and the codes of what is wrong with them.
async fn claims(service: &Service, query: &str, csv: impl Into<Vec<u8>>) -> Vec<(u64, u64, Vec<String>)> {
    let request = service.request(reqwest::Method::POST, &format!("/v1/claims/batch{query}"));
    let answer = Answer::of(request.header("content-type", "text/csv").body(csv.into())).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let text = answer.body.as_str().expect("lines").to_owned();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (summary, results) = lines.split_last().expect("a summary");
    assert_eq!(summary["summary"]["claims"], json!(results.len()), "{text}");
    let claim = |result: &Value| {
        let codes: Vec<String> = result["errors"]
            .as_array()
            .map(|errors| errors.iter().map(|error| error["code"].as_str().expect("a code").to_owned()).collect())
            .unwrap_or_default();
        assert_eq!(result["status"], if codes.is_empty() { "accepted" } else { "rejected" }, "{result}");
        let row = |place: usize| result["rows"][place].as_u64().expect("a row");
        (row(0), row(1), codes)
    };
    results.iter().map(claim).collect()
}

/// A claim as [`claims`] returns it.
fn claim(first: u64, last: u64, codes: &[&str]) -> (u64, u64, Vec<String>) {
    (first, last, codes.iter().map(|code| (*code).to_owned()).collect())
}

on_both_databases! {
    fn a_row_with_the_wrong_number_of_columns_refuses_the_claims_it_may_be_a_line_of(database: &TestDatabase) {
        let (a, b, c) = (&*row("1"), &*row("2"), &*row("3"));
        with_service(database, async |service| {
            for (rows, expected) in [
                (vec![a, LONG, a, b], vec![claim(1, 3, &["ragged_row"]), claim(4, 4, &[])]),
                (vec![a, SHORT, a], vec![claim(1, 3, &["ragged_row"])]),
                (vec![LONG, a, a, b], vec![claim(1, 3, &["ragged_row"]), claim(4, 4, &[])]),
                (vec![a, b, LONG], vec![claim(1, 1, &[]), claim(2, 3, &["ragged_row"])]),
                (vec![a, LONG, b, b, c], vec![claim(1, 2, &["ragged_row"]), claim(3, 4, &["row_in_doubt"]), claim(5, 5, &[])]),
                (vec![a, SHORT, LONG, b], vec![claim(1, 3, &["ragged_row", "ragged_row"]), claim(4, 4, &["row_in_doubt"])]),
                (vec![a, SHORT, SHORT, a, b], vec![claim(1, 4, &["ragged_row", "ragged_row"]), claim(5, 5, &[])]),
                (vec![a, LONG, b, LONG, c], vec![
                    claim(1, 2, &["ragged_row"]), claim(3, 4, &["row_in_doubt", "ragged_row"]), claim(5, 5, &["row_in_doubt"]),
                ]),
                (vec![SHORT, LONG], vec![claim(1, 2, &["ragged_row", "ragged_row"])]),
            ] {
                let csv = NAMES.to_owned() + &rows.concat();
                assert_eq!(claims(&service, "", csv.clone()).await, expected, "{csv}");
            }
            // The sender's own ids do not help: they cannot be read of such a row.
            let named = |id: &str, row: &str| format!("{id};{row}");
            let csv = ["id;", NAMES, &named("A", a), &named("A", LONG), &named("A", a), &named("B", b)].concat();
            let csv = csv.replacen("id", "external_claim_id", 1);
            assert_eq!(claims(&service, "", csv).await, [claim(1, 3, &["ragged_row"]), claim(4, 4, &[])]);
            // Where each row is a claim, none can be a line of another.
            let csv = [NAMES, a, LONG, a, "3/28/18;\"D0180\n"].concat();
            let by_row = claims(&service, "?group=row", csv).await;
            assert_eq!(by_row, [claim(1, 1, &[]), claim(2, 2, &["ragged_row"]), claim(3, 3, &[]), claim(4, 4, &["line_count", "unclosed_quote"])]);
        });
        assert_eq!(count(database.database(), "claims"), 8);
        assert_eq!(number(database.database(), "SELECT count(*) AS n FROM claim_lines"), 8);
        assert_totals_agree(database.database());
    }

    fn a_row_with_an_unreadable_key_refuses_the_claims_it_may_be_a_line_of(database: &TestDatabase) {
        let (a, b, c) = (&*row("1"), &*row("2"), &*row("3"));
        let (no_date, no_subscriber) = (&*row_of("2/30/18", "1", "5.00"), &*row(""));
        let long = &*row(&"7".repeat(2_000));
        with_service(database, async |service| {
            for (rows, expected) in [
                (vec![a, no_date, a, b], vec![claim(1, 3, &["date_format"]), claim(4, 4, &[])]),
                // What can be read of it shows that it is not theirs.
                (vec![b, no_date, c], vec![claim(1, 1, &[]), claim(2, 2, &["date_format"]), claim(3, 3, &[])]),
                (vec![b, no_date, a, c], vec![claim(1, 1, &[]), claim(2, 3, &["date_format"]), claim(4, 4, &[])]),
                (vec![a, no_subscriber, b, c], vec![claim(1, 2, &["required"]), claim(3, 3, &["row_in_doubt"]), claim(4, 4, &[])]),
                (vec![a, long, a], vec![claim(1, 3, &["value_length"])]),
            ] {
                let csv = NAMES.to_owned() + &rows.concat();
                assert_eq!(claims(&service, "", csv.clone()).await, expected, "{csv}");
            }
            let mut csv = [NAMES, a, &row("#"), a].concat().into_bytes();
            let place = csv.iter().rposition(|byte| *byte == b'#').expect("it is there");
            csv[place] = 0xff;
            assert_eq!(claims(&service, "", csv).await, [claim(1, 3, &["not_text"])]);
        });
        assert_eq!(count(database.database(), "claims"), 6);
        assert_totals_agree(database.database());
    }

    fn blank_rows_are_skipped_and_split_no_claim(database: &TestDatabase) {
        // As a spreadsheet saves them, and as they are left over.
        const BLANK: &str = ";;;;;;;;;\n";
        let blank = [BLANK, "\n", "; ;\t;;\u{a0};\"\";;;;\r\n", ";;\n", "  \n", "\"\"\n"].concat();
        let (a, b) = (&*row("1"), &*row("2"));
        with_service(database, async |service| {
            let csv = [NAMES, &blank, a, &blank, a, b, &blank, LONG, &blank, &blank.repeat(1_000)].concat();
            assert_eq!(claims(&service, "", csv.clone()).await, [claim(1, 2, &[]), claim(3, 4, &["ragged_row"])]);
            let by_row = claims(&service, "?group=row", csv).await;
            let expected = [claim(1, 1, &[]), claim(2, 2, &[]), claim(3, 3, &[]), claim(4, 4, &["ragged_row"])];
            assert_eq!(by_row, expected);

            let one = [NAMES, &blank, a, &blank.repeat(200), a, BLANK.trim_end()].concat();
            let stored = service.post_csv(&one).await;
            assert_eq!((stored.status, &stored.body["net_fee"]), (201, &json!("10.00")), "{}", stored.body);
            let request = service.request(reqwest::Method::POST, "/v1/claims/validate");
            let checked = Answer::of(request.header("content-type", "text/csv").body(one)).await;
            assert_eq!((&checked.body["valid"], &checked.body["claim"]["net_fee"]), (&json!(true), &json!("10.00")));
            // Lines are counted without them.
            let refused = service.post_csv(&[NAMES, a, &blank, LONG].concat()).await;
            assert_eq!((refused.status, &refused.body["errors"][0]["line"]), (422, &json!(2)), "{}", refused.body);
        });
        assert_eq!(count(database.database(), "claims"), 5);
    }

    fn a_column_that_is_not_read_is_named_by_its_number(database: &TestDatabase) {
        with_service(database, async |service| {
            let csv = [NAMES.replace('\n', ";tooth;;\n"), row("1").replace('\n', ";14;;\n")].concat();
            let stored = service.post_csv(&csv).await;
            let warnings: Vec<_> = stored.body["warnings"].as_array().expect("warnings").iter()
                .map(|warning| (warning["field"].as_str().expect("text"), &warning["message"].as_str().expect("text")[..12]))
                .collect();
            let expected = [("tooth", "is column 11"), ("column 12", "has no name "), ("column 13", "has no name ")];
            assert_eq!(warnings, expected, "{}", stored.body);

            let csv = [NAMES.replace('\n', ";npi\n"), row("1").replace('\n', ";1497775530\n")].concat();
            let refused = service.post_csv(&csv).await;
            assert_eq!(refused.body["errors"], json!([{
                "field": "provider_npi", "sent_as": "npi", "code": "sent_twice",
                "message": "is sent twice, as 'Provider NPI' in column 6 and as 'npi' in column 11: send it once",
            }]));
        });
    }

    fn of_a_file_of_ragged_rows_the_first_is_named_however_many_they_are(database: &TestDatabase) {
        with_service(database, async |service| {
            let csv = NAMES.to_owned() + &LONG.repeat(5_000);
            assert_eq!(claims(&service, "", csv).await, [claim(1, 5_000, &["line_count", "ragged_row"])]);
        });
    }
}

#[test]
fn each_claim_of_a_csv_has_the_file_line_at_which_it_begins() {
    let (names, a, b) = (NAMES.trim_end(), row("1").trim_end().to_owned(), row("2").trim_end().to_owned());
    // Line breaks of three kinds, also in the row of names and in a note.
    let names = format!("{names};\"in quo\ntes\"");
    let a = format!("{a};\"a note\r\nof three\nlines\"");
    let csv = format!(
        "\u{feff}\r\n{names}\r\n{a}\r\n{a}\r\n\r\n\n{b};\n{a}\r{b};\r;;;;\n\n{}\n{a}\n  {LONG}{b};\n{a}\n\"{b}",
        row_of("2/30/18", "3", "1.00").trim_end(),
    );
    for bytes in [1, 7, 10_000] {
        let limits = BatchLimits { max_claim_bytes: 10_000, read: ReadLimits::default(), hashes: true };
        let mut lines = Vec::new();
        let pieces = InPieces { text: csv.as_bytes(), bytes };
        read_batch(pieces, Some(BatchFormat::Csv), Grouping::Row, limits, &mut |claim| {
            lines.push(claim.file_line.unwrap());
            Ok::<(), Infallible>(())
        })
        .unwrap();
        // A note makes two lines more.
        assert_eq!(lines, [4, 7, 12, 13, 16, 19, 20, 23, 24, 25, 28], "{csv}");
    }
}

/// A text that arrives in pieces of so many bytes.
struct InPieces<'a> {
    text: &'a [u8],
    bytes: usize,
}

impl Read for InPieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(self.bytes);
        self.text.read(&mut buffer[..most])
    }
}

/// What a row is in the test below: of a claim, or in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    A,
    B,
    /// It may be of either.
    Ragged,
    /// It may be of either.
    NoSubscriber,
    /// It may be of A.
    ANoDate,
}

impl Row {
    const ALL: [Self; 5] = [Self::A, Self::B, Self::Ragged, Self::NoSubscriber, Self::ANoDate];

    fn is_whole(self) -> bool {
        matches!(self, Self::A | Self::B)
    }

    /// Whether it may be of the claim of a whole row.
    fn may_be(self, claim: Self) -> bool {
        match self {
            Self::A | Self::B => self == claim,
            Self::Ragged | Self::NoSubscriber => true,
            Self::ANoDate => claim == Self::A,
        }
    }

    fn text(self) -> String {
        match self {
            Self::A => row("1"),
            Self::B => row("2"),
            Self::Ragged => LONG.to_owned(),
            Self::NoSubscriber => row(""),
            Self::ANoDate => row_of("2/30/18", "1", "5.00"),
        }
    }
}

#[test]
fn in_any_order_of_rows_a_claim_is_accepted_exactly_if_no_row_beside_it_may_be_its_own() {
    let rules = RuleSet::new(default_severities(), Limits::default(), None);
    for length in 1..=5 {
        for number in 0..Row::ALL.len().pow(length) {
            let rows: Vec<Row> =
                (0..length).map(|place| Row::ALL[number / Row::ALL.len().pow(place) % Row::ALL.len()]).collect();
            let csv = NAMES.to_owned() + &rows.iter().map(|row| row.text()).collect::<String>();
            let limits = BatchLimits { max_claim_bytes: 10_000, read: ReadLimits::default(), hashes: true };
            let mut next = 0;
            read_batch(csv.as_bytes(), Some(BatchFormat::Csv), Grouping::Claim, limits, &mut |claim| {
                let Some(SourceLocation::Rows(first, last)) = claim.location else { panic!("a claim of no rows") };
                let (first, last) = (usize::try_from(first).unwrap() - 1, usize::try_from(last).unwrap());
                assert_eq!(first, next, "{rows:?}");
                next = last;
                let own = &rows[first..last];
                let beside = [first.checked_sub(1), Some(last)].map(|row| row.and_then(|row| rows.get(row)));
                let is_sure = own[0].is_whole()
                    && own.iter().all(|row| *row == own[0])
                    && !beside.iter().flatten().any(|row| row.may_be(own[0]));
                let is_accepted = rules.accept(&claim.raw_claim.unwrap(), Timestamp::now()).is_ok();
                assert_eq!(is_accepted, is_sure, "{own:?} of {rows:?}");
                Ok::<(), Infallible>(())
            })
            .unwrap();
            assert_eq!(next, rows.len(), "{rows:?}");
        }
    }
}
