//! The limit of SQLite: how many claims a second it stores in groups, in a file of its own with a write-ahead log that is synced
//! at each commit, as the services use it. The rows are those of the limit of PostgreSQL.

use super::statistics::Figures;
use crate::proc;
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TABLES: &str = "
pragma journal_mode = wal;
pragma synchronous = full;
create table x_claims(seq integer primary key, id text unique, plan text, subscriber text, npi text, net bigint, status text, at timestamp default current_timestamp, version bigint default 1);
create table x_lines(claim_seq bigint, line int, day date, code text, quadrant text, fees bigint, allowed bigint, coins bigint, copay bigint, net bigint, primary key(claim_seq, line));
create table x_totals(npi text primary key, net bigint, claims bigint);
create table x_outbox(claim_seq bigint, type text, version bigint, payload text, primary key(claim_seq, type, version));
";

const GROUP: &str = "
begin immediate;
with recursive p(i) as (select 1 union all select i + 1 from p where i < max({n} / 2, 1))
insert into x_totals select distinct 1497770000 + abs(random()) % 1000, 11685, 2 from p where true
    on conflict (npi) do update set net = net + excluded.net, claims = claims + excluded.claims;
with recursive g(g) as (select 1 union all select g + 1 from g where g < {n})
insert into x_claims(id, plan, subscriber, npi, net, status)
    select lower(hex(randomblob(11))), 'GRP-1000', '3730189502', 1497770000 + g % 1000, 11685, 'submitted' from g;
insert into x_outbox select seq, 'claim.submitted', 1, printf('%.600c', 'x') from x_claims where seq > (select max(seq) - {n} from x_claims);
insert into x_lines select seq, l.column1, '2018-03-28', 'D0180', null, 10000, 10000, 0, 0, 0
    from x_claims, (values (1), (2), (3), (4)) l where seq > (select max(seq) - {n} from x_claims);
commit;
";

/// Stores groups of this size for some time.
///
/// # Panics
/// If SQLite refuses.
pub fn measure(group: u32, lasts: Duration) -> Figures {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let path = directory.path().join("limit.db");
    let mut connection = SqliteConnection::establish(&path.display().to_string()).expect("a file can be opened");
    let mut run = |sql: &str| connection.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    run(TABLES);
    let statements = GROUP.replace("{n}", &group.to_string());
    let cpu_us = || proc::stat(std::process::id()).unwrap_or_default().cpu_us;
    let (began, before, mut claims) = (Instant::now(), cpu_us(), 0.0);
    while began.elapsed() < lasts {
        run(&statements);
        claims += f64::from(group);
    }
    let figures = [
        ("rate", claims / began.elapsed().as_secs_f64()),
        ("cpu_us/sqlite", (cpu_us() - before) as f64 / claims),
        ("group_claims", f64::from(group)),
    ];
    figures.map(|(name, value)| (name.to_owned(), value)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_stored_with_its_lines() {
        let figures = measure(16, Duration::from_millis(20));
        assert!(figures["rate"] > 0.0, "{figures:?}");
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        connection.batch_execute(TABLES).unwrap();
        connection.batch_execute(&GROUP.replace("{n}", "16")).unwrap();
        connection.batch_execute(&GROUP.replace("{n}", "16")).unwrap();
        // A check that fails is an error.
        let counts = "create table c(ok check (ok)); insert into c select count(*) = 128 from x_lines; \
                      insert into c select count(*) = 32 and count(distinct id) = 32 from x_claims; \
                      insert into c select count(*) = 32 and sum(length(payload)) = 19200 from x_outbox;";
        connection.batch_execute(counts).unwrap();
    }
}
