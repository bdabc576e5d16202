//! Operations on one document.

use vestibule_schema::id::DocumentId;
use vestibule_schema::path::check_identifier;
use vestibule_schema::value::Value;

use super::super::warnings;
use super::Syscalls;
use super::args::Args;
use super::commit_ts::encoded;
use super::error::SyscallError;
use super::tables::{TableKind, shown};
use crate::database::{CommitTsPlaces, Patch, QueryError};

/// The answer of operations whose result the package throws away. A document would be written and parsed for nothing.
const IGNORED: &str = "null";

impl Syscalls<'_, '_> {
    pub(super) fn normalize_id(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("db.normalizeId", text)?;
        let table = args.text("table")?;
        let id: Option<DocumentId> = args.text("idString")?.parse().ok();
        let catalog = self.tx.catalog();
        let number = match TableKind::named(&table) {
            TableKind::Hidden => None,
            TableKind::User | TableKind::PublicSystem => catalog.table_in(self.component(), &table),
        }
        .map(|table| table.number);
        if number.is_none() {
            self.tx.record_catalog()?;
        }
        let id = id.filter(|id| Some(id.table()) == number);
        Ok(match id {
            Some(id) => format!("{{\"id\":\"{id}\"}}"),
            None => "{\"id\":null}".to_string(),
        })
    }

    pub(super) fn get(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("db.get", text)?;
        let is_system = args.flag("isSystem")?;
        let id = args.id("id")?;
        let known = self.table_of(id);
        let catalog = self.tx.catalog();
        if let Some((table, kind)) = &known {
            let refusal = match (*kind, is_system) {
                (TableKind::PublicSystem, false) => {
                    Some("System tables can only be accessed with db.system.")
                }
                (TableKind::User, true) => Some("User tables cannot be accessed with db.system."),
                _ => None,
            };
            if let Some(text) = refusal {
                return Err(SyscallError::bad_request(text));
            }
            self.check_table(&args, "get", table)?;
        } else if catalog
            .table_numbered_in(self.component().as_str(), id.table())
            .is_some()
        {
            // To functions there is no such table.
            return Ok("null".to_string());
        }
        let table = known.map_or_else(String::new, |(table, _)| table);
        let found = self.tx.get(id)?.map(|document| document.fields);
        Ok(match found.filter(|fields| self.is_own(&table, fields)) {
            Some(fields) => encoded(shown(&table, fields), self.tx.commit_ts_places(id)),
            None => "null".to_string(),
        })
    }

    pub(super) fn insert(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("db.insert", text)?;
        let table = args.text("table")?;
        match TableKind::named(&table) {
            TableKind::User => {}
            TableKind::PublicSystem => return Err(read_only(&table)),
            TableKind::Hidden if !table.starts_with('_') => {}
            TableKind::Hidden => {
                return Err(SyscallError::bad_request(format!(
                    "Invalid table name {table} starts with metadata prefix '_'"
                )));
            }
        }
        check_identifier(&table).map_err(|error| args.refuse("table", error))?;
        let (fields, places) = args.object("value")?;
        let stored = self.stored_name(&table);
        self.tx.ensure_table(&stored)?;
        let nesting = nesting_of(fields.values());
        let bytes_before = self.tx.usage().bytes_written;
        if !places.is_empty()
            && let Some(table) = self.tx.catalog().table(&stored)
        {
            table.may_await_commit_ts(&places)?;
        }
        let id = self.tx.insert(&stored, fields)?;
        self.tx.await_commit_ts(id, places)?;
        self.warn_of(id, bytes_before, nesting);
        Ok(format!("{{\"_id\":\"{id}\"}}"))
    }

    pub(super) fn shallow_merge(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("db.patch", text)?;
        let id = self.id_to_write(&args, "patch")?;
        let (fields, places) = args.fields("value")?;
        // The fields that stay were looked at when they were written.
        let nesting = nesting_of(fields.iter().filter_map(|(_, value)| value.as_ref()));
        let patch = fields
            .into_iter()
            .fold(Patch::default(), |patch, (name, value)| match value {
                Some(value) => patch.set(&name, value),
                None => patch.unset(&name),
            });
        let bytes_before = self.tx.usage().bytes_written;
        self.check_places(id, &places)?;
        self.tx.patch(id, patch)?;
        self.tx.await_commit_ts(id, places)?;
        self.warn_of(id, bytes_before, nesting);
        Ok(IGNORED.to_string())
    }

    pub(super) fn replace(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("db.replace", text)?;
        let id = self.id_to_write(&args, "replace")?;
        let (fields, places) = args.object("value")?;
        let nesting = nesting_of(fields.values());
        let bytes_before = self.tx.usage().bytes_written;
        self.check_places(id, &places)?;
        self.tx.replace(id, fields)?;
        self.tx.await_commit_ts(id, places)?;
        self.warn_of(id, bytes_before, nesting);
        Ok(IGNORED.to_string())
    }

    pub(super) fn remove(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("db.delete", text)?;
        let id = self.id_to_write(&args, "delete")?;
        self.tx.delete(id)?;
        Ok(IGNORED.to_string())
    }

    /// Refuses unresolved commit timestamps at these places of a document that is going to be written.
    fn check_places(&self, id: DocumentId, places: &CommitTsPlaces) -> Result<(), SyscallError> {
        match self.tx.table_of(id) {
            Some(table) if !places.is_empty() => Ok(table.may_await_commit_ts(places)?),
            Some(_) | None => Ok(()),
        }
    }

    /// Warns of a document that was just written and is near a limit, once for each.
    fn warn_of(&mut self, id: DocumentId, bytes_before: usize, nesting: usize) {
        let bytes = self.tx.usage().bytes_written - bytes_before;
        let warnings = warnings::of_document(id, bytes, nesting);
        for (kind, warning) in warnings.into_iter().enumerate() {
            if let Some(warning) = warning
                && self.state.warned.insert((id, kind))
            {
                self.hooks.warn(warning);
            }
        }
    }

    /// The id of a document that functions may write.
    fn id_to_write(
        &mut self,
        args: &Args<'_>,
        method: &'static str,
    ) -> Result<DocumentId, SyscallError> {
        let id = args.id("id")?;
        match self.table_of(id) {
            Some((table, TableKind::User)) => {
                self.check_table(args, method, &table)?;
                Ok(id)
            }
            Some((table, _)) => Err(read_only(&table)),
            None => {
                self.tx.record_catalog()?;
                let id = id.to_string();
                Err(QueryError::TableOfIdNotFound { method, id }.into())
            }
        }
    }
}

/// How deeply a document of these values is nested.
fn nesting_of<'v>(values: impl Iterator<Item = &'v Value>) -> usize {
    1 + values.map(Value::nesting).max().unwrap_or(0)
}

fn read_only(table: &str) -> SyscallError {
    SyscallError::bad_request(format!("{table} is a read-only table"))
}
