//! Tests `scripts/check_language.sh` in a checkout of its own with planted phrases.

use std::path::Path;
use std::process::Command;

/// The exit code and the output of the script in a checkout with these files.
fn check(files: &[(&str, &str)]) -> (Option<i32>, String) {
    let checkout = tempfile::tempdir().expect("a directory");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/check_language.sh");
    let git = Command::new("git").args(["init", "--quiet"]).current_dir(&checkout).status().expect("git can be run");
    assert!(git.success());
    std::fs::create_dir(checkout.path().join("scripts")).expect("it can be created");
    std::fs::copy(script, checkout.path().join("scripts/check_language.sh")).expect("the script exists");
    for (name, text) in files {
        let path = checkout.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("it can be created");
        std::fs::write(path, text).expect("it can be written");
    }
    let run = Command::new("bash").arg(checkout.path().join("scripts/check_language.sh")).output().expect("bash runs");
    (run.status.code(), String::from_utf8(run.stdout).expect("UTF-8"))
}

#[test]
fn a_planted_phrase_is_reported_with_its_place_and_its_replacement() {
    // Written in two parts, so that the script does not find them here.
    let comment = concat!("//! A file.\n/// The event is pub", "lished.\n// Said", " again to who", "ever waits.\n");
    let name = concat!("fn a_message_is_set", "_aside() {}\n");
    let (code, output) = check(&[("crates/planted/src/lib.rs", comment), ("crates/planted/src/name.rs", name)]);
    assert_eq!(code, Some(1), "{output}");
    for place in ["lib.rs:3: 'Said", "lib.rs:3: 'who", "name.rs:1: 'set"] {
        assert!(output.contains(&format!("crates/planted/src/{place}")), "{place}: {output}");
    }
    assert_eq!(output.matches("': use: ").count(), 3, "{output}");
    assert!(output.contains("use: dead-letter (a message), reserve (a budget)"), "{output}");
}

#[test]
fn only_new_migrations_are_checked() {
    let sql = concat!("-- No", "body reads this.\n");
    let file = |version: &str| format!("crates/planted/migrations/sqlite/{version}_table/up.sql");
    let old = file("2026-11-28-000020");
    let harmless = ("README.md", "A status that no client knows.\n");
    assert_eq!(check(&[(&old, sql), harmless]).0, Some(0));
    let new = file("2026-11-28-000021");
    let (code, output) = check(&[(&new, sql), harmless]);
    assert_eq!(code, Some(1), "{output}");
    assert!(output.starts_with(&format!("{new}:1: ")), "{output}");
}

#[test]
fn similar_words_are_allowed() {
    let text =
        "if slot.is_none() { /* 0 if there is none */ }\n// 22 letters and digits; the letter D; dead letters.\n";
    let (code, output) = check(&[("crates/planted/src/lib.rs", text)]);
    assert_eq!(code, Some(0), "{output}");
}
