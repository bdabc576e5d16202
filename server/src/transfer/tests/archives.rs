//! Archives: out of one deployment and into another, and archives as other servers write them.

use std::io::{Cursor, Read, Write};

use vestibule_schema::object;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::*;

fn zip(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in entries {
        writer
            .start_file(*name, SimpleFileOptions::default())
            .unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn entry(archive: &[u8], name: &str) -> String {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut text = String::new();
    archive
        .by_name(name)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text
}

async fn import_all(rig: &Rig, mode: Mode, archive: &[u8]) -> Object {
    rig.import(request(None, mode, Format::Zip), archive).await
}

#[tokio::test]
async fn what_is_exported_is_imported_elsewhere_as_it_was() {
    let from = Rig::new();
    let room = from.insert("rooms", object! { "name" => "Kitchen" }).await;
    let user = object! {
        "name" => "Ada", "room" => room.to_string(), "big" => i64::MAX, "float" => 7.0, "negative" => -0.0,
        "nan" => f64::NAN, "bytes" => Value::Bytes(vec![0, 255]), "none" => Value::Null,
        "nested" => object! { "list" => Value::Array(vec![1_i64.into(), 1.0.into(), true.into()]) },
    };
    from.insert("users", user).await;
    let text = Some("text/plain".to_string());
    let files = &from.transfers.files;
    let file = files
        .store(Bytes::from_static(b"hello"), text, None)
        .await
        .unwrap();
    let empty = files.store(Bytes::new(), None, None).await.unwrap();
    let url = files.url_now(file.to_string()).await.unwrap();
    let archive = from.export(true).await;
    assert_eq!(
        entry(&archive, "users/generated_schema.jsonl"),
        "\"uniform\"\n"
    );
    assert!(entry(&archive, "users/documents.jsonl").contains("\"float\":7.0"));
    assert_eq!(entry(&archive, &format!("_storage/{file}.txt")), "hello");
    // Elsewhere tables were made in another order, so that they have other numbers.
    let other = Schema::new()
        .define(TableDefinition::new("others"))
        .define(TableDefinition::new("rooms"))
        .define(TableDefinition::new("users"));
    for mode in [
        Mode::RequireEmpty,
        Mode::Append,
        Mode::Replace,
        Mode::ReplaceAll,
    ] {
        let to = Rig::with(other.clone());
        assert_eq!(
            written(&import_all(&to, mode, &archive).await),
            4,
            "{mode:?}"
        );
        for table in ["rooms", "users", "_storage"] {
            let (before, after) = (from.documents(table).await, to.documents(table).await);
            assert_eq!(
                format!("{before:?}"),
                format!("{after:?}"),
                "{mode:?} {table}"
            );
        }
        let files = &to.transfers.files;
        assert_eq!(files.url_now(file.to_string()).await.unwrap(), url);
        let loaded = files.load(file.to_string()).await.unwrap().unwrap();
        assert_eq!(&loaded.content[..], b"hello");
        let loaded = files.load(empty.to_string()).await.unwrap().unwrap();
        assert!(loaded.content.is_empty());
        assert_eq!(files.sweep_all().await.unwrap(), 0);
        // Once more: the existing documents go, and the same ones come.
        if mode == Mode::ReplaceAll {
            assert_eq!(written(&import_all(&to, mode, &archive).await), 4);
            let loaded = files.load(file.to_string()).await.unwrap().unwrap();
            assert_eq!(&loaded.content[..], b"hello");
            let again = to.export(true).await;
            for name in ["users/documents.jsonl", "rooms/documents.jsonl"] {
                assert_eq!(entry(&again, name), entry(&archive, name));
            }
        }
    }
}

#[tokio::test]
async fn an_archive_that_is_appended_in_vain_leaves_neither_documents_nor_files() {
    let from = Rig::with(Schema::new().define(TableDefinition::new("users")));
    for name in ["Ada", "Ada"] {
        from.insert("users", object! { "name" => name }).await;
    }
    let files = &from.transfers.files;
    files
        .store(Bytes::from_static(b"hello"), None, None)
        .await
        .unwrap();
    let archive = from.export(true).await;
    let to = Rig::new();
    to.insert("users", object! { "name" => "Old" }).await;
    let files = &to.transfers.files;
    let kept = files
        .store(Bytes::from_static(b"kept"), None, None)
        .await
        .unwrap();
    // Only the second of the two is refused, when file and first one are there.
    let state = import_all(&to, Mode::Append, &archive).await;
    assert!(failure(&state).contains("Unique index"), "{state:?}");
    assert_eq!(to.texts("users", "name").await, ["Old"]);
    for table in ["_storage", "_storage_objects", "_storage_deletions"] {
        assert_eq!(to.documents(table).await.len(), 1, "{table}");
    }
    assert_eq!(files.remove_deleted().await.unwrap(), 1);
    let loaded = files.load(kept.to_string()).await.unwrap().unwrap();
    assert_eq!(&loaded.content[..], b"kept");
}

#[tokio::test]
async fn an_archive_of_another_server_is_imported_with_its_ids() {
    let tables = "{\"name\":\"rooms\",\"id\":10002}\n{\"name\":\"_storage\",\"id\":10009}\n";
    let room: DocumentId = "j97dxbdyxz5fxeny04hmasw9nd721jpf".parse().unwrap();
    let number = vestibule_schema::id::TableNumber::new(10_009).unwrap();
    let file = DocumentId::<()>::new(number, room.internal());
    let rooms =
        format!("{{\"_id\":\"{room}\",\"_creationTime\":1700000000000.5,\"n\":7,\"f\":7.0}}\n");
    let digest = data_encoding::BASE64.encode(&<sha2::Sha256 as sha2::Digest>::digest("png"));
    let uuid = "01234567-89ab-4def-8123-456789abcdef";
    let storage = format!(
        "{{\"_id\":\"{file}\",\"_creationTime\":1700000000001.0,\"sha256\":\"{digest}\",\"size\":3,\
         \"contentType\":\"image/png\",\"internalId\":\"{uuid}\"}}\n"
    );
    let content = format!("snapshot/_storage/{file}.png");
    let archive = zip(&[
        ("snapshot/README.md", "hello"),
        ("snapshot/_tables/documents.jsonl", tables),
        ("snapshot/rooms/documents.jsonl", &rooms),
        ("snapshot/rooms/generated_schema.jsonl", "\"uniform\"\n"),
        ("snapshot/_storage/documents.jsonl", &storage),
        ("snapshot/_storage/generated_schema.jsonl", "\"uniform\"\n"),
        (&content, "png"),
        ("snapshot/_scheduled_jobs/documents.jsonl", "{}"),
    ]);
    let rig = Rig::new();
    let state = import_all(&rig, Mode::ReplaceAll, &archive).await;
    assert_eq!(written(&state), 2);
    let found = rig.read(move |tx| Ok(tx.get(room)?)).await.unwrap().fields;
    assert_eq!(
        (&found["n"], &found["f"]),
        (&Value::Int64(7), &Value::Float64(7.0))
    );
    assert_eq!(found["_creationTime"], Value::Float64(1_700_000_000_000.5));
    let url = rig.transfers.files.url_now(file.to_string()).await.unwrap();
    assert_eq!(
        url.unwrap(),
        format!("https://api.example/api/storage/{uuid}")
    );
    // A new file has an id of the same table, also after a restart.
    let rig = rig.reopen().await;
    let new = rig
        .transfers
        .files
        .store(Bytes::from_static(b"x"), None, None)
        .await
        .unwrap();
    assert_eq!(new.table(), number);
    let loaded = rig
        .transfers
        .files
        .load(file.to_string())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(loaded.content_type.as_deref(), Some("image/png"));
}

#[tokio::test]
async fn an_archive_whose_files_are_wrong_leaves_no_content() {
    let id = "0400000000000000000000000000248";
    let about = |sha256: &str, size: u32| {
        format!(
            "{{\"_id\":\"{id}\",\"_creationTime\":1.5,\"sha256\":\"{sha256}\",\"size\":{size}}}"
        )
    };
    let right = data_encoding::BASE64.encode(&<sha2::Sha256 as sha2::Digest>::digest("png"));
    let wrong = data_encoding::BASE64.encode(&[7; 32]);
    let content = format!("_storage/{id}");
    for (line, content, problem) in [
        (about(&wrong, 3), content.as_str(), "Sha256 mismatch"),
        (about(&right, 4), content.as_str(), "has 3 bytes"),
        (about(&right, 3), "_storage/other", "lacks the content"),
        ("{}".to_string(), content.as_str(), "no _id"),
    ] {
        let archive = zip(&[("_storage/documents.jsonl", &line), (content, "png")]);
        let rig = Rig::new();
        let state = import_all(&rig, Mode::Replace, &archive).await;
        assert!(failure(&state).contains(problem), "{state:?}");
        assert_eq!(rig.documents("_storage").await, []);
        let shards = std::fs::read_dir(rig.dir.path().join("files")).unwrap();
        let contents = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
        assert_eq!(contents.count(), 0, "{problem}");
    }
}

#[tokio::test]
async fn contents_of_replaced_files_go_as_those_of_deleted_ones() {
    let rig = Rig::new();
    let files = rig.transfers.files.clone();
    let old = files.store(Bytes::from_static(b"old"), None, None);
    let old = old.await.unwrap();
    let archive = rig.export(true).await;
    assert_eq!(
        written(&import_all(&rig, Mode::ReplaceAll, &archive).await),
        1
    );
    // The one before has a note, and the one that came in its place has none.
    assert_eq!(files.remove_deleted().await.unwrap(), 1);
    assert_eq!(files.remove_deleted().await.unwrap(), 0);
    let loaded = files.load(old.to_string()).await.unwrap().unwrap();
    assert_eq!(&loaded.content[..], b"old");
    let shards = std::fs::read_dir(rig.dir.path().join("files")).unwrap();
    let contents = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    assert_eq!(contents.count(), 1);
}

#[tokio::test]
async fn a_damaged_entry_is_the_archives_fault() {
    let text = format!("{{\"name\":\"{}\"}}", "Ada Lovelace ".repeat(50));
    let mut archive = zip(&[("users/documents.jsonl", &text)]);
    let name = b"users/documents.jsonl";
    let at = archive.windows(name.len()).position(|some| some == name);
    let content = at.unwrap() + name.len();
    archive[content + 10..content + 20].fill(0x55);
    let state = import_all(&Rig::new(), Mode::Replace, &archive).await;
    assert!(
        failure(&state).contains("The archive is refused: an entry is damaged"),
        "{state:?}"
    );
}

#[tokio::test]
async fn a_cut_archive_fails_before_anything_is_written() {
    let from = Rig::new();
    from.insert("users", object! { "name" => "Ada" }).await;
    let archive = from.export(false).await;
    let rig = Rig::new();
    rig.insert("users", object! { "name" => "Old" }).await;
    for cut in [0, 1, archive.len() / 2, archive.len() - 1] {
        let state = import_all(&rig, Mode::ReplaceAll, &archive[..cut]).await;
        assert!(!failure(&state).is_empty());
        assert_eq!(rig.texts("users", "name").await, ["Old"]);
    }
}

#[tokio::test]
async fn one_export_runs_at_a_time() {
    let rig = Rig::new();
    rig.write(|tx| {
        let waiting = object! { "state" => "requested" };
        Ok(tx.insert(EXPORTS, waiting)?)
    })
    .await;
    let refused = rig.transfers.request_export(false).await;
    assert!(matches!(refused, Err(TransferError::ExportInProgress)));
    rig.transfers.recover().await.unwrap();
    rig.export(false).await;
}
