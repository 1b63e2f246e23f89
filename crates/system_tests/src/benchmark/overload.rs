//! Measures more load than the system can take: many connections, and claims that keep coming at twice the rate that it accepts.

use super::http_load::{Answers, Load, Pace};
use super::meter::Meter;
use super::run::Benchmark;
use super::statistics::Figures;
use super::submitting::requests;
use super::system::{On, System};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The connections of the last two loads.
const MANY: usize = 2_000;
/// How long a claim takes, at most, when the system has recovered.
const RECOVERED: Duration = Duration::from_millis(50);
/// How long the recovery may take.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);

/// Measures 256 and 2,000 connections, and an open load of twice the rate that 64 connections reach.
pub async fn measure(benchmark: &mut Benchmark) {
    let system = benchmark.system(On::Servers, 0).await;
    let mut load = Load {
        address: system.address(),
        connections: 64,
        pace: Pace::Closed,
        lasts: benchmark.plan.lasts,
        requests: u64::MAX,
        first: benchmark.take_numbers(1_000_000_000),
        write: requests(system.address()),
    };
    let answers = load.send().await;
    let capacity = answers.accepted() as f64 / answers.took.as_secs_f64();
    let loads = [
        ("overload, 256 connections", 256, Pace::Closed),
        ("overload, 2000 connections", MANY, Pace::Closed),
        ("overload, twice the capacity", MANY, Pace::Open(2.0 * capacity)),
    ];
    for (case, connections, pace) in loads {
        load = Load { connections, pace, first: load.first + 100_000_000, ..load };
        let meter = Meter::start(&system).await;
        let answers = load.send().await;
        let mut figures = meter.stop(&system, answers.accepted()).await;
        figures.extend(shares(&answers));
        figures.extend(answers.latencies.figures());
        figures.extend(answers.refusals.figures().into_iter().map(|(name, value)| (format!("refused_{name}"), value)));
        load.first += 100_000_000;
        figures.insert("recovery_s".to_owned(), recovery(&system, &load).await.as_secs_f64());
        benchmark.add_share(case, figures, On::Servers, 64);
    }
    system.stop();
}

/// The shares of answers that are 503, and that are neither that nor 2xx.
fn shares(answers: &Answers) -> Figures {
    let all = answers.all() as f64;
    let busy = answers.by_status.get(&503).copied().unwrap_or_default();
    let other = answers.all() - answers.accepted() - busy;
    Figures::from([("refused_share".to_owned(), busy as f64 / all), ("failed_share".to_owned(), other as f64 / all)])
}

/// The time until a lone claim is accepted and as quick as on an idle system.
async fn recovery(system: &System, load: &Load) -> Duration {
    let began = Instant::now();
    let mut one =
        Load { connections: 1, pace: Pace::Closed, requests: 1, write: Rc::clone(&load.write), ..load.clone() };
    loop {
        let sent = Instant::now();
        let answers = one.send().await;
        if answers.accepted() == 1 && sent.elapsed() < RECOVERED {
            return sent - began;
        }
        assert!(began.elapsed() < RECOVERY_LIMIT, "{} has not recovered", system.address());
        one.first += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_and_failures_are_shares_of_all_answers() {
        let answers = Answers { by_status: [(201, 6), (503, 3), (0, 1)].into(), ..Answers::default() };
        assert_eq!(shares(&answers), [("refused_share".to_owned(), 0.3), ("failed_share".to_owned(), 0.1)].into());
    }
}
