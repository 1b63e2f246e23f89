//! Prometheus metrics: one recorder for the process, read at `/metrics`.

use actix_web::{HttpResponse, web};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::time::Duration;
use worker_threads::{Pace, Periodic};

static RECORDER: OnceLock<(PrometheusHandle, Periodic)> = OnceLock::new();

/// How often samples are folded into their summaries: if no client reads the metrics, they would pile up.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Installs the recorder, once; later calls (several services in one test process) share it.
pub fn install() {
    RECORDER.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .install_recorder()
            .expect("no other metrics recorder is installed in this process");
        describe_histogram!("http_request_seconds", Unit::Seconds, "The duration of HTTP requests.");
        describe_counter!(
            "log_lines_dropped_total",
            Unit::Count,
            "Lines that were not logged, because standard output was read too slowly."
        );
        describe_gauge!("ready", "1 while the dependency or worker `of` is ready, otherwise 0.");
        describe_gauge!(
            "ready_last_success_age_seconds",
            Unit::Seconds,
            "The time since the last success of the dependency or worker `of`; one without work grows."
        );
        let upkept = recorder.clone();
        let upkeep = Periodic::spawn("metrics upkeep", UPKEEP_EVERY, move || {
            upkept.run_upkeep();
            Pace::Pause
        });
        (recorder, upkeep)
    });
}

/// Adds `/metrics`.
pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/metrics", web::get().to(render));
}

/// Metrics for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "service",
    responses((status = 200, description = "Prometheus text, version 0.0.4.", body = String, content_type = "text/plain")))]
pub(crate) async fn render() -> HttpResponse {
    install();
    let text = RECORDER.get().map(|(recorder, _)| recorder.render()).unwrap_or_default();
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(text)
}
