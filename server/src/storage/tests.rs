//! The store's promises at its edges: opening, damage, a full disk, and readers while entries are moved.

mod backups;
mod checkpoints;
mod slots;
mod wal;

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::Connection;
use tempfile::TempDir;
use vestibule_schema::timestamp::Timestamp;

use super::*;

struct Rig {
    head: Head,
    appender: Appender,
    store: Store,
    dir: TempDir,
}

impl Rig {
    fn new(options: StoreOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, appender) = Store::open(dir.path(), options).unwrap();
        Self {
            head: store.head(),
            appender,
            store,
            dir,
        }
    }

    /// One commit, as a batch of its own.
    fn commit(&mut self, writes: &[(&str, &str)]) {
        self.try_commit(writes).unwrap();
    }

    fn try_commit(&mut self, writes: &[(&str, &str)]) -> Result<(), AppendError> {
        let commit = commit(self.head.last_ts().0 + 1, writes);
        self.append(&[commit])
    }

    /// Some commits, as one batch.
    fn append(&mut self, commits: &[Commit]) -> Result<(), AppendError> {
        self.appender.append(apply(&mut self.head, commits))?;
        self.appender.publish(self.head.freeze());
        Ok(())
    }

    fn fold_all(&mut self) {
        while self.appender.fold().unwrap() != FoldProgress::Idle {}
    }

    fn close(self) -> TempDir {
        self.dir
    }
}

/// Applies commits and returns their row.
fn apply(head: &mut Head, commits: &[Commit]) -> LogRow {
    let mut row = LogRow::default();
    for commit in commits {
        head.apply(commit, &mut row);
    }
    row
}

fn commit(ts: u64, writes: &[(&str, &str)]) -> Commit {
    let write = |(key, value): &(&str, &str)| Write {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
    };
    Commit {
        ts: Timestamp(ts),
        writes: writes.iter().map(write).collect(),
    }
}

fn open(dir: &Path) -> Result<(Store, Appender), StorageError> {
    Store::open(dir, StoreOptions::default())
}

fn database(dir: &TempDir) -> std::path::PathBuf {
    dir.path().join("vestibule.sqlite3")
}

fn sql(dir: &TempDir, statements: &str) {
    Connection::open(database(dir))
        .unwrap()
        .execute_batch(statements)
        .unwrap();
}

#[test]
fn a_file_without_bytes_is_refused_unless_a_start_was_interrupted_while_making_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("vestibule.sqlite3");
    fs::File::create(&file).unwrap();
    let open = || open(dir.path()).map(drop);
    assert!(
        matches!(open(), Err(StorageError::Empty { path }) if path.ends_with("vestibule.sqlite3"))
    );
    let mark = dir.path().join("vestibule.sqlite3-new");
    fs::File::create(&mark).unwrap();
    open().unwrap();
    assert!(!mark.exists() && fs::metadata(&file).unwrap().len() > 0);
    // A mark left behind does not vouch for a file that lost its bytes later.
    open().unwrap();
    fs::File::create(&file).unwrap();
    fs::remove_file(dir.path().join("vestibule.sqlite3-wal")).ok();
    assert!(matches!(open(), Err(StorageError::Empty { .. })));
}

