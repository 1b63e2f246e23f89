//! Claims of all fates go through, some of them withdrawn at random times, while things are done to the system that should
//! not be done to one. Afterwards every claim that was answered has ended as its cents and its sender say, paid once or
//! not at all, and all books agree.

use crate::api::Api;
use crate::audit::{self, Accepted, Strictness};
use crate::fates::ALL;
use crate::process::Process;
use crate::stack::Stack;
use rdkafka::Offset;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use test_support::eventually;
use tokio::task::JoinSet;

/// How long claims may take to end once nothing is done any more.
const END_TIMEOUT: Duration = Duration::from_secs(120);

/// How long no claim may be sent: then the senders have failed.
const STANDSTILL: Duration = Duration::from_secs(120);
/// The longest a void comes behind its claim.
const MAX_VOID_DELAY_MS: u64 = 15_000;

/// What is done to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An instance of claim_process is killed and started again.
    KillClaimProcess,
    /// An instance of payments is killed and started again.
    KillPayments,
    /// An instance of payments is stopped where it is, for longer than its session and its leases, and goes on later.
    FreezePayments,
    /// Kafka is killed and started again.
    CrashKafka,
    /// PostgreSQL crashes and comes back.
    CrashPostgres,
    /// One more payments is started.
    AddPayments,
    /// It is asked to stop.
    RemovePayments,
    /// Kafka loses all its data, topics and offsets.
    WipeKafka,
    /// Both consumer groups hear everything again.
    OffsetsToBeginning,
    /// Both consumer groups miss whatever waits.
    OffsetsToEnd,
    /// A copy is made of payments' database.
    DumpPayments,
    /// That copy takes the database's place, is marked as restored, and claim_process asks anew.
    RestorePayments,
}

/// A set of faults, each with the share of claims, in percent, that were sent when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Kills, crashes, a frozen instance, one that comes and goes.
    Kills,
    /// Kafka forgets, and its groups are moved.
    Kafka,
    /// payments' database is put back to an earlier state.
    Restore,
}

impl Scenario {
    fn faults(self) -> &'static [(i64, Fault)] {
        match self {
            Scenario::Kills => &[
                (10, Fault::KillClaimProcess),
                (20, Fault::KillPayments),
                (30, Fault::FreezePayments),
                (40, Fault::CrashKafka),
                (55, Fault::CrashPostgres),
                (65, Fault::AddPayments),
                (85, Fault::RemovePayments),
                (90, Fault::KillPayments),
                (95, Fault::KillClaimProcess),
            ],
            Scenario::Kafka => &[
                (20, Fault::WipeKafka),
                (45, Fault::OffsetsToBeginning),
                (65, Fault::OffsetsToEnd),
                (85, Fault::WipeKafka),
            ],
            Scenario::Restore => &[(40, Fault::DumpPayments), (70, Fault::RestorePayments)],
        }
    }

    /// A database that was put back ends a claim anew, under a higher version; all else ends it once.
    fn strictness(self) -> Strictness {
        match self {
            Scenario::Kills | Scenario::Kafka => Strictness::EndedOnce,
            Scenario::Restore => Strictness::EndedRight,
        }
    }
}

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What is done.
    pub scenario: Scenario,
    /// How many claims are sent.
    pub claims: i64,
    /// Of a hundred claims, how many are withdrawn.
    pub voids_per_hundred: u64,
    /// By how many senders at once.
    pub senders: usize,
    /// How long an instance is frozen.
    pub freeze: Duration,
    /// Chooses which claims are withdrawn, and when.
    pub seed: u64,
}

/// What was done and what came of it.
#[derive(Debug)]
pub struct Report {
    plan: Plan,
    done: Vec<(Duration, Fault)>,
    sending: Duration,
    ending: Duration,
    ends: BTreeMap<&'static str, usize>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}: {} claims, seed {}", self.plan.scenario, self.plan.claims, self.plan.seed)?;
        for (at, fault) in &self.done {
            writeln!(f, "  {:>6.1} s  {fault:?}", at.as_secs_f64())?;
        }
        writeln!(
            f,
            "  all sent after {:.1} s, all ended and audited {:.1} s later",
            self.sending.as_secs_f64(),
            self.ending.as_secs_f64()
        )?;
        for (end, count) in &self.ends {
            writeln!(f, "  {count:>6}  {end}")?;
        }
        write!(
            f,
            "  every claim ended as it should, nothing is missing, and ledger, totals and the gateway's book agree"
        )
    }
}

