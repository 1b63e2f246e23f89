//! What the launcher prints: lines behind the name of who wrote them for people, lines of JSON for a container's log.

use std::io::{ErrorKind, IsTerminal, Write};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `payments-1        | text`, the name in a colour of its own where `coloured`.
    Prefixed {
        /// Whether the terminal shows colours.
        coloured: bool,
    },
    /// `{"timestamp": …, "level": …, "message": …, "process": …}`, as the services log in containers.
    Json,
}

impl Style {
    /// For a person at this terminal, who may not want colours (`NO_COLOR`).
    pub fn of_terminal() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::Prefixed { coloured: std::io::stdout().is_terminal() && !unwanted }
    }
}

/// How bad a message is. What is not [`Level::Info`] goes to standard error where people read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Info,
    /// Something went wrong and is mended.
    Warn,
    /// Something went wrong for good.
    Error,
}

/// Colours of names, by their order; the launcher's own name is bold.
const COLOURS: [u8; 6] = [36, 33, 35, 32, 34, 96];
const BOLD: u8 = 1;

/// Prints for one launcher.
#[derive(Debug, Clone)]
pub struct Console {
    style: Style,
    own_name: &'static str,
}

/// Standard output was closed by its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl Console {
    /// Prints in this style; the launcher's own lines bear `own_name`.
    pub fn new(style: Style, own_name: &'static str) -> Self {
        Self { style, own_name }
    }

    /// A message of the launcher's own.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn say(&self, level: Level, message: &str) -> Result<(), Closed> {
        let line = self.format(self.own_name, BOLD, level, message);
        match (self.style, level) {
            (Style::Json, _) | (_, Level::Info) => write(&mut std::io::stdout().lock(), &line),
            (Style::Prefixed { .. }, Level::Warn | Level::Error) => {
                // What was printed before stays before it.
                std::io::stdout().flush().ok();
                write(&mut std::io::stderr().lock(), &line)
            }
        }
    }

    /// A line that the process `name` printed, the `order`-th of all.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn relay(&self, name: &str, order: usize, text: &str) -> Result<(), Closed> {
        let line = self.format(name, COLOURS[order % COLOURS.len()], Level::Info, text);
        write(&mut std::io::stdout().lock(), &line)
    }

    /// Lines as they are, for people only.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn plain(&self, text: &str) -> Result<(), Closed> {
        match self.style {
            Style::Prefixed { .. } => write(&mut std::io::stdout().lock(), text),
            Style::Json => Ok(()),
        }
    }

    /// The same, to standard error.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn plain_error(&self, text: &str) -> Result<(), Closed> {
        match self.style {
            Style::Prefixed { .. } => write(&mut std::io::stderr().lock(), text),
            Style::Json => Ok(()),
        }
    }

    fn format(&self, name: &str, colour: u8, level: Level, text: &str) -> String {
        match self.style {
            Style::Prefixed { coloured: true } => format!("\x1b[{colour}m{name:<17} | \x1b[0m{text}\n"),
            Style::Prefixed { coloured: false } => format!("{name:<17} | {text}\n"),
            Style::Json => {
                let level = match level {
                    Level::Info => "INFO",
                    Level::Warn => "WARN",
                    Level::Error => "ERROR",
                };
                let line = serde_json::json!({
                    "timestamp": jiff::Timestamp::now().to_string(), "level": level, "message": text, "process": name,
                });
                format!("{line}\n")
            }
        }
    }
}

/// A terminal that has gone is no reason to stop; a pipe whose reader has ended is.
fn write(to: &mut impl Write, text: &str) -> Result<(), Closed> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(style: Style) -> Console {
        Console::new(style, "runserver")
    }

    #[test]
    fn names_are_aligned_and_coloured_only_where_that_is_wanted() {
        let plain = console(Style::Prefixed { coloured: false });
        assert_eq!(plain.format("payments-1", 36, Level::Info, "text"), "payments-1        | text\n");
        let coloured = console(Style::Prefixed { coloured: true });
        assert_eq!(
            coloured.format("payments-1", 36, Level::Info, "text"),
            "\u{1b}[36mpayments-1        | \u{1b}[0mtext\n"
        );
    }

    #[test]
    fn every_line_of_json_can_be_read_whatever_is_in_it() {
        let line = console(Style::Json).format("local_broker", 36, Level::Warn, "a \"quoted\"\tword \u{1b}[0m");
        let read: serde_json::Value = serde_json::from_str(line.trim_end()).unwrap();
        assert_eq!(read["message"], "a \"quoted\"\tword \u{1b}[0m");
        assert_eq!((&read["level"], &read["process"]), (&"WARN".into(), &"local_broker".into()));
        assert!(read["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
    }
}
