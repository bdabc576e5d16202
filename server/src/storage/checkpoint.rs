//! Checkpoints: moving the write-ahead log into the database file, so that neither grows without bound.
//!
//! A checkpoint has a connection of its own and runs beside the appender, on the thread of the [`Checkpointer`]. Each
//! pass moves what the log holds when it begins, and the database file is synced; meanwhile the appender goes on. Once
//! little is left, appends wait for a last, short pass, since only a fully moved log can start anew. A pass that moves
//! nothing, because snapshots from before it still need all pages, waits for one of them to go. Where passes cannot keep
//! up, folding waits for them from half of `truncate_wal_bytes` on, unless it is itself behind. Where they cannot keep up
//! with appends alone, or fail, the log grows to `truncate_wal_bytes`; then the appender waits for a whole checkpoint.
//!
//! The log starts anew only when all of it is moved and no reader uses it. The head's long-held read transaction would
//! prevent that for good, so a checkpoint ends it first. The head begins another when it next reads its base. A
//! snapshot held for long still pins the log; then the file grows until that snapshot is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::store::Shared;
use super::{Appender, FoldProgress, StorageError, sqlite};
use crate::clock::Clock;

/// A page and its header in the write-ahead log, at SQLite's default page size.
const WAL_PAGE_BYTES: u64 = 4096 + 24;
/// Bytes that may be left for the pass that appends wait for.
const LAST_PASS_BYTES: u64 = 1 << 20;
/// How long the last pass waits for readers, each time, at most twice: most reads are shorter.
const LAST_PASS_WAIT: Duration = Duration::from_millis(3);
/// Passes beside the appender. Each has less to move than the one before, unless the appender is faster.
const PASSES_MAX: usize = 6;

/// The write-ahead log, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WalPages {
    /// In use, moved or not.
    pub log: u64,
    /// Moved to the database file.
    pub moved: u64,
}

impl WalPages {
    fn bytes(self) -> u64 {
        self.log * WAL_PAGE_BYTES
    }

    fn unmoved_bytes(self) -> u64 {
        (self.log - self.moved) * WAL_PAGE_BYTES
    }
}

#[derive(Clone, Copy)]
enum Mode {
    /// Only measure.
    Noop,
    /// Move all pages that no reader still needs, without waiting.
    Passive,
    /// Wait for readers and move everything, so that the log starts anew.
    Restart,
    /// Wait for readers, move everything and cut the file to nothing.
    Truncate,
}

/// Whether the write-ahead log wants a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointDue {
    /// It is short.
    No,
    /// It has grown; the appender may go on.
    Beside,
    /// It has outgrown a checkpoint: appends may go on, and folding waits until one has ended, unless it is behind.
    Lagging,
    /// It is so long that nothing should be appended before.
    Now,
}

/// The checkpoints since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointCounts {
    /// The number of checkpoints that came to their end, whether or not readers let them move everything.
    pub finished: u64,
    /// The number of checkpoints that failed. A later checkpoint moves the pages that a failed one left.
    pub failed: u64,
    /// The time of all checkpoints together.
    pub time: Duration,
    /// The part of that time for which appends had to wait.
    pub append_wait: Duration,
}

/// State shared by the appender and the checkpoints.
#[derive(Default)]
pub(super) struct Checkpoints {
    /// Held by the thread that runs a checkpoint. Taken before `writing`, never while holding it.
    turn: Mutex<Turn>,
    /// Held over each transaction of the appender, and by the last pass of a checkpoint.
    pub writing: Mutex<()>,
    /// How long the write-ahead log was, in pages, when it was last checkpointed.
    pages_at_last: AtomicU64,
    finished: AtomicU64,
    failed: AtomicU64,
    nanoseconds: AtomicU64,
    append_wait_nanoseconds: AtomicU64,
    /// Called before each pass, which fails if it does.
    #[cfg(test)]
    pub before_pass: Mutex<Option<BeforePass>>,
}

#[cfg(test)]
pub(super) type BeforePass = Box<dyn FnMut(Pass) -> Result<(), StorageError> + Send>;

/// Which pass of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// The appender goes on.
    Beside,
    /// Appends wait.
    Last,
}

/// The connection of checkpoints; `None` before the first and after an error.
#[derive(Default)]
struct Turn(Option<Connection>);

impl Checkpoints {
    pub fn counts(&self) -> CheckpointCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CheckpointCounts {
            finished: read(&self.finished),
            failed: read(&self.failed),
            time: Duration::from_nanos(read(&self.nanoseconds)),
            append_wait: Duration::from_nanos(read(&self.append_wait_nanoseconds)),
        }
    }
}

/// Runs checkpoints beside the appender. For one thread; its calls block on the disk.
pub struct Checkpointer {
    shared: Arc<Shared>,
}

