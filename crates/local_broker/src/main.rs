//! The broker as a process: says where it listens, and runs until it is stopped.

use clap::Parser;
use local_broker::{LocalBroker, TOPICS};
use std::process::ExitCode;

/// An embedded Kafka-protocol broker for one machine. It keeps everything in memory and forgets it when it ends.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The loopback address to listen on.
    #[arg(long, default_value = "127.0.0.1:9092", value_name = "HOST:PORT")]
    listen: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match LocalBroker::start(&arguments.listen) {
        Ok(broker) => {
            say_ready(&broker);
            loop {
                // A signal ends the process; there is nothing to save.
                std::thread::park();
            }
        }
        Err(problem) => {
            eprintln!("local_broker: {problem:#}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "the one line that says where to connect is this program's output")]
fn say_ready(broker: &LocalBroker) {
    println!(
        "local_broker listens on {}; topics {}; it keeps everything in memory and forgets on restart",
        broker.address(),
        TOPICS.join(", ")
    );
}
