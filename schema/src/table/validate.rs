//! The rules a schema must keep.

use std::ops::RangeInclusive;

use super::{IndexDefinition, IndexMethod, Schema, SchemaError, TableDefinition};
use crate::path::{FieldPath, check_identifier};
use crate::validator::Validator;

pub(super) const TABLES_MAX: usize = 10_000;
/// Per table, without the two that every table has.
pub(super) const INDEXES_MAX: usize = 64;
/// Per index, with the `_creationTime` that ends it.
pub(super) const INDEX_FIELDS_MAX: usize = 16;
/// Per index of words or of vectors.
pub(super) const FILTER_FIELDS_MAX: usize = 16;
/// Numbers in the vectors of an index.
pub(super) const DIMENSIONS: RangeInclusive<u32> = 2..=4_096;

const NOT_THERE: &str = "does not exist";
const NO_TEXT: &str = "is neither a string or optional string";
const NO_VECTOR: &str = "is neither an array of float64 or optional array of float64";

impl Schema {
    /// Checks every rule on the names, fields and number of tables and indexes; reports the first that is broken.
    pub fn validate(&self) -> Result<(), SchemaError> {
        if let Some(error) = &self.malformed {
            return Err(error.clone());
        }
        if self.tables.len() > TABLES_MAX {
            return Err(SchemaError::TooManyTables);
        }
        let mut names = std::collections::HashSet::new();
        for table in &self.tables {
            if !names.insert(&table.name) {
                return Err(SchemaError::DuplicateTable(table.name.clone()));
            }
            table.validate(self.checks_documents)?;
        }
        Ok(())
    }
}

impl TableDefinition {
    fn validate(&self, checks_documents: bool) -> Result<(), SchemaError> {
        check_table_name(&self.name)?;
        self.document
            .check_describes_documents()
            .map_err(|reason| SchemaError::Document {
                table: self.name.clone(),
                reason,
            })?;
        for index in &self.indexes {
            self.check_index_name(index)?;
            self.check_index_fields(index)?;
        }
        self.check_indexes_differ()?;
        if self.indexes.len() > INDEXES_MAX {
            return Err(SchemaError::TooManyIndexes(self.name.clone()));
        }
        match checks_documents {
            true => self.check_fields_exist(),
            false => Ok(()),
        }
    }

    fn check_index_name(&self, index: &IndexDefinition) -> Result<(), SchemaError> {
        let name = &index.name;
        if name.starts_with('_') || name == "by_id" || name == "by_creation_time" {
            return Err(SchemaError::ReservedIndexName {
                table: self.name.clone(),
                index: name.clone(),
            });
        }
        check_identifier(name).map_err(|_| SchemaError::IndexName(name.clone()))
    }

    fn check_index_fields(&self, index: &IndexDefinition) -> Result<(), SchemaError> {
        match index.method {
            IndexMethod::Order => self.check_ordered_fields(index),
            IndexMethod::Search if index.fields.len() > 1 + FILTER_FIELDS_MAX => {
                Err(SchemaError::TooManyFilterFields { kind: "Search" })
            }
            IndexMethod::Vector { .. } if index.fields.len() > 1 + FILTER_FIELDS_MAX => {
                Err(SchemaError::TooManyFilterFields { kind: "Vector" })
            }
            IndexMethod::Vector { dimensions } if !DIMENSIONS.contains(&dimensions) => {
                Err(SchemaError::Dimensions(dimensions.to_string()))
            }
            IndexMethod::Search | IndexMethod::Vector { .. } => check_filter_fields(index),
        }
    }

    fn check_ordered_fields(&self, index: &IndexDefinition) -> Result<(), SchemaError> {
        if index.fields.is_empty() {
            return Err(SchemaError::NoFields {
                table: self.name.clone(),
                index: index.name.clone(),
            });
        }
        index.fields.iter().try_for_each(check_index_field)?;
        for (position, field) in index.fields.iter().enumerate() {
            if index.fields[..position].contains(field) {
                return Err(SchemaError::DuplicateField(field.to_string()));
            }
        }
        if index.fields.len() + 1 > INDEX_FIELDS_MAX {
            return Err(SchemaError::TooManyFields);
        }
        Ok(())
    }

