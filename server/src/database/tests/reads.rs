//! The read set of an execution: large enough that no commit which changes its answer is missed, and no larger.

use vestibule_schema::object;

use super::*;

fn rooms() -> Schema {
    schema([table("rooms", &[("by_a", &["a"]), ("by_name!", &["name"])])])
}

fn with(values: &[i32]) -> Rig {
    let mut rig = Rig::new(rooms());
    for a in values {
        rig.insert("rooms", object! {"a" => *a});
    }
    rig
}

/// Whether what `body` changes makes `reads` stale.
fn makes_stale(rig: &mut Rig, reads: &ReadSet, body: impl FnOnce(&mut Transaction<'_>)) -> bool {
    let ((), changes) = rig.run(body);
    assert!(!changes.writes.is_empty(), "the change must be one");
    changes.touched.iter().any(|key| reads.contains(key))
}

fn insert(a: f64) -> impl FnOnce(&mut Transaction<'_>) {
    move |tx| {
        tx.insert("rooms", object! {"a" => a}).unwrap();
    }
}

fn patch(id: DocumentId, field: &str, value: i32) -> impl FnOnce(&mut Transaction<'_>) {
    let patch = Patch::default().set(field, value);
    move |tx| tx.patch(id, patch).unwrap()
}

#[test]
fn a_get_depends_on_its_document_there_or_not() {
    let mut rig = with(&[1]);
    let (all, _) = rig.query(|tx| tx.collect(&Query::table("rooms")).unwrap());
    let id = all[0].id;
    let (_, reads) = rig.query(|tx| tx.get(id).unwrap());
    assert!(makes_stale(&mut rig, &reads, patch(id, "b", 1)));
    assert!(makes_stale(&mut rig, &reads, |tx| tx.delete(id).unwrap()));
    assert!(!makes_stale(&mut rig, &reads, insert(1.0)));

    // The same id comes again when the same randomness does.
    let rng = rig.rng.clone();
    let (coming, _) = rig.run(|tx| tx.insert("rooms", object! {}).unwrap());
    let (missing, reads) = rig.query(|tx| tx.get(coming).unwrap());
    assert_eq!(missing, None);
    rig.rng = rng;
    assert!(makes_stale(&mut rig, &reads, insert(1.0)));
}

#[test]
fn first_depends_on_nothing_behind_the_first_hit() {
    let mut rig = with(&[5, 7]);
    let (found, reads) = rig.query(|tx| tx.take(&index("rooms", "by_a"), 1).unwrap());
    assert!(makes_stale(&mut rig, &reads, insert(4.0)));
    assert!(makes_stale(&mut rig, &reads, patch(found[0].id, "b", 1)));
    assert!(!makes_stale(&mut rig, &reads, insert(6.0)));
    assert!(
        !makes_stale(&mut rig, &reads, insert(5.0)),
        "a later document of the same value"
    );

    let descending = Query {
        order: Order::Desc,
        ..index("rooms", "by_a")
    };
    let (found, reads) = rig.query(|tx| tx.take(&descending, 1).unwrap());
    assert!(makes_stale(&mut rig, &reads, insert(8.0)));
    assert!(
        makes_stale(&mut rig, &reads, insert(7.0)),
        "it would come first"
    );
    assert!(makes_stale(&mut rig, &reads, patch(found[0].id, "b", 1)));
    assert!(!makes_stale(&mut rig, &reads, insert(6.0)));
}

#[test]
fn an_exhausted_scan_depends_on_its_whole_range_and_nothing_beyond() {
    let mut rig = with(&[1, 5]);
    let bounds = [bound(BoundKind::Gt, "a", 0), bound(BoundKind::Lte, "a", 9)];
    let query = range("rooms", "by_a", bounds);
    for take in [2, 9] {
        let (found, reads) = rig.query(|tx| tx.take(&query, take).unwrap());
        assert_eq!(found.len(), 2);
        assert!(makes_stale(&mut rig, &reads, insert(3.0)));
        assert!(!makes_stale(&mut rig, &reads, insert(0.0)));
        assert!(!makes_stale(&mut rig, &reads, insert(9.5)));
        // Having enough is not having met the end.
        assert_eq!(makes_stale(&mut rig, &reads, insert(9.0)), take == 9);
    }
}

#[test]
fn an_empty_range_is_read_too() {
    let mut rig = with(&[]);
    let query = range("rooms", "by_a", [bound(BoundKind::Eq, "a", 3)]);
    let (found, reads) = rig.query(|tx| tx.unique(&query).unwrap());
    assert_eq!(found, None);
    assert!(makes_stale(&mut rig, &reads, insert(3.0)));
    assert!(!makes_stale(&mut rig, &reads, insert(4.0)));
}

#[test]
fn a_filtered_scan_depends_on_what_it_passed_over() {
    let mut rig = with(&[1, 2, 3]);
    let field = Expression::field("a".parse().unwrap());
    let filter = Expression::compare(Comparison::Equal, field, Expression::literal(2.0));
    let operators = vec![Operator::Filter(filter)];
    let query = Query {
        operators,
        ..index("rooms", "by_a")
    };
    let (found, reads) = rig.query(|tx| tx.take(&query, 1).unwrap());
    assert_eq!(found.len(), 1);
    assert!(makes_stale(&mut rig, &reads, insert(0.0)));
    assert!(makes_stale(&mut rig, &reads, insert(1.5)));
    assert!(!makes_stale(&mut rig, &reads, insert(2.5)));
}

#[test]
fn unique_depends_on_up_to_two_documents() {
    let mut rig = with(&[1, 2, 3]);
    let (_, reads) = rig.query(|tx| tx.unique(&index("rooms", "by_a")).unwrap_err());
    assert!(makes_stale(&mut rig, &reads, insert(1.5)));
    assert!(!makes_stale(&mut rig, &reads, insert(2.5)));
}

#[test]
fn taking_nothing_reads_nothing() {
    let rig = with(&[1]);
    let (_, reads) = rig.query(|tx| {
        tx.take(&Query::table("rooms"), 0).unwrap();
        tx.take(&index("rooms", "by_a"), 0).unwrap();
    });
    assert_eq!(reads.into_ranges(), []);
}

#[test]
fn a_scan_is_stale_when_a_document_changes_outside_the_index() {
    let mut rig = with(&[1, 2]);
    let (found, reads) = rig.query(|tx| tx.take(&index("rooms", "by_a"), 1).unwrap());
    assert!(makes_stale(
        &mut rig,
        &reads,
        patch(found[0].id, "unrelated", 1)
    ));
}

#[test]
fn a_document_that_moves_out_of_a_range_or_into_it_makes_it_stale() {
    let mut rig = with(&[1, 5]);
    let low = range("rooms", "by_a", [bound(BoundKind::Lt, "a", 3)]);
    let (found, reads) = rig.query(|tx| tx.collect(&low).unwrap());
    assert!(makes_stale(&mut rig, &reads, patch(found[0].id, "a", 9)));
    let (all, _) = rig.query(|tx| tx.collect(&index("rooms", "by_a")).unwrap());
    assert!(makes_stale(&mut rig, &reads, patch(all[1].id, "a", 2)));
    assert!(!makes_stale(&mut rig, &reads, patch(all[1].id, "a", 9)));
}

#[test]
fn what_a_scan_read_before_an_error_counts() {
    let mut rig = with(&[1, 2, 3]);
    rig.environment.limits.documents_read_max = 1;
    let (_, reads) = rig.query(|tx| tx.collect(&index("rooms", "by_a")).unwrap_err());
    assert!(makes_stale(&mut rig, &reads, insert(0.0)));
    assert!(
        makes_stale(&mut rig, &reads, insert(1.5)),
        "the document over the limit was looked at"
    );
    assert!(!makes_stale(&mut rig, &reads, insert(2.5)));
}

#[test]
fn writing_reads_the_document_and_what_a_unique_index_holds() {
    let mut rig = Rig::new(rooms());
    let id = rig.insert("rooms", object! {"name" => "x"});
    let (reads, _) = rig.run(|tx| {
        tx.insert("rooms", object! {"name" => "y"}).unwrap();
        tx.take_reads()
    });
    let rename = |name: &str| Patch::default().set("name", name);
    assert!(makes_stale(&mut rig, &reads, |tx| tx
        .patch(id, rename("y"))
        .unwrap()));
    assert!(!makes_stale(&mut rig, &reads, |tx| tx
        .patch(id, rename("z"))
        .unwrap()));

    let (reads, _) = rig.run(|tx| {
        tx.patch(id, Patch::default()).unwrap();
        tx.take_reads()
    });
    assert!(makes_stale(&mut rig, &reads, |tx| tx.delete(id).unwrap()));
}
