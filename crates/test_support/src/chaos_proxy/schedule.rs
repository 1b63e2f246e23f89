//! A random sequence of faults, from a seed.

use super::mode::{Direction, Mode};
use std::ops::RangeInclusive;
use std::time::Duration;

/// How long a disturbance lasts, in milliseconds: from less than any time-out to more than most.
const LASTS_MS: RangeInclusive<u64> = 100..=9_000;
const DELAY_MS: RangeInclusive<u64> = 5..=150;
const BYTES_PER_S: RangeInclusive<u32> = 20_000..=500_000;

/// A fault of the network, for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disturbance {
    /// The fault.
    pub mode: Mode,
    /// The connections that it concerns.
    pub connections: Connections,
    /// How long it lasts.
    pub lasts: Duration,
}

/// The connections that a disturbance concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// Those that exist, and new ones.
    All,
    /// Those that exist when it begins.
    Existing,
    /// Those that are opened while it lasts.
    New,
}

/// An endless sequence of disturbances, the same for the same seed.
#[derive(Debug, Clone)]
pub struct Schedule(fastrand::Rng);

impl Schedule {
    /// The schedule of a seed.
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    fn mode(&mut self) -> Mode {
        match self.0.u8(0..6) {
            0 | 1 => Mode::Silent,
            2 => Mode::OneWay(Direction::ToServer),
            3 => Mode::OneWay(Direction::ToClient),
            4 => {
                Mode::Slow { delay: Duration::from_millis(self.0.u64(DELAY_MS)), bytes_per_s: self.0.u32(BYTES_PER_S) }
            }
            _ => Mode::Cut,
        }
    }
}

impl Iterator for Schedule {
    type Item = Disturbance;

    fn next(&mut self) -> Option<Disturbance> {
        let mode = self.mode();
        let connections = match self.0.u8(0..4) {
            0 | 1 => Connections::All,
            2 => Connections::Existing,
            _ => Connections::New,
        };
        let lasts = Duration::from_millis(self.0.u64(LASTS_MS));
        Some(Disturbance { mode, connections, lasts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_schedule_with_every_fault() {
        let of = |seed| Schedule::new(seed).take(200).collect::<Vec<_>>();
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        let all = of(7);
        let wanted: [fn(&Disturbance) -> bool; 8] = [
            |d| d.mode == Mode::Silent,
            |d| d.mode == Mode::OneWay(Direction::ToServer),
            |d| d.mode == Mode::OneWay(Direction::ToClient),
            |d| matches!(d.mode, Mode::Slow { .. }),
            |d| d.mode == Mode::Cut,
            |d| d.connections == Connections::All,
            |d| d.connections == Connections::Existing,
            |d| d.connections == Connections::New,
        ];
        assert!(wanted.iter().all(|kind| all.iter().any(kind)));
        assert!(all.iter().all(|d| d.mode != Mode::Pass && !d.lasts.is_zero()));
    }
}
