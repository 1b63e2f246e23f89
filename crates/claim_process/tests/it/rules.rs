//! The table of rules: the service does what `GET /v1/rules` and `RULES.md` document of each rule.

use crate::service::{Answer, Service, assert_empty, with_service, with_settings};
use claim_events::ClaimId;
use claim_process::domain::rules::all;
use claim_process::domain::rules::rule::Severity;
use claim_process::settings::Settings;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use test_support::TestDatabase;

async fn tables(service: &Service) -> Value {
    let answer = service.get("/v1/rules").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

async fn table(service: &Service) -> Vec<Value> {
    tables(service).await["rules"].as_array().unwrap().clone()
}

async fn post(service: &Service, example: &Value) -> Answer {
    let content_type = example["content_type"].as_str().unwrap();
    let body = example["body"].as_str().unwrap().to_owned();
    Answer::of(service.claims().header("content-type", content_type).body(body)).await
}

/// All findings of an answer that have this code, whether they refused the claim or warned.
fn findings(answer: &Answer, code: &str) -> Vec<Value> {
    assert!(matches!(answer.status, 201 | 422), "{}", answer.body);
    let found = [&answer.body["errors"], &answer.body["warnings"]].into_iter().filter_map(Value::as_array).flatten();
    found.filter(|finding| finding["code"] == code).cloned().collect()
}

/// A list that knows the procedures of the examples.
fn code_list(directory: &Path) -> String {
    let file = directory.join("codes.txt");
    std::fs::write(&file, "# known here\nD0180\nD4341 # per quadrant\n").unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn the_default_settings_name_every_rule_that_can_be_set() {
    let named = Settings::default().rules;
    let settable: BTreeMap<String, Severity> =
        all().filter(|rule| rule.settable).map(|rule| (rule.code.to_owned(), rule.severity)).collect();
    assert!(!settable.is_empty());
    assert_eq!(named, settable);
}

#[test]
fn each_example_gives_the_finding_that_the_table_shows_and_its_remedy_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let list = code_list(directory.path());
    let mut seen = BTreeSet::new();
    // A database for each, so that no example is a likely duplicate of another.
    for rule in all() {
        let database = TestDatabase::sqlite();
        with_settings(
            &database,
            |settings| settings.checks.procedure_codes_file.clone_from(&list),
            async |service| {
                let table = table(&service).await;
                let row = table.iter().find(|row| row["code"] == rule.code).unwrap();
                let mut expected = row["finding"].clone();
                assert!(expected.is_object(), "{} has an example with a finding: {row}", rule.code);
                if rule.code == "likely_duplicate" {
                    let stored = post(&service, &row["breaks"]).await;
                    assert_eq!(findings(&stored, rule.code), [] as [Value; 0]);
                    let message = expected["message"].as_str().unwrap();
                    let message = message.replace(ClaimId::EXAMPLE, stored.body["id"].as_str().unwrap());
                    expected["message"] = json!(message);
                }
                let answer = post(&service, &row["breaks"]).await;
                assert_eq!(
                    findings(&answer, rule.code),
                    std::slice::from_ref(&expected),
                    "{}: {}",
                    rule.code,
                    answer.body
                );
                let status = if row["severity"] == "reject" || rule.code == "more_findings" { 422 } else { 201 };
                assert_eq!(answer.status, status, "{}: {}", rule.code, answer.body);
                let fields = rule.fields.contains(&expected["field"].as_str().unwrap()) || rule.fields == ["any"];
                assert!(fields, "{} names {} and not {:?}", rule.code, expected["field"], rule.fields);

                let answer = post(&service, &row["passes"]).await;
                assert_eq!(answer.status, 201, "{}: {}", rule.code, answer.body);
                assert_eq!(findings(&answer, rule.code), [] as [Value; 0]);
            },
        );
        assert!(seen.insert(rule.code), "{} is in the table once", rule.code);
    }
}

#[test]
fn the_table_shows_what_a_rule_does_in_this_deployment() {
    let database = TestDatabase::sqlite();
    with_settings(
        &database,
        |settings| {
            settings.rules.insert("npi_checksum".to_owned(), Severity::Off);
            settings.rules.insert("repeated_line".to_owned(), Severity::Reject);
            settings.checks.max_amount_cents = 5_000;
            settings.checks.max_service_age_days = 30;
            settings.intake.max_value_bytes = 2_000;
        },
        async |service| {
            let table = table(&service).await;
            let row = |code: &str| table.iter().find(|row| row["code"] == code).unwrap().clone();
            let npi = row("npi_checksum");
            assert_eq!((&npi["severity"], &npi["default_severity"]), (&json!("off"), &json!("warn")));
            assert_eq!(npi["finding"]["code"], "npi_checksum", "the finding it would give is shown all the same");
            assert_eq!(
                (&row("repeated_line")["severity"], &row("line_count")["settable"]),
                (&json!("reject"), &json!(false))
            );
            assert_eq!(row("money_limit")["finding"]["message"], "must be at most 50.00");
            assert_eq!(row("value_length")["finding"], Value::Null, "its example is short enough here");
            assert_eq!(row("service_date_age")["finding"]["message"], "must be at most 30 days ago: check the year");
        },
    );
    assert_empty(database.database());
}

/// A finding has the code of a `Rule` or a `BatchCode`, by its type. What the type cannot see is a code that is written as
/// text: in a rule that is not in the table, in a validate attribute, or in the JSON of an example.
#[test]
fn no_code_can_be_given_that_is_not_in_the_table() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let codes: BTreeSet<&str> = all().map(|rule| rule.code).collect();
    let mut looked_at = 0;
    for file in files(&source) {
        let name = file.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        looked_at += 1;
        for start in ["code = \"", "\"code\": \"", "code: \""] {
            for code in text.split(start).skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(codes.contains(code), "{name} has the code {code}, which is not in the table of rules");
            }
        }
    }
    assert!(looked_at > 30, "{looked_at} files");
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    found.collect()
}

