//! The limit with the product's own tables and indexes: rows that claim_process itself wrote, repeated with other keys in one
//! statement. Also fills a database with any number of claims.
//!
//! Nothing is known of the tables but the name of the one with a row a claim. What else a claim writes, which columns are keys, and
//! which columns of other tables repeat them, is read from the database.

use super::http_load::{Load, Pace};
use super::postgres::Owned;
use super::run::Benchmark;
use super::submitting::requests;
use super::system::{On, System};
use serde::Deserialize;
use std::time::Duration;

/// The table with one row a claim.
const ROOT: &str = "claims";
/// The claims that are sampled.
const SAMPLED: u64 = 2_000;
/// A table is written for each group of claims if it has so many writes a claim, where groups have at most eight claims.
const WRITTEN: f64 = 0.1;
/// The first number of generated keys, so that no other number in a row equals a key.
const FIRST_KEY: u64 = 8_000_000_000;

/// How claims are sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As the submission wrote them, with the events that wait to be published.
    Submitted,
    /// After their payment.
    Settled,
}

/// Claims as the product stores them.
#[derive(Debug)]
pub struct OwnTables {
    /// A migrated database without claims, with the sampled rows in the schema `sample`.
    pub template: Owned,
    /// The statement that stores `{n}` claims.
    statement: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Column {
    table: String,
    name: String,
    kind: String,
    /// Whether the database gives it a number.
    generated: bool,
    primary: bool,
    indexed: bool,
}

impl OwnTables {
    /// Lets the system store claims, and reads what it wrote.
    ///
    /// # Panics
    /// If there is no table of claims, or the system does not store claims.
    pub async fn sample(benchmark: &mut Benchmark, state: State) -> Self {
        let payments = usize::from(state == State::Settled);
        let system = benchmark.system(On::Servers, payments).await;
        let claims = system.claims_database();
        let columns = columns(claims);
        for column in columns.iter().filter(|column| column.generated) {
            claims.run(&format!(
                "SELECT setval(pg_get_serial_sequence('{}', '{}'), {FIRST_KEY})",
                column.table, column.name
            ));
        }
        if state == State::Submitted {
            keep_deleted_rows(claims, &columns);
        }
        let first = benchmark.take_numbers(SAMPLED);
        store(&system, first, state).await;
        let template = system.stop_and_keep_claims_database();
        let statement = Sampler { database: &template, columns: &columns }.statement();
        Self { template, statement }
    }

    /// The statement that stores a group of claims.
    pub fn statement(&self, group: u32) -> String {
        self.statement.replace("{n}", &group.to_string())
    }

    /// Stores so many claims in a copy of the template.
    pub fn fill(&self, database: &Owned, claims: u64) {
        const AT_ONCE: u64 = 10_000;
        let mut left = claims;
        while left > 0 {
            let group = left.min(AT_ONCE);
            database.run(&self.statement(u32::try_from(group).expect("small")));
            left -= group;
        }
        database.run("VACUUM ANALYZE");
    }
}

/// Delivered events are deleted at once, and are part of what a claim costs.
fn keep_deleted_rows(database: &Owned, columns: &[Column]) {
    database.run("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    for table in tables(columns) {
        database.run(&format!("CREATE TRIGGER keep BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION keep()"));
    }
}

async fn store(system: &System, first: u64, state: State) {
    let load = Load {
        address: system.address(),
        connections: 8,
        pace: Pace::Closed,
        lasts: Duration::from_secs(120),
        requests: SAMPLED,
        first,
        write: requests(system.address()),
    };
    assert_eq!(load.send().await.accepted(), SAMPLED, "all claims are accepted");
    if state == State::Settled {
        system.claim_process_counts("outcomes_applied_total", SAMPLED as f64, Duration::from_secs(120)).await;
    }
}

fn columns(database: &Owned) -> Vec<Column> {
    let found = database.texts(
        "SELECT json_build_object(
             'table', c.relname, 'name', a.attname, 'kind', format_type(a.atttypid, NULL),
             'generated', a.attidentity <> '' OR coalesce(pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', FALSE),
             'primary', EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey)),
             'indexed', EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND a.attnum = ANY (i.indkey)))::text AS t
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
         LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
             AND c.relname NOT LIKE '\\_\\_%'
         ORDER BY c.relname, a.attnum",
    );
    found.iter().map(|column| serde_json::from_str(column).expect("a column")).collect()
}

