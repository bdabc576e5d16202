//! Archives: out of one deployment and into another, and archives as other servers write them.

use std::io::{Cursor, Read, Write};

use vestibule_schema::id::{InternalId, TableNumber};
use vestibule_schema::object;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::*;
use crate::database::{Patch, compare, read_catalog};

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

/// The id of the first document of the table with this number.
fn first_id(number: u32) -> DocumentId {
    DocumentId::new(TableNumber::new(number).unwrap(), InternalId([7; 16]))
}

fn line(number: u32, fields: &str) -> String {
    let id = first_id(number);
    format!("{{\"_id\":\"{id}\",\"_creationTime\":1.0,{fields}}}\n")
}

/// As Convex writes it: the app and each component count their tables from 10001.
fn archive_of_convex() -> Vec<u8> {
    let users = line(10_001, "\"name\":\"Ada\"");
    let jobs = line(10_001, &format!("\"of\":\"{}\"", first_id(10_002)));
    let users_of_kid = line(10_002, "\"name\":\"Bob\"");
    let steps = line(10_001, "\"step\":1.0");
    zip(&[
        (
            "_tables/documents.jsonl",
            "{\"name\":\"users\",\"id\":10001}\n",
        ),
        ("users/documents.jsonl", &users),
        (
            "_components/kid/_tables/documents.jsonl",
            "{\"name\":\"jobs\",\"id\":10001}\n{\"name\":\"users\",\"id\":10002}\n",
        ),
        ("_components/kid/jobs/documents.jsonl", &jobs),
        ("_components/kid/users/documents.jsonl", &users_of_kid),
        (
            "_components/kid/_components/sub/_tables/documents.jsonl",
            "{\"name\":\"steps\",\"id\":10001}\n",
        ),
        (
            "_components/kid/_components/sub/steps/documents.jsonl",
            &steps,
        ),
    ])
}

/// One field of the document with this id, as a component reads it.
async fn field(rig: &Rig, component: &str, number: u32, field: &'static str) -> Option<Value> {
    let component: ComponentPath = component.parse().unwrap();
    let found = rig.read(move |tx| {
        tx.enter(component);
        Ok(tx.get(first_id(number))?)
    });
    found
        .await
        .and_then(|found| found.fields.get(field).cloned())
}

#[tokio::test]
async fn components_keep_ids_that_others_have_too() {
    let rig = Rig::new();
    let (ada, bob) = (Some(Value::from("Ada")), Some(Value::from("Bob")));
    for mode in [Mode::Append, Mode::Replace, Mode::ReplaceAll] {
        let archive = archive_of_convex();
        assert_eq!(
            written(&import_all(&rig, mode, &archive).await),
            4,
            "{mode:?}"
        );
        assert_eq!(field(&rig, "", 10_001, "name").await, ada);
        let user = Some(Value::from(first_id(10_002).to_string()));
        assert_eq!(field(&rig, "kid", 10_001, "of").await, user);
        assert_eq!(field(&rig, "kid", 10_002, "name").await, bob);
        assert_eq!(
            field(&rig, "kid/sub", 10_001, "step").await,
            Some(1.0.into())
        );
        assert_eq!(field(&rig, "kid/sub", 10_002, "name").await, None);
        assert_eq!(field(&rig, "other", 10_001, "name").await, None);
        let exported = rig.export(false).await;
        for name in [
            "users/documents.jsonl",
            "_components/kid/jobs/documents.jsonl",
            "_components/kid/users/documents.jsonl",
            "_components/kid/_components/sub/steps/documents.jsonl",
        ] {
            let json = |archive: &[u8]| -> serde_json::Value {
                serde_json::from_str(&entry(archive, name)).unwrap()
            };
            assert_eq!(json(&exported), json(&archive), "{name}");
        }
        if mode == Mode::Append {
            // A second append would meet the same ids, so what is there goes first.
            clear(&rig).await;
        }
    }
}

/// Removes the documents of the archive, each as its component does.
async fn clear(rig: &Rig) {
    for (component, number) in [
        ("", 10_001),
        ("kid", 10_001),
        ("kid", 10_002),
        ("kid/sub", 10_001),
    ] {
        rig.write(move |tx| {
            tx.enter(component.parse().unwrap());
            Ok(tx.delete(first_id(number))?)
        })
        .await;
    }
}