#[test]
fn rules_md_is_up_to_date() {
    let database = TestDatabase::sqlite();
    let mut page = String::new();
    with_service(&database, async |service| page = markdown(&tables(&service).await));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("RULES.md");
    if std::env::var_os("UPDATE_RULES").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(written, page, "regenerate it: UPDATE_RULES=1 cargo test -p claim_process rules_md");
}

/// The page of all rules, from what the service serves with the default settings.
fn markdown(tables: &Value) -> String {
    let [table, places] = ["rules", "batch_rules"].map(|name| tables[name].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut page = String::from(
        "# Rules\n\n\
         This page lists everything that `claim_process` can find wrong with a claim, by the `code` of the finding.\n\
         A rule that rejects refuses the claim, and nothing of it is stored.\n\
         A rule that warns adds to the `warnings` of the stored claim.\n\
         Where a rule can be set, `rules.<code>` sets it to `reject`, `warn` or `off`.\n\
         `GET /v1/rules` returns the same for a running service, with its settings.\n\n\
         A test writes this page and posts every example to the service: `UPDATE_RULES=1 cargo test -p claim_process rules_md`.\n\n\
         | code | by default | can be set | fields | source |\n|---|---|---|---|---|\n",
    );
    for row in table {
        let code = text(&row["code"]);
        let fields: Vec<String> =
            row["fields"].as_array().unwrap().iter().map(|field| format!("`{}`", text(field))).collect();
        let settable = if row["settable"] == true { "yes" } else { "no" };
        let (severity, source) = (text(&row["default_severity"]), text(&row["source"]));
        writeln!(page, "| [`{code}`](#{code}) | {severity} | {settable} | {} | {source} |", fields.join(", ")).unwrap();
    }
    for row in table {
        let block = |example: &Value| {
            let language = if example["content_type"] == "text/csv" { "csv" } else { "json" };
            format!("```{language}\n{}\n```\n", example["body"].as_str().unwrap().trim_end())
        };
        let finding = serde_json::to_string(&row["finding"]).unwrap();
        writeln!(
            page,
            "\n## {}\n\n{}\n\nThis breaks it:\n\n{}\nand gives\n\n```json\n{finding}\n```\n\nThis passes:\n\n{}",
            text(&row["code"]),
            text(&row["description"]),
            block(&row["breaks"]),
            block(&row["passes"]).trim_end(),
        )
        .unwrap();
    }
    page.push_str(
        "\n# Places in a batch\n\n\
         A claim of a batch can also be refused for these reasons, the `batch_rules` of `GET /v1/rules`.\n\
         Sent alone, such a claim gets a status and a problem of its own.\n\n\
         | code | requirement | example of a finding |\n|---|---|---|\n",
    );
    for row in places {
        let finding = &row["finding"];
        let (code, description) = (text(&row["code"]), text(&row["description"]));
        let (field, message) = (text(&finding["field"]), text(&finding["message"]));
        writeln!(page, "| `{code}` | {description} | `{field}`: {message} |").unwrap();
    }
    page
}
