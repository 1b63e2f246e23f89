//! The program: its one line when it is ready, and its one sentence when it cannot start.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use test_support::Running;

fn program(listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local_broker"));
    command.args(["--listen", listen]);
    command
}

#[test]
fn says_when_it_is_ready_and_that_it_forgets() {
    let running = Running::start(&mut program("127.0.0.1:0"));
    let address = running.address_behind("local_broker listens on ");
    TcpStream::connect(address).expect("it listens where it says");
    let written = running.written();
    assert!(written.contains("claims.claim.v1, payments.payment.v1; it keeps everything in memory"), "{written}");
}

#[test]
fn a_port_in_use_and_an_address_that_is_not_loopback_end_it_with_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let in_use = taken.local_addr().unwrap().to_string();
    for (listen, said) in [(in_use.as_str(), "is in use (stop what"), ("0.0.0.0:9092", "lets everyone in")] {
        let output = program(listen).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("local_broker: ") && text.contains(said), "{text}");
    }
}
