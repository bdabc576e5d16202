//! Documents as they come from the store: not decoded before the reader names a type.

use bytes::Bytes;
use vestibule_schema::convert::from_document;
use vestibule_schema::id::DocumentId;
use vestibule_schema::key::{decode_key, encoded_size};
use vestibule_schema::table::Table;
use vestibule_schema::value::{Object, Value};

use super::error::{DatabaseError, QueryError};
use super::transaction::{RawDocument, Transaction};
use super::typed::Document;
use crate::storage::StorageError;

/// A document as it is stored.
#[derive(Clone, Debug)]
pub struct StoredDocument {
    id: DocumentId,
    /// The encoding of its fields but `_id`.
    bytes: Bytes,
    /// As limits count it, with `_id`.
    size: usize,
}

/// Why a stored document is of no use to a scan.
pub(super) enum Unusable {
    /// It cannot be decoded.
    Damaged(StorageError),
    /// The function asked for something impossible.
    Query(QueryError),
}

impl From<QueryError> for Unusable {
    fn from(error: QueryError) -> Self {
        Unusable::Query(error)
    }
}

impl From<StorageError> for Unusable {
    fn from(error: StorageError) -> Self {
        Unusable::Damaged(error)
    }
}

impl StoredDocument {
    /// The document `id` that is stored as `bytes`.
    pub(super) fn new(id: DocumentId, bytes: Bytes) -> Result<StoredDocument, StorageError> {
        let size = encoded_size(&bytes).map_err(|_| damaged(id))?;
        Ok(StoredDocument::sized(id, bytes, size))
    }

    /// As [`Self::new`], where the size of what is encoded is known.
    pub(super) fn sized(id: DocumentId, bytes: Bytes, size: usize) -> StoredDocument {
        // Its name, its own mark and those of a string.
        const ID_FIELD_BYTES: usize = "_id".len() + 1 + 2;
        StoredDocument {
            id,
            bytes,
            size: size + ID_FIELD_BYTES + id.text_len(),
        }
    }

    /// Its id.
    pub fn id(&self) -> DocumentId {
        self.id
    }

    /// How large it is, in bytes as limits count them.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The encoding of its fields but `_id`.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// All its fields, `_id` and `_creationTime` among them.
    pub(super) fn fields(&self) -> Result<Object, StorageError> {
        match decode_key(&self.bytes) {
            Ok((Some(Value::Object(mut fields)), used)) if used == self.bytes.len() => {
                fields.insert("_id".to_string(), Value::String(self.id.to_string()));
                Ok(fields)
            }
            _ => Err(damaged(self.id)),
        }
    }
}

pub(super) fn damaged(id: DocumentId) -> StorageError {
    let key = Bytes::copy_from_slice(&id.internal().0);
    StorageError::misplaced(&key, "a stored document cannot be decoded")
}

impl Transaction<'_> {
    /// The document with its fields as values.
    pub fn decode(&mut self, stored: &StoredDocument) -> Result<RawDocument, DatabaseError> {
        let fields = stored.fields().map_err(|error| self.break_with(error))?;
        Ok(RawDocument {
            id: stored.id,
            fields,
        })
    }

    /// The document as its table's type.
    pub(super) fn read_as<T: Table>(
        &mut self,
        stored: &StoredDocument,
    ) -> Result<Document<T>, DatabaseError> {
        match from_document(&stored.bytes) {
            Ok((value, creation_time)) => Ok(Document {
                id: DocumentId::new(stored.id.table(), stored.id.internal()),
                creation_time,
                value,
            }),
            Err(source) => {
                // A damaged document fits no type either.
                self.decode(stored)?;
                let table = T::NAME.to_string();
                Err(QueryError::Convert { table, source }.into())
            }
        }
    }
}
