//! Tests of the database through its public interface, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "clippy does not see that what on_both_databases! writes are tests")]

mod damage;
mod outage;
mod pooler;
mod silence;
mod text_columns;
mod transactions;
mod unusable;

use dual_db::DatabaseSettings;
use test_support::ChaosProxy;

/// A proxy in front of the server of a PostgreSQL database, and the settings to reach the database through it.
fn behind_proxy(settings: &DatabaseSettings) -> (ChaosProxy, DatabaseSettings) {
    let (user, host) = settings.url.expose().rsplit_once('@').expect("a user");
    let (server, name) = host.split_once('/').expect("a name");
    let proxy = ChaosProxy::open(server);
    let url = format!("{user}@{}/{name}", proxy.address()).into();
    (proxy, DatabaseSettings { url, ..settings.clone() })
}
