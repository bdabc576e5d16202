//! The imports and exports that a start finds unfinished after the process ended, and those no longer kept.

use std::sync::{Arc, Weak};
use std::time::Duration;

use vestibule_schema::id::DocumentId;
use vestibule_schema::object;
use vestibule_schema::value::{Object, Value};

use super::Transfers;
use super::error::TransferError;
use super::states::{self, EXPORTS, IMPORTS, Import};
use super::steps::{find_export, set_export, tell_in};
use crate::database::{Order, Query, Transaction};
use crate::files::work;

/// How often old imports and exports are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// Imports and exports that one sweep looks at.
const LOOKED_AT_MAX: usize = 1_000;
/// How long an import that is over is listed.
const IMPORTS_LISTED_FOR: Duration = Duration::from_secs(30 * SECONDS_PER_DAY);
const SECONDS_PER_DAY: u64 = 86_400;

/// Imports and exports that are over, although their documents do not say so yet.
#[derive(Default)]
pub struct Unended {
    /// With the states to tell, once what they appended is taken back.
    pub imports: Vec<(Import, Object)>,
    pub exports: Vec<DocumentId>,
}

/// The unfinished work that a start finds.
struct Found {
    cut_short: Vec<Import>,
    /// No administrator has looked at them yet.
    uploaded: Vec<DocumentId>,
    exports: Vec<DocumentId>,
}

impl Transfers {
    /// Ends the imports and exports that the last process left unfinished, then sweeps until `transfers` has no holder
    /// any more.
    pub async fn keep_swept(transfers: Weak<Transfers>) {
        if let Some(transfers) = transfers.upgrade()
            && let Err(error) = transfers.recover().await
        {
            tracing::warn!(%error, "imports and exports that were cut short could not be ended");
        }
        loop {
            let Some(transfers) = transfers.upgrade() else {
                return;
            };
            if let Err(error) = transfers.sweep().await {
                tracing::warn!(%error, "old imports and exports could not be removed");
            }
            let clock = transfers.database.clock().clone();
            drop(transfers);
            clock.sleep_until(clock.elapsed() + SWEEP_EVERY).await;
        }
    }

    /// Ends what the process ended in. The sweep tries again what fails here.
    pub async fn recover(self: &Arc<Self>) -> Result<(), TransferError> {
        let found = work::read(&self.database, unfinished).await?;
        let interrupted = states::failed(&TransferError::Interrupted.to_string());
        {
            let mut unended = self.unended.lock();
            let cut_short = found.cut_short.into_iter();
            unended
                .imports
                .extend(cut_short.map(|import| (import, interrupted.clone())));
            unended.exports.extend(found.exports);
        }
        for id in found.uploaded {
            self.spawn_look(id);
        }
        // Exports do not wait for imports, which may have millions of documents to take back.
        let exports = self.end_cut_short_exports().await;
        let imports = self.clear_hidden().await;
        exports.and(imports)
    }

    async fn end_cut_short_exports(self: &Arc<Self>) -> Result<(), TransferError> {
        let exports = self.unended.lock().exports.clone();
        if exports.is_empty() {
            return Ok(());
        }
        let ending = exports.clone();
        work::write(&self.database, |tx| end_cut_short(tx, ending)).await?;
        let mut unended = self.unended.lock();
        unended.exports.retain(|id| !exports.contains(id));
        Ok(())
    }

    /// Tells how imports ended that could not be told before. For threads that may wait, once what was appended is
    /// taken back: a failed import has left nothing.
    pub(super) fn tell_unended(&self) -> Result<(), TransferError> {
        let imports = self.unended.lock().imports.clone();
        if imports.is_empty() {
            return Ok(());
        }
        let told: Vec<_> = imports
            .iter()
            .map(|(import, state)| (import.id, state.clone()))
            .collect();
        work::begin_write(&self.database, move |tx| {
            let mut told = told.into_iter();
            told.try_for_each(|(id, state)| tell_in(tx, id, "in_progress", state))
        })?
        .wait()?;
        let is_told = |id| imports.iter().any(|(import, _)| import.id == id);
        let mut unended = self.unended.lock();
        unended.imports.retain(|(import, _)| !is_told(import.id));
        drop(unended);
        for (import, _) in &imports {
            self.remove_upload(import);
        }
        Ok(())
    }

