//! `mermaid`: a flow chart. Its routes are served, and its events and topics are in the contract.

use super::facts::text;
use super::http::check_route;
use super::{Checked, facts};

pub fn check(block: &str) -> Checked {
    let kind = block.lines().next().unwrap_or_default();
    if kind != "flowchart LR" {
        return Err(format!("no checker for this kind of drawing: {kind}"));
    }
    let contract = text("crates/claim_events/asyncapi.json");
    for label in block.split('"').skip(1).step_by(2).flat_map(|label| label.split("<br>")) {
        if let Some((method @ ("GET" | "POST"), paths)) = label.split_once(' ') {
            paths.split(", ").try_for_each(|path| check_route(&format!("{method} {path}")))?;
        } else if label.contains('.') && !label.contains([' ', ',']) && !contract.contains(&format!("\"{label}\"")) {
            return Err(format!("no event or topic {label}"));
        }
    }
    // A program that is drawn has a crate.
    let drawn = block.split('"').skip(1).step_by(2).filter_map(|label| label.split("<br>").next());
    match drawn.filter(|label| label.contains('_')).find(|label| !label.contains('.') && !facts::is_crate(label)) {
        Some(label) => Err(format!("no crate {label}")),
        None => Ok(()),
    }
}
