//! A file's life: stored, described, read, deleted.

use data_encoding::{BASE64, HEXLOWER};
use futures_util::TryStreamExt;
use uuid::Uuid;
use vestibule_schema::object;
use vestibule_schema::value::Value;

use super::*;
use crate::database::Limits;
use crate::files::storage_id::StorageId;

#[tokio::test]
async fn a_stored_file_is_read_back_as_it_was() {
    let rig = Rig::new();
    let id = rig.store("hello").await;
    assert_eq!(rig.text(id).await.unwrap(), "hello");
    let loaded = rig.files.load(id.to_string()).await.unwrap().unwrap();
    assert_eq!(loaded.content_type.as_deref(), Some("text/plain"));
    let rig = rig.reopen().await;
    assert_eq!(rig.text(id).await.unwrap(), "hello");
}

#[tokio::test]
async fn its_document_shows_what_is_documented_and_nothing_else() {
    let rig = Rig::new();
    let typed = rig.store("hello").await;
    let untyped = rig.files.store(Bytes::new(), None, None).await.unwrap();
    let documents = rig.read(move |_, tx| Ok((tx.get(typed)?, tx.get(untyped)?)));
    let (typed, untyped) = documents.await.unwrap();
    let (typed, untyped) = (typed.unwrap().fields, untyped.unwrap().fields);
    let names =
        |fields: &vestibule_schema::value::Object| fields.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&typed),
        ["_creationTime", "_id", "contentType", "sha256", "size"]
    );
    assert_eq!(names(&untyped), ["_creationTime", "_id", "sha256", "size"]);
    assert_eq!(typed["sha256"], BASE64.encode(&sha256("hello")).into());
    assert_eq!(typed["size"], Value::Float64(5.0));
    assert_eq!(untyped["size"], Value::Float64(0.0));
}

/// Versions before kept an empty type as it was given.
#[tokio::test]
async fn an_empty_content_type_that_is_stored_is_none() {
    let rig = Rig::new();
    let uuid = Uuid::from_u128(7);
    let id = rig.write(move |_, tx| {
        let file = object! {
            "contentType" => "",
            "sha256" => BASE64.encode(&sha256("")),
            "size" => 0.0,
        };
        let id = tx.insert(STORAGE, file)?;
        tx.insert(OBJECTS, object_fields(id, uuid))?;
        Ok(id)
    });
    let id = id.await.unwrap();
    let found = rig.read(move |_, tx| rows::find(tx, &StorageId::Document(id)));
    assert_eq!(found.await.unwrap().unwrap().content_type, None);
}

#[tokio::test]
async fn its_url_and_metadata_are_the_same_for_both_of_its_names() {
    let rig = Rig::new();
    let id = rig.store("hello").await.to_string();
    let url = rig.files.url_now(id.clone()).await.unwrap().unwrap();
    let uuid = url
        .strip_prefix("https://api.example/api/storage/")
        .unwrap();
    let by_uuid = rig.files.url_now(uuid.to_string()).await.unwrap().unwrap();
    assert_eq!(url, by_uuid);
    let metadata = rig.files.metadata_now(id).await.unwrap().unwrap();
    assert_eq!(
        metadata,
        FileMetadata {
            storage_id: uuid.to_string(),
            sha256: HEXLOWER.encode(&sha256("hello")),
            size: 5.0,
            content_type: Some("text/plain".to_string()),
        }
    );
    let by_uuid = rig.files.metadata_now(uuid.to_string()).await.unwrap();
    assert_eq!(by_uuid.unwrap(), metadata);
}

#[tokio::test]
async fn ids_that_name_no_file_are_told_apart() {
    let rig = Rig::new();
    let note = rig
        .write(|_, tx| Ok(tx.insert("notes", Default::default())?))
        .await
        .unwrap()
        .to_string();
    let gone = rig.store("x").await.to_string();
    rig.files.delete_now(gone.clone()).await.unwrap();
    let unknown = Uuid::new_v4().to_string();
    for id in [&gone, &unknown] {
        assert_eq!(rig.files.url_now(id.clone()).await.unwrap(), None);
        assert_eq!(rig.files.metadata_now(id.clone()).await.unwrap(), None);
        assert!(rig.files.load(id.clone()).await.unwrap().is_none());
        let refused = rig.files.delete_now(id.clone()).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("storage id {id} not found"));
    }
    let refused = rig.files.url_now(note).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Invalid argument `storageId` for `storage.getUrl`: Invalid storage ID. Storage ID cannot be an ID on any \
         table other than '_storage'."
    );
    let refused = rig.files.metadata_now("x".to_string()).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Invalid argument `storageId` for `storage.getMetadata`: Invalid storage ID: \"x\". Storage ID should be an \
         Id of '_storage' table, or a UUID string."
    );
}