    /// Clears away hidden tables and what was appended in vain, once no import runs.
    pub async fn clear_hidden(self: &Arc<Self>) -> Result<(), TransferError> {
        self.apart(|transfers| {
            let _importing = transfers.importing.lock();
            transfers.clear_left()
        })
        .await
    }

    /// Removes what is kept for no longer.
    pub async fn sweep(self: &Arc<Self>) -> Result<(), TransferError> {
        self.end_cut_short_exports().await?;
        let now = self.database.clock().now().0;
        let kept_for = self.options.import_kept_for;
        let expired = work::write(&self.database, move |tx| end_expired(tx, now, kept_for));
        for token in expired.await? {
            self.uploads.remove(token)?;
        }
        let unfinished_kept_for = self.options.unfinished_kept_for;
        for upload in self.uploads.all()? {
            let token = upload.token;
            let used = work::read(&self.database, move |tx| uses(tx, token)).await?;
            let is_left = match (used, upload.is_finished) {
                (Some(is_used), _) => !is_used,
                (None, true) => upload.idle >= kept_for,
                (None, false) => upload.idle >= unfinished_kept_for,
            };
            if is_left {
                self.uploads.remove(token)?;
            }
        }
        let export_kept_for = self.options.export_kept_for;
        let ended = work::write(&self.database, move |tx| {
            forget_imports(tx, now)?;
            end_exports(tx, now, export_kept_for)
        });
        for id in ended.await? {
            self.remove_archive(id);
        }
        self.remove_left_archives().await?;
        self.clear_if_idle().await
    }

    /// Tries again to clear away what is left. An import that runs does so itself at its end.
    async fn clear_if_idle(self: &Arc<Self>) -> Result<(), TransferError> {
        self.apart(|transfers| match transfers.importing.try_lock() {
            Some(_importing) => transfers.clear_left(),
            None => Ok(()),
        })
        .await
    }

    /// Removes archives that no export offers, whole ones and unfinished ones.
    async fn remove_left_archives(self: &Arc<Self>) -> Result<(), TransferError> {
        for entry in std::fs::read_dir(&self.exports)? {
            let path = entry?.path();
            let kind = path.extension().and_then(std::ffi::OsStr::to_str);
            if !matches!(kind, Some("zip" | "arriving")) {
                continue;
            }
            let id = path.file_stem().and_then(std::ffi::OsStr::to_str);
            let Some(id) = id.and_then(|id| id.parse::<DocumentId>().ok()) else {
                continue;
            };
            // In this order: an export that ended after the first look is told as completed by the second one.
            if self.under_way.contains(id) {
                continue;
            }
            let is_zip = kind == Some("zip");
            let is_offered = work::read(&self.database, move |tx| is_offered(tx, id)).await?;
            if !(is_zip && is_offered) {
                remove_if_there(&path)?;
            }
        }
        Ok(())
    }
}

