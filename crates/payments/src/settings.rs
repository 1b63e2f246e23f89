//! Settings of payments. Defaults here, then a TOML file, then `PAYMENTS__SECTION__FIELD`.

use crate::domain::concurrency::Limits;
use dual_db::{Database, DatabaseSettings};
use event_bus::KafkaSettings;
use secrets::Secret;
use serde::{Deserialize, Serialize};
use service_runtime::client_address::ProxySettings;
use service_runtime::command_line::ProcessSettings;
use service_runtime::database_gate::DatabaseGate;
use service_runtime::health::HealthSettings;
use service_runtime::http_server::HttpSettings;
use service_runtime::shutdown::ShutdownSettings;
use service_runtime::telemetry::LogSettings;
use std::time::Duration;
use validator::{Validate, ValidationError};

/// What environment variables begin with.
pub const PREFIX: &str = "PAYMENTS";

/// Everything that can be set.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "lease_outlasts_call"))]
#[validate(schema(function = "floor_to_ceiling"))]
pub struct Settings {
    /// The HTTP server.
    #[validate(nested)]
    pub http: HttpSettings,
    /// The proxies in front of it, which report whom a request is from.
    #[validate(nested)]
    pub proxies: ProxySettings,
    /// The database.
    #[validate(nested)]
    pub database: DatabaseSettings,
    /// Kafka.
    #[validate(nested)]
    pub kafka: KafkaSettings,
    /// Checking what it depends on.
    #[validate(nested)]
    pub health: HealthSettings,
    /// Logging.
    #[validate(nested)]
    pub log: LogSettings,
    /// Stopping.
    #[validate(nested)]
    pub shutdown: ShutdownSettings,
    /// Reading payments and the ledger.
    #[validate(nested)]
    pub query: QuerySettings,
    /// The payment gateway.
    #[validate(nested)]
    pub gateway: GatewaySettings,
    /// Working on sagas.
    #[validate(nested)]
    pub saga: SagaSettings,
    /// Plans whose budget can run out; all others have none.
    #[validate(nested)]
    pub budgets: Vec<BudgetSettings>,
}

/// Reading payments and the ledger.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct QuerySettings {
    /// Reads waiting for or using a connection; more are answered with 503.
    #[validate(range(min = 1, max = 100_000, message = "must be 1 to 100000"))]
    pub max_waiting_reads: usize,
    /// How long a request waits for the database before it is answered with 503, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub timeout_ms: u64,
    /// How long a request for a report over many rows waits, in milliseconds: the audit.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub report_timeout_ms: u64,
}

/// The payment gateway.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct GatewaySettings {
    /// The dialect that it speaks: `keyed_json`.
    pub adapter: GatewayAdapter,
    /// Where it is. There is no default: a payment must not go to a gateway that the operator did not name.
    #[validate(custom(function = "http_url"))]
    pub url: String,
    /// What the gateway knows us by, sent as `Authorization: Bearer`; without one nothing is sent.
    pub api_key: Secret,
    /// How long connecting may take, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub connect_timeout_ms: u64,
    /// How long the gateway may be silent in a call, before its answer and in the middle of it, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub read_timeout_ms: u64,
    /// How long a call may take in all, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub request_timeout_ms: u64,
    /// How long the gateway remembers an idempotency key, in milliseconds. What may have been paid longer ago is looked up,
    /// and not sent again.
    #[validate(range(min = 1, max = 31_622_400_000_u64, message = "must be 1 to 31622400000"))]
    pub key_lifetime_ms: u64,
    /// How many answers in a row may be indefinite before a payment is looked up by its reference, and what is found adopted,
    /// each time before its request is sent again.
    #[validate(range(min = 1, max = 1_000_000, message = "must be 1 to 1000000"))]
    pub look_up_after_attempts: u32,
    /// The longest answer that is read, in bytes.
    #[validate(range(min = 1_024, max = 16_777_216, message = "must be 1024 to 16777216"))]
    pub max_answer_bytes: usize,
    /// The longest pause that the gateway may demand by `Retry-After`, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub max_retry_after_ms: u64,
    /// The secret under which the gateway signs its webhooks; without one, none are taken.
    pub webhook_secret: Secret,
    /// The secret before that one: as long as it is set, webhooks that are signed under it are taken, too.
    pub webhook_secret_previous: Secret,
    /// How far the time of a webhook's signature may be from now, in seconds.
    #[validate(range(min = 1, max = 86_400, message = "must be 1 to 86400"))]
    pub webhook_tolerance_s: u32,
    /// The longest webhook that is read, in bytes; a longer one is answered with 413.
    #[validate(range(min = 1_024, max = 16_777_216, message = "must be 1024 to 16777216"))]
    pub max_webhook_bytes: usize,
    /// The most calls under way at once, whatever the gateway can take; the ceiling of [`ConcurrencySettings`].
    #[validate(range(min = 1, max = 10_000, message = "must be 1 to 10000"))]
    pub max_concurrent_calls: usize,
    /// How many calls are under way at once below that.
    #[validate(nested)]
    pub concurrency: ConcurrencySettings,
}

