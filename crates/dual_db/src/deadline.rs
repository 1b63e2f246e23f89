//! The deadline of a statement, kept by this process: libpq waits for a silent server without a limit, and a time-out of the
//! server does not help if the server, a proxy or the network is silent.
//!
//! A connection sets its deadline when a statement starts and clears it when the statement returns, which costs a lock that no
//! other thread wants. One thread of the process looks for deadlines that have passed, and shuts down the sockets of their
//! connections.

use crate::socket;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How often the thread looks for deadlines that have passed.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a call may still take after its socket was shut down. It should return at once.
const LAST_RESORT: Duration = Duration::from_secs(10);

/// All deadlines, by the `TCP_USER_TIMEOUT` of their sockets.
static DEADLINES: Mutex<BTreeMap<u32, Weak<Deadline>>> = Mutex::new(BTreeMap::new());

/// The deadline of what one connection waits for.
#[derive(Debug)]
pub(crate) struct Deadline {
    /// The `TCP_USER_TIMEOUT` that only the socket of this connection has.
    user_timeout_ms: u32,
    /// Counts the connections that were shut down, of one database.
    silences: Arc<AtomicU64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` while the connection waits for nothing.
    at: Option<Instant>,
    /// Set while the connection is opened: for how long each address may be silent. libpq tries the next address then, and
    /// may look up a name meanwhile, when there is no socket.
    opening: Option<Duration>,
    is_shut_down: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    InTime,
    ShutDown {
        found: bool,
    },
    /// The call did not return although its socket was shut down.
    Stuck,
}

impl Deadline {
    /// A deadline for a new connection whose socket has a `TCP_USER_TIMEOUT` of at least `at_least_ms`.
    pub(crate) fn register(at_least_ms: u32, silences: &Arc<AtomicU64>) -> Arc<Self> {
        static THREAD: Once = Once::new();
        THREAD.call_once(|| drop(worker_threads::spawn("database deadlines", watch)));
        let mut deadlines = DEADLINES.lock().unwrap_or_else(PoisonError::into_inner);
        deadlines.retain(|_, deadline| deadline.strong_count() > 0);
        let user_timeout_ms =
            (at_least_ms..).find(|value| !deadlines.contains_key(value)).expect("fewer connections than numbers");
        let deadline = Arc::new(Self { user_timeout_ms, silences: Arc::clone(silences), state: Mutex::default() });
        deadlines.insert(user_timeout_ms, Arc::downgrade(&deadline));
        deadline
    }

    /// The value of libpq's parameter `tcp_user_timeout` that identifies the socket.
    pub(crate) fn user_timeout_ms(&self) -> u32 {
        self.user_timeout_ms
    }

    /// Sets the deadline for a statement.
    pub(crate) fn set(&self, within: Duration) {
        self.state().at = Some(Instant::now() + within);
    }

    /// Sets the deadline for opening the connection: each address may be silent for so long.
    pub(crate) fn set_for_opening(&self, within: Duration) {
        let mut state = self.state();
        state.opening = Some(within);
        state.at = Some(Instant::now() + within);
    }

    /// Shuts the socket down now, so that the next call fails: the transaction has taken too long, and not the server.
    pub(crate) fn give_up(&self) {
        let mut state = self.state();
        state.is_shut_down = true;
        socket::shut_down(self.user_timeout_ms);
    }

    /// Clears the deadline. Returns whether the connection was shut down.
    pub(crate) fn clear(&self) -> bool {
        let mut state = self.state();
        state.at = None;
        state.opening = None;
        state.is_shut_down
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shuts the socket down if the deadline has passed. The lock is held meanwhile, so that the connection cannot have gone
    /// on to something else.
    fn check(&self, now: Instant, shut_down: impl FnOnce(u32) -> bool) -> Verdict {
        let mut state = self.state();
        match (state.at, state.opening) {
            (Some(at), _) if now < at => Verdict::InTime,
            (None, _) => Verdict::InTime,
            (Some(_), Some(within)) => {
                state.at = Some(now + within);
                Verdict::ShutDown { found: shut_down(self.user_timeout_ms) }
            }
            (Some(_), None) if state.is_shut_down => Verdict::Stuck,
            (Some(_), None) => {
                state.is_shut_down = true;
                state.at = Some(now + LAST_RESORT);
                self.silences.fetch_add(1, Ordering::SeqCst);
                Verdict::ShutDown { found: shut_down(self.user_timeout_ms) }
            }
        }
    }
}

fn watch() {
    loop {
        std::thread::sleep(CHECK_INTERVAL);
        for deadline in current() {
            match deadline.check(Instant::now(), socket::shut_down) {
                Verdict::InTime => {}
                Verdict::ShutDown { found: true } => {
                    tracing::warn!("database connection closed, the server did not answer in time");
                }
                Verdict::ShutDown { found: false } => {
                    tracing::warn!("the database did not answer in time, and the connection's socket was not found");
                }
                Verdict::Stuck => {
                    tracing::error!(
                        "a database call does not return although its connection was closed; the process ends so that it is \
                         started again"
                    );
                    std::process::exit(70);
                }
            }
        }
    }
}

fn current() -> Vec<Arc<Deadline>> {
    let deadlines = DEADLINES.lock().unwrap_or_else(PoisonError::into_inner);
    deadlines.values().filter_map(Weak::upgrade).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A deadline that the thread does not know.
    fn unwatched() -> Deadline {
        Deadline { user_timeout_ms: 1, silences: Arc::default(), state: Mutex::default() }
    }

    fn not_called(_: u32) -> bool {
        panic!("the connection is in time")
    }

    const WITHIN: Duration = Duration::from_secs(5);

    #[test]
    fn a_statement_that_is_late_is_shut_down_once_and_then_is_the_last_resort() {
        let deadline = unwatched();
        let start = Instant::now();
        assert_eq!(deadline.check(start + WITHIN * 100, not_called), Verdict::InTime, "it waits for nothing");
        deadline.set(WITHIN);
        assert_eq!(deadline.check(start + WITHIN / 2, not_called), Verdict::InTime);
        let late = start + WITHIN * 2;
        assert_eq!(deadline.check(late, |_| true), Verdict::ShutDown { found: true });
        assert_eq!(deadline.silences.load(Ordering::SeqCst), 1);
        assert_eq!(deadline.check(late + LAST_RESORT / 2, not_called), Verdict::InTime, "it may still return");
        assert_eq!(deadline.check(late + LAST_RESORT, not_called), Verdict::Stuck);
        assert!(deadline.clear(), "the connection is of no use");
        assert_eq!(deadline.check(late + LAST_RESORT * 2, not_called), Verdict::InTime, "the call has returned");
    }

    #[test]
    fn a_statement_whose_socket_is_not_found_is_a_last_resort_too() {
        let deadline = unwatched();
        deadline.set(WITHIN);
        let late = Instant::now() + WITHIN * 2;
        assert_eq!(deadline.check(late, |_| false), Verdict::ShutDown { found: false });
        assert_eq!(deadline.check(late + LAST_RESORT, not_called), Verdict::Stuck);
    }

    #[test]
    fn a_call_that_does_not_return_ends_the_process_with_exit_code_70() {
        const IN_CHILD: &str = "A_CALL_DOES_NOT_RETURN";
        if std::env::var_os(IN_CHILD).is_some() {
            let deadline = Deadline::register(99_000, &Arc::default());
            deadline.set(Duration::ZERO);
            loop {
                std::thread::park();
            }
        }
        let own = std::env::current_exe().unwrap();
        let name = "deadline::tests::a_call_that_does_not_return_ends_the_process_with_exit_code_70";
        let child =
            test_support::Running::start(std::process::Command::new(own).args(["--exact", name]).env(IN_CHILD, ""));
        let (status, log) = child.ended();
        assert_eq!(status.code(), Some(70), "{log}");
    }

    #[test]
    fn opening_a_connection_goes_on_with_the_next_address_and_ends_no_process() {
        let deadline = unwatched();
        deadline.set_for_opening(WITHIN);
        let mut now = Instant::now() + WITHIN;
        for _ in 0..10 {
            assert_eq!(deadline.check(now, |_| false), Verdict::ShutDown { found: false });
            assert_eq!(deadline.check(now + WITHIN / 2, not_called), Verdict::InTime);
            now += WITHIN;
        }
        assert!(!deadline.clear(), "it is open");
        assert_eq!(deadline.silences.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn each_live_connection_has_a_number_of_its_own_and_a_closed_one_gives_it_back() {
        let silences = Arc::default();
        let [first, second] = [88_000, 88_000].map(|at_least_ms| Deadline::register(at_least_ms, &silences));
        assert_eq!([first.user_timeout_ms(), second.user_timeout_ms()], [88_000, 88_001]);
        drop(first);
        // The thread may hold the first one for a moment.
        test_support::wait_until("the number is free", || {
            Deadline::register(88_000, &silences).user_timeout_ms() == 88_000
        });
    }
}
