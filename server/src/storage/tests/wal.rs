//! A damaged write-ahead log is told apart from one that a crash or a loss of power ended.

use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng};

use super::*;

const HEADER_BYTES: usize = 32;
const FRAME_BYTES: usize = 4096 + 24;

/// A database and its log, as the process left them that was killed.
#[derive(Clone)]
struct Left {
    database: Vec<u8>,
    log: Vec<u8>,
}

impl Left {
    fn of(rig: &Rig) -> Left {
        let read = |file: &str| fs::read(rig.dir.path().join(file)).unwrap();
        Left {
            database: read("vestibule.sqlite3"),
            log: read("vestibule.sqlite3-wal"),
        }
    }

    fn written(&self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, bytes: &[u8]| fs::write(dir.path().join(file), bytes).unwrap();
        write("vestibule.sqlite3", &self.database);
        write("vestibule.sqlite3-wal", &self.log);
        dir
    }

    /// With one bit changed.
    fn flipped(&self, at: usize, bit: u8) -> Left {
        let mut left = self.clone();
        left.log[at] ^= 1 << bit;
        left
    }
}

fn opened(dir: &TempDir, lose_commits_after: Option<Timestamp>) -> Result<Timestamp, StorageError> {
    let options = StoreOptions {
        lose_commits_after,
        ..StoreOptions::default()
    };
    Store::open(dir.path(), options).map(|(store, _)| store.durable_ts())
}

fn ts(left: &Left) -> Result<Timestamp, StorageError> {
    opened(&left.written(), None)
}

fn value(bytes: usize) -> String {
    "x".repeat(bytes)
}

#[test]
fn damage_that_hides_acknowledged_commits_stops_the_open_and_changes_nothing() {
    let mut rig = Rig::new(StoreOptions::default());
    for n in 0..6 {
        rig.commit(&[("a", &value(n * 3000)), ("b", "1")]);
    }
    let before_last = Left::of(&rig).log.len();
    rig.commit(&[("c", "1")]);
    let left = Left::of(&rig);
    let places = (0..before_last)
        .step_by(509)
        .chain([0, 9, 17, 24])
        .filter(|at| before_last - at > 2 * FRAME_BYTES);
    for at in places {
        let damaged = left.flipped(at, 3);
        let dir = damaged.written();
        let refused = opened(&dir, None).unwrap_err();
        let StorageError::HiddenCommits { kept, newest, .. } = refused else {
            panic!("byte {at}: {refused}");
        };
        assert!(kept < 6 && (kept + 1..=7).contains(&newest), "byte {at}");
        assert!(
            refused
                .to_string()
                .contains(&format!("--lose-commits-after {kept}"))
        );
        let read = |file: &str| fs::read(dir.path().join(file)).unwrap();
        assert!(
            read("vestibule.sqlite3-wal") == damaged.log
                && read("vestibule.sqlite3") == damaged.database
        );
    }
}

#[test]
fn commits_behind_damage_are_lost_only_as_they_are_named_and_the_log_is_kept() {
    let mut rig = Rig::new(StoreOptions::default());
    for _ in 0..4 {
        rig.commit(&[("a", "1")]);
    }
    let left = Left::of(&rig);
    // The last frame of the second commit.
    let frames = (left.log.len() - HEADER_BYTES) / FRAME_BYTES;
    let at = HEADER_BYTES + (frames - 3) * FRAME_BYTES + 100;
    let dir = left.flipped(at, 0).written();
    let kept = match opened(&dir, Some(Timestamp(3))) {
        Err(StorageError::HiddenCommits { kept, .. }) => kept,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        opened(&dir, Some(Timestamp(kept))).unwrap(),
        Timestamp(kept)
    );
    let copy = dir
        .path()
        .join(format!("vestibule.sqlite3-wal-damaged-{kept}"));
    assert!(fs::read(copy).unwrap() == left.flipped(at, 0).log);
    assert_eq!(opened(&dir, None).unwrap(), Timestamp(kept));
}

#[test]
fn an_inspection_tells_hidden_commits() {
    let mut rig = Rig::new(StoreOptions::default());
    for _ in 0..4 {
        rig.commit(&[("a", "1")]);
    }
    let left = Left::of(&rig);
    let damaged = left.flipped(HEADER_BYTES + 40, 1);
    let dir = damaged.written();
    let mut found = Vec::new();
    inspect(dir.path(), &mut |fault| found.push(fault)).unwrap();
    assert!(
        matches!(&found[..], [StorageError::HiddenCommits { .. }]),
        "{found:?}"
    );
    assert!(fs::read(dir.path().join("vestibule.sqlite3-wal")).unwrap() == damaged.log);
}

