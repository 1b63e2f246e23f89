//! Compares the tables of a database with a `schema.rs`, and reverts migrations. Both sides are written as `table.column type`,
//! with `null` for a nullable column, so that they can be compared as sets.

use crate::execute;
use diesel::backend::Backend;
use diesel::migration::{Migration, MigrationSource};
use diesel::{Expression, QueryableByName, RunQueryDsl, Table, sql_query};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use dual_db::{Connection, Database, Migrations, Result, on_each_backend};
use std::any::type_name;
use std::collections::{BTreeMap, BTreeSet};

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = diesel::sql_types::Text)]
    line: String,
}

/// Migrates a fresh database up, down to nothing, and up again to the same schema.
///
/// # Panics
/// If a migration fails, leaves something behind, or results in another schema the second time.
pub fn assert_down_and_up_again_is_the_same(database: &Database, sets: &[&Migrations]) {
    let all = || database.read(|c| Ok((columns(c)?, indexes_and_constraints(c)?))).expect("the tables can be listed");
    database.migrate(sets).expect("it migrates up");
    let before = all();
    assert!(!before.0.is_empty() && !before.1.is_empty());
    revert(database, sets, usize::MAX);
    assert_eq!(all(), (BTreeSet::new(), BTreeSet::new()), "nothing is left");
    database.migrate(sets).expect("it migrates up again");
    assert_eq!(all(), before);
}

/// Probes a filled database by a write. Then reverts and reapplies its newest migration, then the newest two, up to the newest
/// `how_many`, and then all of them.
///
/// # Panics
/// If the probe writes into another table than its own, if a migration fails, if reverting and reapplying them changes a row, or if
/// reverting `how_many` changes none.
pub fn assert_rows_survive_the_newest_migrations(
    database: &Database,
    sets: &[&Migrations],
    how_many: usize,
    fill: &[&str],
) {
    database.migrate(sets).expect("it migrates up");
    for sql in fill {
        database.write(|c| execute(c, sql)).expect("a row is inserted");
    }
    let rows = || database.read(rows).expect("the rows can be listed");
    let before = rows();
    assert_eq!(before.len(), fill.len(), "each statement inserts a row: {before:#?}");
    database.probe_write().expect("the database works");
    assert_ne!(rows(), before, "a probe writes");
    database.write(|c| execute(c, "DELETE FROM write_probe")).expect("its row can be deleted");
    assert_eq!(rows(), before, "a probe writes only into its own table");
    for newest in 1..=how_many {
        revert(database, sets, newest);
        assert!(newest < how_many || rows() != before, "the newest migrations are reverted");
        database.migrate(sets).expect("it migrates up again");
        assert_eq!(rows(), before, "after the newest {newest}");
    }
    revert(database, sets, usize::MAX);
    database.migrate(sets).expect("it migrates up from nothing");
}

/// Reverts the last migrations, the newest first.
fn revert(database: &Database, sets: &[&Migrations], how_many: usize) {
    let reverted = database.write(|connection| {
        match connection {
            Connection::Sqlite(c) => revert_each(c, sets.iter().map(|set| &set.sqlite), how_many),
            Connection::Postgres(c) => revert_each(c, sets.iter().map(|set| &set.postgres), how_many),
        }
        Ok(())
    });
    reverted.expect("the revert is committed");
}

fn revert_each<'a, B: Backend>(
    harness: &mut impl MigrationHarness<B>,
    sources: impl Iterator<Item = &'a EmbeddedMigrations>,
    how_many: usize,
) where
    EmbeddedMigrations: MigrationSource<B>,
{
    let all = sources.flat_map(|source| MigrationSource::<B>::migrations(source).expect("embedded"));
    let mut all: Vec<Box<dyn Migration<B>>> = all.collect();
    all.sort_by_key(|migration| migration.name().version().to_string());
    for migration in all.iter().rev().take(how_many) {
        harness.revert_migration(migration).expect("every migration can be reverted");
    }
}

/// The columns of a database, without Diesel's own migrations table.
///
/// # Errors
/// The error of the database.
pub fn columns(connection: &mut Connection) -> Result<BTreeSet<String>> {
    lines(
        connection,
        "SELECT m.name || '.' || c.name || ' ' \
         || CASE c.type WHEN 'INTEGER' THEN 'bigint' WHEN 'BLOB' THEN 'bytea' ELSE lower(c.type) END \
         || CASE c.\"notnull\" WHEN 0 THEN ' null' ELSE '' END AS line \
         FROM sqlite_master m JOIN pragma_table_info(m.name) c \
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND m.name <> '__diesel_schema_migrations'",
        "SELECT table_name || '.' || column_name || ' ' || data_type \
         || CASE is_nullable WHEN 'YES' THEN ' null' ELSE '' END AS line \
         FROM information_schema.columns \
         WHERE table_schema = current_schema() AND table_name <> '__diesel_schema_migrations'",
    )
}

