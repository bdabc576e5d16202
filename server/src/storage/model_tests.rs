//! Random histories against a plain map: commits, appends, refusals, folds, forgetting, checkpoints and reopening in
//! any order. Every view equals the map as it was at that view's timestamp.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use vestibule_schema::timestamp::Timestamp;

use super::*;

type Model = BTreeMap<Bytes, Bytes>;

/// Small, so that every limit is met within a few dozen steps.
fn options() -> StoreOptions {
    StoreOptions {
        overlay_bytes_max: 4 << 10,
        slot_bytes_max: 6 << 10,
        fold_chunk_keys: 3,
        checkpoint_wal_bytes: 80 << 10,
        truncate_wal_bytes: 160 << 10,
        truncate_wait: Duration::from_millis(1),
        idle_readers_max: 2,
        ..StoreOptions::default()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(u8, Option<u16>)>),
    CloseBatch,
    Append,
    AppendToFullDisk,
    Fold(u8),
    Checkpoint,
    Refresh,
    TakeSnapshot,
    PinHead,
    DropSnapshot(u8),
    Ask(u8),
    Scan {
        from: u8,
        to: Option<u8>,
        reverse: bool,
        count: u8,
    },
    StartCursor {
        from: u8,
        to: Option<u8>,
        reverse: bool,
    },
    PullCursor(u8),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let writes = vec((any::<u8>(), prop::option::weighted(0.7, 0..3000u16)), 0..6);
    prop_oneof![
        12 => writes.prop_map(Step::Commit),
        4 => Just(Step::CloseBatch),
        4 => Just(Step::Append),
        1 => Just(Step::AppendToFullDisk),
        5 => (0..8u8).prop_map(Step::Fold),
        2 => Just(Step::Checkpoint),
        3 => Just(Step::Refresh),
        2 => Just(Step::TakeSnapshot),
        2 => Just(Step::PinHead),
        6 => any::<u8>().prop_map(Step::Ask),
        1 => any::<u8>().prop_map(Step::DropSnapshot),
        5 => (any::<u8>(), any::<Option<u8>>(), any::<bool>(), any::<u8>())
            .prop_map(|(from, to, reverse, count)| Step::Scan { from, to, reverse, count }),
        2 => (any::<u8>(), any::<Option<u8>>(), any::<bool>())
            .prop_map(|(from, to, reverse)| Step::StartCursor { from, to, reverse }),
        4 => (1..12u8).prop_map(Step::PullCursor),
        1 => Just(Step::Reopen),
    ]
}

/// Few enough keys to be overwritten often; of two lengths, so that some are prefixes of others; one is empty. The
/// larger half belongs to groups of up to six.
fn key(number: u8) -> Bytes {
    match number % 96 {
        0 => Bytes::new(),
        n @ 1..48 if n % 3 == 0 => Bytes::from(vec![n / 3, u8::MAX]),
        n @ 1..48 => Bytes::from(vec![n / 3]),
        n => {
            let mut key = group_prefix(n).to_vec();
            key.extend([n; GROUP_TAIL_BYTES]);
            Bytes::from(key)
        }
    }
}

/// The group of a key that is in one.
fn group_prefix(n: u8) -> [u8; 2] {
    [GROUPED, n / 6]
}

/// The first byte of every key in a group.
const GROUPED: u8 = 0x80;

fn value(number: u16) -> Bytes {
    let len = usize::from(number);
    Bytes::from(number.to_le_bytes().repeat(len / 2))
}

fn range(from: u8, to: Option<u8>) -> KeyRange {
    KeyRange::new(key(from), to.map(key))
}

fn direction(reverse: bool) -> Direction {
    if reverse {
        Direction::Reverse
    } else {
        Direction::Forward
    }
}

/// A batch as the lane closed it: the commits to append, the state to publish, and the model after it.
struct Batch {
    row: LogRow,
    published: Published,
    model: Model,
}

struct Open {
    // Views go before the store.
    snapshots: Vec<(Snapshot, Model)>,
    head: Head,
    appender: Appender,
    store: Store,
}

