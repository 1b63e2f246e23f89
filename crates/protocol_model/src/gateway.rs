//! The gateway: a book with at most one payment per key, money that is returned at most once, and answers that match the book.

use crate::params::Verdicts;

/// The gateway's book entry for the claim. `other` is true if it paid another amount than requested.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Book {
    /// No entry.
    #[default]
    Empty,
    /// Declined; final for this key.
    Declined,
    /// Paid.
    Paid {
        /// Another amount.
        other: bool,
    },
    /// Paid, then refunded.
    Refunded {
        /// Another amount.
        other: bool,
    },
    /// Paid, then returned by the bank.
    Returned {
        /// Another amount.
        other: bool,
    },
}

/// A request to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    /// Pay.
    Pay,
    /// Pay under a key that is not the claim's (only where a rule is left out).
    PayOtherKey,
    /// Refund the payment.
    Refund,
    /// Refund the payment under the second key, after the first refund failed.
    RefundAgain,
    /// Look up the payment.
    LookUp,
}

/// The gateway's answer to a request, or its absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// To a payment request: paid.
    Approved {
        /// Another amount.
        other: bool,
    },
    /// To a payment request: declined.
    Declined,
    /// To a refund request: refunded.
    Refunded,
    /// To a refund request: the bank had already returned the payment.
    AlreadyReturned,
    /// To a refund request: the refund with this key failed after it was approved.
    RefundFailed,
    /// To a look-up.
    Book(Book),
    /// No answer arrived in time.
    Unknown(Request),
}

impl Book {
    /// Whether the provider has the money now.
    pub fn is_out(self) -> bool {
        matches!(self, Book::Paid { .. })
    }

    /// Whether the gateway ever paid: `Some(true)` if it paid another amount than requested.
    pub fn paid(self) -> Option<bool> {
        match self {
            Book::Empty | Book::Declined => None,
            Book::Paid { other } | Book::Refunded { other } | Book::Returned { other } => Some(other),
        }
    }

    /// The definite answers that the gateway may have sent to senders that stopped waiting. They stay true, because the book
    /// never changes back, but for the approval of a refund that failed.
    pub fn answers_sent(self, refund_failed: bool) -> impl Iterator<Item = Answer> {
        let to_pay = match self {
            Book::Empty => None,
            Book::Declined => Some(Answer::Declined),
            Book::Paid { other } | Book::Refunded { other } | Book::Returned { other } => {
                Some(Answer::Approved { other })
            }
        };
        let to_refund = match self {
            Book::Refunded { .. } => Some(Answer::Refunded),
            Book::Returned { .. } => Some(Answer::AlreadyReturned),
            _ if refund_failed => Some(Answer::Refunded),
            _ => None,
        };
        let to_failed_refund = refund_failed.then_some(Answer::RefundFailed);
        to_pay.into_iter().chain(to_refund).chain(to_failed_refund)
    }

    /// Applies a request to the book, after the first refund failed or not. Returns the new book and the answer, once for each
    /// verdict that `verdicts` allows.
    ///
    /// # Errors
    /// The service must never send this request.
    pub fn serve(
        self,
        request: Request,
        refund_failed: bool,
        verdicts: Verdicts,
    ) -> Result<Vec<(Book, Answer)>, &'static str> {
        let request = match request {
            Request::Refund if refund_failed => return Ok(vec![(self, Answer::RefundFailed)]),
            Request::RefundAgain if !refund_failed => {
                return Err("a second refund although the first one did not fail");
            }
            Request::RefundAgain => Request::Refund,
            other => other,
        };
        match (request, self) {
            (Request::PayOtherKey, _) if self != Book::Empty => Err("a second payment at the gateway"),
            (Request::Pay | Request::PayOtherKey, Book::Empty) => {
                let allowed = [
                    (verdicts.approve, Book::Paid { other: false }, Answer::Approved { other: false }),
                    (verdicts.decline, Book::Declined, Answer::Declined),
                    (verdicts.other_amount, Book::Paid { other: true }, Answer::Approved { other: true }),
                ];
                Ok(allowed.into_iter().filter(|(may, ..)| *may).map(|(_, book, answer)| (book, answer)).collect())
            }
            (Request::Pay | Request::PayOtherKey, Book::Declined) => Ok(vec![(self, Answer::Declined)]),
            (
                Request::Pay | Request::PayOtherKey,
                Book::Paid { other } | Book::Refunded { other } | Book::Returned { other },
            ) => Ok(vec![(self, Answer::Approved { other })]),
            (Request::Refund, Book::Empty | Book::Declined) => Err("a refund of a payment that was not made"),
            (Request::Refund, Book::Paid { other }) => Ok(vec![(Book::Refunded { other }, Answer::Refunded)]),
            (Request::Refund, Book::Refunded { .. }) => Ok(vec![(self, Answer::Refunded)]),
            (Request::Refund, Book::Returned { .. }) => Ok(vec![(self, Answer::AlreadyReturned)]),
            (Request::LookUp | Request::RefundAgain, _) => Ok(vec![(self, Answer::Book(self))]),
        }
    }
}
