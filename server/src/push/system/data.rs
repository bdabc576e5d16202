//! Looking at tables and their documents.

use serde::Deserialize;
use serde_json::json;
use vestibule_schema::object;
use vestibule_schema::value::Value;

use crate::database::{Order, Owner, PaginationOptions, Query, RawPage, Source};
use crate::functions::{Error, Function, QueryCtx, Result};

/// Documents that are counted. A larger table is shown as this large.
const COUNTED_MAX: usize = 1_000_000;
/// Tables of the server's own whose documents are shown.
const SHOWN_SYSTEM_TABLES: [&str; 4] = ["_storage", "_scheduled_functions", "_crons", "_cron_runs"];

pub fn functions() -> Vec<Function> {
    vec![
        Function::query("_system/cli/tables:default", tables),
        Function::query("_system/cli/tableData:default", table_data),
        Function::query("_system/cli/tableSize:default", table_size),
        Function::query("_system/cli/queryTable:default", query_table),
        Function::query("_system/frontend/tableSize:default", table_size),
        Function::query("_system/frontend/getTableMapping:default", table_mapping),
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

/// The names of the app's tables, all on one page.
fn tables(ctx: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    let tx = ctx.db().transaction();
    tx.record_catalog()?;
    let catalog = tx.catalog();
    let tables = catalog
        .tables()
        .filter(|table| table.owner != Owner::System);
    let page = tables.map(|table| Value::Object(object! { "name" => table.name.as_str() }));
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
    if table.starts_with('_') && !SHOWN_SYSTEM_TABLES.contains(&&*table) {
        return Err(Error::new(format!("The table {table} is not shown.")));
    }
    let query = Query {
        table: table.into(),
        source: Source::FullTableScan,
        order: match order.as_deref() {
            Some("desc") => Order::Desc,
            _ => Order::Asc,
        },
        operators: Vec::new(),
    };
    let page = ctx.db().paginate(&query, &pagination_opts)?;
    Ok(page_value(page))
}

fn page_value(page: RawPage) -> Value {
    let documents = page
        .page
        .into_iter()
        .map(|document| Value::Object(document.fields));
    Value::Object(object! {
        "page" => Value::Array(documents.collect()),
        "isDone" => page.is_done,
        "continueCursor" => page.continue_cursor,
    })
}

fn table_size(ctx: &mut QueryCtx<'_>, args: Named) -> Result<f64> {
    let tx = ctx.db().transaction();
    tx.record_catalog()?;
    let catalog = tx.catalog();
    let Some(table) = catalog.table(&args.table_name) else {
        return Ok(0.0);
    };
    tx.depend_on_documents(table)?;
    Ok(tx.count_documents(table, COUNTED_MAX)? as f64)
}

/// Something else each time that a document of the table changes.
fn query_table(ctx: &mut QueryCtx<'_>, args: Named) -> Result<String> {
    let tx = ctx.db().transaction();
    tx.record_catalog()?;
    if let Some(table) = tx.catalog().table(&args.table_name) {
        tx.depend_on_documents(table)?;
    }
    Ok(tx.snapshot_ts().0.to_string())
}

/// The names of all tables by their numbers.
fn table_mapping(ctx: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    let tx = ctx.db().transaction();
    tx.record_catalog()?;
    let catalog = tx.catalog();
    let tables = catalog
        .tables()
        .map(|table| (table.number.get().to_string(), json!(table.name)));
    let mapping = serde_json::Value::Object(tables.collect());
    Ok(Value::from_json(&mapping)?)
}
