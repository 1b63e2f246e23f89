//! Prometheus metrics: one recorder for the process, read at `/metrics`.

use actix_web::{HttpResponse, web};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder, once; later calls (several services in one test process) share it.
pub fn install() {
    RECORDER.get_or_init(|| {
        PrometheusBuilder::new().install_recorder().expect("no other metrics recorder is installed in this process")
    });
}

/// Adds `/metrics`.
pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/metrics", web::get().to(render));
}

async fn render() -> HttpResponse {
    install();
    let text = RECORDER.get().map(|recorder| {
        recorder.run_upkeep();
        recorder.render()
    });
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(text.unwrap_or_default())
}
