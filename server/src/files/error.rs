//! Errors of the files room, in the words for their recipient.

use std::time::Duration;

use thiserror::Error;
use uuid::Uuid;

use crate::database::{CommitError, DatabaseError, ReadersError};

/// Why a call about files failed.
#[derive(Debug, Error)]
pub enum FileError {
    /// A text that names no file.
    #[error(
        "Invalid argument `storageId` for `{api}`: Invalid storage ID: \"{given}\". Storage ID should be an Id of '_storage' table, or a UUID string."
    )]
    InvalidId { api: &'static str, given: String },
    /// A document's id, but of another table.
    #[error(
        "Invalid argument `storageId` for `{api}`: Invalid storage ID. Storage ID cannot be an ID on any table other than '_storage'."
    )]
    IdOfOtherTable { api: &'static str },
    /// The file to delete does not exist.
    #[error("storage id {0} not found")]
    NotFound(String),
    /// The content that arrived is not the announced one.
    #[error("Sha256 mismatch. Expected: {expected} Actual: {actual}")]
    Sha256Mismatch { expected: String, actual: String },
    /// An announced SHA-256 that cannot be read.
    #[error("A SHA-256 is 32 bytes in base64, and \"{0}\" is not.")]
    InvalidSha256(String),
    /// A content type that no header can carry.
    #[error("A content type has at most {max} visible characters.")]
    InvalidContentType { max: usize },
    /// An upload URL that this deployment did not make, or made for another identity.
    #[error("Store File Authorization is invalid")]
    InvalidToken,
    /// An upload URL that was valid until some time ago.
    #[error("Store File Authorization expired")]
    TokenExpired,
    /// One file has too many bytes.
    #[error("File is too large (maximum size {max} bytes)")]
    TooLarge { max: u64 },
    /// All files together have too many bytes.
    #[error("There is no room for the file: all files together may have {max} bytes.")]
    QuotaExceeded { max: u64 },
    /// More uploads or downloads than may run at once.
    #[error("Too many files are on their way: try again in a moment.")]
    TooManyAtOnce,
    /// The sender of the file stopped.
    #[error("The file ended early.")]
    EndedEarly,
    /// Nothing more of the file came for this long, or all of it took longer.
    #[error("The file took too long to arrive (limit: {} seconds).", .0.as_secs())]
    TooSlow(Duration),
    /// A document without content. Nothing here leaves one behind: another program or person changed the directory.
    #[error("the content of the file {0} is missing")]
    ContentMissing(Uuid),
    /// The place where content is kept is in trouble.
    #[error("the file store failed: {0}")]
    Store(#[from] object_store::Error),
    /// Content cannot be read from or written to the disk.
    #[error("the file store failed: {0}")]
    Io(#[from] std::io::Error),
    /// A document could not be read or written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The document left no trace because its batch was not committed.
    #[error("{0}")]
    NotCommitted(#[from] CommitError),
    /// The mutation queue is full.
    #[error("too many mutations are waiting to run")]
    CommitterFull,
    /// The query queue is full, or the server is ending.
    #[error(transparent)]
    Readers(#[from] ReadersError),
    /// The server is ending.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl FileError {
    /// Whether the server is in trouble, rather than the call wrong.
    pub fn is_trouble(&self) -> bool {
        match self {
            FileError::InvalidId { .. }
            | FileError::IdOfOtherTable { .. }
            | FileError::NotFound(_)
            | FileError::Sha256Mismatch { .. }
            | FileError::InvalidSha256(_)
            | FileError::InvalidContentType { .. }
            | FileError::InvalidToken
            | FileError::TokenExpired
            | FileError::TooLarge { .. }
            | FileError::QuotaExceeded { .. }
            | FileError::TooManyAtOnce
            | FileError::EndedEarly
            | FileError::TooSlow(_) => false,
            FileError::ContentMissing(_)
            | FileError::Store(_)
            | FileError::Io(_)
            | FileError::Database(_)
            | FileError::NotCommitted(_)
            | FileError::CommitterFull
            | FileError::Readers(_)
            | FileError::ShuttingDown => true,
        }
    }
}
