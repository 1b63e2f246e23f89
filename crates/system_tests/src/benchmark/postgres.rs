//! The PostgreSQL server under test: databases of the benchmark, and what the server counts.

use diesel::sql_types::{BigInt, Double, Text};
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl as _, sql_query};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The names of all databases that the benchmark creates begin with this.
const PREFIX: &str = "benchmark_";

/// A server on which the benchmark may create and drop databases.
#[derive(Debug, Clone)]
pub struct Postgres {
    /// `postgres://user:password@host:port/postgres`.
    url: String,
    /// The number of databases made so far.
    made: Arc<AtomicUsize>,
}

/// A database of the benchmark, dropped when this is dropped.
#[derive(Debug)]
pub struct Owned {
    server: Postgres,
    name: String,
}

#[derive(QueryableByName)]
struct Texts {
    #[diesel(sql_type = Text)]
    t: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Measure {
    #[diesel(sql_type = Double)]
    x: f64,
}

impl Postgres {
    /// The server at a URL that ends in the database `postgres`. Databases that an earlier run left are dropped.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn at(url: &str) -> Self {
        let server = Self { url: url.to_owned(), made: Arc::default() };
        let left = format!("SELECT datname::text AS t FROM pg_database WHERE datname LIKE '{PREFIX}%'");
        for name in server.texts(&left) {
            server.run(&format!("DROP DATABASE {name} WITH (FORCE)"));
        }
        server
    }

    /// Creates a database, empty or as a copy of another one that has no connections.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn create(&self, name: &str, template: Option<&Owned>) -> Owned {
        // A database that is kept may have been made under the same name.
        let name = format!("{PREFIX}{name}_{}", self.made.fetch_add(1, Ordering::Relaxed));
        let template = template.map(|database| format!(" TEMPLATE {}", database.name)).unwrap_or_default();
        self.run(&format!("CREATE DATABASE {name}{template}"));
        Owned { server: self.clone(), name }
    }

    /// The process that started all others of the server.
    ///
    /// # Panics
    /// If the server does not run on this machine.
    pub fn first_process(&self) -> u32 {
        let mut connection = connect(&self.url);
        let own: Number =
            sql_query("SELECT pg_backend_pid()::bigint AS n").get_result(&mut connection).expect("it answers");
        let stat = u32::try_from(own.n).ok().and_then(crate::proc::stat);
        stat.expect("the server runs on this machine").parent
    }

    /// The version of the server.
    pub fn version(&self) -> String {
        self.texts("SELECT current_setting('server_version') AS t").remove(0)
    }

    /// The bytes of WAL since the server was created.
    pub fn wal_bytes(&self) -> f64 {
        self.measure("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 AS x")
    }

    /// The statements that all clients have run, without those of this connection's database; `None` without the extension
    /// `pg_stat_statements`.
    pub fn statements(&self) -> Option<f64> {
        let loaded = self.texts("SELECT current_setting('shared_preload_libraries') AS t").remove(0);
        loaded.contains("pg_stat_statements").then(|| {
            self.run("CREATE EXTENSION IF NOT EXISTS pg_stat_statements");
            self.measure(
                "SELECT coalesce(sum(calls), 0)::float8 AS x FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid \
                 WHERE d.datname <> current_database()",
            )
        })
    }

    fn run(&self, sql: &str) {
        execute(&self.url, sql);
    }

    fn texts(&self, sql: &str) -> Vec<String> {
        texts(&self.url, sql)
    }

    fn measure(&self, sql: &str) -> f64 {
        let mut connection = connect(&self.url);
        let found: Measure =
            sql_query(sql).get_result(&mut connection).unwrap_or_else(|error| panic!("{sql}: {error}"));
        found.x
    }
}

impl Owned {
    /// The URL of the database.
    pub fn url(&self) -> String {
        let (server, _) = self.server.url.rsplit_once('/').expect("the URL ends in /database");
        format!("{server}/{}", self.name)
    }

    /// Runs statements, separated by semicolons.
    ///
    /// # Panics
    /// If one fails.
    pub fn run(&self, sql: &str) {
        execute(&self.url(), sql);
    }

    /// The texts `t` that a query returns.
    ///
    /// # Panics
    /// If it fails.
    pub fn texts(&self, sql: &str) -> Vec<String> {
        texts(&self.url(), sql)
    }

    /// The number `n` that a query returns.
    ///
    /// # Panics
    /// If it fails.
    pub fn number(&self, sql: &str) -> i64 {
        let mut connection = connect(&self.url());
        let found: Number = sql_query(sql).get_result(&mut connection).unwrap_or_else(|error| panic!("{sql}: {error}"));
        found.n
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // The first panic says what went wrong; a second one would end the process without it.
        if !std::thread::panicking() {
            self.server.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        }
    }
}

fn connect(url: &str) -> PgConnection {
    PgConnection::establish(url).expect("the PostgreSQL server answers")
}

fn execute(url: &str, sql: &str) {
    use diesel::connection::SimpleConnection as _;
    connect(url).batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

fn texts(url: &str, sql: &str) -> Vec<String> {
    let found: Vec<Texts> = sql_query(sql).load(&mut connect(url)).unwrap_or_else(|error| panic!("{sql}: {error}"));
    found.into_iter().map(|row| row.t).collect()
}
