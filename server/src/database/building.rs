//! Building indexes and checking documents while everything goes on: a few documents at a time, each time as a part of
//! an ordinary transaction.
//!
//! Writers keep an index from the commit that declares it. So a build needs to look only at the documents that were
//! there before, in any order, and may do so again. A build and a writer make the same entry.

use bytes::Bytes;
use vestibule_schema::id::{DocumentId, InternalId};
use vestibule_schema::path::FieldPath;
use vestibule_schema::table::IndexMethod;
use vestibule_schema::validator::Validator;
use vestibule_schema::value::Value;

use super::catalog::{IndexMeta, TableMeta};
use super::error::DatabaseError;
use super::keys::{IndexId, document_key, id_of_entry, index_key, index_prefix};
use super::scan::Stream;
use super::stored::{StoredDocument, damaged};
use super::transaction::Transaction;
use super::writing::{describe_fields, user_fields};
use crate::storage::{Direction, Entry, KeyRange, StorageError, successor};

/// Bytes of the documents of one step; one document in any case.
const STEP_BYTES_MAX: usize = 4 << 20;
/// The same where an index has many entries of a document.
const DERIVED_STEP_BYTES_MAX: usize = 256 << 10;
/// Entries of one step in such an index; those of one document in any case.
pub(super) const DERIVED_STEP_ENTRIES_MAX: usize = 8_192;

/// How far a walk over a table's documents has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Documents that it looked at.
    pub documents: usize,
    /// The last of them, after which the work continues; `None` at the end.
    pub next: Option<InternalId>,
    /// Why it need not go on.
    pub problem: Option<String>,
}

impl Step {
    /// Nothing was left to look at.
    pub fn ended() -> Step {
        Step {
            documents: 0,
            next: None,
            problem: None,
        }
    }
}

