//! Tests `runserver` with the real programs, in a directory of its own: its output, its restarts, its end, its refusals, and that no
//! process is left.

use launcher::process::{Output, Process, Program};
use launcher::run_record::RunRecord;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use system_tests::binaries;
use tempfile::TempDir;
use test_support::{Running, free_address, run_to_end};

/// An empty checkout with built programs and free ports.
struct Checkout {
    directory: TempDir,
    claims_port: u16,
    ports: Vec<(&'static str, String)>,
}

impl Checkout {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // Replaces cargo, because the programs are already built.
        let cargo = directory.path().join("cargo");
        std::fs::write(&cargo, "#!/bin/sh\n").expect("writes");
        std::fs::set_permissions(cargo, std::fs::Permissions::from_mode(0o755)).expect("its own");
        let claims_port = free_address().port();
        let ports = vec![
            ("LOCAL_BROKER__LISTEN", free_address().to_string()),
            ("SIMULATED_GATEWAY__HTTP__PORT", free_address().port().to_string()),
            ("CLAIM_PROCESS__HTTP__PORT", claims_port.to_string()),
            ("PAYMENTS__HTTP__PORT", free_address().port().to_string()),
        ];
        Self { directory, claims_port, ports }
    }

    fn runserver(&self) -> Command {
        let path = format!("{}:{}", self.path().display(), std::env::var("PATH").expect("set"));
        let mut command = Command::new(binaries::path("launcher"));
        command.arg("runserver").current_dir(self.path()).env("PATH", path).envs(self.ports.iter().cloned());
        command
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The id of a process that `runserver` started.
    fn id_of(&self, name: &str) -> String {
        let started = std::fs::read_to_string(self.path().join(".local/runserver.started")).expect("runs");
        let line = started.lines().find(|line| line.starts_with(&format!("process {name} "))).expect("was started");
        line.split(' ').nth(2).expect("an id").to_owned()
    }
}

fn ready(running: &Running) {
    running.wait_for("everything to be ready", |text| text.contains("Ready. Try:").then_some(()));
}

fn signal(name: &str, id: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), id]).status().expect("kill can be run").success());
}

fn ends_with_a_sentence(mut command: Command, words: &[&str]) {
    let (output, _, stderr) = run_to_end(&mut command);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word}: {stderr}");
    }
}

#[test]
fn a_process_that_dies_is_restarted_and_ctrl_c_stops_all_in_order() {
    let checkout = Checkout::new();
    let running = Running::start(&mut checkout.runserver());
    ready(&running);
    assert!(running.written().contains(&format!("claim_process is ready at 127.0.0.1:{}", checkout.claims_port)));
    ends_with_a_sentence(checkout.runserver(), &["already running in this checkout"]);

    signal("KILL", &checkout.id_of("claim_process"));
    running.wait_for("the restart of claim_process", |text| {
        let (_, after) = text.split_once("claim_process ended with exit status 137 (KILL): restarting in 1 s")?;
        let again = format!("claim_process is ready at 127.0.0.1:{}", checkout.claims_port);
        (after.contains("listens on http://") && after.contains(&again)).then_some(())
    });
    running.signal("INT");
    let (status, written) = running.ended();
    assert_eq!(status.code(), Some(130), "{written}");
    let ends = ["payments-1", "claim_process", "simulated_gateway"].map(|name| {
        let last = written.rfind(&format!("\n{name:<17} | ")).expect("it printed something");
        assert!(written[last..].lines().nth(1).is_some_and(|line| line.contains("stopped")), "{name}: {written}");
        last
    });
    assert!(ends.is_sorted(), "{written}");
    assert!(written.ends_with("runserver         | stopped\n"), "{written}");
    assert!(!checkout.path().join(".local/runserver.started").exists(), "nothing is left");
}

#[test]
fn a_stop_does_not_wait_for_a_frozen_gateway() {
    let checkout = Checkout::new();
    let mut command = checkout.runserver();
    command.env("RUNSERVER_STOP_SECONDS", "3600");
    let running = Running::start(&mut command);
    ready(&running);
    signal("STOP", &checkout.id_of("simulated_gateway"));
    running.signal("INT");
    let (status, written) = running.ended();
    assert_eq!(status.code(), Some(130), "{written}");
    assert!(written.ends_with("runserver         | stopped\n"), "{written}");
}

#[test]
fn a_port_in_use_stops_the_start_and_is_named_with_its_setting() {
    let checkout = Checkout::new();
    let _taken = TcpListener::bind(("127.0.0.1", checkout.claims_port)).expect("it is free");
    let taken = format!("127.0.0.1:{} is taken", checkout.claims_port);
    ends_with_a_sentence(checkout.runserver(), &[&taken, "set CLAIM_PROCESS__HTTP__PORT to move claim_process"]);
    assert!(!checkout.path().join(".local/claims.db").exists());
}

#[test]
fn a_killed_launcher_leaves_no_process() {
    let checkout = Checkout::new();
    let running = Running::start(&mut checkout.runserver());
    ready(&running);
    running.signal("KILL");
    assert_eq!(running.ended().0.code(), None);
    // The next start reads the record of that run and waits until its processes have ended.
    let again = Running::start(&mut checkout.runserver());
    ready(&again);
    again.signal("TERM");
    assert_eq!(again.ended().0.code(), Some(143));
}

#[test]
fn the_next_start_names_the_processes_left_by_a_killed_run() {
    let checkout = Checkout::new();
    let (mut record, earlier) = RunRecord::take(&checkout.path().join(".local"), "runserver").unwrap();
    assert_eq!(earlier, []);
    let left = Program {
        name: "payments-1".to_owned(),
        path: "sleep".into(),
        arguments: vec!["1000".to_owned()],
        environment: vec![],
        output: Output::Inherited,
    };
    let (left, _) = Process::start(&left, || ()).unwrap();
    record.started(&left);
    // As after a kill of the launcher: the record stays, the lock is free.
    drop(record);
    let mut hurried = checkout.runserver();
    hurried.env("RUNSERVER_STOP_SECONDS", "1");
    let id = left.id();
    ends_with_a_sentence(hurried, &[&format!("payments-1 (process {id}; 'kill -KILL {id}' ends it)")]);
}
