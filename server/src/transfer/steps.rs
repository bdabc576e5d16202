//! The steps of imports and exports as requests ask for them.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use vestibule_schema::id::DocumentId;
use vestibule_schema::object;
use vestibule_schema::value::{Object, Value};

use super::Transfers;
use super::error::TransferError;
use super::states::{self, EXPORTS, Import, ImportRequest};
use crate::database::{Patch, Query, Transaction};
use crate::files::{BrokenOff, ByteStream, FileError, work};

/// Bytes of an archive that are read at a time.
const READ_BYTES: usize = 64 << 10;

/// An archive on its way to a client.
pub struct Download {
    /// The commit that it shows.
    pub ts: i64,
    /// How many bytes it has.
    pub bytes: u64,
    /// All of them.
    pub content: ByteStream,
}

impl Transfers {
    /// Begins an upload. Returns its token.
    pub fn start_upload(&self) -> Result<String, TransferError> {
        let unfinished_kept_for = self.options.unfinished_kept_for;
        Ok(self.uploads.start(unfinished_kept_for)?.to_string())
    }

    /// Takes a part of an upload in. Returns what stands for it.
    pub async fn take_part(
        &self,
        token: &str,
        number: u32,
        content: impl Stream<Item = Result<Bytes, BrokenOff>> + Send,
    ) -> Result<String, TransferError> {
        let taking = self
            .uploads
            .take_part(token, number, content, &self.options);
        taking.await
    }

    /// Makes an import of an upload. It is looked at beside.
    pub async fn finish_upload(
        self: &Arc<Self>,
        request: ImportRequest,
        token: &str,
        parts: &[String],
    ) -> Result<DocumentId, TransferError> {
        request.check()?;
        let upload = self.uploads.finish(token, parts)?;
        self.write_then(
            move |tx| Import::insert(tx, &request, &upload),
            |transfers, id| transfers.look_and_tell(id),
        )
        .await
    }

    /// Does an import that waits for it. It is done beside.
    pub async fn perform_import(self: &Arc<Self>, id: String) -> Result<(), TransferError> {
        self.write_then(
            move |tx| {
                let import = Import::find(tx, &id)?;
                import.require_state("waiting_for_confirmation")?;
                states::set_state(tx, import.id, states::in_progress("Importing", &[]))?;
                Ok(import)
            },
            // An administrator reads in the import's document how it went.
            |transfers, import| drop(transfers.perform_and_tell(&import)),
        )
        .await?;
        Ok(())
    }

    /// Cancels an import. One that is over stays as it is.
    pub async fn cancel_import(self: &Arc<Self>, id: String) -> Result<(), TransferError> {
        self.apart(move |transfers| {
            let canceling = work::begin_write(&transfers.database, move |tx| {
                let import = Import::find(tx, &id)?;
                if !import.is_over() {
                    states::set_state(tx, import.id, states::failed("Canceled"))?;
                }
                Ok::<Import, TransferError>(import)
            });
            let import = canceling?.wait()?;
            transfers.under_way.cancel(import.id);
            // The thread that performs it removes the upload itself.
            if import.state_name() != "in_progress" {
                transfers.remove_upload(&import);
            }
            Ok(())
        })
        .await
    }

    /// Imports a file as a whole, without confirmation. Returns how many documents were written.
    pub async fn import_now(
        self: &Arc<Self>,
        request: ImportRequest,
        content: impl Stream<Item = Result<Bytes, BrokenOff>> + Send,
    ) -> Result<u64, TransferError> {
        request.check()?;
        let token = self.start_upload()?;
        // Goes with this request, until there is an import that it belongs to.
        let unclaimed = self.uploads.unclaimed(&token)?;
        let part = self.take_part(&token, 1, content).await?;
        let upload = self.uploads.finish(&token, &[part])?;
        self.apart(move |transfers| {
            let inserting = work::begin_write(&transfers.database, move |tx| {
                let id = Import::insert(tx, &request, &upload)?;
                states::set_state(tx, id, states::in_progress("Importing", &[]))?;
                Import::find(tx, &id.to_string())
            });
            let import = inserting?.wait()?;
            unclaimed.claim();
            transfers.perform_and_tell(&import)
        })
        .await
    }

