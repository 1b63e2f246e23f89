//! Why a claim of a batch is refused for what has nothing to do with the rules: where one claim alone is answered with a
//! status, its place in a batch has one of these codes. So has one alone that is only checked.

use crate::domain::finding::{BatchCode, Finding};
use crate::domain::identifiers::ClaimId;

/// Why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It cannot be read as a claim; the text says where.
    Malformed(String),
    /// It, or one of its rows, has more bytes than this.
    TooLarge(usize),
    /// The row before it, this one, cannot be read and may be a line of it.
    RowInDoubt(u64),
    /// The `Idempotency-Key` came before with another claim in this place.
    KeyReused,
    /// The claim with this id has its `external_claim_id`.
    ExternalIdTaken(String),
    /// The database refuses it; the log has the reason.
    NotStored,
}

impl Refusal {
    /// One of each, for the table of rules: with the message about a text that is no claim, and the bytes that a claim may have.
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

    /// What is demanded of a place in a batch, for senders of claims.
    pub fn demand(&self) -> &'static str {
        match self {
            Self::Malformed(_) => {
                "Each place of a batch can be read as a claim. Where the rest cannot be told apart any more, the batch ends."
            }
            Self::TooLarge(_) => {
                "A claim has at most as many bytes as the setting batch.max_claim_bytes says, and so has each row of a CSV."
            }
            Self::RowInDoubt(_) => {
                "In a CSV, a claim does not follow a row that cannot be read and may be a line of it."
            }
            Self::KeyReused => {
                "A batch that is sent again with its Idempotency-Key has the same claim in the same place."
            }
            Self::ExternalIdTaken(_) => {
                "No claim that is stored has the same external_claim_id. POST /v1/claims answers 409 with that claim's id."
            }
            Self::NotStored => {
                "The database takes the claim. Why it did not is in the service's log, by the request's id."
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
                    "row {row}, the one before this claim, cannot be read and may be a line of it: put that row right, \
                     and send this claim with it or after it"
                );
                ("row", BatchCode::RowInDoubt, message)
            }
            Self::KeyReused => {
                let message = "was another claim when the Idempotency-Key came before: send it in a batch of its own, with a key of its own";
                ("claim", BatchCode::KeyReused, message.to_owned())
            }
            Self::ExternalIdTaken(claim_id) => {
                let message = format!("belongs to a claim that exists: it is /v1/claims/{claim_id}");
                ("external_claim_id", BatchCode::ExternalIdTaken, message)
            }
            Self::NotStored => (
                "claim",
                BatchCode::NotStored,
                "could not be stored: quote the request's id when you ask about it".to_owned(),
            ),
        };
        Finding::of_place(code, field, message)
    }
}
