//! Errors of the database room.
//!
//! Two kinds are kept apart because they have different readers. [`QueryError`] is the function's own doing, and the
//! function may catch it. [`StorageError`] is the server's trouble and ends the execution even if the function catches
//! it.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use vestibule_schema::convert::ConvertError;
use vestibule_schema::id::TableNumber;
use vestibule_schema::value::{ByteCount, ValueError};

use super::catalog::TABLES_MAX;
use super::namespaces::local_name;
use super::search::SEARCH_RESULTS_MAX;
use crate::storage::StorageError;

/// Why a database call failed.
#[derive(Clone, Debug, Error)]
pub enum DatabaseError {
    /// The call was wrong; the function that made it may catch this.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The store is in trouble. Remembered by the transaction: the execution fails even when the function goes on.
    #[error("the store failed: {0}")]
    Storage(Arc<StorageError>),
}

impl From<StorageError> for DatabaseError {
    fn from(error: StorageError) -> Self {
        DatabaseError::Storage(Arc::new(error))
    }
}

impl From<LimitError> for DatabaseError {
    fn from(error: LimitError) -> Self {
        DatabaseError::Query(error.into())
    }
}

/// A limit of one execution that was passed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LimitError {
    #[error("Too many documents read in a single function execution (limit: {0}). {READ_HELP}")]
    DocumentsRead(usize),
    #[error("Too many bytes read in a single function execution (limit: {0} bytes). {READ_HELP}")]
    BytesRead(usize),
    #[error("Too many reads in a single function execution (limit: {0}). {READ_HELP}")]
    RangesRead(usize),
    #[error("Too many writes in a single function execution (limit: {0})")]
    DocumentsWritten(usize),
    #[error("Too many bytes written in a single function execution (limit: {})", ByteCount(*.0))]
    BytesWritten(usize),
    #[error(
        "Too many entries of search and vector indexes written in a single function execution (limit: {0}). Each \
         distinct word of a text is an entry, once for the table and once for each filter field."
    )]
    IndexEntriesWritten(usize),
    #[error("Too many functions scheduled by this mutation (limit: {0})")]
    FunctionsScheduled(usize),
    #[error(
        "Too large total size of the arguments of scheduled functions from this mutation (limit: {0} bytes)"
    )]
    ScheduledArgsBytes(usize),
    #[error("Too many files {verb} in a single function execution (limit: {limit})")]
    Files { verb: &'static str, limit: usize },
    #[error("Too many bytes of files {verb} in a single function execution (limit: {})", ByteCount(*.limit))]
    FileBytes { verb: &'static str, limit: usize },
    #[error("Function execution timed out (maximum duration: {0:?})")]
    UserTime(Duration),
}

impl LimitError {
    /// Whether it bounds what is read, so that reading less would pass it.
    pub fn is_on_reads(&self) -> bool {
        match self {
            LimitError::DocumentsRead(_) | LimitError::BytesRead(_) | LimitError::RangesRead(_) => {
                true
            }
            LimitError::DocumentsWritten(_)
            | LimitError::BytesWritten(_)
            | LimitError::IndexEntriesWritten(_)
            | LimitError::FunctionsScheduled(_)
            | LimitError::ScheduledArgsBytes(_)
            | LimitError::Files { .. }
            | LimitError::FileBytes { .. }
            | LimitError::UserTime(_) => false,
        }
    }

    /// The code that clients see where texts are hidden too.
    pub fn code(&self) -> &'static str {
        match self {
            LimitError::DocumentsRead(_) => "TooManyDocumentsRead",
            LimitError::BytesRead(_) => "TooManyBytesRead",
            LimitError::RangesRead(_) => "TooManyReads",
            LimitError::DocumentsWritten(_) => "TooManyWrites",
            LimitError::BytesWritten(_) => "TooManyBytesWritten",
            LimitError::IndexEntriesWritten(_) => "TooManyIndexEntriesWritten",
            LimitError::UserTime(_) => "FunctionTimedOut",
            LimitError::FunctionsScheduled(_) => "TooManyFunctionsScheduled",
            LimitError::ScheduledArgsBytes(_) => "TooManyScheduledBytes",
            LimitError::Files { .. } => "TooManyFiles",
            LimitError::FileBytes { .. } => "TooManyFileBytes",
        }
    }
}

const READ_HELP: &str = "Consider using smaller limits in your queries, paginating your queries, or using indexed \
                         queries with a selective index range expressions.";

