//! `SAGA.md`: what the reason codes mean, and how a payment ends for each step, each answer and each moment of a void or a
//! return. It is written by playing every row with the saga itself, and each row is played on both databases besides.

use crate::harness::{Instance, event};
use claim_events::OutcomeKind;
use dual_db::Database;
use payments::domain::gateway_call::PlannedCall;
use payments::domain::reasons::MEANINGS;
use payments::domain::restore_marker::RestoreMarker;
use payments::domain::saga::{self, Call, Effect, Input, PayAnswer, RefundAnswer, Saga};
use payments::executor::operator::{Action, ActionOutcome, Actor};
use payments::gateway::Report;
use payments::settings::BudgetSettings;
use std::fmt::Write as _;
use test_support::on_both_databases;

const AMOUNT: i64 = 100;
const OTHER_AMOUNT: i64 = 150;

/// What becomes of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    NothingDue,
    ProviderOwes,
    NoBudget,
    Approved,
    OtherAmount,
    Declined,
    UnknownThenApproved,
    UnknownThenDeclined,
}

/// When a claim is withdrawn, or its money comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Before the submission is received.
    First,
    BeforeThePayAnswer,
    BeforeTheRefundAnswer,
    AtTheEnd,
}

/// When what happens to a payment besides its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Timing {
    void: Option<Moment>,
    returned: Option<Moment>,
}

/// What the gateway says to a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refund {
    Refunded,
    AlreadyReturned,
    UnknownThenRefunded,
    /// It is approved and fails after the end, and an operator has another one requested.
    FailedLaterThenRefunded,
}

const CASES: [Case; 8] = [
    Case::NothingDue,
    Case::ProviderOwes,
    Case::NoBudget,
    Case::Approved,
    Case::OtherAmount,
    Case::Declined,
    Case::UnknownThenApproved,
    Case::UnknownThenDeclined,
];
const VOIDS: [Option<Moment>; 5] = [
    None,
    Some(Moment::First),
    Some(Moment::BeforeThePayAnswer),
    Some(Moment::BeforeTheRefundAnswer),
    Some(Moment::AtTheEnd),
];
const RETURNS: [Option<Moment>; 4] =
    [None, Some(Moment::BeforeThePayAnswer), Some(Moment::BeforeTheRefundAnswer), Some(Moment::AtTheEnd)];
const REFUNDS: [Refund; 4] =
    [Refund::Refunded, Refund::AlreadyReturned, Refund::UnknownThenRefunded, Refund::FailedLaterThenRefunded];

impl Case {
    fn words(self) -> &'static str {
        match self {
            Case::NothingDue => "net fee 0",
            Case::ProviderOwes => "net fee below 0",
            Case::NoBudget => "`reserve`: the budget does not cover it",
            Case::Approved => "`disburse`: approved",
            Case::OtherAmount => "`disburse`: approved with another amount",
            Case::Declined => "`disburse`: declined",
            Case::UnknownThenApproved => "`disburse`: no answer, then approved",
            Case::UnknownThenDeclined => "`disburse`: no answer, then declined",
        }
    }

    fn due_cents(self) -> i64 {
        match self {
            Case::NothingDue => 0,
            Case::ProviderOwes => -AMOUNT,
            _ => AMOUNT,
        }
    }

    /// The answers to the requests to pay, in order.
    fn answers(self) -> Vec<PayAnswer> {
        let unknown = PayAnswer::Unknown { retry_after_ms: None };
        let approved = |amount_cents| PayAnswer::Approved { amount_cents };
        let declined = PayAnswer::Declined { code: "insufficient_funds".into() };
        match self {
            Case::NothingDue | Case::ProviderOwes | Case::NoBudget => vec![],
            Case::Approved => vec![approved(AMOUNT)],
            Case::OtherAmount => vec![approved(OTHER_AMOUNT)],
            Case::Declined => vec![declined],
            Case::UnknownThenApproved => vec![unknown, approved(AMOUNT)],
            Case::UnknownThenDeclined => vec![unknown, declined],
        }
    }

    fn paid_cents(self) -> Option<i64> {
        match self.answers().last() {
            Some(PayAnswer::Approved { amount_cents }) => Some(*amount_cents),
            _ => None,
        }
    }
}

