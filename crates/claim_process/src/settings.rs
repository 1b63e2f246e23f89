//! Settings of claim_process. Defaults here, then a TOML file, then `CLAIM_PROCESS__SECTION__FIELD`.

use crate::domain::cents::{Cents, MOST_CENTS};
use crate::domain::limits::Limits;
use crate::domain::raw_claim::MOST_LINES;
use crate::domain::rules::default_severities;
use crate::domain::rules::rule::Severity;
use crate::intake::ReadLimits;
use dual_db::DatabaseSettings;
use event_bus::KafkaSettings;
use serde::{Deserialize, Serialize};
use service_runtime::client_address::ProxySettings;
use service_runtime::command_line::ProcessSettings;
use service_runtime::health::HealthSettings;
use service_runtime::http_server::HttpSettings;
use service_runtime::telemetry::LogSettings;
use std::collections::BTreeMap;
use std::time::Duration;
use validator::{Validate, ValidationError};

/// What environment variables begin with.
pub const PREFIX: &str = "CLAIM_PROCESS";

/// Everything that can be set.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "batches_leave_room"))]
pub struct Settings {
    /// The HTTP server.
    #[validate(nested)]
    pub http: HttpSettings,
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
    /// Storing claims.
    #[validate(nested)]
    pub ingest: IngestSettings,
    /// How much of what is sent is read.
    #[validate(nested)]
    pub intake: IntakeSettings,
    /// Taking many claims in one request.
    #[validate(nested)]
    pub batch: BatchSettings,
    /// How long an `Idempotency-Key` is remembered.
    #[validate(nested)]
    pub idempotency: IdempotencySettings,
    /// Reading claims and totals.
    #[validate(nested)]
    pub query: QuerySettings,
    /// How many requests one client may make.
    #[validate(nested)]
    pub rate_limit: RateLimitSettings,
    /// The proxies in front of it, which say whom a request is from.
    #[validate(nested)]
    pub proxies: ProxySettings,
    /// Asking again for outcomes that do not come.
    #[validate(nested)]
    pub watchdog: WatchdogSettings,
    /// What claims are checked against.
    #[validate(nested)]
    pub checks: ChecksSettings,
    /// `reject`, `warn` or `off`, by the code of a rule.
    pub rules: BTreeMap<String, Severity>,
}

/// What claims are checked against. How a number is compared is said at its rule; `GET /v1/rules` lists them.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ChecksSettings {
    /// The most lines a claim may have.
    #[validate(range(min = 1, max = MOST_LINES, message = "must be 1 to 1000"))]
    pub max_lines: usize,
    /// The most that a money field may hold, in cents.
    #[validate(range(min = 1, max = MOST_CENTS, message = "must be 1 to 9999999999"))]
    pub max_amount_cents: i64,
    /// The most that a claim may come to, due to the provider or owed by it, in cents.
    #[validate(range(min = 1, max = MOST_CENTS, message = "must be 1 to 9999999999"))]
    pub max_claim_cents: i64,
    /// How many days ago a service may have been.
    #[validate(range(min = 1, max = Limits::MOST_SERVICE_AGE_DAYS, message = "must be 1 to 36525"))]
    pub max_service_age_days: u32,
    /// The most findings that are listed of one claim, warnings included; one more counts the others.
    #[validate(range(min = 1, max = Limits::MOST_FINDINGS, message = "must be 1 to 1000"))]
    pub max_findings: usize,
    /// A file with the procedure codes that are known, one a line, with `#` before comments; empty: all are. Read once, at
    /// the start.
    pub procedure_codes_file: String,
}

/// Storing claims.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct IngestSettings {
    /// Claims waiting to be stored; more are answered with 503.
    #[validate(range(min = 1, max = 1_000_000, message = "must be 1 to 1000000"))]
    pub max_queued_claims: usize,
    /// Claims stored in one transaction.
    #[validate(range(min = 1, max = 10_000, message = "must be 1 to 10000"))]
    pub max_group_claims: usize,
    /// How often a group is tried when the database fails, before its senders are told.
    #[validate(range(min = 1, max = 100, message = "must be 1 to 100"))]
    pub max_attempts: u32,
    /// How long a request waits for its claim to be stored, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub answer_timeout_ms: u64,
}

/// How much of what is sent is read.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct IntakeSettings {
    /// The most columns of a CSV.
    #[validate(range(min = 10, max = 10_000, message = "must be 10 to 10000"))]
    pub max_columns: usize,
    /// The most bytes of a value: a cell, a text or a number.
    #[validate(range(min = 64, max = 1_048_576, message = "must be 64 to 1048576"))]
    pub max_value_bytes: usize,
    /// How deep JSON may be nested.
    #[validate(range(min = 4, max = 100, message = "must be 4 to 100"))]
    pub max_depth: usize,
}

