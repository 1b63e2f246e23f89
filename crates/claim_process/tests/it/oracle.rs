//! Random claims, spelt in every way that was seen in the wild, against an oracle that shares nothing with the service: it
//! knows what it wrote before it was spelt, and computes with decimals instead of cents.

use crate::service::{Answer, PROVIDERS, Service, assert_totals_agree, with_settings};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use test_support::{TestDatabase, on_both_databases};

/// Claims sent in each form.
const CLAIMS: usize = 150;

/// The spellings of each field, in the order of the fields of [`Line`].
const NAMES: [&[&str]; 10] = [
    &["service date", " Service Date ", "SERVICE DATE", "service_date", "serviceDate", "service_dt"],
    &[
        "submitted procedure",
        "Submitted Procedure",
        "SUBMITTED PROCEDURE",
        "submitted_proc",
        "procedure_code",
        "proc_code",
    ],
    &["quadrant", "QUADRANT", "quad", "quadrant\n"],
    &[
        "Plan/Group #",
        "plan/Group #",
        "PLAN/GROUP #",
        "Plan Group",
        "plan_group_number",
        "group_plan",
        "group_id",
        "plan_number",
    ],
    &["Subscriber#", "subscriber#", "Subscriber #", "Subscriber", "subscriber_number", "subscriber_no", "member_id"],
    &["Provider NPI", "provider Npi", "PROVIDER NPI", "Provider_NPI", "npi"],
    &["provider fees", "provider Fees", "billed_amount"],
    &["Allowed fees", "allowed Fees", "Allowed_fees", "allowed_amount"],
    &["member CoInsurance", "member_co_ins", "member_coins", "coinsurance"],
    &["member coPay", "member_co_pay", "member_copayment", "copay"],
];

/// A claim as it is meant.
#[derive(Debug, Clone)]
struct Meant {
    provider: &'static str,
    plan: String,
    subscriber: u64,
    lines: Vec<Line>,
    /// Chooses between spellings.
    seed: u64,
}

#[derive(Debug, Clone)]
struct Line {
    year: i32,
    month: u32,
    day: u32,
    procedure: u32,
    quadrant: Option<&'static str>,
    /// Provider fees, allowed fees, coinsurance, copay, in hundredths.
    money: [i64; 4],
}

fn line() -> impl Strategy<Value = Line> {
    let quadrant = proptest::option::of(prop::sample::select(&["UR", "UL", "LR", "LL"][..]));
    let money = [0..2_000_000_i64, 0..2_000_000_i64, 0..100_000_i64, 0..100_000_i64];
    (2015..2025, 1..13_u32, 1..29_u32, 0..10_000_u32, quadrant, money).prop_map(
        |(year, month, day, procedure, quadrant, money)| Line { year, month, day, procedure, quadrant, money },
    )
}

fn meant() -> impl Strategy<Value = Meant> {
    let lines = prop::collection::vec(line(), 1..5);
    (prop::sample::select(&PROVIDERS[..]), 0..1_000_u32, 1..9_999_999_999_u64, lines, any::<u64>()).prop_map(
        |(provider, plan, subscriber, mut lines, seed)| {
            // In CSV, lines of one claim have one date.
            let first = lines[0].clone();
            for line in &mut lines {
                (line.year, line.month, line.day) = (first.year, first.month, first.day);
            }
            Meant { provider, plan: format!("GRP-{plan}"), subscriber, lines, seed }
        },
    )
}

/// Picks one of a few spellings, another one each time.
struct Picks(u64);

impl Picks {
    fn pick(&mut self, of: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % of as u64).expect("few")
    }
}

fn decimal(hundredths: i64) -> Decimal {
    Decimal::new(hundredths, 2)
}

