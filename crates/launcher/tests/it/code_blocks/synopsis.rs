//! Commands of the scripts, compared with the synopsis in each script's usage.
//!
//! A synopsis has words to write as they are (`start|stop`), values in capitals (`DATABASE`), optional parts in brackets
//! (`[--payments N]`) and a rest that another program reads (`[arguments for compose]`).

use super::facts::{is_file, text};
use super::{Checked, cargo, clap};

/// Checks the arguments of `bash`: a script and its own.
pub fn check(arguments: &[&str]) -> Checked {
    let (script, arguments) = arguments.split_first().ok_or("bash without a script")?;
    if !script.ends_with(".sh") || !is_file(script) {
        return Err(format!("no script {script}"));
    }
    let code = text(script);
    // Such a script passes its arguments on to a program.
    if let Some(bin) = code.lines().find_map(|line| line.strip_suffix(" -- \"$@\"")?.split_once(" --bin ")) {
        return clap::of("system_tests", &format!("crates/system_tests/src/bin/{}.rs", bin.1)).check(arguments);
    }
    if arguments == ["--help"] && code.contains("--help") {
        return Ok(());
    }
    let usage = code.lines().skip_while(|line| !line.contains("usage: "));
    let lines = usage.map_while(|line| line.split_once(&format!("bash {script}")).map(|(_, synopsis)| synopsis));
    if !(lines.clone().any(|line| Synopsis::of(line).allows(arguments)) || (arguments.is_empty() && lines.count() == 0))
    {
        return Err(format!("its usage does not allow: bash {script} {}", arguments.join(" ")));
    }
    match arguments {
        ["test", for_cargo @ ..] => cargo::check_test(for_cargo),
        _ => Ok(()),
    }
}

/// What one line of a usage allows.
#[derive(Debug, Default)]
struct Synopsis {
    /// Words in their order, with their alternatives, and whether each may be left out.
    words: Vec<(Vec<String>, bool)>,
    /// Options, and whether each has a value.
    options: Vec<(String, bool)>,
    /// Whether anything may follow.
    open: bool,
}

fn is_value(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

impl Synopsis {
    fn of(line: &str) -> Self {
        let mut synopsis = Self::default();
        let line = line.replace('[', " [ ").replace(']', " ] ");
        let (mut depth, mut after_option) = (0, false);
        for word in line.split_whitespace().filter(|word| !matches!(*word, "|" | "...")) {
            match word {
                "[" => depth += 1,
                "]" => depth -= 1,
                "arguments" if depth > 0 => {
                    synopsis.open = true;
                    break;
                }
                option if option.starts_with('-') => synopsis.options.push((option.to_owned(), false)),
                value if after_option && is_value(value) => {
                    if let Some((_, has_value)) = synopsis.options.last_mut() {
                        *has_value = true;
                    }
                }
                word => synopsis.words.push((word.split('|').map(str::to_owned).collect(), depth > 0)),
            }
            after_option = word.starts_with('-');
        }
        synopsis
    }

    fn allows(&self, arguments: &[&str]) -> bool {
        let mut words = self.words.iter();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if let Some((_, has_value)) = self.options.iter().find(|(option, _)| option == argument) {
                if *has_value && arguments.next().is_none() {
                    return false;
                }
                continue;
            }
            match words.next() {
                Some((alternatives, _)) => {
                    let fits = |known: &String| known == argument || is_value(known) || known == "…";
                    if argument.starts_with('-') || !alternatives.iter().any(fits) {
                        return false;
                    }
                }
                None => return self.open,
            }
        }
        words.all(|(_, optional)| *optional)
    }
}
