//! Backups of a store that goes on: what they hold is one state, whatever is folded, deleted or replaced meanwhile.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use super::*;

const ACCOUNTS: u64 = 2_000;
const BALANCE: i64 = 100;
/// So long that the entries are read in several parts.
const PADDING: usize = 2_000;

impl Rig {
    fn balance(&self, number: u64) -> i64 {
        let value = self.head.get(account(number).as_bytes()).unwrap().unwrap();
        balance_in(&value)
    }

    fn open_accounts(&mut self) {
        let opened: Vec<(String, String)> =
            (0..ACCOUNTS).map(|n| (account(n), row(BALANCE))).collect();
        let writes: Vec<_> = opened
            .iter()
            .map(|(key, value)| (&key[..], &value[..]))
            .collect();
        self.commit(&writes);
    }

    fn transfer(&mut self, rng: &mut StdRng) {
        let from = rng.random_range(0..ACCOUNTS);
        let to = (from + rng.random_range(1..ACCOUNTS)) % ACCOUNTS;
        let (less, more) = (row(self.balance(from) - 1), row(self.balance(to) + 1));
        self.commit(&[(&account(from), &less), (&account(to), &more)]);
        // Keys that come and go must not come back.
        let ts = self.head.last_ts().0 + 1;
        let marker = Write {
            key: Bytes::from(format!("marker {}", rng.random_range(0..20))),
            value: rng.random_bool(0.5).then(|| Bytes::from(ts.to_string())),
        };
        let commit = Commit {
            ts: Timestamp(ts),
            writes: vec![marker],
        };
        self.append(&[commit]).unwrap();
        if rng.random_bool(0.3) {
            self.appender.fold().unwrap();
            self.head.refresh();
        }
    }

    fn state(&self) -> Vec<Entry> {
        let snapshot = self.store.snapshot().unwrap();
        let all = snapshot.scan(KeyRange::all(), Direction::Forward);
        all.map(Result::unwrap).collect()
    }
}

fn account(number: u64) -> String {
    format!("account {number:05}")
}

/// Keeps nothing behind the moment of a state.
fn whole(_: &Write, _: Timestamp) -> Option<Write> {
    None
}

fn row(balance: i64) -> String {
    format!("{balance:>PADDING$}")
}

fn balance_in(value: &[u8]) -> i64 {
    std::str::from_utf8(value).unwrap().trim().parse().unwrap()
}

/// Reads all parts of a base, with `meanwhile` between them, and makes a store of them.
fn copy(rig: &mut Rig, mut meanwhile: impl FnMut(&mut Rig)) -> (TempDir, Vec<Entry>, usize) {
    let mut reader = rig.store.begin_backup().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut rebuild = Rebuild::create(dir.path(), reader.reached()).unwrap();
    let mut parts = 0;
    loop {
        let more = reader.entries(|key, sealed| rebuild.entry(key, sealed).unwrap());
        parts += 1;
        if !more.unwrap() {
            break;
        }
        meanwhile(rig);
    }
    let (until, state) = (reader.newest(), rig.state());
    meanwhile(rig);
    while reader.reached() < until {
        let read = reader.rows(until, |last, body| {
            rebuild.row(last, body, until, whole).unwrap()
        });
        read.unwrap();
        meanwhile(rig);
    }
    assert_eq!(rebuild.finish(Uuid::nil(), 7).unwrap(), until);
    (dir, state, parts)
}