impl Moment {
    fn words(self) -> &'static str {
        match self {
            Moment::First => "before the submission is received",
            Moment::BeforeThePayAnswer => "before `disburse` is answered",
            Moment::BeforeTheRefundAnswer => "before `refund` is answered",
            Moment::AtTheEnd => "after the end",
        }
    }
}

impl Refund {
    fn words(self) -> &'static str {
        match self {
            Refund::Refunded => "refunded",
            Refund::AlreadyReturned => "already returned",
            Refund::UnknownThenRefunded => "no answer, then refunded",
            Refund::FailedLaterThenRefunded => "refunded; failed after the end, retried by an operator, refunded",
        }
    }

    fn answers(self) -> Vec<RefundAnswer> {
        match self {
            Refund::Refunded => vec![RefundAnswer::Refunded],
            Refund::AlreadyReturned => vec![RefundAnswer::AlreadyReturned],
            Refund::UnknownThenRefunded => {
                vec![RefundAnswer::Unknown { retry_after_ms: None }, RefundAnswer::Refunded]
            }
            Refund::FailedLaterThenRefunded => vec![RefundAnswer::Refunded, RefundAnswer::Refunded],
        }
    }
}

/// Something that runs a saga.
trait Player {
    fn receive(&mut self, version: i64);
    fn answer(&mut self, input: Input);
    fn returned(&mut self, amount_cents: i64);
    fn resume(&mut self);
    /// The refund fails, and an operator retries it.
    fn refund_fails(&mut self, amount_cents: i64);
    /// The call that waits for its answer.
    fn call(&self) -> Option<Call>;
}

/// How a row was played.
#[derive(Debug, PartialEq, Eq)]
struct Played {
    /// Whether a refund was answered: a return may come first.
    refund_answered: bool,
    /// What happened besides, in its order; `None` where a moment did not come.
    happened: Option<String>,
}

/// What is still to happen to a payment besides its steps.
struct Ahead {
    timing: Timing,
    paid_cents: Option<i64>,
    happened: Vec<String>,
}

impl Ahead {
    /// Has happen what happens at this moment; whether anything did. While an answer is awaited the void comes first, at the
    /// end the return does: the other way round, the first would end what is awaited, or begin something that is.
    fn happen(&mut self, player: &mut impl Player, now: Moment) -> bool {
        let void = self.timing.void.take_if(|moment| *moment == now).map(|_| "void");
        let returned = self.timing.returned.take_if(|moment| *moment == now).map(|_| "return");
        let in_order = if now == Moment::AtTheEnd { [returned, void] } else { [void, returned] };
        for what in in_order.into_iter().flatten() {
            if what == "void" {
                player.receive(2);
            } else {
                player.returned(self.paid_cents.expect("only what was paid comes back"));
            }
            self.happened.push(format!("{what}, {}", now.words()));
        }
        void.or(returned).is_some()
    }
}

