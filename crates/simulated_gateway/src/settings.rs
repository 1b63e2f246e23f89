//! The gateway's settings. In the environment: `SIMULATED_GATEWAY__SECTION__FIELD`.

pub use crate::domain::faults::Faults;
use crate::domain::rules::Rules;
use crate::domain::throughput::{Schedule, Throughput};
use dual_db::DatabaseSettings;
use secrets::Secret;
use serde::{Deserialize, Serialize};
use service_runtime::command_line::ProcessSettings;
use service_runtime::http_server::HttpSettings;
use service_runtime::telemetry::LogSettings;
use std::time::Duration;
use validator::{Validate, ValidationError};

/// The prefix of this program's environment variables.
pub const PREFIX: &str = "SIMULATED_GATEWAY";

/// All settings.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The listening address; port 8090.
    #[validate(nested)]
    pub http: HttpSettings,
    /// The database of the book; `sqlite://.local/gateway.db`.
    #[validate(nested)]
    pub database: DatabaseSettings,
    /// Logging.
    #[validate(nested)]
    pub log: LogSettings,
    /// Latency, capacity and failing refunds.
    #[validate(nested)]
    pub behaviour: BehaviourSettings,
    /// Random faults.
    #[validate(nested)]
    pub faults: Faults,
    /// Calls a second.
    #[validate(nested)]
    pub throughput: ThroughputSettings,
    /// Webhooks about returned payments and failed refunds.
    #[validate(nested)]
    pub webhook: WebhookSettings,
}

/// The gateway's behaviour apart from the rules by cents.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct BehaviourSettings {
    /// The latency of every payment, refund and look-up before it is processed, in milliseconds; 0.
    #[validate(range(max = 600_000, message = "must be at most 600000"))]
    pub latency_ms: u64,
    /// The largest random addition to that latency, in milliseconds, drawn with `faults.seed`; 0.
    #[validate(range(max = 600_000, message = "must be at most 600000"))]
    pub latency_spread_ms: u64,
    /// Under load, how long after the beginning of one commit the next begins, in milliseconds: the calls between share it. A call
    /// after a rest is committed at once; 10.
    #[validate(range(max = 10_000, message = "must be at most 10000"))]
    pub commit_interval_ms: u64,
    /// How often the refund of an amount that ends in `.59` fails before it succeeds; 1. With a million it keeps failing, until
    /// a start with a smaller number.
    pub refund_failures: u32,
    /// How long a payment of an amount that ends in `.61` or `.67` is pending, in milliseconds; 1000.
    #[validate(range(max = 86_400_000, message = "must be at most 86400000"))]
    pub pending_ms: u64,
    /// What a payer must send as `Authorization: Bearer`; any other payment, refund or look-up gets a 401. Empty: nothing.
    pub api_key: Secret,
    /// The most requests in progress; one more gets a 503 with `Retry-After`. 128.
    #[validate(range(min = 1, max = 1_000, message = "must be 1 to 1000"))]
    pub capacity: usize,
}

impl Settings {
    /// The rules for payments and refunds.
    pub(crate) fn rules(&self) -> Rules {
        Rules {
            faults: self.faults,
            refund_failures: self.behaviour.refund_failures,
            returned_after_us: self.webhook.returned_after_us(),
            pending_us: dual_db::micros(Duration::from_millis(self.behaviour.pending_ms)),
        }
    }
}

/// How many payments, refunds and look-ups a second the gateway processes, and how it refuses further ones.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ThroughputSettings {
    /// Calls a second over time, as in `200@0s,20@30s,200@60s`: 200 from the start, 20 after 30 seconds, 200 again after 60.
    /// Empty: no limit, and the other settings of this section have no effect.
    #[validate(custom(function = "readable_schedule"))]
    pub schedule: String,
    /// The average duration of a call, in milliseconds; 50.
    #[validate(range(max = 600_000, message = "must be at most 600000"))]
    pub call_ms: u64,
    /// The largest random deviation from that duration, in percent; 20.
    #[validate(range(max = 100, message = "must be at most 100"))]
    pub spread_percent: u8,
    /// The seed of that deviation; 1.
    pub seed: u64,
    /// The most waiting calls, which count towards `behaviour.capacity`; one more is refused. 100.
    pub max_queued: u32,
    /// The status of the refusal, with `Retry-After`: 503 or 429; 503.
    #[validate(custom(function = "refusal"))]
    pub refuse_with: u16,
}

