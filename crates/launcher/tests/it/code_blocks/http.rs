//! `http`: a request. A program serves its route, its headers have names, and its body is JSON.

use super::facts::{PROGRAMS, has_route};
use super::{Checked, json};

pub fn check(block: &str) -> Checked {
    let (head, body) = block.split_once("\n\n").unwrap_or((block, ""));
    let (first, headers) = head.split_once('\n').unwrap_or((head, ""));
    check_route(first)?;
    if let Some(line) = headers.lines().find(|line| !line.contains(": ")) {
        return Err(format!("not a header: {line}"));
    }
    if body.is_empty() { Ok(()) } else { json::check(body) }
}

/// Checks a method and a path, as in `GET /v1/claims`.
pub fn check_route(route: &str) -> Checked {
    let (method, path) = route.split_once(' ').ok_or_else(|| format!("not a method and a path: {route}"))?;
    let exists = PROGRAMS.iter().any(|(program, _)| has_route(program, method, path));
    if exists { Ok(()) } else { Err(format!("no route {method} {path}")) }
}
