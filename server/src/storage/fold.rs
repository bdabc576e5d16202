//! Folding: moving what the log holds into the entries table, many batches at once, coalesced and in key order.
//!
//! A round brings the fold position to the state that was newest durable when the round began. Its first source is that
//! state's overlay, which already holds one newest value per key in key order. The second is the slots of the keys that
//! were appended since the round before, each written once. It goes in steps, each a short transaction of a bounded
//! number of keys. The last one moves the fold position and deletes folded log rows. Until then the base holds some
//! values newer than its fold position, which no reader sees: overlay or slot holds those keys. A crash between steps
//! leaves a fold position that repeats them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;
use rusqlite::Connection;
use vestibule_schema::timestamp::Timestamp;

use super::appender::sql_ts;
use super::pins::Pin;
use super::slots::{SlotKey, Slots};
use super::sqlite::{Meta, Synchronous};
use super::store::Shared;
use super::{Appender, Direction, KeyRange, LogRow, Overlay, StorageError, codec};

/// The outcome of one fold step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoldProgress {
    /// There was nothing to fold.
    Idle,
    /// Some keys are written, or some folded log rows deleted; there is more to do.
    Folding,
    /// The fold position moved to this timestamp.
    Folded(Timestamp),
}

/// Up to this many appended keys are remembered, so that after a few writes folding need not walk the whole overlay.
const LISTED_KEYS_MAX: usize = 4096;
/// The number of overlay entries a step may look at for each key it may write.
const VISITS_PER_KEY: usize = 16;
/// The number of bytes of folded log rows that a step deletes; one row in any case.
const LOG_BYTES_PER_STEP: usize = 2 << 20;
/// Bytes a row counts beyond its body, so that a step also bounds the number of small rows.
const LOG_ROW_OVERHEAD_BYTES: usize = 1 << 10;
/// The time of a gentle step: it delays the next append by no more than an append's own sync takes.
const GENTLE_STEP_TIME: Duration = Duration::from_millis(1);
/// Keys of a gentle step, however long they take.
const GENTLE_KEYS_MIN: usize = 32;
/// Bytes of folded log rows that a gentle step deletes, however long that takes; one row in any case.
const GENTLE_ROW_BYTES_MIN: usize = 64 << 10;
/// The same of the first such step.
const GENTLE_ROW_BYTES_FIRST: usize = 256 << 10;

/// Where folding stands.
pub(super) struct Folding {
    round: Option<Round>,
    /// The other keys appended since the last round began; `None` if there were too many to remember.
    appended_keys: Option<Vec<Bytes>>,
    /// Keys whose values were replaced in slots since the last round began: what is newest of them may be there alone.
    slots: HashSet<SlotKey, RandomState>,
    /// Bytes of log rows appended since the last round began.
    appended_bytes: usize,
    leftover_rows: bool,
    /// Keys of the next gentle step; `None` before the first.
    gentle_keys: Option<usize>,
    /// Bytes of log rows that the next gentle step deletes which does that.
    gentle_row_bytes: usize,
}

impl Folding {
    /// `unfolded_bytes` is what the replay of the log found.
    pub fn after_open(unfolded_bytes: usize) -> Self {
        Self {
            round: None,
            appended_keys: None,
            slots: HashSet::default(),
            appended_bytes: unfolded_bytes,
            leftover_rows: false,
            gentle_keys: None,
            gentle_row_bytes: GENTLE_ROW_BYTES_FIRST,
        }
    }

    pub fn note_appended(&mut self, row: LogRow) {
        self.appended_bytes += row.bytes.len();
        self.slots.extend(row.replaced);
        let Some(keys) = &mut self.appended_keys else {
            return;
        };
        match row.moved {
            Some(moved) if keys.len() + moved.len() <= LISTED_KEYS_MAX => keys.extend(moved),
            _ => self.appended_keys = None,
        }
    }
}

