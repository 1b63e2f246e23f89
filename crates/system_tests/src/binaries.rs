//! Builds the programs under test, because cargo builds only the programs of a test's own package.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();

/// The path of a program of the workspace.
///
/// # Panics
/// If the workspace does not build.
pub fn path(program: &str) -> PathBuf {
    DIRECTORY.get_or_init(build).join(program)
}

/// Builds all programs in the profile of the running test, and returns their directory.
fn build() -> PathBuf {
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--workspace", "--bins", "--quiet", "--profile", profile])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // Some build scripts depend on this variable of the test, and would rebuild when it changes.
        .env_remove("CARGO_MANIFEST_DIR")
        .status()
        .expect("cargo can be run");
    assert!(built.success(), "the workspace's programs do not build");
    // …/target/debug/deps/it-0123456789abcdef, …/target/debug/examples/real_gateway, or …/target/debug/siege
    let own = std::env::current_exe().expect("a program knows its own path");
    let directory = own.parent().expect("a file is in a directory");
    if directory.ends_with("deps") || directory.ends_with("examples") {
        directory.parent().expect("these are in one").to_owned()
    } else {
        directory.to_owned()
    }
}
