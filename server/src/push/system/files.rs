//! Looking at files, and deleting them by hand.

use serde::Deserialize;
use vestibule_schema::id::DocumentId;
use vestibule_schema::object;
use vestibule_schema::value::Value;

use super::data::{counted, page_value};
use super::pages::bounded;
use super::reach::id_in;
use super::{mutation, query};
use crate::database::{
    Bound, BoundKind, Order, PaginationOptions, Query, RawDocument, Source, Transaction,
};
use crate::files::STORAGE;
use crate::functions::{Error, Function, MutationCtx, QueryCtx, Result};

/// Files on one page: each is looked up for its address.
const PAGE_FILES_MAX: f64 = 1_000.0;
/// Files that one call deletes.
const FILES_DELETED_MAX: usize = 1_000;

pub fn functions() -> Vec<Function> {
    vec![
        query("_system/frontend/fileStorageV2:fileMetadata", metadata),
        query(
            "_system/frontend/fileStorageV2:numFiles",
            |ctx, _: Value| counted(ctx.db().transaction(), STORAGE),
        ),
        query("_system/frontend/fileStorageV2:getFile", one),
        mutation("_system/frontend/fileStorageV2:deleteFiles", delete),
        mutation(
            "_system/frontend/fileStorageV2:generateUploadUrl",
            |ctx, _: Value| ctx.storage().generate_upload_url(),
        ),
    ]
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    pagination_opts: PaginationOptions,
    #[serde(default)]
    filters: Option<Filters>,
}

/// Times are milliseconds since 1970.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filters {
    #[serde(default)]
    min_creation_time: Option<f64>,
    #[serde(default)]
    max_creation_time: Option<f64>,
    #[serde(default)]
    order: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct One {
    storage_id: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delete {
    storage_ids: Vec<Value>,
}

fn metadata(ctx: &mut QueryCtx<'_>, args: Listed) -> Result<Value> {
    let filters = args.filters.unwrap_or_default();
    let bounds = [
        (BoundKind::Gte, filters.min_creation_time),
        (BoundKind::Lte, filters.max_creation_time),
    ];
    let bounds = bounds.into_iter().filter_map(|(kind, at)| {
        Some(Bound {
            kind,
            field: "_creationTime".into(),
            value: Some(Value::Float64(at?)),
        })
    });
    let query = Query {
        table: STORAGE.into(),
        source: Source::IndexRange {
            index: "by_creation_time".into(),
            bounds: bounds.collect(),
        },
        order: match filters.order.as_deref() {
            Some("asc") => Order::Asc,
            _ => Order::Desc,
        },
        operators: Vec::new(),
    };
    let options = bounded(args.pagination_opts, PAGE_FILES_MAX);
    let page = ctx.db().paginate(&query, &options)?;
    page_value(page, |document| with_url(ctx, document))
}

fn one(ctx: &mut QueryCtx<'_>, args: One) -> Result<Value> {
    let tx = ctx.db().transaction();
    let id = id_in(&args.storage_id).filter(|id| is_file(tx, *id));
    match id.map(|id| tx.get(id)).transpose()?.flatten() {
        Some(document) => with_url(ctx, document),
        None => Ok(Value::Null),
    }
}

fn with_url(ctx: &mut QueryCtx<'_>, document: RawDocument) -> Result<Value> {
    let url = ctx.storage().get_url(document.id)?;
    let mut fields = document.fields;
    fields.insert("url".to_owned(), url.map_or(Value::Null, Value::String));
    Ok(Value::Object(fields))
}

/// Deletes all of them or none. One that is gone already is left out.
fn delete(ctx: &mut MutationCtx<'_>, args: Delete) -> Result<Value> {
    if args.storage_ids.len() > FILES_DELETED_MAX {
        return Err(Error::plain(format!(
            "One call deletes {FILES_DELETED_MAX} files at the most."
        )));
    }
    for named in &args.storage_ids {
        let tx = ctx.db().transaction();
        let id = id_in(named).filter(|id| is_file(tx, *id));
        let id = id.ok_or_else(|| Error::plain(format!("{named} is not the id of a file.")))?;
        if tx.get(id)?.is_some() {
            ctx.storage().delete(id)?;
        }
    }
    Ok(Value::Object(object! { "success" => true }))
}

fn is_file(tx: &Transaction<'_>, id: DocumentId) -> bool {
    let catalog = tx.catalog();
    let table = catalog.table_numbered(id.table());
    table.is_some_and(|table| table.name == STORAGE)
}
