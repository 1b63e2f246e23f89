//! Starts processes in order, waits until each is ready, restarts those that end, and stops all of them in order at the end of
//! the run. One thread makes the decisions; everything reaches it as an [`Event`].

use crate::console::{Closed, Console, Level};
use crate::follow::follow;
use crate::process::{Output, Process, Program};
use crate::restarts::{Next, Restarts, WINDOW};
use crate::run_record::RunRecord;
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The interval of readiness probes of a starting process.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);
/// The timeout of a readiness probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the supervisor probes whether a restarted process is ready.
const PROBE_AFTER_RESTART: Duration = Duration::from_secs(1);
/// How often a process that takes long to stop is named.
const NAME_AGAIN_AFTER: Duration = Duration::from_secs(3);
/// How long the supervisor waits for the last lines of ended processes.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(2);
/// How many lines of a log are printed when its process ends the run.
const LAST_LINES_LINES: usize = 20;

/// A process that the supervisor keeps running.
#[derive(Debug)]
pub struct Member {
    /// The program.
    pub program: Program,
    /// How its readiness is checked.
    pub probe: Probe,
    /// The host and port it listens on, for messages.
    pub address: String,
    /// The stop order: members of the highest wave are stopped first, together. Members of one wave must not need each other to
    /// stop.
    pub wave: usize,
}

/// How the readiness of a process is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// It accepts connections at its address.
    Accepts,
    /// The same program with the arguments `health --ready` exits with 0.
    Health,
}

/// The limits of a run.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long each process may take to become ready.
    pub ready: Duration,
    /// How long processes may take to stop before they are killed.
    pub stop: StopWithin,
    /// How often each process is restarted within [`WINDOW`] before the run ends.
    pub restarts: usize,
}

/// How long processes may take to stop.
#[derive(Debug, Clone, Copy)]
pub enum StopWithin {
    /// The limit for each wave.
    Each(Duration),
    /// The limit for all waves together.
    All(Duration),
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// This signal was received.
    Signal(i32),
    /// The reader of standard output closed it.
    OutputClosed,
    /// A process could not be started or kept running. The reason was printed.
    GaveUp,
}

impl From<Closed> for Ending {
    fn from(_: Closed) -> Self {
        Self::OutputClosed
    }
}

#[derive(Debug)]
enum Event {
    /// A process ended; its state shows which.
    Ended,
    Signal(i32),
    OutputClosed,
}

#[derive(Debug)]
enum State {
    NotStarted,
    Running(Process),
    Pausing { until: Instant },
}

struct Kept {
    member: Member,
    state: State,
    restarts: Restarts,
    was_ready: bool,
    /// Whether it was ready since its last start, which is printed.
    is_ready: bool,
}

/// Keeps processes running.
pub struct Supervisor {
    kept: Vec<Kept>,
    limits: Limits,
    console: Console,
    record: Option<RunRecord>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    /// The threads that print the lines of processes.
    readers: Vec<JoinHandle<()>>,
    /// The process whose end ends the run.
    blamed: Option<usize>,
}

