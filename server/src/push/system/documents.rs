//! Changing documents by hand: adding, replacing, patching and deleting them, and emptying a table.
//!
//! A change that cannot be made is answered with `success: false` before anything is written. A fault that only a write
//! finds, such as a document that does not match the schema, is thrown. So nothing of the change remains.

use std::collections::BTreeSet;

use serde::Deserialize;
use vestibule_schema::id::DocumentId;
use vestibule_schema::object;
use vestibule_schema::value::{Object, Value};

use super::mutation;
use super::reach::{changed_table_of, check_changed, id_in};
use crate::database::{
    DatabaseError, Limits, PaginationOptions, Patch, Query, QueryError, Transaction, stored_name,
};
use crate::functions::{Error, Function, MutationCtx, Result};

/// Documents that one call may add, patch or delete.
pub const DOCUMENTS_CHANGED_MAX: usize = 4_096;
/// Documents that one call of `clearTablePage` deletes.
const CLEARED_MAX: usize = 4_000;
/// Bytes of documents that one call of `clearTablePage` deletes: each is read twice.
const CLEARED_BYTES_MAX: usize = 6 << 20;
/// Time of one change, in milliseconds. It keeps nobody waiting.
const MILLIS_MAX: u64 = 10_000;
/// The value by which a patch says that a field is to go: `undefined` is no value.
pub const UNSET: &str = "__undef";

pub fn functions() -> Vec<Function> {
    vec![
        mutation("_system/frontend/addDocument:default", add),
        mutation("_system/frontend/replaceDocument:default", replace),
        mutation("_system/frontend/patchDocumentsFields:default", patch),
        mutation("_system/frontend/deleteDocuments:default", delete),
        mutation("_system/frontend/clearTablePage:default", clear_page),
        mutation("_system/frontend/createTable:default", create_table),
    ]
}

#[derive(Deserialize)]
struct Add {
    table: String,
    documents: Vec<Value>,
}

#[derive(Deserialize)]
struct Replace {
    id: Value,
    document: Value,
}

#[derive(Deserialize)]
struct PatchFields {
    #[serde(default)]
    table: Option<String>,
    ids: Vec<Value>,
    fields: Object,
}

