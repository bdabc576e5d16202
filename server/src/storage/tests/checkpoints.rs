//! Checkpoints beside the appender: who waits for whom, the state a failed checkpoint leaves, and the log's greatest
//! length.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rusqlite::ffi;

use super::super::checkpoint::Pass;
use super::*;

const CHECKPOINT_BYTES: u64 = 256 << 10;
const TRUNCATE_BYTES: u64 = 1 << 20;
/// The most that one commit and one fold step may add, in bytes.
const STEP_BYTES: u64 = 256 << 10;

fn options() -> StoreOptions {
    StoreOptions {
        checkpoint_wal_bytes: CHECKPOINT_BYTES,
        truncate_wal_bytes: TRUNCATE_BYTES,
        truncate_wait: Duration::from_millis(1),
        ..StoreOptions::default()
    }
}

impl Rig {
    fn grow(&mut self) {
        let value = "x".repeat(20_000);
        self.commit(&[("a", &value)]);
        self.appender.fold().unwrap();
    }

    fn grow_until(&mut self, due: CheckpointDue) {
        while self.appender.checkpoint_due().unwrap() != due {
            self.grow();
        }
    }

    /// Calls this before each pass of a checkpoint.
    fn before_pass(&self, call: impl FnMut(Pass) -> Result<(), StorageError> + Send + 'static) {
        *self.store.shared.checkpoints.before_pass.lock() = Some(Box::new(call));
    }

    fn wal_bytes(&mut self) -> u64 {
        self.appender.wal_pages().log * 4120
    }
}

#[test]
fn an_append_completes_while_a_checkpoint_is_under_way_and_waits_for_its_last_pass_alone() {
    let mut rig = Rig::new(options());
    rig.grow_until(CheckpointDue::Beside);
    let (under_way, is_under_way) = sync_channel(0);
    let (go_on, may_go_on): (SyncSender<()>, Receiver<()>) = sync_channel(0);
    let shared = std::sync::Arc::clone(&rig.store.shared);
    rig.before_pass(move |pass| {
        let appends_wait = shared.checkpoints.writing.is_locked();
        assert_eq!(appends_wait, pass == Pass::Last);
        if pass == Pass::Beside {
            under_way.send(()).unwrap();
            may_go_on.recv().unwrap();
        }
        Ok(())
    });
    let checkpointer = rig.appender.checkpointer();
    std::thread::scope(|scope| {
        let checkpoint = scope.spawn(move || checkpointer.run_if_due());
        is_under_way.recv().unwrap();
        rig.commit(&[("b", "beside")]);
        rig.appender.fold().unwrap();
        assert_eq!(
            rig.store.snapshot().unwrap().get(b"b").unwrap().unwrap(),
            "beside"
        );
        go_on.send(()).unwrap();
        checkpoint.join().unwrap().unwrap();
    });
    assert_eq!(rig.store.checkpoints().finished, 1);
    // All of it was moved, so that it starts anew.
    let before = rig.appender.wal_pages();
    assert_eq!(before.log, before.moved);
    rig.commit(&[("b", "after")]);
    assert!(rig.appender.wal_pages().log < before.log);
    assert_eq!(rig.head.get(b"b").unwrap().unwrap(), "after");
}

#[test]
fn the_write_ahead_log_stays_bounded_while_checkpoints_run_beside_constant_writes() {
    let mut rig = Rig::new(options());
    let checkpointer = rig.appender.checkpointer();
    let (wake, woken) = sync_channel(1);
    let mut bytes_max = 0;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for () in woken {
                checkpointer.run_if_due().unwrap();
            }
        });
        for _ in 0..600 {
            rig.grow();
            match rig.appender.checkpoint_due().unwrap() {
                CheckpointDue::No => {}
                CheckpointDue::Beside | CheckpointDue::Lagging => drop(wake.try_send(())),
                CheckpointDue::Now => rig.appender.checkpoint_if_due().unwrap(),
            }
            bytes_max = bytes_max.max(rig.wal_bytes());
        }
        drop(wake);
    });
    assert!(rig.store.checkpoints().finished > 0);
    assert!(bytes_max < TRUNCATE_BYTES + STEP_BYTES, "{bytes_max} bytes");
}