#[test]
fn a_backup_beside_transfers_and_folds_is_the_state_of_one_commit() {
    for seed in 0..8 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut rig = Rig::new(StoreOptions {
            overlay_bytes_max: 1 << 16,
            slot_bytes_max: 1 << 16,
            fold_chunk_keys: 50,
            ..StoreOptions::default()
        });
        rig.open_accounts();
        if rng.random_bool(0.5) {
            rig.fold_all();
        }
        let (dir, state, _) = copy(&mut rig, |rig| {
            (0..20).for_each(|_| rig.transfer(&mut rng));
        });
        let (store, _appender) = open(dir.path()).unwrap();
        let snapshot = store.snapshot().unwrap();
        let all = snapshot.scan(KeyRange::all(), Direction::Forward);
        let copied: Vec<Entry> = all.map(Result::unwrap).collect();
        assert!(copied == state, "seed {seed}: another state");
        let accounts = copied
            .iter()
            .filter(|entry| entry.key.starts_with(b"account"));
        let sum: i64 = accounts.map(|entry| balance_in(&entry.value)).sum();
        assert_eq!(sum, ACCOUNTS as i64 * BALANCE, "seed {seed}");
    }
}

#[test]
fn entries_are_read_in_parts_and_folds_go_on_between_them() {
    let mut rig = Rig::new(StoreOptions::default());
    rig.open_accounts();
    rig.fold_all();
    let mut rng = StdRng::seed_from_u64(1);
    let mut meanwhile = 0;
    let (_, _, parts) = copy(&mut rig, |rig| {
        rig.transfer(&mut rng);
        rig.fold_all();
        meanwhile += 1;
    });
    assert!(parts >= 3 && meanwhile >= 3, "{parts} parts");
}

#[test]
fn folded_rows_stay_while_a_backup_reads_them_and_go_afterwards() {
    let mut rig = Rig::new(StoreOptions::default());
    rig.commit(&[("a", "1")]);
    let rows = |rig: &Rig| -> i64 {
        let connection = Connection::open(database(&rig.dir)).unwrap();
        connection
            .query_row("SELECT count(*) FROM log", [], |row| row.get(0))
            .unwrap()
    };
    let mut reader = rig.store.begin_backup().unwrap();
    rig.commit(&[("a", "2")]);
    rig.fold_all();
    assert_eq!(rows(&rig), 2);
    let until = reader.newest();
    let mut read = Vec::new();
    while reader.reached() < until {
        reader.rows(until, |last, _| read.push(last.0)).unwrap();
    }
    assert_eq!(read, [1, 2]);
    drop(reader);
    rig.commit(&[("a", "3")]);
    rig.fold_all();
    assert_eq!(rows(&rig), 0);
}

#[test]
fn a_backup_goes_on_from_an_earlier_one_as_far_as_the_log_reaches_back() {
    let mut rig = Rig::new(StoreOptions {
        log_kept: Duration::from_nanos(3),
        ..StoreOptions::default()
    });
    for n in 1..=5 {
        rig.commit(&[("a", &n.to_string())]);
        rig.fold_all();
    }
    let begins = |rig: &Rig, since| rig.store.begin_log_backup(Timestamp(since)).unwrap();
    // Commits up to 2 are older than three nanoseconds.
    assert!(begins(&rig, 1).is_none());
    let mut reader = begins(&rig, 2).unwrap();
    let mut read = Vec::new();
    while reader.reached() < Timestamp(5) {
        let next = reader.rows(Timestamp(5), |last, _| read.push(last.0));
        next.unwrap();
    }
    assert_eq!(read, [3, 4, 5]);
    assert!(begins(&rig, 5).is_some(), "nothing was committed since");
    // A state that was never the end of a row is of another history, or of none.
    assert!(begins(&rig, 6).is_none());
    assert!(begins(&rig, u64::MAX).is_none());
}

