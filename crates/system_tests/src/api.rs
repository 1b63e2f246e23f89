//! The system's HTTP API as a client uses it, one that sends again with the same key until it has an answer.

use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use std::time::{Duration, Instant};

/// How long a client goes on sending.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// The addresses of the system.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    claims_url: String,
    payments_url: String,
    gateway_url: String,
}

impl Api {
    /// A client of the system at these addresses.
    ///
    /// # Panics
    /// When no HTTP client can be made.
    pub fn new(claims_url: String, payments_url: String, gateway_url: String) -> Self {
        let client = Client::builder().timeout(Duration::from_secs(10)).build().expect("an HTTP client can be made");
        Self { client, claims_url, payments_url, gateway_url }
    }

    /// claim_process.
    pub fn claims_url(&self) -> &str {
        &self.claims_url
    }

    /// The simulated gateway.
    pub fn gateway_url(&self) -> &str {
        &self.gateway_url
    }

    /// Whether a service says that it is ready.
    pub async fn is_ready(&self, url: &str) -> bool {
        let answer = self.client.get(format!("{url}/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Posts a body once.
    ///
    /// # Errors
    /// The connection's.
    pub async fn post(
        &self,
        content_type: &str,
        body: impl Into<String>,
        key: Option<&str>,
    ) -> reqwest::Result<Response> {
        let mut request =
            self.client.post(format!("{}/v1/claims", self.claims_url)).header("content-type", content_type);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        request.body(body.into()).send().await
    }

    /// Posts a claim as a careful client does: with a key, again and again until the answer is 2xx.
    ///
    /// # Panics
    /// When the claim is refused, or not answered within a minute.
    pub async fn submit(&self, claim: &Value, key: &str) -> Value {
        let until = Instant::now() + SEND_TIMEOUT;
        loop {
            if let Ok(answer) = self.post("application/json", claim.to_string(), Some(key)).await {
                let status = answer.status();
                assert!(status.is_success() || status.is_server_error(), "refused: {status} {:?}", answer.text().await);
                if status.is_success()
                    && let Ok(body) = answer.json().await
                {
                    return body;
                }
            }
            assert!(Instant::now() < until, "{key} was not answered");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A claim; none while the service does not answer.
    pub async fn claim(&self, id: &str) -> Option<Value> {
        self.get(&format!("{}/v1/claims/{id}", self.claims_url)).await
    }

    /// Waits until a claim is settled or unwound.
    ///
    /// # Panics
    /// When it is not by then.
    pub async fn ended(&self, id: &str, until: Instant) -> Value {
        let mut last = None;
        loop {
            last = self.claim(id).await.or(last);
            let status = last.as_ref().and_then(|claim| claim["status"].as_str());
            if let (Some("settled" | "unwound"), Some(claim)) = (status, &last) {
                return claim.clone();
            }
            assert!(
                Instant::now() < until,
                "claim {id} did not end: {last:?}; its payment: {:?}",
                self.payment(id).await
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A claim's payment.
    pub async fn payment(&self, id: &str) -> Option<Value> {
        self.get(&format!("{}/v1/payments/{id}", self.payments_url)).await
    }

    /// The top 100 providers.
    pub async fn top_providers(&self) -> Option<Value> {
        self.get(&format!("{}/v1/providers/top?limit=100", self.claims_url)).await
    }

    /// All claims, page by page.
    ///
    /// # Panics
    /// When a page does not come.
    pub async fn all_claims(&self) -> Vec<Value> {
        self.pages(&format!("{}/v1/claims?limit=200", self.claims_url), "claims", "cursor", "next_cursor").await
    }

    /// The ledger's audit, without its claims.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn audit(&self) -> Value {
        self.get(&format!("{}/v1/ledger/audit?limit=1", self.payments_url)).await.expect("the audit answers")
    }

    /// The ledger's books of all claims.
    ///
    /// # Panics
    /// When a page does not come.
    pub async fn ledger_claims(&self) -> Vec<Value> {
        self.pages(&format!("{}/v1/ledger/audit?limit=500", self.payments_url), "claims", "after", "next_after").await
    }

    /// The gateway's own book in sums.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn book_summary(&self) -> Value {
        self.get(&format!("{}/book/summary", self.gateway_url)).await.expect("the gateway's book answers")
    }

    /// The gateway's own book, claim by claim.
    ///
    /// # Panics
    /// When a page does not come.
    pub async fn book_claims(&self) -> Vec<Value> {
        self.pages(&format!("{}/book/claims?limit=500", self.gateway_url), "claims", "after", "next_after").await
    }

    async fn get(&self, url: &str) -> Option<Value> {
        let answer = self.client.get(url).send().await.ok()?;
        if answer.status() == StatusCode::OK { answer.json().await.ok() } else { None }
    }

    async fn pages(&self, url: &str, items: &str, parameter: &str, next: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut page_url = url.to_owned();
        loop {
            let page = self.get(&page_url).await.expect("the page answers");
            all.extend(page[items].as_array().cloned().unwrap_or_default());
            let Some(cursor) = page[next].as_str() else { return all };
            page_url = format!("{url}&{parameter}={cursor}");
        }
    }
}
