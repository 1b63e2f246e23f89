//! Builds the gateway from its settings and runs it until it is stopped.

use crate::db::MIGRATIONS;
use crate::http;
use crate::http::faulty::LookUpCounts;
use crate::http::gate::Gate;
use crate::http::input::PayerKey;
use crate::settings::Settings;
use crate::webhooks;
use actix_web::dev::Server;
use actix_web::web;
use dual_db::{Database, DatabaseSettings};
use service_runtime::health::Health;
use service_runtime::{http_server, metrics};
use std::future::Future;
use std::time::Duration;
use tokio::task::JoinHandle;
use worker_threads::Periodic;

/// How often readiness checks the database.
const HEALTH_INTERVAL: Duration = Duration::from_secs(2);

/// A gateway that is bound to its port.
#[allow(missing_debug_implementations)]
pub struct Application {
    port: u16,
    server: Server,
    health: Health,
    periodic: Vec<Periodic>,
    webhooks: Option<JoinHandle<()>>,
}

impl Application {
    /// Opens the book, applies missing migrations and binds the port. Call it inside an async runtime.
    ///
    /// # Errors
    /// What hinders it, for the operator.
    pub fn build(settings: Settings) -> anyhow::Result<Self> {
        metrics::install();
        crate::metrics::describe();
        let bound = http_server::bind(&settings.http)?;
        let database = open_book(&settings.database)?;
        let health = Health::default();
        let mut periodic = vec![health.watch_database(&database, HEALTH_INTERVAL)];
        periodic.extend(dual_db::keep_statistics(&database));
        let webhooks = webhooks::start(database.clone(), &settings.webhook)?;
        let rules = settings.rules();
        let look_up_counts = web::Data::new(LookUpCounts::new());
        let payer_key = web::Data::new(PayerKey(settings.behaviour.api_key.clone()));
        let gate = web::Data::new(Gate::new(database, &settings.behaviour, &settings.throughput, rules));
        let rules = web::Data::new(rules);
        let http_settings = web::Data::new(settings.http.clone());
        let port = bound.port();
        let server = bound.serve(&health, move |config| {
            config
                .app_data(gate.clone())
                .app_data(http_settings.clone())
                .app_data(rules.clone())
                .app_data(look_up_counts.clone())
                .app_data(payer_key.clone())
                .configure(http::routes);
        })?;
        Ok(Self { port, server, health, periodic, webhooks })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves until `stop` completes, and finishes the requests in progress.
    ///
    /// # Errors
    /// When the server broke.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { server, health, periodic, webhooks, .. } = self;
        http_server::run_until(server, &health, stop, move || {
            drop(periodic);
            if let Some(webhooks) = webhooks {
                webhooks.abort();
            }
            Ok(())
        })
        .await
    }
}

/// Opens the database and applies missing migrations.
///
/// # Errors
/// What hinders it, for the operator.
pub fn open_book(settings: &DatabaseSettings) -> anyhow::Result<Database> {
    Ok(Database::open_migrated(settings, &[&MIGRATIONS])?)
}