#[test]
fn a_rebuilt_file_is_no_store_before_it_is_finished_and_takes_rows_in_their_order_alone() {
    let mut rig = Rig::new(StoreOptions {
        log_kept: Duration::MAX,
        ..StoreOptions::default()
    });
    rig.commit(&[("a", "1")]);
    rig.commit(&[("a", "2"), ("b", "2")]);
    rig.append(&[commit(3, &[("b", "3")]), commit(4, &[("b", "4")])])
        .unwrap();
    let mut rows = Vec::new();
    let mut reader = rig.store.begin_log_backup(Timestamp(0)).unwrap().unwrap();
    while reader.reached() < Timestamp(4) {
        let read = reader.rows(Timestamp(4), |last, body| rows.push((last, body.to_vec())));
        read.unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let mut rebuild = Rebuild::create(dir.path(), Timestamp(0)).unwrap();
    let all = Timestamp(u64::MAX);
    let skipped = rebuild.row(rows[1].0, &rows[1].1, all, whole);
    assert!(matches!(skipped, Err(StorageError::CorruptedLog { .. })));
    rebuild.row(rows[0].0, &rows[0].1, all, whole).unwrap();
    let damaged = rebuild.row(rows[1].0, &rows[1].1[1..], all, whole);
    assert!(matches!(damaged, Err(StorageError::CorruptedLog { .. })));
    rebuild.row(rows[1].0, &rows[1].1, all, whole).unwrap();
    // As of a time within a row, which keeps a part of what is behind it.
    let keep = |write: &Write, until: Timestamp| {
        assert_eq!((&write.key[..], until), (&b"b"[..], Timestamp(3)));
        Some(Write {
            key: "c".into(),
            ..write.clone()
        })
    };
    rebuild
        .row(rows[2].0, &rows[2].1, Timestamp(3), keep)
        .unwrap();
    assert!(matches!(
        open(dir.path()),
        Err(StorageError::Foreign { .. })
    ));
    assert_eq!(rebuild.finish(Uuid::nil(), 9).unwrap(), Timestamp(3));
    let (store, _appender) = open(dir.path()).unwrap();
    assert_eq!((store.durable_ts(), store.epoch()), (Timestamp(3), 10));
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.get(b"a").unwrap().unwrap(), "2");
    assert_eq!(snapshot.get(b"b").unwrap().unwrap(), "3");
    assert_eq!(snapshot.get(b"c").unwrap().unwrap(), "4");
}

#[test]
fn a_damaged_entry_ends_a_backup() {
    let mut rig = Rig::new(StoreOptions::default());
    rig.commit(&[("a", "1"), ("b", "2")]);
    rig.fold_all();
    sql(
        &rig.dir,
        "UPDATE entries SET value = x'0001020304' WHERE key = x'62'",
    );
    let mut reader = rig.store.begin_backup().unwrap();
    let read = reader.entries(|_, _| {});
    assert!(matches!(read, Err(StorageError::CorruptedEntry { key }) if key == "b"));
}

#[test]
fn an_inspection_finds_every_damage_and_is_refused_beside_a_server() {
    let mut rig = Rig::new(StoreOptions::default());
    rig.commit(&[("a", "1"), ("b", "2"), ("c", "3")]);
    rig.fold_all();
    rig.commit(&[("a", "4")]);
    rig.commit(&[("a", "5")]);
    let look = |dir: &Path| {
        let mut found = Vec::new();
        let inspected = inspect(dir, &mut |fault| found.push(fault.to_string()));
        inspected.map(|inspected| (inspected, found))
    };
    assert!(matches!(
        look(rig.dir.path()),
        Err(StorageError::InUse { .. })
    ));
    let dir = rig.close();
    let (inspected, found) = look(dir.path()).unwrap();
    assert_eq!((inspected.entries, inspected.rows), (3, 2));
    assert!(found.is_empty(), "{found:?}");
    let snapshot = inspected.snapshot.unwrap();
    assert_eq!(snapshot.get(b"a").unwrap().unwrap(), "5");
    drop(snapshot);
    sql(
        &dir,
        "UPDATE entries SET value = x'0001020304' WHERE key > x'61'",
    );
    let (_, found) = look(dir.path()).unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    sql(&dir, "DELETE FROM log WHERE last_ts = 2");
    let (inspected, found) = look(dir.path()).unwrap();
    assert!(inspected.snapshot.is_none());
    assert!(
        found
            .iter()
            .any(|fault| fault.contains("the row before it is missing")),
        "{found:?}"
    );
    assert!(matches!(
        look(&dir.path().join("none")),
        Err(StorageError::Missing { .. })
    ));
}