/// The dialects that there are adapters for, by the names that settings have for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayAdapter {
    /// JSON over HTTP under idempotency keys, and signed webhooks: what the simulated gateway speaks.
    KeyedJson,
}

/// How many gateway calls are under way at once. The number follows what the gateway takes and how many calls wait,
/// between `floor` and `gateway.max_concurrent_calls`; where these are equal it is fixed, but for the pauses of
/// `longest_rest_ms`.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ConcurrencySettings {
    /// The least, however slow the gateway is; 1.
    #[validate(range(min = 1, max = 100_000, message = "must be 1 to 100000"))]
    pub floor: usize,
    /// The number at the start, and the one it goes back to when it is not used; 8.
    #[validate(range(min = 1, max = 100_000, message = "must be 1 to 100000"))]
    pub start: usize,
    /// For how long less than half of the number is used before it is halved, in milliseconds; 10000.
    #[validate(range(min = 100, max = 86_400_000, message = "must be 100 to 86400000"))]
    pub idle_ms: u64,
    /// The longest pause between calls to a gateway that answers none, in milliseconds; 1000. The pauses begin when the number
    /// is at its floor, double with each call that is lost, and end with the first that is answered. 0: none.
    #[validate(range(max = 60_000, message = "must be 0 to 60000"))]
    pub longest_rest_ms: u64,
}

impl GatewaySettings {
    /// Between what the number of calls at once moves.
    pub fn concurrency_limits(&self) -> Limits {
        let ConcurrencySettings { floor, start, idle_ms, longest_rest_ms } = self.concurrency;
        let [idle_us, longest_pause_us] =
            [idle_ms, longest_rest_ms].map(|ms| dual_db::micros(Duration::from_millis(ms)));
        Limits { floor, start, ceiling: self.max_concurrent_calls, idle_us, longest_pause_us }
    }
}

/// Working on sagas.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct SagaSettings {
    /// Calls made or waiting to be made by this instance; at the bound it takes no new claims. It checks before each batch of
    /// messages, so that one batch may go beyond it.
    #[validate(range(min = 1, max = 1_000_000, message = "must be 1 to 1000000"))]
    pub max_in_flight: usize,
    /// How old a claim may be, from its acceptance, to be begun to be paid, in milliseconds: an older one is unwound. It never
    /// counts for a payment that may have been requested of the gateway.
    #[validate(range(min = 1_000, max = 31_622_400_000_u64, message = "must be 1000 to 31622400000"))]
    pub deadline_ms: u64,
    /// How long a worker has a saga for itself, in milliseconds; longer than a call may take.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub lease_ms: u64,
    /// How often sagas are looked for whose worker stopped or whose pause is over, in milliseconds.
    #[validate(range(min = 10, max = 86_400_000, message = "must be 10 to 86400000"))]
    pub resume_interval_ms: u64,
    /// The first pause after an answer that was not definite, in milliseconds; it doubles from there.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub retry_pause_ms: u64,
    /// The longest such pause, in milliseconds. Up to a quarter is added to each, so that sagas that failed together do not
    /// come back together.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub max_retry_pause_ms: u64,
    /// How many answers may be indefinite before the saga is reported as stuck. It is still tried, at the longest pause:
    /// the money rule forbids giving up.
    #[validate(range(min = 1, max = 1_000_000, message = "must be 1 to 1000000"))]
    pub stuck_after_attempts: u32,
    /// Answers written in one transaction.
    #[validate(range(min = 1, max = 10_000, message = "must be 1 to 10000"))]
    pub max_answer_batch: usize,
    /// How long a stopping instance waits for calls in hand, in milliseconds; others take up what is left.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub drain_timeout_ms: u64,
}

/// A plan, or plans with a common beginning, whose budget can run out.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct BudgetSettings {
    /// What the plan's name begins with.
    #[validate(length(min = 1, message = "name a plan or the beginning of its name"))]
    pub plan_prefix: String,
    /// What each such plan can pay in all, in cents.
    #[validate(range(min = 0, message = "must not be below zero"))]
    pub limit_cents: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            http: HttpSettings::on_port(8001),
            proxies: ProxySettings::default(),
            database: DatabaseSettings::at("sqlite://.local/payments.db"),
            kafka: KafkaSettings::for_group("payments"),
            health: HealthSettings::default(),
            log: LogSettings::default(),
            shutdown: ShutdownSettings::default(),
            query: QuerySettings { max_waiting_reads: 64, timeout_ms: 4_500, report_timeout_ms: 60_000 },
            gateway: GatewaySettings {
                adapter: GatewayAdapter::KeyedJson,
                url: String::new(),
                api_key: Secret::default(),
                connect_timeout_ms: 1_000,
                read_timeout_ms: 5_000,
                request_timeout_ms: 5_000,
                key_lifetime_ms: 24 * 3_600 * 1_000,
                look_up_after_attempts: 3,
                max_answer_bytes: 64 * 1024,
                max_retry_after_ms: 300_000,
                webhook_secret: Secret::default(),
                webhook_secret_previous: Secret::default(),
                webhook_tolerance_s: 300,
                max_webhook_bytes: 64 * 1024,
                max_concurrent_calls: 256,
                concurrency: ConcurrencySettings { floor: 1, start: 8, idle_ms: 10_000, longest_rest_ms: 1_000 },
            },
            saga: SagaSettings {
                max_in_flight: 1_000,
                deadline_ms: 30 * 24 * 3_600 * 1_000,
                lease_ms: 15_000,
                resume_interval_ms: 200,
                retry_pause_ms: 100,
                max_retry_pause_ms: 30_000,
                stuck_after_attempts: 20,
                max_answer_batch: 256,
                drain_timeout_ms: 5_000,
            },
            // So that anyone can see a refused reservation: a plan named BROKE-… has nothing to spend.
            budgets: vec![BudgetSettings { plan_prefix: "BROKE-".to_owned(), limit_cents: 0 }],
        }
    }
}

