//! Sets a cfg for each server that the environment names; it selects the macros in `src/needs.rs`. Only this crate and the tests
//! that use it are rebuilt when the environment changes.

use std::env::var_os;
use std::process::{Command, Stdio};

/// The variables that name a server or program, and the cfg of each.
const NEEDS: [(&str, &str); 4] = [
    ("TEST_POSTGRES_URL", "has_postgres"),
    ("TEST_KAFKA_BROKERS", "has_kafka"),
    ("TEST_KCAT", "has_kcat"),
    ("TEST_PGBOUNCER", "has_pgbouncer"),
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
    println!("cargo::rustc-check-cfg=cfg(may_mount)");
    // A user who may have a mount namespace may mount. Root in a container may do neither.
    let may_mount = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    if may_mount.is_ok_and(|status| status.success()) {
        println!("cargo::rustc-cfg=may_mount");
    }
}
