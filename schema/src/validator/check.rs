//! Holding a value against a validator, with Convex's words for what does not match.

use std::collections::BTreeMap;
use std::fmt;

use super::{Field, Validator};
use crate::id::{DocumentId, TableNumber};
use crate::value::{Object, Value};

/// The tables that exist now, by name and by number.
pub trait TableNames {
    /// The number of the table now called `name`.
    fn table_number(&self, name: &str) -> Option<TableNumber>;
    /// The name the table with this number has now; system tables' names start with `_`.
    fn table_name(&self, number: TableNumber) -> Option<&str>;
}

/// How a value fails its validator. `Display` gives the text that clients of Convex know. A text of several lines ends
/// in a line break, so that an empty line stands before a stack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ValidationError {
    #[error(
        "Found ID \"{id}\" from table `{found}`, which does not match the table name in validator `v.id(\"{expected}\")`."
    )]
    OtherTable {
        id: String,
        found: String,
        expected: String,
    },
    #[error(
        "Found ID \"{id}\" from a system table, which does not match the table name in validator `v.id(\"{expected}\")`."
    )]
    SystemTable { id: String, expected: String },
    #[error("`{value}` does not match literal validator `v.literal({literal})`.")]
    Literal { value: String, literal: String },
    #[error(
        "Object is missing the required field `{field}`. Consider wrapping the field validator in `v.optional(...)` if this is expected.\n{path}\nObject: {object}\nValidator: {validator}\n"
    )]
    MissingField {
        field: String,
        /// `Path: .a[0]`, or empty at the root.
        path: String,
        object: String,
        validator: String,
    },
    #[error(
        "Object contains extra field `{field}` that is not in the validator.\n{path}\nObject: {object}\nValidator: {validator}\n"
    )]
    ExtraField {
        field: String,
        /// `Path: .a[0]`, or empty at the root.
        path: String,
        object: String,
        validator: String,
    },
    #[error("Value does not match validator.\n{path}\nValue: {value}\nValidator: {validator}\n")]
    Mismatch {
        /// `Path: .a[0]`, or empty at the root.
        path: String,
        value: String,
        validator: String,
    },
}

impl Validator {
    /// Checks that `value` matches. `tables` tells which table an id belongs to.
    pub fn check(&self, value: &Value, tables: &dyn TableNames) -> Result<(), ValidationError> {
        let skips_system_fields = false;
        let checker = Checker {
            tables,
            skips_system_fields,
        };
        checker.check(self, value, &Place::Root).map_err(reported)
    }

    /// Whether an object that matches still does when the fields of `set` are set and those of `unset` removed. False as
    /// well where only the whole object can tell.
    pub fn allows_patch<'u>(
        &self,
        set: &Object,
        mut unset: impl Iterator<Item = &'u String>,
        tables: &dyn TableNames,
    ) -> bool {
        let fields = match self {
            Validator::Any => return true,
            Validator::Object(fields) => fields,
            _ => return false,
        };
        let may_be_set = |(name, value): (&String, &Value)| {
            let field = fields.get(name);
            field.is_some_and(|field| field.validator.check(value, tables).is_ok())
        };
        set.iter().all(may_be_set)
            && unset.all(|name| fields.get(name).is_none_or(|field| field.optional))
    }

    /// Checks a document: as `check`, but system fields (top-level names starting with `_`) are passed over, both in
    /// the document and in the validator.
    pub fn check_document(
        &self,
        document: &Value,
        tables: &dyn TableNames,
    ) -> Result<(), ValidationError> {
        let skips_system_fields = true;
        let checker = Checker {
            tables,
            skips_system_fields,
        };
        checker
            .check(self, document, &Place::Root)
            .map_err(reported)
    }
}

/// `None` where no caller reads the reason: among the members of a union, whose failure is told as a whole.
type Misfit = Option<Box<ValidationError>>;

fn reported(failure: Misfit) -> ValidationError {
    *failure.expect("a failure outside a union carries its reason")
}

