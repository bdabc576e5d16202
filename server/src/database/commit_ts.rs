//! Unresolved commit timestamps: values that a mutation beside the lane writes before its commit has a timestamp. Until
//! then each is the greatest integer, wherever values are ordered or checked. A list of places beside the value says which
//! of its integers are meant. The lane puts the timestamp there once it gives one.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use vestibule_schema::id::DocumentId;
use vestibule_schema::path::FieldPath;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::{Object, Value};

use super::catalog::TableMeta;
use super::derived::difference;
use super::error::{DatabaseError, QueryError};
use super::keys::{IndexId, document_key, encode_document, index_key};
use super::stored::StoredDocument;
use super::transaction::{Changes, Transaction};
use crate::storage::Write;

/// One step on the way into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceStep {
    /// Into the field of an object.
    Field(String),
    /// Into an element of an array.
    Element(usize),
}

/// The places of a value's unresolved commit timestamps. Most values have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitTsPlaces(Vec<Vec<PlaceStep>>);

impl CommitTsPlaces {
    /// The value that stands for the timestamp until there is one.
    pub const UNRESOLVED: Value = Value::Int64(i64::MAX);

    /// Whether the value has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a place.
    pub fn push(&mut self, place: Vec<PlaceStep>) {
        self.0.push(place);
    }

    /// Adds the places of the value of a field.
    pub fn extend_inside(&mut self, field: &str, places: CommitTsPlaces) {
        for mut place in places.0 {
            place.insert(0, PlaceStep::Field(field.to_owned()));
            self.0.push(place);
        }
    }

    /// Puts `with` at each place of `value`.
    pub fn fill(&self, value: &mut Value, with: &Value) {
        for place in &self.0 {
            let found = place.iter().try_fold(&mut *value, inside);
            if let Some(found) = found {
                found.clone_from(with);
            }
        }
    }

    /// Puts the timestamp of the commit at each place of `value`.
    pub fn resolve(&self, value: &mut Value, ts: Timestamp) {
        if !self.is_empty() {
            self.fill(value, &resolved(ts));
        }
    }

    /// Whether a place is in one of these fields, or in a field around it.
    fn reach(&self, fields: &[FieldPath]) -> bool {
        let mut fields = fields.iter();
        fields.any(|path| {
            let first = path.fields().first();
            self.0.iter().any(|place| match place.first() {
                Some(PlaceStep::Field(name)) => Some(name) == first,
                Some(PlaceStep::Element(_)) | None => false,
            })
        })
    }

    /// Forgets the places in fields of these names.
    fn forget<'n>(&mut self, names: impl IntoIterator<Item = &'n String>) {
        for name in names {
            let is_inside = |place: &Vec<PlaceStep>| match place.first() {
                Some(PlaceStep::Field(field)) => field == name,
                Some(PlaceStep::Element(_)) | None => false,
            };
            self.0.retain(|place| !is_inside(place));
        }
    }
}

fn inside<'v>(value: &'v mut Value, step: &PlaceStep) -> Option<&'v mut Value> {
    match (value, step) {
        (Value::Object(fields), PlaceStep::Field(name)) => fields.get_mut(name),
        (Value::Array(elements), PlaceStep::Element(at)) => elements.get_mut(*at),
        _ => None,
    }
}

fn resolved(ts: Timestamp) -> Value {
    Value::Int64(i64::try_from(ts.0).unwrap_or(i64::MAX))
}

/// The documents that a transaction has written with unresolved commit timestamps, by the index that holds them: ids of two
/// components may be equal.
pub(super) type UnresolvedDocuments = BTreeMap<(IndexId, DocumentId), UnresolvedDocument>;

/// A document that the lane puts its commit's timestamp in.
#[derive(Clone)]
pub struct UnresolvedDocument {
    table: Arc<TableMeta>,
    id: DocumentId,
    places: CommitTsPlaces,
}

