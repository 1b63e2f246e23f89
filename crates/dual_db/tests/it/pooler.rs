//! PgBouncer between the process and PostgreSQL: in transaction mode it is refused without the setting, and used with it.

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use dual_db::{Connection, Database, DatabaseSettings, Pooler, Result, on_each_backend};
use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use test_support::{PgBouncer, TestDatabase, behind_pgbouncer, count, execute, number, number_in};

/// Fewer than the connections of a pool, so that these share them.
const SERVER_CONNECTIONS: u32 = 2;

#[derive(QueryableByName)]
struct Shown {
    #[diesel(sql_type = Text)]
    value: String,
}

fn shown(connection: &mut Connection, setting: &str) -> Result<String> {
    let query = format!("SELECT current_setting('{setting}') AS value");
    let shown: Shown = on_each_backend!(connection, |c| sql_query(&query).get_result(c))?;
    Ok(shown.value)
}

fn in_transaction_mode(pgbouncer: &PgBouncer, test: &TestDatabase) -> DatabaseSettings {
    DatabaseSettings { pooler: Pooler::Transaction, max_connections: 8, ..pgbouncer.settings(test.settings()) }
}

behind_pgbouncer! {
    #[test]
    fn a_start_behind_a_transaction_pooler_is_refused_and_the_setting_named() {
        let test = TestDatabase::postgres();
        // Whatever it hands out next: the session that was used last, the one that was not, or its only one.
        for (size, round_robin) in [(SERVER_CONNECTIONS, "0"), (SERVER_CONNECTIONS, "1"), (5, "1"), (1, "0")] {
            for mode in ["transaction", "statement"] {
                let pgbouncer = PgBouncer::start(mode, size, &[("server_round_robin", round_robin)]);
                let refused = Database::open(&pgbouncer.settings(test.settings())).expect_err("it is refused").to_string();
                assert!(refused.contains("DATABASE__POOLER=transaction"), "{refused}");
            }
        }
    }

    #[test]
    fn a_start_behind_a_busy_transaction_pooler_is_refused() {
        let test = TestDatabase::postgres();
        let pgbouncer = PgBouncer::start("transaction", 6, &[]);
        let busy = Database::open(&in_transaction_mode(&pgbouncer, &test)).expect("opens");
        let (over, begun) = (AtomicBool::new(false), Barrier::new(9));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    begun.wait();
                    while !over.load(Ordering::SeqCst) {
                        busy.write(|c| execute(c, "SELECT pg_sleep(0.001)")).expect("the pooler answers");
                    }
                });
            }
            begun.wait();
            let refused: Vec<bool> =
                (0..20).map(|_| Database::open(&pgbouncer.settings(test.settings())).is_err()).collect();
            over.store(true, Ordering::SeqCst);
            assert!(refused.iter().all(|refused| *refused), "{refused:?}");
        });
    }

    #[test]
    fn a_pooler_in_session_mode_and_a_server_without_one_are_not_refused() {
        let test = TestDatabase::postgres();
        let pgbouncer = PgBouncer::start("session", 20, &[]);
        std::thread::scope(|scope| {
            for settings in [test.settings().clone(), pgbouncer.settings(test.settings())] {
                for _ in 0..4 {
                    let settings = settings.clone();
                    scope.spawn(move || {
                        for _ in 0..5 {
                            Database::open(&settings).expect("opens");
                        }
                    });
                }
            }
        });
    }

    #[test]
    fn reads_and_writes_of_many_threads_share_few_sessions_and_leave_nothing_in_them() {
        let test = TestDatabase::postgres();
        let (_, name) = test.settings().url.expose().rsplit_once('/').expect("a name");
        let in_tokyo = format!("ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'");
        test.database().write(|c| execute(c, &in_tokyo)).expect("alters");
        test.database().write(|c| execute(c, "CREATE TABLE numbers (n BIGINT)")).expect("creates");
        let pgbouncer = PgBouncer::start("transaction", SERVER_CONNECTIONS, &[]);
        let settings = DatabaseSettings {
            statement_timeout_ms: 3_654,
            lock_timeout_ms: 2_345,
            ..in_transaction_mode(&pgbouncer, &test)
        };
        let database = Database::open(&settings).expect("opens");
        let session = |c: &mut Connection| {
            assert_eq!(shown(c, "statement_timeout")?, "3654ms");
            assert_eq!(shown(c, "lock_timeout")?, "2345ms");
            assert_eq!(shown(c, "TimeZone")?, "UTC");
            number_in(c, "SELECT pg_backend_pid()::bigint AS n")
        };
        let sessions: BTreeSet<i64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|thread| {
                    let database = &database;
                    scope.spawn(move || {
                        let mut sessions = BTreeSet::new();
                        for n in 0..25 {
                            let written = database.write(|c| {
                                let Connection::Postgres(connection) = &mut *c else { panic!("it is PostgreSQL") };
                                // A query with a parameter, which Diesel prepares where it may.
                                sql_query("INSERT INTO numbers VALUES ($1)")
                                    .bind::<BigInt, _>(thread * 100 + n)
                                    .execute(connection)?;
                                session(c)
                            });
                            sessions.insert(written.expect("writes"));
                            sessions.insert(database.read(session).expect("reads"));
                        }
                        sessions
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(count(&database, "numbers"), 200);
        assert!(sessions.len() <= SERVER_CONNECTIONS as usize, "{sessions:?}");
        let left = "SELECT count(*) AS n FROM pg_prepared_statements";
        assert_eq!(number(&database, left), 0, "no statement stays prepared");
        let other = PgBouncer::start("transaction", 1, &[]);
        let set_there = DatabaseSettings { statement_timeout_ms: 1_234, ..in_transaction_mode(&other, &test) };
        Database::open(&set_there).expect("opens").ping().expect("answers");
        let mut client = <diesel::PgConnection as diesel::Connection>::establish(&other.url(test.settings().url.expose()))
            .expect("connects");
        let left: Shown = sql_query("SELECT current_setting('statement_timeout') AS value")
            .get_result(&mut client)
            .expect("answers");
        assert_eq!(left.value, "0", "another client of the same session has its own time-outs");
    }

    #[test]
    fn a_statement_that_takes_too_long_is_stopped_in_a_read_too() {
        let test = TestDatabase::postgres();
        let pgbouncer = PgBouncer::start("transaction", SERVER_CONNECTIONS, &[]);
        let hasty = DatabaseSettings { statement_timeout_ms: 50, ..in_transaction_mode(&pgbouncer, &test) };
        let database = Database::open(&hasty).expect("opens");
        for _ in 0..3 {
            let stopped = database.read(|c| execute(c, "SELECT pg_sleep(60)"));
            assert!(stopped.is_err());
        }
        database.ping().expect("the connections still work");
    }

    #[test]
    fn a_snapshot_behind_a_transaction_pooler_is_consistent_and_read_only() {
        let test = TestDatabase::postgres();
        test.database().write(|c| execute(c, "CREATE TABLE numbers (n BIGINT)")).expect("creates");
        let pgbouncer = PgBouncer::start("transaction", SERVER_CONNECTIONS, &[]);
        let database = Database::open(&in_transaction_mode(&pgbouncer, &test)).expect("opens");
        let counted = database.read(|c| {
            c.snapshot(|c| {
                let n = "SELECT count(*) AS n FROM numbers";
                let before = number_in(c, n)?;
                test.database().write(|c| execute(c, "INSERT INTO numbers VALUES (1)")).expect("another client writes");
                Ok((before, number_in(c, n)?))
            })
        });
        assert_eq!(counted.expect("reads"), (0, 0));
        let written = database.read(|c| c.snapshot(|c| execute(c, "INSERT INTO numbers VALUES (2)")));
        assert!(written.is_err(), "a snapshot is read only");
        assert_eq!(count(&database, "numbers"), 1);
    }
}
