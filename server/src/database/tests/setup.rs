//! The effects of a start on a store: tables, checks and indexes, and starts that are cut short.

use vestibule_schema::object;
use vestibule_schema::validator::{Field, Validator};

use vestibule_schema::table::IndexMethod;

use super::super::catalog::{IndexMeta, TableMeta, encode_entry};
use super::super::error::OFFENDERS_LISTED_MAX;
use super::super::keys::document_key;
use super::super::setup::BUILD_WRITES_MAX;
use super::*;
use crate::storage::{Direction, Write};

fn plain() -> Schema {
    schema([table("rooms", &[])])
}

fn indexed() -> Schema {
    schema([table("rooms", &[("by_a", &["a"])])])
}

fn meta(rig: &Rig, table: &str) -> Arc<TableMeta> {
    catalog(rig).table(table).unwrap().clone()
}

fn catalog(rig: &Rig) -> Arc<Catalog> {
    rig.environment
        .definitions
        .at(rig.head.last_ts())
        .catalog
        .clone()
}

fn numbers(rig: &Rig) -> Vec<Value> {
    let (all, _) = rig.query(|tx| tx.collect(&index("rooms", "by_a")).unwrap());
    column(&all, "a").into_iter().flatten().collect()
}

fn fill(rig: &mut Rig, count: i32) {
    rig.commit(|tx| {
        for n in 0..count {
            tx.insert("rooms", object! {"a" => count - n}).unwrap();
        }
    });
}

fn counting(count: i32) -> Vec<Value> {
    (1..=count).map(Value::from).collect()
}

fn entries(rig: &Rig, index: &IndexMeta) -> usize {
    rig.query(|tx| {
        tx.scan_system(index.id.range(), Direction::Forward, usize::MAX)
            .unwrap()
    })
    .0
    .len()
}

#[test]
fn the_write_ahead_log_does_not_grow_with_an_index_that_is_built() {
    const CHECKPOINT_BYTES: u64 = 256 << 10;
    let mut rig = Rig::new(plain());
    for _ in 0..5 {
        fill(&mut rig, BUILD_WRITES_MAX as i32);
    }
    let dir = rig.close();
    let options = StoreOptions {
        checkpoint_wal_bytes: CHECKPOINT_BYTES,
        ..StoreOptions::default()
    };
    let (store, appender) = Store::open(dir.path(), options).unwrap();
    let wal = dir.path().join("vestibule.sqlite3-wal");
    let wal_bytes = || std::fs::metadata(&wal).map_or(0, |metadata| metadata.len());
    let before = wal_bytes();
    set_up(&store, appender, &manual_clock(), &indexed()).unwrap();
    let one_commit = (BUILD_WRITES_MAX * 100) as u64;
    assert!(
        wal_bytes() <= before.max(CHECKPOINT_BYTES) + one_commit,
        "{} bytes",
        wal_bytes()
    );
    assert!(store.checkpoints().finished > 0);
}

#[test]
fn tables_are_numbered_from_10001_and_keep_their_numbers() {
    let number = |rig: &Rig, name| meta(rig, name).number.get();
    let rig = Rig::new(schema([table("b", &[]), table("a", &[])]));
    assert_eq!((number(&rig, "b"), number(&rig, "a")), (10_001, 10_002));
    let rig = rig
        .reopen(schema([table("c", &[]), table("a", &[]), table("b", &[])]))
        .unwrap();
    assert_eq!(
        ["a", "b", "c"].map(|name| number(&rig, name)),
        [10_002, 10_001, 10_003]
    );
}

#[test]
fn a_store_without_tables_opens_again_and_has_a_first_commit() {
    let mut rig = Rig::new(Schema::new());
    for _ in 0..2 {
        assert!(rig.store.durable_ts() > Timestamp(0));
        rig = rig.reopen(Schema::new()).unwrap();
    }
    let mut rig = rig.reopen(indexed()).unwrap();
    fill(&mut rig, 3);
    assert_eq!(numbers(&rig), counting(3));
}

#[test]
fn a_start_that_changes_nothing_commits_nothing() {
    let rig = Rig::new(indexed());
    let before = rig.store.durable_ts();
    let rig = rig.reopen(indexed()).unwrap();
    assert_eq!(rig.store.durable_ts(), before);
}

