//! What the controller gets, and what it decides.

/// Between what, and from where. `1 <= floor <= start <= ceiling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The limit is never below this.
    pub floor: usize,
    /// The limit at the beginning, and where it goes back to when it is not used.
    pub start: usize,
    /// The limit is never above this.
    pub ceiling: usize,
    /// For how long less than half of the limit is used before it shrinks, in microseconds.
    pub idle_us: i64,
    /// The longest pause between calls that are lost at the floor, in microseconds; 0 for none.
    pub longest_pause_us: i64,
}

/// What the end of a call shows of the gateway's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It was answered, however: the gateway had time for it.
    Answered,
    /// It was not answered in time.
    TimedOut,
    /// The connection could not be made or broke, or the gateway failed (a 5xx).
    Failed,
    /// The gateway has too much to do (429, 503).
    Busy,
    /// Nothing: an answer that cannot be understood.
    Unclear,
}

/// Why the limit changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Calls waited for a permit while the latency held.
    Demand,
    /// The latency rose: calls queue in the gateway.
    Latency,
    /// A call was not answered in time.
    TimedOut,
    /// A call failed.
    Failed,
    /// The gateway refused a call because it has too much to do.
    Busy,
    /// Less than half of it was used for a while.
    Idle,
}

/// A change of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// When, on the controller's clock.
    pub at_us: i64,
    /// The limit before.
    pub from: usize,
    /// The limit since.
    pub to: usize,
    /// Why.
    pub reason: Reason,
}

/// What is going on at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Calls under way.
    pub in_use: usize,
    /// Calls that wait for a permit.
    pub waiting: usize,
}

/// A call that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// When it began.
    pub began_us: i64,
    /// When it ended.
    pub now_us: i64,
    /// How.
    pub sign: Sign,
    /// How often its payment was tried before without a definite answer.
    pub tries: u32,
    /// What was going on when it ended, itself included.
    pub load: Load,
}

impl Reason {
    /// Its name, in answers and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Demand => "demand",
            Reason::Latency => "latency",
            Reason::TimedOut => "timed_out",
            Reason::Failed => "failed",
            Reason::Busy => "busy",
            Reason::Idle => "idle",
        }
    }
}