impl QuerySettings {
    /// Access to `database` for requests.
    pub fn gate(&self, database: Database) -> DatabaseGate {
        let [timeout, report_timeout] = [self.timeout_ms, self.report_timeout_ms].map(Duration::from_millis);
        DatabaseGate::new(database, self.max_waiting_reads, timeout, report_timeout)
    }
}

impl Settings {
    /// The budget of a plan, where it has one: that of the longest prefix that fits.
    pub fn budget_limit_cents(&self, plan_group: &str) -> Option<i64> {
        self.budgets
            .iter()
            .filter(|budget| plan_group.starts_with(&budget.plan_prefix))
            .max_by_key(|budget| budget.plan_prefix.len())
            .map(|budget| budget.limit_cents)
    }
}

impl ProcessSettings for Settings {
    const RENAMED: &[(&str, &str)] = &[("kafka.health_interval_ms", "health.interval_ms")];

    fn log(&self) -> &LogSettings {
        &self.log
    }

    fn http(&self) -> &HttpSettings {
        &self.http
    }
}

fn http_url(url: &str) -> Result<(), ValidationError> {
    if url.starts_with("http://") || url.starts_with("https://") {
        return Ok(());
    }
    let message =
        "name the payment gateway, for example PAYMENTS__GATEWAY__URL=http://127.0.0.1:8090 for the simulated one";
    Err(ValidationError::new("gateway_url").with_message(message.into()))
}

fn lease_outlasts_call(settings: &Settings) -> Result<(), ValidationError> {
    if settings.saga.lease_ms > settings.gateway.request_timeout_ms {
        return Ok(());
    }
    let message =
        "saga.lease_ms must be longer than gateway.request_timeout_ms, or two workers would have a saga at once";
    Err(ValidationError::new("lease").with_message(message.into()))
}

fn floor_to_ceiling(settings: &Settings) -> Result<(), ValidationError> {
    let Limits { floor, start, ceiling, .. } = settings.gateway.concurrency_limits();
    if floor <= start && start <= ceiling {
        return Ok(());
    }
    let message = "gateway.concurrency.floor, gateway.concurrency.start and gateway.max_concurrent_calls must not fall: the \
                   number of gateway calls at once starts between its floor and its ceiling";
    Err(ValidationError::new("concurrency").with_message(message.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use service_runtime::settings::load;
    use test_support::assert_renamed;

    #[test]
    fn each_older_name_stops_the_start_and_names_an_existing_setting() {
        let load = |set| load::<Settings>(PREFIX, Settings::RENAMED, None, set).unwrap();
        assert_renamed(PREFIX, Settings::RENAMED, &load(Vec::new()).describe(), |variable| {
            load(vec![(variable, "1000".to_owned())]).problems
        });
    }

    #[test]
    fn secrets_are_read_and_never_shown() {
        let mut set = vec![("DATABASE__URL", "postgres://payments:hunter2@db/payments?password=hunter2")];
        set.extend(
            [
                "KAFKA__SECURITY__SASL_PASSWORD",
                "KAFKA__SECURITY__KEY_PASSWORD",
                "GATEWAY__API_KEY",
                "GATEWAY__WEBHOOK_SECRET",
                "GATEWAY__WEBHOOK_SECRET_PREVIOUS",
            ]
            .map(|secret| (secret, "hunter2")),
        );
        let environment = set.iter().map(|(name, value)| (format!("{PREFIX}__{name}"), (*value).to_owned()));
        let loaded = load::<Settings>(PREFIX, Settings::RENAMED, None, environment).expect("settings");
        let Settings { database, kafka, gateway, .. } = &loaded.settings;
        for read in [
            database.url.expose(),
            kafka.security.sasl_password.expose(),
            kafka.security.key_password.expose(),
            gateway.api_key.expose(),
            gateway.webhook_secret.expose(),
            gateway.webhook_secret_previous.expose(),
        ] {
            assert!(read.contains("hunter2"));
        }
        for shown in [loaded.describe(), format!("{loaded:?}")] {
            assert_eq!(shown.matches("********").count(), set.len() + 1, "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
