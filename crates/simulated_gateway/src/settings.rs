//! The gateway's settings. In the environment: `SIMULATED_GATEWAY__SECTION__FIELD`.

use dual_db::DatabaseSettings;
use serde::{Deserialize, Serialize};
use service_runtime::command_line::ProcessSettings;
use service_runtime::http_server::HttpSettings;
use service_runtime::telemetry::LogSettings;
use validator::Validate;

/// What every variable of this program begins with.
pub const PREFIX: &str = "SIMULATED_GATEWAY";

/// All settings.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where it listens; port 8090.
    #[validate(nested)]
    pub http: HttpSettings,
    /// Where the book is; `sqlite://.local/gateway.db`.
    #[validate(nested)]
    pub database: DatabaseSettings,
    /// What is logged.
    #[validate(nested)]
    pub log: LogSettings,
    /// How it behaves towards payers.
    #[validate(nested)]
    pub behaviour: BehaviourSettings,
}

/// How the gateway behaves, beside the rules by cents.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct BehaviourSettings {
    /// How long every payment, refund and look-up takes before anything is done, in milliseconds; 0.
    #[validate(range(max = 600_000, message = "must be at most 600000"))]
    pub latency_ms: u64,
    /// Requests worked on at the same time; one more is answered 503 with `Retry-After`. 128.
    #[validate(range(min = 1, max = 1_000, message = "must be 1 to 1000"))]
    pub capacity: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            http: HttpSettings::on_port(8090),
            database: DatabaseSettings::at("sqlite://.local/gateway.db"),
            log: LogSettings::default(),
            behaviour: BehaviourSettings { latency_ms: 0, capacity: 128 },
        }
    }
}

impl ProcessSettings for Settings {
    fn log(&self) -> &LogSettings {
        &self.log
    }

    fn http(&self) -> &HttpSettings {
        &self.http
    }
}
