//! Carries out what the reducer decides: one transaction for a batch of inputs, then the calls.
//!
//! Everything a write brings with it (the saga, its bookings, its budget, its outcome in the outbox) is committed
//! together. Gateway calls come after the commit that holds their intent; their answers are written only against the
//! revision under which the calls were made, but for those that stay true whenever they come.

mod apply_effects;
pub mod clock;
pub mod operator;
mod report;
pub mod returns;
mod schedule;
mod tally;
mod unwritten;

use crate::db::attention::{self, SagaAttention};
use crate::db::restore_marker::{self, StoredMarker};
use crate::db::sagas::{self, StoredSaga};
use crate::domain::saga::{self, Answer, ClaimUpdate, Input, PlannedCall};
use crate::messages;
use crate::settings::Settings;
use claim_events::OutcomeRecorded;
use clock::Clock;
use dual_db::{Connection, Database, DueTimes, Result, TrustedClock};
use event_bus::{DeadLetter, NewDeadLetters, OutgoingMessage, Relay};
use report::{Report, alarm};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tally::Tally;
use unwritten::Unwritten;
use worker_threads::Periodic;

/// Shared by everything that moves sagas on.
#[derive(Debug, Clone)]
pub struct Executor {
    database: Database,
    relay: Arc<Relay>,
    settings: Arc<Settings>,
    worker: String,
    clock: Clock,
    /// By which a claim is too old to be begun; without one, by `clock`.
    trusted: Option<TrustedClock>,
    tally: Tally,
}

/// An event of claim_process, read.
#[derive(Debug, Clone)]
pub enum Received {
    /// A claim is to be paid, or not any more.
    Claim(Box<ClaimEventRead>),
    /// claim_process has recorded an unsolicited outcome.
    Recorded(OutcomeRecorded),
}

/// A claim's event, read.
#[derive(Debug, Clone)]
pub struct ClaimEventRead {
    /// What it brings to the saga.
    pub update: ClaimUpdate,
    /// Hash of its content.
    pub content_hash: String,
    /// Its id.
    pub event_id: String,
    /// The id of the request that began it all.
    pub correlation_id: String,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
    /// The message it came in, should it have to be dead-lettered.
    pub message: event_bus::IncomingMessage,
}

/// What a transaction writes at its end and publishes, and what it leaves to be done after its commit. Every run of the transaction begins
/// with an empty one.
#[derive(Default)]
struct Outbound {
    unwritten: Unwritten,
    messages: Vec<OutgoingMessage>,
    republished: Vec<OutgoingMessage>,
    calls: BTreeMap<String, PlannedCall>,
    reports: Vec<Report>,
    dead_letters: NewDeadLetters,
}

impl Outbound {
    /// Raises an alarm once this is committed: an operator must look.
    fn alarm(&mut self, claim_id: &str, what: &'static str) {
        self.reports.push(Report::Alarm { claim_id: claim_id.to_owned(), what });
    }

    /// Informs claim_process that a payment needs a person, or no longer does, and logs it.
    fn attention(&mut self, attention: SagaAttention, stored: &StoredSaga) {
        self.messages.push(messages::attention(&attention));
        self.reports.push(if attention.reason.is_some() {
            let (step, tries) = (report::step(&stored.saga), stored.saga.attempts.all());
            Report::Stuck { attention, step, tries, last_answer: stored.last_answer.clone() }
        } else {
            Report::NoLongerStuck { claim_id: attention.claim_id, state: stored.state() }
        });
    }
}

/// What a transaction works under: the database's clock and its marker.
#[derive(Debug, Clone, Copy)]
struct Now {
    us: i64,
    marker: StoredMarker,
}

impl Received {
    fn claim_id(&self) -> &str {
        match self {
            Received::Claim(event) => &event.update.claim_id,
            Received::Recorded(recorded) => &recorded.claim_id,
        }
    }
}

impl Executor {
    /// Carries out over this database, which is that of the relay, announcing through the relay. `worker` names this instance.
    pub fn new(database: Database, relay: Arc<Relay>, settings: Arc<Settings>, worker: String) -> Self {
        Self { database, relay, settings, worker, clock: Clock::Database, trusted: None, tally: Tally::default() }
    }

    /// The same, by a clock that one wrong reading cannot mislead, where claims are given up for their age.
    #[must_use]
    pub fn trusting(self, clock: TrustedClock) -> Self {
        Self { trusted: Some(clock), ..self }
    }

    /// Begins to log, once a second, how many outcomes were published.
    pub fn keep_logging(&self) -> Periodic {
        self.tally.keep_logging()
    }

