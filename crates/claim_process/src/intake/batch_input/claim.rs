//! One claim of a batch as a reader hands it on, how much of a batch is read, and why reading ended.

use super::refusal::Refusal;
use crate::domain::raw_claim::RawClaim;
use crate::intake::{Malformed, ReadLimits};
use serde::{Deserialize, Serialize};
use std::io;
use utoipa::ToSchema;

/// Which rows of a CSV are one claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Grouping {
    /// Those next to each other with the same external claim id, or without one the same plan, subscriber, provider and
    /// service date. A row that does not tell is refused with the claims beside it, of which it may be a line.
    #[default]
    Claim,
    /// Each by itself.
    Row,
}

/// How much of a batch is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// The most bytes of a claim, or of a row of a CSV, unpacked.
    pub max_claim_bytes: usize,
    /// What holds of each claim.
    pub read: ReadLimits,
}

/// Behind a claim that is too large, at most this many times the size that one may have is skipped to find its end; then the
/// batch ends. A small packed file could otherwise unpack without end.
pub(super) const LOOKED_FOR_BEHIND: usize = 16;

/// Where in the input of a batch a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceLocation {
    /// The first and the last of its rows in a CSV, from 1, without the row of names.
    Rows(u64, u64),
    /// Its line in JSON Lines, from 1.
    InputLine(u64),
}

/// One claim of a batch.
#[derive(Debug)]
pub struct BatchClaim {
    /// Where it stands; in an array its index says that.
    pub location: Option<SourceLocation>,
    /// The line of a CSV at which its first row begins, from 1: rows are not lines where there are blank lines or rows, or
    /// line breaks inside quotes.
    pub file_line: Option<u64>,
    /// The claim as it was sent, or what is wrong with it where it is none.
    pub form: Result<RawClaim, Refusal>,
    /// SHA-256 of what was sent, in hex: the same claim sent again has the same.
    pub hash: String,
}

/// Why reading ended before the end.
#[derive(Debug)]
pub enum Ended<E> {
    /// What follows is not what it should be.
    Malformed(Malformed),
    /// The input failed.
    Input(io::Error),
    /// The function that takes the claims takes no more.
    Stopped(E),
}

impl<E> From<Malformed> for Ended<E> {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}
