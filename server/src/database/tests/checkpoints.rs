//! Checkpoints beside the committer's threads: answers do not wait for one, its failures are met, and closing waits.

use std::sync::mpsc::{Receiver, Sender, channel};

use vestibule_schema::object;

use super::*;
use crate::clock::SystemClock;
use crate::database::log_writer::Folding;
use crate::executor::SystemExecutor;
use crate::storage::{CheckpointDue, StorageError};

/// A committer whose checkpoints stop before their first pass and take their outcome from the test.
struct Stopping {
    committer: Committer,
    store: Store,
    is_stopped: Receiver<()>,
    outcome: Sender<Result<(), StorageError>>,
    unknown: Receiver<UnknownOutcome>,
    dir: TempDir,
}

fn texts() -> Schema {
    schema([table("texts", &[])])
}

fn options() -> StoreOptions {
    StoreOptions {
        checkpoint_wal_bytes: 64 << 10,
        ..StoreOptions::default()
    }
}

impl Stopping {
    fn new() -> Stopping {
        let dir = tempfile::tempdir().unwrap();
        let clock = manual_clock();
        let (store, appender) = Store::open(dir.path(), options()).unwrap();
        let (appender, catalog) = set_up(&store, appender, &clock, &texts()).unwrap();
        let (stopped, is_stopped) = channel();
        let (outcome, outcomes) = channel();
        appender.before_checkpoint_pass(move || {
            // The test no longer listens: it is about something else by now.
            let _ = stopped.send(());
            outcomes.recv().unwrap_or(Ok(()))
        });
        let environment = Arc::new(environment(catalog, clock));
        let write_log = Arc::new(WriteLog::new(store.durable_ts()));
        let rollbacks = Arc::new(AtomicU64::new(0));
        let rng = Box::new(StdRng::seed_from_u64(1));
        let lane = Lane::new(&store, environment, rng, rollbacks.clone()).unwrap();
        // Whatever is appended is folded at once.
        let writer = LogWriter::new(appender, write_log, rollbacks, 1 << 10);
        let (sender, unknown) = channel();
        // A second thread may tell too, after the test.
        let on_unknown = Box::new(move |unknown| drop(sender.send(unknown)));
        let (options, clock) = (CommitterOptions::default(), Arc::new(SystemClock::new()));
        let committer = Committer::start(lane, writer, options, &SystemExecutor, clock, on_unknown);
        Stopping {
            committer: committer.unwrap(),
            store,
            is_stopped,
            outcome,
            unknown,
            dir,
        }
    }

    fn write(&self) -> Result<Committed, CommitError> {
        let (sender, outcome) = channel();
        let body = |tx: &mut Transaction<'_>| {
            let fields = object! {"text" => "x".repeat(20_000)};
            tx.insert("texts", fields).unwrap();
            ((), Verdict::Commit)
        };
        let on_finish = move |(_, outcome): Outcome<()>| sender.send(outcome).unwrap();
        let queued = self.committer.submit(mutation(body, on_finish));
        assert!(queued.is_ok(), "the queue has room");
        outcome.recv().unwrap()
    }

    /// Writes until a checkpoint has begun.
    fn write_until_checkpoint(&self) -> u64 {
        let mut written = 0;
        while self.is_stopped.try_recv().is_err() {
            self.write().unwrap();
            written += 1;
        }
        written
    }
}

