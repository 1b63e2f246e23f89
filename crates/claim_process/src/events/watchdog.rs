//! The watchdog: re-publishes the current event of claims whose outcome is overdue, so that a lost message, or a Kafka that
//! lost its data, costs time and no claims. It only writes outbox rows; the sweeper and the relay publish them.

use crate::db::attention::Attention;
use crate::db::requests;
use crate::events::outgoing;
use crate::settings::WatchdogSettings;
use dual_db::{Database, Result};
use event_bus::Relay;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use worker_threads::{Backoff, Pace, Periodic};

/// Starts the watchdog.
pub fn start(database: Database, relay: Arc<Relay>, settings: WatchdogSettings) -> Periodic {
    let mut due_times = requests::due_times(settings.longest_pause());
    Periodic::spawn("watchdog", Duration::from_millis(settings.interval_ms), move || {
        due_times.check(&database);
        if let Err(error) = request_overdue_outcomes(&database, &relay, &settings) {
            tracing::warn!(error = &error as &dyn std::error::Error, "overdue outcomes not re-requested; retrying");
        }
        Pace::Pause
    })
}

/// Re-requests the outcomes of overdue claims, at most as many as the settings allow, and returns how many requests it wrote.
/// It skips a claim whose identical request is still in the outbox, for instance because Kafka is down, and reports one whose
/// row cannot be read. In any case the claim is due again after its pause.
///
/// # Errors
/// The database's.
pub fn request_overdue_outcomes(database: &Database, relay: &Relay, settings: &WatchdogSettings) -> Result<usize> {
    let any_overdue = database.read(|connection| {
        let now_us = connection.now_us()?;
        requests::any_overdue(connection, now_us)
    })?;
    if !any_overdue {
        return Ok(0);
    }
    let backoff = Backoff::from_millis(settings.first_pause_ms, settings.max_pause_ms);
    let (requested, newly_marked, unreadable) = relay.commit(|connection, publications| {
        let now_us = publications.now_us();
        let overdue = requests::lock_overdue(connection, now_us, settings.max_claims)?;
        let readable = overdue.iter().filter_map(|due| due.claim.as_ref().ok());
        let messages: Vec<_> = readable.map(outgoing::current_event).collect();
        let unpublishable = event_bus::unpublishable(connection, &messages)?;
        let unpublishable: HashSet<&str> = messages
            .iter()
            .filter(|message| unpublishable.contains(&message.event_id))
            .map(|message| message.key.as_str())
            .collect();
        let mut newly_marked = Vec::new();
        for due in &overdue {
            let request_count = due.request_count + 1;
            // The first pause was that after its submission.
            let pause = backoff.pause(u32::try_from(request_count + 1).unwrap_or(u32::MAX));
            let is_unpublishable = unpublishable.contains(due.claim_id.as_str());
            let outcome_overdue = request_count >= settings.attention_after || is_unpublishable;
            let attention = Attention { outcome_overdue, ..due.attention.clone() };
            if outcome_overdue && !due.attention.outcome_overdue {
                newly_marked.push((due.claim_id.clone(), request_count, is_unpublishable));
            }
            requests::record_request(connection, due.id, now_us + dual_db::micros(pause), request_count, &attention)?;
        }
        let requested = publications.publish_unless_waiting(connection, &messages)?;
        let unreadable: Vec<_> = overdue.into_iter().filter_map(|due| Some((due.claim_id, due.claim.err()?))).collect();
        Ok((requested, newly_marked, unreadable))
    })?;
    for (claim_id, error) in unreadable {
        metrics::counter!("unreadable_claims_total").increment(1);
        tracing::error!(
            claim_id,
            error = &error as &dyn std::error::Error,
            "claim cannot be read, outcome not re-requested"
        );
    }
    for (claim_id, request_count, is_unpublishable) in newly_marked {
        metrics::counter!("claims_marked_for_attention_total").increment(1);
        if is_unpublishable {
            tracing::warn!(claim_id, request_count, "claim needs attention: its event cannot be published");
        } else {
            tracing::warn!(claim_id, request_count, "claim needs attention: no outcome after repeated requests");
        }
    }
    // 0 if another instance was faster, or if all requests are still in the outbox.
    if requested > 0 {
        metrics::counter!("outcome_requests_total").increment(requested as u64);
        tracing::info!(claims = requested, "overdue outcomes re-requested");
    }
    Ok(requested)
}
