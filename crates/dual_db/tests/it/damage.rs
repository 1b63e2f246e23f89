//! A damaged SQLite file stops the start, and is found while the service runs.

use dual_db::{Database, DatabaseSettings};
use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use test_support::{TestDatabase, count, execute, wait_until};

/// A file with a table of many pages, and the database.
fn filled(directory: &Path) -> (DatabaseSettings, Database) {
    let settings = DatabaseSettings::at(format!("sqlite://{}/claims.db", directory.display()));
    let database = Database::open(&settings).expect("opens");
    database
        .write(|c| {
            execute(c, "CREATE TABLE numbers (n BIGINT PRIMARY KEY, filler TEXT)")?;
            let numbers = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 5000)";
            execute(c, &format!("INSERT INTO numbers {numbers} SELECT n, hex(randomblob(200)) FROM numbers"))
        })
        .expect("fills");
    database.write(|c| test_support::number_in(c, "SELECT 1 AS n").map(drop)).expect("reads");
    (settings, database)
}

/// Overwrites every third page behind the first ones.
fn overwrite_pages(file: &Path) {
    let pages = std::fs::metadata(file).expect("a file").len() / 4096;
    let mut file = OpenOptions::new().write(true).open(file).expect("opens");
    for page in (3..pages).step_by(3) {
        file.seek(SeekFrom::Start(page * 4096)).expect("seeks");
        file.write_all(&[0xAB; 4096]).expect("writes");
    }
    file.sync_all().expect("syncs");
}

#[test]
fn a_damaged_file_stops_the_start_with_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    // The last connection that is closed writes everything into the file.
    let (settings, database) = filled(directory.path());
    drop(database);
    let file = directory.path().join("claims.db");
    wait_until("the connections are closed", || !directory.path().join("claims.db-wal").exists());
    overwrite_pages(&file);
    let refused = Database::open(&settings).expect_err("the file is damaged").to_string();
    assert!(refused.contains("is damaged") && refused.contains("restore a snapshot"), "{refused}");
    let unchecked = DatabaseSettings { check_max_megabytes: 0, ..settings };
    Database::open(&unchecked).expect("a file that is too large to be checked opens");
}

#[test]
fn damage_is_found_after_an_error_and_makes_the_database_not_ready_with_the_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    let (settings, database) = filled(directory.path());
    drop(database);
    wait_until("the connections are closed", || !directory.path().join("claims.db-wal").exists());
    let database = Database::open(&settings).expect("it is sound");
    database.probe_write().expect("it is sound");
    overwrite_pages(&directory.path().join("claims.db"));
    // The check of the start may have left every page in the connection's cache: how much fits depends on the other tests.
    let read = database.read(|c| {
        execute(c, "PRAGMA shrink_memory")?;
        execute(c, "SELECT sum(length(filler)) FROM numbers")
    });
    read.expect_err("pages are overwritten");
    database.probe_write().expect_err("it is damaged");
    let reason = database.known_damage().expect("it was checked");
    assert!(reason.contains("is damaged") && reason.contains("restore a snapshot"), "{reason}");
}

#[test]
fn an_error_without_damage_is_checked_and_forgotten() {
    let test = TestDatabase::sqlite();
    let database = test.database();
    database.write(|c| execute(c, "CREATE TABLE numbers (n BIGINT)")).expect("creates");
    database.read(|c| execute(c, "SELECT n FROM nowhere")).expect_err("no such table");
    database.probe_write().expect("the file is sound");
    assert_eq!((database.known_damage(), count(database, "numbers")), (None, 0));
}
