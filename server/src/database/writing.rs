//! Writing documents: insert, patch, replace and delete, and what each must keep true of documents and indexes.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::RngCore;
use vestibule_schema::id::{DocumentId, InternalId};
use vestibule_schema::path::FieldPath;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::validator::Validator;
use vestibule_schema::value::{Object, Value, check_document, object_size};

use super::catalog::{IndexMeta, TableMeta};
use super::error::{DatabaseError, QueryError};
use super::keys::{document_key, encode_document, index_key, index_prefix};
use super::scan::Stream;
use super::transaction::{RawDocument, Transaction};
use crate::storage::{Direction, KeyRange};

/// A written document's keys in the indexes.
enum NewKeys {
    /// No indexed field has changed.
    AsBefore,
    /// They follow from its fields.
    Computed,
}

const ID: &str = "_id";
const CREATION_TIME: &str = "_creationTime";

impl<'v> Transaction<'v> {
    /// Adds a document to `table` and returns its id.
    pub fn insert(&mut self, table: &str, mut fields: Object) -> Result<DocumentId, DatabaseError> {
        self.require_writer("insert")?;
        self.check_time()?;
        let named = self.catalog().table(table);
        let table = named.ok_or_else(|| QueryError::UnknownTable(table.to_string()))?;
        let (internal, creation_time) = self.new_identity();
        let id = DocumentId::new(table.number, internal);
        set_system_field(&mut fields, ID, Value::String(id.to_string()))?;
        set_system_field(&mut fields, CREATION_TIME, Value::Float64(creation_time))?;
        self.write(table, id, Vec::new(), Some((fields, NewKeys::Computed)))?;
        Ok(id)
    }

    /// Merges `fields` into a document, top level only; `None` removes a field. Writes nothing when that changes nothing.
    pub fn patch(
        &mut self,
        id: DocumentId,
        fields: BTreeMap<String, Option<Value>>,
    ) -> Result<(), DatabaseError> {
        let (table, mut document) = self.existing(id, "patch", "Update")?;
        let old_keys = index_keys(table, &document);
        let mut changed = Vec::new();
        for (name, value) in fields {
            if document.fields.get(&name) == value.as_ref() {
                continue;
            }
            match value {
                Some(value) if is_system(&name) => {
                    return Err(mismatch(&name, &document.fields[&name], &value).into());
                }
                // They cannot be removed; a patch without them keeps them as well.
                None if is_system(&name) => continue,
                Some(value) => document.fields.insert(name.clone(), value),
                None => document.fields.remove(&name),
            };
            changed.push(name);
        }
        if changed.is_empty() {
            return Ok(());
        }
        let moves = |index: &IndexMeta| {
            let mut fields = index.fields.iter();
            fields.any(|field| changed.contains(&field.fields()[0]))
        };
        let keys = match table.indexes.iter().any(moves) {
            true => NewKeys::Computed,
            false => NewKeys::AsBefore,
        };
        self.write(table, id, old_keys, Some((document.fields, keys)))
    }

    /// Replaces a document's fields. `_id` and `_creationTime` stay and may be given unchanged. Writes nothing when
    /// that changes nothing.
    pub fn replace(&mut self, id: DocumentId, mut fields: Object) -> Result<(), DatabaseError> {
        let (table, mut old) = self.existing(id, "replace", "Replace")?;
        let old_keys = index_keys(table, &old);
        for name in [ID, CREATION_TIME] {
            if let Some(stored) = old.fields.get(name) {
                set_system_field(&mut fields, name, stored.clone())?;
            }
        }
        if fields == old.fields {
            return Ok(());
        }
        old.fields = fields;
        self.write(table, id, old_keys, Some((old.fields, NewKeys::Computed)))
    }

    /// Removes a document.
    pub fn delete(&mut self, id: DocumentId) -> Result<(), DatabaseError> {
        let (table, old) = self.existing(id, "delete", "Delete")?;
        let old_keys = index_keys(table, &old);
        self.write(table, id, old_keys, None)
    }