    /// Begins an export. It is done beside.
    pub async fn request_export(
        self: &Arc<Self>,
        with_files: bool,
    ) -> Result<DocumentId, TransferError> {
        self.write_then(
            move |tx| {
                if let Some((_, latest)) = latest_export(tx)?
                    && matches!(states::name_of(&latest), "requested" | "in_progress")
                {
                    return Err(TransferError::ExportInProgress);
                }
                let fields = object! {
                    "state" => "requested",
                    "format" => object! { "format" => "zip", "include_storage" => with_files },
                    "requestor" => "snapshotExport",
                };
                Ok(tx.insert(EXPORTS, fields)?)
            },
            move |transfers, id| transfers.export_and_tell(id, with_files),
        )
        .await
    }

    /// Cancels an export that is not done.
    pub async fn cancel_export(self: &Arc<Self>, id: String) -> Result<(), TransferError> {
        self.apart(move |transfers| {
            let canceling = work::begin_write(&transfers.database, move |tx| {
                let (id, export) = find_export(tx, &id)?;
                if matches!(states::name_of(&export), "requested" | "in_progress") {
                    set_export(tx, id, object! { "state" => "canceled" })?;
                }
                Ok::<DocumentId, TransferError>(id)
            });
            let id = canceling?.wait()?;
            transfers.under_way.cancel(id);
            Ok(())
        })
        .await
    }

    /// Sets when an export ends.
    pub async fn set_expiration(
        self: &Arc<Self>,
        id: String,
        at_nanos: i64,
    ) -> Result<(), TransferError> {
        let now = self.database.clock().now();
        let latest = now.plus(self.options.export_kept_for_max).0;
        if !u64::try_from(at_nanos).is_ok_and(|at| at > now.0 && at <= latest) {
            return Err(TransferError::BadRequest(
                "An export ends in the future, and in 60 days at the latest.",
            ));
        }
        work::write(&self.database, move |tx| {
            let (id, _) = find_export(tx, &id)?;
            set_export(tx, id, object! { "expiration_ts" => at_nanos })
        })
        .await
    }

    /// The archive of an export, by the export's id or by its timestamp.
    pub async fn open_export(&self, name: String) -> Result<Download, TransferError> {
        let asked = name.clone();
        let found = work::read(&self.database, move |tx| find_completed(tx, &asked));
        let (id, ts) = found.await?;
        let unknown = || TransferError::UnknownExport(name.escape_debug().to_string());
        let file = tokio::fs::File::open(self.archive_of(id)).await;
        let file = file.map_err(|_| unknown())?;
        let bytes = file.metadata().await?.len();
        let content = futures_util::stream::try_unfold(file, |mut file| async move {
            let mut part = vec![0; READ_BYTES];
            let read = file.read(&mut part).await?;
            part.truncate(read);
            std::io::Result::Ok((read > 0).then(|| (Bytes::from(part), file)))
        });
        Ok(Download {
            ts,
            bytes,
            content: Box::pin(content.map_err(FileError::from)),
        })
    }

    pub(super) fn archive_of(&self, id: DocumentId) -> std::path::PathBuf {
        self.exports.join(format!("{id}.zip"))
    }

    // ---- the work beside -------------------------------------------------------------------------------------

