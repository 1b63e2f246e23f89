//! Commands of `cargo`: the crates, examples and tests that they name exist.

use super::Checked;
use super::facts::{is_crate, is_file, tests};

pub fn check(arguments: &[&str]) -> Checked {
    match arguments {
        ["test", rest @ ..] => check_test(rest),
        ["run", "-p", name, "--example", example, ..] => {
            check_crate(name)?;
            let exists = is_file(&format!("crates/{name}/examples/{example}.rs"));
            if exists { Ok(()) } else { Err(format!("no example {example} in {name}")) }
        }
        _ => Err(format!("no checker for cargo {}", arguments.join(" "))),
    }
}

/// Checks the arguments of `cargo test`: perhaps a crate, and perhaps a filter, which matches a test.
pub fn check_test(arguments: &[&str]) -> Checked {
    match arguments {
        [] => Ok(()),
        ["-p", name] => check_crate(name),
        ["-p", name, filter] => {
            check_crate(name)?;
            let matches = tests(name).iter().any(|test| test.contains(filter));
            if matches { Ok(()) } else { Err(format!("no test of {name} matches '{filter}'")) }
        }
        _ => Err(format!("no checker for cargo test {}", arguments.join(" "))),
    }
}

/// `<crate>` stands for any.
fn check_crate(name: &str) -> Checked {
    if name.starts_with('<') || is_crate(name) { Ok(()) } else { Err(format!("no crate {name}")) }
}
