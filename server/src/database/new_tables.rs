//! Tables that a function makes by inserting into them.

use super::catalog::{Catalog, Owner};
use super::error::{DatabaseError, QueryError};
use super::transaction::Transaction;

/// Tables of one deployment, the system's included.
pub(super) const TABLES_MAX: usize = 10_000;

impl Transaction<'_> {
    /// Makes a table without rules, unless there is one of this name. It comes with the commit and goes with a rollback.
    pub fn create_table(&mut self, name: &str) -> Result<(), DatabaseError> {
        self.require_writer("insert")?;
        let old = self.catalog();
        if old.table(name).is_some() {
            return Ok(());
        }
        // Whoever makes a table meanwhile may have made this one, or taken its number.
        self.record_catalog()?;
        if old.tables().count() >= TABLES_MAX {
            return Err(QueryError::TooManyTables.into());
        }
        let mut catalog = Catalog::clone(&old);
        catalog.set(old.new_table(name, old.next_number(), Owner::Pushed));
        self.set_catalog(catalog)
    }
}