impl Transaction<'_> {
    /// Writes the entries in `index` of at most `max` documents behind those that earlier calls have looked at. The same commit
    /// says how far that is. Two documents with equal values in a unique index are a problem, which names both. The read
    /// set has what a transaction beside the lane needs there.
    pub fn fill_index(
        &mut self,
        table: &TableMeta,
        index: &IndexMeta,
        max: usize,
    ) -> Result<Step, DatabaseError> {
        let after = self.filled_to(table, index)?;
        let bytes_max = match index.is_derived() {
            true => DERIVED_STEP_BYTES_MAX,
            false => STEP_BYTES_MAX,
        };
        let (mut documents, mut is_end) = self.documents_behind(table, after, max, bytes_max)?;
        let (mut problem, mut entries, mut done) = (None, 0, 0);
        for document in &documents {
            let found = match index.is_derived() {
                true => {
                    entries += self.add_derived(index, document)?;
                    None
                }
                false => self.add_key(table, index, document)?,
            };
            problem = problem.or(found);
            done += 1;
            if entries >= DERIVED_STEP_ENTRIES_MAX {
                break;
            }
        }
        is_end &= done == documents.len();
        documents.truncate(done);
        if let Some((first, last)) = documents.first().zip(documents.last()) {
            let key = |document: &StoredDocument| {
                Bytes::copy_from_slice(&document_key(table.by_id, document.id().internal()))
            };
            self.record(KeyRange::new(key(first), successor(&key(last))))?;
        }
        let step = step(&documents, is_end, problem);
        if step.problem.is_none() {
            let reached = step.next.map(|InternalId(id)| {
                let position = [&id[..], name_of(table, index).as_bytes()].concat();
                Bytes::from(position)
            });
            self.write_system(fill_key(index.id), reached);
        }
        // A removal of the index beside the lane has not seen these entries.
        self.touched.push(&fill_key(index.id));
        Ok(step)
    }

    /// Writes a document's key in an index of order. Says so when another document holds the same values in a unique one.
    fn add_key(
        &mut self,
        table: &TableMeta,
        index: &IndexMeta,
        document: &StoredDocument,
    ) -> Result<Option<String>, DatabaseError> {
        let id = document.id();
        let key = index_key(index.id, &index.fields, document.bytes(), id.internal());
        let key = key.map_err(|_| self.break_with(damaged(id)))?;
        let mut problem = None;
        if index.unique {
            problem = self.duplicate_of(table, index, document, &key)?;
            // A writer beside the lane may have looked for these values before this entry was there.
            self.touched.push(&key);
        }
        self.write_system(key, Some(Bytes::new()));
        Ok(problem)
    }

    /// Writes a document's entries in an index of words or of vectors. Returns how many there are.
    fn add_derived(
        &mut self,
        index: &IndexMeta,
        document: &StoredDocument,
    ) -> Result<usize, DatabaseError> {
        let id = document.id();
        let entries = index.derived_entries(document.bytes(), id.internal());
        let entries = entries.map_err(|_| self.break_with(damaged(id)))?;
        let count = entries.len();
        for Entry { key, value } in entries {
            self.write_system(key, Some(value));
        }
        Ok(count)
    }

    /// The last document whose entry is in an index that is being built; none at its beginning. The position of another
    /// index that had this id does not count.
    pub(super) fn filled_to(
        &mut self,
        table: &TableMeta,
        index: &IndexMeta,
    ) -> Result<Option<InternalId>, DatabaseError> {
        let key = fill_key(index.id);
        let Some(reached) = self.read_system(&key)? else {
            return Ok(None);
        };
        match reached.split_first_chunk() {
            Some((id, name)) if name == name_of(table, index).as_bytes() => {
                Ok(Some(InternalId(*id)))
            }
            Some(_) => Ok(None),
            None => {
                let misplaced = StorageError::misplaced(&key, "no document id is stored there");
                Err(self.break_with(misplaced))
            }
        }
    }

    /// An index of this id is new, so its fill begins at the first document: ids are used again.
    pub(super) fn forget_fill(&mut self, index: IndexId) {
        self.write_system(fill_key(index), None);
    }

    /// Holds at most `max` documents behind `after` against `rules`. The first that does not fit is a problem.
    pub fn check_documents(
        &mut self,
        table: &TableMeta,
        rules: &Validator,
        after: Option<InternalId>,
        max: usize,
    ) -> Result<Step, DatabaseError> {
        let (documents, is_end) = self.documents_behind(table, after, max, STEP_BYTES_MAX)?;
        let catalog = self.catalog();
        let names = catalog.namespace_of(&table.name);
        for document in &documents {
            let fields = Value::Object(user_fields(self.decode(document)?.fields));
            if let Err(reason) = rules.check_document(&fields, &names) {
                let (id, name) = (document.id(), table.local_name());
                let problem = format!(
                    "Document with ID \"{id}\" in table \"{name}\" does not match the schema: {reason}"
                );
                return Ok(step(&documents, is_end, Some(problem)));
            }
        }
        Ok(step(&documents, is_end, None))
    }

    /// Removes at most `max` entries of an index that nothing uses any more. Returns whether the index is empty now.
    pub fn clear_index(&mut self, index: IndexId, max: usize) -> Result<bool, DatabaseError> {
        let entries = self.scan_system(index.range(), Direction::Forward, max)?;
        let is_empty = entries.len() < max;
        // An entry that is added behind the last one keeps it from being empty.
        let mut seen = index.range();
        if let Some((last, _)) = entries.last().filter(|_| !is_empty) {
            seen.end = Some(successor(last));
        }
        self.record(seen)?;
        // A fill touches this key instead of its entries.
        let fill = fill_key(index);
        let behind = successor(&fill);
        self.record(KeyRange::new(fill, behind))?;
        for (key, _) in entries {
            self.write_system(key, None);
        }
        Ok(is_empty)
    }

    /// How many documents a table has; counting ends at `max`.
    pub fn count_documents(
        &mut self,
        table: &TableMeta,
        max: usize,
    ) -> Result<usize, DatabaseError> {
        let range = table.by_creation_time.range();
        Ok(self.scan_system(range, Direction::Forward, max)?.len())
    }

    /// Looks at no more than `max` documents behind `after`. Returns their bytes, too.
    pub fn measure_documents(
        &mut self,
        table: &TableMeta,
        after: Option<InternalId>,
        max: usize,
    ) -> Result<(Step, usize), DatabaseError> {
        let (documents, is_end) = self.documents_behind(table, after, max, STEP_BYTES_MAX)?;
        let bytes = documents.iter().map(StoredDocument::size).sum();
        Ok((step(&documents, is_end, None), bytes))
    }

    /// Notes that the execution depends on every document of a table, without reading one.
    pub fn depend_on_documents(&mut self, table: &TableMeta) -> Result<(), DatabaseError> {
        Ok(self.record(table.by_id.range())?)
    }

    /// At most `max` documents behind `after`, fewer where they are large, and whether those are the last.
    fn documents_behind(
        &mut self,
        table: &TableMeta,
        after: Option<InternalId>,
        max: usize,
        bytes_max: usize,
    ) -> Result<(Vec<StoredDocument>, bool), DatabaseError> {
        let mut range = table.by_id.range();
        if let Some(after) = after {
            range.start = successor(&document_key(table.by_id, after));
        }
        let mut stream = Stream::new(range, Direction::Forward);
        let (mut documents, mut bytes) = (Vec::new(), 0);
        while documents.len() < max && bytes < bytes_max {
            let Some((key, value)) = self.next_entry(&mut stream)? else {
                return Ok((documents, true));
            };
            bytes += value.len();
            let misplaced = || StorageError::misplaced(&key, "a stored document has no id");
            let id = id_of_entry(&key).ok_or_else(|| self.break_with(misplaced()))?;
            let document = StoredDocument::new(DocumentId::new(table.number, id), value);
            documents.push(document.map_err(|error| self.break_with(error))?);
        }
        Ok((documents, false))
    }

    /// Says so when another document holds the same values in a unique index. One that lacks an indexed field does not
    /// compete.
    fn duplicate_of(
        &mut self,
        table: &TableMeta,
        index: &IndexMeta,
        document: &StoredDocument,
        key: &Bytes,
    ) -> Result<Option<String>, DatabaseError> {
        let fields = self.decode(document)?.fields;
        if index
            .fields
            .iter()
            .any(|field| field.lookup(&fields).is_none())
        {
            return Ok(None);
        }
        let prefix = index_prefix(index.id, &index.fields, document.bytes());
        let prefix = prefix.map_err(|_| self.break_with(damaged(document.id())))?;
        let range = KeyRange::prefix(prefix);
        self.record(range.clone())?;
        let holders = self.scan_system(range, Direction::Forward, 2)?;
        let other = holders.iter().find(|(holder, _)| holder != key);
        let other = other.and_then(|(holder, _)| id_of_entry(holder));
        Ok(other.map(|other| {
            let other = DocumentId::<()>::new(table.number, other);
            format!(
                "Unique index \"{}.{}\" cannot be built: two documents have {}: {other} and {}",
                table.name,
                index.name,
                describe_fields(&index.fields, &fields),
                document.id(),
            )
        }))
    }
}

/// The name of an index, as positions have it.
fn name_of(table: &TableMeta, index: &IndexMeta) -> String {
    let fields = index.fields.iter().map(FieldPath::to_string);
    let fields: Vec<String> = fields.collect();
    let method = match index.method {
        IndexMethod::Order => String::new(),
        IndexMethod::Search => " of words".to_owned(),
        IndexMethod::Vector { dimensions } => format!(" of {dimensions}"),
    };
    format!(
        "{}.{}({}){method}",
        table.name,
        index.name,
        fields.join(",")
    )
}

fn fill_key(index: IndexId) -> Bytes {
    IndexId::FILLS.key(&index.0.to_be_bytes())
}

fn step(documents: &[StoredDocument], is_end: bool, problem: Option<String>) -> Step {
    let last = documents.last().map(|document| document.id().internal());
    Step {
        documents: documents.len(),
        next: last.filter(|_| !is_end),
        problem,
    }
}
