//! A long run under faults: claims of all fates are sent, some are voided at random times, and meanwhile processes and servers are
//! killed, frozen, wiped or restored, or the network between them fails. Afterwards every accepted claim must have ended as its cents and its void demand, paid once
//! or not at all, and all books must agree.

use crate::api::Api;
use crate::audit::{self, Accepted, Strictness};
use crate::fates::ALL;
use crate::links::{self, Link};
use crate::process::Process;
use crate::stack::Stack;
use rdkafka::Offset;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use test_support::{Disturbance, Schedule, eventually};
use tokio::task::JoinSet;

/// How long claims may take to end after the last fault.
const END_TIMEOUT: Duration = Duration::from_secs(120);

/// The run fails if no claim is sent for this long.
const STANDSTILL: Duration = Duration::from_secs(120);
/// How often the network is disturbed, in turn on each link.
const DISTURBANCES: i64 = 24;
/// How often a run looks at its progress, and ends the faults that are over.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The longest delay between a claim and its void.
const MAX_VOID_DELAY_MS: u64 = 15_000;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An instance of claim_process is killed and started again.
    KillClaimProcess,
    /// An instance of payments is killed and started again.
    KillPayments,
    /// An instance of payments is frozen for longer than its session and its leases, and continues later.
    FreezePayments,
    /// Kafka is killed and started again.
    CrashKafka,
    /// PostgreSQL crashes and is started again.
    CrashPostgres,
    /// Another instance of payments is started.
    AddPayments,
    /// That instance is stopped.
    RemovePayments,
    /// Kafka loses all its data, topics and offsets.
    WipeKafka,
    /// Both consumer groups consume everything again.
    OffsetsToBeginning,
    /// Both consumer groups skip all waiting messages.
    OffsetsToEnd,
    /// A copy of payments' database is taken.
    DumpPayments,
    /// payments' database is restored from that copy with `payments recover`, and `claim_process reannounce` is run.
    RestorePayments,
    /// The connections of a link are disturbed. Other faults may begin before this one is over.
    Disturb(Link, Disturbance),
}

/// A set of faults, each with the share of claims, in percent, that are sent before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Kills, crashes, a frozen instance, and one that is added and removed.
    Kills,
    /// Kafka loses its data, and the offsets of its groups are moved.
    Kafka,
    /// payments' database is restored to an earlier state.
    Restore,
    /// Connections to the databases, Kafka and the gateway are silent, half open, slow or reset.
    Network,
}

impl Scenario {
    /// Starts the system that [`run`] needs: two claim_process and four payments.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(self) -> Stack {
        match self {
            Scenario::Kills | Scenario::Kafka | Scenario::Restore => Stack::start_on_servers(2, 4).await,
            Scenario::Network => Stack::start_behind_links(2, 4).await,
        }
    }

    fn faults(self, seed: u64) -> Vec<(i64, Fault)> {
        match self {
            Scenario::Kills => vec![
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
            Scenario::Kafka => vec![
                (20, Fault::WipeKafka),
                (45, Fault::OffsetsToBeginning),
                (65, Fault::OffsetsToEnd),
                (85, Fault::WipeKafka),
            ],
            Scenario::Restore => vec![(40, Fault::DumpPayments), (70, Fault::RestorePayments)],
            Scenario::Network => {
                let links = links::ALL.into_iter().cycle().zip(Schedule::new(seed));
                (1..=DISTURBANCES)
                    .zip(links.map(|(link, disturbance)| Fault::Disturb(link, disturbance)))
                    .map(|(number, fault)| (number * 100 / (DISTURBANCES + 1), fault))
                    .collect()
            }
        }
    }

    /// After a restore a claim may end a second time under a higher version; otherwise it ends once.
    fn strictness(self) -> Strictness {
        match self {
            Scenario::Kills | Scenario::Kafka | Scenario::Network => Strictness::EndedOnce,
            Scenario::Restore => Strictness::EndedRight,
        }
    }
}

/// The parameters of a run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The faults.
    pub scenario: Scenario,
    /// The number of claims.
    pub claims: i64,
    /// How many of a hundred claims are voided.
    pub voids_per_hundred: u64,
    /// The number of concurrent senders.
    pub senders: usize,
    /// How long an instance is frozen.
    pub freeze: Duration,
    /// Chooses which claims are voided, and when, and how the network fails.
    pub seed: u64,
}

/// The faults and the result of a run.
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
            "  all claims sent after {:.1} s, all ended and audited {:.1} s later",
            self.sending.as_secs_f64(),
            self.ending.as_secs_f64()
        )?;
        for (end, count) in &self.ends {
            writeln!(f, "  {count:>6}  {end}")?;
        }
        write!(
            f,
            "  every claim ended correctly, none is missing, and the ledger, the totals and the gateway's book agree"
        )
    }
}

