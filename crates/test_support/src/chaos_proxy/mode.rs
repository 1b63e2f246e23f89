//! How a connection is forwarded.

use std::time::Duration;

/// How a connection is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As it is.
    Pass,
    /// Bytes are held back in both directions, and the ends of connections too. Both sockets stay open. A new connection is
    /// accepted and not forwarded.
    Silent,
    /// Only this direction passes; the other one is silent.
    OneWay(Direction),
    /// Both directions are delayed and limited.
    Slow {
        /// The delay of each piece that is forwarded, up to 16 KiB.
        delay: Duration,
        /// Bytes per second in each direction.
        bytes_per_s: u32,
    },
    /// The connection is reset (RST).
    Cut,
}

/// A direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Mode {
    /// Whether bytes in this direction are held back.
    pub(super) fn holds(self, direction: Direction) -> bool {
        match self {
            Mode::Pass | Mode::Slow { .. } => false,
            Mode::Silent | Mode::Cut => true,
            Mode::OneWay(passing) => passing != direction,
        }
    }

    /// How long forwarding this many bytes takes.
    pub(super) fn pause(self, bytes: usize) -> Duration {
        match self {
            Mode::Slow { delay, bytes_per_s } => {
                delay + Duration::from_secs_f64(bytes as f64 / f64::from(bytes_per_s.max(1)))
            }
            Mode::Pass | Mode::Silent | Mode::OneWay(_) | Mode::Cut => Duration::ZERO,
        }
    }
}