/// Taking many claims in one request.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct BatchSettings {
    /// Batches taken at the same time, two threads each; more are answered with 503.
    #[validate(range(min = 1, max = 4_096, message = "must be 1 to 4096"))]
    pub max_concurrent: usize,
    /// The largest batch, in bytes as they are sent.
    #[validate(range(min = 1, max = 1_099_511_627_776_u64, message = "must be 1 to 1099511627776"))]
    pub max_body_bytes: u64,
    /// The most claims of a batch.
    #[validate(range(min = 1, max = 1_000_000_000_000_u64, message = "must be 1 to 1000000000000"))]
    pub max_claims: u64,
    /// The largest claim or CSV row in a batch, in bytes, unpacked.
    #[validate(range(min = 1, max = 1_073_741_824, message = "must be 1 to 1073741824"))]
    pub max_claim_bytes: usize,
    /// Claims of all batches that wait to be stored at the same time. With fewer than `ingest.max_queued_claims`, there is
    /// always room for single claims.
    #[validate(range(min = 1, max = 10_000, message = "must be 1 to 10000"))]
    pub max_waiting_claims: usize,
    /// How long to wait for the next 16 KiB (or the end) of a batch, in milliseconds, and for its sender to take results
    /// when they fill their file.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub stall_timeout_ms: u64,
    /// The largest file of results that their sender has not taken yet, in bytes; when it is full, no more is read.
    #[validate(range(min = 65_536, max = 1_099_511_627_776_u64, message = "must be 65536 to 1099511627776"))]
    pub max_unread_bytes: u64,
}

/// How long an `Idempotency-Key` is remembered.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct IdempotencySettings {
    /// For how many hours a repeat gets the first answer. After that the same key makes another claim.
    #[validate(range(min = 1, max = 87_600, message = "must be 1 to 87600"))]
    pub keep_hours: u64,
    /// How often older keys are looked for, in seconds.
    #[validate(range(min = 1, max = 86_400, message = "must be 1 to 86400"))]
    pub purge_interval_s: u64,
    /// Keys forgotten in one transaction.
    #[validate(range(min = 1, max = 100_000, message = "must be 1 to 100000"))]
    pub max_keys_a_purge: usize,
}

/// Reading claims and totals.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct QuerySettings {
    /// Reads waiting for or using a connection; more are answered with 503.
    #[validate(range(min = 1, max = 100_000, message = "must be 1 to 100000"))]
    pub max_waiting_reads: usize,
}

/// How many requests one client may make.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct RateLimitSettings {
    /// Requests a minute by which one client may submit, validate or void claims, and redrive or discard dead letters; they
    /// may come all at once.
    #[validate(range(min = 1, max = 6_000_000, message = "must be 1 to 6000000"))]
    pub writes_per_minute: u32,
    /// Requests a minute that one client may make for the top providers.
    #[validate(range(min = 1, max = 60_000, message = "must be 1 to 60000"))]
    pub top_providers_per_minute: u32,
}

/// Asking again for outcomes that do not come.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct WatchdogSettings {
    /// How often it looks, in milliseconds.
    #[validate(range(min = 10, max = 86_400_000, message = "must be 10 to 86400000"))]
    pub interval_ms: u64,
    /// Claims it asks for at each look: with the interval, the bound on its rate.
    #[validate(range(min = 1, max = 10_000, message = "must be 1 to 10000"))]
    pub max_claims: i64,
    /// How long an outcome may take before it is asked for, in milliseconds. The pause doubles each time.
    #[validate(range(min = 1, max = 31_622_400_000_u64, message = "must be 1 to 31622400000"))]
    pub first_pause_ms: u64,
    /// The longest pause, in milliseconds.
    #[validate(range(min = 1, max = 31_622_400_000_u64, message = "must be 1 to 31622400000"))]
    pub max_pause_ms: u64,
    /// How often a claim is asked for before it is marked as needing attention. It goes on being asked for.
    #[validate(range(min = 1, max = 1_000_000, message = "must be 1 to 1000000"))]
    pub attention_after: i64,
}

