//! A thread that repeats a piece of work at an interval.

use crate::spawn;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How soon a [`Periodic`] thread works again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// There is more to do: at once.
    Again,
    /// After the interval.
    Pause,
}

/// Signals all of them to end, then waits for the work that each has in hand.
pub fn stop_all(mut threads: Vec<Periodic>) {
    threads.iter_mut().for_each(|thread| thread.stop = None);
}

/// A thread that repeats a piece of work until it is stopped or dropped.
#[derive(Debug)]
pub struct Periodic {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Periodic {
    /// Works once at once and then at every interval.
    pub fn spawn(name: &str, interval: Duration, mut work: impl FnMut() -> Pace + Send + 'static) -> Self {
        let (stop, stopped): (_, Receiver<()>) = channel();
        let thread = spawn(name, move || {
            loop {
                let pause = match work() {
                    Pace::Again => Duration::ZERO,
                    Pace::Pause => interval,
                };
                if !matches!(stopped.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
                    return;
                }
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }

    /// Waits for the work in hand and ends the thread.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // The thread cannot have panicked: that would have ended the process.
            let _ = thread.join();
        }
    }
}

impl Drop for Periodic {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use test_support::wait_until;

    #[test]
    fn works_again_at_once_when_there_is_more_and_ends_when_stopped() {
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        let periodic = Periodic::spawn("test", Duration::from_secs(3600), move || {
            if counted.fetch_add(1, Ordering::SeqCst) < 4 { Pace::Again } else { Pace::Pause }
        });
        wait_until("it works again", || runs.load(Ordering::SeqCst) >= 5);
        periodic.stop();
        assert_eq!(runs.load(Ordering::SeqCst), 5);
    }
}