/// Runs the plan on a system with two claim_process and four payments, the last of which is started later.
///
/// # Panics
/// At the first violation.
pub async fn run(mut stack: Stack, plan: Plan) -> Report {
    let began = Instant::now();
    let spare = stack.payments.len() - 1;
    leave(&mut stack.payments[spare]);
    let next = Arc::new(AtomicI64::new(0));
    let mut senders = JoinSet::new();
    for _ in 0..plan.senders {
        senders.spawn(send(stack.api.clone(), Arc::clone(&next), plan));
    }
    let mut faults =
        Faults { began, plan, next: Arc::clone(&next), done: Vec::new(), frozen: None, disturbed: BTreeMap::new() };
    for (percent, fault) in plan.scenario.faults(plan.seed) {
        let mut progress = (0, Instant::now());
        while next.load(Ordering::SeqCst) < plan.claims * percent / 100 {
            let sent = next.load(Ordering::SeqCst);
            if sent > progress.0 {
                progress = (sent, Instant::now());
            }
            assert!(progress.1.elapsed() < STANDSTILL, "no claim was sent for {STANDSTILL:?}, {sent} before");
            faults.end_in_time(&stack);
            // Checks the progress, and ends faults in time.
            tokio::time::sleep(LOOK_EVERY).await;
        }
        faults.commit(fault, &mut stack).await;
    }
    let (mut accepted, mut voids) = (Vec::new(), Vec::new());
    while !senders.is_empty() || faults.are_under_way() {
        faults.end_in_time(&stack);
        // A sender may need the end of a fault.
        if let Ok(Some(sent)) = tokio::time::timeout(LOOK_EVERY, senders.join_next()).await {
            let (mut sent, sent_voids) = sent.expect("the sender ends");
            accepted.append(&mut sent);
            voids.push(sent_voids);
        }
    }
    for mut voids in voids {
        while let Some(voided) = voids.join_next().await {
            let (id, was_accepted) = voided.expect("the void was answered");
            let claim = accepted.iter_mut().find(|claim| claim.id == id).expect("a claim that was sent");
            claim.voided = was_accepted;
        }
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

/// Sends claims with numbers taken from `next` until all are sent, and voids some of them later.
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
            // Half of them at once, so that some overtake their claim's submission; the others after a random delay.
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

/// Pseudo-random bits (splitmix64, <https://prng.di.unimi.it/splitmix64.c>).
fn scramble(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

struct Faults {
    began: Instant,
    plan: Plan,
    /// The number of the next claim.
    next: Arc<AtomicI64>,
    done: Vec<(Duration, Fault)>,
    frozen: Option<Instant>,
    /// Until when each link is disturbed.
    disturbed: BTreeMap<Link, Instant>,
}

/// The instance of payments that is frozen; the first is the one that is killed.
const FROZEN: usize = 1;

impl Faults {
    fn end_in_time(&mut self, stack: &Stack) {
        if self.frozen.is_some_and(|since| since.elapsed() >= self.plan.freeze) {
            stack.payments[FROZEN].thaw();
            self.frozen = None;
        }
        self.disturbed.retain(|link, until| {
            let lasts = Instant::now() < *until;
            if !lasts {
                stack.proxy(*link).restore();
            }
            lasts
        });
    }

    fn are_under_way(&self) -> bool {
        self.frozen.is_some() || !self.disturbed.is_empty()
    }

    /// Waits until each sender has sent a claim, so that some met the fault, or all claims are sent.
    async fn wait_for_more_claims(&self) {
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
                self.wait_for_more_claims().await;
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
                stack.infrastructure.stop_broker();
                stack.wait_until_not_ready_without_kafka().await;
                stack.infrastructure.start_broker();
            }
            Fault::CrashPostgres => {
                if stack.infrastructure.stop_postgres() {
                    outage_is_reported_at_once(&stack.api).await;
                    stack.infrastructure.start_postgres();
                }
            }
            Fault::AddPayments => stack.payments[spare].start(),
            Fault::RemovePayments => {
                stack.wait_for_last_payments().await;
                leave(&mut stack.payments[spare]);
            }
            Fault::WipeKafka => stack.infrastructure.wipe_broker(),
            Fault::OffsetsToBeginning => move_offsets(stack, Offset::Beginning).await,
            Fault::OffsetsToEnd => move_offsets(stack, Offset::End).await,
            Fault::DumpPayments => stack.infrastructure.dump_payments(&stack.directory().join("payments.dump")),
            Fault::RestorePayments => restore(stack).await,
            Fault::Disturb(link, disturbance) => {
                stack.proxy(link).disturb(&disturbance);
                self.disturbed.insert(link, Instant::now() + disturbance.lasts);
            }
        }
    }
}

/// While the database is down, a sender gets an error sooner than the checkout of a connection would time out.
async fn outage_is_reported_at_once(api: &Api) {
    let claim = ALL[0].claim(0).to_string();
    let mut took = Vec::new();
    for _ in 0..4 {
        let asked = Instant::now();
        let answer = api.post("application/json", claim.clone(), None).await.expect("claim_process answers");
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        took.push(asked.elapsed());
    }
    assert!(took.iter().any(|took| *took < Duration::from_secs(3)), "{took:?}");
}

/// Stops an instance, which must end without an error.
fn leave(instance: &mut Process) {
    let status = instance.stop();
    assert!(status.success(), "{} ended with {status}; its last lines:\n{}", instance.name(), instance.last_lines());
}

/// Moves the offsets of both groups. Kafka allows it only while a group has no members, so all instances are stopped meanwhile.
async fn move_offsets(stack: &mut Stack, to: Offset) {
    stack.wait_until_ready().await;
    stack.running().for_each(leave);
    stack.infrastructure.reset_offsets("payments", "claims.claim.v1", to).await;
    stack.infrastructure.reset_offsets("claim_process", "payments.payment.v1", to).await;
    stack.start_stopped();
}

/// Restores payments' database while claim_process continues to accept claims.
async fn restore(stack: &mut Stack) {
    for instance in &mut stack.payments {
        instance.kill();
    }
    stack.infrastructure.restore_payments(&stack.directory().join("payments.dump"));
    let marked = stack.payments[0].command(&["recover"]);
    assert!(marked.contains("reannounce"), "{marked}");
    stack.start_stopped();
    let raised = stack.claim_process[0].command(&["reannounce"]);
    assert!(raised.contains("are reannounced"), "{raised}");
    stack.wait_until_ready().await;
}