/// Webhooks about returned payments and failed refunds.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "secret_with_url"))]
pub struct WebhookSettings {
    /// The receiver's URL. Empty: no webhook is sent, and no payment is returned.
    pub url: String,
    /// The secret that signs the webhooks, and that the receiver shares.
    pub secret: Secret,
    /// A second secret, while the first one is rotated: each webhook is signed under both. Empty: none.
    pub second_secret: Secret,
    /// Whether the two signatures are sent in two headers; false.
    pub signatures_apart: bool,
    /// Whether each webhook is sent again after it was delivered; false.
    pub deliver_twice: bool,
    /// Whether each webhook comes after one of a type that no receiver knows; false.
    pub unknown_events: bool,
    /// Whether webhooks write the currency as `usd`; false.
    pub currency_in_lower_case: bool,
    /// How long after a payment with an amount that ends in `.53` or `.97` it is returned, how long after its first part the second
    /// part of a return is reported, and how long after its approval a refund of `.89` fails, in milliseconds; 2000.
    #[validate(range(max = 86_400_000, message = "must be at most 86400000"))]
    pub return_after_ms: u64,
    /// How often the gateway looks for due returns, in milliseconds; 200.
    #[validate(range(min = 10, max = 86_400_000, message = "must be 10 to 86400000"))]
    pub interval_ms: u64,
    /// The time-out of a webhook request, in milliseconds; 5000.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub timeout_ms: u64,
    /// The pause before the first retry of a webhook, in milliseconds; it doubles with each retry; 500.
    #[validate(range(min = 1, max = 3_600_000, message = "must be 1 to 3600000"))]
    pub retry_pause_ms: u64,
    /// The longest pause before a retry, in milliseconds; 10000.
    #[validate(range(min = 1, max = 3_600_000, message = "must be 1 to 3600000"))]
    pub max_retry_pause_ms: u64,
}

impl WebhookSettings {
    /// How long after its payment an amount with the fate `ReturnedLater` is returned, in microseconds; `None` without a URL.
    pub fn returned_after_us(&self) -> Option<i64> {
        (!self.url.is_empty()).then(|| dual_db::micros(Duration::from_millis(self.return_after_ms)))
    }
}

fn secret_with_url(settings: &WebhookSettings) -> Result<(), ValidationError> {
    if settings.url.is_empty() || !settings.secret.is_empty() {
        return Ok(());
    }
    let message = "webhook.url is set and webhook.secret is not: set the secret that the receiver shares";
    Err(ValidationError::new("secret").with_message(message.into()))
}

impl ThroughputSettings {
    /// The throughput of these settings; `None` without a limit.
    pub(crate) fn throughput(&self) -> Option<Throughput> {
        let schedule = Schedule::parse(&self.schedule)?;
        let spread = f64::from(self.spread_percent) / 100.0;
        let call_us = self.call_ms.saturating_mul(1_000);
        Some(Throughput::new(schedule, call_us, spread, self.max_queued, self.seed))
    }
}

fn readable_schedule(schedule: &str) -> Result<(), ValidationError> {
    if schedule.is_empty() || Schedule::parse(schedule).is_some() {
        return Ok(());
    }
    let message = "must be pairs of calls a second (1 to 100000) and a start time, as in 200@0s,20@30s,200@60s: the first at \
                   0s, and rising times";
    Err(ValidationError::new("schedule").with_message(message.into()))
}

fn refusal(status: u16) -> Result<(), ValidationError> {
    if matches!(status, 429 | 503) {
        return Ok(());
    }
    Err(ValidationError::new("refuse_with").with_message("must be 429 or 503".into()))
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            http: HttpSettings::on_port(8090),
            database: DatabaseSettings::at("sqlite://.local/gateway.db"),
            log: LogSettings::default(),
            behaviour: BehaviourSettings {
                latency_ms: 0,
                latency_spread_ms: 0,
                commit_interval_ms: 10,
                refund_failures: 1,
                pending_ms: 1_000,
                api_key: Secret::default(),
                capacity: 128,
            },
            faults: Faults { seed: 1, ..Faults::default() },
            throughput: ThroughputSettings {
                schedule: String::new(),
                call_ms: 50,
                spread_percent: 20,
                seed: 1,
                max_queued: 100,
                refuse_with: 503,
            },
            webhook: WebhookSettings {
                url: String::new(),
                secret: Secret::default(),
                second_secret: Secret::default(),
                signatures_apart: false,
                deliver_twice: false,
                unknown_events: false,
                currency_in_lower_case: false,
                return_after_ms: 2_000,
                interval_ms: 200,
                timeout_ms: 5_000,
                retry_pause_ms: 500,
                max_retry_pause_ms: 10_000,
            },
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

#[cfg(test)]
mod tests {
    use super::*;
    use service_runtime::settings::load;

    #[test]
    fn secrets_are_read_and_never_shown() {
        let mut set = vec![("DATABASE__URL", "postgres://gateway:hunter2@db/gateway?password=hunter2")];
        set.extend(
            ["WEBHOOK__SECRET", "WEBHOOK__SECOND_SECRET", "BEHAVIOUR__API_KEY"].map(|secret| (secret, "hunter2")),
        );
        let environment = set.iter().map(|(name, value)| (format!("{PREFIX}__{name}"), (*value).to_owned()));
        let loaded = load::<Settings>(PREFIX, Settings::RENAMED, None, environment).expect("settings");
        let Settings { database, webhook, behaviour, .. } = &loaded.settings;
        let secrets = [&webhook.secret, &webhook.second_secret, &behaviour.api_key].map(Secret::expose);
        for read in [database.url.expose()].into_iter().chain(secrets) {
            assert!(read.contains("hunter2"));
        }
        for shown in [loaded.describe(), format!("{loaded:?}")] {
            assert_eq!(shown.matches("********").count(), set.len() + 1, "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
