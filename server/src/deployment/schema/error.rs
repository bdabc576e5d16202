//! Errors of a pushed schema, in Convex's words.

use thiserror::Error;
use vestibule_schema::table::SchemaError;

/// Why the schema of a push is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PushedSchemaError {
    #[error(
        "Default export from schema file isn't a Convex schema. To learn more, see the schema documentation at https://docs.convex.dev/database/schemas."
    )]
    NotSchema,
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error("In table \"{table}\" staged index \"{index}\" must have at least one field.")]
    NoStagedFields { table: String, index: String },
    #[error("Table \"{table}\": the staged validator is invalid: {reason}")]
    StagedDocument { table: String, reason: String },
}
