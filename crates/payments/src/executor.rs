//! Carries out what the reducer decides: one transaction for a batch of inputs, then the calls.
//!
//! Everything a write brings with it (the saga, its bookings, its budget, its outcome in the outbox) is committed
//! together. Gateway calls come after the commit that holds their intent; their answers are written only against the
//! revision under which the calls were made.

use crate::db::{budgets, ledger, sagas, sagas::StoredSaga};
use crate::domain::ledger::{Kind, Transfer};
use crate::domain::saga::{self, Call, ClaimSays, Effect, Input};
use crate::events::outgoing;
use crate::settings::Settings;
use dual_db::{Connection, Database, Result};
use event_bus::{DeadLetter, OutgoingMessage, Relay};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Shared by everything that moves sagas on.
#[derive(Debug, Clone)]
pub struct Executor {
    database: Database,
    relay: Arc<Relay>,
    settings: Arc<Settings>,
    worker: String,
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

impl Executor {
    /// Carries out over this database, announcing through this relay. `worker` names this instance.
    pub fn new(database: Database, relay: Arc<Relay>, settings: Arc<Settings>, worker: String) -> Self {
        Self { database, relay, settings, worker }
    }

    /// Applies claims' events, and sets aside what could not be read or contradicts what was read before.
    ///
    /// # Errors
    /// The database's; nothing was applied then.
    pub fn apply_events(&self, events: &[ClaimEventRead], unreadable: &[DeadLetter]) -> Result<Vec<PlannedCall>> {
        self.commit(|connection, now_us, out| {
            let mut ids: Vec<&str> = events.iter().map(|event| event.says.claim_id.as_str()).collect();
            ids.sort_unstable();
            ids.dedup();
            let found = sagas::find_for_update(connection, &ids)?;
            let mut known: HashMap<String, StoredSaga> =
                found.into_iter().map(|stored| (stored.saga.claim_id.clone(), stored)).collect();
            let mut letters = unreadable.to_vec();
            for event in events {
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
                        let stored = self.hear(connection, stored, event, now_us, out)?;
                        known.insert(event.says.claim_id.clone(), stored);
                    }
                }
            }
            event_bus::insert_dead_letters(connection, &letters, now_us)
        })
    }

    /// Writes answers of the gateway, each against the revision under which its call was made.
    ///
    /// # Errors
    /// The database's; nothing was written then.
    pub fn apply_answers(&self, answers: &[Answer]) -> Result<Vec<PlannedCall>> {
        self.commit(|connection, now_us, out| {
            let mut ids: Vec<&str> = answers.iter().map(|answer| answer.claim_id.as_str()).collect();
            ids.sort_unstable();
            ids.dedup();
            let found = sagas::find_for_update(connection, &ids)?;
            let mut known: HashMap<String, StoredSaga> =
                found.into_iter().map(|stored| (stored.saga.claim_id.clone(), stored)).collect();
            for answer in answers {
                let Some(stored) = known.get_mut(&answer.claim_id) else { continue };
                if stored.revision != answer.revision {
                    metrics::counter!("stale_answers_total").increment(1);
                    continue;
                }
                let result = saga::advance(stored.saga.clone(), answer.input.clone());
                self.carry_out(connection, stored, result, now_us, out)?;
            }
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
        self.commit(|connection, now_us, out| {
            for mut stored in sagas::take_due(connection, now_us, limit)? {
                let result = saga::advance(stored.saga.clone(), Input::Resume);
                self.carry_out(connection, &mut stored, result, now_us, out)?;
            }
            Ok(())
        })
    }

    fn commit(
        &self,
        mut body: impl FnMut(&mut Connection, i64, &mut Outbound) -> Result<()>,
    ) -> Result<Vec<PlannedCall>> {
        let (rows, calls) = self.database.write(|connection| {
            let now_us = connection.now_us()?;
            let mut out = Outbound::default();
            body(connection, now_us, &mut out)?;
            let rows = self.relay.enqueue(connection, &out.messages, now_us)?;
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
        now_us: i64,
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
                let result = saga::begin(&event.says);
                let stored = StoredSaga {
                    saga: result.0.clone(),
                    content_hash: event.content_hash.clone(),
                    revision: 0,
                    due_at_us: None,
                    worker: None,
                    stuck_reason: None,
                    correlation_id: event.correlation_id.clone(),
                    cause_id: event.event_id.clone(),
                    traceparent: event.traceparent.clone(),
                    started_at_us: now_us,
                    updated_at_us: now_us,
                };
                (stored, result)
            }
        };
        self.carry_out(connection, &mut stored, result, now_us, out)?;
        Ok(stored)
    }

    /// One write of a saga with everything it brings. The saga's row comes before its bookings: of two instances that
    /// hear the same event at once, the slower one finds the row taken and runs its transaction again.
    fn carry_out(
        &self,
        connection: &mut Connection,
        stored: &mut StoredSaga,
        (mut saga, mut effects): (saga::Saga, Vec<Effect>),
        now_us: i64,
        out: &mut Outbound,
    ) -> Result<()> {
        let only_says_again = stored.revision > 0
            && saga == stored.saga
            && effects.iter().all(|effect| matches!(effect, Effect::Announce(_)));
        let mut bookings = Vec::new();
        let mut announced = Vec::new();
        let mut call = None;
        let mut retry_at_us = None;
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
                    Effect::Book(transfer) => bookings.push(transfer),
                    Effect::Announce(event) => announced.push(event),
                    Effect::Call(made) => call = Some(made),
                    Effect::RetryLater { attempts, retry_after_ms } => {
                        stored.stuck_reason = self.stuck_reason(attempts);
                        retry_at_us = Some(now_us + self.pause_us(&saga.claim_id, attempts, retry_after_ms));
                    }
                }
            }
        }
        stored.saga = saga;
        if !only_says_again {
            stored.updated_at_us = now_us;
            if stored.saga.is_at_rest() {
                stored.due_at_us = None;
                stored.worker = None;
                stored.stuck_reason = None;
            } else if call.is_some() {
                stored.due_at_us = Some(now_us + micros(self.settings.saga.lease_ms));
                stored.worker = Some(self.worker.clone());
            } else if retry_at_us.is_some() {
                stored.due_at_us = retry_at_us;
            }
            sagas::write(connection, stored)?;
        }
        for transfer in &bookings {
            self.book(connection, &stored.saga.plan_group, transfer, now_us)?;
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

fn micros(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds.saturating_mul(1_000)).unwrap_or(i64::MAX / 2)
}
