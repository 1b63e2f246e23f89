//! What is known of each claim of a batch, on its way from the thread that reads to the one that writes results.

use super::error::BatchError;
use crate::claims::preflight::Comparison;
use crate::claims::submission::Submitted;
use crate::claims::writer::PendingResult;
use crate::domain::finding::Finding;
use crate::intake::batch_input::SourceLocation;

/// What was read of a batch, in its order.
pub(super) enum Message {
    /// Claims that were read and handed over together.
    Claims(Vec<BatchEntry>),
    /// The batch was read to its end, or cannot be read on.
    End(Result<(), BatchError>),
}

/// A claim of a batch.
pub(super) struct BatchEntry {
    pub index: u64,
    pub location: Option<SourceLocation>,
    pub file_line: Option<u64>,
    pub result: ClaimResult,
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
    /// It breaks no rule, and is not handed to the writer yet.
    Unsent,
    /// The writer has it.
    Pending(PendingResult),
}

impl ClaimResult {
    pub(super) fn refused(errors: Vec<Finding>) -> Self {
        Self::Refused { errors, warnings: vec![] }
    }

    /// How many findings it holds.
    pub(super) fn findings(&self) -> usize {
        match self {
            Self::Refused { errors, warnings } => errors.len() + warnings.len(),
            Self::Valid { warnings, .. } => warnings.len(),
            Self::Known(_) | Self::Unsent | Self::Pending(_) => 0,
        }
    }
}
