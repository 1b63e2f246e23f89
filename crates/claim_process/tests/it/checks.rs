//! The rules at their edges: dates, amounts, quadrants and lists of codes.

use crate::service::{REAL_CLAIM, line, with_settings};
use claim_events::Cents;
use claim_process::domain::code_list::CodeList;
use claim_process::domain::limits::Limits;
use claim_process::domain::raw_claim::MOST_LINES;
use claim_process::domain::rules::default_severities;
use claim_process::domain::rules::rule::Severity;
use claim_process::domain::rules::rule_set::RuleSet;
use claim_process::intake::{ReadLimits, read_csv, read_json};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use test_support::TestDatabase;

fn at(moment: &str) -> Timestamp {
    moment.parse().unwrap()
}

fn rule_set(limits: Limits, procedures: Option<&str>) -> RuleSet {
    let procedures = procedures.map(|codes| CodeList::parse(codes).unwrap());
    RuleSet::new(default_severities(), limits, procedures)
}

/// What is found, refusing or warning: the codes with their lines.
fn found(rule_set: &RuleSet, claim: &Value, now: &str) -> Vec<(String, Option<usize>)> {
    let raw_claim = read_json(claim.to_string().as_bytes(), ReadLimits::default()).unwrap();
    let findings = match rule_set.accept(&raw_claim, at(now)) {
        Ok((_, warnings)) => warnings,
        Err(refused) => refused,
    };
    findings.iter().map(|finding| (finding.code().to_owned(), finding.line)).collect()
}

/// The only code that is found with these members changed; the empty text if there is no finding.
fn code(rule_set: &RuleSet, changes: &[(&str, Value)], now: &str) -> String {
    let found = found(rule_set, &line(changes), now);
    assert!(found.len() <= 1, "{changes:?}: {found:?}");
    found.into_iter().next().map_or_else(String::new, |(code, _)| code)
}

#[test]
fn tomorrow_is_refused_where_it_is_not_yet_today_anywhere() {
    let rule_set = rule_set(Limits::default(), None);
    // It is the 29th in the east (UTC+14) from 10:00 UTC on.
    for (day, now, expected) in [
        ("2018-03-28", "2018-03-28T00:00:00Z", ""),
        ("2018-03-29", "2018-03-28T09:59:59Z", "service_date_future"),
        ("2018-03-29", "2018-03-28T10:00:00Z", ""),
        ("2018-03-30", "2018-03-28T10:00:00Z", "service_date_future"),
        ("3/28/68", "2018-03-28T10:00:00Z", "service_date_future"),
    ] {
        assert_eq!(code(&rule_set, &[("service_date", json!(day))], now), expected, "{day} at {now}");
    }
}

#[test]
fn a_service_is_at_most_as_old_as_the_setting_and_the_real_claim_is_not_too_old() {
    let yearly = rule_set(Limits { max_service_age_days: 365, ..Limits::default() }, None);
    for (now, expected) in [("2019-03-28T00:00:00Z", ""), ("2019-03-29T00:00:00Z", "service_date_age")] {
        assert_eq!(code(&yearly, &[], now), expected, "{now}");
    }
    let twenty_years = rule_set(Limits::default(), None);
    for (now, expected) in [("2038-03-27T23:00:00Z", ""), ("2038-03-29T00:00:00Z", "service_date_age")] {
        assert_eq!(code(&twenty_years, &[], now), expected, "{now}");
    }
    let (_, warnings) = twenty_years
        .accept(&read_csv(REAL_CLAIM.as_bytes(), ReadLimits::default()).unwrap(), Timestamp::now())
        .unwrap();
    assert_eq!(warnings, []);
}

#[test]
fn a_year_of_two_digits_is_of_1969_to_2068() {
    let century = rule_set(Limits { max_service_age_days: Limits::MOST_SERVICE_AGE_DAYS, ..Limits::default() }, None);
    let twenty_years = rule_set(Limits::default(), None);
    let now = "2018-04-01T00:00:00Z";
    for (day, within_a_century, within_twenty_years) in [
        ("3/28/69", "", "service_date_age"),
        ("3/28/99", "", ""),
        ("3/28/00", "", ""),
        ("3/28/18", "", ""),
        ("3/28/19", "service_date_future", "service_date_future"),
        ("3/28/68", "service_date_future", "service_date_future"),
    ] {
        let changes = [("service_date", json!(day))];
        assert_eq!(code(&century, &changes, now), within_a_century, "{day}");
        assert_eq!(code(&twenty_years, &changes, now), within_twenty_years, "{day}");
    }
}

#[test]
fn of_a_claim_with_too_many_lines_only_that_is_found() {
    let rule_set = rule_set(Limits { max_lines: 2, ..Limits::default() }, None);
    let bad = line(&[("provider_npi", json!("1")), ("provider_fees", json!("x"))]);
    let now = "2018-04-01T00:00:00Z";
    let codes: Vec<String> = found(&rule_set, &json!([bad, bad]), now).into_iter().map(|(code, _)| code).collect();
    assert!(codes.len() > 2 && !codes.contains(&"line_count".to_owned()), "{codes:?}");
    // The findings of each line would make the answer many times as long as the claim.
    assert_eq!(found(&rule_set, &json!([bad, bad, bad]), now), [("line_count".to_owned(), None)]);
}

