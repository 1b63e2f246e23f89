//! The processes of the all-in-one container: the embedded broker, the simulated gateway and both services, configured by the
//! image's environment.

use crate::environment::Environment;
use crate::local_plan::BROKER;
use crate::process::{Output, Program};
use crate::supervisor::{Limits, Member, Probe, StopWithin};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Container engines kill a container after ten seconds. Processes that are still running shortly before are named and killed.
const STOP: Duration = Duration::from_secs(8);

/// The limits of a run in a container.
pub const LIMITS: Limits = Limits { ready: Duration::from_secs(60), stop: StopWithin::All(STOP), restarts: 5 };

/// The processes in starting order; their programs are in `PATH`. The services stop first and together, because they still
/// publish to the broker.
pub fn members(mut environment: Environment) -> Vec<Member> {
    let listen = environment.default(BROKER.0, BROKER.1);
    let service = |name: &str, address: &str, wave| Member {
        program: Program {
            name: name.to_owned(),
            path: name.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            output: Output::Inherited,
        },
        probe: Probe::Health,
        address: address.to_owned(),
        wave,
    };
    let mut broker = service("local_broker", &listen, 0);
    broker.probe = Probe::Accepts;
    broker.program.arguments = vec!["--listen".to_owned(), listen];
    // The broker is the only program that does not log JSON.
    broker.program.output = Output::Piped;
    vec![
        broker,
        service("simulated_gateway", "port 8090", 1),
        service("claim_process", "port 8000", 2),
        service("payments", "port 8001", 2),
    ]
}

/// Whether both services are ready according to their own `health` command.
pub fn is_healthy() -> bool {
    ["claim_process", "payments"].iter().all(|program| {
        let asked = Command::new(program).args(["health", "--ready"]).stdin(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    })
}