fn play(player: &mut impl Player, case: Case, timing: Timing, refund: Refund) -> Played {
    let (mut pay_answers, mut refund_answers) = (case.answers().into_iter(), refund.answers().into_iter());
    let mut ahead = Ahead { timing, paid_cents: case.paid_cents(), happened: Vec::new() };
    let mut refund_answered = false;
    let mut fails_later = refund == Refund::FailedLaterThenRefunded;
    ahead.happen(player, Moment::First);
    player.receive(1);
    loop {
        match player.call() {
            Some(Call::Pay { .. }) => {
                // What happened may have ended the wait for the answer.
                if ahead.happen(player, Moment::BeforeThePayAnswer) {
                    continue;
                }
                let answer = pay_answers.next().expect("no more requests than answers");
                let is_unknown = matches!(answer, PayAnswer::Unknown { .. });
                player.answer(Input::PayAnswer(answer));
                if is_unknown {
                    player.resume();
                }
            }
            Some(Call::Refund { .. }) => {
                if ahead.happen(player, Moment::BeforeTheRefundAnswer) {
                    continue;
                }
                refund_answered = true;
                let answer = refund_answers.next().expect("no more requests than answers");
                let is_unknown = matches!(answer, RefundAnswer::Unknown { .. });
                player.answer(Input::RefundAnswer(answer));
                if is_unknown {
                    player.resume();
                }
            }
            Some(Call::LookUp { .. }) => panic!("nothing was restored"),
            None => {
                if ahead.happen(player, Moment::AtTheEnd) {
                    continue;
                }
                if let (true, true, Some(paid_cents)) = (refund_answered, fails_later, case.paid_cents()) {
                    fails_later = false;
                    player.refund_fails(paid_cents);
                } else {
                    let all_came = ahead.timing == Timing { void: None, returned: None };
                    return Played { refund_answered, happened: all_came.then(|| ahead.happened.join("; then ")) };
                }
            }
        }
    }
}

/// The saga alone.
struct Alone {
    case: Case,
    saga: Option<Saga>,
    call: Option<Call>,
    transfers: Vec<String>,
    requests: Vec<&'static str>,
}

impl Alone {
    fn new(case: Case) -> Self {
        Self { case, saga: None, call: None, transfers: Vec::new(), requests: Vec::new() }
    }

    fn take(&mut self, (mut saga, mut effects): (Saga, Vec<Effect>)) {
        while !effects.is_empty() {
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Reserve(transfer) => {
                        let covered = self.case != Case::NoBudget;
                        if covered {
                            self.transfers.push(transfer.kind.to_string());
                        }
                        let (next, more) = saga::advance(saga, Input::Reserved { covered });
                        saga = next;
                        effects.extend(more);
                    }
                    Effect::Book(transfer) | Effect::ReserveAnyway(transfer) => {
                        self.transfers.push(transfer.kind.to_string());
                    }
                    Effect::Call(call) => {
                        self.requests.push(if matches!(call, Call::Refund { .. }) { "refund" } else { "pay" });
                        self.call = Some(call);
                    }
                    Effect::Publish(_) | Effect::RetryLater { .. } | Effect::Alarm(_) | Effect::Stuck(_) => {}
                }
            }
        }
        self.saga = Some(saga);
    }

    fn input(&mut self, input: Input) {
        self.call = None;
        let saga = self.saga.clone().expect("it was received");
        self.take(saga::advance(saga, input));
    }
}

impl Player for Alone {
    fn receive(&mut self, version: i64) {
        let update = event("claim", self.case.due_cents(), version).update;
        match self.saga.clone() {
            None => self.take(saga::begin(&update, RestoreMarker::default())),
            Some(saga) => self.take(saga::advance(saga, Input::Claim(update))),
        }
    }

    fn answer(&mut self, input: Input) {
        self.input(input);
    }

    fn returned(&mut self, amount_cents: i64) {
        self.input(Input::Returned { amount_cents });
    }

    fn resume(&mut self) {
        self.input(Input::Resume);
    }

    fn refund_fails(&mut self, amount_cents: i64) {
        self.input(Input::RefundFailed { amount_cents });
        self.input(Input::Retried { is_stuck: true });
    }

    fn call(&self) -> Option<Call> {
        self.call.clone()
    }
}

/// An instance with its database.
struct Stored<'a> {
    instance: &'a Instance,
    claim_id: String,
    case: Case,
    calls: Vec<PlannedCall>,
}

