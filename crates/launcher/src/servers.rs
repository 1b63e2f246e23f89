//! The real PostgreSQL and Kafka of `scripts/services.sh`, and what `bootstrap.sh` installs for them. The variables that are
//! passed choose their directory and ports.

use crate::local_plan::Servers;
use std::process::{Command, Stdio};

/// Variables that are set for the script.
pub type Variables = [(String, String)];

fn script(path: &str, arguments: &[&str], variables: &Variables) -> Command {
    let mut command = Command::new("bash");
    command.arg(path).args(arguments).envs(variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
    command
}

/// Runs `scripts/services.sh`, which says itself what went wrong.
fn services(arguments: &[&str], variables: &Variables) -> bool {
    let ran = script("scripts/services.sh", arguments, variables).status();
    ran.is_ok_and(|status| status.success())
}

/// What `scripts/services.sh` prints on standard output, or `None` when it failed and said why.
fn ask(arguments: &[&str], variables: &Variables) -> Option<String> {
    let asked = script("scripts/services.sh", arguments, variables).stderr(Stdio::inherit()).output().ok()?;
    asked.status.success().then(|| String::from_utf8_lossy(&asked.stdout).trim().to_owned())
}

/// Installs what is missing for a server or a tool that `bootstrap.sh` knows by this name.
pub fn install(name: &str) -> bool {
    script("bootstrap.sh", &[name], &[]).status().is_ok_and(|status| status.success())
}

/// Whether the server runs.
pub fn runs(server: &str, variables: &Variables) -> bool {
    ask(&["status", server], variables).is_some_and(|status| status != "stopped")
}

/// Starts it, unless it runs.
pub fn start(server: &str, variables: &Variables) -> bool {
    services(&["start", server], variables)
}

/// Stops it, if it runs. The script says what went wrong.
pub fn stop(server: &str, variables: &Variables) {
    services(&["stop", server], variables);
}

/// How it is reached: a URL of PostgreSQL's, or Kafka's host and port.
pub fn address(server: &str, variables: &Variables) -> Option<String> {
    ask(&["env", server], variables)
}

/// How the started servers are reached by the services; the databases are made where they are missing.
pub fn for_services(started: &[&str]) -> Option<Servers> {
    let mut servers = Servers::default();
    if started.contains(&"postgres") {
        let url = |database| ask(&["env", "postgres", database], &[]);
        servers.databases = Some([url("claims")?, url("payments")?, url("gateway")?]);
    }
    if started.contains(&"kafka") {
        servers.brokers = Some(address("kafka", &[])?);
    }
    Some(servers)
}
