//! Errors of the storage room, each with a sentence that says what to do.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::ffi;

impl StorageError {
    /// Whether another process holds the data directory.
    pub fn is_in_use(&self) -> bool {
        matches!(self, StorageError::InUse { .. })
    }
}

/// A failure of the storage room.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another process holds the data directory.
    #[error("the data directory {} is in use by another process; stop that one or choose another directory", dir.display())]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// The data directory cannot be created or written.
    #[error("the data directory {} cannot be written ({source}); check that it is a directory and who owns it", dir.display())]
    Unwritable {
        /// The data directory.
        dir: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The database file is not a SQLite file, or its first page is damaged.
    #[error("{} is not a Vestibule database, or its first page is damaged; restore it from a backup or choose another directory", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The database file could not be made. SQLite does not tell a failed disk and a lock of another program apart here.
    #[error("{} could not be made: the disk failed, or another program has the file open; look at the system's log and start again", path.display())]
    NotMade {
        /// The file.
        path: PathBuf,
    },
    /// There is no database.
    #[error("{} holds no database", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// The database file has no bytes.
    #[error("{} is empty; restore it from a backup, or remove it to start a new deployment", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is a SQLite database of some other program.
    #[error("{} is a SQLite database of another program; choose another directory", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer Vestibule.
    #[error("{} has format {found} and this Vestibule reads formats up to {supported}; run a newer Vestibule", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The file's format version.
        found: i64,
        /// The newest this program reads.
        supported: i64,
    },
    /// The SQLite library linked in is too old to be trusted with commits.
    #[error("SQLite {found} can lose commits; Vestibule needs SQLite {needed} or newer")]
    OldSqlite {
        /// Version of the linked library.
        found: String,
        /// The oldest version accepted.
        needed: &'static str,
    },
    /// SQLite did not take a setting that durability rests on.
    #[error(
        "SQLite answered {found:?} when {setting} was set to {wanted:?}; the file system may not support it"
    )]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// The value it was set to.
        wanted: String,
        /// The value it then read as.
        found: String,
    },
    /// A stored value does not match its checksum. Never served, never skipped.
    #[error("a stored entry is damaged (key {})", hex(key))]
    CorruptedEntry {
        /// The entry's key.
        key: Bytes,
    },
    /// A row of the commit log does not match its checksum or its place in the order.
    #[error("the commit log is damaged at {ts}: {what}; restore the database from a backup")]
    CorruptedLog {
        /// The row's last timestamp, as stored.
        ts: i64,
        /// The part that does not fit.
        what: &'static str,
    },
    /// The file's structure or bookkeeping is damaged.
    #[error("the database file is damaged: {what}; restore it from a backup")]
    Damaged {
        /// The damage found.
        what: String,
    },
    /// Damage of the write-ahead log hides acknowledged commits.
    #[error(
        "{} is damaged at byte {at}: acknowledged commits after {kept}, up to {newest} at least, are behind the damage and \
         cannot be read. Restore a backup. Or lose these commits for good: start with --lose-commits-after {kept}, which keeps \
         a copy of the damaged log",
        path.display()
    )]
    HiddenCommits {
        /// The write-ahead log.
        path: PathBuf,
        /// The first byte that does not fit.
        at: u64,
        /// The last commit that can be read.
        kept: u64,
        /// The newest commit that was found behind the damage.
        newest: u64,
    },
    /// No room for a write.
    #[error("the disk is full; writes resume when space returns")]
    DiskFull,
    /// An fsync failed: what was written before it may or may not survive. The process must end.
    #[error("the disk failed to sync ({0}); what it holds is unknown until a restart")]
    SyncFailed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A write or a sync failed before with an unknown outcome, perhaps on another thread; nothing is written any more.
    #[error("nothing is written any more after an earlier failure: {0}; restart the process")]
    Stopped(Arc<str>),
    /// Some other program is moving the write-ahead log.
    #[error("another program holds the checkpoint lock of the database file; end that program")]
    CheckpointLocked,
    /// A read transaction never met an overlay that fits it. It would take a fold and a publication within each of
    /// many attempts in a row.
    #[error("no consistent snapshot could be taken; try again")]
    SnapshotContended,
    /// A stored entry passes its checksum and still cannot be what its reader expects there.
    #[error("a stored entry is damaged (key {}): {what}", hex(key))]
    Misplaced {
        /// The entry's key.
        key: Bytes,
        /// The part that does not fit.
        what: &'static str,
    },
    /// The batch ran on top of one that was not committed.
    #[error("an earlier write was not committed; try again")]
    RolledBack,
    /// The system refused a thread.
    #[error("a thread could not be started: {0}")]
    Thread(#[source] io::Error),
    /// Any other failure of SQLite.
    #[error("SQLite failed: {0}")]
    Sqlite(#[source] rusqlite::Error),
}

/// Why a batch was not appended, in the two ways a caller must tell apart.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The batch can never become visible. The appender works on; a later append may succeed.
    #[error("not committed: {0}")]
    NotCommitted(#[source] StorageError),
    /// The batch may or may not survive a restart. Nothing may be answered, and the process must end.
    #[error("the outcome of the commit is unknown: {0}")]
    Unknown(#[source] StorageError),
}

impl StorageError {
    /// A stored entry that is not what its reader expects at `key`.
    pub fn misplaced(key: &Bytes, what: &'static str) -> Self {
        Self::Misplaced {
            key: key.clone(),
            what,
        }
    }

    /// Whether what the disk holds is unknown from here on, so that the process must end.
    pub fn must_end_process(&self) -> bool {
        matches!(self, Self::SyncFailed(_) | Self::Stopped(_))
    }

    /// Whether this is stored data found damaged.
    pub fn is_corruption(&self) -> bool {
        matches!(
            self,
            Self::CorruptedEntry { .. }
                | Self::Misplaced { .. }
                | Self::CorruptedLog { .. }
                | Self::Damaged { .. }
                | Self::HiddenCommits { .. }
                | Self::NotADatabase { .. }
        )
    }

    /// Whether a write was refused by the system, as against a sync or anything else. In WAL mode every write of a
    /// transaction, its commit frame included, comes before its sync and before the commit is visible. A frame that was
    /// not written whole fails its checksum. So a COMMIT that failed this way did not commit.
    pub(super) fn is_failed_write(&self) -> bool {
        match self {
            Self::DiskFull => true,
            Self::Sqlite(error) => extended_code(error) == Some(ffi::SQLITE_IOERR_WRITE),
            _ => false,
        }
    }

    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        match extended_code(&error) {
            Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC) => {
                Self::SyncFailed(error.into())
            }
            Some(code) if code & 0xff == ffi::SQLITE_FULL => Self::DiskFull,
            Some(code) if matches!(code & 0xff, ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB) => {
                Self::damaged(error.to_string())
            }
            _ => Self::Sqlite(error),
        }
    }
}

