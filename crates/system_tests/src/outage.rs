//! The gateway is down while many claims wait for it. When it is back they all end, none of them otherwise than it should;
//! meanwhile payments keeps its partitions and hears what comes, takes no more memory, and does not fall upon the gateway
//! when it returns.

use crate::audit::{self, Accepted, Strictness};
use crate::fates::Fate;
use crate::stack::Stack;
use crate::watch::{Second, Watch, ended, metric};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};
use test_support::within;

/// Of so many claims one is to be declined; the others are approved.
const ONE_DECLINED_OF: i64 = 10;
/// What payments is like at rest is seen so often, before and after.
const CALM: usize = 3;
/// Claims that go through before the gateway goes down, so that everything has been used once.
const BEFORE: i64 = 50;
/// Claims sent in one request.
const BATCH: usize = 500;

/// How the gateway is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// It was killed: connections are refused.
    Killed,
    /// It stands still: connections are taken, and nothing is answered.
    Frozen,
}

/// What is done.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How the gateway is away.
    pub away: Away,
    /// Claims sent while the gateway is down.
    pub claims: i64,
    /// For how long it is down.
    pub outage: Duration,
    /// How long all may take to end when it is back.
    pub timeout: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    plan: Plan,
    /// All that was seen.
    pub seconds: Vec<Second>,
    /// When the gateway went down and came back, in seconds.
    pub down_s: (f64, f64),
    /// When the last claim had ended, in seconds.
    pub ended_s: f64,
    /// How many claims came to which end.
    pub ends: BTreeMap<&'static str, usize>,
    /// How often partitions of payments were revoked since the gateway went down.
    pub partitions_revoked: usize,
    /// Calls that waited too long for their turn and were not made.
    pub not_in_time: f64,
    heard_s: Option<f64>,
}

/// Does it with a system that has one payments, and checks how every claim ended and that all books agree.
///
/// # Panics
/// When they did not, or do not.
pub async fn stand(stack: &mut Stack, plan: Plan) -> Report {
    let watch = Watch::start(stack);
    let mut accepted = send(stack, 0..BEFORE).await;
    all_ended(stack, accepted.len(), plan.timeout).await;
    watch.see(CALM).await;

    let lost_before = partitions_revoked(stack);
    match plan.away {
        Away::Killed => stack.gateway.kill(),
        Away::Frozen => stack.gateway.freeze(),
    }
    let (down, down_from_s) = (Instant::now(), watch.now_s());
    accepted.extend(send(stack, BEFORE..BEFORE + plan.claims).await);
    // The outage itself.
    tokio::time::sleep(plan.outage.saturating_sub(down.elapsed())).await;
    match plan.away {
        Away::Killed => stack.gateway.start(),
        Away::Frozen => stack.gateway.thaw(),
    }
    let down_s = (down_from_s, watch.now_s());
    all_ended(stack, accepted.len(), plan.timeout).await;
    let ended_s = watch.now_s();
    watch.see(CALM).await;

    let metrics = stack.api.payments_metrics().await.unwrap_or_default();
    let seconds = watch.seconds();
    drop(watch);
    let ends = audit::check(&stack.api, &accepted, plan.timeout, Strictness::EndedOnce).await;
    let in_outage = |second: &&Second| (down_s.0..down_s.1).contains(&second.at_s);
    let heard = seconds.iter().filter(in_outage).find(|second| second.heard >= accepted.len() as f64);
    Report {
        plan,
        down_s,
        ended_s,
        ends,
        partitions_revoked: partitions_revoked(stack) - lost_before,
        not_in_time: metric(&metrics, "gateway_calls_not_in_time_total"),
        heard_s: heard.map(|second| second.at_s - down_s.0),
        seconds,
    }
}

/// Sends the claims with these numbers, many in each request.
async fn send(stack: &Stack, numbers: std::ops::Range<i64>) -> Vec<Accepted> {
    let numbers: Vec<i64> = numbers.collect();
    let mut accepted = Vec::new();
    for batch in numbers.chunks(BATCH) {
        let fates: Vec<Fate> = batch.iter().map(|number| fate(*number)).collect();
        let claims: Vec<String> =
            batch.iter().zip(&fates).map(|(number, fate)| fate.claim(*number).to_string()).collect();
        let ids = stack.api.submit_batch(&claims).await;
        assert_eq!(ids.len(), fates.len(), "all are taken");
        accepted.extend(ids.into_iter().zip(fates).map(|(id, fate)| Accepted::new(id, fate)));
    }
    accepted
}

