//! How many of the last calls failed or were refused: a gateway that is in trouble fails many, and a call now and then fails for itself.

/// Over about how many calls the share is taken.
const CALLS: f64 = 20.0;
/// Which share is too much for chance: where one in fifty fails, it is passed about twice in a million calls, and where one in
/// twenty does, four times in ten thousand.
const MANY: f64 = 0.2;

/// Which share is that of a gateway that hardly answers.
const MOST: f64 = 0.6;

/// A moving share of calls that failed or were refused, in which each call counts a little less than the one after it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Failing {
    share: f64,
}

impl Failing {
    /// A call ended.
    pub(super) fn note(&mut self, failed: bool) {
        let this = if failed { 1.0 } else { 0.0 };
        self.share += (this - self.share) / CALLS;
    }

    /// Whether more fail than would by chance.
    pub(super) fn are_many(&self) -> bool {
        self.share > MANY
    }

    /// Whether more fail than are answered.
    pub(super) fn are_most(&self) -> bool {
        self.share > MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_in_a_row_are_many_and_one_in_ten_is_not() {
        let mut failing = Failing::default();
        let first_many = (1..).find(|_| {
            failing.note(true);
            failing.are_many()
        });
        assert_eq!(first_many, Some(5));
        let mut failing = Failing::default();
        for call in 0..10_000 {
            failing.note(call % 10 == 0);
            assert!(!failing.are_many(), "{failing:?}");
        }
    }
}
