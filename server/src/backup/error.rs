//! Why a backup was not made, checked or restored, in sentences that say what to do.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use uuid::Uuid;

use crate::files::FileError;
use crate::storage::StorageError;

/// Why a backup was not made, checked or restored.
#[derive(Debug, Error)]
pub enum BackupError {
    #[error("a backup of this deployment is being taken; wait for it, and try again")]
    InProgress,
    #[error("{} is there and is no backup; choose another place with --to", .0.display())]
    TargetExists(PathBuf),
    #[error("{path} is a backup of deployment {found}, and this is deployment {expected}; choose another place with --to", path = path.display())]
    OtherDeployment {
        path: PathBuf,
        found: Uuid,
        expected: Uuid,
    },
    #[error("{} is no backup: it has no backup.json. A backup that was cut short has none either; take another", .0.display())]
    NotABackup(PathBuf),
    #[error("{path} has format {found} and this Vestibule reads formats up to {supported}; use a newer Vestibule", path = path.display())]
    NewerFormat {
        path: PathBuf,
        found: u32,
        supported: u32,
    },
    #[error("{path} cannot be read: {reason}; take another backup", path = path.display())]
    Manifest { path: PathBuf, reason: String },
    #[error("another backup or restore works on {}; wait until it has ended", .0.display())]
    Busy(PathBuf),
    #[error("{} is not empty; restore into a directory that does not exist yet", .0.display())]
    Used(PathBuf),
    #[error(
        "the backup begins with commit {first}, at {begins}, which is after the time that --at names; use an older backup"
    )]
    TooEarly { first: u64, begins: String },
    #[error("the disk of {} is full; make room, and try again", .0.display())]
    DiskFull(PathBuf),
    #[error("{path} failed: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the backup ended early: the server stopped, or the connection was lost; nothing of it was kept"
    )]
    EndedEarly,
    #[error("the backup arrived damaged ({0}); nothing of it was kept")]
    Garbled(&'static str),
    #[error("the server could not go on: {0}; nothing of the backup was kept")]
    Refused(String),
    #[error("{count} problems were found, so this is not kept: {}", first.join("; "))]
    Unsound { count: u64, first: Vec<String> },
    /// The reader of what is sent has gone.
    #[error("the reader of the backup has gone")]
    ReaderGone,
    /// A content that was taken to be there already. The caller asks again for all contents.
    #[error("the content {0} of an earlier backup is missing")]
    ContentMissing(Uuid),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Files(#[from] FileError),
}

impl BackupError {
    /// Whether a server uses the data directory.
    pub fn is_in_use(&self) -> bool {
        matches!(self, BackupError::Storage(error) if error.is_in_use())
    }

    /// A failure at a path.
    pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> BackupError + use<> {
        let path = path.to_path_buf();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                BackupError::DiskFull(path.clone())
            }
            _ => BackupError::Io {
                path: path.clone(),
                source,
            },
        }
    }
}
