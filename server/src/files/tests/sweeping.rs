//! The content that a crash leaves without a document is swept, and nothing else.

use uuid::Uuid;

use super::storage_id::StorageId;
use super::*;

/// Content without a document, as a crash leaves it after the rename.
async fn orphan(rig: &Rig) -> Uuid {
    let key = Uuid::new_v4();
    let mut writer = rig.files.blobs.begin(key).await.unwrap();
    writer.write(b"orphan").await.unwrap();
    writer.finish(None).await.unwrap();
    key
}

#[tokio::test]
async fn content_without_a_document_is_swept_when_it_is_old() {
    let rig = Rig::new();
    let kept = rig.store("kept").await;
    orphan(&rig).await;
    assert_eq!(rig.files.sweep_all().await.unwrap(), 0);
    assert_eq!(rig.contents().len(), 2);
    rig.age();
    assert_eq!(rig.files.sweep_all().await.unwrap(), 1);
    assert_eq!(rig.contents().len(), 1);
    assert_eq!(rig.text(kept).await.unwrap(), "kept");
}

#[tokio::test]
async fn what_an_upload_left_under_a_temporary_name_is_swept() {
    let rig = Rig::new();
    let shard = rig.dir.path().join("files").join("ab");
    std::fs::create_dir_all(&shard).unwrap();
    let key = "ab000000-0000-4000-8000-000000000000";
    std::fs::write(shard.join(format!("{key}#1")), "half").unwrap();
    std::fs::write(shard.join("notes.txt"), "of somebody else").unwrap();
    assert_eq!(rig.files.sweep_all().await.unwrap(), 0);
    rig.age();
    assert_eq!(rig.files.sweep_all().await.unwrap(), 1);
    assert_eq!(rig.contents(), ["notes.txt"]);
}

#[tokio::test]
async fn content_whose_document_is_on_its_way_is_left_alone() {
    let rig = Rig::new();
    let key = orphan(&rig).await;
    let begun = rig
        .files
        .under_way
        .begin(key, rig.clock.elapsed() + Duration::from_secs(4_000));
    rig.age();
    assert_eq!(rig.files.sweep_all().await.unwrap(), 0);
    drop(begun);
    let hold = rig.files.hold();
    assert_eq!(rig.files.sweep_all().await.unwrap(), 0);
    drop(hold);
    assert_eq!(rig.files.sweep_all().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_mutation_that_failed_is_swept() {
    let rig = Rig::new();
    let failed = rig.write(|store, tx| {
        store.store_within(tx, b"hello", None, None)?;
        Err::<(), _>(FileError::InvalidToken)
    });
    failed.await.unwrap_err();
    assert_eq!(rig.contents().len(), 1);
    rig.age();
    rig.files.sweep_all().await.unwrap();
    assert_eq!(rig.contents().len(), 0);
}

#[tokio::test]
async fn a_store_without_directories_is_swept_alike() {
    let blobs = Blobs::in_store(Arc::new(object_store::memory::InMemory::new()));
    let rig = Rig::with(FilesOptions::default(), Some(blobs));
    let kept = rig.store("kept").await;
    let empty = rig.files.store(Bytes::new(), None, None).await.unwrap();
    let key = orphan(&rig).await;
    rig.clock.advance(rig.files.options.orphan_age * 2);
    rig.files.sweep_all().await.unwrap();
    assert_eq!(rig.files.blobs.size(key).await.unwrap(), None);
    assert_eq!(rig.text(kept).await.unwrap(), "kept");
    assert_eq!(rig.text(empty).await.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_content_of_a_deleted_file_stays_for_as_long_as_it_is_kept_for_backups() {
    let kept_for = Duration::from_secs(7_200);
    let options = FilesOptions {
        deleted_kept_for: kept_for,
        ..FilesOptions::default()
    };
    assert!(kept_for > options.orphan_age);
    let rig = Rig::with(options, None);
    let id = rig.store("hello").await;
    rig.write(move |store, tx| store.delete(tx, &id.to_string()))
        .await
        .unwrap();
    // Old enough to pass for one that never got a document.
    rig.clock.advance(kept_for - Duration::from_secs(60));
    assert_eq!(rig.files.remove_deleted().await.unwrap(), 0);
    assert_eq!(rig.files.sweep_all().await.unwrap(), 0);
    assert_eq!(rig.contents().len(), 1);
    assert_eq!(rig.text(id).await, None);
    rig.clock.advance(Duration::from_secs(120));
    assert_eq!(rig.files.remove_deleted().await.unwrap(), 1);
    assert_eq!(rig.contents().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_content_of_a_file_that_is_shown_again_outlives_the_note_of_its_deletion() {
    let rig = Rig::new();
    let id = rig.store("hello").await;
    rig.write(move |_, tx| {
        let uuid = rows::uuid_of(tx, &StorageId::Document(id))?.unwrap();
        let note = vestibule_schema::object! { "uuid" => uuid.to_string() };
        tx.insert(rows::DELETIONS, note).map_err(FileError::from)
    })
    .await
    .unwrap();
    assert_eq!(rig.files.remove_deleted().await.unwrap(), 1);
    assert_eq!(rig.text(id).await.unwrap(), "hello");
    assert_eq!(rig.files.remove_deleted().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_content_does_not_take_the_key_of_a_deleted_file() {
    let rig = Rig::new();
    let id = rig.store("hello").await;
    let key = rig
        .read(move |_, tx| rows::uuid_of(tx, &StorageId::Document(id)))
        .await
        .unwrap()
        .unwrap();
    rig.write(move |store, tx| store.delete(tx, &id.to_string()))
        .await
        .unwrap();
    // As if the process had ended after it removed the content, and before it removed the note.
    rig.files.remove_content(key).await;
    let files = rig.files.clone();
    let moving = move || files.move_in(Some(key), &mut &b"hello"[..], None);
    let moved = tokio::task::spawn_blocking(moving).await.unwrap();
    assert_ne!(moved.unwrap().0, key);
}
