//! The language of both sides of Vestibule: values, document ids, validators, tables and indexes, key order, wire
//! messages, identity and the provisioning state machine. No I/O, no async; builds for wasm32.

#![warn(missing_docs)]

pub mod convert;
pub mod id;
pub mod identity;
pub mod json;
pub mod key;
pub mod path;
pub mod provisioning;
pub mod table;
pub mod timestamp;
pub mod trace;
pub mod validator;
pub mod value;
pub mod wire;

pub use id::{DocumentId, IdError, IdOf, InternalId, TableNumber};
pub use json::{JsonFormat, JsonFormatError};
pub use key::{KeyError, decode_key, encode_key, encode_object, encoded_size};
pub use path::{
    ComponentPath, FieldPath, FunctionPath, FunctionPathError, IdentifierError, check_identifier,
};
pub use value::{
    DocumentError, FieldNameError, Object, Value, ValueError, check_document, check_field_name,
    check_value, object_size,
};

pub use convert::{ConvertError, Nullable, from_document, from_value, to_field, to_value};
pub use table::{
    Index, IndexDefinition, IndexMethod, Schema, SchemaError, SearchIndex, Table, TableDefinition,
    VectorIndex,
};
pub use trace::{ArgsError, LearnError};
pub use validator::{Field, TableNames, ValidationError, Validator, ValidatorError};
