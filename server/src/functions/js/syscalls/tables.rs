//! The tables that functions may name: those of their component, and two of the server's own.

use std::borrow::Cow;

use vestibule_schema::id::DocumentId;
use vestibule_schema::value::{Object, Value};

use super::Syscalls;
use super::args::Args;
use super::error::SyscallError;
use crate::database::{Operator, QueryError, stored_name};
use crate::functions::scheduled::{COMPONENT, OWNER, SCHEDULED_FUNCTIONS, scheduled_by};

/// System tables that functions may read through `db.system`.
const PUBLIC_SYSTEM_TABLES: [&str; 2] = ["_storage", "_scheduled_functions"];

/// The kind of a table, as functions see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableKind {
    /// The app's own.
    User,
    /// The system's, readable through `db.system`.
    PublicSystem,
    /// The system's own business: to functions there is no such table.
    Hidden,
}

impl TableKind {
    pub fn named(name: &str) -> TableKind {
        match name {
            _ if PUBLIC_SYSTEM_TABLES.contains(&name) => TableKind::PublicSystem,
            // The latter is no name of a function's, but that under which a component's table is stored.
            _ if name.starts_with('_') || name.contains('/') => TableKind::Hidden,
            _ => TableKind::User,
        }
    }
}

/// A document as functions see it: without the components that the server notes in a scheduled function.
pub(super) fn shown(table: &str, mut fields: Object) -> Object {
    if table == SCHEDULED_FUNCTIONS {
        fields.remove(OWNER);
        fields.remove(COMPONENT);
    }
    fields
}

impl Syscalls<'_, '_> {
    /// The name and kind of the table of an id; none when functions know no such table.
    pub(super) fn table_of(&self, id: DocumentId) -> Option<(String, TableKind)> {
        let catalog = self.tx.catalog();
        let table = catalog.table_numbered_in(self.component().as_str(), id.table())?;
        let name = table.local_name();
        let kind = TableKind::named(name);
        (kind != TableKind::Hidden).then(|| (name.to_owned(), kind))
    }

    /// The stored name of the table that the function calls `name`.
    pub(super) fn stored_name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        stored_name(self.component(), name)
    }

    /// The operator that leaves out what other components have in a table of the server's own. An app needs none before it
    /// has components.
    pub(super) fn own_only(&self, table: &str) -> Option<Operator> {
        let is_shared = table == SCHEDULED_FUNCTIONS && !self.is_alone();
        is_shared.then(|| scheduled_by(self.component()))
    }

    /// Whether there is the app alone: nothing is mounted, and nothing that was has left tables.
    fn is_alone(&self) -> bool {
        let mounts = self
            .registry()
            .map(|registry| !registry.deployment().components.is_empty());
        if !self.component().is_root() || mounts.unwrap_or_default() {
            return false;
        }
        let catalog = self.tx.catalog();
        catalog.tables().all(|table| table.component().is_empty())
    }

    /// Whether a document of a table of the server's own is the component's.
    pub(super) fn is_own(&self, table: &str, fields: &Object) -> bool {
        let owner = fields
            .get(OWNER)
            .and_then(Value::as_str)
            .unwrap_or_default();
        table != SCHEDULED_FUNCTIONS || owner == self.component().as_str()
    }

    /// Refuses an id of another table than the one that the call names, when it names one.
    pub(super) fn check_table(
        &self,
        args: &Args<'_>,
        method: &'static str,
        found: &str,
    ) -> Result<(), SyscallError> {
        let expected = args.optional_text("table")?;
        match expected.filter(|expected| expected != found) {
            None => Ok(()),
            Some(expected) => Err(QueryError::IdOfOtherTable {
                method,
                expected,
                found: found.to_string(),
            }
            .into()),
        }
    }
}
