//! How well the number of gateway calls at once follows a gateway whose capacity changes: the controller of `payments`
//! (`payments/src/domain/concurrency/mod.rs`) against a simulated gateway in virtual time, and against fixed numbers.
//!
//! [`gateway`] and [`simulation`] are the virtual world, [`scenarios`] what is tried in it, [`report`] puts a run into numbers
//! and [`chart`] draws it. The tests hold the controller to the numbers. Two programs show them, and a third has the whole
//! system wait for a gateway that is down, which [`panels`] draws:
//!
//! ```text
//! cargo run -p concurrency_model --example virtual_time -- --svg virtual_time.svg
//! cargo run -p concurrency_model --example real_gateway -- --svg real_gateway.svg
//! cargo run -p concurrency_model --example outage -- --svg outage.svg
//! cargo run -p concurrency_model --example outage -- --frozen --claims 2000 --seconds 60
//! ```
//!
//! What they drew is in `plots/`. The second one drives the real `simulated_gateway` through the dispatcher and the HTTP
//! adapter of `payments`, and takes six minutes.

pub mod chart;
pub mod gateway;
pub mod panels;
pub mod report;
pub mod scenarios;
pub mod simulation;