    fn check_indexes_differ(&self) -> Result<(), SchemaError> {
        for (position, second) in self.indexes.iter().enumerate() {
            for first in &self.indexes[..position] {
                if first.name == second.name {
                    return Err(SchemaError::DuplicateIndex {
                        table: self.name.clone(),
                        index: first.name.clone(),
                    });
                }
                if first.is_as_good_as(second) {
                    return Err(SchemaError::SameFields {
                        table: self.name.clone(),
                        kind: kind(first.method),
                        first: first.name.clone(),
                        second: second.name.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    fn check_fields_exist(&self) -> Result<(), SchemaError> {
        for index in &self.indexes {
            let unfit = |field: &FieldPath, problem| SchemaError::UnfitField {
                table: self.name.clone(),
                kind: kind(index.method),
                index: index.name.clone(),
                field: field.to_string(),
                problem,
            };
            let absent = |field: &&FieldPath| !self.document.may_have_field(field);
            if let Some(field) = index.fields.iter().find(absent) {
                return Err(unfit(field, NOT_THERE));
            }
            let (fits, problem): (fn(&Validator) -> bool, _) = match index.method {
                IndexMethod::Order => continue,
                IndexMethod::Search => (may_be_text, NO_TEXT),
                IndexMethod::Vector { .. } => (may_be_vector, NO_VECTOR),
            };
            let content = index.fields.first();
            if let Some(field) =
                content.filter(|field| !any_at(&self.document, field.fields(), fits))
            {
                return Err(unfit(field, problem));
            }
        }
        Ok(())
    }
}

impl IndexDefinition {
    /// Whether each of both finds what the other one finds.
    fn is_as_good_as(&self, other: &IndexDefinition) -> bool {
        self.method == other.method
            && match self.method {
                IndexMethod::Order => self.fields == other.fields,
                IndexMethod::Search => {
                    self.fields.first() == other.fields.first()
                        && same_set(&self.fields, &other.fields)
                }
                IndexMethod::Vector { .. } => self.fields.first() == other.fields.first(),
            }
    }
}

/// Whether two lists name the same fields, in whatever order.
fn same_set(one: &[FieldPath], other: &[FieldPath]) -> bool {
    let all_in =
        |one: &[FieldPath], other: &[FieldPath]| one.iter().all(|field| other.contains(field));
    all_in(one, other) && all_in(other, one)
}

/// The kind of an index in front of the word, as texts name it.
fn kind(method: IndexMethod) -> &'static str {
    match method {
        IndexMethod::Order => "",
        IndexMethod::Search => "search ",
        IndexMethod::Vector { .. } => "vector ",
    }
}

fn may_be_text(validator: &Validator) -> bool {
    match validator {
        Validator::Any | Validator::String | Validator::Id { .. } => true,
        Validator::Literal(value) => value.as_str().is_some(),
        Validator::Union(members) => members.iter().any(may_be_text),
        _ => false,
    }
}

fn may_be_vector(validator: &Validator) -> bool {
    let may_be_number = |element: &Validator| match element {
        Validator::Any | Validator::Number => true,
        Validator::Union(members) => members
            .iter()
            .any(|member| matches!(member, Validator::Number | Validator::Any)),
        _ => false,
    };
    match validator {
        Validator::Any => true,
        Validator::Array(element) => may_be_number(element),
        Validator::Union(members) => members.iter().any(may_be_vector),
        _ => false,
    }
}

/// Whether one of the validators that a value at `path` may have to match is as `fits` says.
fn any_at(validator: &Validator, path: &[String], fits: fn(&Validator) -> bool) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return fits(validator);
    };
    match validator {
        Validator::Any => true,
        Validator::Object(fields) => fields
            .get(first)
            .is_some_and(|field| any_at(&field.validator, rest, fits)),
        Validator::Record { values, .. } => any_at(values, rest, fits),
        Validator::Union(members) => members.iter().any(|member| any_at(member, path, fits)),
        _ => false,
    }
}

fn check_table_name(name: &str) -> Result<(), SchemaError> {
    if name.starts_with('_') {
        return Err(SchemaError::ReservedTableName(name.to_owned()));
    }
    check_identifier(name).map_err(|_| SchemaError::TableName(name.to_owned()))
}

/// A stored document has no `_id` to compare with, and two equal fields are one too many.
fn check_filter_fields(index: &IndexDefinition) -> Result<(), SchemaError> {
    let filters = index.fields.get(1..).unwrap_or_default();
    for (position, field) in filters.iter().enumerate() {
        match check_index_field(field) {
            Ok(()) | Err(SchemaError::CreationTimeField) => {}
            Err(error) => return Err(error),
        }
        if filters[..position].contains(field) {
            return Err(SchemaError::DuplicateField(field.to_string()));
        }
    }
    Ok(())
}

fn check_index_field(field: &FieldPath) -> Result<(), SchemaError> {
    match field.fields() {
        [only] if only == "_id" => Err(SchemaError::IdField),
        [only] if only == "_creationTime" => Err(SchemaError::CreationTimeField),
        parts if parts.iter().any(|part| part.starts_with('_')) => Err(SchemaError::ReservedField),
        _ => Ok(()),
    }
}
