//! One claim of a batch as a reader passes it on, the limits on what is read, and why reading ended.

use super::refusal::Refusal;
use crate::domain::raw_claim::RawClaim;
use crate::intake::{Malformed, ReadLimits};
use serde::Deserialize;
use std::io;
use utoipa::ToSchema;

/// Which rows of a CSV are one claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Grouping {
    /// Consecutive rows with the same external claim id, or without one the same plan, subscriber, provider and service date.
    /// A row of an uncertain claim is refused together with the claims beside it, because it may be a line of them.
    #[default]
    Claim,
    /// Each row by itself.
    Row,
}

/// Limits on what is read of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// The most bytes of a claim, or of a row of a CSV, after decompression.
    pub max_claim_bytes: usize,
    /// The limits of each claim.
    pub read: ReadLimits,
    /// Whether each claim gets a hash.
    pub hashes: bool,
}

/// To find the end of a claim that is too large, at most this many times the allowed size is skipped; then the batch ends.
/// Otherwise a small compressed file could be decompressed without end.
pub(super) const MOST_SKIPPED_CLAIM_SIZES: usize = 16;

/// The place of a claim in the input of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceLocation {
    /// The first and the last of its rows in a CSV, from 1, without the row of names.
    Rows(u64, u64),
    /// Its line in JSON Lines, from 1.
    InputLine(u64),
}

/// One claim of a batch.
#[derive(Debug)]
pub struct BatchClaim {
    /// Its place; `None` in an array, where the index is the place.
    pub location: Option<SourceLocation>,
    /// The line of a CSV at which its first row begins, from 1: rows are not lines where there are blank lines or rows, or
    /// line breaks inside quotes.
    pub file_line: Option<u64>,
    /// The claim as it was sent, or why it cannot be read.
    pub raw_claim: Result<RawClaim, Refusal>,
    /// SHA-256 of what was sent, in hex, if it was wanted: the same claim sent again has the same.
    pub hash: Option<String>,
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
