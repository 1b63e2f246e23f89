//! The program: how it starts, what hinders its start, and how it stops.

use crate::kafka::Kafka;
use crate::service::{Answer, PROVIDERS, REAL_CLAIM, Service, claim};
use dual_db::{Database, DatabaseSettings};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};
use test_support::{Running, TestDatabase, count, on_both_databases, run_to_end};

/// The program with nothing set but a free port and a Kafka that is not there and not waited for.
pub fn program(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claim_process"));
    command
        .current_dir(directory)
        .env_clear()
        .env("CLAIM_PROCESS__HTTP__PORT", "0")
        .env("CLAIM_PROCESS__KAFKA__BROKERS", "127.0.0.1:1")
        .env("CLAIM_PROCESS__KAFKA__PRODUCER__FLUSH_TIMEOUT_MS", "200");
    command
}

/// A running service and its sender.
pub struct Program {
    running: Running,
    pub service: Service,
}

impl Program {
    /// Starts it and waits until it writes where it listens.
    pub fn start(command: &mut Command) -> Self {
        let running = Running::start(command);
        let service = Service::of(&format!("http://{}", running.address_behind("listens on http://")));
        Self { running, service }
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        self.running.signal(name);
    }

    /// Waits until it ends: how, and everything it wrote.
    pub fn ended(self) -> (ExitStatus, String) {
        self.running.ended()
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(work)
}

#[test]
fn it_makes_its_database_where_nothing_is_and_stops_at_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let running = Program::start(&mut program(directory.path()));
    let id = block_on(async {
        let answer = running.service.post_csv(REAL_CLAIM).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body["id"].as_str().unwrap().to_owned()
    });
    assert!(directory.path().join(".local/claims.db").exists(), "the default place, whose directory was made");
    let began = Instant::now();
    running.signal("TERM");
    let (status, log) = running.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(log.contains("stopped") && !log.contains("panicked"), "{log}");
    assert_eq!(log.matches("claims answered accepted=1 refused=0 replayed=0 not_stored=0").count(), 1, "{log}");
    assert!(!log.contains(&id), "by default a claim has no line of its own: {log}");

    let again = Program::start(&mut program(directory.path()));
    block_on(async { assert_eq!(again.service.claim(&id).await["net_fee"], "116.85") });
    again.signal("INT");
    assert_eq!(again.ended().0.code(), Some(0));
}

#[test]
fn a_stop_that_hangs_logs_what_it_waits_for_and_ends_at_its_limit_with_exit_code_70() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = program(directory.path());
    // The event of the claim is never sent, as there is no Kafka.
    command
        .env("CLAIM_PROCESS__KAFKA__PRODUCER__FLUSH_TIMEOUT_MS", "3600000")
        .env("CLAIM_PROCESS__SHUTDOWN__LIMIT_MS", "4000");
    let running = Program::start(&mut command);
    block_on(async { assert_eq!(running.service.post_csv(REAL_CLAIM).await.status, 201) });
    running.signal("TERM");
    let (status, log) = running.ended();
    assert_eq!(status.code(), Some(70), "{log}");
    for line in ["still stopping", "stopping takes too long; the process ends without it"] {
        let waits = format!("{line} waiting_for=\"events that are being published\"");
        assert!(log.contains(&waits), "{waits}: {log}");
    }
}

#[test]
fn its_command_health_reports_whether_the_running_service_is_alive_and_ready() {
    let directory = tempfile::tempdir().unwrap();
    let running = Program::start(&mut program(directory.path()));
    let port = running.service.address().rsplit(':').next().unwrap().to_owned();
    let health = |arguments: &[&str]| {
        run_to_end(program(directory.path()).env("CLAIM_PROCESS__HTTP__PORT", &port).arg("health").args(arguments))
    };
    let (output, stdout, stderr) = health(&[]);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(stdout, format!("claim_process: alive at http://127.0.0.1:{port}/healthz\n"));
    let (output, _, stderr) = health(&["--ready"]);
    assert_eq!(output.status.code(), Some(1), "there is no Kafka: {stderr}");
    assert!(stderr.contains("/readyz answers 503: ") && stderr.contains("kafka: "), "{stderr}");
    running.signal("TERM");
    assert_eq!(running.ended().0.code(), Some(0));
    let (output, _, stderr) = health(&[]);
    assert_eq!(output.status.code(), Some(1), "there is no service: {stderr}");
    assert!(stderr.starts_with("claim_process: there is no answer from http://127.0.0.1:"), "{stderr}");
}