/// A database call that cannot be answered, in words for the developer who made it.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum QueryError {
    #[error(transparent)]
    Limit(#[from] LimitError),
    #[error(
        "Invalid argument `id` for `db.{method}`: expected to be an Id<\"{expected}\">, got Id<\"{found}\"> instead."
    )]
    IdOfOtherTable {
        method: &'static str,
        expected: String,
        found: String,
    },
    #[error("Invalid argument `id` for `db.{method}`: Table for ID \"{id}\" not found")]
    TableOfIdNotFound { method: &'static str, id: String },
    #[error("{verb} on nonexistent document ID {id}")]
    NonexistentDocument { verb: &'static str, id: String },
    #[error(
        "Table `{}` is not declared in the schema. Add it to the schema before writing to it.",
        local_name(.0)
    )]
    UnknownTable(String),
    #[error("Number of tables cannot exceed {TABLES_MAX}.")]
    TooManyTables,
    #[error(
        "Fields of the index \"{index}\" of table \"{table}\" cannot hold an unresolved commit timestamp, because it is unique."
    )]
    CommitTsInUniqueIndex { table: String, index: String },
    #[error("Index {}.{index} not found.", local_name(.table))]
    UnknownIndex { table: String, index: String },
    #[error("Index {}.{index} is currently backfilling and not available to query yet.", local_name(.table))]
    IndexBackfilling { table: String, index: String },
    #[error(
        "Index {}.{index} is currently staged and not available to query until it is enabled.",
        local_name(.table)
    )]
    IndexStaged { table: String, index: String },
    #[error("Query has too many operators: {0}")]
    TooManyOperators(usize),
    #[error("Index {table}.{index} is not a {kind} index")]
    IndexOfOtherKind {
        table: String,
        index: String,
        /// The kind that was wanted: `database`, `search` or `vector`.
        kind: &'static str,
    },
    #[error("{0}")]
    IndexRange(String),
    #[error("{0}")]
    Search(String),
    #[error(
        "Search query scanned too many documents (fetched {SEARCH_RESULTS_MAX}). Consider using a smaller limit, paginating the \
         query, or using a filter field to limit the number of documents pulled from the search index."
    )]
    TooManySearchResults,
    #[error("{0}")]
    VectorSearch(String),
    #[error("{0}")]
    InvalidDocument(ValueError),
    #[error("Provided document ID {stored} doesn't match '_id' field {provided}")]
    IdMismatch { stored: String, provided: String },
    #[error("Provided creation time {stored} doesn't match '_creationTime' field in {provided}")]
    CreationTimeMismatch { stored: String, provided: String },
    #[error(
        "Failed to insert or update a document in table \"{}\" because it does not match the schema: {reason}",
        local_name(.table)
    )]
    SchemaMismatch { table: String, reason: String },
    #[error(
        "Unique index \"{}.{index}\" already holds a document with {values}: {existing}. \
         Update that document, or catch this error where two writers may meet.",
        local_name(.table)
    )]
    UniqueViolation {
        table: String,
        index: String,
        values: String,
        existing: String,
    },
    #[error("unique() query returned more than one result from table {}:\n [{ids}]", local_name(.table))]
    NotUnique { table: String, ids: String },
    #[error("{0}")]
    Filter(String),
    #[error("InvalidCursor: Failed to parse cursor. Start again from the first page.")]
    UnreadableCursor,
    #[error(
        "InvalidCursor: Tried to run a query starting from a cursor, but it looks like this cursor is from a different \
         query. Start again from the first page."
    )]
    ForeignCursor,
    #[error("{0}")]
    Pagination(String),
    #[error("{0}")]
    Patch(String),
    #[error("A query cannot write. `db.{0}` needs a mutation.")]
    ReadOnly(&'static str),
    #[error("The document in table \"{table}\" does not fit the Rust type that reads it: {source}")]
    Convert { table: String, source: ConvertError },
    #[error(
        "the _id {id} is of the table number {number}, and the table \"{table}\" has {expected}"
    )]
    ImportedIdOfOtherTable {
        table: String,
        id: String,
        number: TableNumber,
        expected: TableNumber,
    },
    #[error("there is a document with the _id {id} already")]
    ImportedTwice { id: String },
    #[error("the _creationTime of {id} lies more than a day ahead")]
    ImportedFromTheFuture { id: String },
}

impl QueryError {
    /// The same of a table that its documents' owner knows by another name.
    pub(super) fn in_table(mut self, name: &str) -> QueryError {
        match &mut self {
            QueryError::ImportedIdOfOtherTable { table, .. }
            | QueryError::UniqueViolation { table, .. }
            | QueryError::SchemaMismatch { table, .. } => *table = name.to_string(),
            _ => {}
        }
        self
    }
}

/// Why the database did not open.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the schema is not valid: {0}")]
    Schema(#[from] vestibule_schema::table::SchemaError),
    #[error(
        "the catalog of this database cannot be read: {0}. Restore a backup, or start on an empty data directory."
    )]
    Catalog(String),
    #[error("{}", describe_misfits(.0))]
    Misfits(Vec<Misfit>),
    #[error("{}", describe_duplicates(.0))]
    Duplicates(Vec<Duplicate>),
    #[error("Number of tables cannot exceed 10000.")]
    TooManyTables,
    #[error(
        "the table `{0}` belongs to the schema that was pushed; take it out of the program's schema, or push a schema without it first"
    )]
    TableIsPushed(String),
}

/// A stored document that the schema does not allow.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Its table.
    pub table: String,
    /// Its id.
    pub id: String,
    /// Why it does not fit.
    pub reason: String,
}

/// Two stored documents that a unique index would not allow.
#[derive(Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// `table.index`.
    pub index: String,
    /// The indexed values both hold.
    pub values: String,
    /// Both ids.
    pub ids: [String; 2],
}

/// How many offending documents an error lists; the rest are counted by fixing these first.
pub const OFFENDERS_LISTED_MAX: usize = 20;

fn describe_misfits(misfits: &[Misfit]) -> String {
    let mut text = String::from("stored documents do not match the schema; nothing was changed:");
    for Misfit { table, id, reason } in misfits {
        text.push_str(&format!(
            "\nDocument with ID \"{id}\" in table \"{table}\" does not match the schema: {reason}"
        ));
    }
    text
}

fn describe_duplicates(duplicates: &[Duplicate]) -> String {
    let mut text = String::from(
        "a unique index cannot be built over the stored documents; nothing was changed:",
    );
    for Duplicate {
        index,
        values,
        ids: [first, second],
    } in duplicates
    {
        text.push_str(&format!(
            "\n\"{index}\" with {values}: {first} and {second}"
        ));
    }
    text
}