/// Applies the migrations that its own ones build on, and then its own.
///
/// # Panics
/// If its own migrations create other columns than `expected`.
pub fn assert_migrations_make(
    database: &Database,
    base: &[&Migrations],
    own: &Migrations,
    expected: &[BTreeSet<String>],
) {
    let columns = || database.read(columns).expect("the columns can be listed");
    database.migrate(base).expect("the base migrates");
    let before = columns();
    database.migrate(&[base, &[own]].concat()).expect("it migrates");
    let made: BTreeSet<String> = columns().difference(&before).cloned().collect();
    assert_eq!(made, expected.iter().flatten().cloned().collect());
}

/// Every row of a database: the table and each column with its value, as text.
fn rows(connection: &mut Connection) -> Result<BTreeSet<String>> {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for column in columns(connection)? {
        let (table, rest) = column.split_once('.').expect("table.column");
        let column = rest.split(' ').next().expect("a name").to_owned();
        tables.entry(table.to_owned()).or_default().push(column);
    }
    let mut all = BTreeSet::new();
    for (table, columns) in tables {
        let texts = columns.iter().map(|column| format!("'{column} ' || COALESCE(CAST({column} AS TEXT), 'null')"));
        let sql =
            format!("SELECT '{table}: ' || {} AS line FROM {table}", texts.collect::<Vec<_>>().join(" || ', ' || "));
        all.append(&mut lines(connection, &sql, &sql)?);
    }
    Ok(all)
}

/// The indexes and constraints of a database, each as the database itself writes it.
fn indexes_and_constraints(connection: &mut Connection) -> Result<BTreeSet<String>> {
    lines(
        connection,
        // SQLite writes constraints into the text of the table.
        "SELECT sql AS line FROM sqlite_master \
         WHERE sql IS NOT NULL AND tbl_name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND tbl_name <> '__diesel_schema_migrations'",
        "SELECT indexdef AS line FROM pg_indexes \
         WHERE schemaname = current_schema() AND tablename <> '__diesel_schema_migrations' \
         UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint \
         WHERE conrelid <> 0 AND connamespace = current_schema()::regnamespace \
         AND conrelid <> '__diesel_schema_migrations'::regclass",
    )
}

fn lines(connection: &mut Connection, sqlite: &str, postgres: &str) -> Result<BTreeSet<String>> {
    let sql = match connection {
        Connection::Sqlite(_) => sqlite,
        Connection::Postgres(_) => postgres,
    };
    let found: Vec<Line> = on_each_backend!(connection, |c| sql_query(sql).load(c))?;
    Ok(found.into_iter().map(|found| found.line).collect())
}

/// The columns of a `diesel::table!`, read from the names of its Rust types.
///
/// # Panics
/// If a type is not the same on both databases.
pub fn columns_in_schema<T: Table>(_: T) -> BTreeSet<String>
where
    T::AllColumns: Expression,
{
    let table = type_name::<T>().trim_end_matches("::table").rsplit("::").next().expect("a path has a last part");
    let columns = parts(type_name::<T::AllColumns>());
    let types = parts(type_name::<<T::AllColumns as Expression>::SqlType>());
    assert_eq!(columns.len(), types.len());
    let described = columns.iter().zip(types).map(|(column, full_type)| {
        let (full_type, null) = match full_type.split_once('<') {
            Some((_, inner)) => (inner.trim_end_matches('>'), " null"),
            None => (full_type, ""),
        };
        let sql_type = match last(full_type) {
            "BigInt" => "bigint",
            "Bool" => "boolean",
            "Text" => "text",
            "Binary" => "bytea",
            other => panic!("{table}: {other} is not the same type on both databases"),
        };
        format!("{table}.{} {sql_type}{null}", last(column))
    });
    described.collect()
}

/// The parts of a tuple's type name.
fn parts(tuple: &str) -> Vec<&str> {
    tuple.trim_matches(['(', ')']).split(", ").map(|part| part.trim_end_matches(',')).collect()
}

fn last(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}
