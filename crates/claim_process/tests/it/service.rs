//! A claim_process under test, a sender that talks to it over HTTP, and a look into its database with plain SQL.

use claim_process::app::Application;
use claim_process::settings::Settings;
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use dual_db::{Database, on_each_backend};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::thread::JoinHandle;
use test_support::{PATIENCE, TestDatabase, count, eventually};
use tokio::sync::oneshot;

/// The claim of the README: four lines, together 116.85.
pub const REAL_CLAIM: &str = include_str!("../../../../scripts/claim_1234.csv");

/// Providers whose check digit is right, so that they give no warning.
pub const PROVIDERS: [&str; 4] = ["1497775530", "1234567893", "1993999998", "1245319599"];

/// A sender of a running service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Service {
    client: reqwest::Client,
    base: String,
}

/// An answer, read to its end. A body that is not JSON is a text.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

/// Runs `test` against a service with this database and no Kafka, and stops the service.
pub fn with_service(database: &TestDatabase, test: impl AsyncFnOnce(Service)) {
    with_settings(database, |_| (), test);
}

/// The same, with other settings.
pub fn with_settings(database: &TestDatabase, change: impl FnOnce(&mut Settings), test: impl AsyncFnOnce(Service)) {
    let mut settings = settings_for(database);
    change(&mut settings);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let application = Application::build(settings).expect("the service starts");
        let service = Service::of(&format!("http://127.0.0.1:{}", application.port()));
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(application.run_until(async {
            // A dropped sender stops the service, too.
            let _ = stopped.await;
        }));
        test(service).await;
        drop(stop);
        running.await.expect("no panic").expect("the service stops cleanly");
    });
}

fn settings_for(database: &TestDatabase) -> Settings {
    let mut settings = Settings { database: database.settings().clone(), ..Settings::default() };
    settings.http.port = 0;
    // Nothing listens there, and the service does not wait long for it when it stops.
    settings.kafka.brokers = "127.0.0.1:1".to_owned();
    settings.kafka.producer.flush_timeout_ms = 100;
    settings.health.interval_ms = 100;
    // On the embedded broker a group takes about as long to form and to leave.
    settings.kafka.consumer.session_timeout_ms = 2_000;
    settings
}

/// Another instance on the same database, beside the one of a test.
pub struct Second {
    pub service: Service,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Second {
    pub fn start(database: &TestDatabase) -> Self {
        let settings = settings_for(database);
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, port) = std::sync::mpsc::channel();
        let running = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let application = Application::build(settings).expect("the service starts");
                ready.send(application.port()).expect("the test waits");
                let stopped = async {
                    let _ = stopped.await;
                };
                application.run_until(stopped).await.expect("the service stops cleanly");
            });
        });
        let port = port.recv().expect("it starts");
        Self { service: Service::of(&format!("http://127.0.0.1:{port}")), stop, running }
    }

    pub fn stop(self) {
        drop(self.stop);
        self.running.join().expect("no panic");
    }
}

impl Service {
    /// The service at `base`.
    pub fn of(base: &str) -> Self {
        let client = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        Self { client, base: base.to_owned() }
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        self.base.strip_prefix("http://").expect("plain HTTP")
    }

