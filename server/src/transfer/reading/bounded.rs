//! A reader that fails before one document fills the memory.

use std::cell::Cell;
use std::io::{Error, Read, Result};

use super::DOCUMENT_TEXT_BYTES_MAX;

/// Fails when more is read of one document than any document has.
pub struct Bounded<'c, R> {
    pub reader: R,
    /// Bytes since the last document. The parser sets it back.
    pub bytes: &'c Cell<usize>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes.set(self.bytes.get() + read);
        match self.bytes.get() > DOCUMENT_TEXT_BYTES_MAX {
            true => Err(Error::other(too_long())),
            false => Ok(read),
        }
    }
}

/// The problem of such a document.
pub fn too_long() -> String {
    format!("a document of more than {DOCUMENT_TEXT_BYTES_MAX} bytes")
}
