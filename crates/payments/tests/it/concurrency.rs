//! How many gateway calls are made at once: the semaphore follows its controller, and `GET /v1/concurrency` shows it. What
//! the controller decides is tested beside it, in virtual time; here it is that the dispatcher does as it decides.

use crate::harness::{settings, with_application};
use payments::domain::concurrency::{Reason, Sign};
use payments::domain::gateway_call::PlannedCall;
use payments::domain::saga::{Call, LookUpAnswer, PayAnswer, RefundAnswer};
use payments::gateway::{Answered, Answering, Dispatcher, Gateway, PayRequest, RefundRequest, Reply, Snapshot};
use payments::settings::Settings;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use test_support::{TestDatabase, on_both_databases, wait_until};
use tokio::runtime::Runtime;

/// A gateway that answers after a while that can be changed, or fails; it counts calls, and how many are in it.
#[derive(Default)]
struct Changing {
    takes_ms: AtomicU64,
    fails: AtomicUsize,
    inside: AtomicUsize,
    most_inside: AtomicUsize,
    calls: AtomicUsize,
}

impl Gateway for Changing {
    fn pay<'a>(&'a self, request: PayRequest<'a>) -> Answering<'a, Reply<PayAnswer>> {
        Box::pin(async move {
            let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
            self.calls.fetch_add(1, Ordering::SeqCst);
            self.most_inside.fetch_max(inside, Ordering::SeqCst);
            // The latency is what the controller measures.
            tokio::time::sleep(Duration::from_millis(self.takes_ms.load(Ordering::SeqCst))).await;
            self.inside.fetch_sub(1, Ordering::SeqCst);
            if self.fails.load(Ordering::SeqCst) > 0 {
                return Reply {
                    answer: PayAnswer::Unknown { retry_after_ms: None },
                    sign: Sign::Failed,
                    unclear: None,
                };
            }
            Reply::answered(PayAnswer::Approved { amount_cents: request.amount_cents })
        })
    }

    fn refund<'a>(&'a self, _: RefundRequest<'a>) -> Answering<'a, Reply<RefundAnswer>> {
        Box::pin(async move { Reply::answered(RefundAnswer::Refunded) })
    }

    fn look_up<'a>(&'a self, _: &'a str, _: &'a str) -> Answering<'a, Reply<LookUpAnswer>> {
        Box::pin(async move { Reply::answered(LookUpAnswer::NotFound) })
    }

    fn check(&self) -> Answering<'_, Result<(), String>> {
        Box::pin(async move { Ok(()) })
    }
}

/// A dispatcher over that gateway, and its answers.
struct Calling {
    gateway: Arc<Changing>,
    dispatcher: Dispatcher,
    answers: Receiver<Answered>,
    _runtime: Runtime,
}

impl Calling {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings();
        settings.saga.lease_ms = 600_000;
        settings.gateway.max_concurrent_calls = 20;
        settings.gateway.concurrency.floor = 2;
        settings.gateway.concurrency.start = 4;
        settings.gateway.concurrency.longest_rest_ms = 1;
        change(&mut settings);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("starts");
        let gateway = Arc::new(Changing::default());
        let (answers, answered) = channel();
        let dispatcher =
            Dispatcher::new(Arc::<Changing>::clone(&gateway), runtime.handle().clone(), &settings, answers);
        Self { gateway, dispatcher, answers: answered, _runtime: runtime }
    }

    /// Makes so many calls, all at once as far as may be, and waits for their answers.
    fn make(&self, calls: usize) -> Snapshot {
        self.start(calls);
        self.answered(calls)
    }

    fn start(&self, calls: usize) {
        let planned = (0..calls).map(|n| PlannedCall {
            claim_id: format!("claim{n}"),
            revision: 1,
            call: Call::Pay {
                key: format!("claim{n}.disburse"),
                reference: format!("claim{n}"),
                payee: "1497775530".into(),
                amount_cents: 100,
            },
            tries: 0,
        });
        self.dispatcher.dispatch(planned.collect());
    }

    fn answered(&self, calls: usize) -> Snapshot {
        for _ in 0..calls {
            self.answers.recv_timeout(Duration::from_secs(30)).expect("every call is answered");
        }
        self.dispatcher.concurrency()
    }

    fn calls(&self) -> usize {
        self.gateway.calls.load(Ordering::SeqCst)
    }

    fn most_inside(&self) -> usize {
        self.gateway.most_inside.swap(0, Ordering::SeqCst)
    }
}

#[test]
fn work_that_waits_for_a_healthy_gateway_lets_it_grow_up_to_the_ceiling() {
    let calling = Calling::new(|_| ());
    let began = calling.dispatcher.concurrency();
    assert_eq!((began.limit, began.load.in_use, began.load.waiting), (4, 0, 0));
    // Its own baseline is what a call takes: however slow the machine is, all take about as long.
    calling.gateway.takes_ms.store(20, Ordering::SeqCst);
    let grown = calling.make(800);
    assert!(grown.limit <= 20, "{grown:?}");
    let most = calling.most_inside();
    assert!(most > 4 && most <= 20, "{most}");
    assert_eq!((grown.load.in_use, grown.load.waiting), (0, 0));
}

