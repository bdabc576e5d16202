//! Hidden tables: filled out of sight, then put in the place of others in one commit, or cleared away.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::TransferError;
use super::plan::{Filled, Plan};
use super::states::{self, Import};
use crate::database::{
    Catalog, Database, DatabaseError, IndexMeta, Owner, QueryError, TableMeta, Transaction,
};
use crate::files::{note_gone, work};

/// Entries of one commit while a table is cleared away.
const CLEARED_MAX: usize = 2_000;

/// Contents of files that one commit notes as gone.
const NOTED_MAX: usize = 256;
/// The indexes of the table of content places.
const OBJECTS_INDEXES: [&str; 2] = ["by_storage_id", "by_uuid"];

/// The tables that an import fills out of sight, by the name that each is to have.
pub type Hidden = BTreeMap<String, Arc<TableMeta>>;

/// Makes a hidden table for each table that the plan fills out of sight or empties. Refuses when a table that keeps its
/// number has a planned one, perhaps since the plan was made.
pub fn hide(tx: &mut Transaction<'_>, plan: &Plan) -> Result<Hidden, TransferError> {
    let mut catalog = Catalog::clone(&tx.catalog());
    for (name, Filled { number, .. }) in &plan.filled {
        let keeps = |holder: &&Arc<TableMeta>| {
            let moves = plan.filled.contains_key(&holder.name);
            !moves && !plan.moved.contains_key(&holder.name)
        };
        if let Some(holder) = catalog.holder(name, *number).filter(keeps) {
            return Err(TransferError::NumberTaken {
                table: name.clone(),
                number: *number,
                holder: holder.name.clone(),
            });
        }
    }
    let mut hidden = Hidden::new();
    let out_of_sight = plan.filled.iter().filter(|(_, filled)| !filled.in_place);
    let names = out_of_sight.map(|(name, _)| name).chain(plan.moved.keys());
    for name in names {
        let like = match catalog.table(name) {
            Some(table) => TableMeta::clone(table),
            None if catalog.is_full() => return Err(QueryError::TooManyTables.into()),
            None => catalog.new_table(name, catalog.next_number(), Owner::Pushed),
        };
        // Tables that are made meanwhile take other numbers.
        let number = plan.filled.get(name).map(|filled| filled.number);
        if let Some(number) = number.filter(|number| catalog.holder(name, *number).is_none()) {
            catalog.reserve(number);
        }
        hidden.insert(name.clone(), Arc::new(catalog.add_hidden(&like)));
    }
    tx.set_catalog(catalog)?;
    Ok(hidden)
}

/// Puts the hidden tables in the place of those that they stand for, and those under their names.
pub fn swap(
    tx: &mut Transaction<'_>,
    import: &str,
    plan: &Plan,
    hidden: &Hidden,
    completed: vestibule_schema::value::Object,
) -> Result<(), TransferError> {
    let import = Import::find(tx, import)?;
    match import.state_name() {
        "in_progress" => {}
        _ => return Err(TransferError::Canceled),
    }
    let old = tx.catalog();
    let mut catalog = Catalog::clone(&old);
    plan.check_references(&catalog)?;
    // All of them leave their places first: numbers change hands.
    for (name, filled_table) in hidden {
        catalog.remove(&filled_table.name);
        if old.table(name).is_some() {
            catalog.remove(name);
        }
    }
    for (name, filled_table) in hidden {
        let here = old.table(name);
        check_unchanged(tx, name, here, filled_table, plan)?;
        let number = match (plan.filled.get(name), plan.moved.get(name)) {
            (Some(filled), _) => filled.number,
            (None, Some(moved)) => moved.number,
            (None, None) => continue,
        };
        if let Some(holder) = catalog.holder(name, number) {
            return Err(TransferError::NumberTaken {
                table: name.clone(),
                number,
                holder: holder.name.clone(),
            });
        }
        let mut new = TableMeta::clone(filled_table);
        new.name = name.clone();
        new.number = number;
        new.owner = here.map_or(Owner::Pushed, |here| here.owner);
        catalog.set(new);
        if let Some(here) = here {
            // Its documents are cleared away later, under the number that the other one had.
            let mut gone = TableMeta::clone(here);
            gone.name = filled_table.name.clone();
            gone.number = filled_table.number;
            gone.owner = Owner::System;
            catalog.set(gone);
            tx.touch_everything();
        }
    }
    catalog.release_reserved();
    tx.set_catalog(catalog)?;
    states::set_state(tx, import.id, completed)
}

