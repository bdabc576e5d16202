//! Errors of a pushed schema, in Convex's words.

use thiserror::Error;
use vestibule_schema::table::SchemaError;

use super::indexes::{DIMENSIONS, FILTER_FIELDS_MAX, INDEXES_MAX};

/// Why the schema of a push is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PushedSchemaError {
    #[error(
        "Default export from schema file isn't a Convex schema. To learn more, see the schema documentation at https://docs.convex.dev/database/schemas."
    )]
    NotSchema,
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error("In table \"{table}\" {kind}index \"{index}\" must have at least one field.")]
    NoFields {
        table: String,
        /// Empty, or `staged ` .
        kind: &'static str,
        index: String,
    },
    #[error("Table \"{table}\": the staged validator is invalid: {reason}")]
    StagedDocument { table: String, reason: String },
    #[error("Table \"{table}\" has an index that cannot be read: {found}")]
    Shape { table: String, found: String },
    #[error("Table \"{table}\" has two or more definitions of index \"{index}\".")]
    DuplicateIndex { table: String, index: String },
    #[error("Table \"{0}\" cannot have more than {INDEXES_MAX} indexes.")]
    TooManyIndexes(String),
    #[error("In index \"{index}\": Invalid index field: {field:?}")]
    FieldSyntax { index: String, field: String },
    #[error("{kind} indexes may have up to {FILTER_FIELDS_MAX} filter fields.")]
    TooManyFilterFields {
        /// `Search` or `Vector`.
        kind: &'static str,
    },
    #[error("Dimensions {0} must be between {min} and {max}.", min = DIMENSIONS.start(), max = DIMENSIONS.end())]
    Dimensions(String),
    #[error(
        "In table \"{table}\" {kind} index \"{first}\" and {kind} index \"{second}\" have the same fields. Indexes must be unique within a table."
    )]
    SameFields {
        table: String,
        /// `search` or `vector`.
        kind: &'static str,
        first: String,
        second: String,
    },
    #[error(
        "In table \"{table}\" the {kind} index \"{index}\" is invalid because it references the field \"{field}\" that {problem}."
    )]
    Field {
        table: String,
        kind: &'static str,
        index: String,
        field: String,
        problem: &'static str,
    },
}