#[test]
fn a_gateway_that_fails_makes_it_shrink_to_the_floor_and_one_that_is_back_makes_it_grow() {
    let calling = Calling::new(|_| ());
    calling.gateway.takes_ms.store(5, Ordering::SeqCst);
    calling.gateway.fails.store(1, Ordering::SeqCst);
    let shrunk = calling.make(100);
    assert_eq!(shrunk.limit, 2);
    assert_eq!(shrunk.decisions[0].reason, Reason::Failed);
    assert_eq!(calling.most_inside(), 4, "no more than at the start, and not none");
    calling.make(100);
    assert_eq!(calling.most_inside(), 2, "the floor");
    calling.gateway.fails.store(0, Ordering::SeqCst);
    calling.gateway.takes_ms.store(20, Ordering::SeqCst);
    calling.make(400);
    let most = calling.most_inside();
    assert!(most > 2, "{most}");
}

#[test]
fn a_gateway_that_refuses_at_once_is_called_now_and_then_until_it_answers() {
    let calling = Calling::new(|settings| settings.gateway.concurrency.longest_rest_ms = 200);
    calling.gateway.fails.store(1, Ordering::SeqCst);
    calling.start(1_000);
    wait_until("it is no longer called again and again", || calling.dispatcher.concurrency().pause_left_us > 128_000);
    // From here on each pause is of 200 ms, and after it there are as many calls as the floor.
    let (began, before) = (Instant::now(), calling.calls());
    wait_until("it is called now and then", || calling.calls() >= before + 20);
    let resting = calling.dispatcher.concurrency();
    let (made, most) = (calling.calls() - before, 2 * (began.elapsed().as_millis() / 200 + 1));
    assert!(made >= 1 && made as u128 <= most, "{made} of at most {most}");
    assert!(resting.limit == 2 && resting.load.waiting > 800, "{resting:?}");
    calling.gateway.fails.store(0, Ordering::SeqCst);
    assert_eq!(calling.answered(1_000).pause_left_us, 0);
}

#[test]
fn between_equal_limits_it_is_fixed_whatever_happens() {
    let calling = Calling::new(|settings| {
        settings.gateway.max_concurrent_calls = 3;
        settings.gateway.concurrency.floor = 3;
        settings.gateway.concurrency.start = 3;
    });
    calling.make(100);
    calling.gateway.fails.store(1, Ordering::SeqCst);
    let still = calling.make(100);
    assert_eq!((still.limit, still.decisions.len(), calling.most_inside()), (3, 0, 3));
}

#[test]
fn what_is_not_used_shrinks_to_the_start() {
    let calling = Calling::new(|settings| settings.gateway.concurrency.idle_ms = 100);
    calling.gateway.takes_ms.store(20, Ordering::SeqCst);
    // A machine with other work looks like a gateway that is getting slow: then it takes some more.
    let grown = (0..20).find(|_| calling.make(400).limit > 4);
    assert!(grown.is_some(), "{:?}", calling.dispatcher.concurrency());
    // As the worker does, that looks for work a few times a second.
    wait_until("it is as at the start", || {
        calling.dispatcher.dispatch(Vec::new());
        calling.dispatcher.concurrency().limit <= 4
    });
    let idle = calling.dispatcher.concurrency();
    assert_eq!((idle.limit, idle.decisions[0].reason), (4, Reason::Idle));
}

on_both_databases! {
    fn how_many_calls_are_made_at_once_is_shown(test: &TestDatabase) {
        let few = |settings: &mut Settings| {
            settings.gateway.concurrency.floor = 2;
            settings.gateway.concurrency.start = 5;
        };
        with_application(test, few, async |base, _| {
            let answer = reqwest::get(format!("{base}/v1/concurrency")).await.expect("answers");
            assert_eq!(answer.status(), 200);
            let shown: Value = answer.json().await.expect("JSON");
            let wanted = json!({"size": 5, "floor": 2, "ceiling": 256, "in_use": 0, "waiting": 0, "rest_ms": 0, "baseline_ms": null, "decisions": []});
            assert_eq!(shown, wanted);
            let wrong = reqwest::Client::new().post(format!("{base}/v1/concurrency")).send().await.expect("answers");
            assert_eq!(wrong.status(), 405);
            let metrics = reqwest::get(format!("{base}/metrics")).await.expect("answers").text().await.expect("text");
            for named in ["gateway_concurrency_limit", "gateway_concurrency_in_use", "gateway_concurrency_waiting", "gateway_concurrency_pause_seconds"] {
                assert!(metrics.contains(named), "{named} in {metrics}");
            }
        });
    }
}

#[test]
fn limits_that_fall_are_refused_with_their_names() {
    use validator::Validate as _;
    let mut settings = Settings::default();
    settings.gateway.url = "http://127.0.0.1:1".into();
    settings.validate().expect("the defaults are valid");
    for (floor, start, ceiling) in [(9, 8, 256), (1, 8, 7), (8, 1, 256)] {
        let mut wrong = settings.clone();
        wrong.gateway.concurrency.floor = floor;
        wrong.gateway.concurrency.start = start;
        wrong.gateway.max_concurrent_calls = ceiling;
        let words = wrong.validate().expect_err("they fall").to_string();
        assert!(words.contains("gateway.concurrency.floor") && words.contains("max_concurrent_calls"), "{words}");
    }
    for (longest_rest_ms, is_valid) in [(0, true), (60_000, true), (60_001, false)] {
        settings.gateway.concurrency.longest_rest_ms = longest_rest_ms;
        assert_eq!(settings.validate().is_ok(), is_valid, "{longest_rest_ms}");
    }
}
