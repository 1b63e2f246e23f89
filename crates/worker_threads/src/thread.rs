//! A thread that dies would leave the process looking well while part of it stands still. A panic in one of these ends the
//! process, and its supervisor starts it again.

use std::thread::JoinHandle;

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