/// One round of folding.
struct Round {
    target: Timestamp,
    /// The fold position it started from: the overlay's older entries are in the base already.
    folded: Timestamp,
    overlay: Overlay,
    rest: Option<Rest>,
    slots: SlotsRest,
    /// Slots keep what this round writes.
    _state: Pin,
}

/// Keys with slots that a round has not written yet: the sorted keys from this place on.
#[derive(Clone)]
struct SlotsRest {
    keys: Arc<[SlotKey]>,
    from: usize,
}

impl SlotsRest {
    fn of(keys: HashSet<SlotKey, RandomState>) -> SlotsRest {
        let mut keys: Vec<SlotKey> = keys.into_iter().collect();
        keys.sort_unstable();
        SlotsRest {
            keys: keys.into(),
            from: 0,
        }
    }

    fn is_done(&self) -> bool {
        self.from == self.keys.len()
    }
}

/// The keys of the overlay that a round has not written yet.
#[derive(Clone)]
enum Rest {
    /// The sorted keys from this place on.
    Listed { keys: Arc<[Bytes]>, from: usize },
    /// Everything in the overlay in this range.
    Overlay(KeyRange),
}

/// The writes of one step.
struct Step {
    writes: Vec<(Bytes, Option<Bytes>)>,
    /// The rest of the overlay after it.
    rest: Option<Rest>,
    /// The rest of the slots.
    slots: SlotsRest,
}

impl Step {
    fn is_last(&self) -> bool {
        self.rest.is_none() && self.slots.is_done()
    }
}

impl Round {
    /// The overlay comes first: where a key is in a slot too, what is there is newer, and stays.
    fn step(&self, slots: &Slots, keys_max: usize) -> Step {
        let mut step = match &self.rest {
            Some(Rest::Listed { keys, from }) => self.listed_step(keys, *from, keys_max),
            Some(Rest::Overlay(range)) => self.overlay_step(range, keys_max),
            None => self.step_of(Vec::new(), None),
        };
        while step.rest.is_none()
            && step.writes.len() < keys_max
            && let Some(key) = step.slots.keys.get(step.slots.from)
        {
            step.slots.from += 1;
            if let Some(version) = slots.version_between(key, self.folded, self.target) {
                let key = Bytes::copy_from_slice(key.as_slice());
                step.writes.push((key, version.value));
            }
        }
        step
    }

    fn step_of(&self, writes: Vec<(Bytes, Option<Bytes>)>, rest: Option<Rest>) -> Step {
        let slots = self.slots.clone();
        Step {
            writes,
            rest,
            slots,
        }
    }

    fn listed_step(&self, keys: &Arc<[Bytes]>, from: usize, keys_max: usize) -> Step {
        let to = keys.len().min(from + keys_max);
        let mut writes = Vec::with_capacity(to - from);
        for key in &keys[from..to] {
            if let Some(entry) = self
                .overlay
                .entry(key)
                .filter(|entry| entry.ts > self.folded)
            {
                writes.push((key.clone(), entry.value.to_bytes()));
            }
        }
        let rest = (to < keys.len()).then(|| Rest::Listed {
            keys: Arc::clone(keys),
            from: to,
        });
        self.step_of(writes, rest)
    }

    fn overlay_step(&self, range: &KeyRange, keys_max: usize) -> Step {
        let mut writes = Vec::with_capacity(keys_max);
        let mut rest = range.clone();
        // Reading costs as much as it is asked for, whether or not it is stopped early.
        for _ in 0..VISITS_PER_KEY {
            let mut seen = Vec::new();
            let wanted = keys_max - writes.len();
            let more = self
                .overlay
                .read(&rest, Direction::Forward, wanted, |key, entry| {
                    if entry.ts > self.folded {
                        writes.push((Bytes::copy_from_slice(key), entry.value.to_bytes()));
                    }
                    seen.clear();
                    seen.extend_from_slice(key);
                    true
                });
            if !more {
                return self.step_of(writes, None);
            }
            rest = rest.beyond(&Bytes::from(seen), Direction::Forward);
            if writes.len() == keys_max {
                break;
            }
        }
        self.step_of(writes, Some(Rest::Overlay(rest)))
    }
}

