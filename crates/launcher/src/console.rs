//! The output of the launcher: lines prefixed with the name of their process for people, JSON lines for a container's log.

use std::io::{ErrorKind, IsTerminal, Write};

/// The format of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `payments-1        | text`; with `coloured` each name has its own colour.
    Prefixed {
        /// Whether the terminal shows colours.
        coloured: bool,
    },
    /// `{"timestamp": …, "level": …, "message": …, "process": …}`, as the services log in containers.
    Json,
}

impl Style {
    /// The style for the user's terminal; respects `NO_COLOR`.
    pub fn of_terminal() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::Prefixed { coloured: std::io::stdout().is_terminal() && !unwanted }
    }
}

/// The severity of a message. For people, everything but [`Level::Info`] goes to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Normal operation.
    Info,
    /// A failure that the launcher recovers from.
    Warn,
    /// A failure that ends the run.
    Error,
}

/// Colours of names, by their order; the launcher's own name is bold.
const COLOURS: [u8; 6] = [36, 33, 35, 32, 34, 96];
const BOLD: u8 = 1;

/// The output of one launcher.
#[derive(Debug, Clone)]
pub struct Console {
    style: Style,
    own_name: &'static str,
}

/// Standard output was closed by its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl Console {
    /// Creates a console in this style. The launcher's own lines are prefixed with `own_name`.
    pub fn new(style: Style, own_name: &'static str) -> Self {
        Self { style, own_name }
    }

    /// Prints a message of the launcher.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn log(&self, level: Level, message: &str) -> Result<(), Closed> {
        let line = self.format(self.own_name, BOLD, level, message);
        match (self.style, level) {
            (Style::Json, _) | (_, Level::Info) => write(&mut std::io::stdout().lock(), &line),
            (Style::Prefixed { .. }, Level::Warn | Level::Error) => {
                // Earlier lines must appear first.
                std::io::stdout().flush().ok();
                write(&mut std::io::stderr().lock(), &line)
            }
        }
    }

    /// Prints a line of the process `name`. `order` chooses its colour.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn relay(&self, name: &str, order: usize, text: &str) -> Result<(), Closed> {
        let line = self.format(name, COLOURS[order % COLOURS.len()], Level::Info, text);
        write(&mut std::io::stdout().lock(), &line)
    }

    /// Prints lines without a prefix, for people only.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn plain(&self, text: &str) -> Result<(), Closed> {
        match self.style {
            Style::Prefixed { .. } => write(&mut std::io::stdout().lock(), text),
            Style::Json => Ok(()),
        }
    }

    /// Like [`Console::plain`], to standard error.
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

/// A closed pipe ends the run; a closed terminal does not.
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
    fn names_are_aligned_and_coloured_only_if_wanted() {
        let plain = console(Style::Prefixed { coloured: false });
        assert_eq!(plain.format("payments-1", 36, Level::Info, "text"), "payments-1        | text\n");
        let coloured = console(Style::Prefixed { coloured: true });
        assert_eq!(
            coloured.format("payments-1", 36, Level::Info, "text"),
            "\u{1b}[36mpayments-1        | \u{1b}[0mtext\n"
        );
    }

    #[test]
    fn every_line_of_json_can_be_parsed() {
        let line = console(Style::Json).format("local_broker", 36, Level::Warn, "a \"quoted\"\tword \u{1b}[0m");
        let read: serde_json::Value = serde_json::from_str(line.trim_end()).unwrap();
        assert_eq!(read["message"], "a \"quoted\"\tword \u{1b}[0m");
        assert_eq!((&read["level"], &read["process"]), (&"WARN".into(), &"local_broker".into()));
        assert!(read["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
    }
}
