//! A thrown error, as developers read it: original files and lines in place of bundled ones.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use vestibule_isolate::Thrown;

/// The modules of an app, by the names that the frames of a stack have.
pub trait Places {
    /// Whether there is a module at `path`.
    fn has(&self, path: &str) -> bool;

    /// Where a place in a module stands in its original file; lines from one, columns from zero.
    fn original(&self, path: &str, line: u32, column: u32) -> Option<(String, u32, u32)>;
}

impl<P: Places> Places for Arc<P> {
    fn has(&self, path: &str) -> bool {
        P::has(self, path)
    }

    fn original(&self, path: &str, line: u32, column: u32) -> Option<(String, u32, u32)> {
        P::original(self, path, line, column)
    }
}

/// A source map, read when it is first asked for.
pub struct SourceMap {
    text: Option<Arc<str>>,
    map: OnceLock<Option<sourcemap::SourceMap>>,
}

/// The longest text of an error.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// The folder that original files are shown in.
const FOLDER: &str = "../convex/";

impl SourceMap {
    /// The map in `text`, if there is one.
    pub fn new(text: Option<Arc<str>>) -> SourceMap {
        SourceMap {
            text,
            map: OnceLock::new(),
        }
    }

    /// The original place of a place in the bundle; lines from one, columns from zero.
    pub fn original(&self, line: u32, column: u32) -> Option<(String, u32, u32)> {
        let map = self.map.get_or_init(|| {
            let text = self.text.as_deref()?;
            sourcemap::SourceMap::from_slice(text.as_bytes()).ok()
        });
        let token = map.as_ref()?.lookup_token(line.saturating_sub(1), column)?;
        let source = token.get_source()?;
        Some((
            source.to_string(),
            token.get_src_line() + 1,
            token.get_src_col(),
        ))
    }
}

/// `Uncaught TypeError: x is bad`, then a line for each frame in the app's own code, with a line's end.
pub fn describe(thrown: &Thrown, code: &impl Places) -> String {
    let Thrown { name, message, .. } = thrown;
    let mut text = match (name.is_empty(), message.is_empty()) {
        (true, _) => format!("Uncaught {message}"),
        (false, true) => format!("Uncaught {name}"),
        (false, false) => format!("Uncaught {name}: {message}"),
    };
    // A stack that JavaScript reads begins with the message, of which no line is a frame.
    let header = text.strip_prefix("Uncaught ").unwrap_or_default();
    let stack = thrown.stack.strip_prefix(header).unwrap_or(&thrown.stack);
    let frames = frames(stack, code);
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    }
    text.push_str(&frames);
    text
}

/// A line for each frame of an engine's stack that is in the app's own code, each after a line's end.
pub fn frames(stack: &str, code: &impl Places) -> String {
    let mut text = String::new();
    for frame in stack.lines().filter_map(Frame::parse) {
        if frame.is_internal(code) {
            continue;
        }
        let (file, line, column) = frame.original(code);
        let place = format!("{file}:{line}:{column}");
        // Writing to a text does not fail.
        let _ = match frame.function {
            "" | "<anonymous>" => write!(text, "\n    at <anonymous> ({place})"),
            function => write!(text, "\n    at {function} ({place})"),
        };
    }
    text
}

/// One line of an engine's stack.
struct Frame<'s> {
    function: &'s str,
    module: &'s str,
    line: u32,
    column: u32,
}

impl<'s> Frame<'s> {
    /// `    at f (rooms.js:12:5)`; frames of the engine itself have no place.
    fn parse(line: &'s str) -> Option<Frame<'s>> {
        let rest = line.trim_start().strip_prefix("at ")?;
        let (function, place) = match rest.rsplit_once(" (") {
            Some((function, place)) => (function, place.strip_suffix(')')?),
            None => ("", rest.strip_prefix("async ").unwrap_or(rest)),
        };
        let (place, column) = place.rsplit_once(':')?;
        let (module, line) = place.rsplit_once(':')?;
        Some(Frame {
            function,
            module,
            line: line.parse().ok()?,
            column: column.parse().ok()?,
        })
    }

    /// Frames of the server's own scripts and of the package's machinery do not help a developer.
    fn is_internal(&self, code: &impl Places) -> bool {
        if !code.has(self.module) {
            return true;
        }
        let (file, ..) = self.original(code);
        file.contains("node_modules/convex/")
    }

    fn original(&self, code: &impl Places) -> (String, u32, u32) {
        match code.original(self.module, self.line, self.column.saturating_sub(1)) {
            Some((source, line, column)) => (shown(&source), line, column),
            None => (format!("{FOLDER}{}", self.module), self.line, self.column),
        }
    }
}

/// A source as the bundler names it, relative to the developer's project.
fn shown(source: &str) -> String {
    match source.trim_start_matches("../") {
        rest if source.starts_with("../") => format!("../{rest}"),
        rest => format!("{FOLDER}{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_shape_are_read() {
        let read = |line| Frame::parse(line).map(|f| (f.function, f.module, f.line, f.column));
        assert_eq!(
            read("    at add (rooms.js:12:5)"),
            Some(("add", "rooms.js", 12, 5))
        );
        assert_eq!(
            read("    at <anonymous> (a/b.js:1:2)"),
            Some(("<anonymous>", "a/b.js", 1, 2))
        );
        assert_eq!(read("    at a/b.js:1:2"), Some(("", "a/b.js", 1, 2)));
        assert_eq!(read("    at async b.js:1:2"), Some(("", "b.js", 1, 2)));
        assert_eq!(read("    at async Promise.all (index 0)"), None);
        assert_eq!(read("    at JSON.parse (native)"), None);
        assert_eq!(read("nothing"), None);
    }
}
