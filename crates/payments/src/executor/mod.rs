//! Carries out what the reducer decides: one transaction for a batch of inputs, then the calls.
//!
//! Everything a write brings with it (the saga, its bookings, its budget, its outcome in the outbox) is committed
//! together. Gateway calls come after the commit that holds their intent; their answers are written only against the
//! revision under which the calls were made.

pub mod returns;

use crate::db::marks::{self, StoredMark};
use crate::db::{budgets, ledger, sagas, sagas::StoredSaga};
use crate::domain::ledger::{Kind, Transfer};
use crate::domain::saga::{self, Call, ClaimSays, Effect, Input, Saga};
use crate::events::outgoing;
use crate::settings::Settings;
use claim_events::OutcomeRecorded;
use dual_db::{Connection, Database, Result};
use event_bus::{DeadLetter, OutgoingMessage, Relay};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Shared by everything that moves sagas on.
#[derive(Debug, Clone)]
pub struct Executor {
    database: Database,
    relay: Arc<Relay>,
    settings: Arc<Settings>,
    worker: String,
}

/// An event of claim_process, read.
#[derive(Debug, Clone)]
pub enum Heard {
    /// A claim is to be paid, or not any more.
    Claim(Box<ClaimEventRead>),
    /// It has an outcome that nobody had asked for.
    Recorded(OutcomeRecorded),
}

/// A claim's event, read.
#[derive(Debug, Clone)]
pub struct ClaimEventRead {
    /// What it says to the saga.
    pub says: ClaimSays,
    /// Hash of its content.
    pub content_hash: String,
    /// Its id.
    pub event_id: String,
    /// The id of the request that began it all.
    pub correlation_id: String,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
    /// The message it came in, should it have to be set aside.
    pub message: event_bus::IncomingMessage,
}

/// A gateway call to be made, and the revision its answer is written against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedCall {
    /// The claim.
    pub claim_id: String,
    /// The revision of its saga.
    pub revision: i64,
    /// The call.
    pub call: Call,
}

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The claim.
    pub claim_id: String,
    /// The revision under which the call was made.
    pub revision: i64,
    /// The answer.
    pub input: Input,
}

/// What a transaction leaves to be done after its commit.
#[derive(Default)]
struct Outbound {
    messages: Vec<OutgoingMessage>,
    calls: BTreeMap<String, PlannedCall>,
}

/// What a transaction works under: the database's clock and its mark.
#[derive(Debug, Clone, Copy)]
struct Now {
    us: i64,
    mark: StoredMark,
}

impl Heard {
    fn claim_id(&self) -> &str {
        match self {
            Heard::Claim(event) => &event.says.claim_id,
            Heard::Recorded(recorded) => &recorded.claim_id,
        }
    }
}

impl Executor {
    /// Carries out over this database, announcing through this relay. `worker` names this instance.
    pub fn new(database: Database, relay: Arc<Relay>, settings: Arc<Settings>, worker: String) -> Self {
        Self { database, relay, settings, worker }
    }

    /// Applies claims' events, and sets aside what could not be read or contradicts what was read before.
    ///
    /// # Errors
    /// The database's; nothing was applied then.
    pub fn apply_events(&self, events: &[Heard], unreadable: &[DeadLetter]) -> Result<Vec<PlannedCall>> {
        self.commit(|connection, now, out| {
            let mut known = held(connection, events.iter().map(Heard::claim_id), now)?;
            let mut letters = unreadable.to_vec();
            for heard in events {
                let event = match heard {
                    Heard::Claim(event) => event,
                    Heard::Recorded(OutcomeRecorded { claim_id, known_outcome, ask }) => {
                        if let Some(stored) = known.get_mut(claim_id) {
                            let recorded = Input::Recorded { known: *known_outcome, ask: *ask };
                            let result = saga::advance(stored.saga.clone(), recorded);
                            self.carry_out(connection, stored, result, now, out)?;
                        }
                        continue;
                    }
                };
                match known.remove(&event.says.claim_id) {
                    Some(stored) if stored.content_hash != event.content_hash => {
                        metrics::counter!("claim_contradictions_total").increment(1);
                        letters.push(DeadLetter {
                            message: event.message.clone(),
                            reason: "it says other things of the claim than an earlier event did".to_owned(),
                        });
                        known.insert(event.says.claim_id.clone(), stored);
                    }
                    stored => {
                        let stored = self.hear(connection, stored, event, now, out)?;
                        known.insert(event.says.claim_id.clone(), stored);
                    }
                }
            }
            self.note_asked(connection, events, now)?;
            self.apply_waiting_returns(connection, &mut known, now, out)?;
            event_bus::insert_dead_letters(connection, &letters, now.us)
        })
    }