/// Puts a table away, to be cleared with the hidden ones: with this commit it is no longer visible. Returns whether
/// there was one.
pub fn put_away(tx: &mut Transaction<'_>, name: &str) -> Result<bool, DatabaseError> {
    let mut catalog = Catalog::clone(&tx.catalog());
    let Some(here) = catalog.table(name).cloned() else {
        return Ok(false);
    };
    let place = catalog.add_hidden(&here);
    catalog.remove(&place.name);
    catalog.remove(name);
    let mut gone = TableMeta::clone(&here);
    gone.name = place.name;
    gone.number = place.number;
    gone.owner = Owner::System;
    catalog.set(gone);
    tx.touch_everything();
    tx.set_catalog(catalog)?;
    Ok(true)
}

/// The filled tables must be the ones wanted now.
fn check_unchanged(
    tx: &mut Transaction<'_>,
    name: &str,
    here: Option<&Arc<TableMeta>>,
    filled: &TableMeta,
    plan: &Plan,
) -> Result<(), TransferError> {
    let Some(here) = here else { return Ok(()) };
    let definitions = |table: &TableMeta| {
        let indexes = table.indexes.iter();
        let indexes = indexes.map(|index| {
            let IndexMeta {
                name,
                fields,
                unique,
                method,
                ..
            } = index;
            (name.clone(), fields.clone(), *unique, *method)
        });
        (indexes.collect::<Vec<_>>(), table.document.clone())
    };
    if definitions(here) != definitions(filled) {
        return Err(TransferError::SchemaChanged);
    }
    let must_be_empty = match plan.mode {
        states::Mode::RequireEmpty | states::Mode::Append => true,
        states::Mode::Replace => plan.moved.contains_key(name),
        states::Mode::ReplaceAll => false,
    };
    match must_be_empty && !tx.is_empty(here)? {
        true => Err(TransferError::TableExists(name.to_string())),
        false => Ok(()),
    }
}

/// Clears every hidden table away, in commits of bounded size. For threads that may wait, while no import runs.
pub fn clear_hidden(database: &Database) -> Result<(), TransferError> {
    loop {
        let cleared = work::begin_write(database, clear_next)?.wait()?;
        if !cleared {
            return Ok(());
        }
    }
}

/// Clears some of the next hidden table; takes it out of the catalog when nothing is left of it. Returns whether there
/// was one.
fn clear_next(tx: &mut Transaction<'_>) -> Result<bool, TransferError> {
    let catalog = tx.catalog();
    let Some(table) = catalog.tables().find(|table| table.is_hidden()) else {
        return Ok(false);
    };
    // Backups may still need the contents of files that were replaced, so these go as those of deleted files do.
    if OBJECTS_INDEXES
        .iter()
        .all(|name| table.index(name).is_some())
    {
        let gone = tx.take_hidden(table, NOTED_MAX)?;
        if !gone.is_empty() {
            gone.iter().try_for_each(|object| note_gone(tx, object))?;
            return Ok(true);
        }
    }
    if tx.clear_some(table, CLEARED_MAX)? < CLEARED_MAX {
        let mut without = Catalog::clone(&catalog);
        without.remove(&table.name);
        // No import runs.
        without.release_reserved();
        tx.set_catalog(without)?;
    }
    Ok(true)
}
