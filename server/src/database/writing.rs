//! Writing documents: insert, patch, replace and delete, and what each must keep true of documents and indexes.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use rand::RngCore;
use serde::Serialize;
use vestibule_schema::convert::to_field;
use vestibule_schema::id::{DocumentId, InternalId};
use vestibule_schema::key::{decode_key, encoded_at, encoded_field, patch_encoded};
use vestibule_schema::path::FieldPath;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::validator::{TableNames, Validator};
use vestibule_schema::value::{
    DOCUMENT_BYTES_MAX, OBJECT_FIELDS_MAX, Object, Value, check_document,
};

use super::catalog::{IndexMeta, TableMeta};
use super::error::{DatabaseError, QueryError};
use super::keys::{document_key, encode_document, index_key, index_prefix};
use super::scan::Stream;
use super::stored::{StoredDocument, damaged};
use super::transaction::Transaction;
use crate::storage::{Direction, KeyRange};

/// Changes to some fields of a document, top level only.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    set: Object,
    unset: BTreeSet<String>,
    /// Why a field cannot be set, if one cannot.
    wrong: Option<String>,
}

impl Patch {
    /// Sets a field. `None` removes it, as it is missing from a document that is inserted with `None`; null is `Nullable`
    /// or `Value::Null`.
    pub fn set(mut self, field: &str, value: impl Serialize) -> Self {
        match to_field(&value) {
            Ok(Some(value)) => {
                self.unset.remove(field);
                self.set.insert(field.to_string(), value);
                self
            }
            Ok(None) => self.unset(field),
            Err(error) => {
                self.wrong = Some(format!("the value of \"{field}\": {error}"));
                self
            }
        }
    }

    /// Removes a field.
    pub fn unset(mut self, field: &str) -> Self {
        self.set.remove(field);
        self.unset.insert(field.to_string());
        self
    }

    /// The changes that make `after` of `before`.
    pub(super) fn between(before: &Object, after: Object) -> Patch {
        let gone = |name: &&String| !after.contains_key(*name);
        let unset = before.keys().filter(gone).cloned().collect();
        let is_new = |(name, value): &(String, Value)| before.get(name) != Some(value);
        Patch {
            unset,
            set: after.into_iter().filter(is_new).collect(),
            wrong: None,
        }
    }

    fn apply(&self, fields: &mut Object) {
        fields.retain(|name, _| !self.unset.contains(name));
        fields.extend(self.set.clone());
    }
}

impl From<Object> for Patch {
    fn from(set: Object) -> Self {
        Patch {
            set,
            ..Patch::default()
        }
    }
}

/// A patched document.
enum NewDocument<'p> {
    /// Nothing in it has changed.
    AsBefore,
    /// It may be stored. Fields of these names have changed.
    Legal(StoredDocument, Vec<&'p str>),
    /// Only the whole document can tell whether it may be stored.
    Unclear,
}

pub(super) const ID: &str = "_id";
/// The field with a document's creation time, in milliseconds.
pub const CREATION_TIME: &str = "_creationTime";

