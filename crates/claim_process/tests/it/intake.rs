//! What senders send: every spelling and shape gives the same claim, and every wrong value is named.

use claim_process::domain::claim::Claim;
use claim_process::domain::finding::Finding;
use claim_process::domain::limits::Limits;
use claim_process::domain::raw_claim::RawClaim;
use claim_process::domain::rules::default_severities;
use claim_process::domain::rules::rule::Severity;
use claim_process::domain::rules::rule_set::RuleSet;
use claim_process::intake::{Malformed, ReadLimits, read_csv, read_json};
use jiff::Timestamp;
use serde_json::{Value, json};

const REAL_CLAIM: &[u8] = include_bytes!("../../../../scripts/claim_1234.csv");

fn rules() -> RuleSet {
    RuleSet::new(default_severities(), Limits::default(), None)
}

fn accepted(raw_claim: Result<RawClaim, Malformed>) -> (Claim, Vec<Finding>) {
    rules().accept(&raw_claim.expect("well-formed"), Timestamp::now()).expect("acceptable")
}

fn from_json(value: &Value) -> Result<RawClaim, Malformed> {
    read_json(value.to_string().as_bytes(), ReadLimits::default())
}

fn refused(value: &Value) -> Vec<Finding> {
    rules().accept(&from_json(value).expect("well-formed"), Timestamp::now()).expect_err("refused")
}

/// One line with the canonical names; `changes` replace or add members.
fn line(changes: &[(&str, Value)]) -> Value {
    let mut line = json!({
        "service_date": "2018-03-28", "submitted_procedure": "D0180", "quadrant": null, "plan_group": "GRP-1000",
        "subscriber_id": "3730189502", "provider_npi": "1497775530", "provider_fees": "100.00", "allowed_fees": "100.00",
        "member_coinsurance": "0.00", "member_copay": "0.00",
    });
    for (name, value) in changes {
        line[name] = value.clone();
    }
    line
}

#[test]
fn the_real_claim_has_the_net_fees_it_should() {
    let (claim, warnings) = accepted(read_csv(REAL_CLAIM, ReadLimits::default()));
    let net_fees: Vec<String> = claim.lines.iter().map(|line| line.net_fee().to_string()).collect();
    assert_eq!(net_fees, ["0.00", "0.00", "81.25", "35.60"]);
    assert_eq!(claim.net_fee().to_string(), "116.85");
    assert_eq!(claim.subscriber_id.as_str(), "3730189502");
    assert_eq!(claim.lines[3].quadrant.map(|quadrant| quadrant.as_str()), Some("UR"));
    assert_eq!(warnings, []);
}

#[test]
fn the_shapes_give_the_same_claim() {
    let (expected, _) = accepted(from_json(&json!([line(&[]), line(&[("service_date", json!("2018-03-29"))])])));
    let with_lines = json!({"lines": [line(&[]), line(&[("service_date", json!("3/29/18 0:00"))])]});
    assert_eq!(accepted(from_json(&with_lines)).0, expected);
    let mut lines = [line(&[]), line(&[("service_date", json!("2018-03-29"))])];
    for line in &mut lines {
        for shared in ["plan_group", "subscriber_id", "provider_npi"] {
            line.as_object_mut().unwrap().remove(shared);
        }
    }
    let shared =
        json!({"Plan Group": "GRP-1000", "member_id": 3_730_189_502_u64, "npi": 1_497_775_530, "lines": lines});
    assert_eq!(accepted(from_json(&shared)).0, expected);
    assert_eq!(accepted(from_json(&line(&[]))).0, accepted(from_json(&json!([line(&[])]))).0);
    for name in ["external_claim_id", "claim_reference"] {
        let (claim, _) = accepted(from_json(&json!({name: "A-17", "lines": [line(&[])]})));
        assert_eq!(claim.external_claim_id.unwrap().as_str(), "A-17");
    }
}

