//! Sends webhooks about returned payments, and retries each until the receiver confirms it.

use crate::db::returns;
use crate::domain::webhook::{Returned, SIGNATURE_HEADER, signature};
use crate::settings::WebhookSettings;
use actix_web::web;
use anyhow::Context;
use dual_db::Database;
use reqwest::{Client, StatusCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;
use worker_threads::Backoff;

/// The most returns that one query takes.
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
            for returned in take_due(&database, &settings).await {
                send(&client, &database, &settings, &returned).await;
            }
            tokio::time::sleep(Duration::from_millis(settings.interval_ms)).await;
        }
    })))
}

async fn take_due(database: &Database, settings: &WebhookSettings) -> Vec<Returned> {
    let database = database.clone();
    let backoff = Backoff::from_millis(settings.retry_pause_ms, settings.max_retry_pause_ms);
    let taken = web::block(move || {
        database.write(|connection| {
            let now_us = connection.now_us()?;
            let next_attempt_at_us =
                |attempts: i64| now_us + dual_db::micros(backoff.pause(u32::try_from(attempts).unwrap_or(0)));
            returns::take_due(connection, now_us, next_attempt_at_us, MAX_TAKEN)
        })
    });
    match taken.await {
        Ok(Ok(returned)) => returned,
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "due returns could not be read, retrying");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

async fn send(client: &Client, database: &Database, settings: &WebhookSettings, returned: &Returned) {
    let body = returned.body();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let signed = signature(settings.secret.expose(), i64::try_from(now_s).unwrap_or(0), &body);
    let response = client
        .post(&settings.url)
        .header(SIGNATURE_HEADER, signed)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await;
    let status = response.as_ref().map(reqwest::Response::status).ok();
    // 409: the receiver has got this webhook before.
    let delivered = status.is_some_and(|status| status.is_success() || status == StatusCode::CONFLICT);
    metrics::counter!("gateway_webhooks_total", "delivered" => if delivered { "yes" } else { "no" }).increment(1);
    if !delivered {
        return tracing::info!(reference = returned.reference, ?status, "webhook of a return not delivered, retrying");
    }
    tracing::info!(reference = returned.reference, ?status, "webhook of a return delivered");
    let (database, event_id) = (database.clone(), returned.event_id.clone());
    let stored = web::block(move || database.write(|connection| returns::mark_delivered(connection, &event_id)));
    if !matches!(stored.await, Ok(Ok(()))) {
        tracing::warn!("delivery of a webhook could not be stored, sent again later");
    }
}
