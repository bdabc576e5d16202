//! The rules a schema must keep.

use super::{IndexDefinition, Schema, SchemaError, TableDefinition};
use crate::path::{FieldPath, check_identifier};

pub(super) const TABLES_MAX: usize = 10_000;
/// Per table, without the two that every table has.
pub(super) const INDEXES_MAX: usize = 64;
/// Per index, with the `_creationTime` that ends it.
pub(super) const INDEX_FIELDS_MAX: usize = 16;

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
                if first.fields == second.fields {
                    return Err(SchemaError::SameFields {
                        table: self.name.clone(),
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
            let absent = |field: &&FieldPath| !self.document.may_have_field(field);
            if let Some(field) = index.fields.iter().find(absent) {
                return Err(SchemaError::UnknownField {
                    table: self.name.clone(),
                    index: index.name.clone(),
                    field: field.to_string(),
                });
            }
        }
        Ok(())
    }
}

fn check_table_name(name: &str) -> Result<(), SchemaError> {
    if name.starts_with('_') {
        return Err(SchemaError::ReservedTableName(name.to_owned()));
    }
    check_identifier(name).map_err(|_| SchemaError::TableName(name.to_owned()))
}

fn check_index_field(field: &FieldPath) -> Result<(), SchemaError> {
    match field.fields() {
        [only] if only == "_id" => Err(SchemaError::IdField),
        [only] if only == "_creationTime" => Err(SchemaError::CreationTimeField),
        parts if parts.iter().any(|part| part.starts_with('_')) => Err(SchemaError::ReservedField),
        _ => Ok(()),
    }
}
