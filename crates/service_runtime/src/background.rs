//! Threads of a service. A thread that dies would leave the process looking well while part of it stands still, so a
//! panic in one of these ends the process, and whoever supervises it starts it again.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Starts a named thread whose panic ends the process with exit code 70.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let thread_name = name.to_owned();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
                tracing::error!(
                    thread = thread_name,
                    "a background thread panicked; the process ends so that it is started again"
                );
                std::process::exit(70);
            }
        })
        .expect("the operating system can start a thread")
}

/// How soon a [`Periodic`] thread works again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// There is more to do: at once.
    Again,
    /// After the interval.
    Pause,
}

/// Tells all of them to end, then waits for the work that each has in hand.
pub fn stop_all(mut threads: Vec<Periodic>) {
    threads.iter_mut().for_each(|thread| thread.stop = None);
}

/// A thread that does a piece of work again and again until it is stopped or dropped.
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
