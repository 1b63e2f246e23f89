//! Alive and ready: `/healthz` answers while the process runs, `/readyz` reports for each dependency and worker, by name, whether
//! its work is done. One that reports nothing within a bound is not ready.

use crate::problem::Problem;
use crate::query::Query;
use actix_web::{HttpResponse, web};
use dual_db::Database;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;
use worker_threads::{Pace, Periodic, Worker, WorkerState};

/// How often something that is still not ready is logged again.
const LOG_AGAIN_EVERY: Duration = Duration::from_secs(30);
/// How often the state is logged if it changed, and written to the metrics.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// What `/readyz` names besides the dependencies and workers: whether the process is about to end.
pub(crate) const THIS_INSTANCE: &str = "this instance";

/// How readiness is decided.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct HealthSettings {
    /// How often readiness checks each dependency, in milliseconds, and how long it waits for Kafka's answer.
    #[validate(range(min = 100, max = 86_400_000, message = "must be 100 to 86400000"))]
    pub interval_ms: u64,
    /// How long a check or a worker may wait for something before it is not ready, in milliseconds. For a worker that works at
    /// an interval, its interval is added.
    #[validate(range(min = 1_000, max = 600_000, message = "must be 1000 to 600000"))]
    pub no_news_ms: u64,
}

impl Default for HealthSettings {
    fn default() -> Self {
        // Together less than 10 s: by then, a dependency that fell silent is not ready.
        Self { interval_ms: 2_000, no_news_ms: 6_000 }
    }
}

impl HealthSettings {
    /// How often each dependency is checked.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }

    /// How long a check or a worker may wait for something.
    pub fn no_news(&self) -> Duration {
        Duration::from_millis(self.no_news_ms)
    }
}

/// The state of each dependency and worker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Health {
    watched: Arc<Mutex<BTreeMap<&'static str, Watched>>>,
    no_news: Duration,
}

#[derive(Debug)]
struct Watched {
    worker: Worker,
    bound: Duration,
    /// The state that was logged last, and when.
    logged: (WorkerState, Instant),
}

impl Default for Health {
    fn default() -> Self {
        Self::new(&HealthSettings::default())
    }
}

impl Health {
    /// Nothing is watched yet.
    pub fn new(settings: &HealthSettings) -> Self {
        Self { watched: Arc::default(), no_news: settings.no_news() }
    }

    /// Checks a dependency at every interval, on a thread of its own. It is not ready until the first check has succeeded, and
    /// while a check hangs.
    pub fn watch(
        &self,
        name: &'static str,
        interval: Duration,
        mut check: impl FnMut() -> Result<(), String> + Send + 'static,
    ) -> Periodic {
        let worker = Worker::starting();
        self.add(name, worker.clone(), self.no_news);
        Periodic::spawn(&format!("health {name}"), interval, move || {
            worker.working("the answer to a check");
            match check() {
                Ok(()) => worker.succeeded(),
                Err(reason) => worker.failed(reason),
            }
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

    /// Adds a worker, which reports by itself. `interval` is the longest pause that it makes between two reports.
    pub fn watch_worker(&self, name: &'static str, worker: Worker, interval: Duration) {
        self.add(name, worker, self.no_news + interval);
    }

    /// Sets the state of something that neither a check nor a worker reports.
    pub fn set(&self, name: &'static str, state: Result<(), String>) {
        let worker = Worker::idle();
        if let Err(reason) = state {
            worker.failed(reason);
        }
        self.add(name, worker, Duration::MAX);
    }

    fn add(&self, name: &'static str, worker: Worker, bound: Duration) {
        let logged = (worker.state(bound), Instant::now());
        self.watched().insert(name, Watched { worker, bound, logged });
    }

    fn watched(&self) -> MutexGuard<'_, BTreeMap<&'static str, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of those that `wanted` accepts, by name.
    fn states(&self, wanted: impl Fn(&str) -> bool) -> BTreeMap<&'static str, WorkerState> {
        let watched = self.watched();
        let states = watched.iter().filter(|(name, _)| wanted(name));
        states.map(|(name, one)| (*name, one.worker.state(one.bound))).collect()
    }

    /// Logs each state that has changed and, now and then, those that are not ready; and writes all to the metrics. A task does
    /// this while the server runs.
    fn report(&self) {
        let now = Instant::now();
        let mut all = self.watched();
        // What was stopped reports nothing any more, as it should.
        let is_stopping = all.contains_key(THIS_INSTANCE);
        for (name, watched) in all.iter_mut() {
            let state = watched.worker.state(watched.bound);
            let ready = state == WorkerState::Ready;
            metrics::gauge!("ready", "of" => *name).set(if ready { 1.0 } else { 0.0 });
            if let Some(since) = watched.worker.since_last_success() {
                metrics::gauge!("ready_last_success_age_seconds", "of" => *name).set(since.as_secs_f64());
            }
            let (before, logged_at) = &watched.logged;
            let again = !ready && now.duration_since(*logged_at) >= LOG_AGAIN_EVERY;
            if is_stopping || !again && !state.differs_from(before) {
                continue;
            }
            match &state {
                WorkerState::Ready => tracing::info!(dependency = name, "ready"),
                reason => tracing::warn!(dependency = name, reason = reason.to_string(), "not ready"),
            }
            watched.logged = (state, now);
        }
    }

    /// Starts the task that reports, which ends when this is no longer used. Called inside an async runtime.
    pub(crate) fn start_reporting(&self) {
        let (watched, no_news) = (Arc::downgrade(&self.watched), self.no_news);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(REPORT_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(watched) = watched.upgrade() else { return };
                Self { watched, no_news }.report();
            }
        });
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
    /// `ready`, or the reason why not, by the name of the dependency or worker.
    dependencies: BTreeMap<&'static str, String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReadyQuery {
    /// Names of dependencies or workers, separated by commas: only these are answered for, and count. By default all of them.
    #[param(example = "database")]
    of: Option<String>,
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
/// Whether each of its dependencies answers and each of its workers does its work, by name. One that has reported nothing for
/// too long is not ready. An instance that is stopping is not ready, whatever is requested.
#[utoipa::path(get, path = "/readyz", tag = "service", params(ReadyQuery), responses(
    (status = 200, description = "All of them are ready.", body = Readiness),
    (status = 400, description = "A name in `of` is unknown; the detail has the names that there are."),
    (status = 503, description = "At least one is not ready.", body = Readiness)))]
