//! A client of the system's HTTP API that retries with the same idempotency key until it gets an answer.

use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use test_support::{eventually, within};

/// How long a client retries.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// The addresses of the system.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    claims_urls: Vec<String>,
    payments_urls: Vec<String>,
    gateway_url: String,
    /// The next instance, in round-robin order.
    turn: Arc<AtomicUsize>,
    /// How often a claim was sent again because there was no answer, counted over all clones.
    resent: Arc<AtomicUsize>,
}

impl Api {
    /// A client of the system at these addresses.
    ///
    /// # Panics
    /// If no HTTP client can be built.
    pub fn new(claims_urls: Vec<String>, payments_urls: Vec<String>, gateway_url: String) -> Self {
        let client = Client::builder().timeout(Duration::from_secs(10)).build().expect("an HTTP client can be built");
        Self { client, claims_urls, payments_urls, gateway_url, turn: Arc::default(), resent: Arc::default() }
    }

    /// An instance of claim_process.
    fn claims_url(&self) -> &str {
        self.next_of(&self.claims_urls)
    }

    fn next_of<'a>(&self, urls: &'a [String]) -> &'a str {
        &urls[self.turn.fetch_add(1, Ordering::Relaxed) % urls.len()]
    }

    /// The simulated gateway.
    pub fn gateway_url(&self) -> &str {
        &self.gateway_url
    }

    /// Whether a service reports that it is ready.
    pub async fn is_ready(&self, url: &str) -> bool {
        self.readiness(url).await == Some(StatusCode::OK)
    }

    /// The status of a service's readiness; `None` if it does not answer.
    pub async fn readiness(&self, url: &str) -> Option<StatusCode> {
        self.client.get(format!("{url}/readyz")).send().await.ok().map(|answer| answer.status())
    }

    /// What a service reports of what it depends on, by name: `ready`, or why not. Empty if it does not answer.
    pub async fn dependencies(&self, url: &str) -> BTreeMap<String, String> {
        let answer = self.client.get(format!("{url}/readyz")).send().await;
        let Ok(answer) = answer else { return BTreeMap::new() };
        let body: Value = answer.json().await.unwrap_or_default();
        serde_json::from_value(body["dependencies"].clone()).unwrap_or_default()
    }

    /// The dead letters of both services that wait for an operator.
    ///
    /// # Panics
    /// If a page is not answered.
    pub async fn dead_letters(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for instances in [&self.claims_urls, &self.payments_urls] {
            all.extend(self.pages(instances, "/v1/dead-letters?limit=500", "dead_letters").await);
        }
        all
    }

    /// Posts a body once.
    ///
    /// # Errors
    /// The error of the connection.
    pub async fn post(
        &self,
        content_type: &str,
        body: impl Into<String>,
        key: Option<&str>,
    ) -> reqwest::Result<Response> {
        let mut request =
            self.client.post(format!("{}/v1/claims", self.claims_url())).header("content-type", content_type);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        request.body(body.into()).send().await
    }

    /// Posts a claim with an idempotency key, and retries until the answer is 2xx.
    ///
    /// # Panics
    /// If the claim is refused, or not answered within a minute.
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
            self.resent.fetch_add(1, Ordering::SeqCst);
            // Without a pause the retries would be a load of their own.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until a sender retries a claim because it got no answer.
    ///
    /// # Panics
    /// If no sender does.
    pub async fn wait_for_a_resend(&self) {
        let before = self.resent.load(Ordering::SeqCst);
        eventually("a claim is sent again", async || (self.resent.load(Ordering::SeqCst) > before).then_some(())).await;
    }

    /// Voids a claim, and retries until there is an answer. Returns `false` if the claim is already unwound for another cause.
    ///
    /// # Panics
    /// If the answer is another one, or does not arrive within a minute.
    pub async fn void(&self, id: &str) -> bool {
        let until = Instant::now() + SEND_TIMEOUT;
        loop {
            let url = format!("{}/v1/claims/{id}/void", self.claims_url());
            let sent = self.client.post(url).json(&serde_json::json!({"reason": "sent by mistake"})).send().await;
            match sent.map(|answer| answer.status()) {
                Ok(StatusCode::ACCEPTED) => return true,
                Ok(StatusCode::CONFLICT) => return false,
                Ok(status) => assert!(status.is_server_error(), "{id} cannot be voided: {status}"),
                Err(_) => {}
            }
            assert!(Instant::now() < until, "the void of {id} was not answered");
            // As in `submit`.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends a batch of claims as JSON Lines, and returns the ids of the accepted ones, in order.
    ///
    /// # Panics
    /// If it is not answered.
    pub async fn submit_batch(&self, claims: &[String]) -> Vec<String> {
        let request = self.client.post(format!("{}/v1/claims/batch", self.claims_url()));
        let request = request.header("content-type", "application/x-ndjson").timeout(SEND_TIMEOUT);
        let answer = request.body(claims.join("\n")).send().await.expect("the batch is answered");
        let lines = answer.text().await.expect("the results arrive");
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| line["id"].as_str().map(str::to_owned)).collect()
    }

    /// Retries a payment, as an operator does.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn retry_payment(&self, id: &str) {
        let url = format!("{}/v1/payments/{id}/retry", self.next_of(&self.payments_urls));
        let body = serde_json::json!({"reason": "the gateway is back"});
        let answer = self.client.post(url).json(&body).send().await.expect("payments answers");
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{:?}", answer.text().await);
    }

    /// The stuck payments; `None` while the service does not answer.
    pub async fn stuck_payments(&self) -> Option<Vec<Value>> {
        self.of_payments("/v1/payments?state=stuck").await?["payments"].as_array().cloned()
    }

    /// The metrics of payments; `None` while it does not answer.
    pub async fn payments_metrics(&self) -> Option<String> {
        let url = format!("{}/metrics", self.next_of(&self.payments_urls));
        self.client.get(url).send().await.ok()?.text().await.ok()
    }

    /// The reconciliation; `None` while the service does not answer.
    pub async fn try_reconciliation(&self) -> Option<Value> {
        self.of_claims("/v1/reconciliation").await
    }

    /// The reconciliation.
    ///
    /// # Panics
    /// If the service does not answer.
    pub async fn reconciliation(&self) -> Value {
        self.try_reconciliation().await.expect("the reconciliation answers")
    }

    /// A claim; `None` while the service does not answer.
    pub async fn claim(&self, id: &str) -> Option<Value> {
        self.of_claims(&format!("/v1/claims/{id}")).await
    }

    /// Waits until a claim is settled or unwound.
    ///
    /// # Panics
    /// If it has not ended by `until`.
    pub async fn ended(&self, id: &str, until: Instant) -> Value {
        self.ended_as(id, &["settled", "unwound"], until).await
    }

    /// Waits until a claim has one of these statuses.
    ///
    /// # Panics
    /// If it has none of them by `until`.
    pub async fn ended_as(&self, id: &str, wanted: &[&str], until: Instant) -> Value {
        let mut last = None;
        within(until.saturating_duration_since(Instant::now()), async || {
            last = self.claim(id).await.or(last.take());
            match &last {
                Some(claim) if claim["status"].as_str().is_some_and(|status| wanted.contains(&status)) => {
                    Ok(claim.clone())
                }
                _ => Err(format!("claim {id} ends: {last:?}; its payment: {:?}", self.payment(id).await)),
            }
        })
        .await
    }

    /// A claim's payment.
    pub async fn payment(&self, id: &str) -> Option<Value> {
        self.of_payments(&format!("/v1/payments/{id}")).await
    }

    /// The top 100 providers.
    pub async fn top_providers(&self) -> Option<Value> {
        self.of_claims("/v1/providers/top?limit=100").await
    }

    /// All claims, from all pages.
    ///
    /// # Panics
    /// If a page is not answered.
    pub async fn all_claims(&self) -> Vec<Value> {
        self.pages(&self.claims_urls, "/v1/claims?limit=200", "claims").await
    }

    /// The ledger's audit, without its claims.
    ///
    /// # Panics
    /// If the service does not answer.
    pub async fn audit(&self) -> Value {
        self.of_payments("/v1/ledger/audit?limit=1").await.expect("the audit answers")
    }

    /// The ledger's books of all claims.
    ///
    /// # Panics
    /// If a page is not answered.
    pub async fn ledger_claims(&self) -> Vec<Value> {
        self.pages(&self.payments_urls, "/v1/ledger/audit?limit=500", "claims").await
    }

    /// The totals of the gateway's own book.
    ///
    /// # Panics
    /// If the service does not answer.
    pub async fn book_summary(&self) -> Value {
        let gateway = std::slice::from_ref(&self.gateway_url);
        self.get(gateway, "/book/summary").await.expect("the gateway's book answers")
    }

    /// The gateway's own book, claim by claim.
    ///
    /// # Panics
    /// If a page is not answered.
    pub async fn book_claims(&self) -> Vec<Value> {
        let gateway = std::slice::from_ref(&self.gateway_url);
        self.pages(gateway, "/book/claims?limit=500", "claims").await
    }

    async fn of_claims(&self, path: &str) -> Option<Value> {
        self.get(&self.claims_urls, path).await
    }

    async fn of_payments(&self, path: &str) -> Option<Value> {
        self.get(&self.payments_urls, path).await
    }

    /// The answer of the next instance in round-robin order, or of another one if that does not answer.
    async fn get(&self, instances: &[String], path: &str) -> Option<Value> {
        for _ in instances {
            let url = format!("{}{path}", self.next_of(instances));
            if let Ok(answer) = self.client.get(url).send().await
                && answer.status() == StatusCode::OK
                && let Ok(body) = answer.json().await
            {
                return Some(body);
            }
        }
        None
    }

    async fn pages(&self, instances: &[String], path: &str, items: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut page_path = path.to_owned();
        loop {
            let page = self.get(instances, &page_path).await.expect("the page answers");
            all.extend(page[items].as_array().cloned().unwrap_or_default());
            let Some(cursor) = page["next_cursor"].as_str() else { return all };
            page_path = format!("{path}&cursor={cursor}");
        }
    }
}