    /// Where it is.
    pub fn base(&self) -> String {
        self.base.clone()
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// A POST of a claim, still to be sent: add headers and a body.
    pub fn claims(&self) -> RequestBuilder {
        self.request(Method::POST, "/v1/claims")
    }

    pub async fn post(&self, claim: &Value) -> Answer {
        Answer::of(self.claims().json(claim)).await
    }

    pub async fn post_with_key(&self, key: &str, claim: &Value) -> Answer {
        Answer::of(self.claims().header("idempotency-key", key).json(claim)).await
    }

    pub async fn post_csv(&self, csv: &str) -> Answer {
        Answer::of(self.claims().header("content-type", "text/csv").body(csv.to_owned())).await
    }

    /// Posts a claim that has to be accepted, and returns its id.
    pub async fn accepted(&self, claim: &Value) -> String {
        let answer = self.post(claim).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body["id"].as_str().expect("an id").to_owned()
    }

    /// A claim by its id.
    pub async fn claim(&self, id: &str) -> Value {
        let answer = self.get(&format!("/v1/claims/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// Waits until a claim has this status, and returns it.
    pub async fn claim_with_status(&self, id: &str, status: &str) -> Value {
        eventually(&format!("{id} is {status}"), async || {
            let claim = self.claim(id).await;
            (claim["status"] == status).then_some(claim)
        })
        .await
    }
}

impl Answer {
    /// Sends a request and reads its answer.
    pub async fn of(request: RequestBuilder) -> Self {
        Self::read(request.send().await.expect("answers")).await
    }

    async fn read(response: Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, body }
    }

    /// A header's value; the empty text if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// Asserts that this is a problem as RFC 9457 has it, with this status and the request's id, and returns its kind.
    pub fn problem(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["request_id"], self.header("x-request-id"));
        assert!(!self.header("x-process-time-ms").is_empty());
        for text in ["title", "detail"] {
            assert!(self.body[text].as_str().is_some_and(|text| !text.is_empty()), "{text} in {}", self.body);
        }
        let kind = self.body["type"].as_str().and_then(|kind| kind.strip_prefix("urn:claims-to-payments:problem:"));
        kind.unwrap_or_else(|| panic!("a type in {}", self.body))
    }

    /// The net fee of each line of a claim.
    pub fn net_fees(&self) -> Vec<&str> {
        let lines = self.body["lines"].as_array().expect("lines").iter();
        lines.map(|line| line["net_fee"].as_str().expect("money is text")).collect()
    }
}

/// A claim of one line with this net fee, for this provider.
pub fn claim(provider_npi: &str, net_fee: &str) -> Value {
    json!({"lines": [line(&[("provider_npi", json!(provider_npi)), ("provider_fees", json!(net_fee))])]})
}

/// A good line; `changes` replace or add members.
pub fn line(changes: &[(&str, Value)]) -> Value {
    let mut line = json!({
        "service_date": "2018-03-28", "submitted_procedure": "D0180", "plan_group": "GRP-1000",
        "subscriber_id": "3730189502", "provider_npi": PROVIDERS[0], "provider_fees": "10.00", "allowed_fees": "0.00",
        "member_coinsurance": "0.00", "member_copay": "0.00",
    });
    for (name, value) in changes {
        line[name] = value.clone();
    }
    line
}

/// Asserts that nothing is stored and nothing is to be sent.
pub fn assert_empty(database: &Database) {
    for table in ["claims", "claim_lines", "claim_timeline", "provider_totals", "idempotency_keys", "outbox"] {
        assert_eq!(count(database, table), 0, "{table} is empty");
    }
}

#[derive(QueryableByName)]
struct Total {
    #[diesel(sql_type = Text)]
    provider_npi: String,
    #[diesel(sql_type = BigInt)]
    net_fee_cents: i64,
    #[diesel(sql_type = BigInt)]
    claims: i64,
}

/// Asserts that each line and each entry of a timeline has its claim. No foreign key does.
pub fn assert_no_orphans(database: &Database) {
    for table in ["claim_lines", "claim_timeline"] {
        let orphans = format!("{table} WHERE claim_key NOT IN (SELECT id FROM claims)");
        assert_eq!(test_support::count(database, &orphans), 0, "{table} without a claim");
    }
}

/// Asserts that there are no orphans, and that the totals kept are the sums over the claims that are not unwound, and returns them: cents and claims.
pub fn assert_totals_agree(database: &Database) -> BTreeMap<String, (i64, i64)> {
    let load = |sql: &str| -> BTreeMap<String, (i64, i64)> {
        let rows: dual_db::Result<Vec<Total>> =
            database.read(|connection| Ok(on_each_backend!(connection, |c| sql_query(sql).load(c))?));
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}")).into_iter();
        rows.map(|row| (row.provider_npi, (row.net_fee_cents, row.claims))).collect()
    };
    let mut kept = load("SELECT provider_npi, net_fee_cents, claims FROM provider_totals");
    kept.retain(|_, total| *total != (0, 0));
    let summed = load(
        "SELECT provider_npi, CAST(SUM(net_fee_cents) AS BIGINT) AS net_fee_cents, count(*) AS claims \
         FROM claims WHERE status <> 'unwound' GROUP BY provider_npi",
    );
    assert_eq!(kept, summed, "totals kept, and SUM … GROUP BY");
    assert_no_orphans(database);
    kept
}
