//! A gateway under test and a payer as its client.

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use simulated_gateway::app::Application;
use simulated_gateway::settings::Settings;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use test_support::TestDatabase;

/// Longer than any response takes: a lost response must be a closed connection and not a time-out.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A payer of a running gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Payer {
    client: reqwest::Client,
    base: String,
}

/// A response: the status, `Retry-After`, and the body.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Value,
}

/// Runs `test` against a gateway with this database, and stops the gateway.
pub fn with_gateway<F: Future<Output = ()>>(database: &TestDatabase, test: impl FnOnce(Payer) -> F) {
    with_settings(database, |_| (), test);
}

/// The same, with other settings.
pub fn with_settings<F: Future<Output = ()>>(
    database: &TestDatabase,
    change: impl FnOnce(&mut Settings),
    test: impl FnOnce(Payer) -> F,
) {
    let mut settings = Settings { database: database.settings().clone(), ..Settings::default() };
    settings.http.port = 0;
    change(&mut settings);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let application = Application::build(settings).expect("the gateway starts");
        let payer = Payer::of(&format!("http://127.0.0.1:{}", application.port()));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(application.run_until(async {
            let _ = stopped.await;
        }));
        test(payer).await;
        drop(stop);
        running.await.expect("no panic").expect("stops cleanly");
    });
}

impl Payer {
    pub fn of(base: &str) -> Self {
        let client = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build().expect("a client");
        Self { client, base: base.to_owned() }
    }

    pub fn post_to(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base))
    }

    pub fn request(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn pay(&self, key: &str, reference: &str, cents: i64) -> Result<Response, reqwest::Error> {
        let body = json!({"reference": reference, "amount_cents": cents, "currency": "USD", "payee": "1497775530"});
        read(self.post_to("/payments").header("idempotency-key", key).json(&body).send().await?).await
    }

    /// Requests a payment over a plain connection, and returns all bytes of the response.
    pub async fn pay_on_the_wire(&self, reference: &str, cents: i64) -> String {
        let url = self.request(reqwest::Method::GET, "/").build().expect("a request").url().clone();
        let address = url.socket_addrs(|| None).expect("an address")[0];
        let body = json!({"reference": reference, "amount_cents": cents, "currency": "USD", "payee": "1"}).to_string();
        let seen = tokio::task::spawn_blocking(move || {
            let mut connection = TcpStream::connect(address).expect("connects");
            connection.set_read_timeout(Some(Duration::from_secs(5))).expect("is set");
            write!(
                connection,
                "POST /payments HTTP/1.1\r\nhost: gateway\r\nidempotency-key: k\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .expect("sends");
            let mut seen = Vec::new();
            let end = connection.read_to_end(&mut seen);
            assert!(end.is_ok() || end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
            String::from_utf8(seen).expect("text")
        });
        seen.await.expect("no panic")
    }

    /// Sends the same request until the response is definite, as a payer should.
    pub async fn pay_until_definite(&self, key: &str, reference: &str, cents: i64) -> Response {
        for _ in 0..5 {
            match self.pay(key, reference, cents).await {
                Ok(response) if matches!(response.status, 200 | 402) => return response,
                _ => {}
            }
        }
        panic!("no definite response for {key}");
    }

    pub async fn refund(&self, key: &str, reference: &str, cents: i64) -> Response {
        let body = json!({"reference": reference, "amount_cents": cents, "currency": "USD"});
        let response = self.post_to("/refunds").header("idempotency-key", key).json(&body).send().await;
        read(response.expect("answers")).await.expect("has a body")
    }

    pub async fn get(&self, path: &str) -> Response {
        let response = self.client.get(format!("{}{path}", self.base)).send().await;
        read(response.expect("answers")).await.expect("has a body")
    }

    /// The payments of a reference, as the look-up shows them.
    pub async fn look_up(&self, reference: &str) -> Vec<Value> {
        let response = self.get(&format!("/payments?reference={reference}")).await;
        response.body["payments"].as_array().expect("a list").clone()
    }

    /// Money out, money back and the kinds of entries of a reference in the book.
    pub async fn book_of(&self, reference: &str) -> (i64, i64, Vec<String>) {
        let book = self.get(&format!("/book?reference={reference}")).await.body;
        let kinds = book["entries"].as_array().expect("a list").iter();
        (
            book["money_out_cents"].as_i64().expect("a number"),
            book["money_back_cents"].as_i64().expect("a number"),
            kinds.map(|entry| entry["kind"].as_str().expect("a text").to_owned()).collect(),
        )
    }
}

/// Reads a response to its end; a body that is not JSON becomes a text.
pub async fn read(response: reqwest::Response) -> Result<Response, reqwest::Error> {
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Response { status, retry_after, body })
}
