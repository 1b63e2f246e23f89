//! Tells whoever paid that a payment came back, again and again until they say that they know.

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

/// Told in one go.
const MOST_AT_ONCE: i64 = 100;

/// Starts telling; aborting the task ends it. None where nobody is to be told.
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
        .context("the HTTP client for webhooks could not be made")?;
    let settings = settings.clone();
    Ok(Some(tokio::spawn(async move {
        loop {
            for returned in take_due(&database, &settings).await {
                tell(&client, &database, &settings, &returned).await;
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
            let again_at_us =
                |attempts: i64| now_us + dual_db::micros(backoff.pause(u32::try_from(attempts).unwrap_or(0)));
            returns::take_due(connection, now_us, again_at_us, MOST_AT_ONCE)
        })
    });
    match taken.await {
        Ok(Ok(returned)) => returned,
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "returns could not be looked for; trying again");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

async fn tell(client: &Client, database: &Database, settings: &WebhookSettings, returned: &Returned) {
    let body = returned.body();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let signed = signature(settings.secret.expose(), i64::try_from(now_s).unwrap_or(0), &body);
    let sent = client
        .post(&settings.url)
        .header(SIGNATURE_HEADER, signed)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await;
    let status = sent.as_ref().map(reqwest::Response::status).ok();
    // 409: they were told before.
    let known = status.is_some_and(|status| status.is_success() || status == StatusCode::CONFLICT);
    metrics::counter!("gateway_webhooks_total", "known" => if known { "yes" } else { "no" }).increment(1);
    if !known {
        return tracing::info!(
            reference = returned.reference,
            ?status,
            "a payment came back; whoever paid is told again"
        );
    }
    tracing::info!(reference = returned.reference, ?status, "a payment came back, and whoever paid was told");
    let (database, event_id) = (database.clone(), returned.event_id.clone());
    let noted = web::block(move || database.write(|connection| returns::note_told(connection, &event_id)));
    if !matches!(noted.await, Ok(Ok(()))) {
        tracing::warn!("it could not be noted that somebody was told; they are told again");
    }
}
