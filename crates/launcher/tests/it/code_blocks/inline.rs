//! Code in a sentence: a command, a route (`GET /v1/claims`), a setting (`SAGA__LEASE_MS`) or a name of several words
//! (`net_fee`, `TEST_POSTGRES_URL`), but not the end of one (`_total`).

use super::Checked;
use super::facts::{PROGRAMS, has_setting, is_name};
use super::http::check_route;
use super::sh::{assignment, check_command, check_variable, commands};

/// Checks code in backticks, if it is any of these.
pub fn check(code: &str) -> Option<Checked> {
    let words = commands(code).into_iter().next()?;
    let Some(program) = words.iter().position(|word| assignment(word).is_none()) else {
        return Some(words.iter().filter_map(|word| assignment(word)).try_for_each(|(name, _)| check_variable(name)));
    };
    match (words[program].as_str(), words.len() - program) {
        // Of the scripts' commands, sentences leave the script out.
        ("runserver" | "docker" | "dockercompose", 2..) if words[1] != "build" && words[1] != "compose" => {
            Some(check_command(&[&["bash".to_owned(), "develop_local.sh".to_owned()], &words[..]].concat()))
        }
        ("GET" | "POST", 2) => Some(check_route(code)),
        ("bash" | "cargo" | "docker", 2..) => Some(check_command(&words)),
        (program, 2..) if PROGRAMS.iter().any(|(name, _)| *name == program) => Some(check_command(&words)),
        (name, 1) if is_setting(name) => Some(check_setting(name)),
        (name, 1) if has_several_words(name) => {
            Some(if is_name(name) { Ok(()) } else { Err(format!("no source has {name}")) })
        }
        _ => None,
    }
}

fn has_several_words(name: &str) -> bool {
    name.contains('_') && !name.starts_with('_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_setting(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '_' | '…');
    name.contains("__") && name.chars().all(allowed) && !name.contains("SECTION")
}

/// `…` stands for any start or end.
fn check_setting(name: &str) -> Checked {
    let (program, name) = PROGRAMS
        .iter()
        .find_map(|(program, start)| Some((Some(*program), name.strip_prefix(start)?)))
        .unwrap_or((None, name));
    let part = name.trim_start_matches("…__").trim_end_matches('…');
    let known = |setting: &str| if name.ends_with('…') { setting.starts_with(part) } else { setting == part };
    if has_setting(program, known) { Ok(()) } else { Err(format!("no setting {name}")) }
}