struct Rig {
    dir: tempfile::TempDir,
    open: Option<Open>,
    head: Model,
    durable: Model,
    batch: LogRow,
    closed: Vec<Batch>,
    cursor: Option<(Cursor, KeyRange, Direction)>,
    last: u64,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = Self {
            dir,
            open: None,
            head: Model::new(),
            durable: Model::new(),
            batch: LogRow::default(),
            closed: Vec::new(),
            cursor: None,
            last: 0,
        };
        rig.open = Some(rig.reopen());
        rig
    }

    fn reopen(&self) -> Open {
        let (store, appender) = Store::open(self.dir.path(), options()).unwrap();
        Open {
            snapshots: Vec::new(),
            head: store.head(),
            appender,
            store,
        }
    }

    fn now(&mut self) -> &mut Open {
        self.open.as_mut().unwrap()
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Commit(writes) => self.commit(writes),
            Step::CloseBatch => self.close_batch(),
            Step::Append => self.append(),
            Step::AppendToFullDisk => {
                self.now().appender.set_pages_max(Some(1));
                self.append();
                self.now().appender.set_pages_max(None);
            }
            Step::Fold(steps) => {
                for _ in 0..steps {
                    self.now().appender.fold().unwrap();
                }
            }
            Step::Checkpoint => self.now().appender.checkpoint_if_due().unwrap(),
            Step::Refresh => self.now().head.refresh(),
            Step::TakeSnapshot => {
                let model = self.durable.clone();
                let open = self.now();
                let snapshot = open.store.snapshot().unwrap();
                assert_eq!(snapshot.ts(), open.store.durable_ts());
                open.snapshots.push((snapshot, model));
            }
            Step::PinHead => self.pin_head(),
            Step::Ask(number) => {
                let key = key(number);
                let found = self.now().head.get(&key).unwrap();
                assert_eq!(found.as_ref(), self.head.get(&key));
            }
            Step::DropSnapshot(which) => {
                let snapshots = &mut self.now().snapshots;
                if !snapshots.is_empty() {
                    let which = usize::from(which) % snapshots.len();
                    snapshots.swap_remove(which);
                }
            }
            Step::Scan {
                from,
                to,
                reverse,
                count,
            } => self.scan(&range(from, to), direction(reverse), count.into()),
            Step::StartCursor { from, to, reverse } => {
                let (range, direction) = (range(from, to), direction(reverse));
                self.cursor = Some((Cursor::new(range.clone(), direction), range, direction));
            }
            Step::PullCursor(count) => (0..count).for_each(|_| self.pull_cursor()),
            Step::Reopen => self.crash(),
        }
    }

    fn commit(&mut self, writes: Vec<(u8, Option<u16>)>) {
        self.last += 1;
        let writes: Vec<_> = writes
            .into_iter()
            .map(|(k, v)| Write {
                key: key(k),
                value: v.map(value),
            })
            .collect();
        for Write { key, value } in writes.clone() {
            match value {
                Some(value) => self.head.insert(key, value),
                None => self.head.remove(&key),
            };
        }
        let commit = Commit {
            ts: Timestamp(self.last),
            writes,
        };
        let open = self.open.as_mut().unwrap();
        open.head.apply(&commit, &mut self.batch);
    }

    fn close_batch(&mut self) {
        if !self.batch.is_empty() {
            let row = std::mem::take(&mut self.batch);
            let published = self.now().head.freeze();
            self.closed.push(Batch {
                row,
                published,
                model: self.head.clone(),
            });
        }
    }

    fn append(&mut self) {
        if self.closed.is_empty() {
            return;
        }
        let batch = self.closed.remove(0);
        let open = self.now();
        match open.appender.append(batch.row) {
            Ok(()) => {
                open.appender.publish(batch.published);
                self.durable = batch.model;
            }
            Err(AppendError::NotCommitted(StorageError::DiskFull)) => {
                let durable: Arc<Published> = open.store.durable();
                open.head.roll_back_to(&durable);
                self.forget_undurable();
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// A draft's view: the head, durable or not.
    fn pin_head(&mut self) {
        let model = self.head.clone();
        let open = self.now();
        let base = open.store.begin_snapshot().unwrap();
        if let Some(snapshot) = base.over(open.head.pin()) {
            open.snapshots.push((snapshot, model));
        }
    }

    fn forget_undurable(&mut self) {
        self.head = self.durable.clone();
        // A draft on what was rolled back runs again, whatever it saw.
        let open = self.now();
        let durable = open.store.durable_ts();
        open.snapshots.retain(|(view, _)| view.ts() <= durable);
        self.batch = LogRow::default();
        self.closed.clear();
    }

    fn crash(&mut self) {
        let open = self.open.take().unwrap();
        let (ts, id, epoch) = (
            open.store.durable_ts(),
            open.store.deployment_id(),
            open.store.epoch(),
        );
        drop(open);
        let open = self.reopen();
        assert_eq!(open.store.durable_ts(), ts);
        assert_eq!(open.store.deployment_id(), id);
        assert_eq!(open.store.epoch(), epoch + 1);
        self.open = Some(open);
        self.forget_undurable();
    }

    fn scan(&mut self, range: &KeyRange, direction: Direction, count: usize) {
        let open = self.open.as_ref().unwrap();
        let expected =
            |model: &Model| -> Vec<_> { in_range(model, range, direction).take(count).collect() };
        let found = |view: &dyn ReadView| -> Vec<_> {
            let entries = Scan::new(view, range.clone(), direction).take(count);
            entries
                .map(|entry| entry.map(|entry| (entry.key, entry.value)).unwrap())
                .collect()
        };
        assert_eq!(found(&open.head), expected(&self.head));
        for (snapshot, model) in &open.snapshots {
            assert_eq!(found(snapshot), expected(model));
        }
    }

    fn pull_cursor(&mut self) {
        let Some((cursor, range, direction)) = &mut self.cursor else {
            return;
        };
        let rest = match cursor.returned() {
            Some(key) => range.beyond(key, *direction),
            None => range.clone(),
        };
        let expected = in_range(&self.head, &rest, *direction).next();
        let found = self.open.as_ref().unwrap().head.next(cursor).unwrap();
        assert_eq!(found.map(|entry| (entry.key, entry.value)), expected);
    }

    fn check_views(&mut self) {
        self.now().appender.assert_every_slot_is_listed();
        let open = self.open.as_ref().unwrap();
        for number in 0..96 {
            let key = key(number);
            assert_eq!(open.head.get(&key).unwrap().as_ref(), self.head.get(&key));
            for (snapshot, model) in &open.snapshots {
                assert_eq!(snapshot.get(&key).unwrap().as_ref(), model.get(&key));
            }
        }
        for number in 48..96 {
            let prefix = group_prefix(number);
            let range = KeyRange::prefix(prefix.to_vec());
            if let Some(group) = open.head.group(&prefix).unwrap() {
                let group = group
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.clone()));
                let expected = in_range(&self.head, &range, Direction::Forward);
                assert_eq!(group.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            }
        }
        self.scan(&KeyRange::all(), Direction::Forward, usize::MAX);
        self.scan(&KeyRange::all(), Direction::Reverse, usize::MAX);
    }

    /// With everything durable and folded, forgetting brings the overlay under its bound.
    fn check_bounds(&mut self) {
        self.close_batch();
        while !self.closed.is_empty() {
            self.append();
        }
        while self.now().appender.fold().unwrap() != FoldProgress::Idle {}
        // Twice: forgetting goes on from where it was, up to the last entry, and then from the first.
        self.now().head.refresh();
        self.now().head.refresh();
        self.now().snapshots.clear();
        while self.now().store.slot_bytes() > options().slot_bytes_max {
            let before = self.now().store.slot_bytes();
            // Twice: what was asked for since the last time is spared once.
            self.now().head.refresh();
            self.now().head.refresh();
            assert!(self.now().store.slot_bytes() < before);
        }
        assert_eq!(self.now().head.unfolded_bytes(), 0);
        assert!(self.now().head.overlay().bytes() <= options().overlay_bytes_max);
    }
}

fn in_range<'m>(
    model: &'m Model,
    range: &'m KeyRange,
    direction: Direction,
) -> Box<dyn Iterator<Item = (Bytes, Bytes)> + 'm> {
    let entries = model
        .iter()
        .filter(|(key, _)| range.contains(key))
        .map(|(key, value)| (key.clone(), value.clone()));
    match direction {
        Direction::Forward => Box::new(entries),
        Direction::Reverse => Box::new(entries.rev()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_view_equals_a_plain_map_at_its_timestamp(steps in vec(step(), 1..160)) {
        let mut rig = Rig::new();
        for (number, step) in steps.into_iter().enumerate() {
            rig.run(step);
            if number % 16 == 0 {
                rig.check_views();
            }
        }
        rig.check_views();
        rig.check_bounds();
        rig.check_views();
        rig.crash();
        rig.check_views();
    }
}
