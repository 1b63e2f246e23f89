//! Checks the code blocks of the READMEs, and the commands, routes, settings and names in their sentences.
//!
//! Each block names its language, and each language has a checker, which compares the block with the scripts, the command lines, the
//! routes and the settings that exist. [`facts`] reads those from the sources. A block of another language is a fault.

mod cargo;
mod clap;
mod curl;
mod docker;
mod facts;
mod http;
mod inline;
mod json;
mod mermaid;
mod rust;
mod sh;
mod synopsis;
mod toml;

use crate::documents::{documents, read, split_fences};

/// What a checker finds: nothing, or what is wrong.
type Checked = Result<(), String>;

/// Checks one code block.
fn check(language: &str, block: &str) -> Checked {
    match language {
        "http" => http::check(block),
        "json" => json::check(block),
        "jsonl" => block.lines().try_for_each(json::check),
        "mermaid" => mermaid::check(block),
        "rust" => rust::check(block),
        "sh" => sh::check(block),
        "text" => Ok(()),
        "toml" => toml::check(block),
        "" => Err("a code block needs a language; output and drawings are 'text'".to_owned()),
        other => Err(format!("code blocks in '{other}' have no checker: write one beside the others")),
    }
}

#[test]
fn every_code_block_agrees_with_what_exists() {
    let (mut faults, mut blocks) = (Vec::new(), 0);
    for document in documents() {
        for (language, block) in split_fences(&read(&document)).1 {
            blocks += 1;
            if let Err(fault) = check(&language, &block) {
                faults.push(format!("{}: {fault}\n{block}", document.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(blocks > 30, "code blocks are found: {blocks}");
}

/// An indented block names no language, so that it would not be checked.
#[test]
fn every_code_block_is_fenced() {
    for document in documents() {
        let prose = split_fences(&read(&document)).0;
        let mut blank_before = false;
        for line in prose.lines() {
            assert!(!(blank_before && line.starts_with("    ")), "{}: use a fence: {line}", document.display());
            blank_before = line.is_empty();
        }
    }
}

#[test]
fn every_command_route_setting_and_name_in_a_sentence_exists() {
    let (mut faults, mut checked) = (Vec::new(), 0);
    for document in documents() {
        for code in crate::documents::in_backticks(&split_fences(&read(&document)).0) {
            match inline::check(code) {
                None => continue,
                Some(Ok(())) => {}
                Some(Err(fault)) => faults.push(format!("{}: `{code}`: {fault}", document.display())),
            }
            checked += 1;
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(checked > 400, "commands, routes, settings and names are found: {checked}");
}

#[test]
fn planted_faults_are_found() {
    for (language, block, fault) in [
        ("", "a line", "needs a language"),
        ("yaml", "a: 1", "no checker"),
        ("rust", "fn no_such_function() {}\n", "no source has it"),
        ("json", "{\"status\": }", "expected value"),
        ("jsonl", "{}\n{", "EOF"),
        ("sh", "bash 'develop_local.sh runserver", "bash cannot read it"),
        ("sh", "kubectl apply", "no checker for the program 'kubectl'"),
        ("sh", "bash scripts/service.sh start kafka", "no script scripts/service.sh"),
        ("sh", "bash develop_local.sh runservers", "its usage does not allow"),
        ("sh", "bash develop_local.sh runserver --sqlite", "its usage does not allow"),
        ("sh", "bash develop_local.sh runserver --payments", "its usage does not allow"),
        ("sh", "bash develop_local.sh test -p payment", "no crate payment"),
        ("sh", "bash scripts/services.sh start mysql", "its usage does not allow"),
        ("sh", "bash scripts/services.sh start", "its usage does not allow"),
        ("sh", "bash scripts/check_language.sh --all", "its usage does not allow"),
        ("sh", "bash scripts/siege.sh --scene kills", "no option --scene"),
        ("sh", "bash scripts/siege.sh --scenario peace", "'peace' is no Scenario"),
        ("sh", "cargo test -p claim_processes", "no crate claim_processes"),
        ("sh", "cargo test -p payments no_such_test", "no test of payments matches 'no_such_test'"),
        ("sh", "cargo test -p payments saga_mdd", "no test of payments matches 'saga_mdd'"),
        ("sh", "cargo run -p concurrency_model --example no_such_example", "no example no_such_example"),
        ("sh", "cargo tests", "cargo tests"),
        ("sh", "payments recovers", "no command recovers"),
        ("sh", "payments reannounce", "no command reannounce"),
        ("sh", "claim_process health --alive", "no option --alive"),
        ("sh", "claim_process reannounce --since", "--since needs a value"),
        ("sh", "target/debug/claim_process --config-file x", "no option --config-file"),
        ("sh", "CLAIM_PROCESS__HTTP__PORTS=1 claim_process", "no setting CLAIM_PROCESS__HTTP__PORTS"),
        ("sh", "CLAIM_PROCESS__SAGA__LEASE_MS=1 claim_process", "no setting CLAIM_PROCESS__SAGA__LEASE_MS"),
        ("sh", "CLAIM_PROCESS__RULES__NO_RULE=off claim_process", "no setting CLAIM_PROCESS__RULES__NO_RULE"),
        ("sh", concat!("UPDATE_SAG", "AS=1 cargo test -p payments saga_md"), "no source has"),
        ("sh", "curl -s http://127.0.0.1:8000/v1/claim", "no route GET /v1/claim"),
        ("sh", "curl -s http://127.0.0.1:8000/v1/ledger/audit", "claim_process has no route GET /v1/ledger/audit"),
        ("sh", "curl -s http://127.0.0.1:8000/v1/providers/top -d '{}'", "no route POST /v1/providers/top"),
        ("sh", "curl -s http://127.0.0.1:8009/v1/claims", "no program listens on port 8009"),
        ("sh", "curl --silently http://127.0.0.1:8000/v1/claims", "no checker for the option --silently"),
        ("sh", "curl -s http://127.0.0.1:8000/v1/claims -d '{\"a\": }'", "expected value"),
        ("sh", "curl --data-binary @scripts/no.csv http://127.0.0.1:8000/v1/claims", "no file scripts/no.csv"),
        ("sh", "docker build -f deploy/Dockerfile --target gateway .", "no stage gateway"),
        ("sh", "docker compose up --scale payment=3", "no service payment"),
        ("http", "POST /payment\n\n{}", "no route POST /payment"),
        ("http", "GET /payments\nno header\n", "no header"),
        ("http", "POST /payments\n\n{", "EOF"),
        ("toml", "http.port = ", "not a value"),
        ("toml", "http.ports = 1", "no setting http.ports"),
        ("toml", "[saga]\nlease = 1", "no setting saga.lease"),
        ("toml", "rules.npi = \"off\"", "no setting rules.npi"),
        ("mermaid", "flowchart LR\n  a -- \"POST /v1/claim\" --> b", "no route POST /v1/claim"),
        ("mermaid", "flowchart LR\n  a -- \"claim.sent\" --> b", "no event or topic claim.sent"),
        ("mermaid", "graphic LR", "graphic LR"),
    ] {
        let found = check(language, block).expect_err(block);
        assert!(found.contains(fault), "{block}: {found}");
    }
    for (code, fault) in [
        ("bash develop_local.sh dockers", "its usage does not allow"),
        ("runserver --sqlite", "its usage does not allow"),
        ("GET /v1/claims/{id}/lines", "no route"),
        ("SAGA__LEASE_S", "no setting"),
        ("…__KAFKA__BROKER", "no setting"),
        (concat!("MODEL_SE", "EDLING=1"), "no source has"),
        ("KAFKA__SAFETY__…", "no setting"),
        (concat!("no_such", "_name"), "no source has"),
        (concat!("TEST_POST", "GRESQL_URL"), "no source has"),
    ] {
        let found = inline::check(code).expect(code).expect_err(code);
        assert!(found.contains(fault), "{code}: {found}");
    }
}