#[test]
fn answers_do_not_wait_for_a_checkpoint_under_way() {
    let line = Stopping::new();
    line.write_until_checkpoint();
    for _ in 0..10 {
        line.write().unwrap();
    }
    assert_eq!(line.store.checkpoints().finished, 0);
    drop(line.outcome);
    while line.store.checkpoints().finished == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_checkpoint_that_fails_is_tried_again_although_nothing_more_is_written() {
    let line = Stopping::new();
    line.write_until_checkpoint();
    line.outcome.send(Err(StorageError::DiskFull)).unwrap();
    line.is_stopped.recv().unwrap();
    let counts = line.store.checkpoints();
    assert_eq!((counts.finished, counts.failed), (0, 1));
    line.write().unwrap();
    drop(line.outcome);
    drop(line.committer);
    assert_eq!(line.store.checkpoints().failed, 1);
}

#[test]
fn a_checkpoint_whose_sync_failed_ends_the_process_although_nothing_more_is_written() {
    let line = Stopping::new();
    line.write_until_checkpoint();
    let failed = StorageError::SyncFailed("the disk is gone".into());
    line.outcome.send(Err(failed)).unwrap();
    // Whichever thread is the first to tell: the log writer may have been folding.
    let UnknownOutcome(cause) = line.unknown.recv().unwrap();
    assert!(cause.must_end_process());
    let message = cause.to_string();
    assert!(message.contains("the disk is gone"), "{message}");
}

#[test]
fn closing_waits_for_the_checkpoint_under_way_and_leaves_one_whole_file() {
    let line = Stopping::new();
    let mut written = line.write_until_checkpoint();
    line.write().unwrap();
    written += 1;
    let Stopping {
        committer,
        store,
        outcome,
        dir,
        ..
    } = line;
    let closing = std::thread::spawn(move || drop(committer));
    let early = closing.is_finished();
    assert!(!early, "a checkpoint is under way");
    drop(outcome);
    closing.join().unwrap();
    drop(store);
    let wal = dir.path().join("vestibule.sqlite3-wal");
    let wal_bytes = std::fs::metadata(wal).map_or(0, |metadata| metadata.len());
    assert_eq!(wal_bytes, 0);

    let copy = tempfile::tempdir().unwrap();
    let name = "vestibule.sqlite3";
    std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    let mut rig = Rig::try_open(copy, texts()).unwrap();
    let found = rig.attempt(|tx| tx.collect(&index("texts", "by_id")).unwrap().len());
    assert_eq!(found as u64, written);
}

/// A lane and a log writer without threads, whose write-ahead log is long at eight mebibytes.
struct Line {
    lane: Lane,
    writer: LogWriter,
    _dir: TempDir,
}

impl Line {
    fn new() -> Line {
        let dir = tempfile::tempdir().unwrap();
        let clock = manual_clock();
        let options = StoreOptions {
            checkpoint_wal_bytes: 1 << 20,
            truncate_wal_bytes: 16 << 20,
            ..StoreOptions::default()
        };
        let (store, appender) = Store::open(dir.path(), options).unwrap();
        let (appender, catalog) = set_up(&store, appender, &clock, &texts()).unwrap();
        let environment = Arc::new(environment(catalog, clock));
        let write_log = Arc::new(WriteLog::new(store.durable_ts()));
        let rollbacks = Arc::new(AtomicU64::new(0));
        let rng = Box::new(StdRng::seed_from_u64(1));
        let lane = Lane::new(&store, environment, rng, rollbacks.clone()).unwrap();
        Line {
            lane,
            writer: LogWriter::new(appender, write_log, rollbacks, 4 << 20),
            _dir: dir,
        }
    }

    fn write(&mut self) {
        let body = |tx: &mut Transaction<'_>| {
            let fields = object! {"text" => "x".repeat(20_000)};
            tx.insert("texts", fields).unwrap();
            ((), Verdict::Commit)
        };
        let mut batch = self.lane.open_batch();
        self.lane.run(mutation(body, |_| ()), &mut batch);
        self.lane.close_batch(&mut batch);
        self.writer.write(batch).unwrap();
    }

    /// Writes, and folds what is due, until a step says that a checkpoint lags and nothing else presses.
    fn write_until_lagging(&mut self) {
        loop {
            self.write();
            while matches!(self.writer.folding(), Folding::Due | Folding::Behind) {
                let due = self.writer.fold().unwrap();
                if due == CheckpointDue::Lagging && self.writer.folding() != Folding::Behind {
                    return;
                }
            }
        }
    }
}

#[test]
fn folding_leaves_a_log_alone_that_a_checkpoint_has_yet_to_move() {
    let mut line = Line::new();
    line.write_until_lagging();
    assert_eq!(line.writer.folding(), Folding::Gathering);
    line.writer.checkpointer().run_if_due().unwrap();
    assert_eq!(line.writer.folding(), Folding::Due);
}
