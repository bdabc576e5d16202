//! Going back to a savepoint: what it takes back and what it leaves.

use vestibule_schema::object;

use super::*;

fn rig() -> Rig {
    Rig::new(schema([table("rooms", &[("by_name", &["name"])])]))
}

fn names(tx: &mut Transaction<'_>) -> Vec<Option<Value>> {
    let documents = tx.collect(&index("rooms", "by_name")).unwrap();
    column(&documents, "name")
}

fn named(names: &[&str]) -> Vec<Option<Value>> {
    names.iter().map(|name| Some(Value::from(*name))).collect()
}

#[test]
fn going_back_takes_back_writes_of_every_kind_and_keeps_earlier_ones() {
    let mut rig = rig();
    let [kept, patched, deleted] =
        ["kept", "patched", "deleted"].map(|name| rig.insert("rooms", object! { "name" => name }));
    let ((), changes) = rig.run(|tx| {
        tx.patch(kept, object! { "name" => "before" }).unwrap();
        let savepoint = tx.savepoint();
        tx.insert("rooms", object! { "name" => "new" }).unwrap();
        tx.patch(patched, object! { "name" => "other" }).unwrap();
        tx.patch(kept, object! { "name" => "after" }).unwrap();
        tx.delete(deleted).unwrap();
        assert_eq!(names(tx), named(&["after", "new", "other"]));
        tx.roll_back_to(savepoint);
        assert_eq!(names(tx), named(&["before", "deleted", "patched"]));
    });
    let (alone, expected) = rig.run(|tx| tx.patch(kept, object! { "name" => "before" }));
    alone.unwrap();
    assert_eq!(changes.writes, expected.writes);
    assert_eq!(
        changes.touched.iter().collect::<Vec<_>>(),
        expected.touched.iter().collect::<Vec<_>>()
    );
}

#[test]
fn savepoints_nest() {
    let mut rig = rig();
    rig.attempt(|tx| {
        let insert = |tx: &mut Transaction<'_>, name: &str| {
            tx.insert("rooms", object! { "name" => name }).unwrap();
        };
        insert(tx, "a");
        let outer = tx.savepoint();
        insert(tx, "b");
        let inner = tx.savepoint();
        insert(tx, "c");
        tx.roll_back_to(inner);
        assert_eq!(names(tx), named(&["a", "b"]));
        let inner = tx.savepoint();
        insert(tx, "d");
        drop(inner);
        assert_eq!(names(tx), named(&["a", "b", "d"]));
        tx.roll_back_to(outer);
        assert_eq!(names(tx), named(&["a"]));
    });
}

#[test]
fn writes_are_given_back_and_reads_and_creation_times_are_not() {
    let mut rig = rig();
    let old = rig.insert("rooms", object! { "name" => "old" });
    let creation_time = |tx: &mut Transaction<'_>, id| {
        let document = tx.get(id).unwrap().unwrap();
        document.fields["_creationTime"].as_f64().unwrap()
    };
    rig.attempt(|tx| {
        let savepoint = tx.savepoint();
        tx.get(old).unwrap();
        let first = tx.insert("rooms", object! { "name" => "x" }).unwrap();
        let first = creation_time(tx, first);
        let used = tx.usage();
        tx.roll_back_to(savepoint);
        let left = tx.usage();
        assert_eq!((left.documents_written, left.bytes_written), (0, 0));
        assert_eq!(left.documents_read, used.documents_read);
        assert_eq!(left.bytes_read, used.bytes_read);
        let second = tx.insert("rooms", object! { "name" => "y" }).unwrap();
        assert!(creation_time(tx, second) > first);
        assert_eq!(tx.ranges_read(), 3);
    });
}

#[test]
fn the_snapshot_shows_nothing_of_the_transaction_and_adds_no_reads() {
    let mut rig = rig();
    let old = rig.insert("rooms", object! { "name" => "old" });
    rig.attempt(|tx| {
        tx.patch(old, object! { "name" => "new" }).unwrap();
        tx.take_reads();
        let before = tx.usage();
        let mut snapshot = tx.at_snapshot();
        assert_eq!(names(&mut snapshot), named(&["old"]));
        assert!(snapshot.delete(old).is_err());
        tx.count_usage_of(&mut snapshot);
        assert_eq!(tx.usage().documents_read, before.documents_read + 1);
        assert_eq!(tx.ranges_read(), 0);
        assert_eq!(tx.take_stale_reads().len(), 1);
        assert!(!tx.refused_a_write());
        assert_eq!(names(tx), named(&["new"]));
    });
}