    fn existing(
        &mut self,
        id: DocumentId,
        method: &'static str,
        verb: &'static str,
    ) -> Result<(&'v TableMeta, RawDocument), DatabaseError> {
        self.require_writer(method)?;
        let Some(table) = self.catalog().table_numbered(id.table()) else {
            let id = id.to_string();
            return Err(QueryError::TableOfIdNotFound { method, id }.into());
        };
        match self.get(id)? {
            Some(document) => Ok((table, document)),
            None => {
                let id = id.to_string();
                Err(QueryError::NonexistentDocument { verb, id }.into())
            }
        }
    }

    fn require_writer(&mut self, method: &'static str) -> Result<(), QueryError> {
        self.refused_write |= self.writer.is_none();
        match self.refused_write {
            true => Err(QueryError::ReadOnly(method)),
            false => Ok(()),
        }
    }

    /// The next document's id and creation time. Used up even when the insert then fails.
    fn new_identity(&mut self) -> (InternalId, f64) {
        let writer = self.writer.as_mut();
        let writer = writer.expect("callers have made sure that this transaction writes");
        *writer.last_creation_time = writer.last_creation_time.next_up();
        let internal = new_internal_id(writer.rng, writer.commit_ts);
        (internal, *writer.last_creation_time)
    }

    /// Writes a document's entries in all indexes of its table, over the entries it had under `old_keys`; a new
    /// document had none, a deleted one has no `new` fields. Either all of it is written or nothing.
    fn write(
        &mut self,
        table: &TableMeta,
        id: DocumentId,
        old_keys: Vec<Bytes>,
        new: Option<(Object, NewKeys)>,
    ) -> Result<(), DatabaseError> {
        let (mut new_keys, mut size) = (Vec::new(), 0);
        let mut encoded = None;
        if let Some((fields, keys)) = new {
            let fields = self.check_fields(table, fields)?;
            let new = RawDocument { id, fields };
            new_keys = match keys {
                NewKeys::AsBefore => old_keys.clone(),
                NewKeys::Computed => index_keys(table, &new),
            };
            self.check_unique(table, &new, &old_keys, &new_keys)?;
            size = object_size(&new.fields);
            encoded = Some(encode_document(new.fields));
        }
        self.usage.write(size, self.limits())?;

        let key = document_key(table.by_id, id.internal());
        self.touched.push(key.clone());
        self.writes.insert(key, encoded);
        self.write_entries(old_keys, new_keys);
        Ok(())
    }

    fn write_entries(&mut self, old_keys: Vec<Bytes>, new_keys: Vec<Bytes>) {
        for (at, key) in old_keys.iter().enumerate() {
            if new_keys.get(at) != Some(key) {
                self.writes.insert(key.clone(), None);
            }
        }
        for (at, key) in new_keys.into_iter().enumerate() {
            if old_keys.get(at) != Some(&key) {
                self.touched.push(key.clone());
                self.writes.insert(key, Some(Bytes::new()));
            }
        }
        // What has not moved has changed all the same for whoever read it.
        self.touched.extend(old_keys);
    }

    fn check_fields(&self, table: &TableMeta, mut fields: Object) -> Result<Object, QueryError> {
        check_document(&fields).map_err(QueryError::InvalidDocument)?;
        if table.document == Validator::Any {
            return Ok(fields);
        }
        // A schema does not speak of system fields.
        let system = [ID, CREATION_TIME].map(|name| fields.remove_entry(name));
        let value = Value::Object(fields);
        table
            .document
            .check(&value, self.catalog())
            .map_err(|error| QueryError::SchemaMismatch {
                table: table.name.clone(),
                reason: error.to_string(),
            })?;
        let mut fields = value.into_object().expect("it was made an object above");
        fields.extend(system.into_iter().flatten());
        Ok(fields)
    }