impl Transaction<'_> {
    /// The places of a document of this transaction that hold the timestamp of its commit, if it has any.
    pub fn commit_ts_places(&self, id: DocumentId) -> Option<&CommitTsPlaces> {
        let document = self.unresolved.get(&self.unresolved_key(id)?)?;
        Some(&document.places)
    }

    fn unresolved_key(&self, id: DocumentId) -> Option<(IndexId, DocumentId)> {
        if self.unresolved.is_empty() {
            return None;
        }
        Some((self.table_of(id)?.by_id, id))
    }

    /// Notes that a document, just written with [`CommitTsPlaces::UNRESOLVED`] at these places, is to have the timestamp of
    /// the commit there. [`TableMeta::may_await_commit_ts`] says before the write whether it may.
    pub fn await_commit_ts(
        &mut self,
        id: DocumentId,
        places: CommitTsPlaces,
    ) -> Result<(), DatabaseError> {
        if places.is_empty() {
            return Ok(());
        }
        let table = self.table_of(id).cloned();
        let table = table.ok_or_else(|| QueryError::UnknownTable(id.to_string()))?;
        table.may_await_commit_ts(&places)?;
        let key = document_key(table.by_id, id.internal());
        if self.writes.get(&key).is_none() {
            // It held the greatest integer before, so the write changed nothing. Its commit will.
            if let Some(stored) = self.stored_in(table.by_id, id)? {
                self.write_in_place(&table, stored)?;
            }
        }
        let document = self.unresolved.entry((table.by_id, id));
        let document = document.or_insert_with(|| UnresolvedDocument {
            table,
            id,
            places: CommitTsPlaces::default(),
        });
        document.places.0.extend(places.0);
        Ok(())
    }

    /// Other values were put in the place of these fields.
    pub(super) fn forget_commit_ts_in<'n>(
        &mut self,
        id: DocumentId,
        names: impl IntoIterator<Item = &'n String>,
    ) {
        let Some(key) = self.unresolved_key(id) else {
            return;
        };
        if let Some(document) = self.unresolved.get_mut(&key) {
            document.places.forget(names);
            if document.places.is_empty() {
                self.unresolved.remove(&key);
            }
        }
    }

    /// The document was written anew, or deleted.
    pub(super) fn forget_commit_ts_of(&mut self, id: DocumentId) {
        if let Some(key) = self.unresolved_key(id) {
            self.unresolved.remove(&key);
        }
    }

    /// The documents for the lane to put the timestamp in.
    pub(super) fn take_unresolved(&mut self) -> Vec<UnresolvedDocument> {
        let unresolved = std::mem::take(&mut self.unresolved);
        unresolved.into_values().collect()
    }
}

impl TableMeta {
    /// Refuses places in a unique index: the timestamp would have to be looked for among the values that are there, on the
    /// lane.
    pub fn may_await_commit_ts(&self, places: &CommitTsPlaces) -> Result<(), QueryError> {
        let mut unique = self.indexes.iter().filter(|index| index.unique);
        match unique.find(|index| places.reach(&index.fields)) {
            None => Ok(()),
            Some(index) => Err(QueryError::CommitTsInUniqueIndex {
                table: self.name.clone(),
                index: index.name.clone(),
            }),
        }
    }
}

impl Changes {
    /// Puts the timestamp of the commit into the documents that wait for it, and into their entries in indexes.
    pub(super) fn resolve(&mut self, ts: Timestamp) {
        if self.unresolved.is_empty() {
            return;
        }
        let writes = std::mem::take(&mut self.writes).into_iter();
        let mut writes: BTreeMap<Bytes, Option<Bytes>> =
            writes.map(|write| (write.key, write.value)).collect();
        for document in std::mem::take(&mut self.unresolved) {
            for Write { key, value } in document.resolved_writes(&writes, ts) {
                self.touched.push(&key);
                writes.insert(key, value);
            }
        }
        let writes = writes.into_iter();
        self.writes = writes.map(|(key, value)| Write { key, value }).collect();
    }
}

