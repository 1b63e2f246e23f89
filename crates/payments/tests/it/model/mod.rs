//! The executor against the whole world in virtual time: random claims, voids, returns, duplicates, reordering, a gateway
//! that breaks, instances that stop between any two writes. Afterwards each claim is settled, unwound or visibly stuck, the
//! two services say the same of it, and the ledger's cash is the gateway's book.
//!
//! `MODEL_SEEDS=5000` runs so many seeds (without it few, and many in CI); `MODEL_SEED=17` runs that one and tells all that happens.

mod claim_side;
mod gateway;
mod world;

use dual_db::{Database, DatabaseSettings};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use test_support::{TestDatabase, effort, on_postgres};
use world::{Stage, World};

/// How many seeds are run where nothing is said.
/// How many seeds are run where a person waits, and in CI.
const SEEDS: (u64, u64) = (200, 1_000);
const SEEDS_ON_POSTGRES: (u64, u64) = (20, 100);

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

fn run_seed(stage: &mut Stage, seed: u64, tells: bool) -> usize {
    let mut world = World::new(stage, seed, tells);
    world.run();
    world.check(true);
    let stuck = world.finish_what_is_stuck();
    world.run();
    world.check(false);
    stuck
}

fn run_seeds(database: &Database, seeds: impl Iterator<Item = u64>) {
    let mut stage = Stage::new(database);
    let only = from_environment("MODEL_SEED");
    let mut stuck = 0;
    for seed in seeds.filter(|seed| only.is_none_or(|only| only == *seed)) {
        match catch_unwind(AssertUnwindSafe(|| run_seed(&mut stage, seed, only.is_some()))) {
            Ok(found) => stuck += found,
            Err(panic) => {
                eprintln!("seed {seed} fails: run it alone with MODEL_SEED={seed}");
                resume_unwind(panic);
            }
        }
    }
    assert!(stuck > 0 || only.is_some(), "some payments get stuck, or the model is too kind");
    assert_eq!(stage.instances[0].books_off(), 0);
}

/// In memory, where the machine has such a place: what is committed is not to survive a loss of power here.
fn sqlite_in_memory(directory: &tempfile::TempDir) -> Database {
    let url = format!("sqlite://{}/model.db", directory.path().display());
    Database::open(&DatabaseSettings::at(url)).expect("opens")
}

fn fast_directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary directory can be made")
}

fn half_of_the_seeds_on_sqlite(odd: u64) {
    let seeds = from_environment("MODEL_SEEDS").unwrap_or_else(|| effort(SEEDS.0, SEEDS.1));
    let directory = fast_directory();
    run_seeds(&sqlite_in_memory(&directory), (0..seeds).filter(|seed| seed % 2 == odd));
}

#[test]
fn whatever_happens_each_claim_ends_and_the_books_agree_even_seeds() {
    half_of_the_seeds_on_sqlite(0);
}

#[test]
fn whatever_happens_each_claim_ends_and_the_books_agree_odd_seeds() {
    half_of_the_seeds_on_sqlite(1);
}

on_postgres! {
    #[test]
    fn whatever_happens_each_claim_ends_and_the_books_agree_on_postgres() {
        let test = TestDatabase::postgres();
        let seeds = from_environment("MODEL_SEEDS")
            .map_or_else(|| effort(SEEDS_ON_POSTGRES.0, SEEDS_ON_POSTGRES.1), |seeds| seeds.div_ceil(10));
        run_seeds(test.database(), 0..seeds);
    }
}
