//! Errors of imports and exports, in words for the requester.

use thiserror::Error;
use vestibule_schema::id::TableNumber;

use crate::database::{DatabaseError, QueryError};
use crate::files::FileError;
use crate::storage::StorageError;

/// Why an import or an export failed.
#[derive(Debug, Error)]
pub enum TransferError {
    /// A request about an import that cannot be.
    #[error("{0}")]
    BadRequest(&'static str),
    /// A token that no upload has.
    #[error("There is no such upload; start it again.")]
    UnknownUpload,
    /// Parts that are missing, too many or too long.
    #[error("The parts of the upload are wrong: {0}.")]
    BadParts(String),
    /// More uploads than may be under way.
    #[error("Too many imports are under way; finish or cancel one first.")]
    TooManyUploads,
    /// An id that no import has.
    #[error("There is no import {0}.")]
    UnknownImport(String),
    /// An id that no export has, or one that has expired.
    #[error("There is no export {0}.")]
    UnknownExport(String),
    /// The request is not allowed in this state.
    #[error("The import is {0}, so this cannot be done.")]
    WrongState(String),
    /// One export at a time.
    #[error("An export is in progress; wait for it or cancel it.")]
    ExportInProgress,
    /// An administrator cancelled it.
    #[error("Canceled")]
    Canceled,
    /// The process ended while it ran.
    #[error("The server was restarted before it was done; start it again.")]
    Interrupted,
    /// Kept for longer than imports are.
    #[error("The import was not confirmed within {0} days.")]
    Expired(u64),
    /// A document that cannot be read.
    #[error("{file}:{line}: {problem}")]
    Document {
        file: String,
        line: u64,
        problem: String,
    },
    /// A file that cannot be read as what it should be.
    #[error("{file}: {problem}")]
    File { file: String, problem: String },
    /// Something in an archive that is refused for safety.
    #[error("The archive is refused: {0}.")]
    Archive(String),
    /// A name that no table may have.
    #[error(
        "\"{0}\" is not a table name: letters, digits and underscores, 64 at the most, no underscore in front."
    )]
    TableName(String),
    /// The mode wants empty tables.
    #[error(
        "The table \"{0}\" already has documents: choose another table, or import with --append or --replace."
    )]
    TableExists(String),
    /// A number that no table of an app may have.
    #[error(
        "The table \"{table}\" cannot have the number {number}: numbers of tables go from 10001 to 2147483647."
    )]
    NumberOutside { table: String, number: TableNumber },
    /// Two tables would have the same number.
    #[error(
        "The table \"{table}\" has the number {number}, which here belongs to the table \"{holder}\": import with --replace-all, or rename it."
    )]
    NumberTaken {
        table: String,
        number: TableNumber,
        holder: String,
    },
    /// A table that is not imported refers to ids that would end.
    #[error(
        "The table \"{table}\" would have another number than before, and documents of \"{referrer}\" refer to it: import both."
    )]
    NumberReferred { table: String, referrer: String },
    /// The schema became another one while the import ran.
    #[error("The schema changed while the import ran; start it again.")]
    SchemaChanged,
    /// Documents could not be read or written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Files, the committer or the readers.
    #[error(transparent)]
    Files(#[from] FileError),
    /// The disk.
    #[error("the disk failed: {0}")]
    Io(#[from] std::io::Error),
    /// The archive cannot be read or written.
    #[error("The archive cannot be read: {0}.")]
    Zip(#[from] zip::result::ZipError),
}

impl TransferError {
    /// Its text for the log: where the fault is, and no value of a document.
    pub(super) fn for_log(&self) -> String {
        const WHAT: &str = "a document or a file that cannot be imported";
        match self {
            TransferError::Document { file, line, .. } => format!("{file}:{line}: {WHAT}"),
            TransferError::File { file, .. } => format!("{file}: {WHAT}"),
            TransferError::Database(DatabaseError::Query(_)) => WHAT.to_owned(),
            others => others.to_string(),
        }
    }
}

impl From<StorageError> for TransferError {
    fn from(error: StorageError) -> Self {
        TransferError::Database(error.into())
    }
}

impl From<QueryError> for TransferError {
    fn from(error: QueryError) -> Self {
        TransferError::Database(error.into())
    }
}

/// A fault of one document, before its place is known.
#[derive(Debug, Error)]
pub enum DocumentProblem {
    /// Something in it.
    #[error("{0}")]
    Text(String),
    /// The next step for it failed.
    #[error(transparent)]
    Other(#[from] TransferError),
}

impl From<String> for DocumentProblem {
    fn from(text: String) -> Self {
        DocumentProblem::Text(text)
    }
}