/// SQLite says "database is locked" of a disk that fails there, too.
#[test]
fn a_database_that_cannot_be_made_is_told_as_such() {
    let dir = tempfile::tempdir().unwrap();
    fs::File::create(dir.path().join("vestibule.sqlite3-new")).unwrap();
    let other = Connection::open(database(&dir)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = open(dir.path()).err().unwrap();
    assert!(
        matches!(&refused, StorageError::NotMade { .. }),
        "{refused}"
    );
    drop(other);
    open(dir.path()).unwrap();
}

#[test]
fn a_second_open_of_the_same_directory_is_refused_and_names_it() {
    let rig = Rig::new(StoreOptions::default());
    let refused = open(rig.dir.path()).err().unwrap();
    assert!(matches!(&refused, StorageError::InUse { .. }));
    assert!(
        refused
            .to_string()
            .contains(rig.dir.path().file_name().unwrap().to_str().unwrap())
    );
}

#[test]
fn the_directory_is_free_once_every_handle_is_dropped() {
    let dir = Rig::new(StoreOptions::default()).close();
    open(dir.path()).unwrap();
}

#[test]
fn a_newer_format_is_refused() {
    let dir = Rig::new(StoreOptions::default()).close();
    sql(&dir, "PRAGMA user_version = 3");
    assert!(matches!(
        open(dir.path()),
        Err(StorageError::NewerFormat {
            found: 3,
            supported: 2,
            ..
        })
    ));
}

#[test]
fn a_store_of_format_1_is_opened_with_all_it_holds_and_raised_to_format_2() {
    let mut rig = Rig::new(StoreOptions::default());
    rig.commit(&[("a", "1")]);
    let dir = rig.close();
    sql(&dir, "PRAGMA user_version = 1");
    let (store, appender) = open(dir.path()).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.get(b"a").unwrap(), Some(Bytes::from("1")));
    drop((snapshot, store, appender));
    let connection = Connection::open(database(&dir)).unwrap();
    let format = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    assert_eq!(format.unwrap(), 2);
}

#[test]
fn a_database_of_another_program_is_refused_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    sql(&dir, "CREATE TABLE theirs (a)");
    let before = fs::read(database(&dir)).unwrap();
    assert!(matches!(
        open(dir.path()),
        Err(StorageError::Foreign { .. })
    ));
    assert_eq!(fs::read(database(&dir)).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let text = "not a database, but longer than a header of one hundred bytes".repeat(4);
    fs::write(database(&dir), &text).unwrap();
    assert!(matches!(
        open(dir.path()),
        Err(StorageError::NotADatabase { .. })
    ));
    assert_eq!(fs::read_to_string(database(&dir)).unwrap(), text);
}

#[test]
fn a_directory_that_is_a_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(open(&file), Err(StorageError::Unwritable { .. })));
}

#[test]
fn a_write_ahead_log_without_its_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("vestibule.sqlite3-wal"), "commits").unwrap();
    assert!(matches!(
        open(dir.path()),
        Err(StorageError::Damaged { .. })
    ));
}

#[test]
fn a_damaged_entry_is_reported_and_never_served() {
    let mut rig = Rig::new(StoreOptions {
        overlay_bytes_max: 0,
        ..StoreOptions::default()
    });
    rig.commit(&[("a", "1"), ("b", "2"), ("c", "3")]);
    rig.fold_all();
    rig.head.refresh();
    rig.commit(&[]);
    assert!(rig.store.durable().overlay.is_empty());
    sql(
        &rig.dir,
        "UPDATE entries SET value = (SELECT value FROM entries WHERE key = x'61') WHERE key = x'62'",
    );
    let snapshot = rig.store.snapshot().unwrap();
    assert!(matches!(snapshot.get(b"b"), Err(StorageError::CorruptedEntry { key }) if key == "b"));
    assert_eq!(snapshot.get(b"a").unwrap().unwrap(), "1");
    for direction in [Direction::Forward, Direction::Reverse] {
        assert!(
            snapshot
                .scan(KeyRange::all(), direction)
                .any(|entry| entry.is_err())
        );
        assert!(
            snapshot
                .scan(KeyRange::all(), direction)
                .flatten()
                .all(|entry| entry.key != "b")
        );
    }
}

#[test]
fn a_damaged_log_row_stops_the_open() {
    let mut rig = Rig::new(StoreOptions::default());
    rig.commit(&[("a", "1")]);
    let dir = rig.close();
    sql(
        &dir,
        "UPDATE log SET body = CAST(substr(body, 1, 10) || x'ff' || substr(body, 12) AS BLOB)",
    );
    assert!(matches!(
        open(dir.path()),
        Err(StorageError::CorruptedLog { ts: 1, .. })
    ));
}

