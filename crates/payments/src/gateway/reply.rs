//! An answer of the gateway, with what its call shows of the gateway's load.

use crate::domain::concurrency::Sign;

/// An answer, and what the call shows of the gateway's load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<A> {
    /// The answer.
    pub answer: A,
    /// The sign. It decides nothing about the payment, only how many calls are made at once, and when none is.
    pub sign: Sign,
    /// The answer in a few words for an operator, such as "503", where it is not definite.
    pub unclear: Option<String>,
}

impl<A> Reply<A> {
    /// An answer of a gateway that had time for it.
    pub fn answered(answer: A) -> Self {
        Self { answer, sign: Sign::Answered, unclear: None }
    }

    /// The same sign, and what becomes of the answer.
    pub fn map<B>(self, change: impl FnOnce(A) -> B) -> Reply<B> {
        Reply { answer: change(self.answer), sign: self.sign, unclear: self.unclear }
    }
}