#[test]
fn the_spellings_of_values_give_the_same_claim() {
    let (expected, _) = accepted(from_json(&line(&[])));
    let same = [
        (
            "service_date",
            vec![
                json!("3/28/18 0:00"),
                json!("3/28/2018 0:00:00"),
                json!("2018-03-28T11:30:00"),
                json!("2018-03-28T00:00:00Z"),
            ],
        ),
        ("provider_fees", vec![json!("$100.00 "), json!("100.0"), json!(100.0), json!(100), json!("100")]),
        ("provider_npi", vec![json!(1_497_775_530)]),
        ("submitted_procedure", vec![json!("d0180"), json!(" D0180 ")]),
        ("quadrant", vec![json!(""), json!(" ")]),
        ("subscriber_id", vec![json!(3_730_189_502_u64), json!(" 3730189502 ")]),
    ];
    for (field, values) in same {
        for value in values {
            assert_eq!(accepted(from_json(&line(&[(field, value.clone())]))).0, expected, "{field} = {value}");
        }
    }
    let (claim, _) =
        accepted(from_json(&line(&[("provider_fees", json!("$1,234.50")), ("subscriber_id", json!("SUB123456"))])));
    assert_eq!(claim.net_fee().to_string(), "1134.50");
}

#[test]
fn every_wrong_value_is_named_with_its_line_field_and_code() {
    let cases = [
        ("provider_fees", json!(-100.0), "money_negative"),
        ("provider_fees", json!("100.123"), "money_decimals"),
        ("provider_fees", json!("a lot"), "money_format"),
        ("provider_fees", json!("999999999.99"), "money_limit"),
        ("provider_fees", json!(null), "required"),
        ("provider_fees", json!([1]), "not_text"),
        ("provider_npi", json!("149777553"), "npi_digits"),
        ("provider_npi", json!("14977755300"), "npi_digits"),
        ("provider_npi", json!("1234567890A"), "npi_digits"),
        ("submitted_procedure", json!("0180"), "procedure_prefix"),
        ("submitted_procedure", json!("E4211"), "procedure_prefix"),
        ("submitted_procedure", json!("D018"), "procedure_format"),
        ("submitted_procedure", json!("D0180; DROP"), "procedure_characters"),
        ("quadrant", json!("Upper"), "quadrant"),
        ("service_date", json!("2023-02-29"), "date_format"),
        ("subscriber_id", json!("x".repeat(65)), "length"),
        ("subscriber_id", json!(true), "not_text"),
        ("plan_group", json!("another plan"), "lines_disagree"),
    ];
    for (field, value, code) in cases {
        let findings = refused(&json!({"lines": [line(&[]), line(&[(field, value.clone())])]}));
        let finding = findings.iter().find(|finding| finding.code() == code);
        let finding = finding.unwrap_or_else(|| panic!("{code} for {field} = {value} in {findings:?}"));
        assert_eq!((finding.line, finding.field.as_str()), (Some(2), field));
        assert_eq!(finding.pointer.as_deref(), Some(format!("/lines/1/{field}").as_str()));
        assert!(!finding.message.is_empty());
    }
}

#[test]
fn all_findings_come_at_once_with_the_spelling_of_the_field() {
    let bad = json!([
        {"Service Date": "soon", "proc_code": "E1", "Plan/Group #": "G", "npi": "1", "provider fees": "x", "Allowed fees": "1"},
    ]);
    let findings = refused(&bad);
    let found: Vec<(&str, &str)> = findings.iter().map(|finding| (finding.field.as_str(), finding.code())).collect();
    for expected in [
        ("service_date", "date_format"),
        ("submitted_procedure", "procedure_prefix"),
        ("subscriber_id", "required"),
        ("provider_npi", "npi_digits"),
        ("provider_fees", "money_format"),
        ("member_coinsurance", "required"),
        ("member_copay", "required"),
    ] {
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
    }
    let date = findings.iter().find(|finding| finding.field == "service_date").unwrap();
    assert_eq!(date.sent_as.as_deref(), Some("Service Date"));
    assert_eq!(date.pointer.as_deref(), Some("/0/Service Date"));
}