#[derive(Deserialize)]
struct Delete {
    #[serde(rename = "toDelete", alias = "ids")]
    to_delete: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClearPage {
    #[serde(alias = "table")]
    table_name: String,
    #[serde(default)]
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct CreateTable {
    #[serde(alias = "tableName")]
    table: String,
}

/// Why a change was not made.
enum NotChanged {
    /// It cannot be made. Nothing has been written yet.
    Refused(String),
    Threw(Error),
}

impl From<String> for NotChanged {
    fn from(reason: String) -> NotChanged {
        NotChanged::Refused(reason)
    }
}

impl From<DatabaseError> for NotChanged {
    fn from(error: DatabaseError) -> NotChanged {
        NotChanged::Threw(match error {
            DatabaseError::Storage(_) | DatabaseError::Query(QueryError::Limit(_)) => error.into(),
            // In the words that a schema or an index has for it, which every client sees.
            DatabaseError::Query(error) => Error::application(error.to_string()),
        })
    }
}

fn answer(done: Result<(), NotChanged>) -> Result<Value> {
    Ok(Value::Object(match done {
        Ok(()) => object! { "success" => true },
        Err(NotChanged::Refused(error)) => object! { "success" => false, "error" => error },
        Err(NotChanged::Threw(error)) => return Err(error),
    }))
}

fn add(ctx: &mut MutationCtx<'_>, args: Add) -> Result<Value> {
    let Add { table, documents } = args;
    let stored = stored_name(ctx.component(), &table).into_owned();
    with_room(ctx, |tx| {
        check_changed(&table)?;
        check_count(documents.len())?;
        let fields = documents.into_iter().map(fields_of);
        let fields = fields.collect::<Result<Vec<Object>, String>>()?;
        tx.ensure_table(&stored)?;
        for fields in fields {
            tx.insert(&stored, fields)?;
        }
        Ok(())
    })
}

fn replace(ctx: &mut MutationCtx<'_>, args: Replace) -> Result<Value> {
    let Replace { id, document } = args;
    with_room(ctx, |tx| {
        let fields = fields_of(document)?;
        for id in existing(tx, &[id], None)? {
            tx.replace(id, fields.clone())?;
        }
        Ok(())
    })
}

fn patch(ctx: &mut MutationCtx<'_>, args: PatchFields) -> Result<Value> {
    let PatchFields { table, ids, fields } = args;
    with_room(ctx, |tx| {
        let ids = existing(tx, &ids, table.as_deref())?;
        let changes = fields.into_iter();
        let patch = changes.fold(Patch::default(), |patch, (name, value)| {
            match value.as_str() == Some(UNSET) {
                true => patch.unset(&name),
                false => patch.set(&name, value),
            }
        });
        for id in ids {
            tx.patch(id, patch.clone())?;
        }
        Ok(())
    })
}

fn delete(ctx: &mut MutationCtx<'_>, args: Delete) -> Result<Value> {
    with_room(ctx, |tx| {
        for id in existing(tx, &args.to_delete, None)? {
            tx.delete(id)?;
        }
        Ok(())
    })
}

fn create_table(ctx: &mut MutationCtx<'_>, args: CreateTable) -> Result<Value> {
    let stored = stored_name(ctx.component(), &args.table).into_owned();
    with_room(ctx, |tx| {
        check_changed(&args.table)?;
        Ok(tx.ensure_table(&stored)?)
    })
}

/// Deletes the oldest documents of a table. Callers go on while there are more, from the cursor.
fn clear_page(ctx: &mut MutationCtx<'_>, args: ClearPage) -> Result<Value> {
    let ClearPage { table_name, cursor } = args;
    check_changed(&table_name).map_err(Error::plain)?;
    let table_name = stored_name(ctx.component(), &table_name).into_owned();
    let limits = roomy(ctx.db().transaction());
    let options = PaginationOptions {
        num_items: CLEARED_MAX as f64,
        cursor,
        maximum_bytes_read: Some(CLEARED_BYTES_MAX as f64),
        ..PaginationOptions::default()
    };
    let page = ctx.db().paginate(&Query::table(table_name), &options)?;
    let deleted = page.page.len();
    for document in page.page {
        ctx.db().transaction().delete(document.id)?;
    }
    ctx.db().transaction().set_limits(limits);
    Ok(Value::Object(object! {
        "deleted" => deleted as f64,
        "continueCursor" => page.continue_cursor,
        "hasMore" => !page.is_done,
    }))
}

/// Makes a change with bounds that fit as many documents as it may have.
fn with_room(
    ctx: &mut MutationCtx<'_>,
    change: impl FnOnce(&mut Transaction<'_>) -> Result<(), NotChanged>,
) -> Result<Value> {
    let tx = ctx.db().transaction();
    let limits = roomy(tx);
    let done = change(tx);
    tx.set_limits(limits);
    answer(done)
}

/// Lets a transaction read many single documents, and take longer. Returns the bounds from before.
fn roomy(tx: &mut Transaction<'_>) -> Limits {
    let wider = Limits {
        user_millis_max: MILLIS_MAX,
        ranges_read_max: tx.limits().documents_read_max,
        ..*tx.limits()
    };
    tx.set_limits(wider)
}

fn check_count(count: usize) -> Result<(), String> {
    match count > DOCUMENTS_CHANGED_MAX {
        true => Err(format!(
            "One call changes {DOCUMENTS_CHANGED_MAX} documents at the most, not {count}."
        )),
        false => Ok(()),
    }
}

fn fields_of(document: Value) -> Result<Object, String> {
    let fields = document.into_object();
    fields.map_err(|value| format!("A document is an object, not {}.", value.type_name()))
}

/// The ids of documents that are there, of tables that may be changed: each once.
fn existing(
    tx: &mut Transaction<'_>,
    named: &[Value],
    table: Option<&str>,
) -> Result<BTreeSet<DocumentId>, NotChanged> {
    check_count(named.len())?;
    let mut ids = BTreeSet::new();
    for value in named {
        let id = id_in(value).ok_or_else(|| format!("{value} is not the id of a document."))?;
        changed_table_of(tx, id, table)?;
        if tx.get(id)?.is_none() {
            return Err(format!("There is no document {id}.").into());
        }
        ids.insert(id);
    }
    Ok(ids)
}
