//! The settings of claim_process: the defaults here, overridden by a TOML file, overridden by environment variables
//! `CLAIM_PROCESS__SECTION__FIELD`.

use crate::domain::limits::Limits;
use crate::domain::raw_claim::MOST_LINES;
use crate::domain::rules::default_severities;
use crate::domain::rules::rule::Severity;
use crate::events::outgoing::most_event_bytes;
use crate::intake::ReadLimits;
use claim_events::{Cents, MOST_CENTS};
use dual_db::{Database, DatabaseSettings};
use event_bus::KafkaSettings;
use serde::{Deserialize, Serialize};
use service_runtime::client_address::ProxySettings;
use service_runtime::command_line::ProcessSettings;
use service_runtime::database_gate::DatabaseGate;
use service_runtime::health::HealthSettings;
use service_runtime::http_server::HttpSettings;
use service_runtime::shutdown::ShutdownSettings;
use service_runtime::telemetry::LogSettings;
use std::collections::BTreeMap;
use std::time::Duration;
use validator::{Validate, ValidationError};

/// The prefix of environment variables.
pub const PREFIX: &str = "CLAIM_PROCESS";

/// All settings.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "batches_leave_room"))]
#[validate(schema(function = "events_fit_into_messages"))]
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
    /// Stopping.
    #[validate(nested)]
    pub shutdown: ShutdownSettings,
    /// Storing claims.
    #[validate(nested)]
    pub ingest: IngestSettings,
    /// Limits on the syntax of what is sent.
    #[validate(nested)]
    pub intake: IntakeSettings,
    /// Many claims in one request.
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
    /// The trusted proxies, whose headers name the client of a request.
    #[validate(nested)]
    pub proxies: ProxySettings,
    /// Re-requesting outcomes that do not come.
    #[validate(nested)]
    pub watchdog: WatchdogSettings,
    /// What claims are checked against.
    #[validate(nested)]
    pub checks: ChecksSettings,
    /// The severity of each rule that can be set, by its code: `reject`, `warn` or `off`.
    pub rules: BTreeMap<String, Severity>,
}

/// What claims are checked against. `GET /v1/rules` lists the rules that use these numbers.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ChecksSettings {
    /// The most lines of a claim. Default: 100.
    #[validate(range(min = 1, max = MOST_LINES, message = "must be 1 to 1000"))]
    pub max_lines: usize,
    /// The highest amount of a money field, in cents. Default: 9,999,999,999.
    #[validate(range(min = 1, max = MOST_CENTS, message = "must be 1 to 9999999999"))]
    pub max_amount_cents: i64,
    /// The highest net fee of a claim, due to the provider or owed by it, in cents. Default: 9,999,999,999.
    #[validate(range(min = 1, max = MOST_CENTS, message = "must be 1 to 9999999999"))]
    pub max_claim_cents: i64,
    /// The highest age of a service, in days. Default: 7,305, twenty years.
    #[validate(range(min = 1, max = Limits::MOST_SERVICE_AGE_DAYS, message = "must be 1 to 36525"))]
    pub max_service_age_days: u32,
    /// The most findings of one claim that are listed, warnings included; one more counts the others. Default: 100.
    #[validate(range(min = 1, max = Limits::MOST_FINDINGS, message = "must be 1 to 1000"))]
    pub max_findings: usize,
    /// A file with the known procedure codes, one a line, with `#` before comments. Read once, at the start. Default: empty,
    /// which accepts every code.
    pub procedure_codes_file: String,
}

/// Storing claims.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct IngestSettings {
    /// The most claims that wait to be stored; more are answered with 503. Default: 4,096.
    #[validate(range(min = 1, max = 1_000_000, message = "must be 1 to 1000000"))]
    pub max_queued_claims: usize,
    /// The most claims that are stored in one transaction. Default: 500.
    #[validate(range(min = 1, max = 10_000, message = "must be 1 to 10000"))]
    pub max_group_claims: usize,
    /// How long a single claim may have to wait until it is stored, in milliseconds, measured by how many are stored now. A claim
    /// that would wait longer gets 503 at once. While no claim is refused, 256 may wait. Default: 100.
    #[validate(range(min = 1, max = 60_000, message = "must be 1 to 60000"))]
    pub max_wait_ms: u64,
    /// How often storing a group is tried when the database fails, before its requests fail. Default: 3.
    #[validate(range(min = 1, max = 100, message = "must be 1 to 100"))]
    pub max_attempts: u32,
    /// How long a request waits for its claim to be stored before it is answered with 503, in milliseconds; storing is retried
    /// no longer. Default: 4,500.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub answer_timeout_ms: u64,
}

