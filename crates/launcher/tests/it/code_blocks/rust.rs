//! `rust`: a part of a source, so that it compiles and is tested.

use super::Checked;
use super::facts::source_text;

pub fn check(block: &str) -> Checked {
    if source_text("crates/").contains(&format!("\n{block}")) { Ok(()) } else { Err("no source has it".to_owned()) }
}
