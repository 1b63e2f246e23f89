//! The program: its one line when it is ready, and its one sentence when it cannot start.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

fn program(listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local_broker"));
    command.args(["--listen", listen]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn says_when_it_is_ready_and_that_it_forgets() {
    let mut running = program("127.0.0.1:0").spawn().unwrap();
    let mut line = String::new();
    BufReader::new(running.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.strip_prefix("local_broker listens on ").and_then(|rest| rest.split(';').next()).unwrap();
    TcpStream::connect(address).expect("it listens where it says");
    assert!(line.contains("claims.claim.v1, payments.payment.v1; it keeps everything in memory"), "{line}");
    running.kill().unwrap();
    running.wait().unwrap();
}

#[test]
fn a_port_in_use_and_an_address_that_is_not_loopback_end_it_with_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let in_use = taken.local_addr().unwrap().to_string();
    for (listen, said) in [(in_use.as_str(), "is in use: stop what"), ("0.0.0.0:9092", "lets everyone in")] {
        let output = program(listen).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("local_broker: ") && text.contains(said), "{text}");
    }
}
