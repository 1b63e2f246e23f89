//! What a claim is and what may happen to it: pure functions and types, without I/O, clocks or threads.
//!
//! A claim arrives as a [`raw_claim::RawClaim`] (text, in any spelling), is parsed into a [`partial_claim::PartialClaim`],
//! checked by [`rules`], and becomes a [`claim::Claim`], whose types cannot hold an invalid value. [`transition`] decides
//! what an outcome does to it.

pub mod canonical;
pub mod claim;
pub mod code_list;
pub mod field;
pub mod finding;
pub mod identifiers;
pub mod limits;
pub mod owner;
mod parse;
pub mod partial_claim;
pub mod raw_claim;
pub mod rules;
pub mod service_date;
pub mod timeline;
pub mod transition;