    /// Does `work` on a thread that may wait. A caller that leaves meanwhile does not cut it short.
    pub(super) async fn apart<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Transfers>) -> Result<T, TransferError> + Send + 'static,
    ) -> Result<T, TransferError> {
        let transfers = self.clone();
        let working = tokio::task::spawn_blocking(move || work(&transfers));
        working.await.map_err(|_| FileError::ShuttingDown)?
    }

    /// Commits `write`, and then does `then` on a thread that may wait. The caller hears of the commit. A caller that
    /// leaves meanwhile changes nothing: what has committed is always followed up.
    async fn write_then<T: Clone + Send + 'static>(
        self: &Arc<Self>,
        write: impl FnOnce(&mut Transaction<'_>) -> Result<T, TransferError> + Send + 'static,
        then: impl FnOnce(&Arc<Transfers>, T) + Send + 'static,
    ) -> Result<T, TransferError> {
        let (answer, answered) = oneshot::channel();
        let transfers = self.clone();
        tokio::task::spawn_blocking(move || {
            let writing = work::begin_write(&transfers.database, write);
            let written = writing.and_then(work::Writing::wait);
            let next = written.as_ref().ok().cloned();
            // The caller may have left.
            let _ = answer.send(written);
            if let Some(next) = next {
                then(&transfers, next);
            }
        });
        let answered = answered.await;
        answered.unwrap_or_else(|_| Err(FileError::ShuttingDown.into()))
    }

    pub(super) fn spawn_look(self: &Arc<Self>, id: DocumentId) {
        let transfers = self.clone();
        tokio::task::spawn_blocking(move || transfers.look_and_tell(id));
    }

    /// Looks at an import and lets it wait for confirmation.
    fn look_and_tell(&self, id: DocumentId) {
        let begun = self.under_way.begin(id);
        let text = id.to_string();
        let found = work::begin_write(&self.database, move |tx| Import::find(tx, &text));
        let looked = found
            .and_then(work::Writing::wait)
            .and_then(|import| self.look_at(&import, &begun.stop));
        let looked = looked.map_err(|error| begun.stop.explain(error));
        let state = match looked {
            Ok(outlook) => states::waiting(&outlook.message, outlook.removes),
            // The next start looks at it again.
            Err(TransferError::Interrupted) => return,
            Err(error) => failed_state("an import cannot be done", &error),
        };
        // Its performing may begin with the commit.
        drop(begun);
        self.tell(id, "uploaded", state);
    }

    /// Does an import and says how it went.
    fn perform_and_tell(&self, import: &Import) -> Result<u64, TransferError> {
        // Before it waits for its turn: it may be canceled meanwhile.
        let begun = self.under_way.begin(import.id);
        let _importing = self.importing.lock();
        let performed = self
            .check_in_progress(import)
            // Notes name documents by their ids alone, and those of this import may have the same.
            .and_then(|()| self.settle_appended())
            .and_then(|()| self.perform(import, &begun.stop))
            .map_err(|error| begun.stop.explain(error));
        match &performed {
            Ok(documents) => tracing::info!(documents, "an import is done"),
            Err(error) => {
                // Before it is told, so that a failed import has left nothing. A canceled one is told as failed
                // already.
                if let Err(error) = self.settle_appended() {
                    tracing::warn!(%error, "appended documents are left; the sweep removes them");
                }
                let state = failed_state("an import failed", error);
                if !self.tell(import.id, "in_progress", state.clone()) {
                    self.unended.lock().imports.push((import.clone(), state));
                }
            }
        }
        if !self.under_way.is_ending()
            && let Err(error) = self.clear_left()
        {
            tracing::warn!(%error, "an import left something; the sweep clears it away");
        }
        self.remove_upload(import);
        performed
    }

    /// Refuses an import that was canceled before its turn came.
    fn check_in_progress(&self, import: &Import) -> Result<(), TransferError> {
        let id = import.id;
        work::begin_write(&self.database, move |tx| Import::check_in_progress(tx, id))?.wait()
    }

    pub(super) fn remove_upload(&self, import: &Import) {
        if let Err(error) = self.uploads.remove(import.upload.token) {
            tracing::warn!(%error, "an upload could not be removed; the sweep tries again");
        }
    }

    /// Puts an import into another state, if it is still in the one that it was in. Returns whether that is done.
    fn tell(&self, id: DocumentId, from: &'static str, state: Object) -> bool {
        let telling = work::begin_write(&self.database, move |tx| tell_in(tx, id, from, state));
        let told = telling.and_then(work::Writing::wait);
        if let Err(error) = &told {
            tracing::warn!(%error, "the state of an import could not be written");
        }
        told.is_ok()
    }

    pub(super) fn export_and_tell(&self, id: DocumentId, with_files: bool) {
        // Until its document tells how it went: the sweep leaves its archive alone.
        let begun = self.under_way.begin(id);
        let archive = self.archive_of(id);
        let exported = self
            .tell_export(id, object! { "state" => "in_progress" })
            .and_then(|()| self.export_to(&archive, with_files, &begun.stop))
            .map_err(|error| begun.stop.explain(error));
        let clock = self.database.clock();
        let nanos = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
        let fields = match exported {
            Ok(exported) => {
                tracing::info!(bytes = exported.bytes, "an export is done");
                object! {
                    "state" => "completed",
                    "start_ts" => nanos(exported.ts.0),
                    "complete_ts" => nanos(clock.now().0),
                    "expiration_ts" => nanos(clock.now().plus(self.options.export_kept_for).0),
                    "zip_object_key" => format!("{id}.zip"),
                    "size" => nanos(exported.bytes),
                }
            }
            Err(TransferError::Canceled) => object! { "state" => "canceled" },
            Err(error) => {
                tracing::warn!(%error, "an export failed");
                object! { "state" => "failed", "error_message" => error.to_string() }
            }
        };
        match self.tell_export(id, fields) {
            Ok(()) => {}
            // It was canceled after the archive had got its name.
            Err(TransferError::Canceled) => self.remove_archive(id),
            // Whether it is told is not known, so the archive stays until the sweep knows.
            Err(error) => {
                tracing::warn!(%error, "the state of an export could not be written");
                self.unended.lock().exports.push(id);
            }
        }
    }

    pub(super) fn remove_archive(&self, id: DocumentId) {
        match std::fs::remove_file(self.archive_of(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "an archive could not be removed; the sweep tries again");
            }
            _ => {}
        }
    }

    /// Changes the document of an export that is not over.
    fn tell_export(&self, id: DocumentId, fields: Object) -> Result<(), TransferError> {
        let telling = work::begin_write(&self.database, move |tx| {
            let (id, export) = find_export(tx, &id.to_string())?;
            match states::name_of(&export) {
                "requested" | "in_progress" => set_export(tx, id, fields),
                _ => Err(TransferError::Canceled),
            }
        });
        telling?.wait()
    }
}