#[tokio::test]
async fn equal_numbers_outlive_a_restart_and_writes_meet_one_component() {
    let rig = Rig::new();
    let archive = archive_of_convex();
    assert_eq!(
        written(&import_all(&rig, Mode::RequireEmpty, &archive).await),
        4
    );
    rig.write(|tx| {
        tx.enter("kid".parse().unwrap());
        Ok(tx.patch(first_id(10_002), Patch::default().set("name", "Eve"))?)
    })
    .await;
    rig.write(|tx| {
        tx.enter("kid/sub".parse().unwrap());
        Ok(tx.delete(first_id(10_001))?)
    })
    .await;
    let rig = rig.reopen().await;
    assert_eq!(field(&rig, "", 10_001, "name").await, Some("Ada".into()));
    assert_eq!(field(&rig, "kid", 10_002, "name").await, Some("Eve".into()));
    assert!(field(&rig, "kid", 10_001, "of").await.is_some());
    assert_eq!(field(&rig, "kid/sub", 10_001, "step").await, None);
    let mut found = Vec::new();
    let view = rig.transfers.database.read_at().unwrap().snapshot;
    let catalog = read_catalog(&view, &mut |problem| found.push(problem));
    compare(&view, &catalog, &mut |problem| found.push(problem));
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(catalog.table("kid/jobs").unwrap().number.get(), 10_001);
    // New tables take numbers that no component has.
    rig.write(|tx| Ok(tx.ensure_table("later")?)).await;
    let catalog = rig.transfers.database.definitions().catalog.clone();
    assert!(catalog.table("later").unwrap().number.get() > 10_002);
}

#[tokio::test]
async fn what_was_appended_to_a_component_is_taken_back_from_it_alone() {
    let rig = Rig::with(Schema::new());
    let archive = archive_of_convex();
    written(&import_all(&rig, Mode::RequireEmpty, &archive).await);
    let again = request(None, Mode::Replace, Format::Zip);
    let import = rig.upload(again, &archive, 1 << 20).await;
    rig.state(import, &["waiting_for_confirmation"]).await;
    rig.write(move |tx| Ok(appended::note(tx, import, "kid/jobs", &[first_id(10_001)])?))
        .await;
    let database = rig.transfers.database.clone();
    let settling = tokio::task::spawn_blocking(move || appended::settle(&database, || false));
    settling.await.unwrap().unwrap();
    assert_eq!(field(&rig, "kid", 10_001, "of").await, None);
    assert_eq!(field(&rig, "", 10_001, "name").await, Some("Ada".into()));
}

#[tokio::test]
async fn an_empty_table_gives_up_its_number_and_one_with_documents_keeps_it() {
    let schema = || Schema::new().define(TableDefinition::new("first"));
    let number = |rig: &Rig, table: &str| {
        let catalog = rig.transfers.database.definitions().catalog.clone();
        catalog.table(table).unwrap().number.get()
    };
    let archive = archive_of_convex();
    let rig = Rig::with(schema());
    assert_eq!(number(&rig, "first"), 10_001);
    for table in ["kid/first", "kid/second"] {
        rig.write(move |tx| Ok(tx.ensure_table(table)?)).await;
    }
    assert_eq!(number(&rig, "kid/first"), 10_002);
    assert_eq!(written(&import_all(&rig, Mode::Append, &archive).await), 4);
    let numbers = ["users", "kid/jobs", "kid/users"].map(|table| number(&rig, table));
    assert_eq!(numbers, [10_001, 10_001, 10_002]);
    // Those that were in the way have others, and still work.
    let others = ["first", "kid/first", "kid/second"].map(|table| number(&rig, table));
    assert!(others[0] > 10_002 && others[1] > 10_002, "{others:?}");
    assert_eq!(others[2], 10_003);
    let id = rig.insert("first", object! { "n" => 1.0 }).await;
    assert_eq!(id.table().get(), others[0]);

    let rig = Rig::with(schema());
    rig.insert("first", object! { "n" => 1.0 }).await;
    let refused = import_all(&rig, Mode::Append, &archive).await;
    let expected =
        "The table \"users\" has the number 10001, which here belongs to the table \"first\"";
    assert!(failure(&refused).contains(expected), "{refused:?}");
    // A table of a component is in nobody's way but that component's.
    let rig = Rig::with(Schema::new());
    rig.write(|tx| Ok(tx.ensure_table("other/kept")?)).await;
    rig.insert("other/kept", object! { "n" => 1.0 }).await;
    assert_eq!(number(&rig, "other/kept"), 10_001);
    assert_eq!(written(&import_all(&rig, Mode::Append, &archive).await), 4);
    assert_eq!(number(&rig, "other/kept"), 10_001);
}
