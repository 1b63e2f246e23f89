//! The broker as a process: prints its address, and runs until it is stopped.

use clap::Parser;
use local_broker::{LocalBroker, TOPICS};
use std::process::ExitCode;

/// An embedded Kafka-protocol broker for one machine. Messages are kept in memory and lost when the process ends.
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
            print_ready(&broker);
            loop {
                // A signal ends the process, which has nothing to save.
                std::thread::park();
            }
        }
        Err(problem) => {
            eprintln!("local_broker: {problem:#}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "the line with the address is this program's output")]
fn print_ready(broker: &LocalBroker) {
    println!(
        "local_broker listens on {}; topics {}; messages are kept in memory and lost on restart",
        broker.address(),
        TOPICS.join(", ")
    );
}
