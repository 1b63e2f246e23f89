//! Due times that a jump of the clock made too late. A row that was written while the clock was ahead is due only when the clock
//! gets there again: days later, or years. No row is due later than after the longest pause of its kind, so one that is was
//! written by another clock, and is due now.

use crate::{Connection, Database, Result, micros, on_each_backend};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::BigInt;
use std::time::{Duration, Instant};

/// How far beyond the longest pause a due time may lie: instances may have different settings for a while.
const SLACK: Duration = Duration::from_secs(60);

/// How often [`DueTimes::check`] looks.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// Rows that become due in one transaction.
const ROWS_PER_TRANSACTION: i64 = 1_000;

/// A column of due times, in microseconds since 1970, of a table with the key `id`. An index on the column makes looking cheap.
#[derive(Debug)]
pub struct DueTimes {
    table: &'static str,
    column: &'static str,
    longest_pause_us: i64,
    checked: Option<Instant>,
}

#[derive(QueryableByName)]
struct Furthest {
    #[diesel(sql_type = BigInt)]
    at_us: i64,
}

impl DueTimes {
    /// Those of a table and column, whose rows are never due later than after `longest_pause`.
    pub fn new(table: &'static str, column: &'static str, longest_pause: Duration) -> Self {
        Self { table, column, longest_pause_us: micros(longest_pause.saturating_add(SLACK)), checked: None }
    }

    /// Calls [`DueTimes::recall`] every few seconds, however often this is called, and logs its error.
    pub fn check(&mut self, database: &Database) {
        if self.checked.is_some_and(|checked| checked.elapsed() < CHECK_EVERY) {
            return;
        }
        self.checked = Some(Instant::now());
        if let Err(error) = self.recall(database) {
            // The worker that goes by these times warns when the database is away.
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                table = self.table,
                "due times not checked for a jump of the clock; retrying"
            );
        }
    }

    /// Makes the rows due now that are due later than after the longest pause, with one warning. Returns how many.
    ///
    /// # Errors
    /// The database's. Rows that became due before it stay so.
    pub fn recall(&self, database: &Database) -> Result<usize> {
        let (now_us, furthest_us) = database.read(|connection| {
            let now_us = connection.now_us()?;
            Ok((now_us, self.furthest(connection, now_us)?))
        })?;
        let Some(furthest_us) = furthest_us else { return Ok(0) };
        let mut recalled = 0;
        loop {
            let rows = database.write(|connection| self.make_due(connection))?;
            recalled += rows;
            if i64::try_from(rows).is_ok_and(|rows| rows < ROWS_PER_TRANSACTION) {
                break;
            }
        }
        // 0 if another instance was faster.
        if recalled > 0 {
            metrics::counter!("due_times_recalled_total", "table" => self.table).increment(recalled as u64);
            tracing::warn!(
                table = self.table,
                rows = recalled,
                furthest_ahead_s = (furthest_us - now_us) / 1_000_000,
                "rows were due later than any pause lasts, since the clock went back; they are due now"
            );
        }
        Ok(recalled)
    }

    /// The latest due time, if it is later than after the longest pause.
    fn furthest(&self, connection: &mut Connection, now_us: i64) -> Result<Option<i64>> {
        let found: Option<Furthest> =
            on_each_backend!(connection, |c| sql_query(self.select_furthest()).get_result(c).optional())?;
        let too_late_us = now_us.saturating_add(self.longest_pause_us);
        Ok(found.map(|furthest| furthest.at_us).filter(|at_us| *at_us > too_late_us))
    }

    /// The query that looks for the latest due time: one step in the column's index.
    fn select_furthest(&self) -> String {
        let Self { table, column, .. } = self;
        format!("SELECT {column} AS at_us FROM {table} WHERE {column} IS NOT NULL ORDER BY {column} DESC LIMIT 1")
    }

    /// The query that finds rows that are due later, the first of them first.
    fn select_later(&self, later_than: &str, limit: &str) -> String {
        let Self { table, column, .. } = self;
        format!("SELECT id FROM {table} WHERE {column} > {later_than} ORDER BY {column} LIMIT {limit}")
    }

    /// What is read of the table, for tests of the table's index.
    pub fn queries(&self) -> [String; 2] {
        [self.select_furthest(), self.select_later("1", "1")]
    }

    fn make_due(&self, connection: &mut Connection) -> Result<usize> {
        let Self { table, column, longest_pause_us, .. } = self;
        let now_us = connection.now_us()?;
        let skip_locked = match connection {
            Connection::Sqlite(_) => "",
            Connection::Postgres(_) => "FOR UPDATE SKIP LOCKED",
        };
        let update =
            format!("UPDATE {table} SET {column} = $1 WHERE id IN ({} {skip_locked})", self.select_later("$2", "$3"));
        Ok(on_each_backend!(connection, |c| {
            sql_query(update)
                .bind::<BigInt, _>(now_us)
                .bind::<BigInt, _>(now_us.saturating_add(*longest_pause_us))
                .bind::<BigInt, _>(ROWS_PER_TRANSACTION)
                .execute(c)
        })?)
    }
}
