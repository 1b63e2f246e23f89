//! Runs the parts of the benchmark in rounds.

use super::limit;
use super::meter;
use super::own_tables::{OwnTables, State};
use super::postgres::Owned;
use super::run::{Benchmark, Part};
use super::statistics::Figures;
use super::system::On;
use super::{lone, overload, reading, settling, sqlite_limit, submitting};

impl Benchmark {
    /// Runs all rounds.
    ///
    /// # Panics
    /// If the system does not do what it is measured for.
    pub async fn run(&mut self) {
        for round in 1..=self.plan.rounds {
            for part in self.plan.parts.clone() {
                self.progress(&format!("round {round} of {}: {part:?}", self.plan.rounds));
                match part {
                    Part::Limit => self.limit(),
                    Part::OwnTables => self.own_tables().await,
                    Part::Single => submitting::singles(self, On::Servers).await,
                    Part::Bulk => submitting::batches(self, On::Servers).await,
                    Part::Payments => settling::payments_stage(self).await,
                    Part::EndToEnd => settling::end_to_end(self, On::Servers).await,
                    Part::Lone => lone::measure(self, On::Servers).await,
                    Part::Embedded => self.embedded().await,
                    Part::Reading => reading::measure(self).await,
                    Part::Overload => overload::measure(self).await,
                }
            }
        }
    }

    /// Measures the limit for each group size.
    fn limit(&mut self) {
        for group in self.plan.groups.clone() {
            let database = self.servers.postgres.create("limit", None);
            database.run(limit::TABLES);
            let figures = self.pgbench(&database, &limit::statement(group), group);
            self.limits.insert((On::Servers, group), figures["rate"]);
            self.add_share(&format!("limit, n = {group}"), figures, On::Servers, group);
        }
    }

    /// Measures how many claims PostgreSQL stores in the product's own tables.
    async fn own_tables(&mut self) {
        let own = OwnTables::sample(self, State::Submitted).await;
        for group in self.plan.groups.clone() {
            let database = self.servers.postgres.create("own", Some(&own.template));
            let figures = self.pgbench(&database, &own.statement(group), group);
            self.add_share(&format!("own tables, n = {group}"), figures, On::Servers, group);
        }
    }

    /// Measures the embedded default, and SQLite itself.
    async fn embedded(&mut self) {
        for group in [settling::GROUP, submitting::BATCH_GROUP] {
            let figures = sqlite_limit::measure(group, self.plan.lasts);
            self.limits.insert((On::Embedded, group), figures["rate"]);
            self.add_share(&format!("limit, n = {group}"), figures, On::Embedded, group);
        }
        submitting::singles(self, On::Embedded).await;
        submitting::batches(self, On::Embedded).await;
        settling::end_to_end(self, On::Embedded).await;
        lone::measure(self, On::Embedded).await;
    }

    /// Runs a statement that stores a group of claims.
    fn pgbench(&self, database: &Owned, statement: &str, group: u32) -> Figures {
        let before = meter::tree_cpu_us(self.servers.postgres_process);
        let wal = self.servers.postgres.wal_bytes();
        let (groups, seconds) = limit::pgbench(database, statement, self.plan.lasts);
        let claims = groups * f64::from(group);
        let cpu = meter::tree_cpu_us(self.servers.postgres_process).saturating_sub(before) as f64;
        let figures = [
            ("rate", claims / seconds),
            ("cpu_us/postgres", cpu / claims),
            ("wal_bytes", (self.servers.postgres.wal_bytes() - wal) / claims),
            ("statements", 1.0 / f64::from(group)),
            ("group_claims", f64::from(group)),
        ];
        figures.map(|(name, value)| (name.to_owned(), value)).into()
    }
}
