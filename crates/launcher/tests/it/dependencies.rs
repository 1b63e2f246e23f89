//! Checks the dependencies that a crate brings into every crate that uses it.

use std::process::Command;

/// The names of all normal dependencies of the package, direct and indirect.
fn needed_by(package: &str) -> Vec<String> {
    let arguments = ["tree", "--frozen", "--package", package, "--edges", "normal", "--prefix", "none"];
    let tree = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be started");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let lines = String::from_utf8(tree.stdout).expect("cargo prints UTF-8");
    lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn assert_free_of(package: &str, unwanted: &[&str]) {
    let needed = needed_by(package);
    for name in unwanted {
        assert!(
            !needed.iter().any(|other| other == name),
            "`cargo tree -p {package} -i {name}` shows why it depends on {name}"
        );
    }
}

#[test]
fn event_bus_dual_db_and_worker_threads_need_no_http_server_and_no_command_line() {
    const EDGES: [&str; 6] = ["actix-web", "utoipa", "clap", "figment", "opentelemetry", "service_runtime"];
    // service_runtime needs all of them, which proves that the names are right.
    let runtime = needed_by("service_runtime");
    assert!(EDGES.iter().all(|name| runtime.iter().any(|other| other == name)), "{runtime:?}");
    for package in ["event_bus", "dual_db", "worker_threads"] {
        assert_free_of(package, &EDGES);
    }
    assert_free_of("worker_threads", &["diesel", "rdkafka", "tokio", "serde"]);
}