impl Default for Settings {
    fn default() -> Self {
        let limits = Limits::default();
        let read = ReadLimits::default();
        Self {
            http: HttpSettings::on_port(8000),
            database: DatabaseSettings::at("sqlite://.local/claims.db"),
            kafka: KafkaSettings::for_group("claim_process"),
            health: HealthSettings::default(),
            log: LogSettings::default(),
            ingest: IngestSettings {
                max_queued_claims: 4_096,
                max_group_claims: 256,
                max_attempts: 3,
                answer_timeout_ms: 30_000,
            },
            intake: IntakeSettings {
                max_columns: read.max_columns,
                max_value_bytes: read.max_value_bytes,
                max_depth: read.max_depth,
            },
            batch: BatchSettings {
                max_concurrent: 256,
                max_body_bytes: 4 * 1024 * 1024 * 1024,
                max_claims: 10_000_000,
                max_claim_bytes: 1024 * 1024,
                max_waiting_claims: 1_024,
                stall_timeout_ms: 30_000,
                max_unread_bytes: 256 * 1024 * 1024,
            },
            idempotency: IdempotencySettings { keep_hours: 168, purge_interval_s: 300, max_keys_a_purge: 1_000 },
            query: QuerySettings { max_waiting_reads: 64 },
            rate_limit: RateLimitSettings { writes_per_minute: 60_000, top_providers_per_minute: 10 },
            proxies: ProxySettings::default(),
            watchdog: WatchdogSettings {
                interval_ms: 1_000,
                max_claims: 200,
                first_pause_ms: 15_000,
                max_pause_ms: 600_000,
                attention_after: 10,
            },
            checks: ChecksSettings {
                max_lines: limits.max_lines,
                max_amount_cents: limits.max_amount.0,
                max_claim_cents: limits.max_claim.0,
                max_service_age_days: limits.max_service_age_days,
                max_findings: limits.max_findings,
                procedure_codes_file: String::new(),
            },
            rules: default_severities(),
        }
    }
}

impl Settings {
    /// How much of what is sent is read.
    pub fn read_limits(&self) -> ReadLimits {
        let IntakeSettings { max_columns, max_value_bytes, max_depth } = self.intake;
        ReadLimits { max_columns, max_value_bytes, max_depth }
    }

    /// The numbers that rules compare with.
    pub fn limits(&self) -> Limits {
        Limits {
            max_lines: self.checks.max_lines,
            max_amount: Cents(self.checks.max_amount_cents),
            max_claim: Cents(self.checks.max_claim_cents),
            max_service_age_days: self.checks.max_service_age_days,
            max_findings: self.checks.max_findings,
        }
    }
}

impl WatchdogSettings {
    /// How long an outcome may take before it is asked for, in microseconds.
    pub fn first_pause_us(&self) -> i64 {
        dual_db::micros(Duration::from_millis(self.first_pause_ms))
    }
}

impl ProcessSettings for Settings {
    const RENAMED: &[(&str, &str)] = &[
        ("ingest.max_lines", "checks.max_lines"),
        ("ingest.writes_per_minute", "rate_limit.writes_per_minute"),
        ("query.top_providers_per_minute", "rate_limit.top_providers_per_minute"),
        ("kafka.health_interval_ms", "health.interval_ms"),
    ];

    fn log(&self) -> &LogSettings {
        &self.log
    }

    fn http(&self) -> &HttpSettings {
        &self.http
    }
}

fn batches_leave_room(settings: &Settings) -> Result<(), ValidationError> {
    if settings.batch.max_waiting_claims < settings.ingest.max_queued_claims {
        return Ok(());
    }
    let message =
        "batch.max_waiting_claims must be less than ingest.max_queued_claims: single claims need room beside batches";
    Err(ValidationError::new("max_waiting_claims").with_message(message.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use service_runtime::settings::{Loaded, load};

    #[test]
    fn each_older_name_stops_the_start_and_names_a_setting_there_is() {
        let names = load::<Settings>(PREFIX, &[], None, []).unwrap().describe();
        for (older, now) in Settings::RENAMED {
            let [variable, new_variable] =
                [older, now].map(|path| format!("{PREFIX}__{}", path.to_uppercase().replace('.', "__")));
            let set = [(variable.clone(), "1000".to_owned())];
            let loaded: Loaded<Settings> = load(PREFIX, Settings::RENAMED, None, set).unwrap();
            let said = format!("{variable}: this setting is called {new_variable} now");
            assert!(loaded.problems.contains(&said), "{:?}", loaded.problems);
            assert!(names.lines().any(|line| line.starts_with(&format!("{now} = "))), "{now}");
            assert!(!names.contains(older), "{older}");
        }
    }

    #[test]
    fn secrets_are_read_and_never_shown() {
        let mut set = vec![("DATABASE__URL", "postgres://claims:hunter2@db/claims?password=hunter2")];
        set.extend(
            ["KAFKA__SECURITY__SASL_PASSWORD", "KAFKA__SECURITY__KEY_PASSWORD"].map(|secret| (secret, "hunter2")),
        );
        let environment = set.iter().map(|(name, value)| (format!("{PREFIX}__{name}"), (*value).to_owned()));
        let loaded = load::<Settings>(PREFIX, Settings::RENAMED, None, environment).expect("settings");
        let Settings { database, kafka, .. } = &loaded.settings;
        for read in [database.url.expose(), kafka.security.sasl_password.expose(), kafka.security.key_password.expose()]
        {
            assert!(read.contains("hunter2"));
        }
        for shown in [loaded.describe(), format!("{loaded:?}")] {
            assert_eq!(shown.matches("********").count(), set.len() + 1, "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
