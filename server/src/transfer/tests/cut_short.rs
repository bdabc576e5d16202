//! Transfers that are cut short: by callers that leave, administrators who cancel, and the end of the server.

use std::time::Duration;

use futures_util::poll;
use vestibule_schema::object;

use super::*;
use crate::files::BrokenOff;
use crate::transfer::appended::APPENDED;

const LINE: &[u8] = b"{\"name\":\"Ada\"}\n";

fn append() -> ImportRequest {
    request(Some("users"), Mode::Append, Format::JsonLines)
}

/// Begins a request and leaves.
async fn leave<T>(asking: impl Future<Output = T>) {
    let mut asking = Box::pin(asking);
    let _ = poll!(&mut asking);
}

#[tokio::test]
async fn what_a_caller_began_goes_on_when_the_caller_leaves() {
    let rig = Rig::new();
    let token = rig.transfers.start_upload().unwrap();
    let content = stream::iter([Ok(Bytes::from_static(LINE))]);
    let part = rig.transfers.take_part(&token, 1, content).await.unwrap();
    leave(rig.transfers.finish_upload(append(), &token, &[part])).await;
    let id = loop {
        let imports = rig.documents(IMPORTS).await;
        match imports.first() {
            Some(import) => break import["_id"].as_str().unwrap().parse().unwrap(),
            None => tokio::task::yield_now().await,
        }
    };
    rig.state(id, &["waiting_for_confirmation"]).await;
    leave(rig.transfers.perform_import(id.to_string())).await;
    assert_eq!(written(&rig.state(id, &["completed"]).await), 1);
    leave(rig.transfers.request_export(false)).await;
    loop {
        let exports = rig.documents(EXPORTS).await;
        match exports.first().map(name_of) {
            Some("completed") => break,
            Some("requested" | "in_progress") | None => tokio::task::yield_now().await,
            Some(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn an_import_that_is_canceled_before_its_turn_writes_nothing() {
    let rig = Rig::new();
    rig.insert("users", object! { "name" => "Old" }).await;
    let id = rig.upload(append(), LINE, 100).await;
    rig.state(id, &["waiting_for_confirmation"]).await;
    let held = rig.hold_imports().await;
    rig.transfers.perform_import(id.to_string()).await.unwrap();
    rig.transfers.cancel_import(id.to_string()).await.unwrap();
    assert_eq!(failure(&rig.state(id, &["failed"]).await), "Canceled");
    drop(held);
    rig.transfers.under_way.ended().await;
    rig.settled().await;
    assert_eq!(rig.texts("users", "name").await, ["Old"]);
    assert_eq!(rig.transfers.uploads.all().unwrap(), []);
}

/// Users, the last of whom is there already by the name that no two may have: no look at the file alone can tell.
fn with_a_twin() -> Vec<u8> {
    let mut lines: Vec<u8> = LINE.to_vec();
    for number in 0..3_000 {
        lines.extend(format!("{{\"name\":\"u{number:04}\"}}\n").bytes());
    }
    lines.extend(LINE);
    lines
}

#[tokio::test]
async fn an_append_that_fails_in_the_middle_takes_back_what_it_wrote() {
    let rig = Rig::new();
    rig.insert("users", object! { "name" => "Old" }).await;
    let state = rig.import(append(), &with_a_twin()).await;
    assert!(failure(&state).contains("Unique index"), "{state:?}");
    assert_eq!(rig.texts("users", "name").await, ["Old"]);
    assert_eq!(rig.documents(APPENDED).await, []);
    // Nothing is left in indexes either: the same names may come again.
    assert_eq!(written(&rig.import(append(), LINE).await), 1);
    assert_eq!(rig.texts("users", "name").await, ["Old", "Ada"]);
    assert_eq!(rig.documents(APPENDED).await, []);
}

#[tokio::test]
async fn a_start_takes_back_what_an_append_wrote_before_the_process_ended() {
    for (state, left) in [
        (states::in_progress("Importing", &[]), vec!["Old"]),
        (states::failed("Canceled"), vec!["Old"]),
        (states::completed(1, 0), vec!["Old", "Ada"]),
    ] {
        let rig = Rig::new();
        rig.insert("users", object! { "name" => "Old" }).await;
        let id = rig.upload(append(), LINE, 100).await;
        rig.state(id, &["waiting_for_confirmation"]).await;
        // As if the process had ended behind a batch.
        rig.write(move |tx| {
            let ada = tx.insert("users", object! { "name" => "Ada" })?;
            let gone = tx.insert("users", object! { "name" => "Gone" })?;
            appended::note(tx, id, "users", &[ada, gone])?;
            tx.delete(gone)?;
            states::set_state(tx, id, state)
        })
        .await;
        let rig = rig.reopen().await;
        rig.transfers.recover().await.unwrap();
        assert_eq!(rig.texts("users", "name").await, left);
        assert_eq!(rig.documents(APPENDED).await, []);
    }
}

/// As if the disk had been full: an append failed, and what it wrote could not be taken back.
async fn fail_with_a_note(rig: &Rig, document: DocumentId) {
    let id = rig.upload(append(), LINE, 100).await;
    rig.state(id, &["waiting_for_confirmation"]).await;
    rig.write(move |tx| {
        appended::note(tx, id, "users", &[document])?;
        states::set_state(tx, id, states::failed("The disk is full."))
    })
    .await;
}

#[tokio::test]
async fn an_import_keeps_its_documents_though_a_failed_append_wrote_the_same() {
    let rig = Rig::new();
    let ada = rig.insert("users", object! { "name" => "Ada" }).await;
    fail_with_a_note(&rig, ada).await;
    let line = format!("{{\"_id\":\"{ada}\",\"name\":\"Ada\"}}\n");
    let replace = request(Some("users"), Mode::Replace, Format::JsonLines);
    assert_eq!(written(&rig.import(replace, line.as_bytes()).await), 1);
    assert_eq!(rig.texts("users", "name").await, ["Ada"]);
    assert_eq!(rig.documents(APPENDED).await, []);
}

#[tokio::test]
async fn a_sweep_takes_back_what_a_failed_append_has_left() {
    let rig = Rig::new();
    let ada = rig.insert("users", object! { "name" => "Ada" }).await;
    fail_with_a_note(&rig, ada).await;
    // It does not wait for an import that runs.
    let held = rig.hold_imports().await;
    rig.transfers.sweep().await.unwrap();
    assert_eq!(rig.texts("users", "name").await, ["Ada"]);
    drop(held);
    rig.settled().await;
    rig.transfers.sweep().await.unwrap();
    assert_eq!(rig.documents("users").await, []);
    assert_eq!(rig.documents(APPENDED).await, []);
}

#[tokio::test]
async fn imports_and_exports_end_though_taking_back_fails() {
    let rig = Rig::new();
    let ada = rig.insert("users", object! { "name" => "Ada" }).await;
    rig.insert(EXPORTS, object! { "state" => "in_progress" })
        .await;
    let id = rig.upload(append(), LINE, 100).await;
    rig.state(id, &["waiting_for_confirmation"]).await;
    rig.write(move |tx| {
        appended::note(tx, id, "users", &[ada])?;
        states::set_state(tx, id, states::in_progress("Importing", &[]))
    })
    .await;
    let rig = rig.reopen().await;
    // No document that can be read, and so none that can be taken back.
    let catalog = rig.transfers.database.definitions().catalog.clone();
    let users = catalog.table("users").unwrap();
    let key = users.by_id.key(&ada.internal().0);
    let (damaged, mended) = (key.clone(), key);
    let whole = rig.write(move |tx| {
        let whole = tx.read_system(&damaged)?;
        tx.write_system(damaged, Some(Bytes::from_static(b"\xff")));
        Ok(whole)
    });
    let whole = whole.await;
    rig.transfers.recover().await.unwrap_err();
    let exports = rig.documents(EXPORTS).await;
    assert_eq!(name_of(&exports[0]), "failed");
    // Whoever reads that it failed finds nothing of it.
    rig.state(id, &["in_progress"]).await;
    rig.write(move |tx| {
        tx.write_system(mended, whole);
        Ok(())
    })
    .await;
    rig.transfers.sweep().await.unwrap();
    let state = rig.state(id, &["failed"]).await;
    assert!(failure(&state).contains("restarted"), "{state:?}");
    assert_eq!(rig.documents("users").await, []);
    assert_eq!(rig.documents(APPENDED).await, []);
    assert_eq!(rig.transfers.uploads.all().unwrap(), []);
}

#[tokio::test]
async fn a_canceled_append_is_taken_back() {
    let rig = Rig::new();
    rig.insert("users", object! { "name" => "Old" }).await;
    let id = rig.upload(append(), LINE, 100).await;
    rig.state(id, &["waiting_for_confirmation"]).await;
    let held = rig.hold_imports().await;
    rig.transfers.perform_import(id.to_string()).await.unwrap();
    while !rig.transfers.under_way.contains(id) {
        tokio::task::yield_now().await;
    }
    // As if it had written a batch: when it would, a busy machine decides.
    rig.write(move |tx| {
        let gone = tx.insert("users", object! { "name" => "Gone" })?;
        Ok(appended::note(tx, id, "users", &[gone])?)
    })
    .await;
    rig.transfers.cancel_import(id.to_string()).await.unwrap();
    drop(held);
    rig.transfers.under_way.ended().await;
    rig.settled().await;
    assert_eq!(rig.texts("users", "name").await, ["Old"]);
    assert_eq!(rig.documents(APPENDED).await, []);
}

#[tokio::test]
async fn no_batch_is_written_behind_the_commit_that_cancels_its_import() {
    let rig = Rig::new();
    let id = rig.upload(append(), LINE, 100).await;
    rig.state(id, &["waiting_for_confirmation"]).await;
    rig.write(move |tx| states::set_state(tx, id, states::failed("Canceled")))
        .await;
    let refused = rig.read(move |tx| Ok(Import::check_in_progress(tx, id)));
    assert!(matches!(refused.await, Err(TransferError::Canceled)));
}

#[tokio::test]
async fn a_server_that_ends_interrupts_its_imports_and_says_so() {
    let rig = Rig::new();
    rig.insert("users", object! { "name" => "Old" }).await;
    let id = rig.upload(append(), LINE, 100).await;
    rig.state(id, &["waiting_for_confirmation"]).await;
    let held = rig.hold_imports().await;
    rig.transfers.perform_import(id.to_string()).await.unwrap();
    let (transfers, later) = (rig.transfers.clone(), async {
        while !rig.transfers.under_way.is_ending() {
            tokio::task::yield_now().await;
        }
        drop(held);
    });
    tokio::join!(transfers.shut_down(Duration::ZERO), later);
    let state = rig.state(id, &["failed"]).await;
    assert!(failure(&state).contains("restarted"), "{state:?}");
    assert_eq!(rig.texts("users", "name").await, ["Old"]);
    // From now on none begins.
    let content = stream::iter([Ok(Bytes::from_static(LINE))]);
    let refused = rig.transfers.import_now(append(), content).await;
    assert!(matches!(refused, Err(TransferError::Interrupted)));
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_no_upload() {
    let rig = Rig::new();
    let content = stream::iter([Ok(Bytes::from_static(LINE)), Err(BrokenOff)]);
    rig.transfers
        .import_now(append(), content)
        .await
        .unwrap_err();
    assert_eq!(rig.transfers.uploads.all().unwrap(), []);
    let asking = rig.transfers.import_now(append(), stream::pending());
    leave(asking).await;
    assert_eq!(rig.transfers.uploads.all().unwrap(), []);
}

#[tokio::test]
async fn archives_that_no_export_offers_are_removed() {
    let rig = Rig::new();
    let whole = rig.export(false).await;
    let failed = rig.insert(EXPORTS, object! { "state" => "failed" }).await;
    let gone = DocumentId::new(failed.table(), vestibule_schema::id::InternalId([7; 16]));
    let exports = rig.dir.path().join("exports");
    for left in [failed, gone] {
        std::fs::write(rig.transfers.archive_of(left), "left").unwrap();
        std::fs::write(exports.join(format!("{left}.arriving")), "left").unwrap();
    }
    // One that is still being written.
    let begun = rig.transfers.under_way.begin(gone);
    rig.transfers.sweep().await.unwrap();
    assert_eq!(std::fs::read_dir(&exports).unwrap().count(), 3);
    drop(begun);
    rig.transfers.sweep().await.unwrap();
    let left: Vec<_> = std::fs::read_dir(&exports).unwrap().collect();
    assert_eq!(left.len(), 1);
    let left = std::fs::read(left[0].as_ref().unwrap().path()).unwrap();
    assert!(left == whole);
}

#[tokio::test]
async fn an_export_that_is_canceled_at_its_end_leaves_no_archive() {
    let rig = Rig::new();
    let id = rig.insert(EXPORTS, object! { "state" => "canceled" }).await;
    std::fs::write(rig.transfers.archive_of(id), "whole").unwrap();
    let transfers = rig.transfers.clone();
    let telling = tokio::task::spawn_blocking(move || transfers.export_and_tell(id, false));
    telling.await.unwrap();
    assert!(!rig.transfers.archive_of(id).exists());
}

#[tokio::test]
async fn the_upload_of_an_import_that_is_over_is_swept() {
    let rig = Rig::new();
    let id = rig.upload(append(), LINE, 100).await;
    rig.state(id, &["waiting_for_confirmation"]).await;
    rig.transfers.sweep().await.unwrap();
    assert_eq!(rig.transfers.uploads.all().unwrap().len(), 1);
    // As if the process had ended between the two.
    rig.write(move |tx| states::set_state(tx, id, states::failed("Canceled")))
        .await;
    rig.transfers.sweep().await.unwrap();
    assert_eq!(rig.transfers.uploads.all().unwrap(), []);
}
