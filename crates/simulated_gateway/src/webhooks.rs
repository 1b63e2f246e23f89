//! Sends webhooks about returned payments and failed refunds, and retries each until the receiver confirms it.

use crate::db::notices;
use crate::domain::webhook::{Notice, SIGNATURE_HEADER, signatures};
use crate::settings::WebhookSettings;
use actix_web::web;
use anyhow::Context;
use dual_db::Database;
use reqwest::{Client, StatusCode};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;
use worker_threads::Backoff;

/// The most notices that one query takes.
const MAX_TAKEN: i64 = 100;

/// Starts the task that sends webhooks; aborting it ends it. Returns `None` if no URL is set.
///
/// # Errors
/// When the HTTP client cannot be made.
pub fn start(database: Database, settings: &WebhookSettings) -> anyhow::Result<Option<JoinHandle<()>>> {
    if settings.url.is_empty() {
        return Ok(None);
    }
    let client = Client::builder()
        .timeout(Duration::from_millis(settings.timeout_ms))
        .build()
        .context("the HTTP client for webhooks could not be created")?;
    let settings = settings.clone();
    Ok(Some(tokio::spawn(async move {
        loop {
            for notice in take_due(&database, &settings).await {
                report(&client, &database, &settings, &notice).await;
            }
            tokio::time::sleep(Duration::from_millis(settings.interval_ms)).await;
        }
    })))
}

async fn take_due(database: &Database, settings: &WebhookSettings) -> Vec<Notice> {
    let database = database.clone();
    let backoff = Backoff::from_millis(settings.retry_pause_ms, settings.max_retry_pause_ms);
    let taken = web::block(move || {
        database.write(|connection| {
            let now_us = connection.now_us()?;
            let next_attempt_at_us =
                |attempts: i64| now_us + dual_db::micros(backoff.pause(u32::try_from(attempts).unwrap_or(0)));
            notices::take_due(connection, now_us, next_attempt_at_us, MAX_TAKEN)
        })
    });
    match taken.await {
        Ok(Ok(notices)) => notices,
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "due notices could not be read, retrying");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

/// Sends the webhook of a notice, and what the settings add to it.
async fn report(client: &Client, database: &Database, settings: &WebhookSettings, notice: &Notice) {
    if settings.unknown_events {
        let unknown = json!({"id": format!("{}.audited", notice.event_id), "type": "payment.audited"}).to_string();
        send(client, settings, &unknown).await;
    }
    let body = notice.body(settings.currency_in_lower_case);
    let mut status = send(client, settings, &body).await;
    if settings.deliver_twice && is_delivered(status) {
        status = send(client, settings, &body).await;
    }
    let (reference, kind) = (&notice.reference, notice.event.name());
    if !is_delivered(status) {
        return tracing::info!(reference, kind, ?status, "webhook not delivered, retrying");
    }
    tracing::info!(reference, kind, ?status, "webhook delivered");
    let (database, event_id) = (database.clone(), notice.event_id.clone());
    let stored = web::block(move || database.write(|connection| notices::mark_delivered(connection, &event_id)));
    if !matches!(stored.await, Ok(Ok(()))) {
        tracing::warn!("delivery of a webhook could not be stored, sent again later");
    }
}

/// Sends a body, signed now; the status of the response.
async fn send(client: &Client, settings: &WebhookSettings, body: &str) -> Option<StatusCode> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now_s = i64::try_from(now_s).unwrap_or(0);
    let secrets = [settings.secret.expose(), settings.second_secret.expose()];
    let headers = match settings.signatures_apart {
        true => secrets
            .into_iter()
            .filter(|secret| !secret.is_empty())
            .map(|secret| signatures(&[secret], now_s, body))
            .collect(),
        false => vec![signatures(&secrets, now_s, body)],
    };
    let request = client.post(&settings.url).header("content-type", "application/json").body(body.to_owned());
    let signed = headers.into_iter().fold(request, |request, header| request.header(SIGNATURE_HEADER, header));
    let status = signed.send().await.as_ref().map(reqwest::Response::status).ok();
    let delivered = if is_delivered(status) { "yes" } else { "no" };
    metrics::counter!("gateway_webhooks_total", "delivered" => delivered).increment(1);
    status
}

fn is_delivered(status: Option<StatusCode>) -> bool {
    status.is_some_and(|status| status.is_success())
}
