//! One state of the model: both databases, both topics, the gateway, and the requests on their way.

use crate::gateway::{Answer, Book, Request};
use crate::messages::ClaimMessage;
use crate::params::{Mutant, Params};
use crate::tables::Tables;
use claim_events::{KnownOutcome, OutcomeKind};
use claim_process::domain::transition::{State, Status};
use payments::domain::restore_marker::RestoreMarker;

/// The claim's public id.
pub const CLAIM: &str = "claim";
/// When the claim is submitted, in seconds; resync epochs and markers are later.
pub const SUBMITTED_AT_S: u8 = 10;

/// The claim's row in claim_process, reduced to what its decisions depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Its status.
    pub status: Status,
    /// 1 for submitted, 2 for void requested.
    pub version: u8,
    /// The resync epoch.
    pub resync_epoch: u8,
    /// The recorded outcome: settled or unwound, and its version.
    pub outcome: Option<(OutcomeKind, u8)>,
    /// The number of the outcome's remaining content.
    pub content: u32,
    /// Whether the claim is pending, so that the watchdog re-publishes its event.
    pub due: bool,
}

/// payments' database: the claim's saga, if any, and the booked transfers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Payments {
    /// The number of the saga; 0 if there is none.
    pub saga: u32,
    /// Whether a worker resumes it when its pause or lease expires.
    pub due: bool,
    /// The booked transfers, as bits.
    pub booked: u16,
}

/// The current call: made by the worker that holds the saga, under the saga's current revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// The request is on its way to the gateway.
    Sent(Request),
    /// The answer is on its way back.
    Answered(Answer),
}

/// Requests that may still arrive although their senders no longer wait. One of each kind stands for many, because only the
/// first to arrive has an effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Strays {
    /// A payment request.
    pub pay: bool,
    /// A refund request.
    pub refund: bool,
    /// A refund request under the second key.
    pub refund_again: bool,
    /// An answer to a call made before the current one; only where answers are not checked against the revision.
    pub answer: Option<Answer>,
}

/// How many of each bounded step are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Left {
    /// Voids.
    pub voids: u8,
    /// Returns.
    pub returns: u8,
    /// Wipes.
    pub wipes: u8,
    /// Restores of payments' database.
    pub payments_restores: u8,
    /// Restores of claim_process's database.
    pub claim_restores: u8,
    /// Unneeded reannouncements.
    pub extra_resyncs: u8,
}

/// A copy of a database. A copy that was used for a restore may be replaced by a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Snapshot<T> {
    /// The copy.
    pub copy: T,
    /// Whether it was used for a restore.
    pub was_used: bool,
}

/// A state of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct World {
    /// claim_process's database.
    pub claim: Claim,
    /// payments' database.
    pub payments: Payments,
    /// When payments' database was created or restored, in seconds.
    pub marker_s: u8,
    /// Whether it was restored.
    pub restored: bool,
    /// The messages on the topic of claim_process.
    pub claims_topic: u32,
    /// The messages on the topic of payments.
    pub payments_topic: u32,
    /// The gateway's book.
    pub book: Book,
    /// Whether the gateway still has to deliver the webhook of a return.
    pub webhook: bool,
    /// Whether the first refund failed after it was approved.
    pub refund_failed: bool,
    /// Whether the gateway still has to deliver the webhook of that.
    pub failure_webhook: bool,
    /// The current call.
    pub call: Option<Call>,
    /// Requests whose senders no longer wait.
    pub strays: Strays,
    /// Copies of the saga and the ledger.
    pub payments_copies: [Option<Snapshot<Payments>>; 2],
    /// A copy of the claim.
    pub claim_copy: Option<Snapshot<Claim>>,
    /// The latest time used for a resync epoch or a marker, in seconds.
    pub now_s: u8,
    /// How many of each bounded step are left.
    pub left: Left,
}

impl Claim {
    /// The state that claim_process's decisions take.
    pub fn state(&self) -> State {
        State {
            status: self.status,
            version: i64::from(self.version),
            resync_epoch: i64::from(self.resync_epoch),
            outcome: self.known_outcome(),
        }
    }

    /// The recorded outcome.
    pub fn known_outcome(&self) -> Option<KnownOutcome> {
        self.outcome.map(|(kind, version)| KnownOutcome { kind, version: i64::from(version) })
    }

