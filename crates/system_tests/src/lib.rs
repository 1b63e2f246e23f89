//! The whole system from outside: real processes, real sockets, real kills. It knows the services by their settings and
//! their HTTP API alone and reaches into none of them.
//!
//! [`Stack`](stack::Stack) runs the system in a directory of its own; [`fates`] says how each claim must end;
//! [`audit`](audit::check) compares what the services and the gateway say in the end; [`contract`](contract::check) holds
//! what they say to each other against the published contract; [`siege`] is the long program that puts them together, and
//! [`outage`] waits for a gateway that is down while [`watch`](watch::Watch) looks on.

pub mod api;
pub mod audit;
pub mod binaries;
pub mod contract;
pub mod fates;
pub mod ground;
pub mod outage;
pub mod process;
pub mod siege;
pub mod stack;
pub mod watch;