#[tokio::test]
async fn a_query_that_asked_for_a_url_is_stale_when_the_file_is_deleted() {
    let rig = Rig::new();
    let id = rig.store("hello").await.to_string();
    let asked = id.clone();
    let reads = rig.read(move |store, tx| {
        store.url(tx, &asked)?;
        Ok((tx.take_reads(), tx.snapshot_ts()))
    });
    let (reads, ts) = reads.await.unwrap();
    rig.files.delete_now(id.clone()).await.unwrap();
    let write_log = rig.files.database.write_log();
    // News comes a moment after the answer.
    let mut newest = write_log.subscribe();
    newest.wait_for(|newest| *newest > ts).await.unwrap();
    let freshness = write_log.freshness(&reads, ts);
    assert_ne!(freshness, crate::database::Freshness::Fresh);
}

#[tokio::test]
async fn deleting_within_a_transaction_holds_only_if_it_commits() {
    let rig = Rig::new();
    let id = rig.store("hello").await;
    let refused = rig.write(move |store, tx| {
        store.delete(tx, &id.to_string())?;
        assert_eq!(store.url(tx, &id.to_string())?, None);
        Err::<(), _>(FileError::InvalidToken)
    });
    refused.await.unwrap_err();
    rig.files.remove_deleted().await.unwrap();
    assert_eq!(rig.text(id).await.unwrap(), "hello");
    rig.write(move |store, tx| store.delete(tx, &id.to_string()))
        .await
        .unwrap();
    assert_eq!(rig.text(id).await, None);
    assert_eq!(rig.contents().len(), 1);
    assert_eq!(rig.files.remove_deleted().await.unwrap(), 1);
    assert_eq!(rig.contents().len(), 0);
    assert_eq!(rig.files.remove_deleted().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_stores_and_reads_files_within_its_transaction() {
    let rig = Rig::new();
    let id = rig.write(|store, tx| {
        let id = store.store_within(tx, b"hello", Some("text/plain"), Some(sha256("hello")))?;
        let loaded = store.load_within(tx, &id.to_string())?.unwrap();
        assert_eq!(&loaded.content[..], b"hello");
        Ok(id)
    });
    let id = id.await.unwrap();
    assert_eq!(rig.text(id).await.unwrap(), "hello");
    let refused = rig.write(|store, tx| store.store_within(tx, b"x", None, Some(sha256("y"))));
    let refused = refused.await.unwrap_err().to_string();
    assert!(
        refused.starts_with("Sha256 mismatch. Expected: "),
        "{refused}"
    );
    let counted = rig.write(|store, tx| {
        let id = store.store_within(tx, b"hello", None, None)?.to_string();
        store.load_within(tx, &id)?;
        store.load_within(tx, &id)?;
        let used = tx.usage();
        let written = (used.files_written, used.file_bytes_written);
        assert_eq!(
            (written, used.files_read, used.file_bytes_read),
            ((1, 5), 2, 10)
        );
        let limits = *tx.limits();
        tx.set_limits(Limits {
            files_written_max: 1,
            file_bytes_read_max: 14,
            ..limits
        });
        let read = store.load_within(tx, &id).unwrap_err();
        Ok([read, store.store_within(tx, b"x", None, None).unwrap_err()].map(|e| e.to_string()))
    });
    let [read, written] = counted.await.unwrap();
    assert!(read.contains("limit: 14"), "{read}");
    assert!(written.contains("limit: 1"), "{written}");
    rig.files.remove_deleted().await.unwrap();
    assert_eq!(rig.contents().len(), 2);
    // A query stores nothing, and nothing is written for it.
    let refused = rig.read(|store, tx| store.store_within(tx, b"x", None, None));
    assert!(refused.await.is_err());
    assert_eq!(rig.contents().len(), 2);
}

#[tokio::test]
async fn a_part_of_a_file_is_read_alone() {
    let rig = Rig::new();
    let text: &'static str = Box::leak("0123456789".repeat(30_000).into_boxed_str());
    let id = rig.store(text).await.to_string();
    let url = rig.files.url_now(id).await.unwrap().unwrap();
    let uuid = parse_uuid(url.rsplit('/').next().unwrap()).unwrap();
    let row = rig.files.find(uuid).await.unwrap().unwrap();
    for range in [0..1, 5..70_000, 299_999..300_000, 0..300_000] {
        let wanted = range.start as usize..range.end as usize;
        let open = rig.files.open(row.clone(), Some(range)).await.unwrap();
        let parts: Vec<Bytes> = open.content.try_collect().await.unwrap();
        assert_eq!(parts.concat(), text.as_bytes()[wanted]);
    }
}
