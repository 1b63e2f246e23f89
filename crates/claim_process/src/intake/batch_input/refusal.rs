//! Why a claim of a batch is refused without a rule. A claim that is sent alone gets a status for these reasons; in a batch, and
//! when it is only validated, it gets a finding with one of these codes.

use crate::domain::finding::{BatchCode, Finding};
use claim_events::ClaimId;

/// Why a claim of a batch is refused without a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It cannot be read as a claim; the text gives the place of the error.
    Malformed(String),
    /// The claim, or one of its rows, has more bytes than this.
    TooLarge(usize),
    /// The row with this number, just before the claim, cannot be read and may be one of its lines.
    RowInDoubt(u64),
    /// The `Idempotency-Key` was used before with another claim in this place.
    KeyReused,
    /// The claim with this id has its `external_claim_id`.
    ExternalIdTaken(String),
    /// The database refuses the claim; the log has the reason.
    NotStored,
}

impl Refusal {
    /// One of each, for the table of rules: with the message about a text that is not a claim, and the most bytes of a claim.
    pub fn one_of_each(malformed: String, max_claim_bytes: usize) -> [Self; 6] {
        [
            Self::Malformed(malformed),
            Self::TooLarge(max_claim_bytes),
            Self::RowInDoubt(7),
            Self::KeyReused,
            Self::ExternalIdTaken(ClaimId::EXAMPLE.to_owned()),
            Self::NotStored,
        ]
    }

    /// What is required of each claim of a batch, in a sentence for senders.
    pub fn requirement(&self) -> &'static str {
        match self {
            Self::Malformed(_) => {
                "Each claim of a batch can be read. If the next claim cannot be found after one that cannot be read, the batch ends."
            }
            Self::TooLarge(_) => {
                "A claim, and each row of a CSV, has at most batch.max_claim_bytes bytes (1048576 by default)."
            }
            Self::RowInDoubt(_) => {
                "In a CSV, a claim does not follow a row that cannot be read and may be a line of the claim."
            }
            Self::KeyReused => {
                "A batch that is sent again with its Idempotency-Key has the same claim in the same place."
            }
            Self::ExternalIdTaken(_) => {
                "No stored claim has the same external_claim_id. POST /v1/claims answers 409 with that claim's id."
            }
            Self::NotStored => {
                "The database accepts the claim. If it does not, the service's log has the reason, by the request's id."
            }
        }
    }

    /// Its finding.
    pub fn finding(&self) -> Finding {
        let (field, code, message) = match self {
            Self::Malformed(why) => ("claim", BatchCode::Malformed, why.clone()),
            Self::TooLarge(most) => {
                let message =
                    format!("may have at most {most} bytes: send fewer lines, and look for a quote that is not closed");
                ("claim", BatchCode::TooLarge, message)
            }
            Self::RowInDoubt(row) => {
                let message = format!(
                    "row {row}, just before this claim, cannot be read and may be a line of it: correct that row, \
                     and send this claim with it or after it"
                );
                ("row", BatchCode::RowInDoubt, message)
            }
            Self::KeyReused => {
                let message = "differs from the claim that this Idempotency-Key was first used with: send it in another batch, with another key";
                ("claim", BatchCode::KeyReused, message.to_owned())
            }
            Self::ExternalIdTaken(claim_id) => {
                let message = format!("is already used by claim /v1/claims/{claim_id}");
                ("external_claim_id", BatchCode::ExternalIdTaken, message)
            }
            Self::NotStored => (
                "claim",
                BatchCode::NotStored,
                "could not be stored: give the request's id when you report it".to_owned(),
            ),
        };
        Finding::of_place(code, field, message)
    }
}
