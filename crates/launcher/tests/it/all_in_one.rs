//! Tests `launcher all-in-one` with shell scripts in place of the broker, the gateway and the services: what it starts, restarts
//! and stops, and that no process is left.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use tempfile::TempDir;

/// Longer than any step of these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);

const PROGRAMS: [&str; 4] = ["local_broker", "simulated_gateway", "claim_process", "payments"];

/// A program that handles SIGTERM once it is ready. It waits without a child: a child that gets a signal before its `exec` may
/// lose it, and would outlive the test with everything that it inherited.
const GOOD: &str = "[ \"$1\" != health ] || { [ -e $0.ready ]; exit; }\n\
    trap 'say stops; exit 0' TERM\n\
    say runs\n\
    exec 3<> <(:)\n\
    : >$0.ready\n\
    while :; do read -r -t 1000 -u 3; done";

/// A running launcher whose messages are read in order.
struct Launcher {
    child: Child,
    /// Ends when the output of all started processes has ended.
    lines: Receiver<String>,
    _directory: TempDir,
    /// Accepts connections at the broker's address.
    _broker: TcpListener,
}

impl Launcher {
    /// Starts the launcher with these scripts in place of [`GOOD`]; an empty script is a missing program.
    fn start(scripts: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for name in PROGRAMS {
            let script = scripts.iter().find(|(of, _)| *of == name).map_or(GOOD, |(_, script)| script);
            if script.is_empty() {
                continue;
            }
            // A script prints lines like those of the launcher.
            let say = "say() { echo \"{\\\"message\\\":\\\"$me $1\\\",\\\"id\\\":$$}\"; }";
            let text = format!("#!/bin/bash\nme={name}\n{say}\n{script}\n");
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("writes");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its own");
        }
        let broker = TcpListener::bind("127.0.0.1:0").expect("a port");
        let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").expect("set"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_launcher"))
            .arg("all-in-one")
            .env("PATH", path)
            .env("LOCAL_BROKER__LISTEN", broker.local_addr().expect("bound").to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (line, lines) = channel();
        std::thread::spawn(move || {
            // When the test stops reading, the pipe is closed here.
            let _ = stdout.lines().map_while(Result::ok).try_for_each(|text| line.send(text));
        });
        Self { child, lines, _directory: directory, _broker: broker }
    }

    /// Reads up to a line whose message contains `wanted`, and returns the messages up to it.
    fn until(&mut self, wanted: &str) -> Vec<serde_json::Value> {
        let mut read = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            let line: serde_json::Value = serde_json::from_str(&line).expect("every line is JSON");
            let found = message(&line).contains(wanted);
            read.push(line);
            if found {
                return read;
            }
        }
        panic!("{wanted} is missing in {read:#?}");
    }

    /// Reads until the launcher reports that all scripts are running. The launcher finds the broker ready before its script runs.
    fn until_all_run(&mut self) -> Vec<serde_json::Value> {
        let mut read = self.until("everything is ready");
        if !read.iter().any(|line| message(line).contains("local_broker runs")) {
            read.extend(self.until("local_broker runs"));
        }
        read
    }

    /// Reads the remaining output, and waits for the end.
    fn ended(&mut self) -> (ExitStatus, Vec<String>) {
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => rest.push(message(&serde_json::from_str(&line).expect("JSON")).to_owned()),
                Err(RecvTimeoutError::Disconnected) => return (self.child.wait().expect("its child"), rest),
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {rest:#?}"),
            }
        }
    }

    fn signal(&self, name: &str) {
        signal(self.child.id().into(), name);
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn message(line: &serde_json::Value) -> &str {
    line["message"].as_str().unwrap_or_default()
}

/// The id of the process that wrote this message.
fn id(lines: &[serde_json::Value], text: &str) -> u64 {
    let line = lines.iter().find(|line| message(line) == text);
    line.and_then(|line| line["id"].as_u64()).expect("a script's line has its id")
}

fn signal(id: u64, name: &str) {
    assert!(
        Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status().expect("kill can be run").success()
    );
}

fn position(messages: &[String], wanted: &str) -> usize {
    messages.iter().position(|message| message.contains(wanted)).unwrap_or_else(|| panic!("{wanted}: {messages:#?}"))
}

#[test]
fn processes_start_in_order_and_services_stop_before_their_dependencies() {
    let mut launcher = Launcher::start(&[]);
    let read = launcher.until_all_run();
    let ready: Vec<&str> = read.iter().map(message).filter(|message| message.contains(" is ready at")).collect();
    let names: Vec<&str> = ready.iter().filter_map(|message| message.split(' ').next()).collect();
    assert_eq!(names, PROGRAMS);
    launcher.signal("TERM");
    let (status, rest) = launcher.ended();
    assert_eq!(status.code(), Some(0), "{rest:#?}");
    let [services, gateway] = [["claim_process", "payments"].map(|name| position(&rest, &format!("{name} stops"))), {
        let gateway = position(&rest, "simulated_gateway stops");
        [gateway, gateway]
    }];
    assert!(services.iter().max() < gateway.iter().min(), "{rest:#?}");
    assert!(gateway[0] < position(&rest, "local_broker stops"), "{rest:#?}");
    assert_eq!(rest.last().map(String::as_str), Some("stopped"));
}

#[test]
fn a_process_that_dies_is_named_and_restarted_until_it_is_ready_again() {
    let mut launcher = Launcher::start(&[]);
    let read = launcher.until_all_run();
    let first = id(&read, "payments runs");
    signal(first, "KILL");
    let mut read = launcher.until("payments is ready at");
    // What the process writes may arrive later than what the launcher finds out.
    if !read.iter().any(|line| message(line) == "payments runs") {
        read.extend(launcher.until("payments runs"));
    }
    let expected = "payments ended with exit status 137 (KILL): restarting in 1 s, restart 1 of 5";
    assert!(read.iter().any(|line| message(line) == expected), "{read:#?}");
    assert_ne!(id(&read, "payments runs"), first);
    launcher.signal("INT");
    assert_eq!(launcher.ended().0.code(), Some(0));
}

#[test]
fn a_process_that_does_not_stop_is_named_and_a_second_interrupt_kills_it_and_the_rest_is_stopped() {
    let deaf = GOOD.replace("trap 'say stops; exit 0' TERM", "trap '' TERM");
    let mut launcher = Launcher::start(&[("claim_process", &deaf)]);
    launcher.until("everything is ready");
    launcher.signal("INT");
    launcher.until("waiting for claim_process, at most");
    launcher.signal("INT");
    let (status, rest) = launcher.ended();
    assert_eq!(status.code(), Some(0));
    assert!(rest.iter().any(|message| message == "claim_process did not stop in time: killed"), "{rest:#?}");
    // They were killed too, or had the time to report their stop.
    assert_eq!(rest.last().map(String::as_str), Some("stopped"));
}

#[test]
fn a_frozen_process_is_stopped_like_the_others() {
    let frozen = "[ \"$1\" != health ] || exit 0\nsay runs\nkill -STOP $$\nsay continues";
    let mut launcher = Launcher::start(&[("claim_process", frozen)]);
    launcher.until("everything is ready");
    launcher.signal("INT");
    let (status, rest) = launcher.ended();
    assert_eq!(status.code(), Some(0));
    assert!(!rest.iter().any(|message| message.contains("killed")), "{rest:#?}");
}

#[test]
fn a_process_that_cannot_start_ends_the_run_and_is_named() {
    let mut launcher = Launcher::start(&[("claim_process", "[ \"$1\" != health ] || exit 1\nexit 7")]);
    let (status, rest) = launcher.ended();
    assert_eq!(status.code(), Some(1));
    position(&rest, "claim_process ended with exit status 7 before it was ready: all processes are stopped.");
    position(&rest, "simulated_gateway stops");
}

#[test]
fn a_missing_program_is_named() {
    // `setpriv` reports that it cannot execute the program, and the launcher names it.
    let mut launcher = Launcher::start(&[("payments", "")]);
    let (status, rest) = launcher.ended();
    assert_eq!(status.code(), Some(1), "{rest:#?}");
    position(&rest, "payments ended with exit status 127 before it was ready");
}

#[test]
fn a_signal_during_the_start_stops_the_rest() {
    let mut launcher =
        Launcher::start(&[("claim_process", "[ \"$1\" != health ] || exit 1\nsay runs\nexec sleep 1000")]);
    launcher.until("claim_process runs");
    launcher.signal("TERM");
    let (status, rest) = launcher.ended();
    assert_eq!(status.code(), Some(0));
    position(&rest, "local_broker stops");
}

#[test]
fn no_process_is_left_when_the_launcher_is_killed() {
    let mut launcher = Launcher::start(&[]);
    launcher.until_all_run();
    launcher.signal("KILL");
    // Standard output ends when the last process that holds it has ended.
    let (status, rest) = launcher.ended();
    assert_eq!(status.code(), None);
    for name in ["simulated_gateway", "claim_process", "payments"] {
        // The broker's output passes through the launcher.
        position(&rest, &format!("{name} stops"));
    }
}

#[test]
fn it_stops_when_the_reader_of_its_output_is_gone() {
    let endless = "trap 'exit 0' TERM\nwhile sleep 0.02; do say runs; done";
    let mut launcher = Launcher::start(&[("local_broker", endless)]);
    launcher.until("everything is ready");
    // The next line of the broker meets a closed pipe.
    launcher.lines = channel().1;
    assert_eq!(launcher.child.wait().unwrap().code(), Some(1));
}