#[test]
fn a_pass_that_a_snapshot_holds_up_waits_until_it_goes() {
    // More than the last pass may have to move.
    let mut rig = Rig::new(StoreOptions {
        checkpoint_wal_bytes: 2 << 20,
        truncate_wal_bytes: 16 << 20,
        snapshot_wait: Duration::from_secs(600),
        ..options()
    });
    let snapshot = rig.store.snapshot().unwrap();
    rig.grow_until(CheckpointDue::Beside);
    let checkpointer = rig.appender.checkpointer();
    let shared = std::sync::Arc::clone(&rig.store.shared);
    std::thread::scope(|scope| {
        let checkpoint = scope.spawn(move || checkpointer.run_if_due());
        while !shared.bases.is_awaited() {
            assert!(!checkpoint.is_finished());
            std::thread::yield_now();
        }
        drop(snapshot);
        checkpoint.join().unwrap().unwrap();
    });
    let wal = rig.appender.wal_pages();
    assert_eq!(wal.log, wal.moved);
}

#[test]
fn the_appender_runs_the_checkpoint_itself_where_nobody_ran_one_beside() {
    let mut rig = Rig::new(options());
    rig.grow_until(CheckpointDue::Now);
    assert!(rig.wal_bytes() < TRUNCATE_BYTES + STEP_BYTES);
    rig.appender.checkpoint_if_due().unwrap();
    assert_eq!(rig.wal_bytes(), 0);
}

#[test]
fn a_checkpoint_that_fails_loses_nothing_and_the_next_one_moves_what_it_left() {
    let mut rig = Rig::new(options());
    rig.grow_until(CheckpointDue::Beside);
    let checkpointer = rig.appender.checkpointer();
    for failing in [Pass::Beside, Pass::Last] {
        rig.before_pass(move |pass| match pass == failing {
            true => Err(StorageError::DiskFull),
            false => Ok(()),
        });
        rig.grow_until(CheckpointDue::Beside);
        let failed = checkpointer.run_if_due();
        assert!(matches!(failed, Err(StorageError::DiskFull)));
        rig.commit(&[("b", "appended all the same")]);
    }
    let counts = rig.store.checkpoints();
    assert_eq!((counts.finished, counts.failed), (0, 2));
    rig.before_pass(|_| Ok(()));
    rig.grow_until(CheckpointDue::Beside);
    checkpointer.run_if_due().unwrap();
    let wal = rig.appender.wal_pages();
    assert_eq!(wal.log, wal.moved);
    let counts = rig.store.checkpoints();
    assert_eq!((counts.finished, counts.failed), (1, 2));
    assert!(counts.append_wait <= counts.time);

    let dir = rig.close();
    drop(checkpointer);
    let (store, _appender) = open(dir.path()).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(
        snapshot.get(b"b").unwrap().unwrap(),
        "appended all the same"
    );
}

#[test]
fn after_a_failed_sync_of_a_checkpoint_nothing_is_appended() {
    let mut rig = Rig::new(options());
    rig.grow_until(CheckpointDue::Beside);
    rig.before_pass(|_| {
        let code = ffi::Error::new(ffi::SQLITE_IOERR_FSYNC);
        Err(rusqlite::Error::SqliteFailure(code, None).into())
    });
    let failed = rig.appender.checkpointer().run_if_due();
    assert!(matches!(failed, Err(StorageError::SyncFailed(_))));
    let refused = rig.try_commit(&[("b", "too late")]);
    assert!(matches!(refused, Err(AppendError::Unknown(_))));
    let stopped = rig.appender.checkpoint_due().unwrap_err();
    assert!(matches!(stopped, StorageError::Stopped(_)));
    let message = stopped.to_string();
    assert!(message.contains("failed to sync"), "{message}");
}

/// Whether the other program has the lock, and whether it may give it back.
static HELD: AtomicBool = AtomicBool::new(false);
static RELEASED: AtomicBool = AtomicBool::new(false);

/// Another program that waits for a reader within its own checkpoint holds the lock of checkpoints meanwhile.
#[test]
fn a_checkpoint_beside_another_programs_is_an_error_and_comes_later() {
    let mut rig = Rig::new(options());
    let snapshot = rig.store.snapshot().unwrap();
    rig.grow_until(CheckpointDue::Beside);
    let path = database(&rig.dir);
    let checkpointer = rig.appender.checkpointer();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut other = Connection::open(path).unwrap();
            let wait = |_| {
                HELD.store(true, Ordering::Release);
                std::thread::yield_now();
                !RELEASED.load(Ordering::Acquire)
            };
            other.busy_handler(Some(wait)).unwrap();
            other
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
                .unwrap();
        });
        while !HELD.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        let refused = checkpointer.run_if_due();
        RELEASED.store(true, Ordering::Release);
        assert!(matches!(refused, Err(StorageError::CheckpointLocked)));
    });
    assert_eq!(rig.store.checkpoints().failed, 1);
    drop(snapshot);
    rig.grow_until(CheckpointDue::Beside);
    checkpointer.run_if_due().unwrap();
    assert_eq!(rig.store.checkpoints().finished, 1);
}
