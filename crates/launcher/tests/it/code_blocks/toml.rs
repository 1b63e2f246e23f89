//! `toml`: settings, one a line, perhaps in sections. A program has each, and each value is one that JSON has, too.

use super::facts::has_setting;
use super::{Checked, json};

pub fn check(block: &str) -> Checked {
    let mut section = String::new();
    for line in block.lines() {
        let line = line.split_once("  #").map_or(line, |(setting, _comment)| setting).trim_end();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
        } else if !line.is_empty() {
            let (name, value) = line.split_once(" =").ok_or_else(|| format!("not a setting: {line}"))?;
            let name = format!("{section}{name}");
            let variable = name.to_uppercase().replace('.', "__");
            if !has_setting(None, |setting| setting == variable) {
                return Err(format!("no setting {name}"));
            }
            json::check(value.trim()).map_err(|error| format!("not a value of {name}: {error}"))?;
        }
    }
    Ok(())
}
