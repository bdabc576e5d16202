//! Validators: the shapes that values must have. Functions declare them for arguments and results, tables for
//! documents. This file has the shapes and their text; `check` holds a value against one, `json` is the exported
//! form.

mod check;
mod json;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crate::path::FieldPath;
use crate::value::Value;

pub use check::{TableNames, ValidationError};
pub use json::ValidatorError;

/// The shape a value must have, with the same nodes as Convex's `v` builders.
#[derive(Clone, Debug, PartialEq)]
pub enum Validator {
    /// `null`.
    Null,
    /// A boolean.
    Boolean,
    /// Any float64, NaN included; an int64 never matches.
    Number,
    /// Any int64.
    Bigint,
    /// A commit timestamp, an int64 once committed.
    CommitTs,
    /// A text.
    String,
    /// Bytes.
    Bytes,
    /// Every value.
    Any,
    /// The id of a document of this table. The document need not exist.
    Id {
        /// The table of the document.
        table: String,
    },
    /// Exactly this string, boolean, number or int64, equal in the total order (`-0.0` is not `0.0`).
    Literal(Value),
    /// The handle of a function, as in `function://…`. The function need not exist, nor be what is declared here.
    Function(Box<FunctionType>),
    /// An array whose every element matches.
    Array(Box<Validator>),
    /// An object with exactly these fields.
    Object(BTreeMap<String, Field>),
    /// An object with any keys and values that match.
    Record {
        /// The validator of each key.
        keys: Box<Validator>,
        /// The validator of each value.
        values: Box<Validator>,
    },
    /// A value that matches at least one of these; none matches the empty union.
    Union(Vec<Validator>),
}

/// The declared type of the function behind a handle. Nothing of it is checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FunctionType {
    /// `query`, `mutation` or `action`.
    pub kind: Option<String>,
    /// Its arguments.
    pub args: Option<Validator>,
    /// Its result.
    pub returns: Option<Validator>,
}

/// One declared field of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The validator of its value.
    pub validator: Validator,
    /// Whether the field may be absent. Absent is not null: a present null must match `validator`.
    pub optional: bool,
}

impl Field {
    /// A field that must be there.
    pub fn required(validator: Validator) -> Self {
        let optional = false;
        Field {
            validator,
            optional,
        }
    }

    /// A field that may be absent.
    pub fn optional(validator: Validator) -> Self {
        let optional = true;
        Field {
            validator,
            optional,
        }
    }
}

impl Validator {
    /// The id of a document of `table`.
    pub fn id(table: impl Into<String>) -> Self {
        let table = table.into();
        Validator::Id { table }
    }

    /// An array of `element`.
    pub fn array(element: Validator) -> Self {
        Validator::Array(Box::new(element))
    }

    /// An object with exactly these fields.
    pub fn object<K: Into<String>>(fields: impl IntoIterator<Item = (K, Field)>) -> Self {
        let fields = fields.into_iter().map(|(name, field)| (name.into(), field));
        Validator::Object(fields.collect())
    }

    /// An object with any keys that match `keys`, each with a value that matches `values`.
    pub fn record(keys: Validator, values: Validator) -> Self {
        let (keys, values) = (Box::new(keys), Box::new(values));
        Validator::Record { keys, values }
    }

    /// Whether ids of documents of `table` are among the values that match.
    pub fn refers_to(&self, table: &str) -> bool {
        match self {
            Validator::Id { table: named } => named == table,
            Validator::Array(element) => element.refers_to(table),
            Validator::Object(fields) => fields
                .values()
                .any(|field| field.validator.refers_to(table)),
            Validator::Record { keys, values } => keys.refers_to(table) || values.refers_to(table),
            Validator::Union(members) => members.iter().any(|member| member.refers_to(table)),
            Validator::Null
            | Validator::Boolean
            | Validator::Number
            | Validator::Bigint
            | Validator::CommitTs
            | Validator::String
            | Validator::Bytes
            | Validator::Any
            | Validator::Literal(_)
            | Validator::Function(_) => false,
        }
    }

