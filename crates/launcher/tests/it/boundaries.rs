//! `scripts/check_boundaries.sh` holds, and finds what is planted: each rule of the services' layers by a line that
//! breaks it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there")
}

fn run(program: &str, arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Copies what git has of the workspace, or would add, into a repository of its own.
fn copy_workspace(to: &Path) {
    let root = root();
    let listed = run("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"], &root);
    assert!(listed.status.success(), "{listed:?}");
    for file in String::from_utf8(listed.stdout).expect("names are text").split_terminator('\0') {
        let (from, to) = (root.join(file), to.join(file));
        // What is deleted and not committed is listed too.
        if from.is_file() {
            fs::create_dir_all(to.parent().expect("it has a folder")).expect("it can be made");
            fs::copy(&from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        }
    }
    assert!(run("git", &["init", "--quiet"], to).status.success());
}

fn check(workspace: &Path) -> (bool, String) {
    let Output { status, stdout, stderr } = run("bash", &["scripts/check_boundaries.sh"], workspace);
    let output = [stdout, stderr].concat();
    (status.success(), String::from_utf8_lossy(&output).into_owned())
}

/// A line that breaks a rule: the file it is added to, in `crates`, and the line.
const PLANTED: &[(&str, &str)] = &[
    ("claim_process/src/http/get_claims.rs", "use diesel::prelude::RunQueryDsl;"),
    ("claim_process/src/http/get_claims.rs", "use crate::db::claims::find;"),
    ("claim_process/src/http/get_claims.rs", "use crate::{db, settings};"),
    (
        "claim_process/src/http/void_claim.rs",
        "fn void(relay: &Relay) { relay.commit(|connection, _| note(connection)) }",
    ),
    ("claim_process/src/http/void_claim.rs", "type Planted = dual_db::Connection;"),
    ("payments/src/http/payments.rs", "use crate::db::sagas::list;"),
    ("claim_process/src/claims/submit.rs", "use actix_web::HttpResponse;"),
    ("claim_process/src/claims/submit.rs", "use service_runtime::problem::Problem;"),
    ("claim_process/src/claims/batch/results.rs", "use crate::http::Limits;"),
    ("claim_process/src/claims/batch/results.rs", "use service_runtime::http_server::too_large;"),
    ("claim_process/src/claims/store.rs", "use diesel::insert_into;"),
    ("claim_process/src/db/claims.rs", "use crate::claims::decision::decide;"),
    ("claim_process/src/intake/json.rs", "use crate::http::api::Api;"),
];

#[test]
fn the_boundaries_hold_and_what_is_planted_across_them_is_named_by_file_and_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let workspace = directory.path();
    copy_workspace(workspace);
    let (holds, output) = check(workspace);
    assert!(holds, "{output}");

    let mut places = Vec::new();
    for (file, line) in PLANTED {
        let file = format!("crates/{file}");
        let text = fs::read_to_string(workspace.join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        places.push(format!("{file}:{}:{line}: ", text.lines().count() + 1));
        fs::write(workspace.join(&file), format!("{text}{line}\n")).expect("it can be written");
    }
    // Comments break nothing.
    let commented = workspace.join("crates/claim_process/src/http/rules.rs");
    let text = fs::read_to_string(&commented).expect("it is there");
    fs::write(&commented, format!("{text}// It opens no connection.\n")).expect("it can be written");

    let (holds, output) = check(workspace);
    assert!(!holds, "{output}");
    for place in &places {
        assert_eq!(output.matches(place.as_str()).count(), 1, "{place:?} in\n{output}");
    }
    assert!(output.ends_with(&format!("violations found: {}.\n", PLANTED.len())), "{output}");
}
