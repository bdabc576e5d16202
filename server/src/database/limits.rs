//! What one query or mutation may read and write, and what it has used.

use super::error::LimitError;

/// Bounds of one function execution, nested calls included. The defaults are the figures that Convex documents.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Documents read.
    pub documents_read_max: usize,
    /// Bytes of documents read.
    pub bytes_read_max: usize,
    /// Distinct index ranges read, overlapping ones merged.
    pub ranges_read_max: usize,
    /// Documents written; each write of one document counts.
    pub documents_written_max: usize,
    /// Bytes of documents written.
    pub bytes_written_max: usize,
    /// Bytes of a function's arguments, and of its result.
    pub args_bytes_max: usize,
    /// Milliseconds that a query's or mutation's own code may take, checked at every database call.
    pub user_millis_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            documents_read_max: 32_000,
            bytes_read_max: 16 << 20,
            ranges_read_max: 4_096,
            documents_written_max: 16_000,
            bytes_written_max: 16 << 20,
            args_bytes_max: 16 << 20,
            user_millis_max: 1_000,
        }
    }
}

/// What an execution has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Documents read.
    pub documents_read: usize,
    /// Bytes of documents read.
    pub bytes_read: usize,
    /// Documents written.
    pub documents_written: usize,
    /// Bytes of documents written.
    pub bytes_written: usize,
}

impl Usage {
    /// Counts a document of `bytes` bytes as read.
    pub fn read(&mut self, bytes: usize, limits: &Limits) -> Result<(), LimitError> {
        self.documents_read += 1;
        self.bytes_read += bytes;
        if self.documents_read > limits.documents_read_max {
            return Err(LimitError::DocumentsRead(limits.documents_read_max));
        }
        if self.bytes_read > limits.bytes_read_max {
            return Err(LimitError::BytesRead(limits.bytes_read_max));
        }
        Ok(())
    }

    /// Counts a write of `bytes` bytes to one document.
    pub fn write(&mut self, bytes: usize, limits: &Limits) -> Result<(), LimitError> {
        self.documents_written += 1;
        self.bytes_written += bytes;
        if self.documents_written > limits.documents_written_max {
            return Err(LimitError::DocumentsWritten(limits.documents_written_max));
        }
        if self.bytes_written > limits.bytes_written_max {
            return Err(LimitError::BytesWritten(limits.bytes_written_max >> 20));
        }
        Ok(())
    }
}
