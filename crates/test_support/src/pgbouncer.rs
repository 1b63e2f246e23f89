//! A PgBouncer for one test, in front of the PostgreSQL server that `TEST_POSTGRES_URL` names.

use crate::{Running, free_address, pgbouncer, postgres_url};
use dual_db::DatabaseSettings;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use tempfile::TempDir;

/// A running PgBouncer. Dropping it kills it.
#[derive(Debug)]
pub struct PgBouncer {
    address: SocketAddr,
    _process: Running,
    _directory: TempDir,
}

impl PgBouncer {
    /// Starts one in a pool mode, `session`, `transaction` or `statement`, with a number of server connections for each database
    /// and further settings of its configuration file.
    ///
    /// # Panics
    /// If the environment names no PgBouncer or PostgreSQL server, or it does not start. Write a test that calls this in
    /// [`behind_pgbouncer!`](crate::behind_pgbouncer).
    pub fn start(pool_mode: &str, pool_size: u32, more: &[(&str, &str)]) -> Self {
        let (login, host, port) = parts(&postgres_url());
        let address = free_address();
        let mut configuration = format!(
            "[databases]\n* = host={host} port={port} {login}\n\
             [pgbouncer]\nlisten_addr = {}\nlisten_port = {}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = {pool_mode}\ndefault_pool_size = {pool_size}\nmax_client_conn = 500\n",
            address.ip(),
            address.port()
        );
        for (name, value) in more {
            let _ = writeln!(configuration, "{name} = {value}");
        }
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let file = directory.path().join("pgbouncer.ini");
        std::fs::write(&file, configuration).expect("the configuration can be written");
        let mut command = Command::new(pgbouncer());
        // Debian installs it where only root's PATH leads.
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        if directory.path().metadata().is_ok_and(|metadata| metadata.uid() == 0) {
            // It refuses to run as root. Its package creates this user.
            command.args(["--user", "postgres"]);
        }
        let process = Running::start(command.arg(&file));
        process.wait_for("the start of PgBouncer", |text| text.contains("process up").then_some(()));
        Self { address, _process: process, _directory: directory }
    }

    /// The URL of the same database through this PgBouncer.
    ///
    /// # Panics
    /// If the URL names no PostgreSQL database.
    pub fn url(&self, url: &str) -> String {
        let (scheme, _) = url.split_once("://").expect("a URL");
        let (_, name) = url.rsplit_once('/').expect("the URL ends in /database");
        format!("{scheme}://anyone@{}/{name}", self.address)
    }

    /// The settings of the same database through this PgBouncer.
    ///
    /// # Panics
    /// As [`PgBouncer::url`].
    pub fn settings(&self, of: &DatabaseSettings) -> DatabaseSettings {
        DatabaseSettings { url: self.url(of.url.expose()).into(), ..of.clone() }
    }
}

/// The `user=… password=…`, the host and the port of a URL.
fn parts(url: &str) -> (String, String, String) {
    let (_, rest) = url.split_once("://").expect("a URL");
    let (user, host) = rest.split_once('@').expect("the URL of the test server names a user");
    let (host, _) = host.split_once('/').expect("the URL of the test server ends in /database");
    let (host, port) = host.rsplit_once(':').unwrap_or((host, "5432"));
    let login = match user.split_once(':') {
        Some((user, password)) => format!("user={user} password={password}"),
        None => format!("user={user}"),
    };
    (login, host.to_owned(), port.to_owned())
}