#[test]
fn tables_that_are_no_longer_declared_keep_their_documents_and_indexes() {
    let mut rig = Rig::new(indexed());
    fill(&mut rig, 3);
    let mut rig = rig.reopen(schema([table("others", &[])])).unwrap();
    assert_eq!(numbers(&rig), counting(3));
    rig.insert("rooms", object! {"a" => 4});
    let rig = rig.reopen(indexed()).unwrap();
    assert_eq!(numbers(&rig), counting(4));
}

#[test]
fn an_index_added_to_a_table_with_documents_is_built() {
    for count in [1, BUILD_WRITES_MAX as i32, 2 * BUILD_WRITES_MAX as i32 + 1] {
        let mut rig = Rig::new(plain());
        fill(&mut rig, count);
        let rig = rig.reopen(indexed()).unwrap();
        assert_eq!(numbers(&rig), counting(count));
        let rig = rig.reopen(indexed()).unwrap();
        assert_eq!(numbers(&rig), counting(count));
    }
}

#[test]
fn an_index_is_built_from_folded_documents_and_later_ones() {
    let mut rig = Rig::new(plain());
    fill(&mut rig, 2);
    rig.fold();
    rig.insert("rooms", object! {"a" => 3});
    assert_eq!(numbers(&rig.reopen(indexed()).unwrap()), counting(3));
}

#[test]
fn an_index_that_is_removed_is_cleared_and_its_name_unknown() {
    let mut rig = Rig::new(indexed());
    fill(&mut rig, BUILD_WRITES_MAX as i32 + 5);
    let old = meta(&rig, "rooms").indexes[0].clone();
    let rig = rig.reopen(plain()).unwrap();
    assert_eq!(entries(&rig, &old), 0);
    let (refused, _) = rig.query(|tx| tx.collect(&index("rooms", "by_a")));
    assert_eq!(text(refused), "Index rooms.by_a not found.");
    let (all, _) = rig.query(|tx| tx.collect(&Query::table("rooms")).unwrap());
    assert_eq!(all.len(), BUILD_WRITES_MAX + 5);
}

#[test]
fn an_index_whose_fields_or_uniqueness_changed_is_rebuilt() {
    let mut rig = Rig::new(schema([table("rooms", &[("by_a", &["b"])])]));
    fill(&mut rig, 10);
    rig.insert("rooms", object! {"a" => 11, "b" => 5});
    let old = meta(&rig, "rooms").indexes[0].clone();
    let rig = rig.reopen(indexed()).unwrap();
    assert_eq!(numbers(&rig), counting(11));
    assert_eq!(
        entries(&rig, &old),
        if old.id == meta(&rig, "rooms").indexes[0].id {
            11
        } else {
            0
        }
    );
    let mut rig = rig
        .reopen(schema([table("rooms", &[("by_a!", &["a"])])]))
        .unwrap();
    assert_eq!(numbers(&rig), counting(11));
    rig.attempt(|tx| tx.insert("rooms", object! {"a" => 11}))
        .unwrap_err();
}

/// Leaves the store as a kill in the middle of an index build does. The catalog says that the index is not complete,
/// some of its entries are missing and others are wrong.
fn break_off_build(rig: &mut Rig) {
    let mut half_built = TableMeta::clone(&meta(rig, "rooms"));
    half_built.indexes[0].ready = false;
    let index = half_built.indexes[0].id;
    let (found, _) = rig.query(|tx| {
        tx.scan_system(index.range(), Direction::Forward, 3)
            .unwrap()
    });
    let (key, value) = encode_entry(&half_built);
    let mut writes = vec![Write {
        key,
        value: Some(value),
    }];
    writes.extend(found.into_iter().map(|(key, _)| Write { key, value: None }));
    writes.push(Write {
        key: index.key(&[0x0e; 30]),
        value: Some(Bytes::new()),
    });
    rig.append(writes);
}

