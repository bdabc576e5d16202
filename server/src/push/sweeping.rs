//! What pushes leave behind: entries of indexes that nothing uses any more, and texts that nothing names. Both go a few
//! at a time, in the background.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::Pushes;
use super::backfill::STEP_DOCUMENTS_MAX;
use super::error::PushError;
use super::stored::{self, trouble};
use super::tables::{retired, without};
use crate::database::{ChunkHash, Transaction};
use crate::deployment::{Manifest, Module};

/// The task that cleans up, if one is at work. It ends with the room.
#[derive(Default)]
pub(super) struct Cleaning(Mutex<Option<JoinHandle<()>>>);

impl Cleaning {
    pub fn stop(&self) {
        if let Some(task) = self.0.lock().take() {
            task.abort();
        }
    }
}

impl Drop for Cleaning {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Pushes {
    /// Cleans up after a push, unless that is under way: then the one at work does it.
    pub(super) fn clean_later(self: &Arc<Self>) {
        let mut cleaning = self.cleaning.0.lock();
        if cleaning.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let pushes = Arc::downgrade(self);
        *cleaning = Some(tokio::spawn(async move {
            if let Some(pushes) = pushes.upgrade()
                && let Err(error) = pushes.clean().await
            {
                tracing::warn!(%error, "cleaning up after a push failed; the next one goes on");
            }
        }));
    }

    async fn clean(&self) -> Result<(), PushError> {
        self.clear_retired().await?;
        self.remove_chunks().await
    }

    /// Removes the entries of retired indexes, then the indexes themselves.
    async fn clear_retired(&self) -> Result<(), PushError> {
        loop {
            let is_done = self.transact(|tx| {
                let catalog = tx.catalog();
                let Some((table, index)) = retired(&catalog).into_iter().next() else {
                    return Ok(true);
                };
                if tx.clear_index(index, STEP_DOCUMENTS_MAX).map_err(trouble)? {
                    tx.set_catalog(without(&catalog, &table, index))
                        .map_err(trouble)?;
                }
                Ok(false)
            });
            if is_done.await? {
                return Ok(());
            }
        }
    }

    /// Removes chunks that no push names that is kept or under way.
    async fn remove_chunks(&self) -> Result<(), PushError> {
        let _unnamed = self.unnamed_chunks.write().await;
        let named = self.read(named_by_pushes).await?;
        let plans = self.plans.all();
        let planned = plans.iter().flat_map(|plan| chunks_of(&plan.manifest));
        let named: Arc<HashSet<String>> = Arc::new(named.into_iter().chain(planned).collect());
        let mut after = None;
        loop {
            let named = named.clone();
            let last = self.transact(move |tx| {
                let hashes = tx
                    .chunks_after(after, STEP_DOCUMENTS_MAX)
                    .map_err(trouble)?;
                let is_unnamed = |hash: &&ChunkHash| !named.contains(&hash.to_string());
                let unnamed: Vec<ChunkHash> = hashes.iter().filter(is_unnamed).copied().collect();
                if !unnamed.is_empty() {
                    // A push that was finished since then may name what was named by nothing.
                    let named = named_by_pushes(tx)?;
                    let unnamed = unnamed.iter();
                    let removed = unnamed.filter(|hash| !named.contains(&hash.to_string()));
                    removed.for_each(|hash| tx.remove_chunk(hash));
                }
                Ok(hashes.last().copied())
            });
            match last.await? {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }
}

fn named_by_pushes(tx: &mut Transaction<'_>) -> Result<HashSet<String>, PushError> {
    let mut named = HashSet::new();
    for push in stored::pushes(tx)? {
        let manifest = stored::manifest(tx, &push)?;
        named.insert(push.manifest.to_string());
        named.extend(chunks_of(&manifest));
    }
    Ok(named)
}

fn chunks_of(manifest: &Manifest) -> Vec<String> {
    let of = |module: &Module| {
        let map = module.source_map.clone();
        std::iter::once(module.source.clone())
            .chain(map)
            .collect::<Vec<_>>()
    };
    manifest.modules.iter().flat_map(of).collect()
}
