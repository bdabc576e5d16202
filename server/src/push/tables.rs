//! The effect of a pushed schema on the tables: the indexes to build, the documents to check, and the catalog before,
//! during and after that. Nothing here reads or writes.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use vestibule_schema::path::ComponentPath;
use vestibule_schema::table::{IndexDefinition, TableDefinition};
use vestibule_schema::validator::Validator;

use super::error::PushError;
use crate::database::{
    Catalog, IndexId, IndexMeta, Owner, PendingRules, TableMeta, component_of, stored_name,
};
use crate::deployment::{Deployment, PushedSchema, PushedTable, allows_all};

/// The work a table needs before a schema can be live.
#[derive(Clone, Debug)]
pub struct Need {
    /// The table.
    pub table: String,
    /// Indexes that are to be filled.
    pub indexes: Vec<IndexId>,
    /// The rules that its documents are to be checked for.
    pub rules: Option<Arc<PendingRules>>,
}

/// The schemas of an app and its components, with the tables that they may not define.
pub struct Target<'s> {
    declared: Vec<Declared<'s>>,
    /// The paths of the components that are mounted.
    mounted: HashSet<String>,
    /// Tables of the server's own program.
    native: &'s HashSet<String>,
}

/// A table of a schema.
struct Declared<'s> {
    /// The name under which it is stored.
    name: Cow<'s, str>,
    definition: &'s TableDefinition,
    pushed: Option<&'s PushedTable>,
    /// Whether its documents are held to its validator.
    is_checked: bool,
}

/// The end of the names of indexes that are no longer used: no query can name one.
const RETIRED: char = '~';

/// An index that a schema names.
struct Wanted {
    definition: IndexDefinition,
    /// Whether it is only to be built.
    staged: bool,
}

impl<'s> Declared<'s> {
    fn all_of(component: &ComponentPath, schema: &'s PushedSchema) -> Vec<Declared<'s>> {
        let tables = schema.schema.tables().iter();
        let declared = tables.map(|definition| Declared {
            name: stored_name(component, &definition.name),
            definition,
            pushed: schema.table(&definition.name),
            is_checked: schema.checks_documents(),
        });
        declared.collect()
    }

    /// The indexes of the table.
    fn wanted(&self) -> Vec<Wanted> {
        let enabled = self.definition.indexes.iter().map(|definition| Wanted {
            definition: definition.clone(),
            staged: false,
        });
        let staged = self.pushed.into_iter().flat_map(|table| &table.indexes);
        let staged = staged.filter(|index| index.staged).map(|index| Wanted {
            definition: index.definition.clone(),
            staged: true,
        });
        enabled.chain(staged).collect()
    }

    fn rules(&self) -> Validator {
        match self.is_checked {
            true => self.definition.document.clone(),
            false => Validator::Any,
        }
    }
}

impl<'s> Target<'s> {
    /// The schemas of `deployment`.
    pub fn of(deployment: &'s Deployment, native: &'s HashSet<String>) -> Target<'s> {
        let schemas = deployment.parts().filter_map(|(path, part)| {
            let schema = part.schema.as_ref()?;
            Some(Declared::all_of(&path, schema))
        });
        Target {
            declared: schemas.flatten().collect(),
            mounted: deployment
                .parts()
                .map(|(path, _)| path.to_string())
                .collect(),
            native,
        }
    }

    /// Refuses a schema that defines a table of the server's own program.
    pub fn check(&self) -> Result<(), PushError> {
        let mut names = self.declared.iter().map(|declared| &declared.name);
        match names.find(|name| self.native.contains(name.as_ref())) {
            Some(name) => Err(PushError::NativeTable(name.to_string())),
            None => Ok(()),
        }
    }

