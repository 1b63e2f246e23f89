//! Commands of the programs, compared with the command lines that they define with clap.

use super::Checked;
use super::facts::{source_text, text};
use std::collections::BTreeMap;

/// The options of a command, each with the type of its value.
type CommandOptions = BTreeMap<String, String>;

/// A command line as its sources define it.
#[derive(Debug, Default)]
pub struct CommandLine {
    options: CommandOptions,
    commands: BTreeMap<String, CommandOptions>,
    /// Where its types are defined, as one text.
    sources: String,
}

/// The command line of a service.
pub fn service(name: &str) -> CommandLine {
    let mut line = of(name, &format!("crates/{name}/src/main.rs"));
    line.read(&text("crates/service_runtime/src/command_line.rs"));
    line
}

/// The command line that a file of a crate defines.
pub fn of(name: &str, file: &str) -> CommandLine {
    let mut line = CommandLine { sources: source_text(&format!("crates/{name}/src/")), ..CommandLine::default() };
    line.read(&text(file));
    line
}

impl CommandLine {
    /// Adds what a source defines: the variants of its `Subcommand`s, and the fields with `#[arg(long …)]`.
    fn read(&mut self, source: &str) {
        let (mut in_commands, mut command, mut is_option) = (false, None, false);
        for line in source.lines() {
            let (item, depth) = (line.trim_start(), line.len() - line.trim_start().len());
            if line.starts_with("#[derive(") {
                in_commands = line.contains("Subcommand");
            } else if item.starts_with("#[arg(") {
                is_option = item.contains("long");
            } else if in_commands && depth == 4 && item.starts_with(|c: char| c.is_ascii_uppercase()) {
                let name = item.trim_end_matches([',', '{', ' ']).to_lowercase();
                self.commands.entry(name.clone()).or_default();
                command = Some(name);
            } else if let Some((name, kind)) = item.split_once(": ").filter(|_| std::mem::take(&mut is_option)) {
                let options = match &command {
                    Some(command) if depth == 8 => self.commands.entry(command.clone()).or_default(),
                    _ => &mut self.options,
                };
                let name = name.trim_start_matches("pub ").replace('_', "-");
                options.insert(format!("--{name}"), kind.trim_end_matches(',').to_owned());
            }
        }
    }

    /// Checks arguments: options, and at most one command with its own.
    pub fn check(&self, arguments: &[&str]) -> Checked {
        let mut command = None;
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if matches!(*argument, "--help" | "--version") {
            } else if argument.starts_with('-') {
                let own = command.and_then(|options: &CommandOptions| options.get(*argument));
                let kind = own.or_else(|| self.options.get(*argument)).ok_or(format!("no option {argument}"))?;
                if kind != "bool" {
                    let value = arguments.next().ok_or(format!("{argument} needs a value"))?;
                    self.check_value(kind, value)?;
                }
            } else if command.is_none() {
                command = Some(self.commands.get(*argument).ok_or(format!("no command {argument}"))?);
            } else {
                return Err(format!("no argument {argument}"));
            }
        }
        Ok(())
    }

    /// Checks the value of an option if its type is an enum of the crate.
    fn check_value(&self, kind: &str, value: &str) -> Checked {
        let Some((_, definition)) = self.sources.split_once(&format!("enum {kind} {{\n")) else { return Ok(()) };
        let variants = definition.split("\n}").next().unwrap_or_default().lines();
        let mut names = variants.map(|line| line.trim().trim_end_matches(',').to_lowercase());
        if names.any(|name| name == value) { Ok(()) } else { Err(format!("'{value}' is no {kind}")) }
    }
}
