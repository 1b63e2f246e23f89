//! Applies what payments publishes: an outcome moves its claim as [`transition::apply`] decides, once; that a payment needs a
//! person is shown with its claim, and moves nothing.

use crate::db::outcome::StoredOutcome;
use crate::db::outcomes::{self, NewTimelineEntry, OutcomeRow};
use crate::db::provider_totals::Changes;
use crate::domain::transition::{self, Arrival, Effect, Status};
use crate::events::outgoing;
use claim_events::{ClaimId, Envelope, Event, PaymentAttention, PaymentEvent, PaymentMessage};
use dual_db::Result;
use event_bus::{DeadLetter, Handler, IncomingMessage, OutgoingMessage, Relay};
use std::collections::{BTreeSet, HashMap, HashSet};
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

/// A message that could be read.
#[allow(clippy::large_enum_variant, reason = "most are outcomes, and they live for one batch")]
enum Received<'a> {
    Outcome(Box<Outcome<'a>>),
    /// `payment.attention`, with the revision of the payment's saga.
    Attention {
        revision: i64,
        attention: PaymentAttention,
    },
}

/// The result of applying a batch: what is to be written in its transaction, and to be reported after the commit.
#[derive(Default)]
struct Applied {
    /// The keys of the claims that are no longer as they are stored.
    changed: HashSet<i64>,
    timeline: Vec<NewTimelineEntry>,
    totals: Changes,
    acknowledgements: Vec<OutgoingMessage>,
    dead_letters: Vec<DeadLetter>,
    reports: Vec<Report>,
}

/// What is logged and counted of an outcome. That happens once, after the commit: the transaction may run twice, or be rolled
/// back.
enum Report {
    Applied {
        claim_id: ClaimId,
        event_type: &'static str,
        status: Status,
        version: i64,
    },
    Contradiction,
    /// payments needs a person for a payment, for this reason, or no longer does.
    Attention {
        claim_id: ClaimId,
        reason: Option<String>,
        newly_marked: bool,
    },
}

