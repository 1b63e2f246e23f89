//! The reference page of a service: its settings, metrics and problem types, read from the source code and the defaults.
//!
//! A test of the service compares the page with the file `REFERENCE.md` of its crate, and writes the file when the
//! environment variable `UPDATE_REFERENCE` is set.

mod metrics;
mod problems;
mod settings;
mod sources;

use serde_json::Value;
use sources::Sources;
use std::fmt::Write as _;
use std::path::Path;

/// Compares `REFERENCE.md` of the crate in `crate_directory` with the page made from its sources and those of the crates
/// that it uses, by name. `prefix` begins the environment variables, and `defaults` are the serialized default settings.
///
/// # Panics
/// If the file differs, a metric has no help text, or a setting has no description.
pub fn assert_up_to_date(crate_directory: &str, uses: &[&str], prefix: &str, defaults: &Value) {
    let directory = Path::new(crate_directory);
    let name = directory.file_name().and_then(|name| name.to_str()).expect("the directory of a crate");
    let crates = directory.parent().expect("beside the other crates");
    let directories: Vec<_> =
        std::iter::once(directory.to_owned()).chain(uses.iter().map(|used| crates.join(used))).collect();
    let all = Sources::of(&directories);

    let mut defaults = defaults.clone();
    if let Some(workers) = defaults.pointer_mut("/http/workers") {
        // The number of cores, which differs between machines.
        *workers = Value::from("one a core");
    }
    let mut page = format!("# Reference of {name}\n\n");
    let _ = writeln!(
        page,
        "A test writes this page from the source code: `UPDATE_REFERENCE=1 cargo test -p {name} reference`.\n\n\
         ## Settings\n\n\
         Each is an environment variable `{prefix}__SECTION__FIELD`, or a field of a section in the TOML file.\n"
    );
    page += &settings::list(&all, &defaults);
    page += "\n## Metrics\n\n";
    page += &metrics::table(&all);
    page += "\n## Problem types\n\n\
             The `type` of an error is `urn:claims-to-payments:problem:` and one of these.\n\n";
    page += &problems::table(&all);

    let file = directory.join("REFERENCE.md");
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&file, &page).expect("the page is written");
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == page, "REFERENCE.md differs from the code: UPDATE_REFERENCE=1 cargo test -p {name} reference");
}
