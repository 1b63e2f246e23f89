//! What a claim is and what may happen to it: pure, without I/O, clocks or threads.
//!
//! A claim comes in as a [`form::ClaimForm`] (text, whoever spelt it how), is checked by [`rules`], and leaves as a
//! [`claim::Claim`], whose types cannot hold anything wrong. [`transition`] says what an outcome makes of it.

pub mod cents;
pub mod claim;
pub mod code_list;
pub mod field;
pub mod finding;
pub mod form;
pub mod identifiers;
pub mod limits;
pub mod rules;
pub mod service_date;
mod shape;
pub mod transition;