/// Limits on the syntax of what is sent.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct IntakeSettings {
    /// The most columns of a CSV. Default: 256.
    #[validate(range(min = 10, max = 10_000, message = "must be 10 to 10000"))]
    pub max_columns: usize,
    /// The most bytes of a value: a cell, a text or a number. Default: 1,000.
    #[validate(range(min = 64, max = 1_048_576, message = "must be 64 to 1048576"))]
    pub max_value_bytes: usize,
    /// The most levels of nested JSON. Default: 16.
    #[validate(range(min = 4, max = 100, message = "must be 4 to 100"))]
    pub max_depth: usize,
}

/// Many claims in one request.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct BatchSettings {
    /// Batches processed at the same time, with two threads each; more are answered with 503. Default: 256.
    #[validate(range(min = 1, max = 4_096, message = "must be 1 to 4096"))]
    pub max_concurrent: usize,
    /// The largest batch, in bytes as sent. Default: 4 GiB.
    #[validate(range(min = 1, max = 1_099_511_627_776_u64, message = "must be 1 to 1099511627776"))]
    pub max_body_bytes: u64,
    /// The most claims of a batch. Default: 10,000,000.
    #[validate(range(min = 1, max = 1_000_000_000_000_u64, message = "must be 1 to 1000000000000"))]
    pub max_claims: u64,
    /// The largest claim or CSV row in a batch, in bytes after decompression. Default: 1 MiB.
    #[validate(range(min = 1, max = 1_073_741_824, message = "must be 1 to 1073741824"))]
    pub max_claim_bytes: usize,
    /// The most claims of all batches together that wait to be stored. It is less than `ingest.max_queued_claims`, so that
    /// there is always room for single claims. Default: 2,048.
    #[validate(range(min = 1, max = 10_000, message = "must be 1 to 10000"))]
    pub max_waiting_claims: usize,
    /// How long to wait for the next 16 KiB or the end of a batch, and for its sender to read results when their file is full,
    /// in milliseconds. Default: 30,000.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub stall_timeout_ms: u64,
    /// The largest file of results that the sender has not read yet, in bytes; when it is full, no more of the batch is read.
    /// Default: 256 MiB.
    #[validate(range(min = 65_536, max = 1_099_511_627_776_u64, message = "must be 65536 to 1099511627776"))]
    pub max_unread_bytes: u64,
}

/// How long an `Idempotency-Key` is remembered.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct IdempotencySettings {
    /// For how many hours a repeat gets the first response. After that the same key makes another claim. Default: 168.
    #[validate(range(min = 1, max = 87_600, message = "must be 1 to 87600"))]
    pub keep_hours: u64,
    /// How often older keys are deleted, in seconds. Default: 300.
    #[validate(range(min = 1, max = 86_400, message = "must be 1 to 86400"))]
    pub purge_interval_s: u64,
    /// The most keys that are deleted in one transaction. Default: 1,000.
    #[validate(range(min = 1, max = 100_000, message = "must be 1 to 100000"))]
    pub max_keys_a_purge: usize,
}

/// Reading claims and totals.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct QuerySettings {
    /// The most reads that wait for or use a connection; more are answered with 503. Default: 64.
    #[validate(range(min = 1, max = 100_000, message = "must be 1 to 100000"))]
    pub max_waiting_reads: usize,
    /// How long a request waits for the database before it is answered with 503, in milliseconds. Default: 4,500.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub timeout_ms: u64,
    /// How long a request for a report over many rows waits, in milliseconds: the reconciliation. Default: 60,000.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub report_timeout_ms: u64,
}

/// How many requests one client may make.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct RateLimitSettings {
    /// Requests a minute of one client that submit, validate or void claims, or redrive or discard dead letters. They may come
    /// all at once. Default: 60,000.
    #[validate(range(min = 1, max = 6_000_000, message = "must be 1 to 6000000"))]
    pub writes_per_minute: u32,
    /// Whether `writes_per_minute` also limits clients with a loopback address, which run on the same machine. Default: false.
    pub limit_loopback: bool,
    /// Requests a minute of one client for the top providers. Default: 10.
    #[validate(range(min = 1, max = 60_000, message = "must be 1 to 60000"))]
    pub top_providers_per_minute: u32,
}