impl Transaction<'_> {
    /// Adds a document to `table` and returns its id.
    pub fn insert(&mut self, table: &str, mut fields: Object) -> Result<DocumentId, DatabaseError> {
        self.require_writer("insert")?;
        self.check_time()?;
        let named = self.catalog().table(table).cloned();
        let table = &named.ok_or_else(|| QueryError::UnknownTable(table.to_string()))?;
        let (internal, creation_time) = self.new_identity();
        let id = DocumentId::new(table.number, internal);
        set_system_field(&mut fields, ID, Value::String(id.to_string()))?;
        set_system_field(&mut fields, CREATION_TIME, Value::Float64(creation_time))?;
        let new = self.checked(table, id, fields)?;
        self.write(table, &new, None)?;
        Ok(id)
    }

    /// Changes some fields of a document. Writes nothing when that changes nothing.
    pub fn patch(&mut self, id: DocumentId, patch: impl Into<Patch>) -> Result<(), DatabaseError> {
        let patch = patch.into();
        let is_unresolved = self.commit_ts_places(id).is_some();
        let names: Vec<String> = match is_unresolved {
            true => patch.set.keys().chain(&patch.unset).cloned().collect(),
            false => Vec::new(),
        };
        self.patch_fields(id, patch)?;
        self.forget_commit_ts_in(id, &names);
        Ok(())
    }

    fn patch_fields(&mut self, id: DocumentId, mut patch: Patch) -> Result<(), DatabaseError> {
        let (table, old) = self.existing(id, "patch", "Update")?;
        let table = &table;
        if let Some(wrong) = patch.wrong {
            return Err(QueryError::Patch(wrong).into());
        }
        self.take_system_fields(&old, &mut patch)?;
        match self.patched(table, &old, &patch)? {
            NewDocument::AsBefore => Ok(()),
            NewDocument::Legal(new, changed) => {
                let is_changed = |field: &FieldPath| changed.contains(&field.fields()[0].as_str());
                let moves = |index: &IndexMeta| index.fields.iter().any(is_changed);
                if !table.indexes.iter().any(moves) {
                    return self.write_in_place(table, new);
                }
                self.write(table, &new, Some(&old))
            }
            NewDocument::Unclear => {
                let mut fields = self.decode(&old)?.fields;
                patch.apply(&mut fields);
                let new = self.checked(table, id, fields)?;
                if new.bytes() == old.bytes() {
                    return Ok(());
                }
                self.write(table, &new, Some(&old))
            }
        }
    }

    /// Replaces a document's fields. `_id` and `_creationTime` stay and may be given unchanged. Writes nothing when
    /// that changes nothing.
    pub fn replace(&mut self, id: DocumentId, fields: Object) -> Result<(), DatabaseError> {
        self.replace_fields(id, fields)?;
        self.forget_commit_ts_of(id);
        Ok(())
    }

    fn replace_fields(&mut self, id: DocumentId, mut fields: Object) -> Result<(), DatabaseError> {
        let (table, old) = self.existing(id, "replace", "Replace")?;
        let table = &table;
        set_system_field(&mut fields, ID, Value::String(id.to_string()))?;
        if let Some(time) = self.creation_time_of(&old)? {
            set_system_field(&mut fields, CREATION_TIME, time)?;
        }
        let new = self.checked(table, id, fields)?;
        if new.bytes() == old.bytes() {
            return Ok(());
        }
        self.write(table, &new, Some(&old))
    }

    /// Removes a document.
    pub fn delete(&mut self, id: DocumentId) -> Result<(), DatabaseError> {
        let (table, old) = self.existing(id, "delete", "Delete")?;
        let table = &table;
        let old_keys = self.index_keys(table, &old)?;
        let derived = self.derived_changes(table, Some(&old), None)?;
        self.usage.write(0, &self.limits)?;
        self.write_document(table, id, None);
        self.write_entries(old_keys, Vec::new());
        self.write_derived(derived);
        self.forget_commit_ts_of(id);
        Ok(())
    }

    fn existing(
        &mut self,
        id: DocumentId,
        method: &'static str,
        verb: &'static str,
    ) -> Result<(Arc<TableMeta>, StoredDocument), DatabaseError> {
        self.require_writer(method)?;
        let Some(table) = self.table_of(id).cloned() else {
            let id = id.to_string();
            return Err(QueryError::TableOfIdNotFound { method, id }.into());
        };
        match self.get_stored(id)? {
            Some(document) => Ok((table, document)),
            None => {
                let id = id.to_string();
                Err(QueryError::NonexistentDocument { verb, id }.into())
            }
        }
    }

    pub(super) fn require_writer(&mut self, method: &'static str) -> Result<(), QueryError> {
        self.refused_write |= self.writer.is_none();
        match self.refused_write {
            true => Err(QueryError::ReadOnly(method)),
            false => Ok(()),
        }
    }

    /// The next document's id and creation time. Used up even when the insert then fails.
    pub(super) fn new_identity(&mut self) -> (InternalId, f64) {
        let writer = self.writer.as_mut();
        let writer = writer.expect("callers have made sure that this transaction writes");
        *writer.last_creation_time = writer.last_creation_time.next_up();
        let internal = new_internal_id(writer.rng, writer.commit_ts);
        (internal, *writer.last_creation_time)
    }

    /// Takes the server's own fields out of a patch: they may be given as they are, and cannot be removed.
    fn take_system_fields(
        &mut self,
        old: &StoredDocument,
        patch: &mut Patch,
    ) -> Result<(), DatabaseError> {
        for name in [ID, CREATION_TIME] {
            patch.unset.remove(name);
            let Some(given) = patch.set.remove(name) else {
                continue;
            };
            let stored = match name {
                ID => Some(Value::String(old.id().to_string())),
                _ => self.creation_time_of(old)?,
            };
            if let Some(stored) = stored.filter(|stored| *stored != given) {
                return Err(mismatch(name, &stored, &given).into());
            }
        }
        Ok(())
    }

    fn creation_time_of(
        &mut self,
        document: &StoredDocument,
    ) -> Result<Option<Value>, DatabaseError> {
        let time = encoded_field(document.bytes(), CREATION_TIME)
            .and_then(|time| time.map_or(Ok(None), |time| Ok(decode_key(time)?.0)));
        time.map_err(|_| self.break_with(damaged(document.id())))
    }

    /// A document with a patch, from its bytes alone where they show that it may be stored. A stored document fits its
    /// table, so an unchanged field needs no look.
    fn patched<'p>(
        &mut self,
        table: &TableMeta,
        old: &StoredDocument,
        patch: &'p Patch,
    ) -> Result<NewDocument<'p>, DatabaseError> {
        let Patch { set, unset, .. } = patch;
        let is_legal = check_document(set).is_ok()
            && table.pending.is_none()
            && table.document.allows_patch(
                set,
                unset.iter(),
                &self.catalog().namespace_of(&table.name),
            );
        if !is_legal {
            return Ok(NewDocument::Unclear);
        }
        let patched = patch_encoded(old.bytes(), set, unset);
        let patched = patched.map_err(|_| self.break_with(damaged(old.id())))?;
        if patched.changed.is_empty() {
            return Ok(NewDocument::AsBefore);
        }
        let new = StoredDocument::sized(old.id(), patched.bytes.into(), patched.size);
        // The id is a field that is not stored.
        match patched.fields < OBJECT_FIELDS_MAX && new.size() <= DOCUMENT_BYTES_MAX {
            true => Ok(NewDocument::Legal(new, patched.changed)),
            false => Ok(NewDocument::Unclear),
        }
    }

    /// A document of these fields, if it may be stored.
    fn checked(
        &mut self,
        table: &TableMeta,
        id: DocumentId,
        fields: Object,
    ) -> Result<StoredDocument, DatabaseError> {
        let catalog = self.catalog();
        let names = catalog.namespace_of(&table.name);
        let fields = self.check_fields(table, fields, &names)?;
        let stored = StoredDocument::new(id, encode_document(fields));
        stored.map_err(|error| self.break_with(error))
    }

    /// Writes a document's entries in all indexes of its table, over those that it had as `old`; a new document had none.
    /// Either all of it is written or nothing.
    pub(super) fn write(
        &mut self,
        table: &TableMeta,
        new: &StoredDocument,
        old: Option<&StoredDocument>,
    ) -> Result<(), DatabaseError> {
        let old_keys = match old {
            Some(old) => self.index_keys(table, old)?,
            None => Vec::new(),
        };
        let new_keys = self.index_keys(table, new)?;
        self.check_unique(table, new, &old_keys, &new_keys)?;
        let derived = self.derived_changes(table, old, Some(new))?;
        self.usage.write(new.size(), &self.limits)?;
        self.write_document(table, new.id(), Some(new.bytes().clone()));
        self.write_entries(old_keys, new_keys);
        self.write_derived(derived);
        Ok(())
    }

    /// As [`Self::write`] for a document whose indexed fields have not changed.
    pub(super) fn write_in_place(
        &mut self,
        table: &Arc<TableMeta>,
        new: StoredDocument,
    ) -> Result<(), DatabaseError> {
        self.usage.write(new.size(), &self.limits)?;
        let key = document_key(table.by_id, new.id().internal());
        self.writes
            .insert(Bytes::copy_from_slice(&key), Some(new.bytes().clone()));
        self.touched.push_unmoved(table.clone(), new);
        Ok(())
    }

    fn write_document(&mut self, table: &TableMeta, id: DocumentId, new: Option<Bytes>) {
        let key = document_key(table.by_id, id.internal());
        self.touched.push(&key);
        self.writes.insert(Bytes::copy_from_slice(&key), new);
    }

    fn write_entries(&mut self, old_keys: Vec<Bytes>, new_keys: Vec<Bytes>) {
        for (at, key) in old_keys.iter().enumerate() {
            if new_keys.get(at) != Some(key) {
                self.writes.insert(key.clone(), None);
            }
        }
        for (at, key) in new_keys.into_iter().enumerate() {
            if old_keys.get(at) != Some(&key) {
                self.touched.push(&key);
                self.writes.insert(key, Some(Bytes::new()));
            }
        }
        old_keys.iter().for_each(|key| self.touched.push(key));
    }

    /// The fields of a document, if they may be stored in `table`. Ids in them are checked by `names`.
    pub(super) fn check_fields(
        &mut self,
        table: &TableMeta,
        mut fields: Object,
        names: &dyn TableNames,
    ) -> Result<Object, QueryError> {
        // The server's own documents hold what functions are called with, which may be larger and deeper.
        if table.number.is_system() && table.name.starts_with('_') {
            return Ok(fields);
        }
        check_document(&fields).map_err(QueryError::InvalidDocument)?;
        if table.document == Validator::Any && table.pending.is_none() {
            return Ok(fields);
        }
        // A schema does not speak of system fields.
        let system = [ID, CREATION_TIME].map(|name| fields.remove_entry(name));
        let value = Value::Object(fields);
        table
            .document
            .check_document(&value, names)
            .map_err(|error| QueryError::SchemaMismatch {
                table: table.name.clone(),
                reason: error.to_string(),
            })?;
        if let Some(pending) = &table.pending
            && let Err(reason) = pending.rules().check_document(&value, names)
        {
            let why = format!(
                "New document in table \"{}\" does not match the schema: {reason}",
                table.local_name()
            );
            self.misfits.push((pending.clone(), why));
        }
        let mut fields = value.into_object().expect("it was made an object above");
        fields.extend(system.into_iter().flatten());
        Ok(fields)
    }

    /// Refuses a document that would come to hold the same values as another one in a unique index.
    pub(super) fn check_unique(
        &mut self,
        table: &TableMeta,
        new: &StoredDocument,
        old_keys: &[Bytes],
        new_keys: &[Bytes],
    ) -> Result<(), DatabaseError> {
        let declared = table.ordered().zip(&new_keys[1..]).enumerate();
        for (at, (index, key)) in declared {
            // An unchanged key holds its values already, and no other document does.
            if !index.unique || old_keys.get(at + 1) == Some(key) {
                continue;
            }
            if let Some(existing) = self.holder(index, new)? {
                let existing = DocumentId::<()>::new(table.number, existing);
                return Err(QueryError::UniqueViolation {
                    table: table.name.clone(),
                    index: index.name.clone(),
                    values: describe_fields(&index.fields, &self.decode(new)?.fields),
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
        new: &StoredDocument,
    ) -> Result<Option<InternalId>, DatabaseError> {
        let IndexMeta { id, fields, .. } = index;
        let damage = |_| damaged(new.id());
        for field in fields {
            let value = encoded_at(new.bytes(), field).map_err(damage);
            if value.map_err(|error| self.break_with(error))?.is_none() {
                return Ok(None);
            }
        }
        let prefix = index_prefix(*id, fields, new.bytes()).map_err(damage);
        let range = KeyRange::prefix(prefix.map_err(|error| self.break_with(error))?);
        self.record(range.clone())?;
        let mut stream = Stream::new(range, Direction::Forward);
        self.look_up(&mut stream)?;
        match self.next_entry(&mut stream)? {
            Some((key, _)) => self.id_of_entry(&key).map(Some),
            None => Ok(None),
        }
    }

    /// A document's keys in the indexes of order of its table, `by_creation_time` first, then the declared ones.
    pub(super) fn index_keys(
        &mut self,
        table: &TableMeta,
        document: &StoredDocument,
    ) -> Result<Vec<Bytes>, DatabaseError> {
        let id = document.id();
        let keys = table
            .keyed()
            .map(|(index, fields)| index_key(index, fields, document.bytes(), id.internal()));
        keys.collect::<Result<_, _>>()
            .map_err(|_| self.break_with(damaged(id)))
    }
}

/// Sets a field that the server decides. A caller that provides it must provide the same value.
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
