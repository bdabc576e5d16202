//! Checks of stored documents before a schema is taken on.

use std::collections::BTreeMap;

use vestibule_schema::id::{DocumentId, InternalId};
use vestibule_schema::key::{decode_key, encode_key};
use vestibule_schema::table::{IndexDefinition, Schema};
use vestibule_schema::validator::Validator;
use vestibule_schema::value::{Object, Value};

use super::super::catalog::TableMeta;
use super::super::error::{Duplicate, Misfit, OFFENDERS_LISTED_MAX, OpenError};
use super::super::keys::id_of_entry;
use super::super::writing::{describe_fields, user_fields};
use super::{SetUp, Tables, catalog_of};
use crate::storage::{Cursor, Direction, Entry, ReadView, StorageError};

impl SetUp<'_> {
    /// Looks for documents that their table's validator does not allow. A validator that was enforced since the last
    /// start needs no look, so an unchanged schema costs nothing.
    pub(super) fn check_documents(
        &self,
        changed: &[TableMeta],
        tables: &Tables,
    ) -> Result<(), OpenError> {
        let names = catalog_of(tables);
        let mut misfits = Vec::new();
        for table in changed {
            if table.document == Validator::Any {
                continue;
            }
            self.each_document(table, |id, fields| {
                if misfits.len() >= OFFENDERS_LISTED_MAX {
                    return Ok(());
                }
                let fields = Value::Object(user_fields(fields));
                if let Err(error) = table.document.check_document(&fields, &names) {
                    misfits.push(Misfit {
                        table: table.name.clone(),
                        id: DocumentId::<()>::new(table.number, id).to_string(),
                        reason: error.to_string().trim_end().to_string(),
                    });
                }
                Ok(())
            })?;
        }
        match misfits.is_empty() {
            true => Ok(()),
            false => Err(OpenError::Misfits(misfits)),
        }
    }

    /// Looks for documents that a unique index, about to be built, would not allow. Sorting the indexed values needs
    /// memory in proportion to the table, once, at the start that adds the index.
    pub(super) fn check_unique(&self, tables: &Tables, schema: &Schema) -> Result<(), OpenError> {
        let mut duplicates = Vec::new();
        for definition in schema.tables() {
            let table = &tables[&definition.name];
            for index in definition.indexes.iter().filter(|index| index.unique) {
                if table
                    .index(&index.name)
                    .is_some_and(|existing| existing.is(index) && existing.ready)
                {
                    continue;
                }
                self.find_duplicates(table, index, &mut duplicates)?;
            }
        }
        match duplicates.is_empty() {
            true => Ok(()),
            false => Err(OpenError::Duplicates(duplicates)),
        }
    }

    fn find_duplicates(
        &self,
        table: &TableMeta,
        index: &IndexDefinition,
        duplicates: &mut Vec<Duplicate>,
    ) -> Result<(), OpenError> {
        let mut holders: BTreeMap<Vec<u8>, InternalId> = BTreeMap::new();
        self.each_document(table, |id, fields| {
            let mut values = Vec::new();
            for field in &index.fields {
                let Some(value) = field.lookup(&fields) else {
                    return Ok(());
                };
                encode_key(&mut values, Some(value));
            }
            if let Some(first) = holders.insert(values, id)
                && duplicates.len() < OFFENDERS_LISTED_MAX
            {
                let ids = [first, id].map(|id| DocumentId::<()>::new(table.number, id).to_string());
                duplicates.push(Duplicate {
                    index: format!("{}.{}", table.name, index.name),
                    values: describe_fields(&index.fields, &fields),
                    ids,
                });
            }
            Ok(())
        })
    }

    /// Calls `visit` with each document of a table.
    fn each_document(
        &self,
        table: &TableMeta,
        mut visit: impl FnMut(InternalId, Object) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let view = self.store.snapshot()?;
        let mut cursor = Cursor::new(table.by_id.range(), Direction::Forward);
        while let Some(Entry { key, value }) = view.next(&mut cursor)? {
            let damaged = || StorageError::misplaced(&key, "a stored document cannot be decoded");
            let id = id_of_entry(&key).ok_or_else(damaged)?;
            match decode_key(&value) {
                Ok((Some(Value::Object(fields)), _)) => visit(id, fields)?,
                _ => return Err(damaged().into()),
            }
        }
        Ok(())
    }
}
