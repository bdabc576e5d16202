//! Why a Rust type and a value do not fit, and where.

use std::fmt;

use serde::{de, ser};

/// A part of a value that does not fit its Rust type, or the other way round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertError {
    path: String,
    reason: String,
}

impl ConvertError {
    pub(super) fn new(reason: impl fmt::Display) -> Self {
        ConvertError {
            path: String::new(),
            reason: reason.to_string(),
        }
    }

    /// The way to the part, as in `.a[0].b`; empty for the whole.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The fault of the part.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub(super) fn in_field(mut self, name: &str) -> Self {
        self.path = format!(".{name}{}", self.path);
        self
    }

    pub(super) fn in_element(mut self, index: usize) -> Self {
        self.path = format!("[{index}]{}", self.path);
        self
    }
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.is_empty() {
            true => f.write_str(&self.reason),
            false => write!(f, "at `{}`: {}", self.path, self.reason),
        }
    }
}

impl std::error::Error for ConvertError {}

impl de::Error for ConvertError {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        ConvertError::new(reason)
    }
}

impl ser::Error for ConvertError {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        ConvertError::new(reason)
    }
}
