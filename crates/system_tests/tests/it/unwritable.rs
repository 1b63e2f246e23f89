//! A database takes no writes while claims are sent: its disk is full, or another program holds its lock. Both services are not
//! ready, with the reason, requests are answered within their bound, and afterwards everything goes on by itself and nothing is lost.

use dual_db::{Database, DatabaseSettings};
use reqwest::StatusCode;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use system_tests::audit::{self, Strictness};
use system_tests::load::Load;
use system_tests::own_postgres::OwnPostgres;
use system_tests::stack::Stack;
use test_support::{SmallDisk, on_postgres_with_small_disks, with_small_disks, within};

const SENDERS: usize = 4;
/// A request is answered within 5 s. The rest is for a busy machine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(6);
/// Within this, a service is not ready. A database still takes some writes where it has room left in its files.
const NOT_READY_WITHIN: Duration = Duration::from_secs(30);
const RECOVERED_WITHIN: Duration = Duration::from_secs(30);
const ENDED_WITHIN: Duration = Duration::from_secs(120);

/// Each service is not ready then, also an idle one, as its database "does not answer" or "cannot be written".
async fn unwritable(stack: &Stack, begin: impl FnOnce(), end: impl FnOnce()) {
    let load = Load::start(&stack.api, SENDERS);
    load.accepted_more(5 * SENDERS, RECOVERED_WITHIN).await;
    let urls: Vec<&String> = stack.claim_process_urls().iter().chain(stack.payments_urls()).collect();

    begin();
    for url in &urls {
        within(NOT_READY_WITHIN, async || {
            let dependencies = stack.api.dependencies(url).await;
            let is_shown = dependencies.get("database").is_some_and(|state| state.contains("the database "));
            if is_shown { Ok(()) } else { Err(format!("the database is shown as not ready: {dependencies:?}")) }
        })
        .await;
    }
    within(RECOVERED_WITHIN, async || match load.answers().by_status.get(&503) {
        Some(refused) if *refused >= SENDERS => Ok(()),
        _ => Err(format!("requests are answered 503: {:?}", load.answers())),
    })
    .await;

    end();
    for url in &urls {
        within(RECOVERED_WITHIN, async || match stack.api.readiness(url).await {
            Some(StatusCode::OK) => Ok(()),
            found => Err(format!("{url} is ready: {found:?}")),
        })
        .await;
    }
    load.accepted_more(5 * SENDERS, RECOVERED_WITHIN).await;
    let (accepted, answers) = load.stop().await;
    assert!(answers.slowest <= ANSWERED_WITHIN, "{answers:?}");
    audit::check(&stack.api, &accepted, ENDED_WITHIN, Strictness::EndedOnce).await;
    let dead_letters = stack.api.dead_letters().await;
    assert!(dead_letters.is_empty(), "{dead_letters:?}");
    assert!(!stack.all_output().contains("panicked"), "a thread panicked");
}

/// A lock on an SQLite file that this program holds until it is dropped.
struct Lock {
    release: Option<Sender<()>>,
    holder: Option<JoinHandle<()>>,
}

impl Lock {
    fn take(url: &str) -> Self {
        let database = Database::open(&DatabaseSettings::at(url)).expect("opens");
        let ((release, released), (taken, wait)) = (channel::<()>(), channel());
        let holder = std::thread::spawn(move || {
            let held = database.write(|_| {
                taken.send(()).expect("the test waits");
                let _ = released.recv();
                Ok(())
            });
            held.expect("nothing is written");
        });
        wait.recv().expect("the lock is taken");
        Self { release: Some(release), holder: Some(holder) }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.release = None;
        if let Some(holder) = self.holder.take() {
            let _ = holder.join();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_another_program_on_sqlite() {
    let stack = Stack::start(1).await;
    let urls = [&stack.infrastructure.claims_url, &stack.infrastructure.payments_url];
    let locks = std::cell::RefCell::new(Vec::new());
    let take = || locks.borrow_mut().extend(urls.map(|url| Lock::take(url)));
    unwritable(&stack, take, || locks.borrow_mut().clear()).await;
}

with_small_disks! {
    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_disk_of_sqlite() {
        let disk = SmallDisk::mount(64);
        let url = |name: &str| format!("sqlite://{}/{name}.db", disk.path().display());
        let (claims, payments) = (url("claims"), url("payments"));
        let settings = [("CLAIM_PROCESS__DATABASE__URL", claims.as_str()), ("PAYMENTS__DATABASE__URL", &payments)];
        let stack = Stack::start_with(1, &settings).await;
        unwritable(&stack, || disk.fill(), || disk.empty()).await;
    }
}

on_postgres_with_small_disks! {
    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_disk_of_postgresql() {
        let disk = SmallDisk::mount(256);
        let stack = Stack::start_on_own_postgres(OwnPostgres::start_in(disk.path()), &[]).await;
        let server = stack.infrastructure.own_postgres.as_ref().expect("it has its own");
        let make_room = || {
            disk.empty();
            // It may have ended, as it cannot go on without room for its log.
            server.start_again();
        };
        unwritable(&stack, || disk.fill(), make_room).await;
    }
}
