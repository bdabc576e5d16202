//! Tables of components: each is a table of the one catalog, stored under a name that says whose it is.
//!
//! Documents and index entries are stored under the numbers of indexes, which are unique among all tables. So read sets and
//! backups know nothing of components. A table's number, which its ids begin with, is unique within its component alone: a
//! transaction reads an id as the component does whose function runs. The separator is no part of any identifier: a stored
//! name never means the table of another component.

use std::borrow::Cow;

use vestibule_schema::id::TableNumber;
use vestibule_schema::path::ComponentPath;
use vestibule_schema::validator::TableNames;

use super::catalog::Catalog;

/// Between the path of a component and the name that its table has there.
const SEPARATOR: char = '/';

/// The stored name of the table that functions of `component` call `name`. Tables of the server's own are everybody's.
pub fn stored_name<'n>(component: &ComponentPath, name: &'n str) -> Cow<'n, str> {
    match component.is_root() || name.starts_with('_') {
        true => Cow::Borrowed(name),
        false => Cow::Owned(format!("{component}{SEPARATOR}{name}")),
    }
}

/// The name of a table within its component.
pub fn local_name(stored: &str) -> &str {
    stored
        .rsplit_once(SEPARATOR)
        .map_or(stored, |(_, name)| name)
}

/// The path of the component whose table is stored under this name; empty for the app.
pub fn component_of(stored: &str) -> &str {
    stored
        .rsplit_once(SEPARATOR)
        .map_or("", |(component, _)| component)
}

/// The tables that one component knows, among those of `names` that are stored.
pub struct Namespace<'n, N: ?Sized> {
    names: &'n N,
    component: &'n str,
}

impl Catalog {
    /// The names of tables as `component` knows them.
    pub fn namespace<'n>(&'n self, component: &'n ComponentPath) -> Namespace<'n, Catalog> {
        let component = component.as_str();
        Namespace {
            names: self,
            component,
        }
    }

    /// The names of tables as the component knows them whose table is stored as `table`.
    pub fn namespace_of<'n>(&'n self, table: &'n str) -> Namespace<'n, Catalog> {
        let component = component_of(table);
        Namespace {
            names: self,
            component,
        }
    }
}

impl<'n, N: StoredNames + ?Sized> Namespace<'n, N> {
    /// The names of tables as the component knows them whose table is stored as `table`.
    pub fn of(names: &'n N, table: &'n str) -> Namespace<'n, N> {
        let component = component_of(table);
        Namespace { names, component }
    }
}

/// Tables by the names under which they are stored.
pub trait StoredNames {
    /// The number of the table that is stored as `name`.
    fn stored_number(&self, name: &str) -> Option<TableNumber>;
    /// The stored name of the table with this number, as `component` knows it: one of its own or of the server's.
    fn stored_name_in(&self, component: &str, number: TableNumber) -> Option<&str>;
}

impl<N: StoredNames + ?Sized> TableNames for Namespace<'_, N> {
    fn table_number(&self, name: &str) -> Option<TableNumber> {
        if name.contains(SEPARATOR) {
            return None;
        }
        match self.component.is_empty() || name.starts_with('_') {
            true => self.names.stored_number(name),
            false => {
                let stored = format!("{}{SEPARATOR}{name}", self.component);
                self.names.stored_number(&stored)
            }
        }
    }

    fn table_name(&self, number: TableNumber) -> Option<&str> {
        let stored = self.names.stored_name_in(self.component, number);
        stored.map(local_name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::Owner;
    use super::*;

    #[test]
    fn a_component_knows_its_own_tables_and_those_of_the_server() {
        let mut catalog = Catalog::default();
        for (at, name) in ["jobs", "kid/jobs", "kid/sub/jobs", "kid/only", "_storage"]
            .into_iter()
            .enumerate()
        {
            let number = TableNumber::new(10_001 + at as u32).unwrap();
            catalog.set(catalog.new_table(name, number, Owner::Pushed));
        }
        let number = |name: &str| catalog.table(name).unwrap().number;
        for (component, jobs) in [
            ("", "jobs"),
            ("kid", "kid/jobs"),
            ("kid/sub", "kid/sub/jobs"),
        ] {
            let component = component.parse().unwrap();
            let names = catalog.namespace(&component);
            assert_eq!(names.table_number("jobs"), Some(number(jobs)));
            assert_eq!(names.table_name(number(jobs)), Some("jobs"));
            assert_eq!(names.table_number("_storage"), Some(number("_storage")));
            assert_eq!(names.table_name(number("_storage")), Some("_storage"));
            assert_eq!(names.table_number("kid/jobs"), None);
            let is_kid = component.as_str() == "kid";
            assert_eq!(names.table_name(number("kid/only")).is_some(), is_kid);
            assert_eq!(names.table_number("only").is_some(), is_kid);
            assert_eq!(stored_name(&component, "jobs"), jobs);
            assert_eq!(
                (component_of(jobs), local_name(jobs)),
                (component.as_str(), "jobs")
            );
        }
    }
}
