//! The reads and writes that one query or mutation may do, and those it has used.

use serde::Deserialize;

use super::error::LimitError;

/// Bounds of one function execution, nested calls included. The defaults are the figures that Convex documents, but for
/// those on files and on entries of indexes, which it does not.
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
    /// Entries of search and vector indexes that are written or removed. A commit of many more would have the server
    /// forget which commits touched what, and run every live query again.
    pub index_entries_written_max: usize,
    /// Functions that a mutation schedules.
    pub functions_scheduled_max: usize,
    /// Bytes of the arguments of those functions.
    pub scheduled_args_bytes_max: usize,
    /// Files that a mutation stores.
    pub files_written_max: usize,
    /// Bytes of those files.
    pub file_bytes_written_max: usize,
    /// Files whose content a mutation reads.
    pub files_read_max: usize,
    /// Bytes of that content.
    pub file_bytes_read_max: usize,
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
            index_entries_written_max: 400_000,
            functions_scheduled_max: 1_000,
            scheduled_args_bytes_max: 16 << 20,
            files_written_max: 1_000,
            file_bytes_written_max: 64 << 20,
            files_read_max: 1_000,
            file_bytes_read_max: 64 << 20,
            args_bytes_max: 16 << 20,
            user_millis_max: 1_000,
        }
    }
}

/// The usage of an execution so far.
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
    /// Entries of search and vector indexes written or removed.
    pub index_entries_written: usize,
    /// Functions scheduled.
    pub functions_scheduled: usize,
    /// Bytes of their arguments.
    pub scheduled_args_bytes: usize,
    /// Files stored.
    pub files_written: usize,
    /// Bytes of those files.
    pub file_bytes_written: usize,
    /// Files whose content was read.
    pub files_read: usize,
    /// Bytes of that content.
    pub file_bytes_read: usize,
    /// Whether the current reads and writes are the server's own, and not charged.
    pub(super) is_uncharged: bool,
}

impl Usage {
    /// This usage with the writes of an earlier moment: later ones were taken back. Functions that were scheduled stay
    /// counted, so that failures cannot schedule without bound.
    pub(super) fn with_writes_of(self, earlier: &Usage) -> Usage {
        Usage {
            documents_written: earlier.documents_written,
            bytes_written: earlier.bytes_written,
            index_entries_written: earlier.index_entries_written,
            files_written: earlier.files_written,
            file_bytes_written: earlier.file_bytes_written,
            ..self
        }
    }
}

/// The most a nested call may use, counted from where it begins. A bound that is not named is the caller's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Budget {
    pub bytes_read: Option<f64>,
    pub bytes_written: Option<f64>,
    pub database_queries: Option<f64>,
    pub documents_read: Option<f64>,
    pub documents_written: Option<f64>,
    pub functions_scheduled: Option<f64>,
    pub scheduled_function_args_bytes: Option<f64>,
    pub files_written: Option<f64>,
    pub file_write_bytes: Option<f64>,
    pub files_read: Option<f64>,
    pub file_read_bytes: Option<f64>,
}

impl Limits {
    /// These bounds for a call that may use no more than `budget` beyond what is used already.
    pub fn lowered(self, budget: &Budget, usage: &Usage, ranges_read: usize) -> Limits {
        let lower = |max: usize, used: usize, budget: Option<f64>| match budget {
            // A number below zero becomes zero, one beyond all bounds the largest.
            Some(budget) => max.min(used.saturating_add(budget as usize)),
            None => max,
        };
        Limits {
            documents_read_max: lower(
                self.documents_read_max,
                usage.documents_read,
                budget.documents_read,
            ),
            bytes_read_max: lower(self.bytes_read_max, usage.bytes_read, budget.bytes_read),
            ranges_read_max: lower(self.ranges_read_max, ranges_read, budget.database_queries),
            documents_written_max: lower(
                self.documents_written_max,
                usage.documents_written,
                budget.documents_written,
            ),
            bytes_written_max: lower(
                self.bytes_written_max,
                usage.bytes_written,
                budget.bytes_written,
            ),
            index_entries_written_max: self.index_entries_written_max,
            functions_scheduled_max: lower(
                self.functions_scheduled_max,
                usage.functions_scheduled,
                budget.functions_scheduled,
            ),
            scheduled_args_bytes_max: lower(
                self.scheduled_args_bytes_max,
                usage.scheduled_args_bytes,
                budget.scheduled_function_args_bytes,
            ),
            files_written_max: lower(
                self.files_written_max,
                usage.files_written,
                budget.files_written,
            ),
            file_bytes_written_max: lower(
                self.file_bytes_written_max,
                usage.file_bytes_written,
                budget.file_write_bytes,
            ),
            files_read_max: lower(self.files_read_max, usage.files_read, budget.files_read),
            file_bytes_read_max: lower(
                self.file_bytes_read_max,
                usage.file_bytes_read,
                budget.file_read_bytes,
            ),
            args_bytes_max: self.args_bytes_max,
            user_millis_max: self.user_millis_max,
        }
    }
}