fn fate(number: i64) -> Fate {
    if number % ONE_DECLINED_OF == 0 { Fate::Declined } else { Fate::Approved }
}

async fn all_ended(stack: &Stack, claims: usize, timeout: Duration) {
    within(timeout, async || {
        let sums = stack.api.try_reconciliation().await;
        let all = sums.as_ref().is_some_and(|sums| ended(sums) == claims as u64);
        if all { Ok(()) } else { Err(format!("{claims} claims end: {sums:?}")) }
    })
    .await;
}

fn partitions_revoked(stack: &Stack) -> usize {
    stack.payments.iter().map(|payments| payments.output().matches("partitions revoked").count()).sum()
}

impl Report {
    /// The calls of each second after the gateway's return, until all but one in ten of the claims had ended.
    fn after_return(&self) -> Vec<f64> {
        let claims = (self.plan.claims + BEFORE) as f64;
        let wanted = |second: &&Second| second.at_s > self.down_s.1 + 1.0 && second.ended < 0.9 * claims;
        self.seconds.iter().filter(wanted).map(|second| second.calls).collect()
    }

    /// How many calls a second were made when it had come to rest: in the middle of those after the gateway's return.
    pub fn steady_calls(&self) -> f64 {
        let mut calls = self.after_return();
        calls.sort_by(f64::total_cmp);
        calls.get(calls.len() / 2).copied().unwrap_or(0.0)
    }

    /// The most calls a second after the gateway's return.
    pub fn most_calls_after_return(&self) -> f64 {
        self.most(self.down_s.1 + 1.0..f64::INFINITY, |second| second.calls)
    }

    /// The most memory that payments had before the outage, in it, and after it, in MiB.
    pub fn most_resident_mib(&self) -> [f64; 3] {
        let (from, until) = self.down_s;
        [0.0..from, from..until, until..f64::INFINITY].map(|when| self.most(when, |second| second.resident_mib))
    }

    /// The longest time in which nothing was seen, in seconds: long where the machine itself stood still, and then this says
    /// nothing of payments.
    pub fn longest_unseen_s(&self) -> f64 {
        self.seconds.windows(2).map(|two| two[1].at_s - two[0].at_s).fold(0.0, f64::max)
    }

    fn most(&self, when: std::ops::Range<f64>, what: impl Fn(&Second) -> f64) -> f64 {
        self.seconds.iter().filter(|second| when.contains(&second.at_s)).map(what).fold(0.0, f64::max)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = self.down_s;
        let [before, during, after] = self.most_resident_mib();
        let steady = self.steady_calls();
        let most = self.most_calls_after_return();
        writeln!(
            f,
            "{} claims were sent while the gateway was away ({:?}) for {:.0} s",
            self.plan.claims,
            self.plan.away,
            until - from
        )?;
        writeln!(
            f,
            "ended: {:?}, each as it should, and the books agree; {:.0} s after the return",
            self.ends,
            self.ended_s - until
        )?;
        match self.heard_s {
            Some(seconds) => writeln!(
                f,
                "payments had read as many messages as there were claims {seconds:.0} s after the gateway went down"
            )?,
            None => {
                writeln!(f, "payments had not read as many messages as there were claims when the gateway came back")?
            }
        }
        writeln!(f, "partitions of payments were revoked {} times", self.partitions_revoked)?;
        writeln!(
            f,
            "calls a second, at most: {:.0} while it was down, {most:.0} after the return",
            self.most(from..until, |second| second.calls)
        )?;
        writeln!(
            f,
            "calls a second after the return, in the middle: {steady:.0}; at most {:.1} times that",
            most / steady.max(1.0)
        )?;
        writeln!(f, "calls that waited too long and were not made: {:.0}", self.not_in_time)?;
        writeln!(
            f,
            "resident memory of payments, at most: {before:.0} MiB before, {during:.0} MiB while it was down, {after:.0} MiB after"
        )?;
        write!(f, "the longest in which nothing was seen: {:.1} s", self.longest_unseen_s())
    }
}