#[test]
fn it_stops_at_sigterm_with_a_kafka_that_answers_and_the_events_are_sent() {
    let kafka = Kafka::start();
    let directory = tempfile::tempdir().unwrap();
    let mut command = program(directory.path());
    command
        .env("CLAIM_PROCESS__KAFKA__BROKERS", kafka.address())
        // The last event still waits in the producer for more when the signal comes.
        .env("CLAIM_PROCESS__KAFKA__PRODUCER__LINGER_MS", "2000")
        .env("CLAIM_PROCESS__KAFKA__PRODUCER__FLUSH_TIMEOUT_MS", "5000");
    let running = Program::start(&mut command);
    block_on(async {
        // The caller's trace goes on in the event, and so in what payments does.
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let request = running.service.claims().header("traceparent", trace).body(REAL_CLAIM);
        assert_eq!(Answer::of(request).await.status, 201);
        let message = kafka.published(1).await.remove(0);
        let envelope = message.decode().0;
        let traceparent = envelope.traceparent.expect("a trace");
        assert!(traceparent.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{traceparent}");
        assert_ne!(traceparent, trace, "a span of its own");
        running.service.accepted(&claim(PROVIDERS[0], "1.00")).await;
        running.signal("TERM");
        kafka.published(1).await;
    });
    let (status, log) = running.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    let url = format!("sqlite://{}/.local/claims.db", directory.path().display());
    let database = Database::open(&DatabaseSettings::at(url)).unwrap();
    assert_eq!(count(&database, "outbox"), 0, "what was delivered is not left for the next start");
}

on_both_databases! {
    fn what_was_acknowledged_outlives_a_kill(database: &TestDatabase) {
        let directory = tempfile::tempdir().unwrap();
        let mut command = program(directory.path());
        command.env("CLAIM_PROCESS__DATABASE__URL", database.settings().url.expose());
        let running = Program::start(&mut command);
        let acknowledged = block_on(async {
            let mut posts = tokio::task::JoinSet::new();
            for n in 0..40 {
                let service = running.service.clone();
                posts.spawn(async move {
                    let key = format!("key-{n}");
                    let request = service.claims().header("idempotency-key", key).json(&claim(PROVIDERS[0], "1.00"));
                    // Those that are killed get no answer.
                    let response = request.send().await.ok()?;
                    (response.status() == 201).then_some(n)
                });
            }
            let mut acknowledged = Vec::new();
            while let Some(answered) = posts.join_next().await {
                acknowledged.extend(answered.unwrap());
                if acknowledged.len() == 5 {
                    running.signal("KILL");
                }
            }
            acknowledged
        });
        assert!(acknowledged.len() >= 5);
        assert_eq!(running.ended().0.code(), None);
        let again = Program::start(&mut command);
        block_on(async {
            for n in &acknowledged {
                let answer = again.service.post_with_key(&format!("key-{n}"), &claim(PROVIDERS[0], "1.00")).await;
                assert_eq!(answer.status, 200, "it is there: {}", answer.body);
            }
        });
        again.signal("TERM");
        assert_eq!(again.ended().0.code(), Some(0));
        crate::service::assert_totals_agree(database.database());
        assert_eq!(count(database.database(), "claims"), count(database.database(), "outbox"));
    }

    fn migrations_run_by_themselves_and_as_often_as_one_likes(database: &TestDatabase) {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let (output, _, stderr) = run_to_end(
                program(directory.path()).env("CLAIM_PROCESS__DATABASE__URL", database.settings().url.expose()).arg("migrate"),
            );
            assert!(output.status.success(), "{stderr}");
            crate::service::assert_empty(database.database());
        }
        // A newer version was here: this one keeps its hands off.
        database
            .database()
            .write(|c| {
                test_support::execute(c, "INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231')")
            })
            .unwrap();
        for arguments in [&["migrate"][..], &[]] {
            let (output, _, stderr) = run_to_end(
                program(directory.path()).env("CLAIM_PROCESS__DATABASE__URL", database.settings().url.expose()).args(arguments),
            );
            assert_eq!(output.status.code(), Some(1));
            assert!(stderr.contains("newer version of this program"), "{stderr}");
        }
    }

    fn where_a_start_may_not_migrate_the_command_does(database: &TestDatabase) {
        let directory = tempfile::tempdir().unwrap();
        let run = |arguments: &[&str]| {
            let mut program = program(directory.path());
            program.env("CLAIM_PROCESS__DATABASE__URL", database.settings().url.expose());
            run_to_end(program.env("CLAIM_PROCESS__DATABASE__MIGRATE_AT_START", "false").args(arguments))
        };
        let (output, _, stderr) = run(&[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr.contains("run 'claim_process migrate'"), "{stderr}");
        let (output, _, stderr) = run(&["migrate"]);
        assert!(output.status.success(), "{stderr}");
        crate::service::assert_empty(database.database());
    }
}

#[test]
fn wrong_settings_are_all_listed_with_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("settings.toml");
    std::fs::write(&file, "[watchdog]\nmax_claims = 0\n[checks]\nmax_lines = 1001\n[ingest]\nmax_lines = 5\n").unwrap();
    let (output, stdout, stderr) = run_to_end(
        program(directory.path())
            .args(["--config", "settings.toml"])
            .env("CLAIM_PROCESS__HTTP__WORKERS", "0")
            .env("CLAIM_PROCESS__HTTP__PORT", "eighty")
            .env("CLAIM_PROCESS__DATABASE__URL", "")
            .env("CLAIM_PROCESS__KAFKA__BROKERS", "")
            .env("CLAIM_PROCESS__LOG__FORMAT", "xml")
            .env("CLAIM_PROCESS__RULES__PROCEDURE_PREFIX", "perhaps")
            .env("CLAIM_PROCESS__CHECKS__MAX_AMOUNT_CENTS", "10000000000")
            .env("CLAIM_PROCESS__CHECKS__MAX_CLAIM_CENTS", "0")
            .env("CLAIM_PROCESS__CHECKS__MAX_SERVICE_AGE_DAYS", "36526")
            .env("CLAIM_PROCESS__CHECKS__MAX_FINDINGS", "1001")
            .env("CLAIM_PROCESS__HTTP__PROT", "1")
            .env("CLAIM_PROCESS__INGEST__WRITES_PER_MINUTE", "5"),
    );
    assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""), "{stderr}");
    for named in [
        "watchdog.max_claims",
        "checks.max_lines",
        "ingest.max_lines in settings.toml: this setting is called checks.max_lines now",
        "http.workers",
        "CLAIM_PROCESS__HTTP__PORT",
        "database.url",
        "kafka.brokers",
        "log.format",
        "CLAIM_PROCESS__RULES__PROCEDURE_PREFIX",
        "checks.max_amount_cents",
        "checks.max_claim_cents",
        "checks.max_service_age_days",
        "checks.max_findings",
        "CLAIM_PROCESS__HTTP__PROT",
        "CLAIM_PROCESS__INGEST__WRITES_PER_MINUTE: this setting is called CLAIM_PROCESS__RATE_LIMIT__WRITES_PER_MINUTE now",
    ] {
        assert_eq!(stderr.lines().filter(|line| line.trim().starts_with(named)).count(), 1, "{named} in {stderr}");
    }
    assert_eq!(stderr.lines().count(), 16, "a first line and one for each: {stderr}");
    assert!(!directory.path().join(".local").exists(), "nothing was begun");

    std::fs::write(&file, "[http\n").unwrap();
    for (file, expected) in [("settings.toml", "is not TOML"), ("nowhere.toml", "cannot be read")] {
        let (output, _, stderr) = run_to_end(program(directory.path()).args(["--config", file]));
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr.contains(file) && stderr.contains(expected), "{stderr}");
    }
    assert_eq!(run_to_end(program(directory.path()).arg("fly")).0.status.code(), Some(2));
}

