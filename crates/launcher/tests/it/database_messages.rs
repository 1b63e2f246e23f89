//! No product code decides by the text of an error: a database sends its messages in the language of its operator.

use std::fs;
use std::path::{Path, PathBuf};

/// The crates that use a database.
const CRATES: [&str; 7] =
    ["dual_db", "event_bus", "service_runtime", "operator_api", "claim_process", "payments", "simulated_gateway"];

/// What looks at the text of an error, without blanks.
const LOOKS: [&str; 8] = [
    ".message()",
    "DatabaseErrorInformation",
    "to_string().contains(",
    "to_string().starts_with(",
    "to_string().ends_with(",
    "to_string().find(",
    "to_string().matches(",
    "to_string().as_str()",
];

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// What of a source looks at the text of an error. Unit tests, at the end of a file, may.
fn looks_of(source: &str) -> Vec<&'static str> {
    let product = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String = product.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code: String = code.chars().filter(|character| !character.is_whitespace()).collect();
    LOOKS.into_iter().filter(|look| code.contains(look)).collect()
}

#[test]
fn no_decision_depends_on_the_text_of_an_error() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for path in CRATES.iter().flat_map(|name| sources(&crates.join(name).join("src"))) {
        let looks = looks_of(&fs::read_to_string(&path).expect("a source"));
        assert!(looks.is_empty(), "{} looks at the text of an error: {looks:?}", path.display());
    }
}

#[test]
fn a_look_at_a_message_is_found_across_lines_and_in_no_unit_test() {
    let planted =
        "fn is_busy(error: &Error) -> bool {\n    error\n        .to_string()\n        .contains(\"locked\")\n}";
    assert_eq!(looks_of(planted), ["to_string().contains("]);
    assert!(looks_of(&format!("#[cfg(test)]\nmod tests {{ {planted} }}")).is_empty());
}