impl Appender {
    /// Folds a bounded step. Call it between appends: steps of one round end in [`FoldProgress::Folded`]. A round after
    /// many appends writes each key and page fewer times, so a busy caller waits for
    /// [`unfolded_log_bytes`](Self::unfolded_log_bytes) to grow. A step that fails is repeated by the next call.
    pub fn fold(&mut self) -> Result<FoldProgress, StorageError> {
        let keys_max = self.shared.options.fold_chunk_keys.max(1);
        match self.deletes_next() {
            true => self.delete_leftover_rows(LOG_BYTES_PER_STEP),
            false => self.fold_keys(keys_max, LOG_BYTES_PER_STEP),
        }
    }

    /// Folds a short step, for a moment in which an append may come at any time. Keys and rows to delete come in steps of
    /// their own, each with its own pace. The beginning of a round is short by the number of its keys alone.
    pub fn fold_gently(&mut self) -> Result<FoldProgress, StorageError> {
        let options = &self.shared.options;
        let (keys_max, clock) = (options.fold_chunk_keys.max(1), options.clock.clone());
        if self.deletes_next() {
            let bytes = self.folding.gentle_row_bytes;
            let begun = clock.elapsed();
            let deleted = self.delete_leftover_rows(bytes);
            let took = clock.elapsed().saturating_sub(begun);
            let bytes = fitting(bytes, took, GENTLE_ROW_BYTES_MIN);
            self.folding.gentle_row_bytes = bytes.min(LOG_BYTES_PER_STEP);
            return deleted;
        }
        self.ensure_round();
        let keys = self.folding.gentle_keys.unwrap_or(keys_max);
        let begun = clock.elapsed();
        let folded = self.fold_keys(keys, 0);
        let took = clock.elapsed().saturating_sub(begun);
        let keys = fitting(keys, took, GENTLE_KEYS_MIN);
        self.folding.gentle_keys = Some(keys.min(keys_max));
        folded
    }

    /// Whether the next step deletes rows. Before the next round: a round deletes fewer rows than it may have folded.
    fn deletes_next(&self) -> bool {
        self.folding.round.is_none() && self.folding.leftover_rows
    }

    fn ensure_round(&mut self) {
        if self.folding.round.is_none() {
            self.folding.round = self.begin_round();
        }
    }

    /// Folds some keys. The last step of a round deletes rows too, of so many bytes.
    fn fold_keys(
        &mut self,
        keys_max: usize,
        row_bytes_max: usize,
    ) -> Result<FoldProgress, StorageError> {
        self.ensure_round();
        let Some(round) = self.folding.round.take() else {
            return Ok(FoldProgress::Idle);
        };
        let step = round.step(&self.shared.slots, keys_max);
        let finished = step.is_last().then_some(round.target);
        let shared = Arc::clone(&self.shared);
        let written = self.transaction(Synchronous::Normal, |connection| {
            write_step(connection, &step.writes, finished, row_bytes_max, &shared)
        });
        match (written, finished) {
            (Err(failure), _) => {
                self.folding.round = Some(round);
                Err(failure.cause)
            }
            (Ok(_), None) => {
                let Step { rest, slots, .. } = step;
                self.folding.round = Some(Round {
                    rest,
                    slots,
                    ..round
                });
                Ok(FoldProgress::Folding)
            }
            (Ok(leftover_rows), Some(target)) => {
                self.folding.leftover_rows = leftover_rows;
                self.shared.folded.store(target.0, Ordering::Release);
                Ok(FoldProgress::Folded(target))
            }
        }
    }