pub(crate) async fn readyz(health: web::Data<Health>, query: Query<ReadyQuery>) -> Result<HttpResponse, Problem> {
    let states = match &query.0.of {
        None => health.states(|_| true),
        Some(of) => {
            let wanted: BTreeSet<&str> = of.split(',').map(str::trim).collect();
            let all = health.states(|_| true);
            if wanted.iter().any(|name| !all.contains_key(name)) {
                let names: Vec<&str> = all.into_keys().collect();
                return Err(Problem::malformed(format!(
                    "a name in 'of' is not known here: there are {}",
                    names.join(", ")
                )));
            }
            health.states(|name| name == THIS_INSTANCE || wanted.contains(name))
        }
    };
    let ready = states.values().all(|state| *state == WorkerState::Ready);
    let dependencies = states.into_iter().map(|(name, state)| (name, state.to_string())).collect();
    let mut answer = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    Ok(answer.json(Readiness { ready, dependencies }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::{App, test};
    use serde_json::{Value, json};
    use std::sync::mpsc::channel;
    use test_support::wait_until;

    async fn readiness(health: &Health, query: &str) -> (u16, Value) {
        let app = App::new().app_data(web::Data::new(health.clone())).configure(routes);
        let app = test::init_service(app).await;
        let response = test::call_service(&app, test::TestRequest::get().uri(&format!("/readyz{query}")).to_request());
        let response = response.await;
        let status = response.status().as_u16();
        (status, test::read_body_json(response).await)
    }

    #[actix_web::test]
    async fn readiness_names_each_and_answers_for_those_that_are_requested() {
        let health = Health::default();
        let relay = Worker::idle();
        health.watch_worker("relay", relay.clone(), Duration::ZERO);
        health.set("database", Ok(()));
        relay.failed("Kafka refuses it");
        let all = json!({"database": "ready", "relay": "Kafka refuses it"});
        assert_eq!(readiness(&health, "").await, (503, json!({"ready": false, "dependencies": all})));
        let one = json!({"ready": true, "dependencies": {"database": "ready"}});
        assert_eq!(readiness(&health, "?of=database").await, (200, one));
        assert_eq!(readiness(&health, "?of=database,relay").await.0, 503);
        assert_eq!(readiness(&health, "?of=relay%2Cdatabase").await.1["dependencies"], all);
        for unknown in ["?of=", "?of=database,", "?of=secret"] {
            let (status, problem) = readiness(&health, unknown).await;
            let text = problem.to_string();
            assert!(status == 400 && text.contains("there are database, relay") && !text.contains("secret"), "{text}");
        }
        relay.succeeded();
        assert_eq!(readiness(&health, "").await.0, 200);
        health.set(THIS_INSTANCE, Err("stopping".to_owned()));
        let stopping = json!({"database": "ready", "this instance": "stopping"});
        assert_eq!(readiness(&health, "?of=database").await, (503, json!({"ready": false, "dependencies": stopping})));
    }

    #[actix_web::test]
    async fn a_check_that_hangs_is_not_ready_and_a_check_that_returns_heals_it() {
        let health = Health::new(&HealthSettings { interval_ms: 100, no_news_ms: 20 });
        let (answer, answers) = channel();
        let checks =
            health.watch("database", Duration::from_millis(1), move || answers.recv().map_err(|_| "gone".into()));
        let state = || health.states(|_| true)["database"].clone();
        let silent = || matches!(state(), WorkerState::NoNews { .. });
        wait_until("the first check hangs", silent);
        answer.send(()).unwrap();
        wait_until("the check has returned", || state() == WorkerState::Ready);
        wait_until("the next check hangs", silent);
        let (status, body) = readiness(&health, "").await;
        let reason = body["dependencies"]["database"].as_str().unwrap();
        assert!(status == 503 && reason.contains("it waits for the answer to a check"), "{body}");
        drop(answer);
        wait_until("the check fails", || state() == WorkerState::Failed("gone".to_owned()));
        checks.stop();
    }
}
