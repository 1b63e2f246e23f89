//! An outage of the gateway while many claims wait for it. Every claim ends correctly after the outage. Meanwhile `payments` keeps
//! its partitions, continues to consume and uses no more memory, and it does not send a burst of calls after the outage.

use crate::audit::{self, Accepted, Strictness};
use crate::fates::Fate;
use crate::stack::Stack;
use crate::watch::{Second, Watch, ended, metric};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};
use test_support::within;

/// One of this many claims is declined; the others are approved.
const ONE_DECLINED_OF: i64 = 10;
/// The number of samples taken of an idle payments, before and after the outage.
const CALM: usize = 3;
/// Claims that are paid before the outage, to warm the system up.
const BEFORE: i64 = 50;
/// Claims sent in one request.
const BATCH: usize = 500;

/// How the gateway is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// Killed: connections are refused.
    Killed,
    /// Frozen: connections are accepted, and no request is answered.
    Frozen,
}

/// The parameters of an outage.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How the gateway is down.
    pub away: Away,
    /// Claims sent while the gateway is down.
    pub claims: i64,
    /// How long the gateway is down.
    pub outage: Duration,
    /// How long all claims may take to end after the outage.
    pub timeout: Duration,
}

/// The result of an outage.
#[derive(Debug)]
pub struct Report {
    plan: Plan,
    /// The samples, in order.
    pub seconds: Vec<Second>,
    /// The start and end of the outage, in seconds.
    pub down_s: (f64, f64),
    /// When the last claim ended, in seconds.
    pub ended_s: f64,
    /// The number of claims by their end.
    pub ends: BTreeMap<&'static str, usize>,
    /// How often partitions of payments were revoked since the start of the outage.
    pub partitions_revoked: usize,
    /// Calls that waited too long for a permit and were not made.
    pub not_in_time: f64,
    received_s: Option<f64>,
}

/// Runs the outage on a system with one payments, and checks the end of every claim and that the books agree.
///
/// # Panics
/// If a claim ends otherwise, or the books disagree.
pub async fn run(stack: &mut Stack, plan: Plan) -> Report {
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
    // The outage.
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
    let received = seconds.iter().filter(in_outage).find(|second| second.received >= accepted.len() as f64);
    Report {
        plan,
        down_s,
        ended_s,
        ends,
        partitions_revoked: partitions_revoked(stack) - lost_before,
        not_in_time: metric(&metrics, "gateway_calls_not_in_time_total"),
        received_s: received.map(|second| second.at_s - down_s.0),
        seconds,
    }
}

/// Sends the claims with these numbers, in batches.
async fn send(stack: &Stack, numbers: std::ops::Range<i64>) -> Vec<Accepted> {
    let numbers: Vec<i64> = numbers.collect();
    let mut accepted = Vec::new();
    for batch in numbers.chunks(BATCH) {
        let fates: Vec<Fate> = batch.iter().map(|number| fate(*number)).collect();
        let claims: Vec<String> =
            batch.iter().zip(&fates).map(|(number, fate)| fate.claim(*number).to_string()).collect();
        let ids = stack.api.submit_batch(&claims).await;
        assert_eq!(ids.len(), fates.len(), "every claim is accepted");
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
    /// The calls of each second after the outage, until nine tenths of the claims had ended.
    fn after_outage(&self) -> Vec<f64> {
        let claims = (self.plan.claims + BEFORE) as f64;
        let wanted = |second: &&Second| second.at_s > self.down_s.1 + 1.0 && second.ended < 0.9 * claims;
        self.seconds.iter().filter(wanted).map(|second| second.calls).collect()
    }

    /// The median of calls per second after the outage.
    pub fn steady_calls(&self) -> f64 {
        let mut calls = self.after_outage();
        calls.sort_by(f64::total_cmp);
        calls.get(calls.len() / 2).copied().unwrap_or(0.0)
    }

    /// The maximum of calls per second after the outage.
    pub fn max_calls_after_outage(&self) -> f64 {
        self.most(self.down_s.1 + 1.0..f64::INFINITY, |second| second.calls)
    }

    /// The maximum resident memory of payments before, during and after the outage, in MiB.
    pub fn max_resident_mib(&self) -> [f64; 3] {
        let (from, until) = self.down_s;
        [0.0..from, from..until, until..f64::INFINITY].map(|when| self.most(when, |second| second.resident_mib))
    }

    /// The longest gap between two samples, in seconds. A long gap means that the machine itself stalled, so that the figures say
    /// nothing about payments.
    pub fn longest_gap_s(&self) -> f64 {
        self.seconds.windows(2).map(|two| two[1].at_s - two[0].at_s).fold(0.0, f64::max)
    }

    fn most(&self, when: std::ops::Range<f64>, what: impl Fn(&Second) -> f64) -> f64 {
        self.seconds.iter().filter(|second| when.contains(&second.at_s)).map(what).fold(0.0, f64::max)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = self.down_s;
        let [before, during, after] = self.max_resident_mib();
        let steady = self.steady_calls();
        let most = self.max_calls_after_outage();
        writeln!(
            f,
            "{} claims were sent while the gateway was down ({:?}) for {:.0} s",
            self.plan.claims,
            self.plan.away,
            until - from
        )?;
        writeln!(
            f,
            "ends: {:?}, all correct, and the books agree; {:.0} s after the outage",
            self.ends,
            self.ended_s - until
        )?;
        match self.received_s {
            Some(seconds) => writeln!(
                f,
                "payments had received a message for every claim {seconds:.0} s after the gateway went down"
            )?,
            None => writeln!(f, "payments had not received a message for every claim when the gateway came back")?,
        }
        writeln!(f, "partitions of payments were revoked {} times", self.partitions_revoked)?;
        writeln!(
            f,
            "maximum of calls per second: {:.0} during the outage, {most:.0} after it",
            self.most(from..until, |second| second.calls)
        )?;
        writeln!(
            f,
            "median of calls per second after the outage: {steady:.0}; the maximum is {:.1} times that",
            most / steady.max(1.0)
        )?;
        writeln!(f, "calls that waited too long for a permit and were not made: {:.0}", self.not_in_time)?;
        writeln!(
            f,
            "maximum resident memory of payments: {before:.0} MiB before, {during:.0} MiB during the outage, {after:.0} MiB after it"
        )?;
        write!(f, "longest gap between two samples: {:.1} s", self.longest_gap_s())
    }
}