    /// Writes answers of the gateway, each against the revision under which its call was made.
    ///
    /// # Errors
    /// The database's; nothing was written then.
    pub fn apply_answers(&self, answers: &[Answer]) -> Result<Vec<PlannedCall>> {
        self.commit(|connection, now, out| {
            let mut known = held(connection, answers.iter().map(|answer| answer.claim_id.as_str()), now)?;
            for answer in answers {
                let Some(stored) = known.get_mut(&answer.claim_id) else { continue };
                if stored.call_revision != answer.revision {
                    metrics::counter!("stale_answers_total").increment(1);
                    continue;
                }
                let input = self.with_age(answer.input.clone(), stored, now);
                let result = saga::advance(stored.saga.clone(), input);
                self.carry_out(connection, stored, result, now, out)?;
            }
            self.apply_waiting_returns(connection, &mut known, now, out)?;
            Ok(())
        })
    }

    /// Takes up to `limit` sagas whose worker stopped or whose pause is over.
    ///
    /// # Errors
    /// The database's; none was taken then.
    pub fn resume(&self, limit: i64) -> Result<Vec<PlannedCall>> {
        let any = self.database.read(|connection| {
            let now_us = connection.now_us()?;
            sagas::any_due(connection, now_us)
        })?;
        if !any || limit < 1 {
            return Ok(Vec::new());
        }
        self.commit(|connection, now, out| {
            for mut stored in sagas::take_due(connection, now.us, limit)? {
                stored.saga = stored.saga.under(now.mark.mark);
                let result = saga::advance(stored.saga.clone(), Input::Resume);
                self.carry_out(connection, &mut stored, result, now, out)?;
            }
            Ok(())
        })
    }

    fn commit(
        &self,
        mut body: impl FnMut(&mut Connection, Now, &mut Outbound) -> Result<()>,
    ) -> Result<Vec<PlannedCall>> {
        let (rows, calls) = self.database.write(|connection| {
            let now = Now { us: connection.now_us()?, mark: marks::current(connection)? };
            let mut out = Outbound::default();
            body(connection, now, &mut out)?;
            let rows = self.relay.enqueue(connection, &out.messages, now.us)?;
            Ok((rows, out.calls))
        })?;
        self.relay.hand_off(&rows);
        Ok(calls.into_values().collect())
    }

    fn hear(
        &self,
        connection: &mut Connection,
        stored: Option<StoredSaga>,
        event: &ClaimEventRead,
        now: Now,
        out: &mut Outbound,
    ) -> Result<StoredSaga> {
        let (mut stored, result) = match stored {
            Some(mut stored) => {
                if event.says.version > stored.saga.claim_version {
                    stored.cause_id.clone_from(&event.event_id);
                    stored.traceparent.clone_from(&event.traceparent);
                }
                let result = saga::advance(stored.saga.clone(), Input::Claim(event.says.clone()));
                (stored, result)
            }
            None => {
                let result = saga::begin(&event.says, now.mark.mark);
                let stored = StoredSaga {
                    saga: result.0.clone(),
                    content_hash: event.content_hash.clone(),
                    revision: 0,
                    call_revision: 0,
                    due_at_us: None,
                    worker: None,
                    stuck_reason: None,
                    correlation_id: event.correlation_id.clone(),
                    cause_id: event.event_id.clone(),
                    traceparent: event.traceparent.clone(),
                    // A claim from before the database's mark may have been begun when it was accepted.
                    started_at_us: if event.says.submitted_at_us < now.mark.mark.at_us {
                        event.says.submitted_at_us
                    } else {
                        now.us
                    },
                    updated_at_us: now.us,
                };
                (stored, result)
            }
        };
        self.carry_out(connection, &mut stored, result, now, out)?;
        Ok(stored)
    }