#[test]
fn what_hinders_its_start_is_one_sentence_with_exit_code_1() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    std::fs::write(directory.path().join("file"), "").unwrap();
    assert!(run_to_end(program(directory.path()).arg("migrate")).0.status.success());
    std::fs::write(directory.path().join("letter"), "Dear Sirs, this is no database. ".repeat(100)).unwrap();
    for (variable, value, expected) in [
        ("HTTP__PORT", port.as_str(), "choose another port with the setting http.port"),
        ("HTTP__HOST", "203.0.113.7", "check the settings http.host and http.port"),
        ("DATABASE__URL", "sqlite://file/below.db", "check the path and that this user may write there"),
        ("DATABASE__URL", "sqlite://.", "check the path and that this user may write there"),
        ("DATABASE__URL", "sqlite://letter", "check the path and that this user may write there"),
        ("CHECKS__PROCEDURE_CODES_FILE", "letter", "line 1 must be one procedure code, as in D0180"),
        ("CHECKS__PROCEDURE_CODES_FILE", "file", "it must have at least one procedure code"),
        ("CHECKS__PROCEDURE_CODES_FILE", "/dev/zero", "it must have at most 1048576 bytes"),
        (
            "CHECKS__PROCEDURE_CODES_FILE",
            "nowhere",
            "the list of procedure codes nowhere, which checks.procedure_codes_file names",
        ),
        ("DATABASE__URL", "sqlite:///proc/claims.db", "check the path and that this user may write there"),
        (
            "DATABASE__URL",
            "sqlite://file:.local/claims.db?mode=ro",
            "check the path and that this user may write there",
        ),
        ("DATABASE__URL", "mysql://x", "must begin with sqlite:// or postgres://"),
        ("DATABASE__URL", "postgres://claims:hunter2@127.0.0.1:1/claims", "check host, port, user, password"),
        ("LOG__FILTER", "claim_process=loud", "the log filter cannot be read"),
    ] {
        let (output, _, stderr) =
            run_to_end(program(directory.path()).env(format!("CLAIM_PROCESS__{variable}"), value));
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("claim_process: ") && stderr.contains(expected), "{stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
}

