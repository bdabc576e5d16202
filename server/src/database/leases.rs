//! Snapshots kept open for a while, so that several requests can read at one timestamp.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use vestibule_schema::timestamp::Timestamp;

use crate::clock::Clock;
use crate::storage::{ReadView, Snapshot, StorageError, Store};

/// How long a handed-out timestamp can be read at.
pub const LEASE_SECONDS: u64 = 30;
/// Snapshots held at the most; the oldest gives way to the next. Each pins the store's write-ahead log, so they are few.
pub const LEASES_MAX: usize = 64;
/// A lease younger than this is handed out again instead of a new one. Never after a further commit: whoever asks may
/// know of it.
const SHARED_FOR: Duration = Duration::from_millis(750);

/// Snapshots by their timestamp.
pub struct SnapshotLeases {
    store: Store,
    clock: Arc<dyn Clock>,
    held: Mutex<BTreeMap<Timestamp, Lease>>,
}

struct Lease {
    ts: Timestamp,
    taken: Duration,
    snapshot: Arc<Mutex<Snapshot>>,
}

impl Lease {
    fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.taken)
    }

    fn is_expired(&self, now: Duration) -> bool {
        self.age(now) >= Duration::from_secs(LEASE_SECONDS)
    }
}

/// A timestamp that cannot be read at.
#[derive(Debug, Error)]
pub enum LeaseError {
    /// It is ahead of every commit.
    #[error("the timestamp {0} is ahead of the newest commit")]
    Future(Timestamp),
    /// It was never handed out, or too long ago.
    #[error(
        "the timestamp {0} is out of retention: it can be read for {LEASE_SECONDS} seconds after it was given out"
    )]
    OutOfRetention(Timestamp),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl SnapshotLeases {
    /// No leases yet.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> SnapshotLeases {
        SnapshotLeases {
            store,
            clock,
            held: Mutex::default(),
        }
    }

    /// The newest commit's timestamp, readable for [`LEASE_SECONDS`].
    pub fn take(&self) -> Result<Timestamp, LeaseError> {
        self.drop_expired();
        let taken = self.clock.elapsed();
        let mut held = self.held.lock();
        if let Some(lease) = held.get(&self.store.durable_ts())
            && lease.age(taken) < SHARED_FOR
        {
            return Ok(lease.ts);
        }
        let snapshot = self.store.snapshot()?;
        let ts = snapshot.ts();
        while held.len() >= LEASES_MAX && !held.contains_key(&ts) {
            held.pop_first();
        }
        let snapshot = Arc::new(Mutex::new(snapshot));
        held.insert(
            ts,
            Lease {
                ts,
                taken,
                snapshot,
            },
        );
        Ok(ts)
    }

    /// Lets go of the snapshots whose time is over. Taking a lease does this too; call it now and then, for the time
    /// when nobody takes any.
    pub fn drop_expired(&self) {
        let now = self.clock.elapsed();
        self.held.lock().retain(|_, lease| !lease.is_expired(now));
    }

    /// The snapshot at a timestamp that was handed out. Reads of one lease take turns.
    pub fn find(&self, ts: Timestamp) -> Result<Arc<Mutex<Snapshot>>, LeaseError> {
        let now = self.clock.elapsed();
        let held = self.held.lock();
        match held.get(&ts) {
            Some(lease) if !lease.is_expired(now) => Ok(lease.snapshot.clone()),
            None if ts > self.store.durable_ts() => Err(LeaseError::Future(ts)),
            Some(_) | None => Err(LeaseError::OutOfRetention(ts)),
        }
    }
}
