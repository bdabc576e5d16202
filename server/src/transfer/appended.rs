//! Documents that an import appends to tables in use, which are seen as they come. The commits that write them note
//! them, so that an unfinished import is taken back.
//!
//! The notes of an import outlive the process. Its state decides about them. Those of a completed import are
//! forgotten; those of any other one say which documents are to go.

use vestibule_schema::id::{DocumentId, INTERNAL_ID_BYTES, InternalId};
use vestibule_schema::object;
use vestibule_schema::path::ComponentPath;
use vestibule_schema::value::{Object, Value};

use super::error::TransferError;
use super::states::{Import, name_of};
use crate::database::{Database, DatabaseError, Query, RawDocument, Transaction};
use crate::files::{OBJECTS, note_gone, work};

/// The table of notes.
pub const APPENDED: &str = "_import_appended";
/// Notes of a completed import that one commit forgets.
const FORGOTTEN_MAX: usize = 256;

/// Notes that these documents, all of one table, are an import's.
pub fn note(
    tx: &mut Transaction<'_>,
    import: DocumentId,
    table: &str,
    documents: &[DocumentId],
) -> Result<(), DatabaseError> {
    if documents.is_empty() {
        return Ok(());
    }
    let ids: Vec<u8> = documents.iter().flat_map(|id| id.internal().0).collect();
    let fields = object! {
        "import" => import.to_string(),
        "table" => table,
        "ids" => Value::Bytes(ids),
    };
    tx.insert(APPENDED, fields)?;
    Ok(())
}

/// Takes back what imports appended that were not completed, and forgets the notes of the others, in commits of bounded
/// size. For threads that may wait, while no import runs. Goes on until `stop` says so.
pub fn settle(database: &Database, stop: impl Fn() -> bool) -> Result<(), TransferError> {
    let mut documents = 0;
    while !stop() {
        let Some(removed) = work::begin_write(database, settle_some)?.wait()? else {
            break;
        };
        documents += removed;
    }
    if documents > 0 {
        tracing::info!(documents, "what an import had appended is taken back");
    }
    Ok(())
}

/// Settles the next notes. Returns how many documents went; `None` where there was no note.
fn settle_some(tx: &mut Transaction<'_>) -> Result<Option<usize>, TransferError> {
    // Documents may have grown since, and what is charged must not keep them. Nobody asks for them again.
    tx.uncharged(|tx| tx.in_bulk(settle_first))
}

fn settle_first(tx: &mut Transaction<'_>) -> Result<Option<usize>, TransferError> {
    let notes = Query::table(APPENDED);
    let first = tx.take(&notes, 1)?;
    let Some(first) = first.first() else {
        return Ok(None);
    };
    if is_unfinished(tx, &first.fields)? {
        let removed = take_back(tx, first)?;
        tx.delete(first.id)?;
        return Ok(Some(removed));
    }
    // Each of them is read on the lane, so only where they are used.
    for note in tx.take(&notes, FORGOTTEN_MAX)? {
        if note.fields.get("import") == first.fields.get("import") {
            tx.delete(note.id)?;
        }
    }
    Ok(Some(0))
}

/// Whether a note's import is known not to have been completed. Documents of an import that nobody knows stay.
fn is_unfinished(tx: &mut Transaction<'_>, note: &Object) -> Result<bool, TransferError> {
    let import = note.get("import").and_then(Value::as_str);
    match Import::find(tx, import.unwrap_or_default()) {
        Ok(import) => Ok(name_of(&import.state) != "completed"),
        Err(TransferError::UnknownImport(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn take_back(tx: &mut Transaction<'_>, note: &RawDocument) -> Result<usize, TransferError> {
    let catalog = tx.catalog();
    let table = note.fields.get("table").and_then(Value::as_str);
    // A table that went took its documents along.
    let Some(table) = table.and_then(|table| catalog.table(table)) else {
        return Ok(0);
    };
    tx.enter(table.component().parse().unwrap_or_default());
    let ids = note.fields.get("ids").and_then(Value::as_bytes);
    let (ids, _) = ids.unwrap_or_default().as_chunks::<INTERNAL_ID_BYTES>();
    let mut removed = 0;
    for id in ids {
        let id = DocumentId::new(table.number, InternalId(*id));
        // A function may have deleted it.
        let Some(document) = tx.get(id)? else {
            continue;
        };
        tx.delete(id)?;
        match table.name == OBJECTS {
            true => note_gone(tx, &document.fields)?,
            false => removed += 1,
        }
    }
    tx.enter(ComponentPath::ROOT);
    Ok(removed)
}
