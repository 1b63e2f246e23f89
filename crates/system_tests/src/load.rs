//! A steady load of claims of all fates, sent until it is stopped, which records how each request was answered and how long it took.

use crate::api::Api;
use crate::audit::Accepted;
use crate::fates::ALL;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use test_support::within;
use tokio::task::JoinSet;

/// The pause of a sender after each request.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a sender repeats a claim that is not accepted.
const SEND_TIMEOUT: Duration = Duration::from_secs(120);

/// The senders.
#[derive(Debug)]
pub struct Load {
    senders: JoinSet<Vec<Accepted>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    next: AtomicI64,
    accepted: AtomicUsize,
    answers: Mutex<Answers>,
}

/// How requests were answered.
#[derive(Debug, Default, Clone)]
pub struct Answers {
    /// The number of requests for each status; 0 stands for a connection that was refused, closed or reset.
    pub by_status: BTreeMap<u16, usize>,
    /// The longest time that a request took.
    pub slowest: Duration,
}

impl Load {
    /// Starts senders. Each sends one claim after the other, and repeats it with its idempotency key until it is accepted.
    pub fn start(api: &Api, senders: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let mut all = JoinSet::new();
        for _ in 0..senders {
            all.spawn(send(api.clone(), Arc::clone(&shared)));
        }
        Self { senders: all, shared }
    }

    /// Waits until this many more claims are accepted.
    ///
    /// # Panics
    /// If they are not within the limit.
    pub async fn accepted_more(&self, claims: usize, limit: Duration) {
        let accepted = || self.shared.accepted.load(Ordering::SeqCst);
        let wanted = accepted() + claims;
        within(limit, async || match accepted() {
            now if now >= wanted => Ok(()),
            now => Err(format!("{wanted} claims are accepted, found {now}: {:?}", self.answers())),
        })
        .await;
    }

    /// The answers so far.
    pub fn answers(&self) -> Answers {
        self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops when every claim that was sent is accepted. Returns these claims.
    ///
    /// # Panics
    /// If a sender failed.
    pub async fn stop(mut self) -> (Vec<Accepted>, Answers) {
        self.shared.over.store(true, Ordering::SeqCst);
        let mut accepted = Vec::new();
        while let Some(sent) = self.senders.join_next().await {
            accepted.extend(sent.expect("the sender ends"));
        }
        (accepted, self.answers())
    }
}

async fn send(api: Api, shared: Arc<Shared>) -> Vec<Accepted> {
    let mut accepted = Vec::new();
    while !shared.over.load(Ordering::SeqCst) {
        let number = shared.next.fetch_add(1, Ordering::SeqCst);
        let fate = ALL[usize::try_from(number).expect("small") % ALL.len()];
        let claim = fate.claim(number).to_string();
        let until = Instant::now() + SEND_TIMEOUT;
        loop {
            let id = post(&api, &shared, &claim, number).await;
            // Paces the load.
            tokio::time::sleep(PAUSE).await;
            if let Some(id) = id {
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                accepted.push(Accepted::new(id, fate));
                break;
            }
            assert!(Instant::now() < until, "claim {number} was not accepted within {SEND_TIMEOUT:?}");
        }
    }
    accepted
}

/// Sends a claim once. Returns its id if it was accepted.
async fn post(api: &Api, shared: &Shared, claim: &str, number: i64) -> Option<String> {
    let sent = Instant::now();
    let answer = api.post("application/json", claim, Some(&format!("key-{number}"))).await;
    let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
    let body: Option<serde_json::Value> = match answer {
        Ok(answer) => answer.json().await.ok(),
        Err(_) => None,
    };
    let took = sent.elapsed();
    let mut answers = shared.answers.lock().unwrap_or_else(PoisonError::into_inner);
    *answers.by_status.entry(status).or_default() += 1;
    answers.slowest = answers.slowest.max(took);
    drop(answers);
    assert!(
        status == 0 || status == 503 || (200..300).contains(&status),
        "claim {number} was answered {status}: {body:?}"
    );
    if status == 503 { None } else { body?["id"].as_str().map(str::to_owned) }
}
