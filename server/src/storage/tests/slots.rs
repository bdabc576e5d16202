//! The promises of slots: nothing unfolded is lost, readers find their versions, and memory is bounded.

use super::*;

impl Rig {
    /// As [`Rig::commit`], for keys that the head was asked for before: their values are replaced in slots.
    fn replace(&mut self, writes: &[(&str, &str)]) {
        for (key, _) in writes {
            self.head.get(key.as_bytes()).unwrap();
        }
        let before = self.head.overlay().len();
        self.commit(writes);
        assert_eq!(self.head.overlay().len(), before, "it went to the overlay");
    }

    fn snapshot(&self) -> Snapshot {
        self.store.snapshot().unwrap()
    }
}

fn value(view: &dyn ReadView, key: &str) -> Option<String> {
    let value = view.get(key.as_bytes()).unwrap();
    let scanned: Vec<_> = Scan::new(view, KeyRange::point(key.to_string()), Direction::Reverse)
        .map(|entry| entry.unwrap().value)
        .collect();
    assert_eq!(
        scanned,
        Vec::from_iter(value.clone()),
        "scan and get differ"
    );
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

fn deletion(ts: u64, key: &str) -> Commit {
    Commit {
        ts: Timestamp(ts),
        writes: vec![Write {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: None,
        }],
    }
}

#[test]
fn what_was_replaced_in_a_slot_is_in_the_file_once_it_is_folded_and_in_the_log_before() {
    for folds in [false, true] {
        let mut rig = Rig::new(StoreOptions::default());
        rig.commit(&[("a", "old"), ("b", "old")]);
        rig.fold_all();
        rig.replace(&[("a", "1")]);
        rig.replace(&[("a", "2"), ("b", "2")]);
        if folds {
            rig.fold_all();
        }
        let dir = rig.close();
        let (store, _appender) = open(dir.path()).unwrap();
        assert_eq!(store.durable().overlay.is_empty(), folds);
        for view in [&store.snapshot().unwrap() as &dyn ReadView, &store.head()] {
            assert_eq!(value(view, "a").unwrap(), "2");
            assert_eq!(value(view, "b").unwrap(), "2");
        }
    }
}

#[test]
fn a_document_made_and_replaced_in_one_process_is_folded_with_its_newest_value() {
    let mut rig = Rig::new(StoreOptions::default());
    rig.commit(&[("a", "made")]);
    rig.replace(&[("a", "changed")]);
    rig.fold_all();
    rig.replace(&[("a", "changed again")]);
    rig.fold_all();
    let dir = rig.close();
    let (store, _appender) = open(dir.path()).unwrap();
    assert_eq!(
        value(&store.snapshot().unwrap(), "a").unwrap(),
        "changed again"
    );
}

#[test]
fn a_round_under_way_does_not_lose_what_is_replaced_meanwhile() {
    let mut rig = Rig::new(StoreOptions {
        fold_chunk_keys: 1,
        ..StoreOptions::default()
    });
    rig.commit(&[("a", "0"), ("b", "0"), ("c", "0")]);
    rig.fold_all();
    rig.replace(&[("a", "1"), ("b", "1"), ("c", "1")]);
    assert_eq!(rig.appender.fold().unwrap(), FoldProgress::Folding);
    rig.head.refresh();
    rig.replace(&[("a", "2"), ("c", "2")]);
    rig.head.refresh();
    rig.replace(&[("c", "3")]);
    rig.appender.assert_every_slot_is_listed();
    rig.fold_all();
    let dir = rig.close();
    let (store, _appender) = open(dir.path()).unwrap();
    let snapshot = store.snapshot().unwrap();
    let values = ["a", "b", "c"].map(|key| value(&snapshot, key).unwrap());
    assert_eq!(values, ["2", "1", "3"]);
}

#[test]
fn a_long_snapshot_keeps_its_version_and_those_between_it_and_the_newest_go() {
    let mut rig = Rig::new(StoreOptions::default());
    rig.commit(&[("a", "0")]);
    rig.replace(&[("a", "1")]);
    let old = rig.snapshot();
    for number in 2..1000 {
        rig.replace(&[("a", &number.to_string())]);
        rig.head.refresh();
    }
    let newest = rig.snapshot();
    assert!(
        rig.store.slot_bytes() < 2 << 10,
        "{}",
        rig.store.slot_bytes()
    );
    rig.fold_all();
    rig.head.refresh();
    assert_eq!(value(&old, "a").unwrap(), "1");
    assert_eq!(value(&newest, "a").unwrap(), "999");
    drop(old);
    rig.replace(&[("a", "last")]);
    assert_eq!(value(&newest, "a").unwrap(), "999");
}

#[test]
fn a_batch_that_is_taken_back_takes_its_versions_with_it() {
    let mut rig = Rig::new(StoreOptions::default());
    rig.commit(&[("a", "durable"), ("b", "durable")]);
    rig.head.get(b"a").unwrap();
    rig.head.get(b"b").unwrap();
    for (ts, value) in [(2, "lost"), (3, "lost too")] {
        apply(
            &mut rig.head,
            &[commit(ts, &[("a", value), ("new", value)])],
        );
        rig.head.get(b"new").unwrap();
        rig.head.freeze();
    }
    apply(&mut rig.head, &[deletion(4, "b")]);
    assert_eq!(value(&rig.head, "b"), None);
    rig.head.roll_back_to(&rig.store.durable());
    for view in [&rig.head as &dyn ReadView, &rig.snapshot()] {
        assert_eq!(value(view, "a").unwrap(), "durable");
        assert_eq!(value(view, "b").unwrap(), "durable");
        assert_eq!(value(view, "new"), None);
    }
}

#[test]
fn a_slot_is_not_evicted_while_a_base_lacks_its_value() {
    let mut rig = Rig::new(StoreOptions {
        slot_bytes_max: 0,
        ..StoreOptions::default()
    });
    rig.commit(&[("a", "0")]);
    rig.fold_all();
    // Room for one slot: bytes are counted before it is made.
    rig.replace(&[("a", "1")]);
    let old = rig.snapshot();
    let refresh = |rig: &mut Rig| (0..3).for_each(|_| rig.head.refresh());
    refresh(&mut rig);
    assert!(rig.store.slot_bytes() > 0, "it is not folded");
    rig.fold_all();
    refresh(&mut rig);
    assert!(
        rig.store.slot_bytes() > 0,
        "a base that is read has not got it"
    );
    assert_eq!(value(&old, "a").unwrap(), "1");
    drop(old);
    refresh(&mut rig);
    assert_eq!(rig.store.slot_bytes(), 0);
    assert_eq!(value(&rig.snapshot(), "a").unwrap(), "1");
    assert_eq!(value(&rig.head, "a").unwrap(), "1");
}

/// The overlay may still hold what the key had before it was replaced.
#[test]
fn a_value_replaced_in_a_slot_that_is_gone_is_read_from_the_base_and_not_from_the_overlay() {
    let mut rig = Rig::new(StoreOptions {
        slot_bytes_max: 0,
        ..StoreOptions::default()
    });
    rig.commit(&[("a", "in the overlay")]);
    rig.replace(&[("a", "in a slot")]);
    rig.fold_all();
    (0..3).for_each(|_| rig.head.refresh());
    assert_eq!(rig.store.slot_bytes(), 0);
    assert_eq!(rig.head.overlay().len(), 1);
    assert_eq!(value(&rig.snapshot(), "a").unwrap(), "in a slot");
    assert_eq!(value(&rig.head, "a").unwrap(), "in a slot");
}

#[test]
fn keys_that_come_and_go_are_found_by_scans_whatever_their_slots_hold() {
    let mut rig = Rig::new(StoreOptions::default());
    assert_eq!(value(&rig.head, "a"), None);
    rig.commit(&[("a", "1")]);
    let first = rig.snapshot();
    rig.append(&[deletion(2, "a")]).unwrap();
    let second = rig.snapshot();
    rig.commit(&[("a", "3")]);
    rig.fold_all();
    let third = rig.snapshot();
    assert_eq!(value(&first, "a").unwrap(), "1");
    assert_eq!(value(&second, "a"), None);
    assert_eq!(value(&third, "a").unwrap(), "3");
}

#[test]
fn many_documents_in_a_small_budget_keep_working() {
    const DOCUMENTS: usize = 20_000;
    const BYTES_MAX: usize = 256 << 10;
    let mut rig = Rig::new(StoreOptions {
        overlay_bytes_max: BYTES_MAX,
        slot_bytes_max: BYTES_MAX,
        ..StoreOptions::default()
    });
    let keys: Vec<_> = (0..DOCUMENTS)
        .map(|number| format!("{number:05}"))
        .collect();
    for chunk in keys.chunks(500) {
        let writes: Vec<_> = chunk.iter().map(|key| (key.as_str(), "made")).collect();
        rig.commit(&writes);
    }
    rig.fold_all();
    for chunk in keys.chunks(500) {
        let writes: Vec<_> = chunk.iter().map(|key| (key.as_str(), "changed")).collect();
        for (key, _) in &writes {
            assert_eq!(rig.head.get(key.as_bytes()).unwrap().unwrap(), "made");
        }
        rig.commit(&writes);
        rig.fold_all();
        rig.head.refresh();
        assert!(rig.store.slot_bytes() <= 2 * BYTES_MAX);
    }
    let snapshot = rig.snapshot();
    let changed = Scan::new(&snapshot, KeyRange::all(), Direction::Forward);
    let changed = changed.filter(|entry| entry.as_ref().unwrap().value == "changed");
    assert_eq!(changed.count(), DOCUMENTS);
}
