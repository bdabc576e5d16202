//! The tables that functions of the system show, and those that they change.

use std::sync::Arc;

use vestibule_schema::id::DocumentId;
use vestibule_schema::path::{ComponentPath, check_identifier};
use vestibule_schema::value::Value;

use crate::database::{TableMeta, Transaction, stored_name};
use crate::functions::{Error, Result};

/// Tables of the server's own whose documents are shown.
const SHOWN_SYSTEM_TABLES: [&str; 4] = ["_storage", "_scheduled_functions", "_crons", "_cron_runs"];

/// Refuses to show a table of the server's own that may hold secrets.
pub fn check_shown(table: &str) -> Result<()> {
    match table.starts_with('_') && !SHOWN_SYSTEM_TABLES.contains(&table) {
        true => Err(Error::plain(format!("The table {table} is not shown."))),
        false => Ok(()),
    }
}

/// The stored name of the table that `component` calls `table`, if that is shown.
pub fn shown_name(component: &ComponentPath, table: &str) -> Result<String> {
    check_shown(table)?;
    let is_local = !table.contains('/');
    let stored = is_local.then(|| stored_name(component, table).into_owned());
    stored.ok_or_else(|| Error::plain(format!("{table:?} is not a table's name.")))
}

/// Refuses to change a table of the server's own, and names that no table can have.
pub fn check_changed(table: &str) -> Result<(), String> {
    if table.starts_with('_') {
        return Err(format!(
            "The table {table} is the server's own, and is not changed here."
        ));
    }
    check_identifier(table).map_err(|error| format!("{table:?} is not a table's name: {error}"))
}

/// A document as arguments name it: by its id, or by an object with its id.
pub fn id_in(value: &Value) -> Option<DocumentId> {
    let fields = value.as_object();
    let id = match fields {
        Some(fields) => fields.get("id").or_else(|| fields.get("_id"))?,
        None => value,
    };
    id.as_str()?.parse().ok()
}

/// The table of a document that is shown.
pub fn shown_table_of(tx: &mut Transaction<'_>, id: DocumentId) -> Result<Option<Arc<TableMeta>>> {
    let table = table_of(tx, id);
    if table.is_none() {
        tx.record_catalog()?;
    }
    Ok(table.filter(|table| check_shown(&table.name).is_ok()))
}

/// The table of a document that may be changed: one of an app's. `expected` is the name of the table, where it is known.
pub fn changed_table_of(
    tx: &Transaction<'_>,
    id: DocumentId,
    expected: Option<&str>,
) -> Result<Arc<TableMeta>, String> {
    let table = table_of(tx, id).ok_or_else(|| format!("There is no table of the id {id}."))?;
    let name = table.local_name();
    check_changed(name)?;
    match expected {
        Some(expected) if expected != name => Err(format!(
            "The id {id} is of the table {name}, not of {expected}."
        )),
        _ => Ok(table),
    }
}

/// Tables that an import fills out of sight are none yet.
fn table_of(tx: &Transaction<'_>, id: DocumentId) -> Option<Arc<TableMeta>> {
    let catalog = tx.catalog();
    let table = catalog.table_numbered_in(tx.component().as_str(), id.table())?;
    Some(table.clone()).filter(|table| !table.is_hidden())
}