/// Puts an import into another state, if it is still in the one that it was in.
pub(super) fn tell_in(
    tx: &mut Transaction<'_>,
    id: DocumentId,
    from: &str,
    state: Object,
) -> Result<(), TransferError> {
    let import = Import::find(tx, &id.to_string())?;
    match import.state_name() == from {
        true => states::set_state(tx, import.id, state),
        false => Ok(()),
    }
}

fn failed_state(what: &'static str, error: &TransferError) -> Object {
    tracing::warn!(error = error.for_log(), "{what}");
    states::failed(&error.to_string())
}

/// The newest export.
pub(super) fn latest_export(
    tx: &mut Transaction<'_>,
) -> Result<Option<(DocumentId, Object)>, TransferError> {
    let newest_first = Query {
        order: crate::database::Order::Desc,
        ..Query::table(EXPORTS)
    };
    let latest = tx.take(&newest_first, 1)?;
    let latest = latest.into_iter().next();
    Ok(latest.map(|latest| (latest.id, latest.fields)))
}

pub(super) fn find_export(
    tx: &mut Transaction<'_>,
    id: &str,
) -> Result<(DocumentId, Object), TransferError> {
    let unknown = || TransferError::UnknownExport(id.escape_debug().to_string());
    let parsed: DocumentId = id.parse().map_err(|_| unknown())?;
    let catalog = tx.catalog();
    let table = catalog.table_numbered(parsed.table());
    if table.is_none_or(|table| table.name != EXPORTS) {
        return Err(unknown());
    }
    let export = tx.get(parsed)?.ok_or_else(unknown)?;
    Ok((export.id, export.fields))
}

/// A completed export by its id, or by its timestamp.
fn find_completed(
    tx: &mut Transaction<'_>,
    name: &str,
) -> Result<(DocumentId, i64), TransferError> {
    let unknown = || TransferError::UnknownExport(name.escape_debug().to_string());
    let ts_of = |export: &Object| export.get("start_ts").and_then(Value::as_i64);
    if let Ok(wanted) = name.parse::<i64>() {
        let exports = tx.collect(&Query::table(EXPORTS))?;
        let mut exports = exports.into_iter();
        let found = exports.find(|export| ts_of(&export.fields) == Some(wanted));
        return found.map(|export| (export.id, wanted)).ok_or_else(unknown);
    }
    let (id, export) = find_export(tx, name)?;
    let ts = ts_of(&export).ok_or_else(unknown)?;
    Ok((id, ts))
}

pub(super) fn set_export(
    tx: &mut Transaction<'_>,
    id: DocumentId,
    fields: Object,
) -> Result<(), TransferError> {
    Ok(tx.patch(id, Patch::from(fields))?)
}
