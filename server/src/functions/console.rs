//! The log lines of functions, as the client prints them.

use std::fmt::Display;

/// Lines of one execution, bounded in number and length.
#[derive(Debug, Default)]
pub struct Console {
    lines: Vec<String>,
}

/// Lines of one execution.
pub const LOG_LINES_MAX: usize = 256;
/// Bytes of one line.
pub const LOG_LINE_BYTES_MAX: usize = 32_768;

impl Console {
    /// Logs at level LOG.
    pub fn log(&mut self, message: impl Display) {
        self.push("LOG", &message);
    }

    /// Logs at level INFO.
    pub fn info(&mut self, message: impl Display) {
        self.push("INFO", &message);
    }

    /// Logs at level WARN.
    pub fn warn(&mut self, message: impl Display) {
        self.push("WARN", &message);
    }

    /// Logs at level ERROR.
    pub fn error(&mut self, message: impl Display) {
        self.push("ERROR", &message);
    }

    /// Logs at level DEBUG.
    pub fn debug(&mut self, message: impl Display) {
        self.push("DEBUG", &message);
    }

    /// Logs the shown arguments of one call at a level, as the consoles of JavaScript functions do.
    pub(crate) fn line(&mut self, level: &str, messages: &[&str]) {
        self.push(level, &messages.join(" "));
    }

    /// Adds the lines of another console.
    pub(crate) fn append(&mut self, other: Console) {
        let room = LOG_LINES_MAX.saturating_sub(self.lines.len());
        self.lines.extend(other.lines.into_iter().take(room));
    }

    /// The lines so far.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    fn push(&mut self, level: &str, message: &dyn Display) {
        match self.lines.len() {
            n if n < LOG_LINES_MAX - 1 => self.lines.push(line(level, message)),
            n if n == LOG_LINES_MAX - 1 => {
                let notice =
                    format!("Log overflow (maximum {LOG_LINES_MAX}). Remaining log lines omitted.");
                self.lines.push(line("ERROR", &notice));
            }
            _ => {}
        }
    }

    /// The lines, in order.
    pub fn into_lines(self) -> Vec<String> {
        self.lines
    }
}

fn line(level: &str, message: &dyn Display) -> String {
    let mut line = format!("[{level}] {message}");
    if line.len() > LOG_LINE_BYTES_MAX {
        line.truncate(line.floor_char_boundary(LOG_LINE_BYTES_MAX));
        line.push_str(" (truncated due to length)");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_carry_their_level_and_are_bounded_in_number_and_length() {
        let mut console = Console::default();
        console.warn("careful");
        console.log("é".repeat(LOG_LINE_BYTES_MAX));
        (0..1_000).for_each(|n| console.debug(n));
        let lines = console.into_lines();
        assert_eq!(lines[0], "[WARN] careful");
        assert!(
            lines[1].ends_with(" (truncated due to length)")
                && lines[1].len() < LOG_LINE_BYTES_MAX + 40
        );
        assert_eq!(lines.len(), LOG_LINES_MAX);
        assert_eq!(
            lines[255],
            "[ERROR] Log overflow (maximum 256). Remaining log lines omitted."
        );
    }
}