impl Checkpointer {
    /// Runs a checkpoint if the write-ahead log has grown enough. Beyond `truncate_wal_bytes` it waits for readers, each
    /// time for `truncate_wait` at most twice, and appends wait with it.
    pub fn run_if_due(&self) -> Result<(), StorageError> {
        run_if_due(&self.shared)
    }
}

impl Appender {
    /// The checkpointer that runs beside this appender.
    pub fn checkpointer(&self) -> Checkpointer {
        Checkpointer {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Whether a [`Checkpointer`] should run. Ask between appends; cheap.
    pub fn checkpoint_due(&mut self) -> Result<CheckpointDue, StorageError> {
        let wal = self.work(|connection| run(connection, Mode::Noop), |error| error)?;
        Ok(due(&self.shared, wal))
    }

    /// How many checkpoints have ended, well or not.
    pub fn checkpoints_ended(&self) -> u64 {
        let CheckpointCounts {
            finished, failed, ..
        } = self.shared.checkpoints.counts();
        finished + failed
    }

    /// Runs what a [`Checkpointer`] would run, or waits for the one that is running.
    pub fn checkpoint_if_due(&mut self) -> Result<(), StorageError> {
        run_if_due(&self.shared)
    }

    /// Folds what is left and moves everything into the database file, so that a copy of that one file is whole. Waits
    /// for a checkpoint under way. Nothing is lost where this fails: the next start does it.
    pub fn close(mut self) -> Result<(), StorageError> {
        while !matches!(self.fold()?, FoldProgress::Idle) {}
        let mut turn = self.shared.checkpoints.turn.lock();
        let _paused = self.shared.bases.pause();
        self.shared.end_open_bases();
        let truncated = turn.work(&self.shared, |connection| {
            truncate(&self.shared, connection)
        });
        turn.0 = None;
        truncated.map(drop)
    }

    /// Makes the passes of checkpoints wait, or fail.
    #[cfg(test)]
    pub(crate) fn before_checkpoint_pass(
        &self,
        mut call: impl FnMut() -> Result<(), StorageError> + Send + 'static,
    ) {
        let call: BeforePass = Box::new(move |_| call());
        *self.shared.checkpoints.before_pass.lock() = Some(call);
    }

    /// How long the write-ahead log is.
    #[cfg(test)]
    pub(super) fn wal_pages(&mut self) -> WalPages {
        self.work(
            |connection| run(connection, Mode::Noop),
            |error: StorageError| error,
        )
        .unwrap()
    }
}

fn due(shared: &Shared, wal: WalPages) -> CheckpointDue {
    let options = &shared.options;
    let passive = options.checkpoint_wal_bytes;
    let pages_at_last = &shared.checkpoints.pages_at_last;
    if wal.log < pages_at_last.load(Ordering::Relaxed) {
        // It started anew.
        pages_at_last.store(0, Ordering::Relaxed);
    }
    // A quarter of the threshold between tries: a reader that pins the log must not make every append pay for a try.
    let grown = (wal
        .log
        .saturating_sub(pages_at_last.load(Ordering::Relaxed)))
        * WAL_PAGE_BYTES;
    if wal.unmoved_bytes() < passive || grown < passive / 4 {
        CheckpointDue::No
    } else if wal.bytes() < options.truncate_wal_bytes / 2 {
        CheckpointDue::Beside
    } else if wal.bytes() < options.truncate_wal_bytes {
        CheckpointDue::Lagging
    } else {
        CheckpointDue::Now
    }
}

fn run_if_due(shared: &Shared) -> Result<(), StorageError> {
    let checkpoints = &shared.checkpoints;
    let mut turn = checkpoints.turn.lock();
    let clock = &*shared.options.clock;
    let begun = clock.elapsed();
    let done = turn.work(shared, |connection| {
        match due(shared, run_beside(shared, connection, Mode::Noop)?) {
            CheckpointDue::No => Ok(false),
            CheckpointDue::Beside | CheckpointDue::Lagging | CheckpointDue::Now => {
                checkpoint(shared, connection).map(|()| true)
            }
        }
    });
    let count = match done {
        Ok(false) => return Ok(()),
        Ok(true) => &checkpoints.finished,
        Err(_) => &checkpoints.failed,
    };
    count.fetch_add(1, Ordering::Relaxed);
    add_time(&checkpoints.nanoseconds, clock, begun);
    done.map(drop)
}

fn checkpoint(shared: &Shared, connection: &Connection) -> Result<(), StorageError> {
    let mut wal = run_beside(shared, connection, Mode::Noop)?;
    for _ in 0..PASSES_MAX {
        let before = wal;
        begin_pass(shared, Pass::Beside)?;
        let let_go = shared.bases.let_go();
        run_beside(shared, connection, Mode::Passive)?;
        // Before the last pass, and not within it: then there is little left to wait for.
        shared
            .database
            .sync_data()
            .map_err(|error| StorageError::SyncFailed(error.into()))?;
        wal = run_beside(shared, connection, Mode::Noop)?;
        if wal.unmoved_bytes() <= LAST_PASS_BYTES {
            break;
        }
        let is_stuck = wal.moved == before.moved;
        // With a log that long the appender waits for this checkpoint.
        let may_wait = wal.bytes() < shared.options.truncate_wal_bytes;
        let wait = shared.options.snapshot_wait;
        if is_stuck && !(may_wait && shared.bases.wait_for_another(let_go, wait)) {
            break;
        }
    }
    let too_long = wal.bytes() >= shared.options.truncate_wal_bytes;
    if wal.unmoved_bytes() <= LAST_PASS_BYTES || too_long {
        let _writing = shared.checkpoints.writing.lock();
        let _paused = shared.bases.pause();
        let clock = &*shared.options.clock;
        let begun = clock.elapsed();
        wal = last_pass(shared, connection)?;
        if wal.bytes() >= shared.options.truncate_wal_bytes {
            wal = truncate(shared, connection)?;
        }
        add_time(&shared.checkpoints.append_wait_nanoseconds, clock, begun);
    }
    let pages_at_last = &shared.checkpoints.pages_at_last;
    pages_at_last.store(wal.log, Ordering::Relaxed);
    Ok(())
}

/// Moves what is left while nothing is appended, and lets readers of moved pages end, so that the log starts anew.
fn last_pass(shared: &Shared, connection: &Connection) -> Result<WalPages, StorageError> {
    begin_pass(shared, Pass::Last)?;
    run(connection, Mode::Passive)?;
    // The head may have begun again on pages not moved then; a head on moved pages does not pin the log.
    shared.end_open_bases();
    wait_for_readers(connection, LAST_PASS_WAIT, Mode::Restart)
}

fn begin_pass(
    shared: &Shared,
    #[cfg_attr(not(test), expect(unused_variables))] which: Pass,
) -> Result<(), StorageError> {
    #[cfg(test)]
    if let Some(before) = &mut *shared.checkpoints.before_pass.lock() {
        before(which)?;
    }
    shared.end_open_bases();
    Ok(())
}

fn truncate(shared: &Shared, connection: &Connection) -> Result<WalPages, StorageError> {
    wait_for_readers(connection, shared.options.truncate_wait, Mode::Truncate)
}

fn wait_for_readers(
    connection: &Connection,
    wait: Duration,
    mode: Mode,
) -> Result<WalPages, StorageError> {
    connection.busy_timeout(wait)?;
    let pages = run(connection, mode)?;
    connection.busy_timeout(sqlite::WRITER_BUSY_WAIT)?;
    Ok(pages)
}

fn add_time(nanoseconds: &AtomicU64, clock: &dyn Clock, begun: Duration) {
    let passed = clock.elapsed().saturating_sub(begun);
    let passed = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
    nanoseconds.fetch_add(passed, Ordering::Relaxed);
}

impl Turn {
    /// Runs work on the connection of checkpoints. After an error the connection is not used again; after a failed sync
    /// nothing is written any more.
    fn work<T>(
        &mut self,
        shared: &Shared,
        work: impl FnOnce(&Connection) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        shared.not_stopped()?;
        let connection = match self.0.take() {
            Some(connection) => connection,
            None => sqlite::open_writer(&shared.files, &shared.options)?,
        };
        let result = work(&connection);
        match &result {
            Ok(_) => self.0 = Some(connection),
            Err(error) if error.must_end_process() => shared.stop(error),
            Err(_) => {}
        }
        result
    }
}

/// Runs beside the appender. While a commit changes the header of the log's index, SQLite cannot read that header. It
/// then reports the same error as for another program's lock: so this waits for that transaction, and once more.
fn run_beside(
    shared: &Shared,
    connection: &Connection,
    mode: Mode,
) -> Result<WalPages, StorageError> {
    const TRIES_MORE: usize = 2;
    for _ in 0..TRIES_MORE {
        match run(connection, mode) {
            Err(StorageError::CheckpointLocked) => drop(shared.checkpoints.writing.lock()),
            other => return other,
        }
    }
    run(connection, mode)
}

/// A checkpoint that did not move everything is no error: a reader still needs the rest.
fn run(connection: &Connection, mode: Mode) -> Result<WalPages, StorageError> {
    let sql = match mode {
        Mode::Noop => "PRAGMA wal_checkpoint(NOOP)",
        Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Mode::Restart => "PRAGMA wal_checkpoint(RESTART)",
        Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let (busy, log, moved): (bool, i64, i64) = connection
        .prepare_cached(sql)?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    if busy && log < 0 {
        return Err(StorageError::CheckpointLocked);
    }
    // Negative when there is no log yet.
    let pages = |count: i64| u64::try_from(count).unwrap_or(0);
    Ok(WalPages {
        log: pages(log),
        moved: pages(moved).min(pages(log)),
    })
}
