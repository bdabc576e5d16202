//! Reading an operation's arguments.

use super::{HostError, HostValue, type_error};

/// The arguments of one operation. Only the prelude passes them, so a wrong one is a fault of the prelude.
pub struct Arguments<'a>(&'a [HostValue]);

impl<'a> Arguments<'a> {
    pub fn new(values: &'a [HostValue]) -> Self {
        Arguments(values)
    }

    pub fn text(&self, position: usize) -> Result<&'a str, HostError> {
        match self.0.get(position) {
            Some(HostValue::String(text)) => Ok(text),
            _ => Err(wrong(position, "a string")),
        }
    }

    pub fn text_if_any(&self, position: usize) -> Result<Option<&'a str>, HostError> {
        match self.0.get(position) {
            None | Some(HostValue::Undefined | HostValue::Null) => Ok(None),
            Some(_) => self.text(position).map(Some),
        }
    }

    pub fn bytes(&self, position: usize) -> Result<&'a [u8], HostError> {
        match self.0.get(position) {
            Some(HostValue::Bytes(bytes)) => Ok(bytes),
            _ => Err(wrong(position, "bytes")),
        }
    }

    pub fn bytes_if_any(&self, position: usize) -> Result<&'a [u8], HostError> {
        match self.0.get(position) {
            None | Some(HostValue::Undefined | HostValue::Null) => Ok(&[]),
            Some(_) => self.bytes(position),
        }
    }

    pub fn number(&self, position: usize) -> Result<f64, HostError> {
        match self.0.get(position) {
            Some(HostValue::Number(number)) => Ok(*number),
            _ => Err(wrong(position, "a number")),
        }
    }

    /// A count: a whole number that is not negative and fits.
    pub fn count(&self, position: usize) -> Result<u32, HostError> {
        let number = self.number(position)?;
        let is_count = number >= 0.0 && number.fract() == 0.0 && number <= f64::from(u32::MAX);
        is_count
            .then_some(number as u32)
            .ok_or_else(|| wrong(position, "a count"))
    }

    pub fn flag(&self, position: usize) -> bool {
        matches!(self.0.get(position), Some(HostValue::Bool(true)))
    }
}

fn wrong(position: usize, expected: &str) -> HostError {
    type_error(format!("Argument {} must be {expected}", position + 1))
}