    /// The claim's current event.
    pub fn current_event(&self) -> ClaimMessage {
        ClaimMessage::Current {
            version: i64::from(self.version),
            resync_epoch: i64::from(self.resync_epoch),
            known: self.known_outcome(),
        }
    }
}

impl Strays {
    /// Adds a request whose sender no longer waits.
    pub fn add(&mut self, request: Request) {
        match request {
            Request::Pay => self.pay = true,
            Request::Refund => self.refund = true,
            Request::RefundAgain => self.refund_again = true,
            // A look-up changes nothing at the gateway; another key is used only where a rule is left out.
            Request::LookUp | Request::PayOtherKey => {}
        }
    }
}

impl World {
    /// The initial world: the claim is stored, and its event is in the topic.
    pub fn begin(params: &Params, tables: &mut Tables) -> Self {
        let claim =
            Claim { status: Status::Submitted, version: 1, resync_epoch: 0, outcome: None, content: 0, due: true };
        Self {
            claim,
            payments: Payments::default(),
            marker_s: if params.created_later { SUBMITTED_AT_S + 1 } else { SUBMITTED_AT_S - 1 },
            restored: false,
            claims_topic: tables.claims_topic.with(0, claim.current_event()),
            payments_topic: 0,
            book: Book::Empty,
            webhook: false,
            refund_failed: false,
            failure_webhook: false,
            call: None,
            strays: Strays::default(),
            payments_copies: [None; 2],
            claim_copy: None,
            now_s: SUBMITTED_AT_S + 1,
            left: Left {
                voids: params.voids,
                returns: params.returns,
                wipes: params.wipes,
                payments_restores: params.payments_restores,
                claim_restores: params.claim_restores,
                extra_resyncs: params.extra_resyncs,
            },
        }
    }

    /// When the claim was submitted, in microseconds.
    pub fn submitted_at_us() -> i64 {
        i64::from(SUBMITTED_AT_S) * 1_000_000
    }

    /// The marker of payments' database.
    pub fn marker(&self) -> RestoreMarker {
        RestoreMarker { at_us: i64::from(self.marker_s) * 1_000_000, restored: self.restored }
    }

    /// A second later than every earlier one.
    pub fn later(&mut self) -> u8 {
        self.now_s += 1;
        self.now_s
    }

    /// Abandons the current call, because its sender stopped or has made another call.
    pub fn abandon_call(&mut self, params: &Params) {
        match self.call.take() {
            Some(Call::Sent(request)) => self.strays.add(request),
            Some(Call::Answered(answer)) if params.lacks(Mutant::StaleAnswersWritten) => {
                self.strays.answer = Some(answer);
            }
            Some(Call::Answered(_)) | None => {}
        }
    }

    /// Removes what can no longer matter, so that worlds that differ only in that are equal.
    pub fn tidy(&mut self, params: &Params, tables: &mut Tables) {
        self.strays.pay &= self.book == Book::Empty;
        self.strays.refund &= self.book.is_out() && !self.refund_failed;
        self.strays.refund_again &= self.book.is_out();
        if self.left.payments_restores == 0 {
            self.payments_copies = [None; 2];
        }
        if self.left.claim_restores == 0 {
            self.claim_copy = None;
        }
        // Messages below a service's resync epoch are ignored for ever: the epoch never falls, except in a restored database of
        // payments, where only epochs after its marker count.
        let epochs_matter = params.keep_stale
            || matches!(
                params.mutant,
                Some(
                    Mutant::OlderEchoesCount
                        | Mutant::LowerEpochsCount
                        | Mutant::RestoreWithoutMarker
                        | Mutant::ActsBeforeReannounced
                )
            );
        if epochs_matter {
            return;
        }
        let claim_epoch = i64::from(self.claim.resync_epoch);
        self.payments_topic =
            tables.payments_topic.retain(self.payments_topic, |message| message.resync_epoch >= claim_epoch);
        let saga_epoch = tables.memory.sagas.get(self.payments.saga).map_or(0, |saga| saga.resync_epoch);
        let marker = self.marker();
        self.claims_topic = tables.claims_topic.retain(self.claims_topic, |message| {
            message.resync_epoch() >= saga_epoch && marker.is_answered_by(message.resync_epoch())
        });
    }
}