#[test]
fn a_missing_log_row_stops_the_open() {
    let mut rig = Rig::new(StoreOptions::default());
    (0..3).for_each(|_| rig.commit(&[("a", "1")]));
    let dir = rig.close();
    sql(&dir, "DELETE FROM log WHERE last_ts = 2");
    assert!(matches!(
        open(dir.path()),
        Err(StorageError::CorruptedLog { ts: 3, .. })
    ));
}

#[test]
fn a_changed_fold_position_stops_the_open() {
    let mut rig = Rig::new(StoreOptions::default());
    rig.commit(&[("a", "1")]);
    let dir = rig.close();
    sql(
        &dir,
        "UPDATE meta SET value = CAST(x'01' || substr(value, 2) AS BLOB) WHERE name = 'folded'",
    );
    assert!(matches!(
        open(dir.path()),
        Err(StorageError::Damaged { .. })
    ));
}

#[test]
fn a_full_disk_refuses_the_batch_and_the_next_one_succeeds_when_space_returns() {
    let mut rig = Rig::new(StoreOptions::default());
    rig.commit(&[("a", "before")]);
    let large = "x".repeat(100_000);
    rig.appender.set_pages_max(Some(1));
    for _ in 0..2 {
        let refused = rig.try_commit(&[("a", &large), ("b", "new")]);
        assert!(matches!(
            refused,
            Err(AppendError::NotCommitted(StorageError::DiskFull))
        ));
        rig.head.roll_back_to(&rig.store.durable());
        assert_eq!(rig.head.get(b"a").unwrap().unwrap(), "before");
        assert_eq!(rig.head.get(b"b").unwrap(), None);
        assert_eq!(
            rig.store.snapshot().unwrap().get(b"a").unwrap().unwrap(),
            "before"
        );
    }
    rig.appender.set_pages_max(None);
    rig.commit(&[("b", &large)]);
    let dir = rig.close();
    let (store, _appender) = open(dir.path()).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.get(b"a").unwrap().unwrap(), "before");
    assert_eq!(snapshot.get(b"b").unwrap().unwrap(), large);
}

#[test]
fn a_fold_that_meets_a_full_disk_is_repeated_when_space_returns() {
    let mut rig = Rig::new(StoreOptions::default());
    let keys: Vec<_> = (0..500).map(|number| format!("key {number}")).collect();
    let value = "x".repeat(200);
    let writes: Vec<_> = keys
        .iter()
        .map(|key| (key.as_str(), value.as_str()))
        .collect();
    rig.commit(&writes);
    rig.appender.set_pages_max(Some(1));
    assert!(matches!(rig.appender.fold(), Err(StorageError::DiskFull)));
    rig.appender.set_pages_max(None);
    rig.fold_all();
    assert_eq!(
        rig.store
            .snapshot()
            .unwrap()
            .scan(KeyRange::all(), Direction::Forward)
            .count(),
        keys.len()
    );
}

