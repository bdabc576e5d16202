//! The queries by which official tools watch imports and exports. Only the holder of an admin key may run them.

use std::borrow::Cow;

use vestibule_schema::id::DocumentId;
use vestibule_schema::validator::Validator;
use vestibule_schema::value::{Object, Value};

use super::context::QueryCtx;
use super::error::{Error, Result};
use super::function::Function;
use crate::database::{Order, Query};
use crate::transfer::{EXPORTS, IMPORTS};

/// Imports that a list shows, newest first.
const LISTED_MAX: usize = 100;

/// The queries.
pub fn functions() -> Vec<Function> {
    let functions = [
        Function::query("_system/cli/queryImport:default", import),
        Function::query("_system/cli/queryImport:list", imports),
        Function::query("_system/cli/exports:getLatest", latest_export),
        Function::query("_system/frontend/snapshotImport:list", imports),
        Function::query("_system/frontend/latestExport:default", latest_export),
    ];
    let functions = functions.map(|function| function.args(Validator::Any).internal());
    functions.into()
}

fn import(ctx: &mut QueryCtx<'_>, args: Object) -> Result<Value> {
    let tx = &mut ctx.execution.db.tx;
    let id = args.get("importId").and_then(Value::as_str);
    let id = id.and_then(|id| id.parse::<DocumentId>().ok());
    let catalog = tx.catalog();
    let is_import = |id: &DocumentId| {
        let table = catalog.table_numbered(id.table());
        table.is_some_and(|table| table.name == IMPORTS)
    };
    let id = id.filter(is_import);
    let id = id.ok_or_else(|| Error::plain("There is no such import."))?;
    let import = tx.get(id)?;
    Ok(import.map_or(Value::Null, |import| shown(import.fields)))
}

fn imports(ctx: &mut QueryCtx<'_>, _: Object) -> Result<Value> {
    let imports = newest(ctx, IMPORTS, LISTED_MAX)?;
    Ok(Value::Array(imports))
}

fn latest_export(ctx: &mut QueryCtx<'_>, _: Object) -> Result<Value> {
    let latest = newest(ctx, EXPORTS, 1)?;
    Ok(latest.into_iter().next().unwrap_or(Value::Null))
}

fn newest(ctx: &mut QueryCtx<'_>, table: &'static str, max: usize) -> Result<Vec<Value>> {
    let query = Query {
        order: Order::Desc,
        ..Query::table(Cow::Borrowed(table))
    };
    let found = ctx.execution.db.tx.take(&query, max)?;
    let found = found.into_iter().map(|document| shown(document.fields));
    Ok(found.collect())
}

/// A document without what is of the server's own concern.
fn shown(mut fields: Object) -> Value {
    for own in ["upload", "parts"] {
        fields.remove(own);
    }
    Value::Object(fields)
}
