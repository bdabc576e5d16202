//! Looking at tables and their documents.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use vestibule_schema::object;
use vestibule_schema::value::Value;

use super::pages::{PAGE_ROWS_MAX, bounded};
use super::reach::{id_in, shown_name, shown_table_of};
use super::{query, to_value};
use crate::database::{
    Order, Owner, PaginationOptions, Query, RawDocument, RawPage, Source, TableMeta, Transaction,
    stored_name,
};
use crate::functions::{Error, Function, QueryCtx, Result};

/// Documents that are counted. A larger table is shown as this large.
const COUNTED_MAX: usize = 1_000_000;
/// Documents that are looked up by their ids in one call.
const LOOKED_UP_MAX: usize = 4_096;
/// Documents of a scan that says no other number, and at the most.
const SCANNED: f64 = 1_000.0;
const SCANNED_MAX: f64 = 4_096.0;
/// Bytes of documents beyond which a scan ends early.
const SCANNED_BYTES_MAX: f64 = 5_242_880.0;

pub fn functions() -> Vec<Function> {
    vec![
        query("_system/cli/tables:default", tables),
        query("_system/cli/tableData:default", table_data),
        query("_system/cli/tableSize:default", table_size),
        query("_system/cli/queryTable:default", query_table),
        query("_system/frontend/tableSize:default", table_size),
        query("_system/frontend/getTableMapping:default", table_mapping),
        query("_system/frontend/listTableScan:default", table_scan),
        query("_system/frontend/listById:default", list_by_id),
        query("_system/frontend/getById:default", get_by_id),
    ]
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    table_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TableData {
    table: String,
    #[serde(default)]
    order: Option<String>,
    pagination_opts: PaginationOptions,
}

#[derive(Deserialize)]
struct TableScan {
    table: String,
    #[serde(default)]
    limit: Option<f64>,
}

#[derive(Deserialize)]
struct ById {
    id: Value,
}

#[derive(Deserialize)]
struct AllById {
    ids: Vec<Value>,
}

/// The names of the tables of the app or of a component, all on one page.
fn tables(ctx: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    let component = ctx.component().clone();
    let tx = ctx.db().transaction();
    tx.record_catalog()?;
    let catalog = tx.catalog();
    let is_shown = |table: &&Arc<TableMeta>| {
        table.owner != Owner::System && table.component() == component.as_str()
    };
    let tables = catalog.tables().filter(is_shown);
    let page = tables.map(|table| Value::Object(object! { "name" => table.local_name() }));
    Ok(Value::Object(object! {
        "page" => Value::Array(page.collect()),
        "isDone" => true,
        "continueCursor" => "",
    }))
}

/// A page of a table's documents by their creation.
fn table_data(ctx: &mut QueryCtx<'_>, args: TableData) -> Result<Value> {
    let TableData {
        table,
        order,
        pagination_opts,
    } = args;
    let table = shown_name(ctx.component(), &table)?;
    let query = Query {
        table: table.into(),
        source: Source::FullTableScan,
        order: match order.as_deref() {
            Some("desc") => Order::Desc,
            _ => Order::Asc,
        },
        operators: Vec::new(),
    };
    let options = bounded(pagination_opts, PAGE_ROWS_MAX);
    let page = ctx.db().paginate(&query, &options)?;
    page_value(page, |document| Ok(Value::Object(document.fields)))
}

/// A page as official clients read it, with each document as `shown` shows it.
pub fn page_value(page: RawPage, shown: impl FnMut(RawDocument) -> Result<Value>) -> Result<Value> {
    let page = page.try_map(shown)?;
    let mut shown = object! {
        "page" => Value::Array(page.page),
        "isDone" => page.is_done,
        "continueCursor" => page.continue_cursor,
    };
    if let Some(cursor) = page.split_cursor {
        shown.insert("splitCursor".to_owned(), cursor.into());
    }
    if let Some(status) = page.page_status {
        shown.insert("pageStatus".to_owned(), status.as_str().into());
    }
    Ok(Value::Object(shown))
}

/// The newest documents of a table.
fn table_scan(ctx: &mut QueryCtx<'_>, args: TableScan) -> Result<Value> {
    let TableScan { table, limit } = args;
    let table = shown_name(ctx.component(), &table)?;
    let wanted = limit.unwrap_or(SCANNED);
    if wanted.is_nan() || wanted < 1.0 {
        return Ok(Value::Array(Vec::new()));
    }
    let newest = Query {
        order: Order::Desc,
        ..Query::table(table)
    };
    let options = PaginationOptions {
        num_items: wanted.min(SCANNED_MAX).trunc(),
        maximum_bytes_read: Some(SCANNED_BYTES_MAX),
        ..PaginationOptions::default()
    };
    let page = ctx.db().paginate(&newest, &options)?.page.into_iter();
    Ok(Value::Array(
        page.map(|document| Value::Object(document.fields))
            .collect(),
    ))
}

/// Documents by their ids, null for each that is not there.
fn list_by_id(ctx: &mut QueryCtx<'_>, args: AllById) -> Result<Value> {
    if args.ids.len() > LOOKED_UP_MAX {
        return Err(Error::plain(format!(
            "One call looks {LOOKED_UP_MAX} documents up at the most."
        )));
    }
    let found = args.ids.iter().map(|id| by_id(ctx, id));
    Ok(Value::Array(found.collect::<Result<_>>()?))
}

fn get_by_id(ctx: &mut QueryCtx<'_>, args: ById) -> Result<Value> {
    by_id(ctx, &args.id)
}

fn by_id(ctx: &mut QueryCtx<'_>, id: &Value) -> Result<Value> {
    let tx = ctx.db().transaction();
    let Some(id) = id_in(id) else {
        return Ok(Value::Null);
    };
    let Some(_) = shown_table_of(tx, id)? else {
        return Ok(Value::Null);
    };
    let found = tx.get(id)?;
    Ok(found.map_or(Value::Null, |document| Value::Object(document.fields)))
}

fn table_size(ctx: &mut QueryCtx<'_>, args: Named) -> Result<f64> {
    let table = shown_name(ctx.component(), &args.table_name)?;
    counted(ctx.db().transaction(), &table)
}

/// The documents of a table, counted.
pub fn counted(tx: &mut Transaction<'_>, table: &str) -> Result<f64> {
    tx.record_catalog()?;
    let catalog = tx.catalog();
    let Some(table) = catalog.table(table) else {
        return Ok(0.0);
    };
    tx.depend_on_documents(table)?;
    Ok(tx.count_documents(table, COUNTED_MAX)? as f64)
}

/// Something else each time that a document of the table changes.
fn query_table(ctx: &mut QueryCtx<'_>, args: Named) -> Result<String> {
    let table = stored_name(ctx.component(), &args.table_name).into_owned();
    let tx = ctx.db().transaction();
    tx.record_catalog()?;
    if let Some(table) = tx.catalog().table(&table) {
        tx.depend_on_documents(table)?;
    }
    Ok(tx.snapshot_ts().0.to_string())
}

/// The names of all tables by their numbers.
fn table_mapping(ctx: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    let component = ctx.component().clone();
    let tx = ctx.db().transaction();
    tx.record_catalog()?;
    let catalog = tx.catalog();
    let tables = catalog
        .tables()
        .filter(|table| !table.is_hidden())
        .filter(|table| table.name.starts_with('_') || table.component() == component.as_str())
        .map(|table| (table.number.get().to_string(), json!(table.local_name())));
    let mapping = serde_json::Value::Object(tables.collect());
    to_value(mapping)
}
