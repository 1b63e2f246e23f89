//! The benchmark program: what the system does on this machine, beside what the databases under it can do. See the README of this
//! crate for the command, and for what each figure means.
//!
//! [`Benchmark`] runs [`Part`]s in rounds, so that each share is taken of a limit that was measured in the same minutes. A part starts
//! a [`System`](system::System), loads it with [`http_load`] or [`upload`](upload::upload()), and measures with a [`Meter`](meter::Meter).
//! [`report`] writes the figures, [`reference`] compares them.

pub mod claims;
pub mod http_load;
pub mod limit;
pub mod lone;
pub mod meter;
pub mod overload;
pub mod own_tables;
pub mod plots;
pub mod postgres;
pub mod reading;
pub mod reference;
pub mod report;
pub mod rounds;
pub mod run;
pub mod settling;
pub mod sqlite_limit;
pub mod statistics;
pub mod submitting;
pub mod system;
pub mod upload;

pub use run::{Benchmark, Part, Plan};