impl Player for Stored<'_> {
    fn receive(&mut self, version: i64) {
        let mut received = event(&self.claim_id, self.case.due_cents(), version);
        if self.case == Case::NoBudget {
            received.update.plan_group = "POOR".into();
        }
        let calls = self.instance.receive(&received);
        if !calls.is_empty() {
            self.calls = calls;
        }
    }

    fn answer(&mut self, input: Input) {
        let call = self.calls.remove(0);
        self.calls = self.instance.answer(&call, input);
    }

    fn returned(&mut self, amount_cents: i64) {
        let event_id = format!("{}.return", self.claim_id);
        let (_, calls) =
            self.instance.executor.apply_return(&event_id, &self.claim_id, amount_cents).expect("keeps it");
        self.calls = calls;
    }

    fn resume(&mut self) {
        self.calls = self.instance.resume();
    }

    fn refund_fails(&mut self, amount_cents: i64) {
        let report = Report::RefundFailed { key: format!("{}.refund", self.claim_id) };
        let event_id = format!("{}.refund_failed", self.claim_id);
        self.instance.executor.apply_report(&event_id, &self.claim_id, amount_cents, report).expect("keeps it");
        let actor = Actor { reason: "the bank takes it now".into(), operator: None, client: "127.0.0.1".into() };
        let acted = self.instance.executor.act(&self.claim_id, Action::Retry, &actor).expect("acts");
        let ActionOutcome::Done(calls) = acted else { panic!("{acted:?}") };
        self.calls = calls;
    }

    fn call(&self) -> Option<Call> {
        self.calls.first().map(|call| call.call.clone())
    }
}

/// A row of the table that was played.
struct Row {
    case: Case,
    timing: Timing,
    happened: String,
    refund: Option<Refund>,
    saga: Saga,
    transfers: Vec<String>,
    requests: Vec<&'static str>,
}

/// Every combination that can be.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let timings = VOIDS.into_iter().flat_map(|void| RETURNS.map(|returned| Timing { void, returned }));
    for (case, timing) in CASES.into_iter().flat_map(|case| timings.clone().map(move |timing| (case, timing))) {
        // What is not paid does not come back.
        if timing.returned.is_some() && (case.paid_cents().is_none() || timing.void == Some(Moment::First)) {
            continue;
        }
        for refund in REFUNDS {
            let mut alone = Alone::new(case);
            let Played { refund_answered, happened } = play(&mut alone, case, timing, refund);
            let Some(happened) = happened else { continue };
            // The return would be that of the money that is out again.
            if refund == Refund::FailedLaterThenRefunded && timing.returned == Some(Moment::AtTheEnd) {
                continue;
            }
            // Where no refund is answered, what the gateway would say makes no other row.
            if !refund_answered && refund != Refund::Refunded {
                continue;
            }
            let Alone { saga, transfers, requests, .. } = alone;
            let saga = saga.expect("it was received");
            let refund = refund_answered.then_some(refund);
            rows.push(Row { case, timing, happened, refund, saga, transfers, requests });
        }
    }
    rows
}

fn name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).expect("a name").as_str().expect("a name").to_owned()
}

fn saga_md() -> String {
    let mut text = String::from(
        "# How payments end\n\nWritten by `UPDATE_SAGA=1 cargo test -p payments saga_md`, from the code; a test compares.\n\n\
         ## Reason codes\n\nWhat `reason_code` of an unwound claim means. Where one is near, its neighbour in X12's list of claim adjustment reason \
         codes (CARC) is named.\n\n| `reason_code` | `cause` | what a biller reads | what to do | CARC |\n|---|---|---|---|---|\n",
    );
    for meaning in MEANINGS {
        let code = meaning.code.map_or("the gateway's own".to_owned(), |code| format!("`{code}`"));
        let carc = meaning.carc.unwrap_or("");
        writeln!(text, "| {code} | `{}` | {} | {} | {carc} |", name(&meaning.cause), meaning.words, meaning.remedy)
            .expect("text");
    }
    text.push_str(
        "\n## Each step, each answer, each moment\n\nWhat is due is 1.00, and the other amount is 1.50. A step that is not named succeeds. `post` is ours \
         alone and has no failure. Requests are counted as they are planned: a void makes the one in hand again, under the same key. \
         Transfers are those of the claim in the ledger.\n\n\
         | step and answer | void or return | answer to `refund` | end | cause | failed step | reason code | compensations | transfers | requests |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows() {
        let outcome = row.saga.outcome.expect("an end");
        let end = if outcome.kind == OutcomeKind::Settled { "settled" } else { "unwound" };
        let (cause, step, code) = match &row.saga.unwinding {
            Some(why) => {
                let step = why.failed_step.as_ref().map_or(String::new(), |step| format!("`{}`", name(step)));
                (format!("`{}`", name(&why.cause)), step, format!("`{}`", why.reason.code))
            }
            None => Default::default(),
        };
        let compensations: Vec<String> = row.saga.compensations.iter().map(name).collect();
        writeln!(
            text,
            "| {} | {} | {} | {end} | {cause} | {step} | {code} | {} | {} | {} |",
            row.case.words(),
            row.happened,
            row.refund.map_or("", Refund::words),
            compensations.join(", "),
            row.transfers.join(", "),
            row.requests.join(", "),
        )
        .expect("text");
    }
    text
}