impl From<rusqlite::types::FromSqlError> for StorageError {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Self::damaged(format!("a column has an unexpected type ({error})"))
    }
}

pub(super) fn extended_code(error: &rusqlite::Error) -> Option<i32> {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => Some(failure.extended_code),
        _ => None,
    }
}

/// The first bytes of a key, enough to find it and not enough to print a document.
fn hex(key: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 32;
    let shown = &key[..key.len().min(SHOWN_BYTES_MAX)];
    let mut text = data_encoding::HEXLOWER.encode(shown);
    if shown.len() < key.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> StorageError {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into()
    }

    #[test]
    fn a_failed_sync_is_told_apart_from_a_failed_write() {
        assert!(failure(ffi::SQLITE_IOERR_FSYNC).must_end_process());
        assert!(failure(ffi::SQLITE_IOERR_DIR_FSYNC).must_end_process());
        assert!(!failure(ffi::SQLITE_IOERR_FSYNC).is_failed_write());
        assert!(failure(ffi::SQLITE_FULL).is_failed_write());
        assert!(failure(ffi::SQLITE_IOERR_WRITE).is_failed_write());
        assert!(!failure(ffi::SQLITE_IOERR_SHMSIZE).is_failed_write());
        assert!(!failure(ffi::SQLITE_IOERR_READ).is_failed_write());
    }

    #[test]
    fn damage_found_by_sqlite_is_damage() {
        assert!(failure(ffi::SQLITE_CORRUPT).is_corruption());
        assert!(failure(ffi::SQLITE_NOTADB).is_corruption());
        assert!(!failure(ffi::SQLITE_IOERR_READ).is_corruption());
    }
}