#[test]
fn settings_are_shown_with_where_they_came_from_and_without_passwords() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("claims.toml"),
        "[http]\nworkers = 7\nport = 9\n[rules]\nnpi_checksum = \"off\"\n",
    )
    .unwrap();
    let (output, stdout, _) = run_to_end(
        program(directory.path())
            .args(["settings", "--config", "claims.toml"])
            .env("CLAIM_PROCESS__DATABASE__URL", "postgres://claims:hunter2@db.example:5432/claims"),
    );
    assert!(output.status.success());
    for line in [
        "database.url = \"postgres://claims:********@db.example:5432/claims\"  # environment CLAIM_PROCESS__DATABASE__URL",
        "http.workers = 7  # file",
        "http.port = 0  # environment CLAIM_PROCESS__HTTP__PORT",
        "http.host = \"127.0.0.1\"  # default",
        "rules.npi_checksum = \"off\"  # file",
        "rules.procedure_prefix = \"reject\"  # default",
    ] {
        assert!(stdout.lines().any(|shown| shown == line), "{line} in {stdout}");
    }
    assert!(!stdout.contains("hunter2"), "{stdout}");
    let (output, stdout, _) = run_to_end(program(directory.path()).arg("--help"));
    assert!(output.status.success());
    for word in ["settings", "migrate", "--config"] {
        assert!(stdout.contains(word), "{word} in {stdout}");
    }
}