#[test]
fn a_half_built_index_is_built_again() {
    let mut rig = Rig::new(indexed());
    fill(&mut rig, 10);
    break_off_build(&mut rig);
    let rig = rig.reopen(indexed()).unwrap();
    assert_eq!(numbers(&rig), counting(10));
    assert_eq!(entries(&rig, &meta(&rig, "rooms").indexes[0]), 10);
}

#[test]
fn a_half_built_index_of_a_table_that_is_no_longer_declared_is_removed() {
    let mut rig = Rig::new(indexed());
    fill(&mut rig, 10);
    break_off_build(&mut rig);
    let rig = rig.reopen(Schema::new()).unwrap();
    assert_eq!(meta(&rig, "rooms").indexes, []);
    assert_eq!(numbers(&rig.reopen(indexed()).unwrap()), counting(10));
}

/// Declares an index of rooms by `a` that is to be filled.
fn declare(tx: &mut Transaction<'_>, unique: bool) -> (TableMeta, IndexMeta) {
    let mut catalog = Catalog::clone(&tx.catalog());
    let mut rooms = TableMeta::clone(catalog.table("rooms").unwrap());
    let index = IndexMeta {
        method: IndexMethod::Order,
        id: catalog.next_index_id(),
        name: "by_a".into(),
        fields: vec!["a".parse().unwrap()],
        unique,
        ready: false,
        staged: false,
    };
    rooms.indexes = vec![index.clone()];
    catalog.set(rooms.clone());
    tx.set_catalog(catalog).unwrap();
    (rooms, index)
}

/// Leaves the store as a kill does after the first commit of a build. The entries of that commit are missing, so that a
/// build that does not begin anew shows.
fn fill_once(rig: &mut Rig) {
    rig.commit(|tx| {
        let (rooms, index) = declare(tx, false);
        let step = tx.fill_index(&rooms, &index, BUILD_WRITES_MAX).unwrap();
        assert_eq!(step.documents, BUILD_WRITES_MAX);
        assert!(tx.clear_index(index.id, usize::MAX).unwrap());
    });
}

#[test]
fn a_build_that_a_stop_has_cut_off_goes_on_where_it_was() {
    const COUNT: usize = BUILD_WRITES_MAX + 10;
    let mut rig = Rig::new(plain());
    fill(&mut rig, COUNT as i32);
    fill_once(&mut rig);
    let rig = rig.reopen(indexed()).unwrap();
    let index = meta(&rig, "rooms").indexes[0].clone();
    assert!(index.ready);
    assert_eq!(entries(&rig, &index), COUNT - BUILD_WRITES_MAX);
}

#[test]
fn a_half_built_index_that_was_given_up_is_built_from_the_beginning() {
    const COUNT: usize = BUILD_WRITES_MAX + 10;
    let mut rig = Rig::new(plain());
    fill(&mut rig, COUNT as i32);
    fill_once(&mut rig);
    let rig = rig.reopen(plain()).unwrap();
    assert_eq!(meta(&rig, "rooms").indexes, []);
    let rig = rig.reopen(indexed()).unwrap();
    assert_eq!(numbers(&rig), counting(COUNT as i32));
}

#[test]
fn a_fill_of_a_unique_index_names_two_documents_and_touches_what_writers_may_have_looked_for() {
    let mut rig = Rig::new(plain());
    let ids = [1, 2, 1].map(|a| rig.insert("rooms", object! {"a" => a, "x" => 0}));
    let ((step, reads), changes) = rig.run(|tx| {
        let (rooms, index) = declare(tx, true);
        let step = tx.fill_index(&rooms, &index, 256).unwrap();
        (step, tx.take_reads())
    });
    let problem = step.problem.unwrap();
    let begin = "Unique index \"rooms.by_a\" cannot be built: two documents have a = 1.0: ";
    assert!(problem.starts_with(begin), "{problem}");
    for id in [ids[0], ids[2]] {
        assert!(problem.contains(&id.to_string()), "{problem}");
    }
    // A writer beside the lane that found nothing there must run again, and so must the fill beside a writer. Behind the
    // two documents of one value, which come in the order of their ids, nothing is looked for.
    assert!(changes.touched.iter().count() >= 3);
    let looked_for = changes.touched.iter().filter(|key| reads.contains(key));
    assert!(looked_for.count() >= 2);
    let by_id = meta(&rig, "rooms").by_id;
    for id in ids {
        assert!(reads.contains(&document_key(by_id, id.internal())));
    }
}

