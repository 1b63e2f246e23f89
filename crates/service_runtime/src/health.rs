//! Alive and ready: `/healthz` says that the process answers, `/readyz` whether each dependency, by name, does.

use actix_web::{HttpResponse, web};
use dual_db::Database;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use utoipa::ToSchema;
use validator::Validate;
use worker_threads::{Pace, Periodic};

/// How often a dependency that is still not ready is logged again.
const LOG_AGAIN_EVERY: Duration = Duration::from_secs(30);
/// What is said of a dependency that was not checked yet.
const NOT_REACHED_YET: &str = "not reached yet";

/// How the dependencies of a process are checked.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct HealthSettings {
    /// How often readiness checks each dependency, in milliseconds, and how long it waits for Kafka's answer.
    #[validate(range(min = 100, max = 86_400_000, message = "must be 100 to 86400000"))]
    pub interval_ms: u64,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self { interval_ms: 2_000 }
    }
}

impl HealthSettings {
    /// How often each dependency is checked.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }
}

/// What is known of each dependency. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health {
    dependencies: Arc<Mutex<BTreeMap<&'static str, Dependency>>>,
}

#[derive(Debug)]
struct Dependency {
    state: Result<(), String>,
    /// When its state was logged.
    logged_at: Instant,
}

impl Health {
    /// Checks a dependency at every interval, on a thread of its own, and logs when its state changes and, now and then, while
    /// it is not ready. Until the first check is over it is not ready.
    pub fn watch(
        &self,
        name: &'static str,
        interval: Duration,
        mut check: impl FnMut() -> Result<(), String> + Send + 'static,
    ) -> Periodic {
        self.set(name, Err(NOT_REACHED_YET.to_owned()));
        let health = self.clone();
        Periodic::spawn(&format!("health {name}"), interval, move || {
            health.set(name, check());
            Pace::Pause
        })
    }

    /// Checks at every interval, by a write, whether a database does its work.
    pub fn watch_database(&self, database: &Database, interval: Duration) -> Periodic {
        let database = database.clone();
        let mut worked = true;
        self.watch("database", interval, move || {
            let probed = database.probe_write();
            if let (Err(error), true) = (&probed, worked) {
                tracing::warn!(error = error as &dyn std::error::Error, "the database cannot be written");
            }
            worked = probed.is_ok();
            probed.map_err(|error| match (database.known_damage(), error) {
                (Some(damage), _) => damage,
                (None, dual_db::Error::Unavailable(_)) => "the database does not answer".to_owned(),
                (None, _) => "the database cannot be written; the log says why".to_owned(),
            })
        })
    }

    /// Notes the state of a dependency.
    pub fn set(&self, name: &'static str, state: Result<(), String>) {
        let now = Instant::now();
        let mut dependencies = self.dependencies.lock().unwrap_or_else(PoisonError::into_inner);
        let before = dependencies.get(name);
        let news = match (before.map(|before| &before.state), &state) {
            (Some(Err(_)), Ok(())) => true,
            (Some(before), Err(_)) if before != &state => true,
            (Some(_), Err(_)) => before.is_some_and(|before| now.duration_since(before.logged_at) >= LOG_AGAIN_EVERY),
            (Some(Ok(())), Ok(())) | (None, _) => false,
        };
        let logged_at = before.filter(|_| !news).map_or(now, |before| before.logged_at);
        dependencies.insert(name, Dependency { state: state.clone(), logged_at });
        drop(dependencies);
        match state {
            _ if !news => {}
            Ok(()) => tracing::info!(dependency = name, "ready"),
            Err(reason) => tracing::warn!(dependency = name, reason, "not ready"),
        }
    }

    fn snapshot(&self) -> BTreeMap<&'static str, Result<(), String>> {
        let dependencies = self.dependencies.lock().unwrap_or_else(PoisonError::into_inner);
        dependencies.iter().map(|(name, dependency)| (*name, dependency.state.clone())).collect()
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Alive {
    #[schema(examples("alive"))]
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    ready: bool,
    /// `ready`, or what is wrong, by the name of the dependency.
    dependencies: BTreeMap<&'static str, String>,
}

/// Adds `/healthz` and `/readyz`.
pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/healthz", web::get().to(healthz)).route("/readyz", web::get().to(readyz));
}

/// Alive.
///
/// The process answers. Only this is worth a restart.
#[utoipa::path(get, path = "/healthz", tag = "service",
    responses((status = 200, description = "It is alive.", body = Alive)))]
pub(crate) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(Alive { status: "alive" })
}

/// Ready.
///
/// Whether everything it depends on is there too, each by name.
#[utoipa::path(get, path = "/readyz", tag = "service", responses(
    (status = 200, description = "Everything is there.", body = Readiness),
    (status = 503, description = "Something is missing.", body = Readiness)))]
pub(crate) async fn readyz(health: web::Data<Health>) -> HttpResponse {
    let dependencies: BTreeMap<_, _> = health
        .snapshot()
        .into_iter()
        .map(|(name, state)| (name, state.err().unwrap_or_else(|| "ready".to_owned())))
        .collect();
    let ready = dependencies.values().all(|state| state == "ready");
    let mut answer = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    answer.json(Readiness { ready, dependencies })
}
