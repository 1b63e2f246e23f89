//! Checks how well the limit on concurrent gateway calls follows a gateway whose capacity changes. It runs the controller of
//! `payments` (`payments/src/domain/concurrency/mod.rs`) against a simulated gateway in virtual time, and compares it with
//! fixed limits.
//!
//! [`gateway`] and [`simulation`] are the simulation, [`scenarios`] holds the scenarios, [`report`] computes figures from a run
//! and [`chart`] draws it. The tests check the figures. Two programs print them, and a third runs the whole system while its
//! gateway is down; [`panels`] draws the result:
//!
//! ```text
//! cargo run -p concurrency_model --example virtual_time -- --svg virtual_time.svg
//! cargo run -p concurrency_model --example real_gateway -- --svg real_gateway.svg
//! cargo run -p concurrency_model --example outage -- --svg outage.svg
//! cargo run -p concurrency_model --example outage -- --frozen --claims 2000 --seconds 60
//! ```
//!
//! Their drawings are in `plots/`. The second program drives the real `simulated_gateway` through the dispatcher and the HTTP
//! adapter of `payments`, and takes six minutes.

pub mod chart;
pub mod gateway;
pub mod panels;
pub mod report;
pub mod scenarios;
pub mod simulation;