/// Re-requesting outcomes that do not come.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct WatchdogSettings {
    /// How often the watchdog looks for overdue claims, in milliseconds. Default: 1,000.
    #[validate(range(min = 10, max = 86_400_000, message = "must be 10 to 86400000"))]
    pub interval_ms: u64,
    /// The most outcomes that are re-requested in each interval, which bounds the rate. Default: 200.
    #[validate(range(min = 1, max = 10_000, message = "must be 1 to 10000"))]
    pub max_claims: i64,
    /// How long an outcome may take before it is re-requested, in milliseconds. The pause doubles with each request.
    /// Default: 15,000.
    #[validate(range(min = 1, max = 31_622_400_000_u64, message = "must be 1 to 31622400000"))]
    pub first_pause_ms: u64,
    /// The longest pause between two requests, in milliseconds. Default: 600,000.
    #[validate(range(min = 1, max = 31_622_400_000_u64, message = "must be 1 to 31622400000"))]
    pub max_pause_ms: u64,
    /// After how many requests a claim needs attention. It is still re-requested. Default: 10.
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
            shutdown: ShutdownSettings::default(),
            ingest: IngestSettings {
                max_queued_claims: 4_096,
                max_group_claims: 500,
                max_wait_ms: 100,
                max_attempts: 3,
                answer_timeout_ms: 4_500,
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
                max_waiting_claims: 2_048,
                stall_timeout_ms: 30_000,
                max_unread_bytes: 256 * 1024 * 1024,
            },
            idempotency: IdempotencySettings { keep_hours: 168, purge_interval_s: 300, max_keys_a_purge: 1_000 },
            query: QuerySettings { max_waiting_reads: 64, timeout_ms: 4_500, report_timeout_ms: 60_000 },
            rate_limit: RateLimitSettings {
                writes_per_minute: 60_000,
                limit_loopback: false,
                top_providers_per_minute: 10,
            },
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

impl QuerySettings {
    /// Access to `database` for requests.
    pub fn gate(&self, database: Database) -> DatabaseGate {
        let [timeout, report_timeout] = [self.timeout_ms, self.report_timeout_ms].map(Duration::from_millis);
        DatabaseGate::new(database, self.max_waiting_reads, timeout, report_timeout)
    }
}

impl Settings {
    /// Limits on the syntax of what is sent.
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

impl IngestSettings {
    /// How long a single claim may have to wait until it is stored.
    pub fn max_wait(&self) -> Duration {
        Duration::from_millis(self.max_wait_ms)
    }
}

impl IdempotencySettings {
    /// How long a key is remembered, in microseconds.
    pub fn kept_us(&self) -> i64 {
        dual_db::micros(Duration::from_secs(self.keep_hours.saturating_mul(3_600)))
    }
}

impl WatchdogSettings {
    /// How long an outcome may take before it is re-requested, in microseconds.
    pub fn first_pause_us(&self) -> i64 {
        dual_db::micros(Duration::from_millis(self.first_pause_ms))
    }

    /// The longest pause before an outcome is requested.
    pub fn longest_pause(&self) -> Duration {
        Duration::from_millis(self.first_pause_ms.max(self.max_pause_ms))
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

/// So that no accepted claim has an event that cannot be published.
fn events_fit_into_messages(settings: &Settings) -> Result<(), ValidationError> {
    let most = most_event_bytes(settings.checks.max_lines);
    if most <= settings.kafka.max_message_bytes {
        return Ok(());
    }
    let message = format!(
        "the event of a claim of checks.max_lines lines may have {most} bytes, which is more than kafka.max_message_bytes: \
         raise that, or lower checks.max_lines"
    );
    Err(ValidationError::new("max_message_bytes").with_message(message.into()))
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
    fn the_largest_claim_must_fit_into_a_message() {
        let problems = |set: &[(&str, &str)]| {
            let environment = set.iter().map(|(name, value)| (format!("{PREFIX}__{name}"), (*value).to_owned()));
            load::<Settings>(PREFIX, &[], None, environment).unwrap().problems
        };
        assert!(problems(&[("CHECKS__MAX_LINES", "1000")]).is_empty(), "the highest limit fits by default");
        let small = problems(&[("KAFKA__MAX_MESSAGE_BYTES", "20000")]);
        assert!(small.len() == 1 && small[0].contains("lower checks.max_lines"), "{small:?}");
        assert!(problems(&[("KAFKA__MAX_MESSAGE_BYTES", "20000"), ("CHECKS__MAX_LINES", "50")]).is_empty());
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
