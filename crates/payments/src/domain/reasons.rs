//! Why a payment was unwound: short, stable codes, in the spirit of the claim adjustment reason codes (CARC, X12), with
//! words for a biller.

/// A reason with its code and words.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Reason {
    /// The code.
    pub code: String,
    /// The words.
    pub words: String,
}

impl Reason {
    fn new(code: &str, words: &str) -> Self {
        Self { code: code.to_owned(), words: words.to_owned() }
    }

    /// The plan's budget does not cover the amount.
    pub fn budget_exhausted() -> Self {
        Self::new("budget_exhausted", "the plan's budget does not cover the amount")
    }

    /// The gateway declined; `code` is its own.
    pub fn declined(code: &str) -> Self {
        Self { code: code.to_owned(), words: "the payment gateway declined the payment".to_owned() }
    }

    /// The gateway paid another amount than it was asked to.
    pub fn amount_mismatch() -> Self {
        Self::new("amount_mismatch", "the payment gateway paid another amount; it was taken back")
    }

    /// The claim was withdrawn.
    pub fn voided() -> Self {
        Self::new("voided", "the claim was withdrawn")
    }

    /// claim_process had the payment as unwound, and these facts did not.
    pub fn known_unwound() -> Self {
        Self::new("known_unwound", "the payment had been recorded as unwound before the payment records were restored")
    }

    /// The gateway says that the payment was taken back, and these facts do not say why.
    pub fn refund_found() -> Self {
        Self::new("refund_found", "the payment had been taken back before the payment records were restored")
    }

    /// The money came back by itself.
    pub fn returned() -> Self {
        Self::new("returned", "the provider's bank returned the payment")
    }
}
