//! The background work after pushes, a few documents at a time. Staged indexes are filled, and those that tables lacked.
//! Entries of indexes that nothing uses any more are removed, and so are texts that nothing names, and abandoned
//! preparations of pushes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::Pushes;
use super::backfill::{STEP_DOCUMENTS_MAX, timed};
use super::error::PushError;
use super::pace::Pace;
use super::stored::{self, trouble};
use super::tables::{Target, retired, without};
use crate::database::{ChunkHash, Transaction};
use crate::deployment::{Manifest, Module};
use crate::functions::Registry;

/// How long after it was last asked about the preparation of an unfinished push is kept for the next equal one.
pub const PREPARATION_TIME_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Between two looks for preparations that are too old.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// The tasks of the background. They end with the room.
#[derive(Default)]
pub(super) struct Cleaning {
    work: Mutex<Work>,
    /// When a preparation was last asked about, on the clock's own count.
    asked_at: Mutex<Duration>,
    looking: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Work {
    /// The task that works until nothing is wanted.
    task: Option<JoinHandle<()>>,
    is_at_work: bool,
    is_wanted: bool,
}

impl Work {
    /// Whether there is more to do; if not, the task at work ends.
    fn goes_on(&mut self) -> bool {
        self.is_at_work = std::mem::take(&mut self.is_wanted);
        self.is_at_work
    }
}

impl Cleaning {
    pub fn stop(&self) {
        let tasks = [self.work.lock().task.take(), self.looking.lock().take()];
        tasks.iter().flatten().for_each(JoinHandle::abort);
    }

    /// A tool asks about a preparation.
    pub fn asked(&self, now: Duration) {
        *self.asked_at.lock() = now;
    }
}

impl Drop for Cleaning {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Pushes {
    /// Does the background work of a push. A task already at work does it as well.
    pub(super) fn clean_later(self: &Arc<Self>) {
        let mut work = self.cleaning.work.lock();
        work.is_wanted = true;
        let is_running = work.task.as_ref().is_some_and(|task| !task.is_finished());
        if work.is_at_work && is_running {
            return;
        }
        work.is_at_work = true;
        let pushes = Arc::downgrade(self);
        work.task = Some(tokio::spawn(async move {
            while let Some(pushes) = pushes.upgrade()
                && pushes.cleaning.work.lock().goes_on()
            {
                if let Err(error) = pushes.clean().await {
                    tracing::warn!(%error, "cleaning up after a push failed; the next one goes on");
                }
            }
        }));
    }

    /// Looks from time to time for abandoned preparations.
    pub(super) fn look_for_abandoned(self: &Arc<Self>) {
        self.cleaning.asked(self.clock.elapsed());
        let (pushes, clock) = (Arc::downgrade(self), self.clock.clone());
        *self.cleaning.looking.lock() = Some(tokio::spawn(async move {
            loop {
                clock.sleep_until(clock.elapsed() + LOOK_EVERY).await;
                let Some(pushes) = pushes.upgrade() else {
                    return;
                };
                if let Err(error) = pushes.sweep_abandoned().await {
                    tracing::warn!(%error, "sweeping an abandoned push failed; it is tried again");
                }
            }
        }));
    }

    /// Takes back the preparations of an unfinished push, once no tool has asked about it for long.
    async fn sweep_abandoned(self: &Arc<Self>) -> Result<(), PushError> {
        let asked_at = *self.cleaning.asked_at.lock();
        if self.clock.elapsed().saturating_sub(asked_at) < PREPARATION_TIME_MAX {
            return Ok(());
        }
        let native = self.program.tables.clone();
        let swept = self.transact(move |tx| {
            let deployment = Registry::of(tx.definitions()).deployment().clone();
            let target = Target::of(&deployment, &native);
            let catalog = tx.catalog();
            let is_left = target.leaves_behind(&catalog);
            if is_left {
                tx.set_catalog(target.switch(&catalog)).map_err(trouble)?;
            }
            Ok(is_left)
        });
        if swept.await? {
            tracing::info!("what an unfinished push had begun is taken back");
            self.clean_later();
        }
        Ok(())
    }

    async fn clean(&self) -> Result<(), PushError> {
        self.clear_retired().await?;
        self.remove_chunks().await?;
        self.fill_rest().await
    }

    /// Adds the indexes that the live schema names and a table lacks. They are filled in the background.
    pub(super) async fn complete_tables(&self) -> Result<(), PushError> {
        let native = self.program.tables.clone();
        let completed = self.transact(move |tx| {
            let deployment = Registry::of(tx.definitions()).deployment().clone();
            let target = Target::of(&deployment, &native);
            let completed = target.complete(&tx.catalog());
            let is_lacking = completed.is_some();
            if let Some(completed) = completed {
                tx.set_catalog(completed).map_err(trouble)?;
            }
            Ok(is_lacking)
        });
        if completed.await? {
            tracing::info!(
                "indexes that an earlier version did not make are filled in the background"
            );
        }
        Ok(())
    }

    /// Fills the indexes of the live schema that are not filled.
    async fn fill_rest(&self) -> Result<(), PushError> {
        loop {
            let definitions = self.functions.database().definitions();
            let deployment = Registry::of(&definitions).deployment().clone();
            let target = Target::of(&deployment, &self.program.tables);
            let Some((table, index)) = target.to_fill(&definitions.catalog) else {
                return Ok(());
            };
            match self.fill(&table, index).await {
                Ok(None) => {}
                // Another push has taken it away.
                Err(PushError::Race(_)) => {}
                Ok(Some(failure)) => return Err(PushError::Schema(failure.error)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes the entries of retired indexes, then the indexes themselves.
    async fn clear_retired(&self) -> Result<(), PushError> {
        let mut pace = Pace::new(self.functions.database());
        loop {
            let step = || self.clear_step(pace.documents());
            match pace.step(step).await? {
                (true, _) => return Ok(()),
                (false, worked) => {
                    pace.committed();
                    pace.rest(worked).await;
                }
            }
        }
    }

    /// Removes some entries of a retired index. True if there is no such index.
    async fn clear_step(&self, max: usize) -> Result<(bool, Duration), PushError> {
        match self.transact_beside(clear_some(max)).await? {
            Some(cleared) => Ok(cleared),
            // A writer has touched the same entries.
            None => self.transact(clear_some(STEP_DOCUMENTS_MAX)).await,
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
                    // A push that was finished since then may name texts that had no name before.
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

/// Removes some entries of a retired index, and the index once it has none. True if there is no such index.
fn clear_some(max: usize) -> impl Fn(&mut Transaction<'_>) -> Result<(bool, Duration), PushError> {
    move |tx| {
        timed(tx, |tx| {
            let catalog = tx.catalog();
            let Some((table, index)) = retired(&catalog).into_iter().next() else {
                return Ok(true);
            };
            if tx.clear_index(index, max).map_err(trouble)? {
                tx.set_catalog(without(&catalog, &table, index))
                    .map_err(trouble)?;
            }
            Ok(false)
        })
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
    let components = manifest.components.iter();
    let modules = components.flat_map(|component| &component.modules);
    manifest
        .modules
        .iter()
        .chain(modules)
        .flat_map(of)
        .collect()
}
