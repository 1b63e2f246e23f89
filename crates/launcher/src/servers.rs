//! Runs `scripts/services.sh`, which starts a real PostgreSQL and Kafka, and `bootstrap.sh`, which installs them. The given
//! variables choose their directory and ports.

use crate::local_plan::Servers;
use std::process::{Command, Stdio};

/// Variables to set for the script.
pub type Variables = [(String, String)];

fn script(path: &str, arguments: &[&str], variables: &Variables) -> Command {
    let mut command = Command::new("bash");
    command.arg(path).args(arguments).envs(variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
    command
}

/// Runs `scripts/services.sh`, which prints its own errors.
fn services(arguments: &[&str], variables: &Variables) -> bool {
    let ran = script("scripts/services.sh", arguments, variables).status();
    ran.is_ok_and(|status| status.success())
}

/// The standard output of `scripts/services.sh`, or `None` if it failed and printed the reason.
fn output(arguments: &[&str], variables: &Variables) -> Option<String> {
    let run = script("scripts/services.sh", arguments, variables).stderr(Stdio::inherit()).output().ok()?;
    run.status.success().then(|| String::from_utf8_lossy(&run.stdout).trim().to_owned())
}

/// Installs what a server or tool needs; `name` is its name in `bootstrap.sh`.
pub fn install(name: &str) -> bool {
    script("bootstrap.sh", &[name], &[]).status().is_ok_and(|status| status.success())
}

/// Whether the server is running.
pub fn runs(server: &str, variables: &Variables) -> bool {
    output(&["status", server], variables).is_some_and(|status| status != "stopped")
}

/// Starts the server unless it is running.
pub fn start(server: &str, variables: &Variables) -> bool {
    services(&["start", server], variables)
}

/// Stops the server if it is running. The script prints its own errors.
pub fn stop(server: &str, variables: &Variables) {
    services(&["stop", server], variables);
}

/// The address of the server: a PostgreSQL URL, or Kafka's host and port.
pub fn address(server: &str, variables: &Variables) -> Option<String> {
    output(&["env", server], variables)
}

/// The addresses of the started servers for the services. Creates missing databases.
pub fn for_services(started: &[&str]) -> Option<Servers> {
    let mut servers = Servers::default();
    if started.contains(&"postgres") {
        let url = |database| output(&["env", "postgres", database], &[]);
        servers.databases = Some([url("claims")?, url("payments")?, url("gateway")?]);
    }
    if started.contains(&"kafka") {
        servers.brokers = Some(address("kafka", &[])?);
    }
    Some(servers)
}
