//! Applies the outcomes that payments publishes: each moves its claim as [`transition::apply`] decides, once.

use crate::db::claims::{self, ClaimRow};
use crate::db::outcome::StoredOutcome;
use crate::db::provider_totals::Changes;
use crate::db::requests;
use crate::domain::transition::{self, Arrival, Effect};
use crate::events::outgoing;
use claim_events::{Envelope, Event, PaymentEvent};
use dual_db::{Connection, Result};
use event_bus::{DeadLetter, Handler, IncomingMessage, OutgoingMessage, Relay};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The consumer of payments' topic.
#[derive(Debug)]
pub struct Outcomes {
    relay: Arc<Relay>,
}

/// An outcome with the message that carried it.
struct Outcome<'a> {
    envelope: Envelope,
    event: PaymentEvent,
    message: &'a IncomingMessage,
}

/// The result of applying a batch: what is still to be written in its transaction, and to be reported after the commit.
#[derive(Default)]
struct Applied {
    totals: Changes,
    acknowledgements: Vec<OutgoingMessage>,
    dead_letters: Vec<DeadLetter>,
    reports: Vec<Report>,
}

/// What is logged and counted of an outcome. That happens once, after the commit: the transaction may run twice, or be rolled
/// back.
enum Report {
    Applied { claim_id: String, event_type: &'static str, status: &'static str, version: i64 },
    Contradiction,
}

impl Report {
    fn emit(self) {
        match self {
            Self::Applied { claim_id, event_type, status, version } => {
                metrics::counter!("outcomes_applied_total", "type" => event_type).increment(1);
                tracing::info!(claim_id, status, version, "outcome applied");
            }
            Self::Contradiction => metrics::counter!("outcome_contradictions_total").increment(1),
        }
    }
}

impl Outcomes {
    /// A consumer that commits, and acknowledges unsolicited outcomes, through `relay`.
    pub fn new(relay: Arc<Relay>) -> Self {
        Self { relay }
    }
}

impl Handler for Outcomes {
    fn handle(&mut self, batch: &[IncomingMessage]) -> Result<()> {
        let mut unreadable = Vec::new();
        let mut outcomes = Vec::new();
        for message in batch {
            let decoded = Envelope::refuse_repeats(message.header_names()).and_then(|()| {
                PaymentEvent::decode(message.key.as_deref(), |name| message.header(name), &message.body)
            });
            match decoded {
                Ok((envelope, event)) => outcomes.push(Outcome { envelope, event, message }),
                Err(error) => unreadable.push(DeadLetter { message: message.clone(), reason: error.to_string() }),
            }
        }
        let (reports, dead_letters) = self.relay.commit(|connection, publications| {
            let now_us = publications.now_us();
            let mut applied = apply_all(connection, &outcomes, now_us)?;
            applied.dead_letters.extend(unreadable.iter().cloned());
            applied.totals.apply(connection)?;
            let dead_letters = event_bus::insert_dead_letters(connection, &applied.dead_letters, now_us)?;
            publications.publish(applied.acknowledgements);
            Ok((applied.reports, dead_letters))
        })?;
        reports.into_iter().for_each(Report::emit);
        dead_letters.report();
        Ok(())
    }
}

fn apply_all(connection: &mut Connection, outcomes: &[Outcome<'_>], now_us: i64) -> Result<Applied> {
    let ids: BTreeSet<&str> = outcomes.iter().map(|outcome| outcome.event.claim_id()).collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    let mut rows: HashMap<String, ClaimRow> =
        claims::find_for_update(connection, &ids)?.into_iter().map(|row| (row.claim_id.clone(), row)).collect();
    let mut applied = Applied::default();
    for outcome in outcomes {
        match rows.get_mut(outcome.event.claim_id()) {
            Some(row) => apply_one(connection, row, outcome, now_us, &mut applied)?,
            None => applied.dead_letter(outcome, "there is no such claim in this database"),
        }
    }
    Ok(applied)
}

fn apply_one(
    connection: &mut Connection,
    row: &mut ClaimRow,
    outcome: &Outcome<'_>,
    now_us: i64,
    applied: &mut Applied,
) -> Result<()> {
    let arrival = Arrival {
        kind: outcome.event.kind(),
        version: outcome.envelope.version,
        claim_version: outcome.event.claim_version(),
        resync_epoch: outcome.event.resync_epoch(),
        differs: row.outcome_event().is_some_and(|known| !known.tells_the_same_end_as(&outcome.event)),
    };
    let answers = match transition::apply(row.state()?, arrival) {
        Effect::Nothing { answers } => answers,
        Effect::Alarm => {
            applied.reports.push(Report::Contradiction);
            applied.dead_letter(outcome, "it contradicts the outcome recorded under the same version");
            false
        }
        Effect::Applied { status, entered_unwound, answers } => {
            let stored = StoredOutcome {
                kind: arrival.kind,
                version: arrival.version,
                at_us: now_us,
                body: outcome.event.body(),
            };
            claims::record_outcome(connection, row.id, status, &stored)?;
            row.status = status.name().to_owned();
            row.outcome = Some(stored);
            if entered_unwound {
                applied.totals.remove(&row.provider_npi, row.net_fee_cents);
            }
            applied.reports.push(Report::Applied {
                claim_id: row.claim_id.clone(),
                event_type: outcome.event.event_type(),
                status: status.name(),
                version: arrival.version,
            });
            answers
        }
    };
    if answers && row.next_attempt_at_us.take().is_some() {
        requests::record_answered(connection, row.id)?;
    }
    if outcome.event.unsolicited() {
        applied.acknowledgements.extend(outgoing::outcome_recorded(row, &outcome.envelope.id));
    }
    Ok(())
}

impl Applied {
    fn dead_letter(&mut self, outcome: &Outcome<'_>, reason: &str) {
        self.dead_letters.push(DeadLetter { message: outcome.message.clone(), reason: reason.to_owned() });
    }
}
