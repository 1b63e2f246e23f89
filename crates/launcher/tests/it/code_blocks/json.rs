//! `json`: it parses. `claim_process/tests/it/readme.rs` compares the claims and the answers with the API document.

use super::Checked;
use serde_json::Value;

pub fn check(block: &str) -> Checked {
    serde_json::from_str::<Value>(block).map(drop).map_err(|error| error.to_string())
}
