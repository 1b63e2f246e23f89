//! Why a batch ends before its end.

use crate::intake::Malformed;
use std::io;

/// Why a batch ends before its end. What its sender should do depends on how it was sent, so the layer that took it in decides that.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// Where the next claim begins cannot be found.
    #[error("the batch cannot be read on: {}", .0.0)]
    Malformed(Malformed),
    /// The input failed. Where the input had a reason of its own, the error holds it.
    #[error("the input failed")]
    Input(#[source] io::Error),
    /// It has more claims than a batch may have.
    #[error("the batch has more than {max_claims} claims")]
    TooManyClaims {
        /// How many a batch may have.
        max_claims: u64,
    },
    /// Another batch was stored with its key: another claim came from this index then.
    #[error("the claim with index {index} is another one than before with the same key")]
    OtherBatch {
        /// The first index with another claim.
        index: u64,
    },
    /// The database is not there, or no result can be kept any more.
    #[error("the batch broke off")]
    BrokeOff,
    /// Too many results wait for its sender to read them.
    #[error("the sender does not read its results")]
    ResultsUnread,
    /// The service failed, and logged why.
    #[error("the batch failed")]
    Internal,
}
