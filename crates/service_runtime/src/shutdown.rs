//! The longest that stopping may take. A part that hangs must not keep the process: everything it left undone is taken up at the
//! next start.

use serde::{Deserialize, Serialize};
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use validator::Validate;

/// What the process waits for while it stops.
static STEP: Mutex<&str> = Mutex::new("requests in progress");

/// How often a stop that takes long logs what it waits for.
const LOG_EVERY: Duration = Duration::from_secs(3);

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
    /// Waits for the signal to stop. From then on the process ends within the limit, whatever hangs, and logs now and then what
    /// it waits for.
    pub async fn bound(self, signal: impl Future<Output = ()>) {
        signal.await;
        let waits = |step| tracing::info!(waiting_for = step, "still stopping");
        end_after(Duration::from_millis(self.limit_ms), LOG_EVERY, waits, |step| {
            tracing::error!(waiting_for = step, "stopping takes too long; the process ends without it");
            std::process::exit(70);
        });
    }
}

/// Notes what the process waits for from now on while it stops.
pub fn waiting_for(step: &'static str) {
    *STEP.lock().unwrap_or_else(PoisonError::into_inner) = step;
}

fn end_after(
    limit: Duration,
    log_every: Duration,
    log: impl Fn(&'static str) + Send + 'static,
    end: impl FnOnce(&'static str) + Send + 'static,
) {
    let step = || *STEP.lock().unwrap_or_else(PoisonError::into_inner);
    // A plain thread: those of the runtime may be what hangs.
    let _detached = worker_threads::spawn("shutdown limit", move || {
        let mut left = limit;
        while left > log_every {
            std::thread::sleep(log_every);
            left -= log_every;
            log(step());
        }
        std::thread::sleep(left);
        end(step());
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_stop_that_hangs_is_ended_and_names_what_it_waits_for() {
        let (said, steps) = channel();
        waiting_for("the consumer");
        let logged = said.clone();
        let millis = Duration::from_millis;
        let log = move |step| logged.send(("logged", step)).unwrap();
        end_after(millis(25), millis(10), log, move |step| said.send(("ended", step)).unwrap());
        let steps: Vec<_> = steps.iter().collect();
        assert_eq!(steps, ["logged", "logged", "ended"].map(|what| (what, "the consumer")));
    }
}
