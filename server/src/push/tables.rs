//! What a pushed schema makes of the tables: which indexes are to be built, which documents to be checked, and the
//! catalog before, while and after that. Nothing here reads or writes.

use std::collections::HashSet;
use std::sync::Arc;

use vestibule_schema::table::{IndexDefinition, TableDefinition};
use vestibule_schema::validator::Validator;

use super::error::PushError;
use crate::database::{Catalog, IndexId, IndexMeta, Owner, PendingRules, TableMeta};
use crate::deployment::{PushedSchema, allows_all};

/// What a table needs before a schema can be live.
#[derive(Clone, Debug)]
pub struct Need {
    /// The table.
    pub table: String,
    /// Indexes that are to be filled.
    pub indexes: Vec<IndexId>,
    /// What its documents are to be checked for.
    pub rules: Option<Arc<PendingRules>>,
}

/// A schema with the tables that it may not define.
#[derive(Clone, Copy)]
pub struct Target<'s> {
    pub schema: Option<&'s PushedSchema>,
    /// Tables of the server's own program.
    pub native: &'s HashSet<String>,
}

/// The end of the names of indexes that are no longer used: no query can name one.
const RETIRED: char = '~';

impl<'s> Target<'s> {
    fn definitions(&self) -> &'s [TableDefinition] {
        self.schema.map_or(&[], |schema| schema.schema.tables())
    }

    fn rules(&self, definition: &TableDefinition) -> Validator {
        match self.schema.is_some_and(PushedSchema::checks_documents) {
            true => definition.document.clone(),
            false => Validator::Any,
        }
    }

    /// Refuses a schema that defines a table of the server's own program.
    pub fn check(&self) -> Result<(), PushError> {
        let mut names = self.definitions().iter().map(|definition| &definition.name);
        match names.find(|name| self.native.contains(*name)) {
            Some(name) => Err(PushError::NativeTable(name.clone())),
            None => Ok(()),
        }
    }

    /// Adds to `catalog` what is to be built and checked: from then on writers keep the new indexes, and tell when what
    /// they write will not fit.
    pub fn declare(&self, catalog: &Catalog) -> (Catalog, Vec<Need>) {
        let mut declared = catalog.clone();
        let mut needs = Vec::new();
        forget_pending(&mut declared);
        for definition in self.definitions() {
            let Some(table) = declared.table(&definition.name) else {
                continue;
            };
            let mut table = TableMeta::clone(table);
            for wanted in &definition.indexes {
                if !table.indexes.iter().any(|index| is_same(index, wanted)) {
                    table.indexes.push(new_index(&declared, wanted));
                    declared.set(table.clone());
                }
            }
            let rules = self.rules(definition);
            if !allows_all(&rules, &table.document) {
                table.pending = Some(Arc::new(PendingRules::new(rules)));
            }
            let need = Need {
                table: table.name.clone(),
                indexes: unfilled(&table, definition),
                rules: table.pending.clone(),
            };
            declared.set(table);
            if !need.indexes.is_empty() || need.rules.is_some() {
                needs.push(need);
            }
        }
        (declared, needs)
    }

    /// The tables as the schema has them. Indexes that it does not name are retired: they keep their place until their
    /// entries are gone. Every index that it names must be ready in `catalog` where its table is there.
    pub fn switch(&self, catalog: &Catalog) -> Catalog {
        let mut switched = catalog.clone();
        forget_pending(&mut switched);
        for definition in self.definitions() {
            let mut table = match switched.table(&definition.name) {
                Some(table) => TableMeta::clone(table),
                None => {
                    let number = switched.next_number();
                    switched.new_table(&definition.name, number, Owner::Pushed)
                }
            };
            switched.set(table.clone());
            table.owner = Owner::Pushed;
            table.document = self.rules(definition);
            let (mut kept, retired) = split(&table, definition);
            table.indexes = [&kept[..], &retired].concat();
            switched.set(table.clone());
            for wanted in &definition.indexes {
                if !kept.iter().any(|index| is_same(index, wanted)) {
                    // The table is new, so there is nothing to fill it with.
                    let mut index = new_index(&switched, wanted);
                    index.ready = true;
                    kept.push(index);
                    table.indexes = [&kept[..], &retired].concat();
                    switched.set(table.clone());
                }
            }
        }
        self.release_others(&mut switched);
        switched
    }

    /// Tables that were pushed before and are not named any more keep their documents and nothing else.
    fn release_others(&self, catalog: &mut Catalog) {
        let is_named = |table: &TableMeta| {
            self.definitions()
                .iter()
                .any(|definition| definition.name == table.name)
        };
        let others: Vec<TableMeta> = catalog
            .tables()
            .filter(|table| table.owner == Owner::Pushed && !is_named(table))
            .map(|table| TableMeta::clone(table))
            .collect();
        for mut table in others {
            let is_plain = table.document == Validator::Any && table.indexes.iter().all(is_retired);
            if is_plain {
                continue;
            }
            table.document = Validator::Any;
            table.indexes.iter_mut().for_each(retire);
            catalog.set(table);
        }
    }
}