fn spell_money(amount: Decimal, picks: &mut Picks) -> String {
    let whole = amount.trunc().to_string();
    let cents = ((amount - amount.trunc()) * Decimal::from(100)).trunc().to_string();
    let grouped =
        whole.as_bytes().rchunks(3).rev().map(|three| String::from_utf8_lossy(three)).collect::<Vec<_>>().join(",");
    match picks.pick(5) {
        0 => format!("${grouped}.{cents:0>2} "),
        1 => format!("{grouped}.{cents:0>2}"),
        2 if cents.parse::<u32>().expect("digits") % 10 == 0 => {
            format!("{whole}.{}", cents.parse::<u32>().expect("digits") / 10)
        }
        3 if cents == "0" => whole,
        _ => format!("{whole}.{cents:0>2}"),
    }
}

fn spell_date(line: &Line, picks: &mut Picks) -> String {
    let Line { year, month, day, .. } = line;
    match picks.pick(7) {
        0 => format!("{month}/{day}/{:02} 0:00", year % 100),
        1 => format!("{month:02}/{day:02}/{:02} 03:01", year % 100),
        2 => format!("{month}/{day}/{year} 0:00:00"),
        3 => format!("{year}-{month:02}-{day:02} 0:00:00"),
        4 => format!("{year}-{month:02}-{day:02}T11:30:00"),
        5 => format!("{year}-{month:02}-{day:02}T00:00:00Z"),
        _ => format!("{year}-{month:02}-{day:02}"),
    }
}

/// The texts of a line, in the order of [`NAMES`].
fn spell(claim: &Meant, line: &Line, picks: &mut Picks) -> [String; 10] {
    let procedure =
        if picks.pick(2) == 0 { format!("D{:04}", line.procedure) } else { format!("d{:04}", line.procedure) };
    let [provider, allowed, coinsurance, copay] = line.money.map(|amount| spell_money(decimal(amount), picks));
    [
        spell_date(line, picks),
        procedure,
        line.quadrant.unwrap_or("").to_owned(),
        claim.plan.clone(),
        claim.subscriber.to_string(),
        claim.provider.to_owned(),
        provider,
        allowed,
        coinsurance,
        copay,
    ]
}

fn object(claim: &Meant, line: &Line, picks: &mut Picks) -> Value {
    let mut members = Map::new();
    for (field, text) in spell(claim, line, picks).into_iter().enumerate() {
        let name = NAMES[field][picks.pick(NAMES[field].len())];
        let is_number = matches!(field, 4 | 5) && picks.pick(2) == 0;
        let value = match (field, text.is_empty()) {
            (2, true) if picks.pick(2) == 0 => continue,
            (2, true) => Value::Null,
            _ if is_number => json!(text.parse::<u64>().expect("digits")),
            _ => json!(text),
        };
        members.insert(name.to_owned(), value);
    }
    Value::Object(members)
}

fn as_json(claim: &Meant) -> Value {
    let picks = &mut Picks(claim.seed);
    let lines: Vec<Value> = claim.lines.iter().map(|line| object(claim, line, picks)).collect();
    match picks.pick(3) {
        0 => json!({"lines": lines}),
        1 if lines.len() == 1 => lines[0].clone(),
        _ => json!(lines),
    }
}

fn as_csv(claims: &[Meant], separator: &str) -> String {
    let picks = &mut Picks(7);
    let mut row = |cells: Vec<String>| {
        let quoted = cells.into_iter().map(|cell| {
            let must = cell.contains([',', ';', '\t', '\n', '"']);
            if must || picks.pick(4) == 0 { format!("\"{cell}\"") } else { cell }
        });
        quoted.collect::<Vec<_>>().join(separator)
    };
    let names = NAMES.iter().map(|names| names[names.len() - 1].to_owned());
    let mut rows = vec![row(std::iter::once("external_claim_id".to_owned()).chain(names).collect())];
    for (number, claim) in claims.iter().enumerate() {
        let spelling = &mut Picks(claim.seed);
        for line in &claim.lines {
            let cells = std::iter::once(format!("{separator:?}-{number}").replace(['"', '\\'], ""))
                .chain(spell(claim, line, spelling));
            rows.push(row(cells.collect()));
        }
    }
    // The last newline is missing, as in the real claim.
    rows.join("\r\n")
}