impl UnresolvedDocument {
    /// The writes that put the timestamp in the place of what `writes` hold of it.
    fn resolved_writes(
        &self,
        writes: &BTreeMap<Bytes, Option<Bytes>>,
        ts: Timestamp,
    ) -> Vec<Write> {
        let key = document_key(self.table.by_id, self.id.internal());
        let Some(Some(before)) = writes.get(&key[..]) else {
            return Vec::new();
        };
        let after = encode_document(self.fields(before, ts));
        let mut resolved = self.moved_entries(before, &after);
        resolved.push(Write {
            key: Bytes::copy_from_slice(&key),
            value: Some(after),
        });
        resolved
    }

    fn fields(&self, bytes: &Bytes, ts: Timestamp) -> Object {
        let stored = StoredDocument::new(self.id, bytes.clone());
        let fields = stored.and_then(|stored| stored.fields());
        let mut value = Value::Object(fields.expect(OF_THIS_TRANSACTION));
        self.places.resolve(&mut value, ts);
        value.into_object().expect("it was made an object above")
    }

    /// The entries in indexes that change with the document. An entry of the greatest integer may be older than the
    /// transaction: it is removed in any case.
    fn moved_entries(&self, before: &[u8], after: &[u8]) -> Vec<Write> {
        let id = self.id.internal();
        let mut moved = Vec::new();
        for (index, fields) in self.table.keyed() {
            let [old, new] = [before, after]
                .map(|bytes| index_key(index, fields, bytes, id).expect(OF_THIS_TRANSACTION));
            if old != new {
                moved.push(Write {
                    key: old,
                    value: None,
                });
                moved.push(Write {
                    key: new,
                    value: Some(Bytes::new()),
                });
            }
        }
        let derived = self.table.derived();
        for index in derived.filter(|index| self.places.reach(&index.fields)) {
            let [old, new] = [before, after]
                .map(|bytes| index.derived_entries(bytes, id).expect(OF_THIS_TRANSACTION));
            moved.extend(difference(old, new));
        }
        moved
    }
}

const OF_THIS_TRANSACTION: &str = "this transaction has encoded the document";

#[cfg(test)]
mod tests {
    use vestibule_schema::key::decode_key;
    use vestibule_schema::object;

    use super::super::tests::{Rig, schema, table};
    use super::*;

    const TS: Timestamp = Timestamp(1_234_567);

    fn at(field: &str) -> CommitTsPlaces {
        let mut places = CommitTsPlaces::default();
        places.push(vec![PlaceStep::Field(field.to_owned())]);
        places
    }

    fn rig() -> Rig {
        Rig::new(schema([table("items", &[("by_ts", &["ts"])])]))
    }