/// Where in the checked value a part stands. Lives on the stack, so a value that matches costs no allocation.
enum Place<'p> {
    Root,
    Field(&'p Place<'p>, &'p str),
    Element(&'p Place<'p>, usize),
    RecordKeys(&'p Place<'p>),
    RecordValues(&'p Place<'p>),
    /// The same part, held against one of several members of a union.
    Member(&'p Place<'p>),
}

impl<'p> Place<'p> {
    fn parent(&self) -> Option<&'p Place<'p>> {
        match self {
            Place::Root => None,
            Place::Field(parent, _)
            | Place::Element(parent, _)
            | Place::RecordKeys(parent)
            | Place::RecordValues(parent)
            | Place::Member(parent) => Some(parent),
        }
    }

    fn is_root(&self) -> bool {
        match self {
            Place::Root => true,
            Place::Member(parent) => parent.is_root(),
            Place::Field(..) | Place::Element(..) => false,
            Place::RecordKeys(_) | Place::RecordValues(_) => false,
        }
    }

    fn is_read(&self) -> bool {
        let in_union = matches!(self, Place::Member(_));
        !in_union && self.parent().is_none_or(Place::is_read)
    }

    /// `Path: .a[0].b`, or an empty line at the root.
    fn line(&self) -> String {
        match self.is_root() {
            true => String::new(),
            false => format!("Path: {self}"),
        }
    }

    /// Puts a failure at this place into words, if a caller reads them.
    fn fail(&self, reason: impl FnOnce() -> ValidationError) -> Misfit {
        self.is_read().then(|| Box::new(reason()))
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Root => Ok(()),
            Place::Field(parent, name) => write!(f, "{parent}.{name}"),
            Place::Element(parent, index) => write!(f, "{parent}[{index}]"),
            Place::RecordKeys(parent) => write!(f, "{parent}.keys()"),
            Place::RecordValues(parent) => write!(f, "{parent}.values()"),
            Place::Member(parent) => write!(f, "{parent}"),
        }
    }
}

/// Whether a text has the form of a function's handle.
fn is_handle(text: &str) -> bool {
    let named = text.strip_prefix("function://");
    named.is_some_and(|named| !named.is_empty())
}

struct Checker<'t> {
    tables: &'t dyn TableNames,
    skips_system_fields: bool,
}

