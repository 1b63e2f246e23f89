//! The longest that stopping may take. A part that hangs must not keep the process: everything it left undone is taken up at the
//! next start.

use serde::{Deserialize, Serialize};
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use validator::Validate;

/// What the process waits for while it stops.
static STEP: Mutex<&str> = Mutex::new("requests in progress");

/// How a service stops.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ShutdownSettings {
    /// How long stopping may take after SIGTERM, in milliseconds; then the process ends with exit code 70, and the log says what
    /// it waited for.
    #[validate(range(min = 1_000, max = 86_400_000, message = "must be 1000 to 86400000"))]
    pub limit_ms: u64,
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self { limit_ms: 25_000 }
    }
}

impl ShutdownSettings {
    /// Waits for the signal to stop. From then on the process ends within the limit, whatever hangs.
    pub async fn bound(self, signal: impl Future<Output = ()>) {
        signal.await;
        end_after(Duration::from_millis(self.limit_ms), |step| {
            tracing::error!(waiting_for = step, "stopping takes too long; the process ends without it");
            std::process::exit(70);
        });
    }
}

/// Notes what the process waits for from now on while it stops.
pub fn waiting_for(step: &'static str) {
    *STEP.lock().unwrap_or_else(PoisonError::into_inner) = step;
}

fn end_after(limit: Duration, end: impl FnOnce(&'static str) + Send + 'static) {
    // A plain thread: those of the runtime may be what hangs.
    let _detached = worker_threads::spawn("shutdown limit", move || {
        std::thread::sleep(limit);
        end(*STEP.lock().unwrap_or_else(PoisonError::into_inner));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_stop_that_hangs_is_ended_and_names_what_it_waits_for() {
        let (ended, step) = channel();
        waiting_for("the consumer");
        end_after(Duration::from_millis(10), move |step| ended.send(step).unwrap());
        assert_eq!(step.recv().unwrap(), "the consumer");
    }
}