fn tables(columns: &[Column]) -> Vec<&str> {
    let mut tables: Vec<&str> = columns.iter().map(|column| column.table.as_str()).collect();
    tables.dedup();
    tables
}

/// Copies what was written into the schema `sample`, empties the tables, and writes the statement that repeats it.
struct Sampler<'a> {
    database: &'a Owned,
    columns: &'a [Column],
}

impl Sampler<'_> {
    fn statement(&self) -> String {
        let claims = self.number(&format!("SELECT count(*) AS n FROM {ROOT}"));
        assert!(claims > 0, "the table {ROOT} has a row for each claim");
        let keys: Vec<&Column> = self.of(ROOT).filter(|column| self.is_key(column, claims)).collect();
        self.database.run("CREATE SCHEMA sample");
        self.database.run(&format!(
            "CREATE TABLE sample.{ROOT} AS SELECT (row_number() OVER ())::int AS sampled, t.* FROM {ROOT} t"
        ));
        let new_keys = self.new_keys(&keys, claims);
        let mut parts = vec![self.insert(ROOT, &keys.iter().map(|key| (*key, *key)).collect::<Vec<_>>(), claims)];
        let others: Vec<&str> = tables(self.columns).into_iter().filter(|table| *table != ROOT).collect();
        for table in &others {
            let repeated = self.repeated_keys(table, &keys);
            if let Some((column, key)) = repeated.first() {
                self.database.run(&format!(
                    "CREATE TABLE sample.{table} AS SELECT s.sampled, t.* FROM {table} t JOIN sample.{ROOT} s ON t.{} = s.{}",
                    column.name, key.name
                ));
                parts.push(self.insert(table, &repeated, claims));
            } else if self.is_written(table, claims) {
                self.database.run(&format!(
                    "CREATE TABLE sample.{table} AS SELECT (row_number() OVER ())::int AS sampled, t.* FROM {table} t"
                ));
                parts.push(self.upsert(table));
            }
        }
        let sampled =
            self.database.texts("SELECT relname::text AS t FROM pg_class WHERE relnamespace = 'sample'::regnamespace");
        for table in &sampled {
            self.database.run(&format!("CREATE INDEX ON sample.{table} (sampled)"));
            self.database.run(&format!("ANALYZE sample.{table}"));
        }
        self.database.run(&format!("TRUNCATE {} CASCADE", sampled.join(", ")));
        self.database.run("DROP FUNCTION IF EXISTS keep CASCADE");
        // The emptied tables are not analyzed: PostgreSQL would plan to read them whole, and a session keeps such plans for foreign keys.
        format!("WITH g AS MATERIALIZED ({new_keys})\n{}\nSELECT 1;\n", parts.join("\n"))
    }

    fn of<'a>(&'a self, table: &'a str) -> impl Iterator<Item = &'a Column> {
        self.columns.iter().filter(move |column| column.table == table)
    }

    fn number(&self, sql: &str) -> i64 {
        self.database.number(sql)
    }

    /// A column with another value for each claim, which rows of other tables may repeat.
    fn is_key(&self, column: &Column, claims: i64) -> bool {
        column.generated || (column.indexed && is_text(column) && self.distinct(column) == claims)
    }

    fn distinct(&self, Column { table, name, .. }: &Column) -> i64 {
        self.number(&format!("SELECT count(DISTINCT {name}) AS n FROM {table}"))
    }

    /// The columns of a table that repeat a key of the claim, in all its rows.
    fn repeated_keys<'a>(&'a self, table: &'a str, keys: &[&'a Column]) -> Vec<(&'a Column, &'a Column)> {
        let rows = self.number(&format!("SELECT count(*) AS n FROM {table}"));
        let pairs = self.of(table).flat_map(|column| keys.iter().map(move |key| (column, *key)));
        pairs
            .filter(|(column, key)| rows > 0 && column.kind == key.kind)
            .filter(|(column, key)| {
                let joined =
                    format!("SELECT count(*) AS n FROM {table} t JOIN {ROOT} r ON t.{} = r.{}", column.name, key.name);
                self.number(&joined) == rows
            })
            .collect()
    }

    fn is_written(&self, table: &str, claims: i64) -> bool {
        let writes = self.number(&format!(
            "SELECT (n_tup_ins + n_tup_upd)::bigint AS n FROM pg_stat_user_tables WHERE relname = '{table}'"
        ));
        writes as f64 >= WRITTEN * claims as f64
    }

    /// The query for the keys of the new claims, and the sampled claim that each repeats.
    fn new_keys(&self, keys: &[&Column], claims: i64) -> String {
        let keys = keys.iter().map(|key| {
            let value = match key {
                Column { generated: true, table, name, .. } => {
                    format!("nextval(pg_get_serial_sequence('{table}', '{name}'))")
                }
                _ => self.random(key),
            };
            format!(", {value} AS {}", key.name)
        });
        let keys: String = keys.collect();
        format!("SELECT i, 1 + floor(random() * {claims})::int AS sampled{keys} FROM generate_series(1, {{n}}) i")
    }

    /// Other bytes of the same length.
    fn random(&self, Column { table, name, kind, .. }: &Column) -> String {
        let length = self.number(&format!("SELECT max(length({name}))::bigint AS n FROM {table}"));
        let bytes = "md5(random()::text || i) || md5(random()::text || i)";
        if kind == "bytea" {
            format!("substr(decode({bytes}, 'hex'), 1, {length})")
        } else {
            format!("substr({bytes}, 1, {length})")
        }
    }

    fn insert(&self, table: &str, keys: &[(&Column, &Column)], claims: i64) -> String {
        let counted = keys.iter().find(|(_, key)| key.generated).map(|(_, key)| key.name.as_str());
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for column in self.of(table) {
            let key = keys.iter().find(|(repeats, _)| repeats.name == column.name);
            let value = match (key, counted) {
                (Some((_, key)), _) => format!("g.{}", key.name),
                (None, _) if column.generated => continue,
                (None, Some(counted)) if self.is_time(column, claims) => {
                    format!("s.{} + (g.{counted} - {FIRST_KEY})", column.name)
                }
                _ => format!("s.{}", column.name),
            };
            names.push(column.name.as_str());
            values.push(value);
        }
        format!(
            ", w_{table} AS (INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM g, {})",
            names.join(", "),
            values.join(", "),
            sampled(table, "g")
        )
    }

    /// Whether it is an index on times, to which new claims are added at the end. The claims of a group have the same time.
    fn is_time(&self, column: &Column, claims: i64) -> bool {
        column.kind == "bigint" && column.indexed && !column.primary && self.distinct(column) * 20 > claims
    }

    /// Half as many rows as claims: of two claims in a group, some have the same provider.
    fn upsert(&self, table: &str) -> String {
        let rows = self.number(&format!("SELECT count(*) AS n FROM {table}"));
        let names: Vec<&str> = self.of(table).map(|column| column.name.as_str()).collect();
        let keys: Vec<&str> =
            self.of(table).filter(|column| column.primary).map(|column| column.name.as_str()).collect();
        let changes: Vec<String> = self
            .of(table)
            .filter(|column| !column.primary)
            .map(|Column { name, kind, .. }| match kind.as_str() {
                "bigint" | "integer" | "numeric" => format!("{name} = {table}.{name} + excluded.{name}"),
                _ => format!("{name} = excluded.{name}"),
            })
            .collect();
        format!(
            ", w_{table} AS (INSERT INTO {table} ({columns}) SELECT {columns} FROM \
             (SELECT DISTINCT 1 + floor(random() * {rows})::int AS sampled FROM generate_series(1, greatest({{n}} / 2, 1))) d, {sampled} ORDER BY {order} \
             ON CONFLICT ({order}) DO UPDATE SET {changes})",
            columns = names.join(", "),
            order = keys.join(", "),
            changes = changes.join(", "),
            sampled = sampled(table, "d")
        )
    }
}

/// The sampled rows of each row of another table. PostgreSQL finds them by their index, whatever it estimates: it would otherwise
/// read all samples for a few.
fn sampled(table: &str, other: &str) -> String {
    format!("LATERAL (SELECT * FROM sample.{table} t WHERE t.sampled = {other}.sampled OFFSET 0) s")
}

fn is_text(column: &Column) -> bool {
    matches!(column.kind.as_str(), "text" | "character varying" | "bytea")
}
