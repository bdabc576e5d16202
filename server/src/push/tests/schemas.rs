//! Tests of what pushes do to tables: indexes that are built and removed, documents that are checked.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng};
use serde_json::json;
use vestibule_schema::object;
use vestibule_schema::path::ComponentPath;
use vestibule_schema::value::Value;

use super::rig::{Rig, app, rooms};
use crate::database::{IndexId, Query, RawDocument, Source, TableMeta, Transaction};
use crate::functions::{Error, SystemError};
use crate::push::PushError;
use crate::push::backfill::STEP_DOCUMENTS_MAX;
use crate::push::plans::{Indexes, Progress, SchemaState};
use crate::push::sweeping::PREPARATION_TIME_MAX;
use crate::push::tables::{Target, without};
use crate::storage::Direction;

const MANY: usize = 2 * STEP_DOCUMENTS_MAX + 7;

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_filled_with_the_documents_that_are_there() {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    rig.add_rooms(MANY).await;
    assert_eq!(
        rig.rooms_with(3.0).await,
        Err("Index rooms.by_n not found.".to_owned())
    );
    let started = rig
        .start(app("list", Some(rooms("number", true))))
        .await
        .unwrap();
    assert_eq!(rig.prepare(&started).await["type"], "complete");
    rig.add_rooms(4).await;
    rig.finish(started).await.unwrap();
    assert_eq!(rig.rooms_with(3.0).await.unwrap().len(), 2);
    assert_eq!(rig.rooms_with(500.0).await.unwrap().len(), 1);
    let rig = rig.restart().await;
    assert_eq!(rig.rooms_with(3.0).await.unwrap().len(), 2);
    assert_eq!(
        rig.pushes.indexes(&ComponentPath::ROOT)["indexes"][0]["backfill"]["state"],
        "done"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_a_stop_has_cut_off_goes_on_where_it_was() {
    let with_index = || app("list", Some(rooms("number", true)));
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    rig.add_rooms(MANY).await;
    let plan = rig.plan(&rig.start(with_index()).await.unwrap());
    let index = rig.pushes.declare(&plan).await.unwrap()[0].indexes[0];
    let step = rig
        .pushes
        .fill_step("rooms", index, STEP_DOCUMENTS_MAX)
        .await;
    let (step, _) = step.unwrap();
    assert_eq!(step.documents, STEP_DOCUMENTS_MAX);
    let rig = rig.restart().await;
    // Whether the second life begins anew shows by entries that it would write again.
    let is_empty = rig.transact(move |tx| tx.clear_index(index, MANY).unwrap());
    assert!(is_empty.await);
    rig.push(with_index()).await.unwrap();
    let left = rig.transact(|tx| tx.collect(&by_n()).unwrap().len());
    assert_eq!(left.await, MANY - STEP_DOCUMENTS_MAX);
}

/// Every number in the index, and every number that a scan of the table finds; both in order.
async fn indexed_and_scanned(rig: &Rig) -> [Vec<f64>; 2] {
    rig.transact(|tx| {
        let numbers = |found: Vec<RawDocument>| -> Vec<f64> {
            let numbers = found.iter().map(|document| &document.fields["n"]);
            numbers.filter_map(Value::as_f64).collect()
        };
        let indexed = numbers(tx.collect(&by_n()).unwrap());
        let mut scanned = numbers(tx.collect(&Query::table("rooms")).unwrap());
        scanned.sort_by(f64::total_cmp);
        [indexed, scanned]
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_filled_while_its_documents_change_has_what_a_scan_finds() {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    rig.add_rooms(4 * MANY).await;
    let ids = rig.transact(|tx| {
        let all = tx.collect(&Query::table("rooms")).unwrap();
        all.iter().map(|room| room.id).collect::<Vec<_>>()
    });
    let ids = ids.await;
    let stop = AtomicBool::new(false);
    let write = async {
        let mut rng = StdRng::seed_from_u64(1);
        while !stop.load(Ordering::Relaxed) {
            let some: Vec<_> = (0..20)
                .map(|_| ids[rng.random_range(0..ids.len())])
                .collect();
            let n = f64::from(rng.random_range(-1_000..0));
            rig.transact(move |tx| {
                for (at, id) in some.iter().enumerate() {
                    // Rooms come, change and go.
                    match (at % 4, tx.get(*id).unwrap()) {
                        (0, Some(_)) => tx.delete(*id).unwrap(),
                        (1, _) => drop(tx.insert("rooms", object! { "n" => n }).unwrap()),
                        (_, Some(_)) => tx.patch(*id, object! { "n" => n }).unwrap(),
                        (_, None) => {}
                    }
                }
            })
            .await;
        }
    };
    let build = async {
        let done = rig.push(app("list", Some(rooms("number", true)))).await;
        stop.store(true, Ordering::Relaxed);
        done.unwrap()
    };
    futures_util::join!(write, build);
    let [indexed, scanned] = indexed_and_scanned(&rig).await;
    assert!(scanned[0] < 0.0, "something was written meanwhile");
    assert_eq!(indexed, scanned);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_beside_the_lane_and_is_overtaken_leaves_no_trace() {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    rig.add_rooms(MANY).await;
    let first = rig.transact(|tx| tx.take(&Query::table("rooms"), 1).unwrap()[0].id);
    let first = first.await;
    let (functions, handle) = (rig.functions.clone(), tokio::runtime::Handle::current());
    let read = Arc::new(AtomicUsize::new(0));
    let runs = read.clone();
    let overtaken = rig.functions.transact_beside(move |tx| {
        runs.fetch_add(1, Ordering::Relaxed);
        let room = tx.get(first)?.expect("it is there");
        let change = functions.transact(move |tx| Ok(tx.patch(first, object! { "n" => -7.0 })?));
        handle.block_on(change).unwrap().unwrap();
        tx.patch(first, object! { "n" => 8.0 })?;
        Ok(room.fields["n"].clone())
    });
    assert!(overtaken.await.unwrap().is_none());
    assert_eq!(read.load(Ordering::Relaxed), 1);
    let kept = rig.transact(move |tx| tx.get(first).unwrap().unwrap().fields["n"].clone());
    assert_eq!(kept.await, Value::Float64(-7.0));
    let placed = rig
        .functions
        .transact_beside(move |tx| Ok(tx.patch(first, object! { "n" => 8.0 })?));
    placed.await.unwrap().unwrap().unwrap();
    let refused = rig.functions.transact_beside(move |tx| {
        tx.delete(first)?;
        Err::<(), _>(Error::new("no"))
    });
    refused.await.unwrap().unwrap().unwrap_err();
    let kept = rig.transact(move |tx| tx.get(first).unwrap().unwrap().fields["n"].clone());
    assert_eq!(kept.await, Value::Float64(8.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_with_the_id_of_an_earlier_one_that_was_half_filled_has_every_document() {
    let with_index = || app("list", Some(rooms("number", true)));
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    rig.add_rooms(MANY).await;
    let plan = rig.plan(&rig.start(with_index()).await.unwrap());
    let index = rig.pushes.declare(&plan).await.unwrap()[0].indexes[0];
    rig.pushes
        .fill_step("rooms", index, STEP_DOCUMENTS_MAX)
        .await
        .unwrap();
    rig.transact(move |tx| {
        assert!(tx.clear_index(index, MANY).unwrap());
        let catalog = without(&tx.catalog(), "rooms", index);
        tx.set_catalog(catalog).unwrap();
    })
    .await;
    let again = rig.pushes.declare(&plan).await.unwrap()[0].indexes[0];
    assert_eq!(again, index, "ids are used again");
    rig.push(with_index()).await.unwrap();
    assert_eq!(
        rig.transact(|tx| tx.collect(&by_n()).unwrap().len()).await,
        MANY
    );
}

/// A table with many documents, and an index of it that is declared and empty.
async fn with_declared_index() -> (Rig, IndexId) {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    rig.add_rooms(MANY).await;
    let with_index = app("list", Some(rooms("number", true)));
    let plan = rig.plan(&rig.start(with_index).await.unwrap());
    let index = rig.pushes.declare(&plan).await.unwrap()[0].indexes[0];
    (rig, index)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_overtakes_what_removes_the_same_index_beside_the_lane() {
    let (rig, index) = with_declared_index().await;
    let (functions, handle) = (rig.functions.clone(), tokio::runtime::Handle::current());
    let overtaken = rig.functions.transact_beside(move |tx| {
        let is_empty = tx.clear_index(index, MANY)?;
        let fill = functions.transact(move |tx| {
            let catalog = tx.catalog();
            let table = catalog.table("rooms").unwrap();
            let index = table.indexes.iter().find(|other| other.id == index);
            Ok(tx
                .fill_index(table, index.unwrap(), STEP_DOCUMENTS_MAX)?
                .documents)
        });
        let filled = handle.block_on(fill).unwrap().unwrap();
        assert_eq!(filled, STEP_DOCUMENTS_MAX);
        Ok(is_empty)
    });
    let overtaken = overtaken.await.unwrap();
    assert!(overtaken.is_none(), "it believes that the index is empty");
    let is_empty = rig.transact(move |tx| tx.clear_index(index, MANY).unwrap());
    assert!(is_empty.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_nothing_uses_any_more_is_filled_no_further() {
    let (rig, index) = with_declared_index().await;
    rig.pushes
        .fill_step("rooms", index, STEP_DOCUMENTS_MAX)
        .await
        .unwrap();
    let live = rig.pushes.live();
    rig.transact(move |tx| {
        let native = HashSet::new();
        let target = Target::of(&live, &native);
        let switched = target.switch(&tx.catalog());
        tx.set_catalog(switched).unwrap();
    })
    .await;
    let step = rig
        .pushes
        .fill_step("rooms", index, STEP_DOCUMENTS_MAX)
        .await;
    let refused = step.map(|(step, _)| step).unwrap_err();
    assert!(matches!(refused, PushError::Race(_)), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_another_has_filled_meanwhile_is_not_filled_again() {
    let (rig, index) = with_declared_index().await;
    let step = || rig.pushes.fill_step("rooms", index, STEP_DOCUMENTS_MAX);
    let (first, _) = step().await.unwrap();
    assert_eq!(first.documents, STEP_DOCUMENTS_MAX);
    assert_eq!(rig.pushes.fill("rooms", index).await.unwrap(), None);
    let (next, _) = step().await.unwrap();
    assert_eq!((next.documents, next.next), (0, None));
    // No position is left for the next index of this id.
    let positions = rig.transact(|tx| {
        let range = IndexId::FILLS.range();
        tx.scan_system(range, Direction::Forward, 1).unwrap().len()
    });
    assert_eq!(positions.await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_goes_on_after_a_moment_in_which_a_queue_is_full() {
    let (rig, index) = with_declared_index().await;
    // Jobs that do not end, so that more wait than are admitted.
    let (gate, closed) = crossbeam_channel::bounded::<()>(0);
    let full = loop {
        let closed = closed.clone();
        let held = rig
            .functions
            .transact_beside(move |_| Ok(closed.recv().is_err()));
        if let Some(refused) = held.now_or_never() {
            break refused.map(drop).unwrap_err();
        }
    };
    assert!(matches!(full, SystemError::CommitterFull), "{full}");
    let mut fill = Box::pin(rig.pushes.fill("rooms", index));
    let at_once = fill.as_mut().now_or_never();
    assert!(at_once.is_none(), "{at_once:?}");
    drop(gate);
    // Once there is room again, the fill's pause is all that is left.
    while rig.functions.transact_beside(|_| Ok(())).await.is_err() {
        tokio::task::yield_now().await;
    }
    rig.clock.advance(Duration::from_secs(1));
    assert_eq!(fill.await.unwrap(), None);
    let [indexed, scanned] = indexed_and_scanned(&rig).await;
    assert_eq!(indexed, scanned);
}

/// Everything in the index `by_n`.
fn by_n() -> Query {
    Query {
        source: Source::IndexRange {
            index: "by_n".into(),
            bounds: Vec::new(),
        },
        ..Query::table("rooms")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preparation_tells_when_documents_are_checked_and_each_index_that_is_filled() {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("any", false))))
        .await
        .unwrap();
    rig.add_rooms(MANY).await;
    let started = rig
        .start(app("list", Some(rooms("number", true))))
        .await
        .unwrap();
    let told = Mutex::new(Vec::new());
    let tell = |progress: &Progress| {
        let Indexes { complete, total } = progress.indexes[""];
        told.lock().push((progress.is_validated, complete, total));
    };
    let built = rig.pushes.build(&rig.plan(&started), tell).await.unwrap();
    assert_eq!(built, SchemaState::Complete);
    assert_eq!(
        told.into_inner(),
        [(false, 0, 1), (true, 0, 1), (true, 1, 1)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_not_declared_any_more_is_gone() {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("number", true))))
        .await
        .unwrap();
    rig.add_rooms(MANY).await;
    let reply = rig
        .push(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    let removed = &reply["componentDiffs"][""]["indexDiff"]["removed_indexes"];
    assert_eq!(removed[0]["name"], "rooms.by_n");
    assert_eq!(
        rig.rooms_with(3.0).await,
        Err("Index rooms.by_n not found.".to_owned())
    );
    // Built anew, it does not find what an earlier one of its name has left.
    rig.transact(|tx| {
        let all = crate::database::Query::table("rooms");
        for document in tx.collect(&all).unwrap() {
            tx.patch(document.id, object! { "n" => -1.0 }).unwrap();
        }
    })
    .await;
    rig.push(app("list", Some(rooms("number", true))))
        .await
        .unwrap();
    assert_eq!(rig.rooms_with(3.0).await.unwrap().len(), 0);
    assert_eq!(rig.rooms_with(-1.0).await.unwrap().len(), MANY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_does_not_fit_fails_the_preparation() {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    rig.add_rooms(MANY).await;
    let started = rig
        .start(app("list", Some(rooms("string", false))))
        .await
        .unwrap();
    let failed = rig.prepare(&started).await;
    assert_eq!(
        (&failed["type"], &failed["tableName"]),
        (&json!("failed"), &json!("rooms"))
    );
    let error = failed["error"].as_str().unwrap();
    assert!(error.starts_with("Document with ID \""), "{error}");
    let reason = "\" in table \"rooms\" does not match the schema: Value does not match validator.\nPath: .n\nValue: ";
    assert!(error.contains(reason), "{error}");
    assert_eq!(
        rig.finish(started).await.unwrap_err().code(),
        "InvalidSchema"
    );
    // The old rules are in force as before.
    rig.add_rooms(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_written_during_a_push_that_will_not_fit_fails_it() {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("any", false))))
        .await
        .unwrap();
    rig.add_rooms(MANY).await;
    let started = rig
        .start(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    assert_eq!(rig.prepare(&started).await["type"], "complete");
    rig.transact(|tx| tx.insert("rooms", object! { "n" => "three" }).unwrap())
        .await;
    let refused = rig.finish(started).await.unwrap_err();
    assert_eq!(refused.code(), "InvalidSchema");
    let text = refused.to_string();
    assert!(
        text.starts_with("New document in table \"rooms\" does not match the schema: "),
        "{text}"
    );
    let again = rig
        .start(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    assert_eq!(rig.prepare(&again).await["type"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_and_taken_back_fails_no_push() {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("any", false))))
        .await
        .unwrap();
    rig.add_rooms(MANY).await;
    let started = rig
        .start(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    assert_eq!(rig.prepare(&started).await["type"], "complete");
    let taken_back = rig.functions.transact(|tx| {
        tx.insert("rooms", object! { "n" => "three" }).unwrap();
        Err::<(), _>(crate::functions::Error::new("no"))
    });
    taken_back.await.unwrap().unwrap_err();
    rig.finish(started).await.unwrap();
    let refused = rig
        .transact(|tx| tx.insert("rooms", object! { "n" => "three" }))
        .await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .starts_with("Failed to insert or update a document")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_table_needs_no_preparation() {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("any", false))))
        .await
        .unwrap();
    rig.add_rooms(10).await;
    let started = rig
        .start(app("list", Some(rooms("number", true))))
        .await
        .unwrap();
    rig.finish(started).await.unwrap();
    assert_eq!(rig.rooms_with(3.0).await.unwrap().len(), 1);
    rig.add_rooms(STEP_DOCUMENTS_MAX).await;
    let started = rig
        .start(app("list", Some(rooms("any", false))))
        .await
        .unwrap();
    rig.finish(started).await.unwrap();
    let started = rig
        .start(app("list", Some(rooms("number", true))))
        .await
        .unwrap();
    assert_eq!(
        rig.finish(started).await.unwrap_err().code(),
        "RaceDetected"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_no_schema_names_keep_their_documents_and_no_rules() {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("number", true))))
        .await
        .unwrap();
    rig.add_rooms(3).await;
    rig.push(app("list", None)).await.unwrap();
    rig.transact(|tx| tx.insert("rooms", object! { "x" => "free" }).unwrap())
        .await;
    let shapes = rig.pushes.shapes(ComponentPath::ROOT).await.unwrap();
    let fields = shapes["rooms"]["fields"].as_array().unwrap();
    let names: Vec<_> = fields.iter().map(|field| &field["fieldName"]).collect();
    assert_eq!(names, ["_creationTime", "_id", "n", "x"]);
    assert_eq!(
        fields[1]["shape"],
        json!({"type": "Id", "tableName": "rooms"})
    );
    assert_eq!(fields[2]["optional"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_validator_is_held_against_documents_when_a_tool_asks() {
    let staged = |kind: &str| {
        let mut schema = rooms("any", false);
        schema["tables"][0]["stagedDocumentType"] =
            rooms(kind, false)["tables"][0]["documentType"].clone();
        schema
    };
    let rig = Rig::new().await;
    let evaluate = async |schema| {
        let request = serde_json::from_value(app("list", Some(schema))).unwrap();
        let mut reply = rig.pushes.evaluate_schema(request).await.unwrap();
        reply["componentSchemaEvaluations"][""].take()
    };
    rig.push(app("list", Some(staged("number")))).await.unwrap();
    rig.add_rooms(MANY).await;
    let kept = evaluate(staged("number")).await;
    assert_eq!(kept["tables"][0]["staged"], json!({"state": "valid"}));
    assert_eq!(kept["discardedStagedValidators"], json!([]));
    assert_eq!(kept["tables"][0]["numDocs"], MANY);
    // Only documents that the push would look at are measured.
    assert_eq!(kept["tables"][0]["sizeBytes"], 0);
    let strict = evaluate(rooms("string", false)).await;
    assert_eq!(strict["tables"][0]["outcome"], "mustWalk");
    let bytes = strict["tables"][0]["sizeBytes"].as_u64().unwrap();
    assert!(bytes > 50 * MANY as u64, "{bytes}");
    let other = evaluate(staged("string")).await;
    assert_eq!(other["tables"][0]["staged"]["state"], "failed");
    let error = other["tables"][0]["staged"]["error"].as_str().unwrap();
    assert!(error.contains("does not match the schema"), "{error}");
    let discarded = |replaced: bool| json!([{"tableName": "rooms", "state": {"state": "valid"}, "replaced": replaced}]);
    assert_eq!(other["discardedStagedValidators"], discarded(true));
    // One that is put in force is not given up.
    let promoted = evaluate(rooms("number", false)).await;
    assert_eq!(promoted["discardedStagedValidators"], json!([]));
    assert!(promoted["tables"][0].get("staged").is_none());
    let given_up = evaluate(rooms("any", false)).await;
    assert_eq!(given_up["discardedStagedValidators"], discarded(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_over_a_table_takes_few_documents_at_a_time_and_ends_when_it_has_seen_enough() {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    rig.add_rooms(MANY).await;
    let look = |tx: &mut Transaction<'_>, table: &TableMeta, after, max| {
        tx.measure_documents(table, after, max)
    };
    let mut steps = Vec::new();
    let walked = rig.pushes.walk("rooms", look, |step, bytes| {
        assert!(bytes > 50 * step.documents);
        steps.push(step.documents);
        true
    });
    walked.await.unwrap();
    assert_eq!(steps, [STEP_DOCUMENTS_MAX, STEP_DOCUMENTS_MAX, 7]);
    let mut steps = 0;
    let walked = rig.pushes.walk("rooms", look, |_, _| {
        steps += 1;
        false
    });
    walked.await.unwrap();
    assert_eq!(steps, 1);
    let gone = rig.pushes.walk("halls", look, |_, _| true).await;
    assert!(matches!(gone, Err(PushError::Race(_))));
}

/// A schema with the index `by_n` staged.
fn staged() -> serde_json::Value {
    let mut schema = rooms("number", false);
    schema["tables"][0]["stagedDbIndexes"] = json!([{"indexDescriptor": "by_n", "fields": ["n"]}]);
    schema
}

/// The app's part of the effect that a push of this schema would have.
async fn evaluated(rig: &Rig, schema: serde_json::Value) -> serde_json::Value {
    let request = serde_json::from_value(app("list", Some(schema))).unwrap();
    let mut reply = rig.pushes.evaluate_schema(request).await.unwrap();
    reply["componentSchemaEvaluations"][""].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_needs_a_backfill_unless_its_entries_are_there() {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    rig.add_rooms(MANY).await;
    let change = async || {
        let index = &evaluated(&rig, rooms("number", true)).await["indexes"][0];
        assert_eq!(index["numDocs"], MANY);
        (index["change"].clone(), index["needsBackfill"].clone())
    };
    assert_eq!(change().await, (json!("added"), json!(true)));
    let unfinished = rig
        .start(app("list", Some(rooms("number", true))))
        .await
        .unwrap();
    rig.prepare(&unfinished).await;
    assert_eq!(change().await, (json!("added"), json!(false)));
    rig.push(app("list", Some(staged()))).await.unwrap();
    wait_for_backfill(&rig, "done").await;
    assert_eq!(change().await, (json!("enabled"), json!(false)));
}

/// The state of the first index, once it is this.
async fn wait_for_backfill(rig: &Rig, state: &str) {
    while rig.pushes.indexes(&ComponentPath::ROOT)["indexes"][0]["backfill"]["state"] != state {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_index_is_filled_after_its_push_and_used_once_it_is_enabled() {
    const STAGED: &str =
        "Index rooms.by_n is currently staged and not available to query until it is enabled.";
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    rig.add_rooms(MANY).await;
    let reply = rig.push(app("list", Some(staged()))).await.unwrap();
    let added = &reply["componentDiffs"][""]["indexDiff"]["added_indexes"][0];
    assert_eq!(
        (&added["name"], &added["staged"]),
        (&json!("rooms.by_n"), &json!(true))
    );
    assert_eq!(rig.rooms_with(3.0).await, Err(STAGED.to_owned()));
    // A start goes on where another life has stopped.
    let rig = rig.restart().await;
    wait_for_backfill(&rig, "done").await;
    assert_eq!(rig.rooms_with(3.0).await, Err(STAGED.to_owned()));
    rig.add_rooms(4).await;
    let started = rig
        .start(app("list", Some(rooms("number", true))))
        .await
        .unwrap();
    // Nothing is left to be filled, so the finish needs no preparation even for a large table.
    let reply = rig.finish(started).await.unwrap();
    let enabled = &reply["componentDiffs"][""]["indexDiff"]["enabled_indexes"][0];
    assert_eq!(enabled["name"], "rooms.by_n");
    assert_eq!(rig.rooms_with(3.0).await.unwrap().len(), 2);
    let reply = rig.push(app("list", Some(staged()))).await.unwrap();
    let disabled = &reply["componentDiffs"][""]["indexDiff"]["disabled_indexes"][0];
    assert_eq!(disabled["name"], "rooms.by_n");
    assert_eq!(rig.rooms_with(3.0).await, Err(STAGED.to_owned()));
    rig.add_rooms(4).await;
    rig.push(app("list", Some(rooms("number", true))))
        .await
        .unwrap();
    assert_eq!(rig.rooms_with(3.0).await.unwrap().len(), 3);
}

/// A live schema with an index that its table lacks, as an earlier version left behind where it did not make an index.
async fn with_a_lacking_index() -> Rig {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("any", true))))
        .await
        .unwrap();
    rig.add_rooms(MANY).await;
    rig.transact(|tx| {
        let catalog = tx.catalog();
        let index = catalog.table("rooms").unwrap().index("by_n").unwrap().id;
        assert!(tx.clear_index(index, 2 * MANY).unwrap());
        tx.set_catalog(without(&catalog, "rooms", index)).unwrap();
    })
    .await;
    let gone = rig.rooms_with(3.0).await;
    assert_eq!(gone, Err("Index rooms.by_n not found.".to_owned()));
    rig
}

/// Waits until queries may use the index again.
async fn wait_until_filled(rig: &Rig) -> usize {
    loop {
        match rig.rooms_with(3.0).await {
            Ok(rooms) => return rooms.len(),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_fills_an_index_of_the_live_schema_that_its_table_lacks() {
    let rig = with_a_lacking_index().await.restart().await;
    assert_eq!(wait_until_filled(&rig).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_its_table_lacks_is_filled_when_an_unfinished_push_is_taken_back() {
    let rig = with_a_lacking_index().await;
    let started = rig
        .start(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    assert_eq!(rig.prepare(&started).await["type"], "complete");
    let is_lacking = |rig: &Rig| {
        let catalog = rig.functions.database().definitions().catalog.clone();
        catalog.table("rooms").unwrap().index("by_n").is_none()
    };
    while is_lacking(&rig) {
        rig.clock.advance(PREPARATION_TIME_MAX / 24);
        tokio::task::yield_now().await;
    }
    assert_eq!(wait_until_filled(&rig).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_unfinished_push_has_begun_is_taken_back_after_a_day() {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("any", false))))
        .await
        .unwrap();
    rig.add_rooms(MANY).await;
    let indexes = |rig: &Rig| {
        let catalog = rig.functions.database().definitions().catalog.clone();
        let table = catalog.table("rooms").unwrap();
        (table.indexes.len(), table.pending.is_some())
    };
    let started = rig
        .start(app("list", Some(rooms("number", true))))
        .await
        .unwrap();
    assert_eq!(rig.prepare(&started).await["type"], "complete");
    assert_eq!(indexes(&rig), (1, true));
    for _ in 0..24 {
        assert_eq!(indexes(&rig), (1, true));
        rig.clock.advance(PREPARATION_TIME_MAX / 24);
        tokio::task::yield_now().await;
    }
    while indexes(&rig) != (0, false) {
        rig.clock.advance(PREPARATION_TIME_MAX / 24);
        tokio::task::yield_now().await;
    }
    // The live schema is as it was.
    rig.transact(|tx| tx.insert("rooms", object! { "n" => "three" }).unwrap())
        .await;
    rig.push(app("list", Some(rooms("any", true))))
        .await
        .unwrap();
    assert_eq!(rig.rooms_with(3.0).await.unwrap().len(), 1);
}