/// Indexes of the definition that are not filled yet.
fn unfilled(table: &TableMeta, definition: &TableDefinition) -> Vec<IndexId> {
    let is_wanted = |index: &&IndexMeta| {
        !index.ready
            && definition
                .indexes
                .iter()
                .any(|wanted| is_same(index, wanted))
    };
    table
        .indexes
        .iter()
        .filter(is_wanted)
        .map(|index| index.id)
        .collect()
}

/// The indexes that the definition names, and the rest, retired.
fn split(table: &TableMeta, definition: &TableDefinition) -> (Vec<IndexMeta>, Vec<IndexMeta>) {
    let is_wanted = |index: &IndexMeta| {
        definition
            .indexes
            .iter()
            .any(|wanted| is_same(index, wanted))
    };
    let (kept, mut retired): (Vec<IndexMeta>, Vec<IndexMeta>) =
        table.indexes.iter().cloned().partition(is_wanted);
    retired.iter_mut().for_each(retire);
    (kept, retired)
}

fn retire(index: &mut IndexMeta) {
    index.ready = false;
    if !is_retired(index) {
        index.name.push(RETIRED);
    }
}

/// Whether nothing uses the index any more.
pub fn is_retired(index: &IndexMeta) -> bool {
    index.name.ends_with(RETIRED)
}

/// Every retired index with its table.
pub fn retired(catalog: &Catalog) -> Vec<(String, IndexId)> {
    let tables = catalog.tables();
    let indexes = tables.flat_map(|table| {
        let retired = table.indexes.iter().filter(|index| is_retired(index));
        retired.map(|index| (table.name.clone(), index.id))
    });
    indexes.collect()
}

/// The catalog without an index whose entries are gone.
pub fn without(catalog: &Catalog, table: &str, index: IndexId) -> Catalog {
    let mut catalog = catalog.clone();
    if let Some(table) = catalog.table(table) {
        let mut table = TableMeta::clone(table);
        table.indexes.retain(|other| other.id != index);
        catalog.set(table);
    }
    catalog
}

/// The catalog with an index marked as filled.
pub fn with_filled(catalog: &Catalog, table: &str, index: IndexId) -> Catalog {
    let mut catalog = catalog.clone();
    if let Some(table) = catalog.table(table) {
        let mut table = TableMeta::clone(table);
        let filled = table.indexes.iter_mut().filter(|other| other.id == index);
        filled.for_each(|index| index.ready = true);
        catalog.set(table);
    }
    catalog
}

fn forget_pending(catalog: &mut Catalog) {
    let pending = catalog.tables().filter(|table| table.pending.is_some());
    let pending: Vec<TableMeta> = pending.map(|table| TableMeta::clone(table)).collect();
    for table in pending {
        catalog.set(TableMeta {
            pending: None,
            ..table
        });
    }
}

fn new_index(catalog: &Catalog, wanted: &IndexDefinition) -> IndexMeta {
    IndexMeta {
        id: catalog.next_index_id(),
        name: wanted.name.clone(),
        fields: wanted.fields.clone(),
        unique: wanted.unique,
        ready: false,
        staged: false,
    }
}

fn is_same(existing: &IndexMeta, wanted: &IndexDefinition) -> bool {
    existing.name == wanted.name
        && existing.fields == wanted.fields
        && existing.unique == wanted.unique
}
