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
/// Snapshots held at the most. Each pins the store's write-ahead log, so they are few. With one more, the oldest one
/// without a read gives way, and its timestamp is read at later. Where all have been read at, the oldest gives way for
/// good.
pub const LEASES_MAX: usize = 64;
/// Timestamps remembered whose snapshots gave way unread.
const UNREAD_MAX: usize = 65_536;
/// A lease younger than this is handed out again instead of a new one. Never after a further commit: the asker may know
/// of that commit.
const SHARED_FOR: Duration = Duration::from_millis(750);

/// Snapshots by their timestamp.
pub struct SnapshotLeases {
    store: Store,
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    leases: BTreeMap<Timestamp, Lease>,
    /// Timestamps whose snapshots gave way before any read at them.
    unread: BTreeMap<Timestamp, GaveWay>,
}

struct Lease {
    taken: Duration,
    snapshot: Arc<Mutex<Snapshot>>,
    was_read: bool,
}

struct GaveWay {
    taken: Duration,
    /// The timestamp at which every holder of the timestamp reads instead, from the first read on.
    reads_at: Option<Timestamp>,
}

fn is_expired(taken: Duration, now: Duration) -> bool {
    now.saturating_sub(taken) >= Duration::from_secs(LEASE_SECONDS)
}

impl Held {
    fn drop_expired(&mut self, now: Duration) {
        self.leases.retain(|_, lease| !is_expired(lease.taken, now));
        self.unread.retain(|_, gone| !is_expired(gone.taken, now));
    }

    /// Lets one lease go. Moving a timestamp without a read contradicts no answer.
    fn give_way(&mut self) {
        let mut leases = self.leases.iter();
        let unread = leases.find(|(_, lease)| !lease.was_read);
        let unread = unread.map(|(ts, lease)| (*ts, lease.taken));
        let Some((ts, taken)) = unread else {
            self.leases.pop_first();
            return;
        };
        self.leases.remove(&ts);
        if self.unread.len() >= UNREAD_MAX {
            self.unread.pop_first();
        }
        let reads_at = None;
        self.unread.insert(ts, GaveWay { taken, reads_at });
    }

    /// The snapshot of a lease that still holds, which has been read at from now on.
    fn read(&mut self, ts: Timestamp, now: Duration) -> Option<Arc<Mutex<Snapshot>>> {
        let lease = self.leases.get_mut(&ts)?;
        if is_expired(lease.taken, now) {
            return None;
        }
        lease.was_read = true;
        Some(lease.snapshot.clone())
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
        self.take_among(&mut self.held.lock())
    }

    fn take_among(&self, held: &mut Held) -> Result<Timestamp, LeaseError> {
        let taken = self.clock.elapsed();
        let newest = self.store.durable_ts();
        if let Some(lease) = held.leases.get(&newest)
            && taken.saturating_sub(lease.taken) < SHARED_FOR
        {
            return Ok(newest);
        }
        let snapshot = self.store.snapshot()?;
        let ts = snapshot.ts();
        while held.leases.len() >= LEASES_MAX && !held.leases.contains_key(&ts) {
            held.give_way();
        }
        let was_read = held.leases.get(&ts).is_some_and(|lease| lease.was_read);
        let lease = Lease {
            taken,
            snapshot: Arc::new(Mutex::new(snapshot)),
            was_read,
        };
        held.leases.insert(ts, lease);
        Ok(ts)
    }

    /// Drops the snapshots whose time is over. Taking a lease does this too; call it now and then, for the time when no
    /// request takes one.
    pub fn drop_expired(&self) {
        let now = self.clock.elapsed();
        self.held.lock().drop_expired(now);
    }

    /// The snapshot at a timestamp that was handed out. If that one gave way unread, it is a later one, the same for all
    /// who were given it. Reads of one lease take turns.
    pub fn find(&self, ts: Timestamp) -> Result<Arc<Mutex<Snapshot>>, LeaseError> {
        let now = self.clock.elapsed();
        let mut held = self.held.lock();
        if let Some(snapshot) = held.read(ts, now) {
            return Ok(snapshot);
        }
        if ts > self.store.durable_ts() {
            return Err(LeaseError::Future(ts));
        }
        let gone = held.unread.get(&ts);
        let gone = gone.filter(|gone| !is_expired(gone.taken, now));
        let gone = gone.ok_or(LeaseError::OutOfRetention(ts))?;
        let reads_at = match gone.reads_at {
            Some(reads_at) => reads_at,
            None => {
                let taken = self.take_among(&mut held)?;
                if let Some(gone) = held.unread.get_mut(&ts) {
                    gone.reads_at = Some(taken);
                }
                taken
            }
        };
        let snapshot = held.read(reads_at, now);
        snapshot.ok_or(LeaseError::OutOfRetention(ts))
    }
}
