//! The sizes and thresholds of a store.

use std::sync::Arc;
use std::time::Duration;

use vestibule_schema::timestamp::Timestamp;

use crate::clock::{Clock, SystemClock};

/// Settings of a store. The defaults suit a small machine.
#[derive(Clone)]
pub struct StoreOptions {
    /// Where the time comes from, to say how long the disk took.
    pub clock: Arc<dyn Clock>,
    /// How many bytes the head's overlay may hold, counted with a fixed overhead per entry. Above it,
    /// [`Head::refresh`](super::Head::refresh) forgets folded entries; unfolded entries are never forgotten, so the
    /// lane must slow down as [`Head::unfolded_bytes`](super::Head::unfolded_bytes) nears this.
    pub overlay_bytes_max: usize,
    /// How many bytes slots may hold: documents that were asked for or have changed. Above it, folded slots that no
    /// read asks for go. Unfolded slots stay, and so do those that a long-held snapshot may need.
    pub slot_bytes_max: usize,
    /// How many bytes the head spends on remembering which keys a look-up found.
    pub lookup_bytes_max: usize,
    /// How long folded rows of the log are kept, by the timestamps of their commits. By them a backup can go on from an
    /// earlier one. They take room in the database file.
    pub log_kept: Duration,
    /// Goes on without the commits after this one where damage of the write-ahead log hides them, as
    /// [`StorageError::HiddenCommits`](super::StorageError::HiddenCommits) tells. Any other loss is still refused.
    pub lose_commits_after: Option<Timestamp>,
    /// The number of keys that one step of [`Appender::fold`](super::Appender::fold) writes. Bounds how long the next
    /// append waits.
    pub fold_chunk_keys: usize,
    /// Bytes of unmoved write-ahead log from which a checkpoint runs beside the appender.
    pub checkpoint_wal_bytes: u64,
    /// Bytes of write-ahead log from which the appender waits for a checkpoint, and the checkpoint for readers, so that the
    /// file starts anew.
    pub truncate_wal_bytes: u64,
    /// How long such a checkpoint waits for readers, and with it the next append, at most twice in a row.
    pub truncate_wait: Duration,
    /// How long a checkpoint beside the appender waits for a snapshot to go where it can move nothing before: most are held
    /// for a few milliseconds.
    pub snapshot_wait: Duration,
    /// The part of the database file, in bytes, that each read connection maps into memory. SQLite caps this at 2 GiB.
    pub mmap_bytes: u64,
    /// Page cache of each read connection, in bytes. Mapped pages do not need it.
    pub reader_cache_bytes: usize,
    /// Page cache of the write connection, in bytes.
    pub writer_cache_bytes: usize,
    /// How many idle read connections are kept for the next snapshot.
    pub idle_readers_max: usize,
    /// Pages that the file may have: how a test fills the disk.
    #[cfg(test)]
    pub pages_max: Option<u32>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            overlay_bytes_max: 64 << 20,
            slot_bytes_max: 96 << 20,
            lookup_bytes_max: 32 << 20,
            log_kept: Duration::ZERO,
            lose_commits_after: None,
            fold_chunk_keys: 512,
            checkpoint_wal_bytes: 16 << 20,
            truncate_wal_bytes: 64 << 20,
            truncate_wait: Duration::from_millis(100),
            snapshot_wait: Duration::from_millis(100),
            mmap_bytes: 2 << 30,
            reader_cache_bytes: 2 << 20,
            writer_cache_bytes: 32 << 20,
            idle_readers_max: 16,
            #[cfg(test)]
            pages_max: None,
        }
    }
}