    /// Bytes of log rows that no round of folding has begun on, to decide when the next round is worthwhile.
    pub fn unfolded_log_bytes(&self) -> usize {
        self.folding.appended_bytes
    }

    fn begin_round(&mut self) -> Option<Round> {
        let (state, published) = Pin::published(&self.shared);
        let folded = self.shared.folded();
        if published.ts == folded {
            return None;
        }
        let mut rest = Rest::Overlay(KeyRange::all());
        let mut slots = self.folding.slots.clone();
        if published.ts == self.appended() {
            self.folding.appended_bytes = 0;
            slots = std::mem::take(&mut self.folding.slots);
            if let Some(keys) = self.folding.appended_keys.replace(Vec::new()) {
                rest = Rest::of(keys, &published.overlay);
            }
        }
        Some(Round {
            target: published.ts,
            folded,
            overlay: published.overlay.after(folded),
            rest: Some(rest),
            slots: SlotsRest::of(slots),
            _state: state,
        })
    }

    /// Whether a round was begun, or left log rows to delete.
    pub fn is_folding(&self) -> bool {
        self.folding.round.is_some() || self.folding.leftover_rows
    }

    fn delete_leftover_rows(&mut self, bytes_max: usize) -> Result<FoldProgress, StorageError> {
        let shared = Arc::clone(&self.shared);
        let more = self.transaction(Synchronous::Normal, |connection| {
            delete_rows(connection, shared.deletable(shared.folded()), bytes_max)
        });
        self.folding.leftover_rows = more.map_err(|failure| failure.cause)?;
        Ok(FoldProgress::Folding)
    }
}

/// As many keys, or bytes, as the time of a gentle step allows, where `done` took `took`. It grows slowly: the next keys may
/// lie far apart.
fn fitting(done: usize, took: Duration, min: usize) -> usize {
    match took <= GENTLE_STEP_TIME {
        true => done + done.div_ceil(8),
        false => (done / 2).max(min),
    }
}

#[cfg(test)]
impl Appender {
    /// Every appended and unfolded value is in a list, or in the overlay as it is in the slot.
    pub(super) fn assert_every_slot_is_listed(&self) {
        let folded = self.shared.folded();
        let published = self.shared.published.load_full();
        let target = self
            .folding
            .round
            .as_ref()
            .map_or(folded, |round| round.target);
        for key in self.shared.slots.keys() {
            let overlay = published.overlay.entry(key.as_slice());
            let in_overlay = overlay.map_or(Timestamp(0), |entry| entry.ts);
            let newest = |after, until| {
                let version = self.shared.slots.version_between(&key, after, until);
                version.is_some_and(|version| version.ts > in_overlay)
            };
            if newest(target, self.appended()) {
                assert!(
                    self.folding.slots.contains(&key),
                    "{key:?} will not be folded"
                );
            }
            if let Some(round) = &self.folding.round
                && newest(folded, target)
            {
                assert!(
                    round.slots.keys.contains(&key),
                    "{key:?} is not in the round"
                );
            }
        }
    }
}

impl Rest {
    /// The cheaper way to find what is new: a few keys among many entries, or all entries.
    fn of(mut keys: Vec<Bytes>, overlay: &Overlay) -> Self {
        if keys.len().saturating_mul(VISITS_PER_KEY) > overlay.len() {
            return Self::Overlay(KeyRange::all());
        }
        keys.sort_unstable();
        keys.dedup();
        Self::Listed {
            keys: keys.into(),
            from: 0,
        }
    }
}

