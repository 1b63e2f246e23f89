//! What is known of each claim of a batch, on its way from the thread that reads to the one that writes results.

use super::error::BatchError;
use crate::claims::preflight::Comparison;
use crate::claims::submission::Submitted;
use crate::claims::writer::PendingResult;
use crate::domain::finding::Finding;
use crate::intake::batch_input::SourceLocation;

/// What was read of a batch, in its order.
pub(super) enum BatchEntry {
    /// A claim.
    Claim { index: u64, location: Option<SourceLocation>, file_line: Option<u64>, result: ClaimResult },
    /// The batch was read to its end, or cannot be read on.
    End(Result<(), BatchError>),
}

/// What becomes of a claim.
pub(super) enum ClaimResult {
    Refused {
        errors: Vec<Finding>,
        /// Empty where it was to be stored: that names only what has to be put right.
        warnings: Vec<Finding>,
    },
    /// Its key decides it.
    Known(Submitted),
    /// It breaks no rule, and is only checked.
    Valid { comparison: Comparison, warnings: Vec<Finding> },
    /// The writer has it.
    Pending(PendingResult),
}

impl ClaimResult {
    pub(super) fn refused(errors: Vec<Finding>) -> Self {
        Self::Refused { errors, warnings: vec![] }
    }
}
