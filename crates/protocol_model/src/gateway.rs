//! The gateway: a book with one payment at most a key, money that comes back once, and answers that are true when given.

use crate::params::Verdicts;

/// What the gateway's book says of the claim. `other` tells whether it paid another amount than it was asked to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Book {
    /// Nothing.
    #[default]
    Empty,
    /// It declined, for good.
    Declined,
    /// It paid.
    Paid {
        /// Another amount.
        other: bool,
    },
    /// It paid and took the payment back.
    Refunded {
        /// Another amount.
        other: bool,
    },
    /// It paid and the bank returned the payment.
    Returned {
        /// Another amount.
        other: bool,
    },
}

/// A request to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    /// To pay.
    Pay,
    /// To pay, under a key that is not the claim's (only where a rule is left out).
    PayOtherKey,
    /// To take the payment back.
    Refund,
    /// To say what became of it.
    LookUp,
}

/// Its answer, or that none came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// To a request to pay: paid.
    Approved {
        /// Another amount.
        other: bool,
    },
    /// To a request to pay: declined.
    Declined,
    /// To a request to refund: the money is back.
    Refunded,
    /// To a request to refund: it had come back by itself.
    AlreadyReturned,
    /// To a look-up.
    Book(Book),
    /// None came in time.
    Unknown(Request),
}

impl Book {
    /// Whether the money is out now.
    pub fn is_out(self) -> bool {
        matches!(self, Book::Paid { .. })
    }

    /// Whether it ever paid, and whether another amount.
    pub fn paid(self) -> Option<bool> {
        match self {
            Book::Empty | Book::Declined => None,
            Book::Paid { other } | Book::Refunded { other } | Book::Returned { other } => Some(other),
        }
    }

    /// The definite answers that were given or may have been, to requests whose senders did not wait: true as long as the book
    /// says so, which is for good.
    pub fn said(self) -> impl Iterator<Item = Answer> {
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
            _ => None,
        };
        to_pay.into_iter().chain(to_refund)
    }

    /// What a request does to the book, and its answer; one for each verdict that is allowed.
    ///
    /// # Errors
    /// The request should never have been made.
    pub fn serve(self, request: Request, verdicts: Verdicts) -> Result<Vec<(Book, Answer)>, &'static str> {
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
            (Request::Refund, Book::Empty | Book::Declined) => Err("a refund of what was not paid"),
            (Request::Refund, Book::Paid { other }) => Ok(vec![(Book::Refunded { other }, Answer::Refunded)]),
            (Request::Refund, Book::Refunded { .. }) => Ok(vec![(self, Answer::Refunded)]),
            (Request::Refund, Book::Returned { .. }) => Ok(vec![(self, Answer::AlreadyReturned)]),
            (Request::LookUp, _) => Ok(vec![(self, Answer::Book(self))]),
        }
    }
}
