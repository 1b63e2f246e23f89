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

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use test_support::Running;

    #[test]
    fn a_panic_ends_the_process_with_exit_code_70() {
        const IN_CHILD: &str = "A_THREAD_PANICS";
        if std::env::var_os(IN_CHILD).is_some() {
            drop(spawn("panics", || panic!("as a bug would")));
            loop {
                std::thread::park();
            }
        }
        let own = std::env::current_exe().expect("a program knows its path");
        let name = "thread::tests::a_panic_ends_the_process_with_exit_code_70";
        let child = Running::start(Command::new(own).args(["--exact", name]).env(IN_CHILD, ""));
        let (status, log) = child.ended();
        assert_eq!(status.code(), Some(70), "{log}");
    }
}
