//! Sweeping: contents whose file was deleted, and contents that never got a document because the process ended between
//! the two. Each step is bounded, and what a step does not finish the next one begins with.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use super::blobs::{Found, SHARDS};
use super::error::FileError;
use super::storage_id::StorageId;
use super::{Files, rows, work};
use crate::database::LimitError;
use crate::database::{DatabaseError, QueryError};

/// Deleted files whose contents one step removes.
const DELETIONS_MAX: usize = 256;
/// Contents that one transaction looks up.
const LOOKED_UP_MAX: usize = 512;
/// How often deleted files are looked for.
const DELETIONS_EVERY: Duration = Duration::from_secs(1);

impl Files {
    /// Sweeps until `files` has no holder any more. Counts the stored contents first.
    pub async fn keep_swept(files: Weak<Files>) {
        if let Some(files) = files.upgrade()
            && let Err(error) = files.count_stored().await
        {
            tracing::warn!(%error, "stored files could not be counted");
        }
        let Some(clock) = files.upgrade().map(|files| files.clock.clone()) else {
            return;
        };
        let (mut shard, mut since_orphans) = (0, Duration::ZERO);
        loop {
            clock.sleep_until(clock.elapsed() + DELETIONS_EVERY).await;
            let Some(files) = files.upgrade() else { return };
            files.log("deleted files", files.remove_deleted().await);
            since_orphans += DELETIONS_EVERY;
            if since_orphans >= files.options.sweep_every {
                since_orphans = Duration::ZERO;
                files.log("files without a document", files.sweep_shard(shard).await);
                shard = shard.wrapping_add(1);
            }
        }
    }

    fn log(&self, what: &str, swept: Result<usize, FileError>) {
        match swept {
            Ok(0) => {}
            Ok(count) => tracing::info!(what, count, "swept"),
            Err(FileError::ShuttingDown | FileError::Readers(_)) => {}
            Err(error) => tracing::warn!(what, %error, "a sweep failed; the next one tries again"),
        }
    }

    /// Removes the contents of the next deleted files. Returns how many.
    pub async fn remove_deleted(&self) -> Result<usize, FileError> {
        // An export may still read a file that was deleted a moment ago.
        if self.holds.are_held() {
            return Ok(0);
        }
        let until = match self.options.deleted_kept_for {
            // A note's time may run ahead of the clock.
            Duration::ZERO => f64::INFINITY,
            kept_for => self.clock.now().0 as f64 / 1e6 - kept_for.as_secs_f64() * 1e3,
        };
        let noted = work::read(&self.database, move |tx| {
            rows::deletions(tx, DELETIONS_MAX, until)
        });
        let noted = noted.await?;
        if noted.is_empty() {
            return Ok(0);
        }
        let keys = noted.iter().filter_map(|(_, key)| *key).collect();
        // A note may be older than an import that brought the same content again.
        for key in work::read(&self.database, |tx| not_shown(tx, keys)).await? {
            self.remove_content(key).await;
            self.metrics.deleted.inc();
        }
        let count = noted.len();
        // Only now: a content that is noted and gone is removed again for nothing; one that is neither is never
        // removed.
        work::write(&self.database, move |tx| {
            for (note, _) in noted {
                tx.delete(note).map_err(FileError::from)?;
            }
            Ok::<(), FileError>(())
        })
        .await?;
        Ok(count)
    }

    /// Removes the contents of one shard that no document names, and that are too old for a document to be on its way.
    /// Returns how many.
    pub async fn sweep_shard(&self, shard: u8) -> Result<usize, FileError> {
        let age = self.options.orphan_age;
        self.under_way.forget_older_than(age, self.clock.elapsed());
        if self.holds.are_held() {
            return Ok(0);
        }
        let mut swept = self.blobs.remove_cut_short(shard, age).await?;
        let old = self.blobs.shard(shard).await?;
        let old: Vec<Found> = old.into_iter().filter(|found| self.is_old(found)).collect();
        for some in old.chunks(LOOKED_UP_MAX) {
            let keys = some.iter().map(|found| found.key).collect();
            let unnamed = work::read(&self.database, |tx| unnamed(tx, keys)).await?;
            for key in unnamed {
                // An import may have begun meanwhile, whose documents are not visible yet.
                if self.holds.are_held() {
                    return Ok(swept);
                }
                self.remove_content(key).await;
                self.metrics.swept.inc();
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Sweeps every shard once.
    pub async fn sweep_all(&self) -> Result<usize, FileError> {
        let mut swept = 0;
        for shard in 0..SHARDS {
            swept += self.sweep_shard(shard as u8).await?;
        }
        Ok(swept)
    }

    fn is_old(&self, found: &Found) -> bool {
        let now = UNIX_EPOCH + Duration::from_nanos(self.clock.now().0);
        let age = now.duration_since(found.written_at).unwrap_or_default();
        age >= self.options.orphan_age && !self.under_way.contains(&found.key)
    }

    /// Adds up what was stored before this start.
    async fn count_stored(self: &Arc<Self>) -> Result<(), FileError> {
        let began = SystemTime::now();
        for shard in 0..SHARDS {
            let found = self.blobs.shard(shard as u8).await?;
            // Contents written since are counted already.
            let earlier = found.iter().filter(|found| found.written_at < began);
            self.usage.add(earlier.map(|found| found.bytes).sum());
        }
        self.metrics.stored_bytes.set(self.usage.bytes());
        Ok(())
    }
}

/// Those of `keys` under which no file lies.
fn not_shown(
    tx: &mut crate::database::Transaction<'_>,
    mut keys: Vec<Uuid>,
) -> Result<Vec<Uuid>, FileError> {
    let mut failed = None;
    keys.retain(|key| match rows::uuid_of(tx, &StorageId::Uuid(*key)) {
        Ok(shown) => shown.is_none(),
        Err(error) => {
            failed.get_or_insert(error);
            false
        }
    });
    match failed {
        None => Ok(keys),
        Some(error) => Err(error),
    }
}

/// Those of `keys` that no document names.
fn unnamed(
    tx: &mut crate::database::Transaction<'_>,
    keys: Vec<Uuid>,
) -> Result<Vec<Uuid>, FileError> {
    let mut unnamed = Vec::new();
    for key in keys {
        let is_named = rows::uuid_of(tx, &StorageId::Uuid(key)).and_then(|named| match named {
            Some(_) => Ok(true),
            None => rows::is_deleted(tx, key),
        });
        match is_named {
            Ok(false) => unnamed.push(key),
            Ok(true) => {}
            // A busy machine: the rest has its turn with the next look.
            Err(FileError::Database(DatabaseError::Query(QueryError::Limit(
                LimitError::UserTime(_),
            )))) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(unnamed)
}