impl Usage {
    /// Counts a document of `bytes` bytes as read.
    pub fn read(&mut self, bytes: usize, limits: &Limits) -> Result<(), LimitError> {
        if self.is_uncharged {
            return Ok(());
        }
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
        if self.is_uncharged {
            return Ok(());
        }
        self.documents_written += 1;
        self.bytes_written += bytes;
        if self.documents_written > limits.documents_written_max {
            return Err(LimitError::DocumentsWritten(limits.documents_written_max));
        }
        if self.bytes_written > limits.bytes_written_max {
            return Err(LimitError::BytesWritten(limits.bytes_written_max));
        }
        Ok(())
    }

    /// Counts entries of search and vector indexes that are written or removed.
    pub fn write_entries(&mut self, entries: usize, limits: &Limits) -> Result<(), LimitError> {
        if self.is_uncharged {
            return Ok(());
        }
        self.index_entries_written += entries;
        let max = limits.index_entries_written_max;
        match self.index_entries_written > max {
            true => Err(LimitError::IndexEntriesWritten(max)),
            false => Ok(()),
        }
    }

    /// Counts a function that is scheduled with `bytes` bytes of arguments.
    pub fn schedule(&mut self, bytes: usize, limits: &Limits) -> Result<(), LimitError> {
        self.functions_scheduled += 1;
        self.scheduled_args_bytes += bytes;
        if self.functions_scheduled > limits.functions_scheduled_max {
            return Err(LimitError::FunctionsScheduled(
                limits.functions_scheduled_max,
            ));
        }
        if self.scheduled_args_bytes > limits.scheduled_args_bytes_max {
            return Err(LimitError::ScheduledArgsBytes(
                limits.scheduled_args_bytes_max,
            ));
        }
        Ok(())
    }

    /// Counts a file of `bytes` bytes that is stored.
    pub fn write_file(&mut self, bytes: usize, limits: &Limits) -> Result<(), LimitError> {
        self.files_written += 1;
        self.file_bytes_written = self.file_bytes_written.saturating_add(bytes);
        let maxima = [limits.files_written_max, limits.file_bytes_written_max];
        let used = [self.files_written, self.file_bytes_written];
        check_files("written", used, maxima)
    }

    /// Counts a file of `bytes` bytes whose content is read.
    pub fn read_file(&mut self, bytes: usize, limits: &Limits) -> Result<(), LimitError> {
        self.files_read += 1;
        self.file_bytes_read = self.file_bytes_read.saturating_add(bytes);
        let maxima = [limits.files_read_max, limits.file_bytes_read_max];
        check_files("read", [self.files_read, self.file_bytes_read], maxima)
    }
}

fn check_files(
    verb: &'static str,
    [files, bytes]: [usize; 2],
    [files_max, bytes_max]: [usize; 2],
) -> Result<(), LimitError> {
    match (files > files_max, bytes > bytes_max) {
        (true, _) => Err(LimitError::Files {
            verb,
            limit: files_max,
        }),
        (false, true) => Err(LimitError::FileBytes {
            verb,
            limit: bytes_max,
        }),
        (false, false) => Ok(()),
    }
}
