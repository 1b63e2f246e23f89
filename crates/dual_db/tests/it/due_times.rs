//! Rows that a clock that was ahead made due far in the future are due now, whatever the size of the jump.

use dual_db::{Database, DueTimes};
use std::time::Duration;
use test_support::{Tally, count, execute, number, on_both_databases};

const PAUSE: Duration = Duration::from_secs(600);
const DAY_US: i64 = 24 * 3_600 * 1_000_000;

fn due_times() -> DueTimes {
    DueTimes::new("work", "due_at_us", PAUSE)
}

fn make_table(database: &Database) {
    let made = database.write(|c| {
        execute(c, "CREATE TABLE work (id BIGINT PRIMARY KEY, due_at_us BIGINT)")?;
        execute(c, "CREATE INDEX work_due ON work (due_at_us) WHERE due_at_us IS NOT NULL")
    });
    made.expect("a table");
}

/// A row that is due so long from now.
fn insert(database: &Database, id: i64, from_now_us: i64) -> i64 {
    let now_us = database.read(|c| c.now_us()).expect("a clock");
    let due_at_us = now_us + from_now_us;
    database.write(|c| execute(c, &format!("INSERT INTO work VALUES ({id}, {due_at_us})"))).expect("writes");
    due_at_us
}

on_both_databases! {
    fn what_is_due_later_than_any_pause_lasts_is_due_now(database: &Database) {
        make_table(database);
        let at = |id: i64| number(database, &format!("SELECT due_at_us AS n FROM work WHERE id = {id}"));
        assert_eq!(due_times().recall(database).expect("looks"), 0, "an empty table");
        database.write(|c| execute(c, "INSERT INTO work VALUES (0, NULL)")).expect("writes");
        assert_eq!(due_times().recall(database).expect("looks"), 0, "nothing is due ever");
        // Written under a clock that was right, or behind: these are due when they are due.
        let kept = [(1, -DAY_US), (2, 0), (3, 599_000_000), (4, 601_000_000)].map(|(id, us)| (id, insert(database, id, us)));
        assert_eq!(due_times().recall(database).expect("looks"), 0);
        // Under clocks that were an hour, eight days and ten years ahead.
        for (id, from_now_us) in [(5, 3_600_000_000), (6, 8 * DAY_US), (7, 3_653 * DAY_US)] {
            insert(database, id, from_now_us);
        }
        database.write(|c| execute(c, &format!("INSERT INTO work VALUES (8, {})", i64::MAX))).expect("writes");
        let tally = Tally::of("due_times_recalled_total");
        let recalled = metrics::with_local_recorder(&tally, || due_times().recall(database));
        assert_eq!((recalled.expect("recalls"), tally.total()), (4, 4));
        let now_us = database.read(|c| c.now_us()).expect("a clock");
        assert!((5..=8).all(|id| at(id) <= now_us), "they are due");
        assert!(kept.iter().all(|(id, due_at_us)| at(*id) == *due_at_us), "the others are due when they were");
        assert_eq!(due_times().recall(database).expect("looks"), 0, "once");
        assert_eq!(count(database, "work WHERE due_at_us IS NULL"), 1);
    }

    fn many_rows_are_recalled_in_bounded_steps(database: &Database) {
        make_table(database);
        let now_us = database.read(|c| c.now_us()).expect("a clock");
        let rows: Vec<String> = (0..2_500).map(|id| format!("({id}, {})", now_us + DAY_US + id)).collect();
        database.write(|c| execute(c, &format!("INSERT INTO work VALUES {}", rows.join(", ")))).expect("writes");
        assert_eq!(due_times().recall(database).expect("recalls"), 2_500);
        assert_eq!(count(database, &format!("work WHERE due_at_us > {}", now_us + DAY_US / 2)), 0);
    }
}