#[test]
fn the_table_is_what_the_saga_does() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/SAGA.md");
    let made = saga_md();
    if std::env::var_os("UPDATE_SAGA").is_some() {
        std::fs::write(file, &made).expect("writes");
    }
    let stands = std::fs::read_to_string(file).expect("crates/payments/SAGA.md can be read");
    assert_eq!(stands, made, "write it again: UPDATE_SAGA=1 cargo test -p payments saga_md");
}

#[test]
fn every_reason_that_is_given_is_in_the_table() {
    for row in rows() {
        if let Some(why) = row.saga.unwinding {
            let known = MEANINGS.iter().any(|meaning| match meaning.code {
                Some(code) => {
                    code == why.reason.code && meaning.cause == why.cause && meaning.words == why.reason.words
                }
                None => why.reason.code == "insufficient_funds" && meaning.words == why.reason.words,
            });
            assert!(known, "{why:?}");
        }
    }
}

on_both_databases! {
    fn every_row_ends_so_in_the_database(database: &Database) {
        let mut settings = crate::harness::settings();
        settings.budgets = vec![BudgetSettings { plan_prefix: "POOR".into(), limit_cents: AMOUNT - 1 }];
        let instance = Instance::with_settings(database, "one", settings);
        let rows = rows();
        assert!(rows.len() > 40, "{}", rows.len());
        for (n, row) in rows.into_iter().enumerate() {
            let claim_id = format!("row{n:019}");
            let mut stored = Stored { instance: &instance, claim_id: claim_id.clone(), case: row.case, calls: Vec::new() };
            play(&mut stored, row.case, row.timing, row.refund.unwrap_or(Refund::Refunded));
            let saga = instance.saga(&claim_id).saga;
            let outcome = format!("{:?}, {:?}, {:?}", row.case, row.timing, row.refund);
            assert_eq!((&saga.unwinding, saga.outcome), (&row.saga.unwinding, row.saga.outcome), "{outcome}");
            assert_eq!(saga.compensations, row.saga.compensations, "{outcome}");
            let mut transfers = row.transfers.clone();
            transfers.sort();
            assert_eq!(instance.transfer_kinds(&claim_id), transfers, "{outcome}");
            // The outcome of a late return is unsolicited: it is republished until it is recorded.
            assert_eq!(saga.unsolicited, row.saga.unsolicited, "{outcome}");
            if let (true, Some(outcome)) = (saga.unsolicited, saga.outcome) {
                let known_outcome = claim_events::KnownOutcome { kind: outcome.kind, version: outcome.version };
                let recorded = claim_events::OutcomeRecorded { claim_id, known_outcome, resync_epoch: 0 };
                instance.executor.apply_events(&[payments::executor::Received::Recorded(recorded)], &[]).expect("applies");
            }
        }
        assert_eq!(instance.books_off(), 0);
    }
}
