//! The effect of an import on the tables, settled before anything is written. It is the tables it fills, the number of
//! each, and the fate of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vestibule_schema::id::TableNumber;
use vestibule_schema::validator::TableNames;

use super::error::TransferError;
use super::states::Mode;
use crate::database::{Catalog, Namespace, StoredNames, TableMeta, component_of, local_name};
use crate::files::STORAGE;

/// The plan for the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The treatment of existing documents.
    pub mode: Mode,
    /// The tables that are filled, by name.
    pub filled: BTreeMap<String, Filled>,
    /// Tables that give up their number, or their documents, or both, for the rest.
    pub moved: BTreeMap<String, Moved>,
}

/// A table that is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// The number it has afterwards.
    pub number: TableNumber,
    /// Whether documents go into the existing table, where every client sees them at once.
    pub in_place: bool,
}

/// A table that is not filled and does not stay as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The number it has afterwards.
    pub number: TableNumber,
}

/// The known facts about an existing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Existing {
    /// Whether it holds no document.
    pub is_empty: bool,
}

/// The tables as they will be, for checks of ids in documents.
#[derive(Debug, Default)]
pub struct FutureNames {
    by_name: BTreeMap<String, TableNumber>,
    /// The tables with each number: the app and every component may have one.
    by_number: BTreeMap<TableNumber, Vec<String>>,
}

impl Plan {
    /// Settles what becomes of the tables. `wanted` are the tables to fill, each with its number in the file, if the
    /// file names one. `existing` holds every existing table that is not the server's own, and `_storage`.
    pub fn new(
        mode: Mode,
        wanted: &BTreeMap<String, Option<TableNumber>>,
        existing: &BTreeMap<String, Existing>,
        catalog: &Catalog,
    ) -> Result<Plan, TransferError> {
        let mut plan = Plan {
            mode,
            filled: BTreeMap::new(),
            moved: BTreeMap::new(),
        };
        let mut taken = Taken::default();
        for (name, number) in wanted {
            let filled = plan.settle(name, *number, existing, catalog)?;
            let Some(filled) = filled else { continue };
            if taken.is_in_the_way_of(name, filled.number) {
                let number = filled.number;
                let problem = format!("two of its tables have the number {number}");
                return Err(TransferError::Archive(problem));
            }
            taken.insert(name, filled.number);
            plan.filled.insert(name.clone(), filled);
        }
        plan.make_room(&taken, existing, catalog)?;
        // Tables without a number of their own come last, behind every number in use.
        let mut free = FreeNumbers::new(&taken, catalog);
        for name in wanted.keys() {
            if !plan.filled.contains_key(name) {
                let (number, in_place) = (free.take(), false);
                plan.filled
                    .insert(name.clone(), Filled { number, in_place });
            }
        }
        for (name, moved) in &mut plan.moved {
            if taken.is_in_the_way_of(name, moved.number) {
                moved.number = free.take();
            }
        }
        Ok(plan)
    }

    /// The plan for one table; `None` when it has to have a new number.
    fn settle(
        &self,
        name: &str,
        wanted: Option<TableNumber>,
        existing: &BTreeMap<String, Existing>,
        catalog: &Catalog,
    ) -> Result<Option<Filled>, TransferError> {
        let here = catalog.table(name).map(|table| table.number);
        let is_empty = existing.get(name).is_none_or(|table| table.is_empty);
        if self.mode == Mode::RequireEmpty && !is_empty {
            return Err(TransferError::TableExists(name.to_string()));
        }
        let in_place = self.mode == Mode::Append && !is_empty;
        let number = match in_place {
            // Ids of another number are refused one by one: documents without ids may come from anywhere.
            true => here,
            false => {
                wanted.map_or(Ok(()), |wanted| check_number(name, wanted))?;
                wanted.or(here)
            }
        };
        Ok(number.map(|number| Filled { number, in_place }))
    }

    /// Finds out which other tables go, and which have to go somewhere else.
    fn make_room(
        &mut self,
        taken: &Taken,
        existing: &BTreeMap<String, Existing>,
        catalog: &Catalog,
    ) -> Result<(), TransferError> {
        for table in catalog.tables() {
            if self.filled.contains_key(&table.name) || table.is_hidden() {
                continue;
            }
            let number = table.number;
            let is_in_the_way = taken.is_in_the_way_of(&table.name, number);
            let known = existing.get(&table.name);
            let goes = self.mode == Mode::ReplaceAll && known.is_some();
            let is_empty = known.is_some_and(|table| table.is_empty);
            match (is_in_the_way, goes || is_empty) {
                (true, false) => {
                    let filled = taken.by(&table.name, number);
                    return Err(TransferError::NumberTaken {
                        table: filled.unwrap_or_default().to_owned(),
                        number,
                        holder: table.name.clone(),
                    });
                }
                (true, true) => {
                    self.moved.insert(table.name.clone(), Moved { number });
                }
                (false, _) if goes && !is_empty => {
                    self.moved.insert(table.name.clone(), Moved { number });
                }
                (false, _) => {}
            }
        }
        Ok(())
    }

