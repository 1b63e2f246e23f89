//! The program `launcher all-in-one` over shell scripts that stand in for the broker, the gateway and the services: what it
//! starts, restarts, stops and leaves behind.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use tempfile::TempDir;

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

const PROGRAMS: [&str; 4] = ["local_broker", "simulated_gateway", "claim_process", "payments"];

/// Heeds SIGTERM from when it is ready.
const GOOD: &str = "[ \"$1\" != health ] || { [ -e $0.ready ]; exit; }\n\
    trap 'say stops; kill $!; exit 0' TERM\n\
    say runs\n\
    : >$0.ready\n\
    while :; do sleep 1000 & wait $!; done";

/// A running launcher, whose messages are read in order.
struct Launcher {
    child: Child,
    /// Ends with the output of everything that was started.
    lines: Receiver<String>,
    _directory: TempDir,
    /// In the place of the broker: what accepts connections where it would.
    _broker: TcpListener,
}

impl Launcher {
    /// Starts it with these scripts in the place of [`GOOD`] ones; an empty one is missing.
    fn start(scripts: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for name in PROGRAMS {
            let script = scripts.iter().find(|(of, _)| *of == name).map_or(GOOD, |(_, script)| script);
            if script.is_empty() {
                continue;
            }
            // What a script says is a line as the launcher's own; where it is piped it is one after that.
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
            // Once the test does not listen any more the pipe is closed here.
            let _ = stdout.lines().map_while(Result::ok).try_for_each(|text| line.send(text));
        });
        Self { child, lines, _directory: directory, _broker: broker }
    }

    /// Reads on until a line whose message contains `wanted`, and returns the messages up to it.
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
        panic!("this did not come: {wanted}; but {read:#?}");
    }

    /// Reads on until all scripts run and the launcher says so. The broker is ready to the launcher before its script runs.
    fn until_all_run(&mut self) -> Vec<serde_json::Value> {
        let mut read = self.until("everything is ready");
        if !read.iter().any(|line| message(line).contains("local_broker runs")) {
            read.extend(self.until("local_broker runs"));
        }
        read
    }

    /// Reads all that is left, and waits for its end.
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

/// The id of the process that wrote this.
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
fn everything_starts_in_order_and_the_services_stop_before_what_they_need() {
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
fn a_process_that_dies_is_named_and_started_again() {
    let mut launcher = Launcher::start(&[]);
    let read = launcher.until_all_run();
    let first = id(&read, "payments runs");
    signal(first, "KILL");
    let read = launcher.until("payments runs");
    let expected = "payments ended with exit status 137 (KILL): starting it again in 1 s, restart 1 of 5";
    assert!(read.iter().any(|line| message(line) == expected), "{read:#?}");
    assert_ne!(id(&read, "payments runs"), first);
    launcher.signal("INT");
    assert_eq!(launcher.ended().0.code(), Some(0));
}

#[test]
fn a_second_interrupt_kills_what_does_not_answer_and_the_rest_is_stopped() {
    // Frozen, it cannot even handle SIGTERM.
    let frozen = "[ \"$1\" != health ] || exit 0\nsay runs\nkill -STOP $$";
    let mut launcher = Launcher::start(&[("claim_process", frozen)]);
    launcher.until("everything is ready");
    launcher.signal("INT");
    launcher.until("payments stops");
    launcher.signal("INT");
    let (status, rest) = launcher.ended();
    assert_eq!(status.code(), Some(0));
    assert!(rest.iter().any(|message| message == "claim_process did not stop in time: killed"), "{rest:#?}");
    // They were killed, too, or had still the time to say that they stop.
    assert_eq!(rest.last().map(String::as_str), Some("stopped"));
}

#[test]
fn what_cannot_start_ends_everything_with_its_name() {
    let mut launcher = Launcher::start(&[("claim_process", "[ \"$1\" != health ] || exit 1\nexit 7")]);
    let (status, rest) = launcher.ended();
    assert_eq!(status.code(), Some(1));
    position(&rest, "claim_process ended with exit status 7 before it was ready: everything stops.");
    position(&rest, "simulated_gateway stops");
}

#[test]
fn a_missing_program_is_named() {
    // `setpriv` prints that it cannot execute it, and the launcher which it was.
    let mut launcher = Launcher::start(&[("payments", "")]);
    let (status, rest) = launcher.ended();
    assert_eq!(status.code(), Some(1), "{rest:#?}");
    position(&rest, "payments ended with exit status 127 before it was ready");
}

#[test]
fn a_signal_while_something_does_not_become_ready_stops_the_rest() {
    let mut launcher =
        Launcher::start(&[("claim_process", "[ \"$1\" != health ] || exit 1\nsay runs\nexec sleep 1000")]);
    launcher.until("claim_process runs");
    launcher.signal("TERM");
    let (status, rest) = launcher.ended();
    assert_eq!(status.code(), Some(0));
    position(&rest, "local_broker stops");
}

#[test]
fn nothing_is_left_when_the_launcher_is_killed() {
    let mut launcher = Launcher::start(&[]);
    launcher.until_all_run();
    launcher.signal("KILL");
    // Standard output ends when the last process that holds it has ended.
    let (status, rest) = launcher.ended();
    assert_eq!(status.code(), None);
    for name in ["simulated_gateway", "claim_process", "payments"] {
        // The broker's words passed through the launcher.
        position(&rest, &format!("{name} stops"));
    }
}

#[test]
fn it_stops_when_no_one_reads_its_output_any_more() {
    let endless = "trap 'exit 0' TERM\nwhile sleep 0.02; do say runs; done";
    let mut launcher = Launcher::start(&[("local_broker", endless)]);
    launcher.until("everything is ready");
    // The next line of the broker finds the pipe closed.
    launcher.lines = channel().1;
    assert_eq!(launcher.child.wait().unwrap().code(), Some(1));
}
