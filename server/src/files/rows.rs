//! The documents of a file. `_storage` holds the fields that functions see. `_storage_objects` says under which UUID
//! the content lies and is asked for. `_storage_deletions` lists contents that are to be removed now that their
//! documents are gone.

use std::borrow::Cow;

use data_encoding::BASE64;
use uuid::Uuid;
use vestibule_schema::id::DocumentId;
use vestibule_schema::object;
use vestibule_schema::value::{Object, Value};

use super::blobs::Written;
use super::error::FileError;
use super::storage_id::StorageId;
use crate::database::{Bound, BoundKind, Query, RawDocument, Source, Transaction};

/// The table that functions read files' documents from.
pub const STORAGE: &str = "_storage";
/// The table of contents and their UUIDs.
pub const OBJECTS: &str = "_storage_objects";
/// The table of contents to remove.
pub const DELETIONS: &str = "_storage_deletions";

/// A file, as its documents describe it.
#[derive(Clone, Debug, PartialEq)]
pub struct FileRow {
    /// The id of its document in `_storage`.
    pub id: DocumentId,
    /// The key of its content, and its name in URLs.
    pub uuid: Uuid,
    /// The SHA-256 of its content.
    pub sha256: [u8; 32],
    /// How many bytes its content has.
    pub bytes: u64,
    /// Its content type, where one was given.
    pub content_type: Option<String>,
}

/// Adds the documents of a file whose content lies at `uuid`.
pub fn insert(
    tx: &mut Transaction<'_>,
    uuid: Uuid,
    written: &Written,
    content_type: Option<&str>,
) -> Result<DocumentId, FileError> {
    let mut file = object! {
        "sha256" => BASE64.encode(&written.sha256),
        "size" => written.bytes as f64,
    };
    // An empty one names nothing.
    if let Some(content_type) = content_type.filter(|text| !text.is_empty()) {
        file.insert("contentType".to_string(), content_type.into());
    }
    let id = tx.insert(STORAGE, file)?;
    tx.insert(OBJECTS, object_fields(id, uuid))?;
    Ok(id)
}

/// The fields of a document in `_storage_objects`.
pub fn object_fields(id: DocumentId, uuid: Uuid) -> Object {
    object! { "storageId" => id.to_string(), "uuid" => uuid.to_string() }
}

/// The UUID of a file; `None` when there is no such file.
pub fn uuid_of(tx: &mut Transaction<'_>, id: &StorageId) -> Result<Option<Uuid>, FileError> {
    let object = object_of(tx, id)?;
    Ok(object.as_ref().and_then(|object| uuid_in(&object.fields)))
}

/// A file; `None` when there is none.
pub fn find(tx: &mut Transaction<'_>, id: &StorageId) -> Result<Option<FileRow>, FileError> {
    let Some(object) = object_of(tx, id)? else {
        return Ok(None);
    };
    let text = |name| object.fields.get(name).and_then(Value::as_str);
    let (Some(storage_id), Some(uuid)) = (
        text("storageId").and_then(|id| id.parse().ok()),
        uuid_in(&object.fields),
    ) else {
        return Ok(None);
    };
    let file = tx.get(storage_id)?;
    Ok(file.and_then(|file| read(&file, uuid)))
}

/// Removes the documents of a file, and notes that its content is to go once that is committed.
pub fn delete(tx: &mut Transaction<'_>, id: &StorageId, given: &str) -> Result<(), FileError> {
    let not_found = || FileError::NotFound(given.to_string());
    let object = object_of(tx, id)?.ok_or_else(not_found)?;
    let text = |name| object.fields.get(name).and_then(Value::as_str);
    let storage_id: DocumentId = text("storageId")
        .and_then(|id| id.parse().ok())
        .ok_or_else(not_found)?;
    let uuid = text("uuid").unwrap_or_default().to_string();
    tx.delete(storage_id)?;
    tx.delete(object.id)?;
    tx.insert(DELETIONS, object! { "uuid" => uuid })?;
    Ok(())
}

/// Notes that the content of a document of `_storage_objects` is to go, unless a file lies there now.
pub fn note_gone(tx: &mut Transaction<'_>, object: &Object) -> Result<(), FileError> {
    let Some(uuid) = uuid_in(object) else {
        return Ok(());
    };
    if uuid_of(tx, &StorageId::Uuid(uuid))?.is_none() && !is_deleted(tx, uuid)? {
        tx.insert(DELETIONS, object! { "uuid" => uuid.to_string() })?;
    }
    Ok(())
}

/// At most `max` contents that are to be removed, with the documents that say so. They are those of files that were
/// deleted up to `until`, in milliseconds since 1970.
pub fn deletions(
    tx: &mut Transaction<'_>,
    max: usize,
    until: f64,
) -> Result<Vec<(DocumentId, Option<Uuid>)>, FileError> {
    let noted = tx.take(&Query::table(DELETIONS), max)?;
    let is_due = |note: &&RawDocument| {
        let noted_at = note.fields.get("_creationTime").and_then(Value::as_f64);
        noted_at.is_none_or(|noted_at| noted_at <= until)
    };
    // The oldest come first.
    let due = noted.iter().take_while(is_due);
    Ok(due.map(|note| (note.id, uuid_in(&note.fields))).collect())
}

/// Whether a content is to be removed, or kept for a while, because its file was deleted.
pub fn is_deleted(tx: &mut Transaction<'_>, uuid: Uuid) -> Result<bool, FileError> {
    let query = Query {
        source: equal_to("by_uuid", "uuid", uuid.to_string()),
        ..Query::table(DELETIONS)
    };
    Ok(!tx.take(&query, 1)?.is_empty())
}

/// A document of `_storage` as a file.
fn read(file: &RawDocument, uuid: Uuid) -> Option<FileRow> {
    let sha256 = file.fields.get("sha256")?.as_str()?;
    Some(FileRow {
        id: file.id,
        uuid,
        sha256: parse_sha256(sha256)?,
        bytes: file.fields.get("size")?.as_f64()? as u64,
        content_type: file
            .fields
            .get("contentType")
            .and_then(Value::as_str)
            // Earlier versions stored an empty one as it came.
            .filter(|text| !text.is_empty())
            .map(str::to_string),
    })
}

/// A SHA-256 in base64.
pub fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    BASE64.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn object_of(tx: &mut Transaction<'_>, id: &StorageId) -> Result<Option<RawDocument>, FileError> {
    let query = match id {
        StorageId::Document(id) => by_index("by_storage_id", "storageId", id.to_string()),
        StorageId::Uuid(uuid) => by_index("by_uuid", "uuid", uuid.to_string()),
    };
    Ok(tx.unique(&query)?)
}

fn by_index(index: &'static str, field: &'static str, value: String) -> Query {
    Query {
        source: equal_to(index, field, value),
        ..Query::table(OBJECTS)
    }
}

fn equal_to(index: &'static str, field: &'static str, value: String) -> Source {
    let bound = Bound {
        kind: BoundKind::Eq,
        field: Cow::Borrowed(field),
        value: Some(value.into()),
    };
    Source::IndexRange {
        index: Cow::Borrowed(index),
        bounds: vec![bound],
    }
}

fn uuid_in(object: &Object) -> Option<Uuid> {
    Uuid::try_parse(object.get("uuid")?.as_str()?).ok()
}
