//! Asks again: says the current event of every claim whose outcome is overdue once more. A message lost anywhere, or a
//! whole Kafka, so costs time and not claims. It only writes outbox rows; the sweeper and the relay do the sending.

use crate::db::claims;
use crate::events::outgoing;
use crate::settings::WatchdogSettings;
use dual_db::{Database, Result};
use event_bus::Relay;
use std::sync::Arc;
use std::time::Duration;
use worker_threads::{Backoff, Pace, Periodic};

/// Starts the watchdog.
pub fn start(database: Database, relay: Arc<Relay>, settings: WatchdogSettings) -> Periodic {
    Periodic::spawn("watchdog", Duration::from_millis(settings.interval_ms), move || {
        if let Err(error) = request_overdue_outcomes(&database, &relay, &settings) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "overdue claims could not be asked for; trying again"
            );
        }
        Pace::Pause
    })
}

/// Asks for the claims that are due, at most as many as the settings allow. A question that waits in the outbox, word for
/// word, is not put beside itself: it goes out when Kafka is there, and its claim is due again after the pause whether it
/// was put or not. Returns how many were put.
///
/// # Errors
/// The database's.
pub fn request_overdue_outcomes(database: &Database, relay: &Relay, settings: &WatchdogSettings) -> Result<usize> {
    let any = database.read(|connection| {
        let now_us = connection.now_us()?;
        claims::any_due(connection, now_us)
    })?;
    if !any {
        return Ok(0);
    }
    let backoff = Backoff::from_millis(settings.first_pause_ms, settings.max_pause_ms);
    let (asked, newly_marked) = relay.commit(|connection, publications| {
        let now_us = publications.now_us();
        let due = claims::take_due(connection, now_us, settings.max_claims)?;
        let mut newly_marked = Vec::new();
        for claim in &due {
            let request_count = claim.row.request_count + 1;
            // The first pause was that after its submission.
            let pause = backoff.pause(u32::try_from(request_count + 1).unwrap_or(u32::MAX));
            let needs_attention = request_count >= settings.attention_after;
            if needs_attention && !claim.row.needs_attention {
                newly_marked.push((claim.row.claim_id.clone(), request_count));
            }
            claims::note_requested(
                connection,
                claim.row.id,
                now_us + dual_db::micros(pause),
                request_count,
                needs_attention,
            )?;
        }
        let messages: Vec<_> = due.iter().map(outgoing::current_event).collect();
        let asked = publications.publish_unless_waiting(connection, &messages)?;
        Ok((asked, newly_marked))
    })?;
    for (claim_id, request_count) in newly_marked {
        metrics::counter!("claims_marked_for_attention_total").increment(1);
        tracing::warn!(claim_id, request_count, "a claim has no outcome, however often it was asked for");
    }
    // None where another instance was quicker, or what there is to ask waits in the outbox.
    if asked > 0 {
        metrics::counter!("outcome_requests_total").increment(asked as u64);
        tracing::info!(claims = asked, "overdue outcomes requested again");
    }
    Ok(asked)
}