/// A loss of power leaves any part of the frames since the last sync: new, or old, or torn.
#[test]
fn whatever_a_loss_of_power_leaves_of_the_unsynced_frames_opens() {
    let mut rng = StdRng::seed_from_u64(7);
    for round in 0..60 {
        let mut rig = Rig::new(StoreOptions {
            fold_chunk_keys: 2,
            ..StoreOptions::default()
        });
        let commit = |rig: &mut Rig, rng: &mut StdRng| {
            let keys: Vec<String> = (0..rng.random_range(1..5))
                .map(|_| format!("k{}", rng.random_range(0..20)))
                .collect();
            let value = value(rng.random_range(0..6000));
            let writes: Vec<(&str, &str)> = keys.iter().map(|key| (&key[..], &value[..])).collect();
            rig.commit(&writes);
        };
        for _ in 0..rng.random_range(1..8) {
            commit(&mut rig, &mut rng);
            if rng.random_bool(0.2) {
                rig.fold_all();
            }
        }
        let synced = rig.store.durable_ts();
        let old = Left::of(&rig);
        for _ in 0..rng.random_range(0..5) {
            rig.appender.fold().unwrap();
        }
        commit(&mut rig, &mut rng);
        let new = Left::of(&rig);
        for _ in 0..12 {
            let mut left = new.clone();
            let mut place = old.log.len();
            while place < left.log.len() {
                let frame = &mut left.log[place..place + FRAME_BYTES];
                match rng.random_range(0..6) {
                    0 => frame.fill(0),
                    1 => rng.fill_bytes(frame),
                    2 => frame[rng.random_range(0..FRAME_BYTES)..].fill(0),
                    _ => {}
                }
                place += FRAME_BYTES;
            }
            if rng.random_bool(0.3) {
                let end = rng.random_range(old.log.len()..=left.log.len());
                left.log.truncate(end);
            }
            let opened = ts(&left).unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert!(opened >= synced, "round {round}");
        }
    }
}

#[test]
fn frames_of_undone_transactions_are_no_damage() {
    let mut rig = Rig::new(StoreOptions {
        writer_cache_bytes: 16 << 10,
        ..StoreOptions::default()
    });
    rig.commit(&[("a", "1")]);
    let before = Left::of(&rig).log.len();
    // A connection that stays, so that the log does too.
    let _held = rig.store.snapshot().unwrap();
    // Spills pages into the log, meets the full disk and is undone.
    rig.appender.set_pages_max(Some(60));
    let large = commit(2, &[("b", &value(1 << 20))]);
    let mut row = LogRow::default();
    row.push(&large);
    let failed = rig.appender.append(row);
    assert!(matches!(
        failed,
        Err(AppendError::NotCommitted(StorageError::DiskFull))
    ));
    rig.appender.set_pages_max(None);
    rig.commit(&[("c", "1")]);
    let left = Left::of(&rig);
    let frames_behind = (left.log.len() - before) / FRAME_BYTES;
    assert!(frames_behind > 10, "{frames_behind} frames");
    assert_eq!(ts(&left).unwrap(), rig.store.durable_ts());
    // The power fails during the sync of the append over them.
    for frame in 0..3 {
        let torn = left.flipped(before + frame * FRAME_BYTES + 200, 0);
        ts(&torn).unwrap();
    }
}

/// A log that starts anew is written over the one before, whose frames are all in the database file.
#[test]
fn frames_of_an_earlier_turn_of_the_log_are_no_damage() {
    let mut rig = Rig::new(StoreOptions {
        checkpoint_wal_bytes: 64 << 10,
        ..StoreOptions::default()
    });
    for _ in 0..40 {
        rig.commit(&[("a", &value(6000))]);
    }
    rig.appender.checkpoint_if_due().unwrap();
    let wal = rig.appender.wal_pages();
    assert_eq!(wal.log, wal.moved);
    let torn_header = Left::of(&rig).flipped(17, 2);
    assert_eq!(ts(&torn_header).unwrap(), rig.store.durable_ts());
    rig.commit(&[("a", "1")]);
    let left = Left::of(&rig);
    assert_eq!(ts(&left).unwrap(), rig.store.durable_ts());
    let torn = left.flipped(HEADER_BYTES + 2000, 2);
    assert_eq!(ts(&torn).unwrap(), Timestamp(40));
}