#[test]
fn a_field_sent_twice_is_refused_and_an_unknown_one_is_a_warning() {
    let twice = r#"{"npi": "1497775530", "Provider NPI": "1497775530"}"#;
    let findings =
        rules().accept(&read_json(twice.as_bytes(), ReadLimits::default()).unwrap(), Timestamp::now()).unwrap_err();
    assert!(findings.iter().any(|finding| finding.code() == "sent_twice" && finding.field == "provider_npi"));
    let (_, warnings) = accepted(from_json(&line(&[("tooth", json!("14"))])));
    assert_eq!((warnings[0].field.as_str(), warnings[0].code()), ("tooth", "unknown_field"));
    let findings = refused(&json!({"plan_group": "A", "lines": [line(&[])]}));
    assert!(findings.iter().any(|finding| finding.code() == "contradiction"), "{findings:?}");
}

#[test]
fn the_number_of_lines_is_bounded() {
    for none in [json!({"lines": []}), json!([])] {
        let findings = refused(&none);
        let found: Vec<_> = findings.iter().map(|finding| (finding.field.as_str(), finding.code())).collect();
        assert_eq!(found, [("lines", "line_count")], "{none}");
        assert!(findings[0].message.contains("has no lines"), "{findings:?}");
    }
    let many: Vec<Value> = (0..101).map(|_| line(&[])).collect();
    assert_eq!(refused(&json!(many))[0].code(), "line_count");
    accepted(from_json(&json!(many[..100])));
}