impl Supervisor {
    /// Creates a supervisor for these members, in starting order. From now on SIGINT, SIGTERM and SIGHUP end the run. `record` notes
    /// the running processes.
    ///
    /// # Errors
    /// If signals cannot be handled.
    pub fn new(
        members: Vec<Member>,
        limits: Limits,
        console: Console,
        record: Option<RunRecord>,
    ) -> std::io::Result<Self> {
        let (sender, events) = channel();
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let to_supervisor = sender.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                if to_supervisor.send(Event::Signal(signal)).is_err() {
                    return;
                }
            }
        })?;
        let kept = members.into_iter().map(|member| Kept {
            member,
            state: State::NotStarted,
            restarts: Restarts::default(),
            was_ready: false,
            is_ready: false,
        });
        let kept = kept.collect();
        Ok(Self { kept, limits, console, record, events, sender, readers: Vec::new(), blamed: None })
    }

    /// Runs until the run ends, then stops all processes. Calls `when_ready` once all are ready, and `after` once all are stopped.
    pub fn run(mut self, when_ready: impl FnOnce(&Console) -> Result<(), Closed>, after: impl FnOnce()) -> Ending {
        let Err(ending) = self.serve(when_ready);
        self.stop_all();
        after();
        if let Some(record) = &mut self.record {
            record.clear();
        }
        self.print_last_lines();
        // The reader of the output may be gone; then the message is dropped.
        let _ = self.console.log(Level::Info, "stopped");
        ending
    }

    fn serve(&mut self, when_ready: impl FnOnce(&Console) -> Result<(), Closed>) -> Result<Infallible, Ending> {
        for index in 0..self.kept.len() {
            self.start_and_await(index)?;
        }
        when_ready(&self.console)?;
        loop {
            let next = self.restart_due()?;
            let all_are_ready = self.print_who_is_ready_again()?;
            self.pause(if all_are_ready { next } else { next.min(PROBE_AFTER_RESTART) })?;
        }
    }

    /// Probes the restarted processes, and prints which are ready. Returns whether all are.
    fn print_who_is_ready_again(&mut self) -> Result<bool, Ending> {
        for index in 0..self.kept.len() {
            let kept = &self.kept[index];
            if !kept.is_ready && matches!(kept.state, State::Running(_)) && self.is_ready(index)? {
                self.print_ready(index)?;
            }
        }
        Ok(self.kept.iter().all(|kept| kept.is_ready))
    }

    fn print_ready(&mut self, index: usize) -> Result<(), Ending> {
        let kept = &mut self.kept[index];
        kept.was_ready = true;
        kept.is_ready = true;
        let Member { program, address, .. } = &kept.member;
        Ok(self.console.log(Level::Info, &format!("{} is ready at {address}", program.name))?)
    }

    fn start_and_await(&mut self, index: usize) -> Result<(), Ending> {
        let deadline = Instant::now() + self.limits.ready;
        self.start(index)?;
        while !(self.is_ready(index)? && matches!(self.kept[index].state, State::Running(_))) {
            self.restart_due()?;
            if Instant::now() >= deadline {
                let Member { program, address, .. } = &self.kept[index].member;
                let seconds = self.limits.ready.as_secs();
                let name = &program.name;
                return Err(self.give_up(
                    index,
                    &format!("{name} was not ready within {seconds} s at {address}: all processes are stopped."),
                ));
            }
            self.pause(PROBE_INTERVAL)?;
        }
        self.print_ready(index)
    }

    fn start(&mut self, index: usize) -> Result<(), Ending> {
        let program = self.kept[index].member.program.clone();
        match self.try_start(index, &program) {
            Ok(process) => {
                if let Some(record) = &mut self.record {
                    record.started(&process);
                }
                self.kept[index].state = State::Running(process);
                Ok(())
            }
            Err(error) => Err(self.give_up(index, &format!("{} cannot be started: {error}.", program.name))),
        }
    }

    fn try_start(&mut self, index: usize, program: &Program) -> std::io::Result<Process> {
        let from = match &program.output {
            Output::AppendedTo(log) => std::fs::metadata(log).map_or(0, |metadata| metadata.len()),
            Output::Piped | Output::StdoutPiped | Output::Inherited => 0,
        };
        let ended = self.sender.clone();
        let (process, pipe) = Process::start(program, move || {
            let _ = ended.send(Event::Ended);
        })?;
        let (console, name, sender) = (self.console.clone(), program.name.clone(), self.sender.clone());
        let show = move |line: &str| {
            let shown = console.relay(&name, index, line).is_ok();
            if !shown {
                let _ = sender.send(Event::OutputClosed);
            }
            shown
        };
        self.readers.retain(|reader| !reader.is_finished());
        if let Output::AppendedTo(log) = &program.output {
            self.readers.push(follow(log, from, process.watch(), show)?);
        } else if let Some(pipe) = pipe {
            self.readers.push(std::thread::spawn(move || {
                // Its output is read to the end even if it is not printed, so that the process never blocks.
                let _ = BufReader::new(pipe).lines().map_while(Result::ok).filter(|line| !show(line)).count();
            }));
        }
        Ok(process)
    }

    /// Probes the readiness of a running process, and handles events meanwhile.
    fn is_ready(&mut self, index: usize) -> Result<bool, Ending> {
        let Member { program, probe, address, .. } = &self.kept[index].member;
        if *probe == Probe::Accepts {
            return Ok(accepts(address));
        }
        let arguments = vec!["health".to_owned(), "--ready".to_owned()];
        let question = Program { arguments, output: Output::AppendedTo("/dev/null".into()), ..program.clone() };
        let answered = self.sender.clone();
        let started = Process::start(&question, move || {
            let _ = answered.send(Event::Ended);
        });
        // If the probe cannot be started, the process itself reports the reason.
        let Ok((question, _)) = started else { return Ok(false) };
        let until = Instant::now() + PROBE_TIMEOUT;
        while question.status().is_none() && Instant::now() < until {
            self.pause(until.saturating_duration_since(Instant::now()))?;
        }
        Ok(question.status().is_some_and(|status| status.success()))
    }

    /// Restarts the processes that are due, and handles those that ended. Returns the time until the next restart is due.
    fn restart_due(&mut self) -> Result<Duration, Ending> {
        let mut next = WINDOW;
        for index in 0..self.kept.len() {
            let now = Instant::now();
            let ended = match &self.kept[index].state {
                State::Running(process) => process.status(),
                State::Pausing { until } if *until <= now => {
                    self.start(index)?;
                    None
                }
                State::Pausing { .. } | State::NotStarted => None,
            };
            if let Some(status) = ended {
                self.decide_about_end(index, status)?;
            }
            if let State::Pausing { until } = self.kept[index].state {
                next = next.min(until.saturating_duration_since(Instant::now()));
            }
        }
        Ok(next)
    }

    fn decide_about_end(&mut self, index: usize, status: ExitStatus) -> Result<(), Ending> {
        let most = self.limits.restarts;
        let kept = &mut self.kept[index];
        kept.state = State::NotStarted;
        kept.is_ready = false;
        let ended = format!("{} ended with {}", kept.member.program.name, describe(status));
        if !kept.was_ready {
            return Err(self.give_up(index, &format!("{ended} before it was ready: all processes are stopped.")));
        }
        let now = Instant::now();
        match kept.restarts.after_end(now, most) {
            Next::GiveUp { restarts } => {
                let within = WINDOW.as_secs();
                Err(self.give_up(
                    index,
                    &format!("{ended} after {restarts} restarts within {within} s: all processes are stopped."),
                ))
            }
            Next::Again { pause, number } => {
                kept.state = State::Pausing { until: now + pause };
                let seconds = pause.as_secs();
                let message = format!("{ended}: restarting in {seconds} s, restart {number} of {most}");
                Ok(self.console.log(Level::Warn, &message)?)
            }
        }
    }

    fn give_up(&mut self, index: usize, why: &str) -> Ending {
        self.blamed = Some(index);
        let _ = self.console.log(Level::Error, why);
        Ending::GaveUp
    }

    /// Waits for an event, at most this long. An event that ends the run is returned as an error.
    fn pause(&self, at_most: Duration) -> Result<(), Ending> {
        match self.events.recv_timeout(at_most) {
            Ok(Event::Signal(signal)) => Err(Ending::Signal(signal)),
            Ok(Event::OutputClosed) => Err(Ending::OutputClosed),
            Ok(Event::Ended) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(()),
        }
    }

    // --- stopping -------------------------------------------------------------------------------------------------

    /// Stops all running processes, wave by wave. A second SIGINT kills the remaining ones at once; other signals are ignored.
    fn stop_all(&mut self) {
        let _ = self.console.log(Level::Info, "stopping everything; Ctrl-C again kills at once");
        let began = Instant::now();
        let mut waves: Vec<usize> = self.kept.iter().map(|kept| kept.member.wave).collect();
        waves.sort_unstable();
        waves.dedup();
        let mut at_once = false;
        for wave in waves.into_iter().rev() {
            let deadline = match self.limits.stop {
                StopWithin::Each(limit) => Instant::now() + limit,
                StopWithin::All(limit) => began + limit,
            };
            let of_wave = self.kept.iter_mut().filter(|kept| kept.member.wave == wave);
            let running: Vec<Process> = of_wave
                .filter_map(|kept| match std::mem::replace(&mut kept.state, State::NotStarted) {
                    State::Running(process) => Some(process),
                    State::NotStarted | State::Pausing { .. } => None,
                })
                .collect();
            for process in &running {
                process.signal(Signal::TERM);
                // A process that was stopped, as with Ctrl-Z, gets the signal when it continues.
                process.signal(Signal::CONT);
            }
            self.await_ends(&running, deadline, &mut at_once);
            for process in running.iter().filter(|process| process.status().is_none()) {
                let _ = self.console.log(Level::Error, &format!("{} did not stop in time: killed", process.name()));
                process.kill();
            }
        }
        self.await_last_lines();
    }

    /// Waits until these processes have ended, and names now and then those that have not.
    fn await_ends(&self, processes: &[Process], deadline: Instant, at_once: &mut bool) {
        let mut name_at = Instant::now() + NAME_AGAIN_AFTER;
        loop {
            let names: Vec<&str> =
                processes.iter().filter(|process| process.status().is_none()).map(Process::name).collect();
            let now = Instant::now();
            let left = deadline.saturating_duration_since(now);
            if names.is_empty() || left.is_zero() || *at_once {
                return;
            }
            if now >= name_at {
                let (names, seconds) = (names.join(", "), left.as_secs());
                let _ = self.console.log(Level::Info, &format!("waiting for {names}, at most {seconds} s more"));
                name_at = now + NAME_AGAIN_AFTER;
            }
            if let Ok(Event::Signal(SIGINT)) = self.events.recv_timeout(left.min(name_at - now)) {
                *at_once = true;
            }
        }
    }

    /// Waits for the reader threads, which end after the last line, unless the reader of the output has stopped.
    fn await_last_lines(&mut self) {
        let (done, all_done) = channel::<Infallible>();
        let readers = std::mem::take(&mut self.readers);
        let joining = std::thread::Builder::new().name("last lines".to_owned()).spawn(move || {
            for reader in readers {
                let _ = reader.join();
            }
            drop(done);
        });
        if joining.is_ok() {
            let _ = all_done.recv_timeout(LAST_LINES_TIMEOUT);
        }
    }

    fn print_last_lines(&self) {
        let Some(blamed) = self.blamed else { return };
        let Program { name, output, .. } = &self.kept[blamed].member.program;
        let Output::AppendedTo(log) = output else { return };
        let Ok(text) = std::fs::read(log) else { return };
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES_LINES)..].join("\n");
        let _ = self.console.log(Level::Error, &format!("the last lines of {name} ({}):", log.display()));
        let _ = self.console.plain_error(&format!("{last}\n"));
    }
}

/// Whether a server accepts connections at this host and port.
pub fn accepts(address: &str) -> bool {
    let Ok(addresses) = address.to_socket_addrs() else { return false };
    addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, PROBE_TIMEOUT).is_ok())
}

/// The exit status as a shell reports it, with the name of the signal.
fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("an unknown signal");
            format!("exit status {} ({})", 128 + signal, name.trim_start_matches("SIG"))
        }
        (None, None) => "an unknown exit status".to_owned(),
    }
}
