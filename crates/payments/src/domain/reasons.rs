//! Why a payment was unwound: short, stable codes, in the spirit of the claim adjustment reason codes (CARC, X12), with
//! words for a biller. [`MEANINGS`] has all of them; `SAGA.md` beside this crate's sources shows it.

use claim_events::Cause;

/// A reason with its code and words.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Reason {
    /// The code.
    pub code: String,
    /// The words.
    pub words: String,
}

/// What a reason code means.
#[derive(Debug)]
pub struct Meaning {
    /// The code; `None` where it is the gateway's own.
    pub code: Option<&'static str>,
    /// The cause that it comes with.
    pub cause: Cause,
    /// What a biller reads.
    pub words: &'static str,
    /// What a biller or an operator can do.
    pub remedy: &'static str,
    /// The nearest code of X12's list, where one is near: a claim adjustment reason code.
    pub carc: Option<&'static str>,
}

const BUDGET_EXHAUSTED: Meaning = Meaning {
    code: Some("budget_exhausted"),
    cause: Cause::StepFailed,
    words: "the plan's budget does not cover the amount",
    remedy: "ask the plan, and submit the claim again when its budget is raised",
    carc: Some("119: benefit maximum for this time period or occurrence has been reached"),
};
const DECLINED: Meaning = Meaning {
    code: None,
    cause: Cause::StepFailed,
    words: "the payment gateway declined the payment",
    remedy: "look the code up in the gateway's own list; correct what it names, and submit the claim again",
    carc: None,
};
const AMOUNT_MISMATCH: Meaning = Meaning {
    code: Some("amount_mismatch"),
    cause: Cause::StepFailed,
    words: "the payment gateway paid another amount than was requested",
    remedy: "report it to the gateway; submit the claim again",
    carc: None,
};
const VOIDED: Meaning = Meaning {
    code: Some("voided"),
    cause: Cause::VoidRequested,
    words: "the claim was withdrawn",
    remedy: "nothing: it was wished",
    carc: None,
};
const RETURNED: Meaning = Meaning {
    code: Some("returned"),
    cause: Cause::LateReturn,
    words: "the provider's bank returned the payment",
    remedy: "ask the provider for the right account, and submit the claim again",
    carc: None,
};
const TOO_LATE: Meaning = Meaning {
    code: Some("too_late"),
    cause: Cause::Deadline,
    words: "the claim reached the payments so long after it was accepted that it was not begun to be paid",
    remedy: "find out what held it up; submit the claim again if it is still due",
    carc: None,
};
const FORCED: Meaning = Meaning {
    code: Some("forced"),
    cause: Cause::Operator,
    words: "an operator stated that the payment was not made and never will be",
    remedy: "ask the operator, whose reason is shown with the payment",
    carc: None,
};
const KNOWN_UNWOUND: Meaning = Meaning {
    code: Some("known_unwound"),
    cause: Cause::Operator,
    words: "the payment had been recorded as unwound before the payment records were restored",
    remedy: "nothing: the first end stands",
    carc: None,
};
const REFUND_FOUND: Meaning = Meaning {
    code: Some("refund_found"),
    cause: Cause::Operator,
    words: "the payment had been taken back before the payment records were restored",
    remedy: "nothing: the first end stands",
    carc: None,
};

/// Every reason there is.
pub const MEANINGS: [&Meaning; 9] = [
    &BUDGET_EXHAUSTED,
    &DECLINED,
    &AMOUNT_MISMATCH,
    &VOIDED,
    &RETURNED,
    &TOO_LATE,
    &FORCED,
    &KNOWN_UNWOUND,
    &REFUND_FOUND,
];

impl From<&Meaning> for Reason {
    fn from(meaning: &Meaning) -> Self {
        Self { code: meaning.code.unwrap_or_default().to_owned(), words: meaning.words.to_owned() }
    }
}

impl Reason {
    /// The plan's budget does not cover the amount.
    pub fn budget_exhausted() -> Self {
        (&BUDGET_EXHAUSTED).into()
    }

    /// The gateway declined; `code` is its own.
    pub fn declined(code: &str) -> Self {
        Self { code: code.to_owned(), ..(&DECLINED).into() }
    }

    /// The gateway paid another amount than was requested.
    pub fn amount_mismatch() -> Self {
        (&AMOUNT_MISMATCH).into()
    }

    /// The claim was withdrawn.
    pub fn voided() -> Self {
        (&VOIDED).into()
    }

    /// The claim came too late to be begun.
    pub fn too_late() -> Self {
        (&TOO_LATE).into()
    }

    /// An operator stated that it was not paid.
    pub fn forced() -> Self {
        (&FORCED).into()
    }

    /// The same, and that what was paid could not be had back.
    #[must_use]
    pub fn and_owed(self) -> Self {
        let words = format!("{}; the payment could not be taken back, and the provider owes it", self.words);
        Self { words, ..self }
    }

    /// claim_process had the payment as unwound, and these facts did not.
    pub fn known_unwound() -> Self {
        (&KNOWN_UNWOUND).into()
    }

    /// The gateway has the payment as refunded, and these facts do not hold why.
    pub fn refund_found() -> Self {
        (&REFUND_FOUND).into()
    }

    /// The money came back by itself.
    pub fn returned() -> Self {
        (&RETURNED).into()
    }
}
