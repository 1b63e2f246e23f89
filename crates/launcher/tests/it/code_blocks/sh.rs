//! `sh`: bash can read it, and each command agrees with what its program or script accepts.

use super::facts::{PROGRAMS, has_setting, is_name};
use super::{Checked, cargo, clap, curl, docker, synopsis};
use std::io::Write;
use std::process::{Command, Stdio};

pub fn check(block: &str) -> Checked {
    let mut bash =
        Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("bash starts");
    bash.stdin.take().expect("piped").write_all(block.as_bytes()).expect("it reads");
    if !bash.wait().expect("it ends").success() {
        return Err("bash cannot read it".to_owned());
    }
    commands(block).iter().try_for_each(|words| check_command(words))
}

/// Checks the words of one command, variables before it included.
pub fn check_command(words: &[String]) -> Checked {
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    while let Some((name, _)) = words.first().and_then(|word| assignment(word)) {
        check_variable(name)?;
        words.remove(0);
    }
    let (program, arguments) = words.split_first().ok_or("no command")?;
    match *program {
        "bash" => synopsis::check(arguments),
        "cargo" => cargo::check(arguments),
        "curl" => curl::check(arguments),
        "docker" => docker::check(arguments),
        program => {
            let name = program.trim_start_matches("target/debug/").trim_start_matches("target/release/");
            if !PROGRAMS.iter().any(|(service, _)| *service == name) {
                return Err(format!("no checker for the program '{program}'"));
            }
            clap::service(name).check(arguments)
        }
    }
}

/// The name and the value that a word gives an environment variable.
pub fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    (is_name && !name.is_empty()).then_some((name, value))
}

/// Checks the name of an environment variable.
pub fn check_variable(name: &str) -> Checked {
    let of_program = PROGRAMS.iter().find_map(|(program, start)| Some((program, name.strip_prefix(start)?)));
    match of_program {
        Some((program, setting)) if has_setting(Some(program), |known| known == setting) => Ok(()),
        Some(_) => Err(format!("no setting {name}")),
        None if is_name(name) => Ok(()),
        None => Err(format!("no source has the variable {name}")),
    }
}

/// The words of each command. A placeholder, as in `<id>`, is part of its word.
pub fn commands(script: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut rest = script.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('\n') | None => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            '\'' | '"' => word.get_or_insert_default().extend(rest.by_ref().take_while(|inner| *inner != c)),
            '#' if word.is_none() => while rest.next_if(|comment| *comment != '\n').is_some() {},
            ' ' => words.extend(word.take()),
            '\n' | ';' | '|' | '&' => {
                words.extend(word.take());
                commands.push(std::mem::take(&mut words));
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    commands.push(words);
    commands.retain(|words| !words.is_empty());
    commands
}

#[test]
fn a_script_is_split_into_commands_and_words() {
    let script = "A=1 B='x y' \\\n  run \"a b\" -d '{\n}' # a comment | no command\n\nnext <id>/x | last";
    let expected: [&[&str]; 3] = [&["A=1", "B=x y", "run", "a b", "-d", "{\n}"], &["next", "<id>/x"], &["last"]];
    assert_eq!(commands(script), expected);
}