/// Writes a step's keys; with `finished`, also moves the fold position there and deletes log rows. Returns whether
/// folded rows are left.
fn write_step(
    connection: &Connection,
    writes: &[(Bytes, Option<Bytes>)],
    finished: Option<Timestamp>,
    row_bytes_max: usize,
    shared: &Shared,
) -> Result<bool, StorageError> {
    // A table without rowids, other indexes and triggers: SQLite then looks for the key once and overwrites what is there.
    // As an upsert the same would look for it, delete it and insert it.
    let mut upsert =
        connection.prepare_cached("INSERT OR REPLACE INTO entries (key, value) VALUES (?1, ?2)")?;
    let mut delete = connection.prepare_cached("DELETE FROM entries WHERE key = ?1")?;
    let mut sealed = Vec::new();
    for (key, value) in writes {
        match value {
            Some(value) => {
                codec::seal(key, value, &mut sealed);
                upsert.execute((&key[..], &sealed[..]))?;
            }
            None => {
                delete.execute([&key[..]])?;
            }
        }
    }
    match finished {
        None => Ok(false),
        Some(folded) => {
            Meta::Folded.write(connection, &folded.0.to_le_bytes())?;
            delete_rows(connection, shared.deletable(folded), row_bytes_max)
        }
    }
}

/// Deletes some rows of the log that nothing needs any more; whether there are more.
fn delete_rows(
    connection: &Connection,
    deletable: Timestamp,
    bytes_max: usize,
) -> Result<bool, StorageError> {
    // The length of a body is known without reading it; deleting the row reads all its pages.
    let mut oldest = connection.prepare_cached(
        "SELECT last_ts, length(body) FROM log WHERE last_ts <= ?1 ORDER BY last_ts",
    )?;
    let mut rows = oldest.query([sql_ts(deletable)])?;
    let (mut last, mut bytes, mut more) = (None, 0, false);
    while let Some(row) = rows.next()? {
        if bytes >= bytes_max {
            more = true;
            break;
        }
        let (row_ts, row_bytes): (i64, usize) = (
            row.get(0)?,
            usize::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
        );
        last = Some(row_ts);
        bytes += row_bytes + LOG_ROW_OVERHEAD_BYTES;
    }
    drop(rows);
    if let Some(last) = last {
        connection
            .prepare_cached("DELETE FROM log WHERE last_ts <= ?1")?
            .execute([last])?;
    }
    Ok(more)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::clock::{Alarm, Clock, Sleep, UnixNanos};
    use crate::storage::{Store, StoreOptions};

    /// A clock by which everything takes long.
    #[derive(Default)]
    struct SlowClock(AtomicU32);

    impl Clock for SlowClock {
        fn now(&self) -> UnixNanos {
            UnixNanos::from_seconds(1)
        }

        fn elapsed(&self) -> Duration {
            10 * GENTLE_STEP_TIME * self.0.fetch_add(1, Ordering::Relaxed)
        }

        fn sleep_until(&self, _: Duration) -> Sleep {
            Box::pin(std::future::ready(()))
        }

        fn alarm_at(&self, _: Duration) -> Alarm {
            crossbeam_channel::never()
        }
    }

    #[test]
    fn gentle_steps_that_delete_rows_become_short_and_leave_the_number_of_keys() {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            clock: Arc::new(SlowClock::default()),
            ..StoreOptions::default()
        };
        let (_store, mut appender) = Store::open(dir.path(), options).unwrap();
        appender.folding.gentle_keys = Some(500);
        appender.folding.leftover_rows = true;
        assert_eq!(appender.fold_gently().unwrap(), FoldProgress::Folding);
        assert_eq!(appender.folding.gentle_keys, Some(500));
        assert_eq!(
            appender.folding.gentle_row_bytes,
            GENTLE_ROW_BYTES_FIRST / 2
        );
    }

    #[test]
    fn gentle_steps_become_short_where_keys_take_long_and_long_where_they_do_not() {
        let took = |keys, millis| fitting(keys, Duration::from_millis(millis), GENTLE_KEYS_MIN);
        assert_eq!([took(512, 9), took(256, 2), took(33, 2)], [256, 128, 32]);
        assert_eq!(took(32, 60_000), GENTLE_KEYS_MIN);
        assert_eq!([took(32, 1), took(36, 0)], [36, 41]);
    }
}
