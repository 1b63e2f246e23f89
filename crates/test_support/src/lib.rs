//! Shared support for the tests of several crates. Only tests, and `system_tests`, which contains nothing else, may depend on it
//! (`scripts/check_boundaries.sh` enforces it).
//!
//! - [`on_both_databases!`] and [`TestDatabase`]: a fresh database for each test; [`schema_drift`] compares it with a schema.
//! - [`on_postgres!`], [`on_kafka!`], [`on_postgres_and_kafka!`], [`with_kcat!`], [`behind_pgbouncer!`]: tests that need a server or
//!   program. If the environment does not name it, the test runner shows them as ignored, with the reason.
//! - [`eventually`] and [`wait_until`]: waiting for an event. No test sleeps for it.
//! - [`PgBouncer`]: a pooler in front of the PostgreSQL server.
//! - [`TestBroker`], [`free_address`]: a broker for one test, and an address for one that is restarted.
//! - [`ChaosProxy`], [`forbid`], [`fail_commits`]: a network with faults, a table that refuses statements, a COMMIT that fails.
//! - [`outbox()`], [`take_outbox`], [`leave_in_outbox`]: a service's outbox, from outside.
//! - [`shifted_clock()`]: a process under a wall clock that is wrong. [`SmallDisk`], in [`with_small_disks!`]: a disk that is full.
//! - [`Running`]: a program under test as a process. [`effort`]: few cases in a local run, many in CI.
//! - [`Tally`]: how much a test increments one counter.
//! - [`openapi_walk`]: compares a service with its OpenAPI document.
//! - [`reference`]: compares a service with its reference page.
//! - [`assert_renamed`]: the older names of settings.
//!
//! Of the workspace it depends only on `dual_db`, `local_broker` and `claim_events`, so that the unit tests of all other crates can
//! use it.

mod broker;
mod chaos_proxy;
mod database;
mod effort;
mod failing_commit;
mod free_address;
pub mod kafka;
mod needs;
pub mod openapi_walk;
mod outbox;
mod pgbouncer;
pub mod reference;
mod renamed_settings;
mod requirement;
mod running;
pub mod schema_drift;
mod shifted_clock;
mod small_disk;
mod sql;
mod tally;
mod unique;
mod waiting;

pub use broker::TestBroker;
pub use chaos_proxy::{ChaosProxy, Connections, Direction, Disturbance, Mode, Schedule};
pub use database::TestDatabase;
pub use effort::effort;
pub use failing_commit::{fail_commits, let_commits_succeed};
pub use free_address::free_address;
pub use outbox::{OutboxMessage, leave_in_outbox, outbox, take_outbox};
pub use pgbouncer::PgBouncer;
pub use renamed_settings::assert_renamed;
pub use requirement::{kafka_brokers, kcat, pgbouncer, postgres_url};
pub use running::{Running, run_to_end};
pub use shifted_clock::shifted_clock;
pub use small_disk::SmallDisk;
pub use sql::{allow, assert_uses_index, count, execute, forbid, number, number_in};
pub use tally::Tally;
pub use unique::unique;
pub use waiting::{PATIENCE, eventually, wait_until, within};
