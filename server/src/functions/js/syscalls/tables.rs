//! The tables that functions may name.

use vestibule_schema::id::DocumentId;

use super::Syscalls;
use super::args::Args;
use super::error::SyscallError;
use crate::database::QueryError;

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
            _ if name.starts_with('_') => TableKind::Hidden,
            _ => TableKind::User,
        }
    }
}

impl Syscalls<'_, '_> {
    /// The name and kind of the table of an id; none when functions know no such table.
    pub(super) fn table_of(&self, id: DocumentId) -> Option<(String, TableKind)> {
        let catalog = self.tx.catalog();
        let table = catalog.table_numbered(id.table())?;
        let kind = TableKind::named(&table.name);
        (kind != TableKind::Hidden).then(|| (table.name.clone(), kind))
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