/// Does all of it to a system with two claim_process and four payments, the last of which is held back at first.
///
/// # Panics
/// At the first thing that is not as it must be.
pub async fn lay(mut stack: Stack, plan: Plan) -> Report {
    let began = Instant::now();
    let spare = stack.payments.len() - 1;
    leave(&mut stack.payments[spare]);
    let next = Arc::new(AtomicI64::new(0));
    let mut senders = JoinSet::new();
    for _ in 0..plan.senders {
        senders.spawn(send(stack.api.clone(), Arc::clone(&next), plan));
    }
    let mut faults = Faults { began, plan, next: Arc::clone(&next), done: Vec::new(), frozen: None };
    for (percent, fault) in plan.scenario.faults() {
        let mut progress = (0, Instant::now());
        while next.load(Ordering::SeqCst) < plan.claims * percent / 100 {
            let sent = next.load(Ordering::SeqCst);
            if sent > progress.0 {
                progress = (sent, Instant::now());
            }
            assert!(progress.1.elapsed() < STANDSTILL, "no claim was sent for {STANDSTILL:?}, {sent} before");
            faults.thaw_in_time(&stack);
            // Looks at the load, and thaws in time.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        faults.commit(*fault, &mut stack).await;
    }
    let mut accepted = Vec::new();
    let mut voids = JoinSet::new();
    while let Some(sent) = senders.join_next().await {
        let (mut sent, mut sent_voids) = sent.expect("the sender has all its answers");
        accepted.append(&mut sent);
        while let Some(id) = sent_voids.join_next().await {
            voids.spawn(async move { id });
        }
    }
    while faults.frozen.is_some() {
        faults.thaw_in_time(&stack);
        // How long an instance is frozen is part of the plan.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    while let Some(voided) = voids.join_next().await {
        let (id, was_accepted) = voided.and_then(|void| void).expect("the void was answered");
        let claim = accepted.iter_mut().find(|claim| claim.id == id).expect("a claim that was sent");
        claim.voided = was_accepted;
    }
    let sending = began.elapsed();
    assert_eq!(i64::try_from(accepted.len()), Ok(plan.claims));

    let ends = audit::check(&stack.api, &accepted, END_TIMEOUT, plan.scenario.strictness()).await;
    let output = stack.all_output();
    for phrase in ["message dead-lettered", "event dead-lettered"] {
        assert!(!output.contains(phrase), "{phrase}");
    }
    assert!(!output.contains("panicked"), "a thread panicked");
    Report { plan, done: faults.done, sending, ending: began.elapsed() - sending, ends }
}

type Voids = JoinSet<(String, bool)>;

/// Sends claims with the numbers that `next` hands out, until there are none left, and withdraws some of them later.
async fn send(api: Api, next: Arc<AtomicI64>, plan: Plan) -> (Vec<Accepted>, Voids) {
    let mut accepted = Vec::new();
    let mut voids = Voids::new();
    loop {
        let number = next.fetch_add(1, Ordering::SeqCst);
        if number >= plan.claims {
            return (accepted, voids);
        }
        let fate = ALL[usize::try_from(number).expect("small") % ALL.len()];
        let claim = api.submit(&fate.claim(number), &format!("key-{number}")).await;
        let id = claim["id"].as_str().expect("an id").to_owned();
        let chance = scramble(plan.seed ^ number.unsigned_abs());
        if chance % 100 < plan.voids_per_hundred {
            // Half of them at once, so that some overtake their claim's submission; the others whenever.
            let delay_ms = if chance & 0x100 == 0 { 0 } else { (chance >> 16) % MAX_VOID_DELAY_MS };
            let (api, id) = (api.clone(), id.clone());
            voids.spawn(async move {
                // Paces the load.
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
                let was_accepted = api.void(&id).await;
                (id, was_accepted)
            });
        }
        accepted.push(Accepted::new(id, fate));
    }
}

/// Bits that look random (splitmix64, <https://prng.di.unimi.it/splitmix64.c>).
fn scramble(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

struct Faults {
    began: Instant,
    plan: Plan,
    /// The number of the next claim that a sender takes.
    next: Arc<AtomicI64>,
    done: Vec<(Duration, Fault)>,
    frozen: Option<Instant>,
}

/// The one that is frozen; the first is the one that is killed.
const FROZEN: usize = 1;

impl Faults {
    fn thaw_in_time(&mut self, stack: &Stack) {
        if self.frozen.is_some_and(|since| since.elapsed() >= self.plan.freeze) {
            stack.payments[FROZEN].thaw();
            self.frozen = None;
        }
    }

    /// Waits until each sender had its turn, so that some met what is down, or nothing is left to send.
    async fn some_more_are_sent(&self) {
        let senders = i64::try_from(self.plan.senders).expect("few");
        let enough = (self.next.load(Ordering::SeqCst) + 2 * senders).min(self.plan.claims);
        eventually("claims are sent", async || (self.next.load(Ordering::SeqCst) >= enough).then_some(())).await;
    }

    async fn commit(&mut self, fault: Fault, stack: &mut Stack) {
        self.done.push((self.began.elapsed(), fault));
        let spare = stack.payments.len() - 1;
        match fault {
            Fault::KillClaimProcess => {
                stack.claim_process[0].kill();
                self.some_more_are_sent().await;
                stack.claim_process[0].start();
            }
            Fault::KillPayments => {
                stack.payments[0].kill();
                stack.payments[0].start();
            }
            Fault::FreezePayments => {
                stack.payments[FROZEN].freeze();
                self.frozen = Some(Instant::now());
            }
            Fault::CrashKafka => {
                stack.ground.stop_broker();
                stack.wait_until_kafka_is_missed().await;
                stack.ground.start_broker();
            }
            Fault::CrashPostgres => {
                if stack.ground.stop_postgres() {
                    an_outage_is_said_at_once(&stack.api).await;
                    stack.ground.start_postgres();
                }
            }
            Fault::AddPayments => stack.payments[spare].start(),
            Fault::RemovePayments => {
                stack.wait_for_last_payments().await;
                leave(&mut stack.payments[spare]);
            }
            Fault::WipeKafka => stack.ground.wipe_broker(),
            Fault::OffsetsToBeginning => move_offsets(stack, Offset::Beginning).await,
            Fault::OffsetsToEnd => move_offsets(stack, Offset::End).await,
            Fault::DumpPayments => stack.ground.dump_payments(&stack.directory().join("payments.dump")),
            Fault::RestorePayments => restore(stack).await,
        }
    }
}

/// While the database is gone, a sender learns so in less time than it would wait for a connection.
async fn an_outage_is_said_at_once(api: &Api) {
    let claim = ALL[0].claim(0).to_string();
    let mut took = Vec::new();
    for _ in 0..4 {
        let asked = Instant::now();
        let answer = api.post("application/json", claim.clone(), None).await.expect("claim_process is there");
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        took.push(asked.elapsed());
    }
    assert!(took.iter().any(|took| *took < Duration::from_secs(3)), "{took:?}");
}

/// Asks an instance to stop, which it must do in good order.
fn leave(instance: &mut Process) {
    let status = instance.stop();
    assert!(status.success(), "{} ended with {status}; its last words:\n{}", instance.name(), instance.last_words());
}

/// Moves both groups. Kafka allows it only while a group has no members, so all instances leave for a moment.
async fn move_offsets(stack: &mut Stack, to: Offset) {
    stack.wait_until_ready().await;
    stack.running().for_each(leave);
    stack.ground.reset_offsets("payments", "claims.claim.v1", to).await;
    stack.ground.reset_offsets("claim_process", "payments.payment.v1", to).await;
    stack.start_stopped();
}

/// Puts payments' database back while claim_process goes on taking claims.
async fn restore(stack: &mut Stack) {
    for instance in &mut stack.payments {
        instance.kill();
    }
    stack.ground.restore_payments(&stack.directory().join("payments.dump"));
    let marked = stack.payments[0].command(&["recover"]);
    assert!(marked.contains("reannounce"), "{marked}");
    stack.start_stopped();
    let raised = stack.claim_process[0].command(&["reannounce"]);
    assert!(raised.contains("are reannounced"), "{raised}");
    stack.wait_until_ready().await;
}