async fn send(service: &Service, content_type: &str, body: String) -> Vec<String> {
    let request = service.request(reqwest::Method::POST, "/v1/claims/batch");
    let answer = Answer::of(request.header("content-type", content_type).body(body)).await;
    let text = answer.body.as_str().expect("lines").to_owned();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let summary = &lines[CLAIMS]["summary"];
    assert_eq!((&summary["claims"], &summary["accepted"]), (&json!(CLAIMS), &json!(CLAIMS)), "{content_type}: {text}");
    lines[..CLAIMS].iter().map(|line| line["id"].as_str().expect("an id").to_owned()).collect()
}

fn money_text(amount: Decimal) -> Value {
    json!(format!("{amount:.2}"))
}

/// What is stored of a claim, held against what was meant.
fn assert_as_meant(stored: &Value, meant: &Meant) {
    let mut sum = Decimal::ZERO;
    let lines = stored["lines"].as_array().expect("lines");
    assert_eq!(lines.len(), meant.lines.len());
    for (stored, line) in lines.iter().zip(&meant.lines) {
        let [provider, allowed, coinsurance, copay] = line.money.map(decimal);
        let net = provider + coinsurance + copay - allowed;
        sum += net;
        assert_eq!(stored["service_date"], format!("{}-{:02}-{:02}", line.year, line.month, line.day));
        assert_eq!(stored["submitted_procedure"], format!("D{:04}", line.procedure));
        assert_eq!(stored["quadrant"].as_str(), line.quadrant);
        let money = [
            &stored["provider_fees"],
            &stored["allowed_fees"],
            &stored["member_coinsurance"],
            &stored["member_copay"],
            &stored["net_fee"],
        ];
        assert_eq!(money, [provider, allowed, coinsurance, copay, net].map(money_text).each_ref());
    }
    assert_eq!(stored["net_fee"], money_text(sum));
    assert_eq!((&stored["provider_npi"], &stored["plan_group"]), (&json!(meant.provider), &json!(meant.plan)));
    assert_eq!(stored["subscriber_id"], meant.subscriber.to_string());
}

on_both_databases! {
    fn however_claims_are_spelt_and_sent_they_are_stored_as_they_were_meant(database: &TestDatabase) {
        let mut runner = TestRunner::deterministic();
        let claims: Vec<Meant> =
            (0..CLAIMS).map(|_| meant().new_tree(&mut runner).expect("a claim").current()).collect();
        with_settings(database, |settings| settings.ingest.max_group_claims = 64, async |service| {
            let array = Value::Array(claims.iter().map(as_json).collect()).to_string();
            let lines: String = claims.iter().map(|claim| format!("{}\n", as_json(claim))).collect();
            let csv = as_csv(&claims, ",");
            let form = format!("--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n{}\r\n--b--\r\n", as_csv(&claims, ";"));
            let sent = [
                send(&service, "application/json", array).await,
                send(&service, "application/x-ndjson", lines).await,
                send(&service, "text/csv", csv).await,
                send(&service, "multipart/form-data; boundary=b", form).await,
            ];
            for ids in &sent {
                for (id, meant) in ids.iter().zip(&claims) {
                    assert_as_meant(&service.claim(id).await, meant);
                }
            }
            let mut expected: BTreeMap<&str, Decimal> = BTreeMap::new();
            for claim in &claims {
                for line in &claim.lines {
                    let [provider, allowed, coinsurance, copay] = line.money.map(decimal);
                    *expected.entry(claim.provider).or_default() += provider + coinsurance + copay - allowed;
                }
            }
            let mut expected: Vec<(Decimal, &str)> =
                expected.into_iter().map(|(provider, sum)| (sum * Decimal::from(sent.len()), provider)).collect();
            expected.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(other.1)));
            let top = service.get("/v1/providers/top").await;
            let top: Vec<(Value, Value)> = top.body["providers"].as_array().expect("providers").iter()
                .map(|row| (row["net_fee"].clone(), row["provider_npi"].clone()))
                .collect();
            assert_eq!(top, expected.into_iter().map(|(sum, provider)| (money_text(sum), json!(provider))).collect::<Vec<_>>());
        });
        assert_totals_agree(database.database());
    }
}
