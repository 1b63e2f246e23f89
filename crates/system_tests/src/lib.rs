//! Tests of the whole system from outside, with real processes, sockets and kills. They use only the settings and the HTTP API of
//! the services.
//!
//! [`Stack`](stack::Stack) runs the system in a directory of its own. [`fates`] defines how each claim must end, and
//! [`audit`](audit::check) compares the services with the gateway at the end. [`contract`](contract::check) checks messages against
//! the published contract. [`links`] are the connections that a test can disturb, and [`load`] is a steady load that times every
//! answer. [`siege`] is the long run under faults, and [`outage`] the outage of a gateway, which
//! [`watch`](watch::Watch) samples.

pub mod api;
pub mod audit;
pub mod benchmark;
pub mod binaries;
pub mod contract;
pub mod fates;
pub mod infrastructure;
pub mod links;
pub mod load;
pub mod outage;
pub mod own_postgres;
pub mod proc;
pub mod process;
pub mod siege;
pub mod stack;
pub mod watch;