#[test]
fn broken_input_is_located_and_not_echoed() {
    for (body, place) in
        [(r#"{"a": SECRET}"#, "line 1, column 7"), ("{\n\"a\": 1,\n", "line 3"), ("", "line 1, column 0")]
    {
        let Malformed(text) = read_json(body.as_bytes(), ReadLimits::default()).unwrap_err();
        assert!(text.contains(place) && !text.contains("SECRET"), "{text}");
    }
    for body in ["17", "\"text\"", "null", r#"{"lines": 3}"#, "[1]"] {
        read_json(body.as_bytes(), ReadLimits::default()).expect_err(body);
    }
    // Brackets in a text are no levels.
    let deep =
        |levels: usize| format!("{{\"a\": \"[[[{{\\\"[\", \"b\": {}1{}}}", "[".repeat(levels), "]".repeat(levels));
    read_json(deep(15).as_bytes(), ReadLimits::default()).unwrap();
    let Malformed(text) = read_json(deep(16).as_bytes(), ReadLimits::default()).unwrap_err();
    assert!(text.contains("deeper than 16 levels"), "{text}");
    read_json("[".repeat(1_000_000).as_bytes(), ReadLimits::default()).unwrap_err();
    read_json(b"\xff{}", ReadLimits::default()).unwrap_err();
    read_csv(b"", ReadLimits::default()).unwrap_err();
    read_csv(b"\xff,a\n1,2", ReadLimits::default()).unwrap_err();
    read_csv(b"apples,pears\n1,2", ReadLimits::default()).unwrap_err();
    let (half_surrogate, _) = (read_json(br#"{"plan_group": "\ud800"}"#, ReadLimits::default()).unwrap(), ());
    assert!(
        rules()
            .accept(&half_surrogate, Timestamp::now())
            .unwrap_err()
            .iter()
            .any(|finding| finding.code() == "not_text")
    );
}

#[test]
fn a_csv_row_with_the_wrong_number_of_columns_is_named() {
    let text = String::from_utf8(REAL_CLAIM.to_vec()).unwrap().replace("D0210,,", "D0210,");
    let findings =
        rules().accept(&read_csv(text.as_bytes(), ReadLimits::default()).unwrap(), Timestamp::now()).unwrap_err();
    let found: Vec<_> = findings.iter().map(|finding| (finding.line, finding.code())).collect();
    assert_eq!(found, [(Some(2), "ragged_row")], "no findings of its cells besides");
    let (claim, _) = accepted(read_csv(&[b"\xef\xbb\xbf", REAL_CLAIM, b"\r\n"].concat(), ReadLimits::default()));
    assert_eq!(claim.lines.len(), 4);
}

#[test]
fn a_column_that_a_csv_lacks_is_named_once_and_not_for_each_row() {
    let names = "service_date,submitted_procedure,subscriber_id,provider_npi,provider_fees,allowed_fees,member_coinsurance,Copay\n";
    let row = "2018-03-28,D0180,3730189502,1497775530,100.00,100.00,0.00,\n";
    let found = |text: &str| -> Vec<_> {
        let raw_claim = read_csv(text.as_bytes(), ReadLimits::default()).unwrap();
        let findings = rules().accept(&raw_claim, Timestamp::now()).unwrap_err();
        findings.iter().map(|finding| (finding.line, finding.field.clone(), finding.code().to_owned())).collect()
    };
    let finding = |line, field: &str| (line, field.to_owned(), "required".to_owned());
    let copay = |line| finding(Some(line), "member_copay");
    assert_eq!(found(&[names, row, row, row].concat()), [finding(None, "plan_group"), copay(1), copay(2), copay(3)]);
}

#[test]
fn no_deployment_can_turn_off_a_rule_without_which_a_claim_cannot_be_paid_rightly() {
    let severities = ["lines_disagree", "line_count"].map(|code| (code.to_owned(), Severity::Off));
    let careless = RuleSet::new(severities.into(), Limits::default(), None);
    let two_plans = json!([line(&[]), line(&[("plan_group", json!("another plan"))])]);
    assert_eq!(
        careless.accept(&from_json(&two_plans).unwrap(), Timestamp::now()).unwrap_err()[0].code(),
        "lines_disagree"
    );
    assert_eq!(
        careless.accept(&from_json(&json!({"lines": []})).unwrap(), Timestamp::now()).unwrap_err()[0].code(),
        "line_count"
    );
    assert!(!default_severities().contains_key("lines_disagree"), "it is not offered as a setting");
}

#[test]
fn a_deployment_chooses_what_a_rule_does() {
    let mut severities = default_severities();
    severities.insert("procedure_format".into(), Severity::Warn);
    severities.insert("npi_checksum".into(), Severity::Off);
    let lenient = RuleSet::new(severities, Limits::default(), None);
    let raw_claim =
        from_json(&line(&[("submitted_procedure", json!("D12")), ("provider_npi", json!("1234567890"))])).unwrap();
    let (_, warnings) = lenient.accept(&raw_claim, Timestamp::now()).unwrap();
    assert_eq!(warnings.iter().map(|warning| warning.code()).collect::<Vec<_>>(), ["procedure_format"]);
    let repeated = json!([line(&[]), line(&[]), line(&[("service_date", json!("2018-03-30"))])]);
    let (_, warnings) = accepted(from_json(&repeated));
    assert_eq!(
        warnings.iter().map(|warning| (warning.line, warning.code())).collect::<Vec<_>>(),
        [(Some(2), "repeated_line")]
    );
}

#[test]
fn a_name_without_end_is_cut_wherever_it_is_echoed() {
    let long = "tooth".repeat(1_000);
    for sent in [json!({long.clone(): "14"}), json!({"lines": [{long.clone(): "14"}]})] {
        let findings = serde_json::to_string(&refused_and_warned(&sent)).unwrap();
        assert!(findings.contains("unknown_field") && !findings.contains(&long[..65]), "{findings}");
    }
    // The fields there are, are named once.
    let many: serde_json::Map<String, Value> = (0..40).map(|n| (format!("column {n}"), json!("x"))).collect();
    let findings = serde_json::to_string(&refused_and_warned(&Value::Object(many))).unwrap();
    assert_eq!(findings.matches("the fields are").count(), 1, "{findings}");
}

fn refused_and_warned(value: &Value) -> Vec<Finding> {
    let judgement = rules().validate(&from_json(value).expect("well-formed"), Timestamp::now());
    [judgement.refused, judgement.warnings].concat()
}