fn remove_if_there(path: &std::path::Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_offered(tx: &mut Transaction<'_>, id: DocumentId) -> Result<bool, TransferError> {
    match find_export(tx, &id.to_string()) {
        Ok((_, export)) => Ok(states::name_of(&export) == "completed"),
        Err(TransferError::UnknownExport(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn newest_first(table: &'static str) -> Query {
    Query {
        order: Order::Desc,
        ..Query::table(table)
    }
}

fn imports(tx: &mut Transaction<'_>) -> Result<Vec<Import>, TransferError> {
    let imports = tx.take(&newest_first(IMPORTS), LOOKED_AT_MAX)?;
    let imports = imports.iter();
    Ok(imports
        .filter_map(|import| Import::read(import.id, &import.fields))
        .collect())
}

fn unfinished(tx: &mut Transaction<'_>) -> Result<Found, TransferError> {
    let (mut cut_short, mut uploaded) = (Vec::new(), Vec::new());
    for import in imports(tx)? {
        match import.state_name() {
            "in_progress" => cut_short.push(import),
            "uploaded" => uploaded.push(import.id),
            _ => {}
        }
    }
    let exports = tx.take(&newest_first(EXPORTS), LOOKED_AT_MAX)?;
    let exports = exports.iter().filter(|export| is_begun(&export.fields));
    Ok(Found {
        cut_short,
        uploaded,
        exports: exports.map(|export| export.id).collect(),
    })
}

fn is_begun(export: &Object) -> bool {
    matches!(states::name_of(export), "requested" | "in_progress")
}

fn end_cut_short(tx: &mut Transaction<'_>, exports: Vec<DocumentId>) -> Result<(), TransferError> {
    for id in exports {
        // It may have been canceled meanwhile.
        let export = tx.get(id)?;
        if export.is_some_and(|export| is_begun(&export.fields)) {
            let message = TransferError::Interrupted.to_string();
            let fields = object! { "state" => "failed", "error_message" => message };
            set_export(tx, id, fields)?;
        }
    }
    Ok(())
}

fn end_expired(
    tx: &mut Transaction<'_>,
    now: u64,
    kept_for: Duration,
) -> Result<Vec<uuid::Uuid>, TransferError> {
    let now_millis = now as f64 / 1e6;
    let mut ended = Vec::new();
    for import in imports(tx)? {
        let is_waiting = matches!(import.state_name(), "uploaded" | "waiting_for_confirmation");
        let is_old = now_millis - import.created_at >= kept_for.as_millis() as f64;
        if is_waiting && is_old {
            let days = kept_for.as_secs() / SECONDS_PER_DAY;
            let state = states::failed(&TransferError::Expired(days).to_string());
            states::set_state(tx, import.id, state)?;
            ended.push(import.upload.token);
        }
    }
    Ok(ended)
}

/// Whether an import that is not over needs an upload; `None` where no import names it.
fn uses(tx: &mut Transaction<'_>, token: uuid::Uuid) -> Result<Option<bool>, TransferError> {
    let imports = imports(tx)?;
    let mut imports = imports.iter();
    let import = imports.find(|import| import.upload.token == token);
    Ok(import.map(|import| !import.is_over()))
}

/// Forgets imports that ended long ago.
fn forget_imports(tx: &mut Transaction<'_>, now: u64) -> Result<(), TransferError> {
    let latest = now as f64 / 1e6 - IMPORTS_LISTED_FOR.as_millis() as f64;
    for document in tx.take(&Query::table(IMPORTS), LOOKED_AT_MAX)? {
        let import = Import::read(document.id, &document.fields);
        if import.is_some_and(|import| import.is_over() && import.created_at <= latest) {
            tx.delete(document.id)?;
        }
    }
    Ok(())
}

/// Forgets exports whose time is over, and those that came to nothing as long ago.
fn end_exports(
    tx: &mut Transaction<'_>,
    now: u64,
    kept_for: Duration,
) -> Result<Vec<DocumentId>, TransferError> {
    let mut ended = Vec::new();
    for export in tx.take(&Query::table(EXPORTS), LOOKED_AT_MAX)? {
        let end = export.fields.get("expiration_ts").and_then(Value::as_i64);
        let made_at = export.fields.get("_creationTime").and_then(Value::as_f64);
        let is_over = match states::name_of(&export.fields) {
            "failed" | "canceled" => made_at
                .is_some_and(|made_at| made_at + kept_for.as_millis() as f64 <= now as f64 / 1e6),
            _ => end
                .and_then(|end| u64::try_from(end).ok())
                .is_some_and(|end| end <= now),
        };
        if is_over {
            tx.delete(export.id)?;
            ended.push(export.id);
        }
    }
    Ok(ended)
}