    /// Refuses a document that would come to hold the same values as another one in a unique index.
    fn check_unique(
        &mut self,
        table: &TableMeta,
        new: &RawDocument,
        old_keys: &[Bytes],
        new_keys: &[Bytes],
    ) -> Result<(), DatabaseError> {
        let declared = table.indexes.iter().zip(&new_keys[1..]).enumerate();
        for (at, (index, key)) in declared {
            // What has not changed holds its values already, and nobody else does.
            if !index.unique || old_keys.get(at + 1) == Some(key) {
                continue;
            }
            if let Some(existing) = self.holder(index, new)? {
                let existing = DocumentId::<()>::new(table.number, existing);
                return Err(QueryError::UniqueViolation {
                    table: table.name.clone(),
                    index: index.name.clone(),
                    values: describe_fields(&index.fields, &new.fields),
                    existing: existing.to_string(),
                }
                .into());
            }
        }
        Ok(())
    }

    /// The document that holds the same values in a unique index. Documents that lack one of the indexed fields do not
    /// compete, as NULLs do not in SQL.
    fn holder(
        &mut self,
        index: &IndexMeta,
        new: &RawDocument,
    ) -> Result<Option<InternalId>, DatabaseError> {
        let IndexMeta { id, fields, .. } = index;
        if fields
            .iter()
            .any(|field| field.lookup(&new.fields).is_none())
        {
            return Ok(None);
        }
        let range = KeyRange::prefix(index_prefix(*id, fields, &new.fields));
        self.record(range.clone())?;
        let mut stream = Stream::new(range, Direction::Forward);
        self.look_up(&mut stream)?;
        match self.next_entry(&mut stream)? {
            Some((key, _)) => self.id_of_entry(&key).map(Some),
            None => Ok(None),
        }
    }
}

/// A document's keys in the indexes of its table, `by_creation_time` first, then the declared ones in their order.
fn index_keys(table: &TableMeta, document: &RawDocument) -> Vec<Bytes> {
    let RawDocument { id, fields } = document;
    let mut keys = Vec::with_capacity(1 + table.indexes.len());
    keys.push(index_key(
        table.by_creation_time,
        &[],
        fields,
        id.internal(),
    ));
    let declared = table.indexes.iter();
    keys.extend(declared.map(|index| index_key(index.id, &index.fields, fields, id.internal())));
    keys
}

fn is_system(name: &str) -> bool {
    name == ID || name == CREATION_TIME
}

/// Sets a field that the server decides. Whoever provides it must provide the same.
fn set_system_field(fields: &mut Object, name: &str, value: Value) -> Result<(), QueryError> {
    match fields.get(name) {
        Some(provided) if *provided == value => Ok(()),
        Some(provided) => Err(mismatch(name, &value, provided)),
        None => {
            fields.insert(name.to_string(), value);
            Ok(())
        }
    }
}

fn mismatch(name: &str, stored: &Value, provided: &Value) -> QueryError {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_string)
    };
    let (stored, provided) = (text(stored), text(provided));
    match name {
        ID => QueryError::IdMismatch { stored, provided },
        _ => QueryError::CreationTimeMismatch { stored, provided },
    }
}

/// 14 random bytes, then the day: ids of one day share their last two bytes.
fn new_internal_id(rng: &mut dyn RngCore, ts: Timestamp) -> InternalId {
    const NANOS_PER_DAY: u64 = 86_400_000_000_000;
    let mut random = [0; 14];
    rng.fill_bytes(&mut random);
    // Wraps in the year 2149; receivers treat all bytes as opaque.
    InternalId::from_random(random, (ts.0 / NANOS_PER_DAY) as u16)
}

/// The fields a schema speaks of: all but the system's.
pub(super) fn user_fields(mut fields: Object) -> Object {
    fields.remove(ID);
    fields.remove(CREATION_TIME);
    fields
}

pub(super) fn describe_fields(paths: &[FieldPath], fields: &Object) -> String {
    let described = paths.iter().map(|path| {
        let value = path
            .lookup(fields)
            .map_or("undefined".to_string(), Value::to_string);
        format!("{path} = {value}")
    });
    described.collect::<Vec<_>>().join(", ")
}
