//! The places of all data in the ordered key space of the store.
//!
//! Every key starts with the four big-endian bytes of an index id, so an index is one contiguous range. A table's
//! `by_id` index holds the documents themselves; every other index ends in the document's 16 internal id bytes and
//! holds nothing else.

use bytes::Bytes;
use vestibule_schema::id::{INTERNAL_ID_BYTES, InternalId};
use vestibule_schema::key::{KeyError, encode_object, encoded_at, encoded_field, push_encoded};
use vestibule_schema::path::FieldPath;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::Object;

use crate::storage::{GROUP_TAIL_BYTES, KeyRange, SLOT_KEY_BYTES_MAX};

/// One contiguous part of the key space. Ids below [`IndexId::FIRST_USER`] are the database's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexId(pub u32);

impl IndexId {
    /// The catalog: one entry a table.
    pub const CATALOG: IndexId = IndexId(0);
    /// Answers of mutations that clients may send again, an entry each.
    pub const SESSION_REQUESTS: IndexId = IndexId(1);
    /// One entry, written by the first commit of all and by each start.
    pub const STARTS: IndexId = IndexId(2);
    /// Chunks, by the hash of their content.
    pub const CHUNKS: IndexId = IndexId(3);
    /// Dependencies of executions that are not documents. Nothing is stored here.
    pub const DEPENDENCIES: IndexId = IndexId(4);
    /// Answers of mutations that clients may send again, many to an entry.
    pub const SESSION_ANSWERS: IndexId = IndexId(5);
    /// How far each index is filled that is being built. Earlier versions wrote that under 6, and left it when an index
    /// went.
    pub const FILLS: IndexId = IndexId(7);
    /// The first id given to a table's index.
    pub const FIRST_USER: u32 = 16;
    /// Bytes it takes in front of every key.
    pub const BYTES: usize = size_of::<u32>();

    /// Every key of this index.
    pub fn range(self) -> KeyRange {
        KeyRange::prefix(self.0.to_be_bytes().to_vec())
    }

    /// The key of this index that ends in `rest`.
    pub fn key(self, rest: &[u8]) -> Bytes {
        [&self.0.to_be_bytes(), rest].concat().into()
    }
}

/// Documents have slots in the store.
const _: () = assert!(DOCUMENT_KEY_BYTES <= SLOT_KEY_BYTES_MAX);

/// Bytes of a document's key in its table's `by_id` index.
pub const DOCUMENT_KEY_BYTES: usize = IndexId::BYTES + INTERNAL_ID_BYTES;

/// The key of a document in its table's `by_id` index.
pub fn document_key(by_id: IndexId, id: InternalId) -> [u8; DOCUMENT_KEY_BYTES] {
    let mut key = [0; DOCUMENT_KEY_BYTES];
    let (index, internal) = key.split_at_mut(IndexId::BYTES);
    index.copy_from_slice(&by_id.0.to_be_bytes());
    internal.copy_from_slice(&id.0);
    key
}

/// The key of a document, as it is stored, in an index over `fields`: index id, each field's value, `_creationTime`,
/// internal id. Values are encoded alike in documents and in keys.
pub fn index_key(
    index: IndexId,
    fields: &[FieldPath],
    document: &[u8],
    id: InternalId,
) -> Result<Bytes, KeyError> {
    let mut key = Vec::with_capacity(64);
    push_index_key(&mut key, index, fields, document, id)?;
    Ok(key.into())
}

/// Appends what [`index_key`] makes.
pub fn push_index_key(
    key: &mut Vec<u8>,
    index: IndexId,
    fields: &[FieldPath],
    document: &[u8],
    id: InternalId,
) -> Result<(), KeyError> {
    push_index_prefix(key, index, fields, document)?;
    push_encoded(key, encoded_field(document, "_creationTime")?);
    key.extend_from_slice(&id.0);
    Ok(())
}

/// Every index key ends in `_creationTime`, a float64 with its tag, and the internal id.
const INDEX_KEY_TAIL_BYTES: usize = (1 + size_of::<f64>()) + INTERNAL_ID_BYTES;
const _: () = assert!(INDEX_KEY_TAIL_BYTES == GROUP_TAIL_BYTES);

/// The part of an index key that a unique index must not hold twice: index id and each field's value.
pub fn index_prefix(
    index: IndexId,
    fields: &[FieldPath],
    document: &[u8],
) -> Result<Vec<u8>, KeyError> {
    let mut key = Vec::with_capacity(64);
    push_index_prefix(&mut key, index, fields, document)?;
    Ok(key)
}

fn push_index_prefix(
    key: &mut Vec<u8>,
    index: IndexId,
    fields: &[FieldPath],
    document: &[u8],
) -> Result<(), KeyError> {
    key.extend_from_slice(&index.0.to_be_bytes());
    for field in fields {
        push_encoded(key, encoded_at(document, field)?);
    }
    Ok(())
}

/// The internal id at the end of an index entry's key; `None` for a key too short to be one.
pub fn id_of_entry(key: &[u8]) -> Option<InternalId> {
    key.last_chunk::<16>().map(|id| InternalId(*id))
}

/// The key of a record that makes a mutation harmless to send again, or of a row of such records.
pub fn session_request_key(index: IndexId, session: &[u8; 16], request: u32) -> Bytes {
    let mut key = Vec::with_capacity(24);
    key.extend_from_slice(&index.0.to_be_bytes());
    key.extend_from_slice(session);
    key.extend_from_slice(&request.to_be_bytes());
    key.into()
}

/// A commit timestamp as `_creationTime` counts: milliseconds since the epoch, with the part below a millisecond.
pub fn creation_time(ts: Timestamp) -> f64 {
    let nanos_per_milli = 1_000_000;
    (ts.0 / nanos_per_milli) as f64 + (ts.0 % nanos_per_milli) as f64 * 1e-6
}

/// A document's bytes as stored: the order-keeping encoding of its fields without `_id`, which its key holds.
pub fn encode_document(mut fields: Object) -> Bytes {
    fields.remove("_id");
    let mut bytes = Vec::with_capacity(128);
    encode_object(&mut bytes, &fields);
    bytes.into()
}
