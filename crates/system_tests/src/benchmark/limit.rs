//! The limit: how many claims a second PostgreSQL itself stores, measured with pgbench. One data-modifying statement stores a group
//! of claims of four lines, provider totals, and an outbox row of 600 bytes. Anyone can run the same from outside; see the README.

use super::postgres::Owned;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The group sizes that are measured.
pub const GROUPS: [u32; 4] = [1, 16, 64, 256];

/// The tables of the limit.
pub const TABLES: &str = "
create table x_claims(seq bigint generated always as identity primary key, id text unique, plan text, subscriber text, npi text, net bigint, status text, at timestamptz default now(), version bigint default 1);
create table x_lines(claim_seq bigint, line int, day date, code text, quadrant text, fees bigint, allowed bigint, coins bigint, copay bigint, net bigint, primary key(claim_seq, line));
create table x_totals(npi text primary key, net bigint, claims bigint);
create table x_outbox(claim_seq bigint, type text, version bigint, payload text, primary key(claim_seq, type, version));
";

/// The statement that stores a group of `{n}` claims.
const STATEMENT: &str = "
with t as (insert into x_totals select (1497770000 + p)::text, 11685, 2 from (select distinct (random() * 999)::int p from generate_series(1, greatest({n} / 2, 1))) r order by 1
           on conflict (npi) do update set net = x_totals.net + excluded.net, claims = x_totals.claims + excluded.claims),
     c as (insert into x_claims(id, plan, subscriber, npi, net, status)
           select substr(md5(random()::text || g), 1, 22), 'GRP-1000', '3730189502', (1497770000 + g % 1000)::text, 11685, 'submitted' from generate_series(1, {n}) g returning seq),
     o as (insert into x_outbox select seq, 'claim.submitted', 1, repeat('x', 600) from c)
insert into x_lines select seq, l, '2018-03-28', 'D0180', null, 10000, 10000, 0, 0, 0 from c, generate_series(1, 4) l;
";

/// The statement for groups of this size.
pub fn statement(group: u32) -> String {
    // pgbench reads a statement up to its semicolon, over lines.
    STATEMENT.replace("{n}", &group.to_string())
}

/// Runs a statement with two clients for some time. Returns how often it was run, and for how long.
///
/// # Panics
/// If pgbench is not installed, or fails.
pub fn pgbench(database: &Owned, statement: &str, lasts: Duration) -> (f64, f64) {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let script = directory.path().join("statement.sql");
    std::fs::write(&script, statement).expect("the script can be written");
    let done = Command::new("pgbench")
        .args(["-n", "-c", "2", "-j", "2", "-T", &lasts.as_secs().max(1).to_string(), "-f"])
        .arg(&script)
        .arg(database.url())
        .stdin(Stdio::null())
        .output()
        .expect("pgbench, of PostgreSQL's packages, can be run");
    let output = String::from_utf8_lossy(&done.stdout).into_owned();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "pgbench failed: {output}{errors}");
    parse(&output).unwrap_or_else(|| panic!("pgbench printed no result: {output}{errors}"))
}

/// The number of transactions and their duration in seconds.
fn parse(output: &str) -> Option<(f64, f64)> {
    let field = |name: &str| output.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let transactions: f64 =
        field("number of transactions actually processed:")?.split('/').next()?.trim().parse().ok()?;
    let rate: f64 = field("tps = ")?.split(' ').next()?.parse().ok()?;
    (rate > 0.0).then(|| (transactions, transactions / rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_pgbench_is_read() {
        let output = "pgbench (15.14)\nscaling factor: 1\nnumber of transactions actually processed: 5400\nnumber of failed transactions: 0 (0.000%)\n\
                      latency average = 3.702 ms\ninitial connection time = 6.020 ms\ntps = 540.000000 (without initial connection time)\n";
        assert_eq!(parse(output), Some((5_400.0, 10.0)));
        assert_eq!(parse("tps = 0.0 (without initial connection time)"), None);
    }

    #[test]
    fn a_statement_has_its_group_size_everywhere() {
        assert_eq!(statement(64).matches("64").count(), 2);
        assert!(!statement(64).contains("{n}"));
    }
}