    /// What `body` leaves to a commit at [`TS`]: the documents that it writes, and the values of `ts` that it adds to the index
    /// and takes out of it.
    fn committed(
        rig: &mut Rig,
        body: impl FnOnce(&mut Transaction<'_>),
    ) -> (Vec<Object>, Vec<Value>, Vec<Value>) {
        let (mut changes, by_id, by_ts) = rig.attempt(|tx| {
            body(tx);
            let catalog = tx.catalog();
            let table = catalog.table("items").unwrap();
            let by_ts = table.index("by_ts").unwrap().id;
            (tx.lend().into_changes(), table.by_id, by_ts)
        });
        changes.resolve(TS);
        let (mut documents, mut added, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for Write { key, value } in changes.writes {
            let (index, rest) = key.split_at(by_id.0.to_be_bytes().len());
            if index == by_id.0.to_be_bytes() {
                let value = value.map(|value| decode_key(&value).unwrap().0.unwrap());
                documents.extend(value.and_then(|value| value.into_object().ok()));
            } else if index == by_ts.0.to_be_bytes() {
                let ts = decode_key(rest).unwrap().0.unwrap();
                match value {
                    Some(_) => added.push(ts),
                    None => removed.push(ts),
                }
            }
        }
        (documents, added, removed)
    }

    #[test]
    fn a_commit_puts_its_timestamp_into_documents_and_their_index_entries() {
        let (documents, added, removed) = committed(&mut rig(), |tx| {
            let fields = object! { "ts" => i64::MAX, "most" => i64::MAX };
            let id = tx.insert("items", fields).unwrap();
            tx.await_commit_ts(id, at("ts")).unwrap();
            // A change of another field leaves it as it is.
            tx.patch(id, object! { "n" => 1.0 }).unwrap();
            assert_eq!(tx.commit_ts_places(id), Some(&at("ts")));
        });
        assert_eq!(documents.len(), 1);
        assert_eq!(documents[0]["ts"], Value::from(1_234_567_i64));
        assert_eq!(documents[0]["most"], Value::from(i64::MAX));
        assert_eq!(added, [Value::from(1_234_567_i64)]);
        assert_eq!(removed, [Value::from(i64::MAX)]);
    }

    #[test]
    fn a_document_that_held_the_greatest_integer_before_gets_the_timestamp() {
        let mut rig = rig();
        let id = rig.insert("items", object! { "ts" => i64::MAX });
        let (documents, added, removed) = committed(&mut rig, |tx| {
            tx.patch(id, object! { "ts" => i64::MAX }).unwrap();
            tx.await_commit_ts(id, at("ts")).unwrap();
        });
        assert_eq!(documents[0]["ts"], Value::from(1_234_567_i64));
        assert_eq!(added, [Value::from(1_234_567_i64)]);
        assert_eq!(removed, [Value::from(i64::MAX)]);
    }

    #[test]
    fn what_is_written_over_or_taken_back_gets_no_timestamp() {
        let (documents, added, _) = committed(&mut rig(), |tx| {
            for change in 0..4 {
                let before = tx.savepoint();
                let id = tx.insert("items", object! { "ts" => i64::MAX }).unwrap();
                tx.await_commit_ts(id, at("ts")).unwrap();
                match change {
                    0 => tx.patch(id, object! { "ts" => 5_i64 }).unwrap(),
                    1 => tx.replace(id, object! { "ts" => i64::MAX }).unwrap(),
                    2 => tx.delete(id).unwrap(),
                    _ => tx.roll_back_to(before),
                }
                assert_eq!(tx.commit_ts_places(id), None);
            }
        });
        assert_eq!(documents.len(), 2);
        assert_eq!(added, [Value::from(5_i64), Value::from(i64::MAX)]);
    }

    #[test]
    fn a_unique_index_takes_none() {
        let mut rig = Rig::new(schema([table("items", &[("by_ts!", &["ts"])])]));
        rig.attempt(|tx| {
            let catalog = tx.catalog();
            let items = catalog.table("items").unwrap();
            let refused = items
                .may_await_commit_ts(&at("ts"))
                .unwrap_err()
                .to_string();
            assert!(refused.contains("is unique"), "{refused}");
            assert_eq!(items.may_await_commit_ts(&at("other")), Ok(()));
            let id = tx.insert("items", object! { "ts" => i64::MAX }).unwrap();
            tx.await_commit_ts(id, at("ts")).unwrap_err();
        });
    }

    #[test]
    fn readers_by_any_index_are_overtaken_by_a_timestamp_that_takes_the_place_of_its_stand_in() {
        let mut rig = rig();
        let id = rig.insert("items", object! { "ts" => i64::MAX });
        let (changes, by_creation_time) = rig.attempt(|tx| {
            let by_creation_time = tx.catalog().table("items").unwrap().by_creation_time;
            tx.patch(id, object! { "ts" => i64::MAX }).unwrap();
            tx.await_commit_ts(id, at("ts")).unwrap();
            assert_eq!(tx.usage().documents_written, 1);
            (tx.lend().into_changes(), by_creation_time)
        });
        let range = by_creation_time.range();
        assert!(changes.touched.iter().any(|key| range.contains(key)));
    }
}