    /// Adds to `catalog` the indexes to build and the rules to check. From then on writers keep the new indexes, and
    /// tell when a document will not fit.
    pub fn declare(&self, catalog: &Catalog) -> (Catalog, Vec<Need>) {
        let mut declared = catalog.clone();
        let mut needs = Vec::new();
        forget_pending(&mut declared);
        for wish in &self.declared {
            let Some(table) = declared.table(&wish.name) else {
                continue;
            };
            let mut table = TableMeta::clone(table);
            for wanted in &wish.wanted() {
                if !table.indexes.iter().any(|index| wanted.is(index)) {
                    table.indexes.push(new_index(&declared, wanted));
                    declared.set(table.clone());
                }
            }
            let rules = wish.rules();
            if !allows_all(&rules, &table.document) {
                table.pending = Some(Arc::new(PendingRules::new(rules)));
            }
            let need = Need {
                table: table.name.clone(),
                indexes: unfilled(&table, wish.definition),
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
    /// entries are gone. The indexes of new tables are ready at once. One that a table lacks is filled in the background.
    pub fn switch(&self, catalog: &Catalog) -> Catalog {
        let mut switched = catalog.clone();
        forget_pending(&mut switched);
        for declared in &self.declared {
            let existing = switched.table(&declared.name);
            let is_new = existing.is_none();
            let mut table = match existing {
                Some(table) => TableMeta::clone(table),
                None => {
                    let number = switched.next_number();
                    switched.new_table(&declared.name, number, Owner::Pushed)
                }
            };
            switched.set(table.clone());
            table.owner = Owner::Pushed;
            table.document = declared.rules();
            let wanted = declared.wanted();
            let (mut kept, retired) = split(&table, &wanted);
            table.indexes = [&kept[..], &retired].concat();
            switched.set(table.clone());
            for wanted in &wanted {
                if !kept.iter().any(|index| wanted.is(index)) {
                    let mut index = new_index(&switched, wanted);
                    // There is nothing to fill it with.
                    index.ready = is_new;
                    kept.push(index);
                    table.indexes = [&kept[..], &retired].concat();
                    switched.set(table.clone());
                }
            }
        }
        self.release_others(&mut switched);
        switched
    }

    /// The catalog with the indexes that tables of the schema lack, to be filled. `None` where none is lacking. An earlier
    /// version did not make every index that it took.
    pub fn complete(&self, catalog: &Catalog) -> Option<Catalog> {
        let mut completed = catalog.clone();
        let mut lacked = false;
        for declared in &self.declared {
            let Some(table) = completed.table(&declared.name) else {
                continue;
            };
            let mut table = TableMeta::clone(table);
            for wanted in &declared.wanted() {
                if !table.indexes.iter().any(|index| wanted.is(index)) {
                    lacked = true;
                    table.indexes.push(new_index(&completed, wanted));
                    completed.set(table.clone());
                }
            }
        }
        lacked.then_some(completed)
    }

    /// An index of the schema that is not filled yet, with its table: a staged one, or one that its table lacked.
    pub fn to_fill(&self, catalog: &Catalog) -> Option<(String, IndexId)> {
        self.declared.iter().find_map(|declared| {
            let table = catalog.table(&declared.name)?;
            let wanted = declared.wanted();
            let is_wanted = |index: &IndexMeta| wanted.iter().any(|wanted| wanted.is(index));
            let mut indexes = table.indexes.iter();
            let index = indexes.find(|index| !index.ready && is_wanted(index))?;
            Some((table.name.clone(), index.id))
        })
    }

    /// Whether `catalog` holds what an unfinished push has begun: indexes that the schema does not name, or rules that are
    /// not in force.
    pub fn leaves_behind(&self, catalog: &Catalog) -> bool {
        let is_begun = |table: &TableMeta| {
            let mut named = self.declared.iter();
            let wanted = named.find(|declared| declared.name == table.name);
            let wanted = wanted.map(Declared::wanted);
            let is_wanted = |index: &IndexMeta| {
                let mut wanted = wanted.iter().flatten();
                wanted.any(|wanted| wanted.is(index))
            };
            let mut indexes = table.indexes.iter();
            let has_index =
                indexes.any(|index| !index.ready && !is_retired(index) && !is_wanted(index));
            table.owner == Owner::Pushed && (table.pending.is_some() || has_index)
        };
        catalog.tables().any(|table| is_begun(table))
    }

    /// Tables that were pushed before and are not named any more keep their documents and nothing else. Those of components
    /// that are not mounted any more stay as they are, for the component's return.
    fn release_others(&self, catalog: &mut Catalog) {
        let named: HashSet<&str> = self
            .declared
            .iter()
            .map(|declared| &*declared.name)
            .collect();
        let is_kept = |table: &TableMeta| {
            named.contains(&*table.name) || !self.mounted.contains(component_of(&table.name))
        };
        let others: Vec<TableMeta> = catalog
            .tables()
            .filter(|table| table.owner == Owner::Pushed && !is_kept(table))
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

/// Indexes of the definition that are to be used and not filled yet.
fn unfilled(table: &TableMeta, definition: &TableDefinition) -> Vec<IndexId> {
    let is_wanted = |index: &&IndexMeta| {
        !index.ready && definition.indexes.iter().any(|wanted| index.is(wanted))
    };
    table
        .indexes
        .iter()
        .filter(is_wanted)
        .map(|index| index.id)
        .collect()
}

/// The indexes that are wanted, as they are wanted, and the rest, retired.
fn split(table: &TableMeta, wanted: &[Wanted]) -> (Vec<IndexMeta>, Vec<IndexMeta>) {
    let (mut kept, mut retired) = (Vec::new(), Vec::new());
    for mut index in table.indexes.iter().cloned() {
        match wanted.iter().find(|wanted| wanted.is(&index)) {
            Some(wanted) => {
                index.staged = wanted.staged;
                kept.push(index);
            }
            None => {
                retire(&mut index);
                retired.push(index);
            }
        }
    }
    (kept, retired)
}

fn retire(index: &mut IndexMeta) {
    index.ready = false;
    index.staged = false;
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

impl Wanted {
    /// Whether `existing` is this index, staged or not.
    fn is(&self, existing: &IndexMeta) -> bool {
        existing.is(&self.definition)
    }
}

fn new_index(catalog: &Catalog, wanted: &Wanted) -> IndexMeta {
    let IndexDefinition {
        name,
        fields,
        unique,
        method,
    } = wanted.definition.clone();
    IndexMeta {
        id: catalog.next_index_id(),
        name,
        fields,
        unique,
        method,
        ready: false,
        staged: wanted.staged,
    }
}
