//! Commands of `curl`: a program serves the route on that port, the body is JSON or a file.

use super::facts::{has_route, is_file, program_on};
use super::{Checked, json};

pub fn check(arguments: &[&str]) -> Checked {
    let (mut method, mut url) = (None, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().copied().ok_or(format!("{argument} needs a value"));
        match *argument {
            "-s" => {}
            "-X" => method = Some(value()?),
            "-H" => {
                let header = value()?;
                header.split_once(": ").ok_or_else(|| format!("not a header: {header}"))?;
            }
            "-d" => {
                json::check(value()?)?;
                method = method.or(Some("POST"));
            }
            "--data-binary" => {
                let file = value()?.trim_start_matches('@');
                if !is_file(file) {
                    return Err(format!("no file {file}"));
                }
                method = method.or(Some("POST"));
            }
            option if option.starts_with('-') => return Err(format!("no checker for the option {option}")),
            other => url = Some(other),
        }
    }
    let place = url.and_then(|url| url.strip_prefix("http://127.0.0.1:")).ok_or("no URL on this machine")?;
    let (port, path) = place.split_once('/').ok_or("no path")?;
    let program = program_on(port).ok_or_else(|| format!("no program listens on port {port}"))?;
    let (method, path) = (method.unwrap_or("GET"), format!("/{path}"));
    if has_route(program, method, &path) { Ok(()) } else { Err(format!("{program} has no route {method} {path}")) }
}