    /// Notes, once, that claim_process has asked anew since the database was restored.
    fn note_asked(&self, connection: &mut Connection, events: &[Heard], now: Now) -> Result<()> {
        let StoredMark { mark, asked } = now.mark;
        let answers = |heard: &Heard| matches!(heard, Heard::Claim(event) if mark.is_answered_by(event.says.ask));
        if mark.restored && !asked && events.iter().any(answers) {
            tracing::info!("claim_process asks anew: what this restored database may lack is looked up at the gateway");
            marks::note_asked(connection)?;
        }
        Ok(())
    }

    /// Whether a payment that was looked up would be older than the gateway's memory of its key.
    fn with_age(&self, input: Input, stored: &StoredSaga, now: Now) -> Input {
        match input {
            Input::LookedUp { answer, .. } => {
                let lifetime_us = micros(self.settings.gateway.key_lifetime_ms);
                Input::LookedUp { answer, key_expired: now.us.saturating_sub(stored.started_at_us) > lifetime_us }
            }
            other => other,
        }
    }

    /// One write of a saga with everything it brings. The saga's row comes before its bookings: of two instances that
    /// hear the same event at once, the slower one finds the row taken and runs its transaction again.
    fn carry_out(
        &self,
        connection: &mut Connection,
        stored: &mut StoredSaga,
        (mut saga, mut effects): (Saga, Vec<Effect>),
        now: Now,
        out: &mut Outbound,
    ) -> Result<()> {
        let only_says_again = stored.revision > 0
            && saga == stored.saga
            && effects.iter().all(|effect| matches!(effect, Effect::Announce(_)))
            && !(stored.due_at_us.is_some() && saga.needs_nobody());
        let mut bookings = Vec::new();
        let mut announced = Vec::new();
        let mut call = None;
        let mut retry_at_us = None;
        let mut stuck = None;
        while !effects.is_empty() {
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Reserve(transfer) => {
                        let covered = self.covers(connection, &saga.plan_group, transfer.amount_cents)?;
                        if covered {
                            bookings.push(transfer);
                        }
                        let (next, more) = saga::advance(saga, Input::Reserved { covered });
                        saga = next;
                        effects.extend(more);
                    }
                    Effect::ReserveAnyway(transfer) => {
                        self.overdraw(connection, &saga, transfer.amount_cents)?;
                        bookings.push(transfer);
                    }
                    Effect::Book(transfer) => bookings.push(transfer),
                    Effect::Announce(event) => announced.push(event),
                    Effect::Call(made) => call = Some(made),
                    Effect::RetryLater { attempts, retry_after_ms } => {
                        stored.stuck_reason = self.stuck_reason(attempts);
                        retry_at_us = Some(now.us + self.pause_us(&saga.claim_id, attempts, retry_after_ms));
                    }
                    Effect::Stuck(reason) => stuck = Some(reason),
                    Effect::Alarm(what) => alarm(&saga, what),
                }
            }
        }
        stored.saga = saga;
        if !only_says_again {
            stored.updated_at_us = now.us;
            if call.is_some() {
                stored.due_at_us = Some(now.us + micros(self.settings.saga.lease_ms));
                stored.worker = Some(self.worker.clone());
                stored.call_revision = stored.revision + 1;
            } else if let Some(reason) = stuck {
                stored.due_at_us = Some(now.us + micros(self.settings.saga.max_retry_pause_ms));
                stored.stuck_reason = Some(reason.to_owned());
            } else if retry_at_us.is_some() {
                stored.due_at_us = retry_at_us;
            } else if stored.saga.needs_nobody() {
                stored.due_at_us = None;
                stored.worker = None;
                stored.stuck_reason = None;
            }
            sagas::write(connection, stored)?;
        }
        for transfer in &bookings {
            self.book(connection, &stored.saga.plan_group, transfer, now.us)?;
        }
        for event in announced {
            let state = stored.saga.state().name();
            metrics::counter!("payments_announced_total", "state" => state).increment(1);
            tracing::info!(
                claim_id = stored.saga.claim_id,
                state,
                said_again = only_says_again,
                "a payment's outcome goes out"
            );
            out.messages.extend(outgoing::outcome(stored, &event));
        }
        if let Some(call) = call {
            let claim_id = stored.saga.claim_id.clone();
            out.calls.insert(claim_id.clone(), PlannedCall { claim_id, revision: stored.revision, call });
        }
        Ok(())
    }

    /// Takes the amount from the plan's budget, if it has one that covers it.
    fn covers(&self, connection: &mut Connection, plan_group: &str, amount_cents: i64) -> Result<bool> {
        match self.settings.budget_limit_cents(plan_group) {
            Some(limit_cents) => budgets::take(connection, plan_group, amount_cents, limit_cents),
            None => Ok(true),
        }
    }

    /// Takes the amount from the plan's budget, covered or not: it was paid, or may have been, before the facts were lost.
    fn overdraw(&self, connection: &mut Connection, saga: &Saga, amount_cents: i64) -> Result<()> {
        if !self.covers(connection, &saga.plan_group, amount_cents)? {
            alarm(
                saga,
                "a budget is overdrawn by a payment that was made, or may have been, before the database was restored",
            );
            budgets::overdraw(connection, &saga.plan_group, amount_cents)?;
        }
        Ok(())
    }

    fn book(&self, connection: &mut Connection, plan_group: &str, transfer: &Transfer, now_us: i64) -> Result<()> {
        ledger::book(connection, transfer, now_us)?;
        let frees_budget = transfer.kind == Kind::Release
            || (transfer.kind == Kind::Reverse && transfer.debit.to_string().starts_with("provider_payable"));
        if frees_budget && self.settings.budget_limit_cents(plan_group).is_some() {
            budgets::give_back(connection, plan_group, transfer.amount_cents)?;
        }
        Ok(())
    }

    fn stuck_reason(&self, attempts: u32) -> Option<String> {
        (attempts >= self.settings.saga.stuck_after_attempts)
            .then(|| format!("the gateway gave no definite answer to {attempts} requests; it is still being asked"))
    }

    /// The first pause, doubled each time up to the longest, spread by up to a quarter so that many sagas that failed
    /// together do not come back together; and never shorter than the gateway asked for.
    fn pause_us(&self, claim_id: &str, attempts: u32, retry_after_ms: Option<u64>) -> i64 {
        let settings = &self.settings.saga;
        let pause_ms = settings
            .retry_pause_ms
            .saturating_mul(1 << attempts.saturating_sub(1).min(30))
            .min(settings.max_retry_pause_ms);
        let seed =
            claim_id.bytes().fold(u64::from(attempts), |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let spread_ms = pause_ms / 4 * (seed % 1_000) / 1_000;
        micros((pause_ms + spread_ms).max(retry_after_ms.unwrap_or(0)))
    }
}

/// Sagas of claims, held until the transaction ends, by claim; each as it is to be taken under the database's mark.
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
            stored.saga = stored.saga.under(now.mark.mark);
            (stored.saga.claim_id.clone(), stored)
        })
        .collect())
}

/// Says that somebody must look.
fn alarm(saga: &Saga, what: &'static str) {
    metrics::counter!("payment_alarms_total").increment(1);
    tracing::error!(claim_id = saga.claim_id, "{what}");
}

fn micros(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds.saturating_mul(1_000)).unwrap_or(i64::MAX / 2)
}