    /// The same, by another clock.
    #[must_use]
    pub fn by(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Applies claims' events, and dead-letters what could not be read or contradicts what was read before.
    ///
    /// # Errors
    /// The database's; nothing was applied then.
    pub fn apply_events(&self, events: &[Received], unreadable: &[DeadLetter]) -> Result<Vec<PlannedCall>> {
        self.commit(|connection, now, out| {
            let mut known = held(connection, events.iter().map(Received::claim_id), now)?;
            let mut dead_letters = unreadable.to_vec();
            for received in events {
                let event = match received {
                    Received::Claim(event) => event,
                    Received::Recorded(OutcomeRecorded { claim_id, known_outcome, resync_epoch }) => {
                        if let Some(stored) = known.get_mut(claim_id) {
                            let recorded = Input::Recorded { known: *known_outcome, resync_epoch: *resync_epoch };
                            let result = saga::advance(stored.saga.clone(), recorded);
                            self.apply_effects(connection, stored, result, now, out)?;
                        }
                        continue;
                    }
                };
                if !known.contains_key(&event.update.claim_id) && self.may_be_too_late(&event.update, now) {
                    out.reports.push(Report::DeadlineInDoubt);
                    continue;
                }
                match known.remove(&event.update.claim_id) {
                    Some(stored) if stored.content_hash != event.content_hash => {
                        out.reports.push(Report::ClaimContradicts);
                        dead_letters.push(DeadLetter {
                            message: event.message.clone(),
                            reason: "its content contradicts an earlier event of the claim".to_owned(),
                        });
                        known.insert(event.update.claim_id.clone(), stored);
                    }
                    stored => {
                        let stored = self.receive(connection, stored, event, now, out)?;
                        known.insert(event.update.claim_id.clone(), stored);
                    }
                }
            }
            self.note_resynced(connection, events, now, out)?;
            self.apply_waiting_returns(connection, &mut known, now, out)?;
            out.dead_letters = event_bus::insert_dead_letters(connection, &dead_letters, now.us)?;
            Ok(())
        })
    }

    /// Writes answers of the gateway, each against the revision under which its call was made, or whenever it comes where it
    /// stays true.
    ///
    /// # Errors
    /// The database's; nothing was written then.
    pub fn apply_answers(&self, answers: &[Answer]) -> Result<Vec<PlannedCall>> {
        self.commit(|connection, now, out| {
            let mut known = held(connection, answers.iter().map(|answer| answer.claim_id.as_str()), now)?;
            for answer in answers {
                let Some(stored) = known.get_mut(&answer.claim_id) else { continue };
                if stored.call_revision != answer.revision && !stored.saga.accepts_late(&answer.input) {
                    if let Some(what) = stored.saga.contradiction(&answer.input) {
                        out.alarm(&answer.claim_id, what);
                    }
                    out.reports.push(Report::StaleAnswer);
                    continue;
                }
                stored.last_answer.clone_from(&answer.unclear);
                let input = self.with_age(answer.input.clone(), stored, now);
                let result = saga::advance(stored.saga.clone(), input);
                self.apply_effects(connection, stored, result, now, out)?;
            }
            self.apply_waiting_returns(connection, &mut known, now, out)?;
            Ok(())
        })
    }

    /// Takes up to `limit` sagas whose worker stopped or whose pause is over. One that the database refuses to write, as
    /// where its facts contradict the ledger, is shown as stuck and left alone for a while, so that the others get on.
    ///
    /// # Errors
    /// The database's; none was taken then.
    pub fn resume(&self, limit: i64) -> Result<Vec<PlannedCall>> {
        let any = self.database.read(|connection| {
            let now_us = self.clock.now_us(connection)?;
            sagas::any_due(connection, now_us)
        })?;
        if !any || limit < 1 {
            return Ok(Vec::new());
        }
        let mut refused: Vec<String> = Vec::new();
        // Until one of them is refused, all are written at once.
        let mut one_by_one = false;
        loop {
            let mut in_hand = None;
            let taken = self.commit(|connection, now, out| {
                in_hand = None;
                for claim_id in &refused {
                    let reason = "the database refuses what follows from its facts";
                    self.mark_stuck(connection, claim_id, reason, now, out)?;
                }
                let (due, unreadable) = sagas::take_due(connection, now.us, limit)?;
                for claim_id in unreadable {
                    out.alarm(
                        &claim_id,
                        "the facts of a payment cannot be read: was a newer version of this program here?",
                    );
                    let reason = "its facts cannot be read by this version of the program";
                    self.mark_stuck(connection, &claim_id, reason, now, out)?;
                }
                for mut stored in due {
                    if one_by_one {
                        in_hand = Some(stored.saga.claim_id.clone());
                    }
                    stored.saga = stored.saga.under(now.marker.marker);
                    self.choose_call(&mut stored, now);
                    let result = saga::advance(stored.saga.clone(), Input::Resume);
                    self.apply_effects(connection, &mut stored, result, now, out)?;
                    if one_by_one {
                        out.unwritten.write(connection, now.us)?;
                    }
                }
                in_hand = None;
                Ok(())
            });
            // As many as may be taken at once, so that this ends.
            let more = i64::try_from(refused.len()).is_ok_and(|refused| refused < limit);
            match (taken, in_hand) {
                (Err(error), Some(claim_id)) if more && self.is_the_sagas_fault(&error) => {
                    tracing::warn!(claim_id, error = &error as &dyn std::error::Error, "saga not written");
                    alarm(&claim_id, "a payment cannot get on: the database refuses what follows from its facts");
                    refused.push(claim_id);
                }
                (Err(error), None) if !one_by_one && self.is_the_sagas_fault(&error) => one_by_one = true,
                (taken, _) => return taken,
            }
        }
    }

    /// Whether an error is about the saga in hand: its rows are refused, or the database fails it and can be written.
    pub fn is_the_sagas_fault(&self, error: &dual_db::Error) -> bool {
        error.is_refusal() || matches!(error, dual_db::Error::Failed(_)) && self.database.probe_write().is_ok()
    }

    /// When sagas are due, to be checked before [`Executor::resume`].
    pub fn due_times(&self) -> DueTimes {
        schedule::due_times(&self.settings.saga)
    }

    /// Makes sagas due now that a clock that was ahead made due later than any pause lasts.
    pub fn check(&self, due_times: &mut DueTimes) {
        due_times.check(&self.database);
    }

    /// Shows a saga that is due as stuck, and leaves it alone for the longest pause.
    fn mark_stuck(
        &self,
        connection: &mut Connection,
        claim_id: &str,
        reason: &str,
        now: Now,
        out: &mut Outbound,
    ) -> Result<()> {
        let next_attempt_at_us = now.us + dual_db::micros(Duration::from_millis(self.settings.saga.max_retry_pause_ms));
        if let Some(raised) = attention::mark_stuck(connection, claim_id, now.us, next_attempt_at_us, reason)? {
            out.messages.push(messages::attention(&raised));
            out.reports.push(Report::Stuck { attention: raised, step: "resume", tries: 0, last_answer: None });
        }
        Ok(())
    }

    fn commit(
        &self,
        mut body: impl FnMut(&mut Connection, Now, &mut Outbound) -> Result<()>,
    ) -> Result<Vec<PlannedCall>> {
        let out = self.relay.commit(|connection, publications| {
            let now = Now { us: self.clock.of(publications.now_us()), marker: restore_marker::current(connection)? };
            let mut out = Outbound::default();
            body(connection, now, &mut out)?;
            out.unwritten.write(connection, now.us)?;
            publications.publish(std::mem::take(&mut out.messages));
            // While Kafka is away, what is republished again and again waits once.
            publications.publish_unless_waiting(connection, &std::mem::take(&mut out.republished))?;
            Ok(out)
        })?;
        out.reports.into_iter().for_each(|report| report.make(&self.tally));
        out.dead_letters.report();
        Ok(out.calls.into_values().collect())
    }

    fn receive(
        &self,
        connection: &mut Connection,
        stored: Option<StoredSaga>,
        event: &ClaimEventRead,
        now: Now,
        out: &mut Outbound,
    ) -> Result<StoredSaga> {
        let update = self.with_deadline(&event.update, now);
        let attention_before = stored.as_ref().map_or(0, |stored| stored.attention_revision);
        let (mut stored, result) = match stored {
            Some(mut stored) => {
                self.choose_call(&mut stored, now);
                if event.update.version > stored.saga.claim_version {
                    stored.cause_id.clone_from(&event.event_id);
                    stored.traceparent.clone_from(&event.traceparent);
                }
                let result = saga::advance(stored.saga.clone(), Input::Claim(update));
                (stored, result)
            }
            None => {
                let result = saga::begin(&update, now.marker.marker);
                let stored = StoredSaga {
                    saga: result.0.clone(),
                    content_hash: event.content_hash.clone(),
                    revision: 0,
                    call_revision: 0,
                    next_attempt_at_us: None,
                    worker: None,
                    stuck_reason: None,
                    attention_raised: false,
                    attention_revision: 0,
                    last_answer: None,
                    correlation_id: event.correlation_id.clone(),
                    cause_id: event.event_id.clone(),
                    traceparent: event.traceparent.clone(),
                    // A claim from before the database's marker may have been begun when it was accepted.
                    started_at_us: if event.update.submitted_at_us < now.marker.marker.at_us {
                        event.update.submitted_at_us
                    } else {
                        now.us
                    },
                    updated_at_us: now.us,
                };
                (stored, result)
            }
        };
        self.apply_effects(connection, &mut stored, result, now, out)?;
        // The message that informed of it may be lost, as an outcome may be.
        if attention_before > 0 && stored.attention_revision == attention_before {
            out.republished.push(messages::attention(&stored.attention()));
        }
        Ok(stored)
    }

    /// Notes, once, that claim_process has reannounced its claims since the database was restored.
    fn note_resynced(
        &self,
        connection: &mut Connection,
        events: &[Received],
        now: Now,
        out: &mut Outbound,
    ) -> Result<()> {
        let StoredMarker { marker, resynced } = now.marker;
        let answers = |received: &Received| matches!(received, Received::Claim(event) if marker.is_answered_by(event.update.resync_epoch));
        if marker.restored && !resynced && events.iter().any(answers) {
            out.reports.push(Report::Reannounced);
            restore_marker::note_resynced(connection)?;
        }
        Ok(())
    }

    /// Whether the claim comes too late to be begun.
    fn with_deadline(&self, update: &ClaimUpdate, now: Now) -> ClaimUpdate {
        ClaimUpdate { too_late: self.is_too_late(update, self.trusted_us(now)), ..update.clone() }
    }

    /// Whether the claim is too late only by a clock that is not trusted. It is then neither begun nor given up: claim_process
    /// requests its outcome again.
    fn may_be_too_late(&self, update: &ClaimUpdate, now: Now) -> bool {
        self.is_too_late(update, now.us) && !self.is_too_late(update, self.trusted_us(now))
    }

    fn is_too_late(&self, update: &ClaimUpdate, at_us: i64) -> bool {
        let deadline_us = dual_db::micros(Duration::from_millis(self.settings.saga.deadline_ms));
        at_us.saturating_sub(update.submitted_at_us) > deadline_us
    }

    fn trusted_us(&self, now: Now) -> i64 {
        self.trusted.as_ref().map_or(now.us, |clock| clock.time_us(now.us))
    }

    /// Whether a payment that was looked up would be older than the gateway's memory of its key.
    fn with_age(&self, input: Input, stored: &StoredSaga, now: Now) -> Input {
        match input {
            Input::LookedUp { answer, .. } => Input::LookedUp { answer, key_expired: self.key_expired(stored, now) },
            other => other,
        }
    }

    /// Before anything makes the saga call: after some unclear answers the payment is looked up first, and a payment's key that
    /// the gateway may have forgotten is not sent. A refund's may be: whatever the key, money comes back once a payment.
    fn choose_call(&self, stored: &mut StoredSaga, now: Now) {
        stored.correct_start(now.us);
        let saga = stored.saga.clone().after_unclear_answers(self.settings.gateway.look_up_after_attempts);
        stored.saga = if self.key_expired(stored, now) { saga.past_key_lifetime() } else { saga };
    }

    /// Whether the gateway may have forgotten the payment's key by the time it is sent: a call that is planned now may be
    /// under way until the saga's lease is over.
    fn key_expired(&self, stored: &StoredSaga, now: Now) -> bool {
        let lifetime = Duration::from_millis(self.settings.gateway.key_lifetime_ms);
        let lease = Duration::from_millis(self.settings.saga.lease_ms);
        let sent_until_us = now.us.saturating_add(dual_db::micros(lease));
        sent_until_us.saturating_sub(stored.started_at_us) > dual_db::micros(lifetime)
    }
}

/// Sagas of claims, held until the transaction ends, by claim; each as it is to be taken under the database's marker.
fn held<'a>(
    connection: &mut Connection,
    claim_ids: impl Iterator<Item = &'a str>,
    now: Now,
) -> Result<HashMap<String, StoredSaga>> {
    let ids: BTreeSet<&str> = claim_ids.collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    let found = sagas::find_for_update(connection, &ids)?;
    Ok(found
        .into_iter()
        .map(|mut stored| {
            stored.saga = stored.saga.under(now.marker.marker);
            (stored.saga.claim_id.clone(), stored)
        })
        .collect())
}
