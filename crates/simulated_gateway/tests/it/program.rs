//! The program: its subcommands, its exit codes, and a book that outlives a SIGKILL.

use crate::gateway::Payer;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use test_support::{Running, run_to_end};

fn program(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulated_gateway"));
    command.current_dir(directory).env_clear().env("SIMULATED_GATEWAY__HTTP__PORT", "0");
    command
}

/// Starts the program and reads its address from its log.
fn start(directory: &Path) -> (Running, Payer) {
    let running = Running::start(&mut program(directory));
    let payer = Payer::of(&format!("http://{}", running.address_behind("listens on http://")));
    (running, payer)
}

#[test]
fn the_book_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (first, payer) = start(directory.path());
    let paid = runtime.block_on(async {
        payer.pay("lost", "claim2", 141).await.unwrap_err();
        payer.pay("k1", "claim1", 4_200).await.unwrap()
    });
    first.signal("KILL");
    first.ended();
    assert!(directory.path().join(".local/gateway.db").exists(), "the default file, whose directory was created");

    let (second, payer) = start(directory.path());
    runtime.block_on(async {
        assert_eq!(payer.pay("k1", "claim1", 4_200).await.unwrap(), paid);
        assert_eq!(payer.pay("lost", "claim2", 141).await.unwrap().status, 200);
        assert_eq!(payer.book_of("claim1").await.0, 4_200);
    });
    drop(second);
}

#[test]
fn wrong_settings_are_all_listed_with_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let (output, _, stderr) = run_to_end(
        program(directory.path())
            .env("SIMULATED_GATEWAY__BEHAVIOUR__CAPACITY", "0")
            .env("SIMULATED_GATEWAY__THROUGHPUT__SCHEDULE", "20@30s")
            .env("SIMULATED_GATEWAY__THROUGHPUT__REFUSE_WITH", "500")
            .env("SIMULATED_GATEWAY__FAULTS__LOST_REQUEST_PERCENT", "60")
            .env("SIMULATED_GATEWAY__FAULTS__TOO_MANY_PERCENT", "41")
            .env("SIMULATED_GATEWAY__DATABASE__URL", "")
            .env("SIMULATED_GATEWAY__HTTP__PROT", "1"),
    );
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    for named in [
        "behaviour.capacity",
        "database.url",
        "throughput.schedule",
        "200@0s,20@30s",
        "throughput.refuse_with",
        "the percentages in faults are too high",
        "SIMULATED_GATEWAY__HTTP__PROT",
    ] {
        assert!(stderr.contains(named), "{named} in {stderr}");
    }
}

#[test]
fn a_failed_start_prints_one_sentence_and_exits_with_code_1() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    std::fs::write(directory.path().join("file"), "").unwrap();
    for (variable, value, reason) in [
        ("SIMULATED_GATEWAY__HTTP__PORT", port.as_str(), "is in use"),
        ("SIMULATED_GATEWAY__DATABASE__URL", "sqlite://file/below.db", "check the path"),
        ("SIMULATED_GATEWAY__DATABASE__URL", "mysql://x", "sqlite://"),
    ] {
        let (output, _, stderr) = run_to_end(program(directory.path()).env(variable, value));
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("simulated_gateway: ") && stderr.contains(reason), "{stderr}");
    }
}

#[test]
fn the_commands_settings_and_migrate_work() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    std::fs::write(&file, "[behaviour]\nlatency_ms = 7\n").unwrap();
    let (output, stdout, _) = run_to_end(program(directory.path()).args(["settings", "--config"]).arg(&file));
    assert!(output.status.success());
    for line in [
        "behaviour.latency_ms = 7  # file",
        "http.port = 0  # environment SIMULATED_GATEWAY__HTTP__PORT",
        "database.url = \"sqlite://.local/gateway.db\"  # default",
    ] {
        assert!(stdout.lines().any(|shown| shown == line), "{line} in {stdout}");
    }
    for _ in 0..2 {
        let (output, stdout, stderr) = run_to_end(program(directory.path()).arg("migrate"));
        assert!(output.status.success() && stdout.contains("up to date"), "{stdout}{stderr}");
    }
}
