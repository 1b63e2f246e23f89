//! A pause before the next call, where the limit cannot fall any further: a gateway that is down and refuses at once would
//! otherwise be called as fast as it refuses.

/// The first pause after a call that was lost; it doubles from there, so that one among many costs next to nothing.
const FIRST_US: i64 = 1_000;

/// The pause.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pause {
    longest_us: i64,
    last_us: i64,
    until_us: i64,
}

impl Pause {
    /// None yet, and never longer than this.
    pub(super) fn up_to(longest_us: i64) -> Self {
        Self { longest_us, last_us: 0, until_us: 0 }
    }

    /// A call was lost at the floor.
    pub(super) fn lost(&mut self, now_us: i64) {
        self.last_us = (2 * self.last_us).max(FIRST_US).min(self.longest_us);
        self.until_us = now_us + self.last_us;
    }

    /// A call was answered: the gateway is there.
    pub(super) fn answered(&mut self) {
        *self = Self::up_to(self.longest_us);
    }

    /// For how long no call is to be made, in microseconds; 0 where one may be.
    pub(super) fn left_us(&self, now_us: i64) -> i64 {
        (self.until_us - now_us).max(0)
    }
}