impl Checker<'_> {
    fn check(&self, validator: &Validator, value: &Value, at: &Place<'_>) -> Result<(), Misfit> {
        let matches = match (validator, value) {
            (Validator::Any, _)
            | (Validator::Null, Value::Null)
            | (Validator::Boolean, Value::Boolean(_))
            | (Validator::Number, Value::Float64(_))
            | (Validator::Bigint | Validator::CommitTs, Value::Int64(_))
            | (Validator::String, Value::String(_))
            | (Validator::Bytes, Value::Bytes(_)) => true,
            (Validator::Function(_), Value::String(text)) => is_handle(text),
            (Validator::Literal(literal), value) => return self.check_literal(literal, value, at),
            (Validator::Id { table }, Value::String(text)) => {
                return self.check_id(validator, table, value, text, at);
            }
            (Validator::Array(element), Value::Array(list)) => {
                return self.check_array(element, list, at);
            }
            (Validator::Object(fields), Value::Object(object)) => {
                return self.check_object(validator, fields, object, at);
            }
            (Validator::Record { keys, values }, Value::Object(object)) => {
                return self.check_record(keys, values, object, at);
            }
            (Validator::Union(members), value) => {
                return self.check_union(validator, members, value, at);
            }
            (
                Validator::Null
                | Validator::Boolean
                | Validator::Number
                | Validator::Bigint
                | Validator::CommitTs
                | Validator::String
                | Validator::Bytes
                | Validator::Id { .. }
                | Validator::Function(_)
                | Validator::Array(_)
                | Validator::Object(_)
                | Validator::Record { .. },
                _,
            ) => false,
        };
        match matches {
            true => Ok(()),
            false => Err(self.mismatch(validator, value, at)),
        }
    }

    fn mismatch(&self, validator: &Validator, value: &Value, at: &Place<'_>) -> Misfit {
        at.fail(|| ValidationError::Mismatch {
            path: at.line(),
            value: self.shown(value, at),
            validator: validator.to_string(),
        })
    }

    fn skips(&self, name: &str, at: &Place<'_>) -> bool {
        self.skips_system_fields && is_system_name(name) && at.is_root()
    }

    fn shown(&self, value: &Value, at: &Place<'_>) -> String {
        match value {
            Value::Object(object) => self.shown_object(object, at),
            other => other.to_string(),
        }
    }

    fn shown_object(&self, object: &Object, at: &Place<'_>) -> String {
        let own = object.iter().filter(|(name, _)| !self.skips(name, at));
        let own = own.map(|(name, value)| (name.clone(), value.clone()));
        Value::Object(own.collect()).to_string()
    }

    fn check_literal(&self, literal: &Value, value: &Value, at: &Place<'_>) -> Result<(), Misfit> {
        if literal == value {
            return Ok(());
        }
        Err(at.fail(|| ValidationError::Literal {
            value: self.shown(value, at),
            literal: literal.to_string(),
        }))
    }

    fn check_id(
        &self,
        validator: &Validator,
        table: &str,
        value: &Value,
        text: &str,
        at: &Place<'_>,
    ) -> Result<(), Misfit> {
        let id = text.parse::<DocumentId>().ok();
        let found = id.and_then(|id| self.tables.table_name(id.table()));
        match found {
            Some(found) if found == table => Ok(()),
            Some(found) => Err(at.fail(|| {
                let (id, expected) = (text.to_owned(), table.to_owned());
                match is_system_name(found) {
                    true => ValidationError::SystemTable { id, expected },
                    false => ValidationError::OtherTable {
                        id,
                        found: found.to_owned(),
                        expected,
                    },
                }
            })),
            None => Err(self.mismatch(validator, value, at)),
        }
    }

    fn check_array(
        &self,
        element: &Validator,
        list: &[Value],
        at: &Place<'_>,
    ) -> Result<(), Misfit> {
        for (index, value) in list.iter().enumerate() {
            self.check(element, value, &Place::Element(at, index))?;
        }
        Ok(())
    }

    /// Declared fields come first, in alphabetical order, then what was not declared.
    fn check_object(
        &self,
        validator: &Validator,
        fields: &BTreeMap<String, Field>,
        object: &Object,
        at: &Place<'_>,
    ) -> Result<(), Misfit> {
        for (name, field) in fields.iter().filter(|(name, _)| !self.skips(name, at)) {
            match object.get(name) {
                Some(value) => {
                    self.check(&field.validator, value, &Place::Field(at, name))?;
                }
                None if field.optional => {}
                None => {
                    return Err(at.fail(|| ValidationError::MissingField {
                        field: name.clone(),
                        path: at.line(),
                        object: self.shown_object(object, at),
                        validator: validator.to_string(),
                    }));
                }
            }
        }
        let extra = object
            .keys()
            .find(|name| !fields.contains_key(*name) && !self.skips(name, at));
        match extra {
            None => Ok(()),
            Some(name) => Err(at.fail(|| ValidationError::ExtraField {
                field: name.clone(),
                path: at.line(),
                object: self.shown_object(object, at),
                validator: validator.to_string(),
            })),
        }
    }

    fn check_record(
        &self,
        keys: &Validator,
        values: &Validator,
        object: &Object,
        at: &Place<'_>,
    ) -> Result<(), Misfit> {
        for (key, value) in object {
            if *keys != Validator::String {
                let key = Value::String(key.clone());
                self.check(keys, &key, &Place::RecordKeys(at))?;
            }
            self.check(values, value, &Place::RecordValues(at))?;
        }
        Ok(())
    }

    /// A single member reports its own failure; several are reported as one.
    fn check_union(
        &self,
        validator: &Validator,
        members: &[Validator],
        value: &Value,
        at: &Place<'_>,
    ) -> Result<(), Misfit> {
        if let [only] = members {
            return self.check(only, value, at);
        }
        let matches = |member: &Validator| self.check(member, value, &Place::Member(at)).is_ok();
        match members.iter().any(matches) {
            true => Ok(()),
            false => Err(self.mismatch(validator, value, at)),
        }
    }
}

fn is_system_name(name: &str) -> bool {
    name.starts_with('_')
}