#[test]
fn a_claim_may_have_as_many_lines_as_any_deployment_may_allow() {
    let rule_set = rule_set(Limits { max_lines: MOST_LINES, ..Limits::default() }, None);
    let now = "2018-04-01T00:00:00Z";
    let lines = |count: usize| json!(vec![line(&[]); count]);
    let codes =
        |count: usize| found(&rule_set, &lines(count), now).into_iter().map(|(code, _)| code).collect::<BTreeSet<_>>();
    assert!(!codes(MOST_LINES).contains("line_count"));
    assert_eq!(codes(MOST_LINES + 1), BTreeSet::from(["line_count".to_owned()]));
}

#[test]
fn amounts_and_claims_are_bounded_to_the_cent_both_ways() {
    let limits = Limits { max_amount: Cents(10_000), max_claim: Cents(15_000), ..Limits::default() };
    let rule_set = rule_set(limits, None);
    let now = "2018-04-01T00:00:00Z";
    for field in ["provider_fees", "allowed_fees", "member_coinsurance", "member_copay"] {
        let warned = if field == "allowed_fees" { "allowed_above_fees" } else { "" };
        assert_eq!(code(&rule_set, &[(field, json!("100.00"))], now), warned, "{field}");
        let refused = found(&rule_set, &line(&[(field, json!("100.01"))]), now);
        assert_eq!(refused, [("money_limit".to_owned(), Some(1))], "{field}");
    }
    let claim = |first: &[(&str, Value)], second: &[(&str, Value)]| json!([line(first), line(second)]);
    let fees = |amount: &str| [("provider_fees", json!(amount)), ("service_date", json!("2018-03-27"))];
    let owed = |amount: &str| [("provider_fees", json!("0")), ("allowed_fees", json!(amount))];
    let refused = [("claim_limit".to_owned(), None)];
    assert_eq!(found(&rule_set, &claim(&fees("50.00"), &[("provider_fees", json!("100.00"))]), now), []);
    assert_eq!(found(&rule_set, &claim(&fees("50.01"), &[("provider_fees", json!("100.00"))]), now), refused);
    // What the provider owes is bounded as well.
    let owing = claim(
        &owed("100"),
        &[("provider_fees", json!("0")), ("allowed_fees", json!("50.01")), ("quadrant", json!("UR"))],
    );
    assert_eq!(found(&rule_set, &owing, now), refused);
}

#[test]
fn more_allowed_than_charged_is_a_warning() {
    let rule_set = rule_set(Limits::default(), None);
    for (allowed, expected) in [("9.99", ""), ("10.00", ""), ("10.01", "allowed_above_fees")] {
        assert_eq!(code(&rule_set, &[("allowed_fees", json!(allowed))], "2018-04-01T00:00:00Z"), expected, "{allowed}");
    }
}

#[test]
fn procedures_that_are_defined_per_quadrant_need_one_and_others_do_not() {
    let rule_set = rule_set(Limits::default(), None);
    let now = "2018-04-01T00:00:00Z";
    for procedure in ["D4210", "D4211", "D4240", "D4241", "D4260", "D4261", "D4341", "d4342"] {
        let procedure = ("submitted_procedure", json!(procedure));
        assert_eq!(code(&rule_set, std::slice::from_ref(&procedure), now), "quadrant_missing", "{procedure:?}");
        for quadrant in ["UR", "40", "01"] {
            assert_eq!(code(&rule_set, &[procedure.clone(), ("quadrant", json!(quadrant))], now), "");
        }
        // A wrong one is no missing one.
        assert_eq!(code(&rule_set, &[procedure.clone(), ("quadrant", json!("Upper"))], now), "quadrant");
    }
    for procedure in ["D0180", "D0210", "D4346", "D4910"] {
        assert_eq!(code(&rule_set, &[("submitted_procedure", json!(procedure))], now), "", "{procedure}");
    }
}

#[test]
fn a_deployment_may_have_a_list_of_codes_and_is_silent_without() {
    let now = "2018-04-01T00:00:00Z";
    let listed = rule_set(Limits::default(), Some("# ours\nD0180\nd0210\n"));
    for (procedure, expected) in
        [("D0180", ""), ("d0210", ""), ("D4346", "procedure_unknown"), ("X0180", "procedure_prefix")]
    {
        let changes = [("submitted_procedure", json!(procedure))];
        assert_eq!(code(&listed, &changes, now), expected, "{procedure}");
    }
    let silent = rule_set(Limits::default(), None);
    assert_eq!(code(&silent, &[("submitted_procedure", json!("D4346"))], now), "");
}

#[test]
fn the_list_of_codes_is_a_file_and_its_severity_a_setting() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("codes.txt");
    std::fs::write(&file, "D0180\n").unwrap();
    let database = TestDatabase::sqlite();
    with_settings(
        &database,
        |settings| {
            settings.checks.procedure_codes_file = file.to_str().unwrap().to_owned();
            settings.rules.insert("procedure_unknown".to_owned(), Severity::Reject);
        },
        async |service| {
            assert_eq!(service.post(&line(&[])).await.status, 201);
            let answer = service.post(&line(&[("submitted_procedure", json!("D0210"))])).await;
            assert_eq!(answer.problem(422), "claim-refused");
            assert_eq!(answer.body["errors"][0]["code"], "procedure_unknown");
        },
    );
}