    /// Refuses to give a table another number while documents that stay refer to it.
    pub fn check_references(&self, catalog: &Catalog) -> Result<(), TransferError> {
        for (name, filled) in &self.filled {
            let here = catalog.table(name);
            if here.is_none_or(|here| here.number == filled.number) {
                continue;
            }
            let refers = |table: &&Arc<TableMeta>| {
                let stays = !self.filled.contains_key(&table.name)
                    && !self.moved.contains_key(&table.name)
                    && !table.is_hidden();
                let is_of_it = component_of(name) == table.component();
                stays && is_of_it && table.document.refers_to(local_name(name))
            };
            if let Some(referrer) = catalog.tables().find(refers) {
                return Err(TransferError::NumberReferred {
                    table: name.clone(),
                    referrer: referrer.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// The tables as they will be.
    pub fn names(&self, catalog: &Catalog) -> FutureNames {
        let mut names = FutureNames::default();
        for table in catalog.tables() {
            let moved = self.moved.get(&table.name).map(|moved| moved.number);
            let filled = self.filled.get(&table.name).map(|filled| filled.number);
            let number = filled.or(moved).unwrap_or(table.number);
            names.add(&table.name, number);
        }
        for (name, filled) in &self.filled {
            if catalog.table(name).is_none() {
                names.add(name, filled.number);
            }
        }
        names
    }
}

/// The numbers that an import gives, with the tables that get them. Components have numbers of their own.
#[derive(Default)]
struct Taken(BTreeMap<TableNumber, Vec<String>>);

impl Taken {
    fn insert(&mut self, name: &str, number: TableNumber) {
        self.0.entry(number).or_default().push(name.to_owned());
    }

    /// The table with this number which cannot have it beside `name`: one of its component, or one of them is the server's.
    fn by(&self, name: &str, number: TableNumber) -> Option<&str> {
        let is_of_server = |name: &str| name.starts_with('_');
        let mut others = self.0.get(&number)?.iter();
        let other = others.find(|other| {
            component_of(other) == component_of(name) || is_of_server(other) || is_of_server(name)
        });
        other.map(String::as_str)
    }

    fn is_in_the_way_of(&self, name: &str, number: TableNumber) -> bool {
        self.by(name, number).is_some()
    }
}

/// Numbers that no table has or will have.
struct FreeNumbers {
    next: TableNumber,
    used: BTreeSet<TableNumber>,
}

impl FreeNumbers {
    fn new(taken: &Taken, catalog: &Catalog) -> FreeNumbers {
        let last = taken.0.keys().next_back().copied();
        FreeNumbers {
            next: catalog
                .next_number()
                .max(last.map_or(TableNumber::FIRST_USER, after)),
            used: catalog
                .tables()
                .map(|table| table.number)
                .chain(taken.0.keys().copied())
                .collect(),
        }
    }

    fn take(&mut self) -> TableNumber {
        while !self.used.insert(self.next) {
            self.next = after(self.next);
        }
        let number = self.next;
        self.next = after(number);
        number
    }
}

/// Refuses numbers of the server's own tables, and those of hidden ones. Files have one of their own.
fn check_number(table: &str, number: TableNumber) -> Result<(), TransferError> {
    let is_legal = !number.is_hidden() && (table == STORAGE || !number.is_system());
    match is_legal {
        true => Ok(()),
        false => Err(TransferError::NumberOutside {
            table: table.to_string(),
            number,
        }),
    }
}

impl FutureNames {
    fn add(&mut self, name: &str, number: TableNumber) {
        self.by_name.insert(name.to_string(), number);
        let names = self.by_number.entry(number).or_default();
        names.push(name.to_string());
    }
}

impl StoredNames for FutureNames {
    fn stored_number(&self, name: &str) -> Option<TableNumber> {
        self.by_name.get(name).copied()
    }

    fn stored_name_in(&self, component: &str, number: TableNumber) -> Option<&str> {
        let mut names = self.by_number.get(&number)?.iter();
        let known = names.find(|name| component_of(name) == component || name.starts_with('_'));
        known.map(String::as_str)
    }
}

/// The tables as they will be, as the component of one of them knows them.
#[derive(Clone, Debug)]
pub struct NamesOf {
    names: Arc<FutureNames>,
    table: String,
}

impl NamesOf {
    /// Those that documents of `table` may name.
    pub fn new(names: &Arc<FutureNames>, table: &str) -> NamesOf {
        NamesOf {
            names: names.clone(),
            table: table.to_owned(),
        }
    }
}

impl TableNames for NamesOf {
    fn table_number(&self, name: &str) -> Option<TableNumber> {
        Namespace::of(&*self.names, &self.table).table_number(name)
    }

    fn table_name(&self, number: TableNumber) -> Option<&str> {
        let stored = self.names.stored_name_in(component_of(&self.table), number);
        stored.map(local_name)
    }
}

/// The next number; behind the last one the first one comes again.
fn after(number: TableNumber) -> TableNumber {
    let next = number.get().checked_add(1).and_then(TableNumber::new);
    let next = next.filter(|next| !next.is_hidden());
    next.map_or(TableNumber::FIRST_USER, |next| {
        next.max(TableNumber::FIRST_USER)
    })
}