#[test]
fn folding_a_few_keys_does_not_walk_a_large_overlay() {
    let mut rig = Rig::new(StoreOptions {
        fold_chunk_keys: 2,
        ..StoreOptions::default()
    });
    let keys: Vec<_> = (0..1000).map(|number| format!("{number:04}")).collect();
    let writes: Vec<_> = keys.iter().map(|key| (key.as_str(), "old")).collect();
    rig.commit(&writes);
    rig.fold_all();
    for key in ["0003", "0997", "0003", "0500", "new"] {
        rig.commit(&[(key, "new")]);
    }
    let steps: Vec<_> = (0..3).map(|_| rig.appender.fold().unwrap()).collect();
    let end = rig.head.last_ts();
    assert_eq!(
        steps,
        [
            FoldProgress::Folding,
            FoldProgress::Folded(end),
            FoldProgress::Idle
        ]
    );
    let rows = Connection::open(database(&rig.dir)).unwrap();
    let new: i64 = rows
        .query_row(
            "SELECT count(*) FROM entries WHERE substr(value, 1, 3) = CAST('new' AS BLOB)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(new, 4);
}

#[test]
fn commits_without_writes_and_empty_batches_are_harmless() {
    let mut rig = Rig::new(StoreOptions::default());
    rig.appender.append(LogRow::default()).unwrap();
    rig.commit(&[]);
    rig.fold_all();
    let dir = rig.close();
    assert_eq!(open(dir.path()).unwrap().0.durable_ts(), Timestamp(1));
}

#[test]
fn the_timestamp_survives_a_reopen_once_every_log_row_is_folded() {
    let mut rig = Rig::new(StoreOptions::default());
    (0..200).for_each(|_| rig.commit(&[("a", "1")]));
    rig.fold_all();
    let dir = rig.close();
    let rows: i64 = Connection::open(database(&dir))
        .unwrap()
        .query_row("SELECT count(*) FROM log", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 0);
    assert_eq!(open(dir.path()).unwrap().0.durable_ts(), Timestamp(200));
}

#[test]
fn the_write_ahead_log_starts_anew_although_the_head_keeps_reading() {
    let mut rig = Rig::new(StoreOptions {
        checkpoint_wal_bytes: 256 << 10,
        truncate_wal_bytes: 1 << 20,
        truncate_wait: Duration::from_millis(1),
        ..StoreOptions::default()
    });
    let value = "x".repeat(20_000);
    let mut pages_max = 0;
    for _ in 0..400 {
        rig.commit(&[("a", &value)]);
        rig.head.get(b"not there").unwrap();
        rig.appender.fold().unwrap();
        rig.appender.checkpoint_if_due().unwrap();
        pages_max = pages_max.max(rig.appender.wal_pages().log);
    }
    assert!(pages_max < 200, "{pages_max} pages");
}

#[test]
fn a_held_snapshot_pins_the_write_ahead_log_and_its_end_frees_it() {
    let mut rig = Rig::new(StoreOptions {
        checkpoint_wal_bytes: 256 << 10,
        truncate_wal_bytes: 512 << 10,
        truncate_wait: Duration::from_millis(1),
        ..StoreOptions::default()
    });
    let value = "x".repeat(20_000);
    rig.commit(&[("a", "old")]);
    let snapshot = rig.store.snapshot().unwrap();
    for _ in 0..100 {
        rig.commit(&[("a", &value)]);
        rig.fold_all();
        rig.appender.checkpoint_if_due().unwrap();
    }
    assert!(rig.appender.wal_pages().log > 500);
    assert_eq!(snapshot.get(b"a").unwrap().unwrap(), "old");
    drop(snapshot);
    for _ in 0..20 {
        rig.commit(&[("a", &value)]);
        rig.appender.checkpoint_if_due().unwrap();
    }
    assert!(rig.appender.wal_pages().log < 200);
}

#[test]
fn a_forgotten_entry_is_still_read_from_the_base() {
    let mut rig = Rig::new(StoreOptions {
        overlay_bytes_max: 0,
        ..StoreOptions::default()
    });
    assert_eq!(rig.head.get(b"a").unwrap(), None);
    rig.commit(&[("a", "1"), ("b", "2")]);
    rig.fold_all();
    rig.head.refresh();
    assert_eq!(rig.head.overlay().len(), 0);
    assert_eq!(rig.head.overlay().complete_after(), Timestamp(1));
    assert_eq!(rig.head.get(b"a").unwrap().unwrap(), "1");
}

#[test]
fn what_is_not_folded_is_never_forgotten() {
    let mut rig = Rig::new(StoreOptions {
        overlay_bytes_max: 0,
        ..StoreOptions::default()
    });
    rig.commit(&[("a", "1")]);
    rig.head.refresh();
    assert_eq!(rig.head.overlay().len(), 1);
    assert_eq!(rig.head.unfolded_bytes(), rig.head.overlay().bytes());
}

#[test]
fn reads_between_two_pulls_of_a_cursor_do_not_disturb_it() {
    let mut rig = Rig::new(StoreOptions::default());
    let keys: Vec<_> = (0..1000).map(|number| format!("{number:04}")).collect();
    let writes: Vec<_> = keys
        .iter()
        .map(|key| (key.as_str(), key.as_str()))
        .collect();
    rig.commit(&writes);
    rig.fold_all();
    let snapshot = rig.store.snapshot().unwrap();
    let mut cursor = Cursor::new(KeyRange::all(), Direction::Reverse);
    for key in keys.iter().rev() {
        let entry = snapshot.next(&mut cursor).unwrap().unwrap();
        assert_eq!(entry.key, key);
        assert_eq!(snapshot.get(&entry.key).unwrap().unwrap(), key);
    }
    assert_eq!(snapshot.next(&mut cursor).unwrap(), None);
    assert_eq!(snapshot.next(&mut cursor).unwrap(), None);
}

/// Every commit sets all keys to its own timestamp, so a snapshot that shows two values, or one other than its
/// timestamp, is torn.
#[test]
fn readers_on_other_threads_see_whole_commits_while_everything_moves() {
    const KEYS: usize = 40;
    const COMMITS: u64 = 600;
    let rig = Rig::new(StoreOptions {
        overlay_bytes_max: 4 << 10,
        slot_bytes_max: 4 << 10,
        fold_chunk_keys: 7,
        checkpoint_wal_bytes: 64 << 10,
        truncate_wal_bytes: 256 << 10,
        truncate_wait: Duration::from_millis(1),
        ..StoreOptions::default()
    });
    let Rig {
        mut head,
        mut appender,
        store,
        dir,
    } = rig;
    std::thread::scope(|scope| {
        let (to_appender, batches) = std::sync::mpsc::sync_channel::<(LogRow, Published)>(4);
        let store = &store;
        scope.spawn(move || {
            for ts in 1..=COMMITS {
                let value = Bytes::from(ts.to_string());
                let key = |number: usize| Bytes::from(format!("{number:02}"));
                let writes = (0..KEYS)
                    .map(|number| Write {
                        key: key(number),
                        value: Some(value.clone()),
                    })
                    .collect();
                let commit = Commit {
                    ts: Timestamp(ts),
                    writes,
                };
                // Every other key comes to have a slot, as far as there is room.
                for number in (0..KEYS).step_by(2) {
                    head.get(&key(number)).unwrap();
                }
                let row = apply(&mut head, &[commit]);
                head.refresh();
                assert_whole(&head, KEYS);
                to_appender.send((row, head.freeze())).unwrap();
            }
        });
        scope.spawn(move || {
            for (row, published) in batches {
                appender.append(row).unwrap();
                appender.publish(published);
                for _ in 0..5 {
                    appender.fold().unwrap();
                }
                appender.checkpoint_if_due().unwrap();
            }
        });
        for _ in 0..2 {
            scope.spawn(move || {
                let mut last = Timestamp(0);
                while last < Timestamp(COMMITS) {
                    let snapshot = store.snapshot().unwrap();
                    assert!(snapshot.ts() >= last, "durable time went back");
                    last = snapshot.ts();
                    assert_whole(&snapshot, KEYS);
                }
            });
        }
    });
    drop(dir);
}

fn assert_whole(view: &dyn ReadView, keys: usize) {
    let values: Vec<_> = Scan::new(view, KeyRange::all(), Direction::Forward)
        .map(|entry| entry.unwrap().value)
        .collect();
    if view.ts() > Timestamp(0) {
        assert_eq!(values.len(), keys);
        assert!(values.iter().all(|value| *value == view.ts().0.to_string()));
        assert_eq!(view.get(b"17").unwrap().unwrap(), view.ts().0.to_string());
    }
}

#[test]
fn every_batch_counts_as_one_append() {
    let mut rig = Rig::new(StoreOptions::default());
    assert_eq!(rig.store.appends(), 0);
    let batch = [commit(1, &[("a", "1")]), commit(2, &[("b", "1")])];
    rig.append(&batch).unwrap();
    rig.append(&[commit(3, &[("a", "2")])]).unwrap();
    assert_eq!(rig.store.appends(), 2);
    rig.appender.append(LogRow::default()).unwrap();
    assert_eq!(rig.store.appends(), 2);
}