#[test]
fn a_step_takes_fewer_documents_where_they_are_large() {
    let mut rig = Rig::new(plain());
    for _ in 0..9 {
        rig.insert("rooms", object! {"text" => "x".repeat(900_000)});
    }
    let rooms = meta(&rig, "rooms");
    let mut looked_at = Vec::new();
    let mut after = None;
    loop {
        let (step, _) = rig.query(|tx| {
            tx.check_documents(&rooms, &Validator::Any, after, 256)
                .unwrap()
        });
        looked_at.push(step.documents);
        match step.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(looked_at, [5, 4]);
}

#[test]
fn a_start_that_is_cut_short_anywhere_leaves_no_index_that_is_wrong() {
    let count = 2 * BUILD_WRITES_MAX as i32 + 10;
    for (before, after) in [(indexed(), plain()), (plain(), indexed())] {
        let mut rig = Rig::new(before.clone());
        fill(&mut rig, count);
        let mut dir = rig.close();
        let mut cut_short = 0;
        loop {
            // The disk fills up somewhere on the way, each time a little later.
            let (store, mut appender) = Store::open(dir.path(), StoreOptions::default()).unwrap();
            appender.set_pages_max(Some(pages(&dir) + 8 * cut_short));
            let outcome = set_up(&store, appender, &manual_clock(), &after).map(drop);
            drop(store);
            if outcome.is_ok() {
                break;
            }
            // An operator who then starts the old program again finds its index whole.
            let rig = Rig::try_open(dir, before.clone()).unwrap();
            if meta(&rig, "rooms").index("by_a").is_some() {
                assert_eq!(numbers(&rig), counting(count));
            }
            cut_short += 1;
            dir = rig.close();
        }
        assert!(cut_short > 5, "{cut_short} starts were cut short");
        let rig = Rig::try_open(dir, indexed()).unwrap();
        assert_eq!(numbers(&rig), counting(count));
    }
}

/// The size of the database file.
fn pages(dir: &TempDir) -> u32 {
    let bytes = std::fs::metadata(dir.path().join("vestibule.sqlite3"))
        .unwrap()
        .len();
    u32::try_from(bytes / 4096).unwrap()
}

fn checked(document: Validator) -> Schema {
    schema([TableDefinition {
        document,
        ..table("rooms", &[("by_a", &["a"])])
    }])
}

fn numeric() -> Schema {
    checked(Validator::object([(
        "a",
        Field::required(Validator::Number),
    )]))
}

#[test]
fn documents_that_do_not_fit_refuse_the_start_are_named_and_nothing_is_changed() {
    let mut rig = Rig::new(plain());
    rig.insert("rooms", object! {"a" => 1});
    let wrong = rig.insert("rooms", object! {"a" => "x"});
    let missing = rig.insert("rooms", object! {});
    let before = rig.store.durable_ts();
    let dir = rig.close();
    {
        let (store, appender) = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let refused = set_up(&store, appender, &manual_clock(), &numeric());
        let refused = refused.map(drop).unwrap_err();
        assert_eq!(store.durable_ts(), before);
        let OpenError::Misfits(misfits) = &refused else {
            panic!("{refused}")
        };
        let mut named: Vec<_> = misfits.iter().map(|misfit| misfit.id.clone()).collect();
        named.sort();
        let mut expected = [wrong, missing].map(|id| id.to_string());
        expected.sort();
        assert_eq!(named, expected);
        let first = format!(
            "stored documents do not match the schema; nothing was changed:\n\
             Document with ID \"{}\" in table \"rooms\" does not match the schema: ",
            misfits[0].id
        );
        assert!(refused.to_string().starts_with(&first), "{refused}");
    }
    let mut rig = Rig::try_open(dir, plain()).unwrap();
    rig.commit(|tx| {
        tx.replace(wrong, object! {"a" => 2}).unwrap();
        tx.delete(missing).unwrap();
    });
    let rig = rig.reopen(numeric()).unwrap();
    assert_eq!(numbers(&rig), counting(2));
}

#[test]
fn no_more_misfits_are_named_than_can_be_read() {
    let mut rig = Rig::new(plain());
    rig.commit(|tx| {
        for _ in 0..OFFENDERS_LISTED_MAX + 5 {
            tx.insert("rooms", object! {}).unwrap();
        }
    });
    let Err(OpenError::Misfits(misfits)) = rig.reopen(numeric()) else {
        panic!("it must be refused")
    };
    assert_eq!(misfits.len(), OFFENDERS_LISTED_MAX);
}

#[test]
fn documents_are_checked_again_after_a_start_that_did_not_hold_them_to_anything() {
    let mut rig = Rig::new(numeric());
    rig.insert("rooms", object! {"a" => 1});
    rig.attempt(|tx| tx.insert("rooms", object! {}))
        .unwrap_err();
    let mut rig = rig.reopen(numeric().without_document_checks()).unwrap();
    let free = rig.insert("rooms", object! {});
    let dir = rig.close();
    assert!(matches!(
        set_up_in(&dir, &numeric()),
        Err(OpenError::Misfits(_))
    ));
    let mut rig = Rig::try_open(dir, Schema::new()).unwrap();
    rig.commit(|tx| tx.delete(free)).unwrap();
    let undeclared = rig.insert("rooms", object! {"a" => "x"});
    let dir = rig.close();
    assert!(matches!(
        set_up_in(&dir, &numeric()),
        Err(OpenError::Misfits(_))
    ));
    let mut rig = Rig::try_open(dir, plain()).unwrap();
    rig.commit(|tx| tx.delete(undeclared)).unwrap();
    rig.reopen(numeric()).unwrap();
}

fn set_up_in(dir: &TempDir, schema: &Schema) -> Result<Catalog, OpenError> {
    let (store, appender) = Store::open(dir.path(), StoreOptions::default())?;
    let (_, catalog) = set_up(&store, appender, &manual_clock(), schema)?;
    Ok(catalog)
}

#[test]
fn duplicates_refuse_a_unique_index_and_are_named() {
    let unique = || schema([table("rooms", &[("by_ab!", &["a", "b"])])]);
    let mut rig = Rig::new(plain());
    let first = rig.insert("rooms", object! {"a" => 1, "b" => "x"});
    let second = rig.insert("rooms", object! {"a" => 1, "b" => "x"});
    // Those that lack a field do not compete.
    rig.insert("rooms", object! {"a" => 1});
    rig.insert("rooms", object! {"a" => 1});
    let before = rig.store.durable_ts();
    let dir = rig.close();
    let refused = set_up_in(&dir, &unique()).unwrap_err();
    let OpenError::Duplicates(duplicates) = &refused else {
        panic!("{refused}")
    };
    assert_eq!(duplicates.len(), 1);
    let mut ids = [first, second].map(|id| id.to_string());
    ids.sort();
    let mut named = duplicates[0].ids.clone();
    named.sort();
    assert_eq!(named, ids);
    assert!(
        refused
            .to_string()
            .contains("\"rooms.by_ab\" with a = 1.0, b = \"x\": "),
        "{refused}"
    );

    let mut rig = Rig::try_open(dir, plain()).unwrap();
    assert_eq!(rig.store.durable_ts(), before);
    rig.commit(|tx| tx.delete(second)).unwrap();
    let mut rig = rig.reopen(unique()).unwrap();
    let refused = rig.attempt(|tx| tx.insert("rooms", object! {"a" => 1, "b" => "x"}));
    assert!(text(refused).starts_with("Unique index \"rooms.by_ab\""));
}

#[test]
fn a_catalog_that_cannot_be_read_refuses_the_start() {
    let mut rig = Rig::new(plain());
    let (key, _) = encode_entry(&meta(&rig, "rooms"));
    rig.append(vec![Write {
        key,
        value: Some(Bytes::from("?")),
    }]);
    let refused = rig.reopen(plain()).err().unwrap().to_string();
    assert!(
        refused.starts_with("the catalog of this database cannot be read: "),
        "{refused}"
    );
}
