//! One state of the world: both databases, both topics, the gateway, and what is on its way.

use crate::gateway::{Answer, Book, Request};
use crate::messages::ClaimMessage;
use crate::params::{Mutant, Params};
use crate::tables::Tables;
use claim_events::{KnownOutcome, OutcomeKind};
use claim_process::domain::transition::{State, Status};
use payments::domain::restore_marker::RestoreMarker;

/// The claim's public id.
pub const CLAIM: &str = "claim";
/// When the claim is submitted, in seconds; asks and markers are later.
pub const SUBMITTED_AT_S: u8 = 10;

/// A row of claim_process: what decides of the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Where it stands.
    pub status: Status,
    /// 1 submitted, 2 void requested.
    pub version: u8,
    /// The resync epoch.
    pub resync_epoch: u8,
    /// The outcome it has: settled or unwound, and the version.
    pub outcome: Option<(OutcomeKind, u8)>,
    /// The number of what else the outcome says.
    pub content: u32,
    /// Whether an answer is waited for.
    pub due: bool,
}

/// payments' database: the claim's saga, when there is one, and what is booked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Payments {
    /// The number of the saga; 0 none.
    pub saga: u32,
    /// Whether it will be taken up when its pause or lease is over.
    pub due: bool,
    /// The kinds of transfer that are booked, as bits.
    pub booked: u8,
}

/// A call of the worker that holds the saga, under the revision that the saga still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// On its way to the gateway.
    Asked(Request),
    /// Its answer is on its way back.
    Answered(Answer),
}

/// Requests whose sender does not wait any more and that may still arrive. Of each kind one stands for many, because
/// only the first to arrive does anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Strays {
    /// To pay.
    pub pay: bool,
    /// To refund.
    pub refund: bool,
    /// Where answers are not held against the revision: an answer to a call that was made before another one.
    pub answer: Option<Answer>,
}

/// How often what may still go wrong.
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
    /// Needless asks.
    pub extra_resyncs: u8,
}

/// A copy of a database; one that was put back once may be replaced by a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Snapshot<T> {
    /// The copy.
    pub copy: T,
    /// Whether it was put back.
    pub was_used: bool,
}

/// A state of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct World {
    /// claim_process's database.
    pub claim: Claim,
    /// payments' database.
    pub payments: Payments,
    /// When payments' database was made or restored, in seconds.
    pub marker_s: u8,
    /// Whether it was restored.
    pub restored: bool,
    /// claim_process's topic.
    pub claims_topic: u32,
    /// payments' topic.
    pub payments_topic: u32,
    /// The gateway's book.
    pub book: Book,
    /// Whether the gateway has still to tell of a return.
    pub webhook: bool,
    /// The call in hand.
    pub call: Option<Call>,
    /// Requests of senders that do not wait.
    pub strays: Strays,
    /// Copies of the saga and the ledger.
    pub payments_copies: [Option<Snapshot<Payments>>; 2],
    /// A copy of the claim.
    pub claim_copy: Option<Snapshot<Claim>>,
    /// The latest time that was given to a resync epoch or a marker, in seconds.
    pub now_s: u8,
    /// What may still go wrong.
    pub left: Left,
}

impl Claim {
    /// As claim_process's decisions see it.
    pub fn state(&self) -> State {
        State {
            status: self.status,
            version: i64::from(self.version),
            resync_epoch: i64::from(self.resync_epoch),
            outcome: self.known_outcome(),
        }
    }

    /// The outcome it has.
    pub fn known_outcome(&self) -> Option<KnownOutcome> {
        self.outcome.map(|(kind, version)| KnownOutcome { kind, version: i64::from(version) })
    }

    /// Its current event.
    pub fn current_event(&self) -> ClaimMessage {
        ClaimMessage::Current {
            version: i64::from(self.version),
            resync_epoch: i64::from(self.resync_epoch),
            known: self.known_outcome(),
        }
    }
}

impl Strays {
    /// A request is left to itself.
    pub fn add(&mut self, request: Request) {
        match request {
            Request::Pay => self.pay = true,
            Request::Refund => self.refund = true,
            // Nobody waits for what a look-up says; another key is sent only where a rule is left out.
            Request::LookUp | Request::PayOtherKey => {}
        }
    }
}

impl World {
    /// The claim was stored a moment ago, and its event is in the topic.
    pub fn begin(params: &Params, tables: &mut Tables) -> Self {
        let claim =
            Claim { status: Status::Submitted, version: 1, resync_epoch: 0, outcome: None, content: 0, due: true };
        Self {
            claim,
            payments: Payments::default(),
            marker_s: if params.made_later { SUBMITTED_AT_S + 1 } else { SUBMITTED_AT_S - 1 },
            restored: false,
            claims_topic: tables.claims_topic.with(0, claim.current_event()),
            payments_topic: 0,
            book: Book::Empty,
            webhook: false,
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

    /// A later second than every one before.
    pub fn later(&mut self) -> u8 {
        self.now_s += 1;
        self.now_s
    }

    /// The call in hand is not waited for any more, because its sender stopped or has made another one.
    pub fn abandon_call(&mut self, params: &Params) {
        match self.call.take() {
            Some(Call::Asked(request)) => self.strays.add(request),
            Some(Call::Answered(answer)) if params.lacks(Mutant::StaleAnswersWritten) => {
                self.strays.answer = Some(answer);
            }
            Some(Call::Answered(_)) | None => {}
        }
    }

    /// Leaves out what can never matter again, so that worlds that differ only in it are one.
    pub fn tidy(&mut self, params: &Params, tables: &mut Tables) {
        self.strays.pay &= self.book == Book::Empty;
        self.strays.refund &= self.book.is_out();
        if self.left.payments_restores == 0 {
            self.payments_copies = [None; 2];
        }
        if self.left.claim_restores == 0 {
            self.claim_copy = None;
        }
        // Epochs that are below those that count are ignored for good: neither service's resync epoch ever falls, except in a
        // restored database of payments, where only asks after its marker count.
        let epochs_matter = params.keep_stale
            || matches!(
                params.mutant,
                Some(
                    Mutant::OlderEchoesCount
                        | Mutant::LowerAsksCount
                        | Mutant::RestoreUnmarked
                        | Mutant::ActsBeforeAsked
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
