//! Sets a cfg for each server that the environment names; it selects the macros in `src/needs.rs`. Only this crate and the tests
//! that use it are rebuilt when the environment changes.

use std::env::var_os;

/// The variables that name a server or program, and the cfg of each.
const NEEDS: [(&str, &str); 5] = [
    ("TEST_POSTGRES_URL", "has_postgres"),
    ("TEST_KAFKA_BROKERS", "has_kafka"),
    ("TEST_KCAT", "has_kcat"),
    ("TEST_PGBOUNCER", "has_pgbouncer"),
    ("TEST_FAKETIME", "has_faketime"),
];

fn main() {
    let is_set = |variable: &str| var_os(variable).is_some_and(|value| !value.is_empty());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CI");
    for (variable, cfg) in NEEDS {
        println!("cargo::rerun-if-env-changed={variable}");
        println!("cargo::rustc-check-cfg=cfg({cfg})");
        // In CI every test runs; a test without its server fails with a message.
        if is_set(variable) || var_os("CI").is_some() {
            println!("cargo::rustc-cfg={cfg}");
        }
    }
}
