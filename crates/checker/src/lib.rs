//! Judges a run of the whole system: what must hold for each claim, given what its clients did (the [`History`]) and what the
//! stores hold once everything has ended (the [`Observed`]).
//!
//! It shares no code with the services, so that a mistake of theirs is not repeated here. It does no I/O: a program collects both
//! sides, and [`check`] compares them.

mod books;
mod claims;
mod history;
mod observed;
mod published;
mod reads;
mod violation;

pub use history::{Answer, Attempt, Content, End, History, Line, Read, Try};
pub use observed::{BookEntry, Claim, Direction, Event, JournalRecord, Observed, ProviderTotal, Transfer, Weight};
pub use violation::{Report, Rule, Violation};

/// Compares what the clients did with what the stores hold. Everything has to be at rest: no claim is still on its way.
pub fn check(history: &History, observed: &Observed) -> Report {
    let mut report = Report::default();
    claims::check(history, observed, &mut report);
    reads::check(history, &mut report);
    books::check(observed, &mut report);
    published::check(history, observed, &mut report);
    report
}
