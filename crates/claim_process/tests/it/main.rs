//! claim_process from outside: its intake, its HTTP API on both databases, and its events on a broker.

mod intake;
