//! Errors of a schema, in Convex's words.

use super::validate::{DIMENSIONS, FILTER_FIELDS_MAX, INDEX_FIELDS_MAX, INDEXES_MAX, TABLES_MAX};
use crate::path::IDENTIFIER_LENGTH_MAX;
use crate::trace::LearnError;
use crate::validator::ValidatorError;

/// Why a schema is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SchemaError {
    #[error("Number of tables cannot exceed {TABLES_MAX}.")]
    TooManyTables,
    #[error(
        "Invalid table name: {0:?}. Identifiers must be {IDENTIFIER_LENGTH_MAX} characters or less, start with a letter, and only contain letters, digits, underscores."
    )]
    TableName(String),
    #[error("Invalid table name {0} starts with metadata prefix '_'")]
    ReservedTableName(String),
    #[error("Table \"{0}\" is defined more than once.")]
    DuplicateTable(String),
    #[error("Table \"{table}\": {reason}")]
    Document {
        table: String,
        reason: ValidatorError,
    },
    #[error("Table \"{table}\": {reason} with `Table::document_validator`")]
    Unlearnt { table: String, reason: LearnError },
    #[error(
        "Invalid index name: {0:?}. Identifiers must be {IDENTIFIER_LENGTH_MAX} characters or less, start with a letter, and only contain letters, digits, underscores."
    )]
    IndexName(String),
    #[error(
        "In table \"{table}\" cannot name an index \"{index}\" because the name is reserved. Indexes may not start with an underscore or be named \"by_id\" or \"by_creation_time\"."
    )]
    ReservedIndexName { table: String, index: String },
    #[error("In table \"{table}\" index \"{index}\" must have at least one field.")]
    NoFields { table: String, index: String },
    /// `_creationTime`, which ends every index, counts as one of the fields.
    #[error("Indexes may have up to {INDEX_FIELDS_MAX} fields.")]
    TooManyFields,
    #[error("In index \"{index}\": Invalid index field: {field:?}")]
    FieldSyntax { index: String, field: String },
    #[error("`_id` is not a valid index field. To load documents by ID, use `db.get(id)`.")]
    IdField,
    #[error(
        "`_creationTime` is automatically added to the end of each index. Remove it from the fields that the index lists."
    )]
    CreationTimeField,
    #[error("Reserved fields (starting with `_`) are not allowed in indexes.")]
    ReservedField,
    #[error("Duplicate field \"{0}\". Index fields must be unique within an index.")]
    DuplicateField(String),
    #[error(
        "In table \"{table}\" {kind}index \"{first}\" and {kind}index \"{second}\" have the same fields. Indexes must be unique within a table."
    )]
    SameFields {
        table: String,
        /// Empty, `search ` or `vector `.
        kind: &'static str,
        first: String,
        second: String,
    },
    #[error("Table \"{table}\" has two or more definitions of index \"{index}\".")]
    DuplicateIndex { table: String, index: String },
    #[error("Table \"{0}\" cannot have more than {INDEXES_MAX} indexes.")]
    TooManyIndexes(String),
    #[error(
        "In table \"{table}\" the {kind}index \"{index}\" is invalid because it references the field \"{field}\" that {problem}."
    )]
    UnfitField {
        table: String,
        /// Empty, `search ` or `vector `.
        kind: &'static str,
        index: String,
        field: String,
        problem: &'static str,
    },
    #[error("{kind} indexes may have up to {FILTER_FIELDS_MAX} filter fields.")]
    TooManyFilterFields {
        /// `Search` or `Vector`.
        kind: &'static str,
    },
    #[error("Dimensions {0} must be between {min} and {max}.", min = DIMENSIONS.start(), max = DIMENSIONS.end())]
    Dimensions(String),
    /// Carries the schema's own word for the kind of index.
    #[error("Table \"{table}\" declares `{kind}`, which this server does not support.")]
    UnsupportedIndexes { table: String, kind: &'static str },
    #[error("Invalid schema: expected {expected}, found {found}")]
    Shape {
        expected: &'static str,
        found: String,
    },
}