impl Report {
    fn emit(self) {
        match self {
            Self::Applied { claim_id, event_type, status, version } => {
                metrics::counter!("outcomes_applied_total", "type" => event_type).increment(1);
                tracing::debug!(claim_id = claim_id.as_str(), status = status.as_str(), version, "outcome applied");
            }
            Self::Contradiction => metrics::counter!("outcome_contradictions_total").increment(1),
            Self::Attention { claim_id, reason, newly_marked } => {
                metrics::counter!("claims_marked_for_attention_total").increment(u64::from(newly_marked));
                match reason {
                    Some(reason) => tracing::warn!(
                        claim_id = claim_id.as_str(),
                        reason,
                        "claim needs attention: its payment is stuck"
                    ),
                    None => tracing::info!(claim_id = claim_id.as_str(), "the payment of a claim is no longer stuck"),
                }
            }
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
        let mut received = Vec::new();
        for message in batch {
            let decoded = Envelope::refuse_repeats(message.header_names()).and_then(|()| {
                PaymentMessage::decode(message.key.as_deref(), |name| message.header(name), &message.body)
            });
            match decoded {
                Ok((envelope, PaymentMessage::Outcome(event))) => {
                    received.push(Received::Outcome(Box::new(Outcome { envelope, event, message })));
                }
                Ok((envelope, PaymentMessage::Attention(attention))) => {
                    received.push(Received::Attention { revision: envelope.version, attention });
                }
                Err(error) => unreadable.push(DeadLetter { message: message.clone(), reason: error.to_string() }),
            }
        }
        let (reports, dead_letters) = self.relay.commit(|connection, publications| {
            let now_us = publications.now_us();
            let ids: BTreeSet<&str> = received.iter().map(Received::claim_id).collect();
            let ids: Vec<&str> = ids.into_iter().collect();
            let mut rows = outcomes::lock(connection, &ids)?;
            let mut applied = apply_all(&mut rows, &received, now_us);
            let changed: Vec<_> = rows.iter().filter(|row| applied.changed.contains(&row.id)).collect();
            outcomes::write(connection, &changed, &applied.timeline)?;
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

fn apply_all(rows: &mut [OutcomeRow], received: &[Received<'_>], now_us: i64) -> Applied {
    let mut rows: HashMap<String, &mut OutcomeRow> =
        rows.iter_mut().map(|row| (row.claim_id.to_string(), row)).collect();
    let mut applied = Applied::default();
    for received in received {
        match (received, rows.get_mut(received.claim_id())) {
            (Received::Outcome(outcome), Some(row)) => apply_one(row, outcome, now_us, &mut applied),
            (Received::Outcome(outcome), None) => {
                applied.dead_letter(outcome, "there is no such claim in this database");
            }
            (Received::Attention { revision, attention }, Some(row)) => {
                apply_attention(row, *revision, attention, &mut applied);
            }
            // Informational: if the claim comes back, payments reports it again when its outcome is re-requested.
            (Received::Attention { .. }, None) => {}
        }
    }
    applied
}

fn apply_one(row: &mut OutcomeRow, outcome: &Outcome<'_>, now_us: i64, applied: &mut Applied) {
    let arrival = Arrival {
        kind: outcome.event.kind(),
        version: outcome.envelope.version,
        claim_version: outcome.event.claim_version(),
        resync_epoch: outcome.event.resync_epoch(),
        differs: row.outcome_event().is_some_and(|known| !known.tells_the_same_end_as(&outcome.event)),
    };
    let answers = match transition::apply(row.state(), arrival) {
        Effect::Nothing { answers } => answers,
        Effect::Alarm => {
            applied.reports.push(Report::Contradiction);
            applied.dead_letter(outcome, "it contradicts the outcome recorded under the same version");
            false
        }
        Effect::Applied { status, entered_unwound, answers } => {
            row.status = status;
            row.outcome = Some(StoredOutcome {
                kind: arrival.kind,
                version: arrival.version,
                at_us: now_us,
                body: outcome.event.body(),
            });
            if entered_unwound {
                applied.totals.remove(&row.provider_npi, row.net_fee_cents);
            }
            if status != Status::VoidRequested {
                row.attention.payment_attention = None;
            }
            applied.changed.insert(row.id);
            applied.timeline.push(NewTimelineEntry { claim_key: row.id, at_us: now_us, event: arrival.kind.into() });
            applied.reports.push(Report::Applied {
                claim_id: row.claim_id.clone(),
                event_type: outcome.event.event_type(),
                status,
                version: arrival.version,
            });
            answers
        }
    };
    if answers && row.next_attempt_at_us.take().is_some() {
        row.attention.outcome_overdue = false;
        row.attention.payment_attention = None;
        applied.changed.insert(row.id);
    }
    if outcome.event.unsolicited() {
        applied.acknowledgements.extend(outgoing::outcome_recorded(row, &outcome.envelope.id));
    }
}

/// Shows with its claim that a payment needs a person, or no longer does. One that is late, or a repeat, changes nothing: the
/// revision of the payment's saga only rises, but for a lost database, whose claims get a new resync epoch.
fn apply_attention(row: &mut OutcomeRow, revision: i64, attention: &PaymentAttention, applied: &mut Applied) {
    let known = &mut row.attention;
    if attention.resync_epoch < row.resync_epoch || revision <= known.payment_attention_revision {
        return;
    }
    let was_needed = known.is_needed();
    let before = known.payment_attention.take();
    known.payment_attention_revision = revision;
    if attention.raised {
        known.payment_attention = Some(attention.reason.clone().unwrap_or_else(|| "no reason was given".to_owned()));
    }
    applied.changed.insert(row.id);
    // The same reason under a later revision, or an end of what was not known, is not worth a line.
    if known.payment_attention.is_some() != before.is_some() {
        applied.reports.push(Report::Attention {
            claim_id: row.claim_id.clone(),
            reason: known.payment_attention.clone(),
            newly_marked: known.is_needed() && !was_needed,
        });
    }
}

impl Received<'_> {
    fn claim_id(&self) -> &str {
        match self {
            Self::Outcome(outcome) => outcome.event.claim_id(),
            Self::Attention { attention, .. } => &attention.claim_id,
        }
    }
}

impl Applied {
    fn dead_letter(&mut self, outcome: &Outcome<'_>, reason: &str) {
        self.dead_letters.push(DeadLetter { message: outcome.message.clone(), reason: reason.to_owned() });
    }
}