    /// The plainest validator for "one of these": nested unions are opened, repeats dropped, `Any` absorbs the rest,
    /// and a single member stands for itself.
    pub fn one_of(members: impl IntoIterator<Item = Validator>) -> Self {
        let mut distinct = Vec::new();
        for member in members {
            let parts = match member {
                Validator::Any => return Validator::Any,
                Validator::Union(parts) => parts,
                other => vec![other],
            };
            for part in parts {
                if part == Validator::Any {
                    return Validator::Any;
                }
                if !distinct.contains(&part) {
                    distinct.push(part);
                }
            }
        }
        match distinct.len() {
            1 => distinct.remove(0),
            _ => Validator::Union(distinct),
        }
    }

    /// Refuses what cannot describe a function's arguments, which are always one object.
    pub fn check_describes_args(&self) -> Result<(), ValidatorError> {
        match self {
            Validator::Object(_) | Validator::Any => Ok(()),
            _ => Err(ValidatorError::ArgsNotObject),
        }
    }

    /// Refuses what cannot describe a table's documents: only an object, a union of objects or `Any` can.
    pub fn check_describes_documents(&self) -> Result<(), ValidatorError> {
        let is_object = |member: &Validator| matches!(member, Validator::Object(_));
        match self {
            Validator::Object(_) | Validator::Any => Ok(()),
            Validator::Union(members) if members.iter().all(is_object) => Ok(()),
            other => Err(ValidatorError::DocumentNotObject(other.to_string())),
        }
    }

    /// Whether some value that matches has a field at `path`.
    pub fn may_have_field(&self, path: &FieldPath) -> bool {
        self.may_have(path.fields())
    }

    fn may_have(&self, names: &[String]) -> bool {
        let Some((first, rest)) = names.split_first() else {
            return true;
        };
        match self {
            Validator::Any => true,
            Validator::Object(fields) => fields
                .get(first)
                .is_some_and(|field| field.validator.may_have(rest)),
            Validator::Record { values, .. } => values.may_have(rest),
            Validator::Union(members) => members.iter().any(|member| member.may_have(names)),
            Validator::Null
            | Validator::Boolean
            | Validator::Number
            | Validator::Bigint
            | Validator::CommitTs
            | Validator::String
            | Validator::Bytes
            | Validator::Id { .. }
            | Validator::Literal(_)
            | Validator::Function(_)
            | Validator::Array(_) => false,
        }
    }
}

/// The validator as a JavaScript programmer would write it: `v.object({n: v.optional(v.float64())})`.
impl fmt::Display for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Validator::Null => f.write_str("v.null()"),
            Validator::Boolean => f.write_str("v.boolean()"),
            Validator::Number => f.write_str("v.float64()"),
            Validator::Bigint => f.write_str("v.int64()"),
            Validator::CommitTs => f.write_str("v.commitTs()"),
            Validator::String => f.write_str("v.string()"),
            Validator::Bytes => f.write_str("v.bytes()"),
            Validator::Any => f.write_str("v.any()"),
            Validator::Id { table } => write!(f, "v.id(\"{table}\")"),
            Validator::Literal(value) => write!(f, "v.literal({value})"),
            Validator::Function(_) => f.write_str("v.function()"),
            Validator::Array(element) => write!(f, "v.array({element})"),
            Validator::Record { keys, values } => write!(f, "v.record({keys}, {values})"),
            Validator::Object(fields) => write_object(f, fields),
            Validator::Union(members) => write_union(f, members),
        }
    }
}

fn write_object(f: &mut fmt::Formatter<'_>, fields: &BTreeMap<String, Field>) -> fmt::Result {
    f.write_str("v.object({")?;
    for (at, (name, field)) in fields.iter().enumerate() {
        let separator = if at == 0 { "" } else { ", " };
        let validator = &field.validator;
        match field.optional {
            true => write!(f, "{separator}{name}: v.optional({validator})")?,
            false => write!(f, "{separator}{name}: {validator}")?,
        }
    }
    f.write_str("})")
}

fn write_union(f: &mut fmt::Formatter<'_>, members: &[Validator]) -> fmt::Result {
    f.write_str("v.union(")?;
    for (at, member) in members.iter().enumerate() {
        let separator = if at == 0 { "" } else { ", " };
        write!(f, "{separator}{member}")?;
    }
    f.write_str(")")
}
