//! The imports and exports that a start finds unfinished after the process ended, and those no longer kept.

use std::sync::{Arc, Weak};
use std::time::Duration;

use vestibule_schema::id::DocumentId;
use vestibule_schema::object;
use vestibule_schema::value::Value;

use super::error::TransferError;
use super::states::{self, EXPORTS, IMPORTS, Import};
use super::steps::set_export;
use super::{Transfers, swap};
use crate::database::{Query, Transaction};
use crate::files::work;

/// How often old imports and exports are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// Imports and exports that one sweep looks at.
const LOOKED_AT_MAX: usize = 1_000;
const SECONDS_PER_DAY: u64 = 86_400;

/// The state in which a start finds an import.
enum Found {
    /// Its documents are not seen, and never will be.
    CutShort(Import),
    /// No administrator has looked at it yet.
    Uploaded(DocumentId),
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
            tokio::time::sleep(SWEEP_EVERY).await;
            let Some(transfers) = transfers.upgrade() else {
                return;
            };
            if let Err(error) = transfers.sweep().await {
                tracing::warn!(%error, "old imports and exports could not be removed");
            }
        }
    }

    /// Ends what the process ended in.
    pub async fn recover(self: &Arc<Self>) -> Result<(), TransferError> {
        let found = work::write(&self.database, end_cut_short).await?;
        for import in found {
            match import {
                Found::CutShort(import) => self.uploads.remove(import.upload.token)?,
                Found::Uploaded(id) => self.spawn_look(id),
            }
        }
        let transfers = self.clone();
        let clearing = tokio::task::spawn_blocking(move || {
            let _importing = transfers.importing.lock();
            for entry in std::fs::read_dir(&transfers.exports)? {
                let path = entry?.path();
                if path.extension().is_some_and(|kind| kind == "arriving") {
                    std::fs::remove_file(path)?;
                }
            }
            swap::clear_hidden(&transfers.database)
        });
        let cleared = clearing.await;
        cleared.map_err(|_| crate::files::FileError::ShuttingDown)?
    }

    /// Clears away hidden tables, once no import runs.
    pub async fn clear_hidden(self: &Arc<Self>) -> Result<(), TransferError> {
        let transfers = self.clone();
        let clearing = tokio::task::spawn_blocking(move || {
            let _importing = transfers.importing.lock();
            swap::clear_hidden(&transfers.database)
        });
        let cleared = clearing.await;
        cleared.map_err(|_| crate::files::FileError::ShuttingDown)?
    }

    /// Removes what is kept for no longer.
    pub async fn sweep(self: &Arc<Self>) -> Result<(), TransferError> {
        let now = self.database.clock().now().0;
        let kept_for = self.options.import_kept_for;
        let expired = work::write(&self.database, move |tx| end_expired(tx, now, kept_for));
        for token in expired.await? {
            self.uploads.remove(token)?;
        }
        for token in self.uploads.idle_for(kept_for)? {
            let is_used = work::read(&self.database, move |tx| uses(tx, token)).await?;
            if !is_used {
                self.uploads.remove(token)?;
            }
        }
        let ended = work::write(&self.database, move |tx| end_exports(tx, now)).await?;
        for id in ended {
            match std::fs::remove_file(self.archive_of(id)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn imports(tx: &mut Transaction<'_>) -> Result<Vec<Import>, TransferError> {
    let newest_first = Query {
        order: crate::database::Order::Desc,
        ..Query::table(IMPORTS)
    };
    let imports = tx.take(&newest_first, LOOKED_AT_MAX)?;
    let imports = imports.iter();
    Ok(imports
        .filter_map(|import| Import::read(import.id, &import.fields))
        .collect())
}

fn end_cut_short(tx: &mut Transaction<'_>) -> Result<Vec<Found>, TransferError> {
    let mut found = Vec::new();
    for import in imports(tx)? {
        match import.state_name() {
            "in_progress" => {
                let state = states::failed(&TransferError::Interrupted.to_string());
                states::set_state(tx, import.id, state)?;
                found.push(Found::CutShort(import));
            }
            "uploaded" => found.push(Found::Uploaded(import.id)),
            _ => {}
        }
    }
    for export in tx.take(&Query::table(EXPORTS), LOOKED_AT_MAX)? {
        if matches!(states::name_of(&export.fields), "requested" | "in_progress") {
            let message = TransferError::Interrupted.to_string();
            let fields = object! { "state" => "failed", "error_message" => message };
            set_export(tx, export.id, fields)?;
        }
    }
    Ok(found)
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

/// Whether an import that is not over needs an upload.
fn uses(tx: &mut Transaction<'_>, token: uuid::Uuid) -> Result<bool, TransferError> {
    let imports = imports(tx)?;
    let mut imports = imports.iter();
    Ok(imports.any(|import| import.upload.token == token && !import.is_over()))
}

fn end_exports(tx: &mut Transaction<'_>, now: u64) -> Result<Vec<DocumentId>, TransferError> {
    let mut ended = Vec::new();
    for export in tx.take(&Query::table(EXPORTS), LOOKED_AT_MAX)? {
        let end = export.fields.get("expiration_ts").and_then(Value::as_i64);
        let is_over = end
            .and_then(|end| u64::try_from(end).ok())
            .is_some_and(|end| end <= now);
        if is_over {
            tx.delete(export.id)?;
            ended.push(export.id);
        }
    }
    Ok(ended)
}
