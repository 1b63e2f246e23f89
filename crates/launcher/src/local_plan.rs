//! The plan of `runserver`: the processes on this machine, their addresses, and the settings that connect them. Pure: a plan is
//! computed from options and an environment.

use crate::environment::{Environment, Unusable};
use crate::process::{Output, Program};
use crate::supervisor::{Limits, Member, Probe, StopWithin};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The options of `runserver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Store all data in a real PostgreSQL.
    pub postgres: bool,
    /// Use a real Kafka in place of the embedded broker.
    pub kafka: bool,
    /// The number of instances of payments.
    pub payments: u16,
}

/// The processes of a run, in starting order.
#[derive(Debug)]
pub struct Plan {
    /// The processes with their addresses.
    pub services: Vec<Service>,
    /// The time limits and the number of restarts.
    pub limits: Limits,
    /// Their environment.
    pub environment: Environment,
    options: Options,
}

/// A process of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The name in the output and of the log.
    pub name: String,
    /// The program.
    pub program: &'static str,
    /// The host and port it is reached at.
    pub address: String,
    /// The variable that sets its port.
    pub moved_by: &'static str,
}

/// The addresses of the requested servers.
#[derive(Debug, Default)]
pub struct Servers {
    /// Three databases on PostgreSQL: claim_process', payments' and the gateway's.
    pub databases: Option<[String; 3]>,
    /// Kafka's host and port.
    pub brokers: Option<String>,
}

/// The variable that sets the address of the embedded broker, and its default.
pub const BROKER: (&str, &str) = ("LOCAL_BROKER__LISTEN", "127.0.0.1:9092");
const GATEWAY_PORT: &str = "SIMULATED_GATEWAY__HTTP__PORT";
const CLAIMS_PORT: &str = "CLAIM_PROCESS__HTTP__PORT";
const PAYMENTS_PORT: &str = "PAYMENTS__HTTP__PORT";

impl Plan {
    /// The plan for these options. `secret` signs the gateway's webhooks if the environment sets no secret.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn new(options: Options, mut environment: Environment, secret: &str) -> Result<Self, Unusable> {
        let env = &mut environment;
        let listen = env.default(BROKER.0, BROKER.1);
        let wanted = || format!("a host and a port, as in {}", BROKER.1);
        if !listen.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
            return Err(Unusable { name: BROKER.0.to_owned(), value: listen, wanted: wanted() });
        }
        let gateway_port = env.number(GATEWAY_PORT, 8090, 1..=65_535)?;
        let claims_port = env.number(CLAIMS_PORT, 8000, 1..=65_535)?;
        let payments_port = env.number(PAYMENTS_PORT, 8001, 1..=65_535 - u32::from(options.payments.max(1)) + 1)?;
        let limits = Limits {
            ready: Duration::from_secs(env.number("RUNSERVER_READY_SECONDS", 60, 1..=3_600)?.into()),
            stop: StopWithin::Each(Duration::from_secs(env.number("RUNSERVER_STOP_SECONDS", 20, 0..=3_600)?.into())),
            restarts: env.number("RUNSERVER_RESTARTS", 5, 0..=1_000)? as usize,
        };
        let gateway = reached_at(env.get("SIMULATED_GATEWAY__HTTP__HOST"), gateway_port);
        let service =
            |name: &str, program, address, moved_by| Service { name: name.to_owned(), program, address, moved_by };
        let mut services = Vec::new();
        if !options.kafka {
            services.push(service("local_broker", "local_broker", listen, BROKER.0));
        }
        services.push(service("simulated_gateway", "simulated_gateway", gateway.clone(), GATEWAY_PORT));
        let claims = reached_at(env.get("CLAIM_PROCESS__HTTP__HOST"), claims_port);
        services.push(service("claim_process", "claim_process", claims, CLAIMS_PORT));
        let payments_host = env.get("PAYMENTS__HTTP__HOST");
        let payments: Vec<Service> = (0..options.payments)
            .map(|n| {
                let address = reached_at(payments_host, payments_port + u32::from(n));
                service(&format!("payments-{}", n + 1), "payments", address, PAYMENTS_PORT)
            })
            .collect();
        env.default("PAYMENTS__GATEWAY__URL", &format!("http://{gateway}"));
        let secret = env.default("PAYMENTS__GATEWAY__WEBHOOK_SECRET", secret);
        env.default("SIMULATED_GATEWAY__WEBHOOK__SECRET", &secret);
        if let Some(first) = payments.first() {
            env.default("SIMULATED_GATEWAY__WEBHOOK__URL", &format!("http://{}/v1/webhooks/gateway", first.address));
        }
        services.extend(payments);
        Ok(Self { services, limits, environment, options })
    }

    /// The names of the requested servers in `scripts/services.sh`.
    pub fn servers(&self) -> impl Iterator<Item = &'static str> {
        let Options { postgres, kafka, .. } = self.options;
        [(postgres, "postgres"), (kafka, "kafka")].into_iter().filter_map(|(wanted, name)| wanted.then_some(name))
    }

    /// The members of the supervisor, with programs in `binaries` and logs in `logs`, once the servers are running.
    pub fn members(&mut self, servers: &Servers, binaries: &Path, logs: &Path) -> Vec<Member> {
        self.point_to(servers);
        let members = self.services.iter().enumerate().map(|(wave, service)| {
            let mut environment = self.environment.added();
            let mut arguments = Vec::new();
            let port = service.address.rsplit(':').next().unwrap_or_default().to_owned();
            match service.program {
                "local_broker" => arguments = vec!["--listen".to_owned(), service.address.clone()],
                "payments" => environment.push((PAYMENTS_PORT.to_owned(), port)),
                _ => {}
            }
            let probe = if service.program == "local_broker" { Probe::Accepts } else { Probe::Health };
            let program = Program {
                name: service.name.clone(),
                path: binaries.join(service.program),
                arguments,
                environment,
                output: Output::AppendedTo(self.log(logs, service)),
            };
            Member { program, probe, address: service.address.clone(), wave }
        });
        members.collect()
    }

    /// The log file of a process.
    pub fn log(&self, logs: &Path, service: &Service) -> PathBuf {
        logs.join(format!("{}.log", service.name))
    }

    /// Sets the addresses of the databases and of Kafka.
    fn point_to(&mut self, servers: &Servers) {
        let env = &mut self.environment;
        let files = ["claims", "payments", "gateway"].map(|name| format!("sqlite://.local/{name}.db"));
        let urls = servers.databases.as_ref().unwrap_or(&files);
        for (program, url) in ["CLAIM_PROCESS", "PAYMENTS", "SIMULATED_GATEWAY"].iter().zip(urls) {
            env.default(&format!("{program}__DATABASE__URL"), url);
        }
        let embedded = env.get(BROKER.0).unwrap_or_default().to_owned();
        for program in ["CLAIM_PROCESS", "PAYMENTS"] {
            env.default(&format!("{program}__KAFKA__BROKERS"), servers.brokers.as_ref().unwrap_or(&embedded));
            if servers.brokers.is_none() {
                // The embedded broker assigns partitions to a restarted instance only after the session of the old one has expired.
                env.default(&format!("{program}__KAFKA__CONSUMER__SESSION_TIMEOUT_MS"), "3000");
            }
        }
    }

    /// The commands to try once everything is ready.
    pub fn invitation(&self) -> String {
        let address = |program| self.services.iter().find(|service| service.program == program).map(|s| &s.address);
        let claims = format!("http://{}/v1/claims", address("claim_process").map_or("", |address| address));
        let audit = match address("payments") {
            Some(payments) => format!("  curl -s http://{payments}/v1/ledger/audit"),
            None => "  (no payments was started: claims stay submitted until one is)".to_owned(),
        };
        format!(
            "\nReady. Try:\n\n  curl -s -H 'content-type: text/csv' --data-binary @scripts/claim_1234.csv {claims}\n  \
             curl -s {claims}/<the id in the answer>\n{audit}\n\nLogs are in .local/logs. Ctrl-C stops everything.\n\n"
        )
    }
}

/// The address at which a client on this machine reaches a server bound to `host`.
fn reached_at(host: Option<&str>, port: u32) -> String {
    match host {
        None | Some("0.0.0.0" | "::") => format!("127.0.0.1:{port}"),
        Some(host) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMBEDDED: Options = Options { postgres: false, kafka: false, payments: 2 };

    fn plan(options: Options, environment: &[(&str, &str)]) -> Result<Plan, Unusable> {
        Plan::new(options, Environment::of(environment), "made up")
    }

    fn variable<'a>(member: &'a Member, name: &str) -> Option<&'a str> {
        let set = member.program.environment.iter().rfind(|(found, _)| found == name);
        set.map(|(_, value)| value.as_str())
    }

    #[test]
    fn everything_is_embedded_by_default() {
        let mut plan = plan(EMBEDDED, &[]).unwrap();
        let members = plan.members(&Servers::default(), Path::new("bin"), Path::new("logs"));
        let named: Vec<(&str, &str)> =
            members.iter().map(|member| (member.program.name.as_str(), member.address.as_str())).collect();
        let expected = [
            ("local_broker", "127.0.0.1:9092"),
            ("simulated_gateway", "127.0.0.1:8090"),
            ("claim_process", "127.0.0.1:8000"),
            ("payments-1", "127.0.0.1:8001"),
            ("payments-2", "127.0.0.1:8002"),
        ];
        assert_eq!(named, expected);
        let second = &members[4];
        for (name, value) in [
            ("PAYMENTS__HTTP__PORT", "8002"),
            ("PAYMENTS__DATABASE__URL", "sqlite://.local/payments.db"),
            ("PAYMENTS__KAFKA__BROKERS", "127.0.0.1:9092"),
            ("PAYMENTS__KAFKA__CONSUMER__SESSION_TIMEOUT_MS", "3000"),
            ("PAYMENTS__GATEWAY__URL", "http://127.0.0.1:8090"),
            ("SIMULATED_GATEWAY__WEBHOOK__URL", "http://127.0.0.1:8001/v1/webhooks/gateway"),
            ("SIMULATED_GATEWAY__WEBHOOK__SECRET", "made up"),
        ] {
            assert_eq!(variable(second, name), Some(value), "{name}");
        }
    }

    #[test]
    fn servers_replace_the_embedded_defaults() {
        let options = Options { postgres: true, kafka: true, payments: 0 };
        let mut plan = plan(options, &[]).unwrap();
        assert_eq!(plan.servers().collect::<Vec<_>>(), ["postgres", "kafka"]);
        let databases = ["postgres://a", "postgres://b", "postgres://c"].map(str::to_owned);
        let servers = Servers { databases: Some(databases), brokers: Some("127.0.0.1:19092".to_owned()) };
        let members = plan.members(&servers, Path::new("bin"), Path::new("logs"));
        assert_eq!(members.len(), 2, "no broker and no payments");
        assert_eq!(variable(&members[1], "CLAIM_PROCESS__DATABASE__URL"), Some("postgres://a"));
        assert_eq!(variable(&members[1], "CLAIM_PROCESS__KAFKA__BROKERS"), Some("127.0.0.1:19092"));
        assert_eq!(variable(&members[1], "CLAIM_PROCESS__KAFKA__CONSUMER__SESSION_TIMEOUT_MS"), None);
        assert!(plan.invitation().contains("no payments was started"));
    }

    #[test]
    fn the_users_variables_are_kept() {
        let set = [
            ("CLAIM_PROCESS__HTTP__PORT", "18000"),
            ("CLAIM_PROCESS__HTTP__HOST", "0.0.0.0"),
            ("CLAIM_PROCESS__DATABASE__URL", "postgres://mine"),
            ("PAYMENTS__GATEWAY__WEBHOOK_SECRET", "my own"),
            ("RUNSERVER_STOP_SECONDS", "0"),
        ];
        let mut plan = plan(EMBEDDED, &set).unwrap();
        assert!(matches!(plan.limits.stop, StopWithin::Each(Duration::ZERO)));
        let members = plan.members(&Servers::default(), Path::new("bin"), Path::new("logs"));
        assert_eq!(members[2].address, "127.0.0.1:18000");
        assert_eq!(variable(&members[2], "CLAIM_PROCESS__DATABASE__URL"), None, "it inherits its own");
        assert_eq!(variable(&members[1], "SIMULATED_GATEWAY__WEBHOOK__SECRET"), Some("my own"));
        assert!(plan.invitation().contains("http://127.0.0.1:18000/v1/claims"));
    }

    #[test]
    fn an_invalid_variable_is_named_with_the_expected_value() {
        for (name, value, wanted) in [
            ("CLAIM_PROCESS__HTTP__PORT", "0", "from 1 to 65535"),
            ("PAYMENTS__HTTP__PORT", "65535", "from 1 to 65534"),
            ("LOCAL_BROKER__LISTEN", "9092", "as in 127.0.0.1:9092"),
            ("LOCAL_BROKER__LISTEN", "localhost:many", "as in 127.0.0.1:9092"),
            ("RUNSERVER_READY_SECONDS", "1.5", "from 1 to 3600"),
            ("RUNSERVER_RESTARTS", "-1", "from 0 to 1000"),
        ] {
            let error = plan(EMBEDDED, &[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value) && error.contains(wanted), "{error}");
        }
    }
}
