//! One table at a time, in every format and mode.

use vestibule_schema::object;

use super::*;

const LINES: &str = "{\"name\":\"Ada\",\"age\":36}\n{\"name\":\"Bob\",\"age\":7}\n";

#[tokio::test]
async fn every_format_fills_a_table() {
    let csv = "name,age\nAda,36\nBob,7\n";
    let array = r#"[{"name":"Ada","age":36},{"name":"Bob","age":7}]"#;
    for (format, text) in [
        (Format::Csv, csv),
        (Format::JsonLines, LINES),
        (Format::JsonArray, array),
    ] {
        let rig = Rig::new();
        let asked = request(Some("users"), Mode::RequireEmpty, format);
        assert_eq!(written(&rig.import(asked, text.as_bytes()).await), 2);
        assert_eq!(rig.texts("users", "name").await, ["Ada", "Bob"]);
        let ages = rig.documents("users").await;
        assert_eq!(ages[0]["age"], Value::Float64(36.0));
    }
}

#[tokio::test]
async fn a_file_of_nothing_clears_a_table() {
    let rig = Rig::new();
    rig.insert("users", object! { "name" => "Ada" }).await;
    let asked = request(Some("users"), Mode::Replace, Format::JsonLines);
    assert_eq!(written(&rig.import(asked, b"").await), 0);
    assert_eq!(rig.documents("users").await, []);
}

#[tokio::test]
async fn modes_differ_in_what_becomes_of_documents_that_are_there() {
    for (mode, expected) in [
        (Mode::Append, Ok(vec!["Old", "Ada", "Bob"])),
        (Mode::Replace, Ok(vec!["Ada", "Bob"])),
        (Mode::ReplaceAll, Ok(vec!["Ada", "Bob"])),
        (Mode::RequireEmpty, Err("already has documents")),
    ] {
        let rig = Rig::new();
        rig.insert("users", object! { "name" => "Old" }).await;
        let room = rig.insert("rooms", object! { "name" => "Kitchen" }).await;
        let asked = request(Some("users"), mode, Format::JsonLines);
        let state = rig.import(asked, LINES.as_bytes()).await;
        match expected {
            Ok(names) => {
                assert_eq!(written(&state), 2, "{mode:?}");
                assert_eq!(rig.texts("users", "name").await, names, "{mode:?}");
            }
            Err(problem) => assert!(failure(&state).contains(problem), "{state:?}"),
        }
        let room = rig.read(move |tx| Ok(tx.get(room)?)).await;
        assert_eq!(room.is_none(), mode == Mode::ReplaceAll, "{mode:?}");
    }
}

#[tokio::test]
async fn what_would_go_must_be_confirmed() {
    let rig = Rig::new();
    rig.insert("users", object! { "name" => "Old" }).await;
    for (mode, must) in [(Mode::Append, false), (Mode::Replace, true)] {
        let asked = request(Some("users"), mode, Format::JsonLines);
        let id = rig.upload(asked, LINES.as_bytes(), 5).await;
        let state = rig.state(id, &["waiting_for_confirmation"]).await;
        assert_eq!(state["require_manual_confirmation"], must.into());
        let message = state["message_to_confirm"].as_str().unwrap();
        assert!(message.contains("users: create 2"), "{message}");
        rig.transfers.cancel_import(id.to_string()).await.unwrap();
        let state = rig.state(id, &["failed"]).await;
        assert_eq!(failure(&state), "Canceled");
        let performed = rig.transfers.perform_import(id.to_string()).await;
        assert!(matches!(performed, Err(TransferError::WrongState(_))));
    }
    assert_eq!(rig.texts("users", "name").await, ["Old"]);
}

#[tokio::test]
async fn ids_and_creation_times_are_kept() {
    let rig = Rig::new();
    let old = rig.insert("users", object! { "name" => "Ada" }).await;
    let before = rig.documents("users").await;
    let line = Value::Object(before[0].clone()).to_format(vestibule_schema::JsonFormat::Export);
    let asked = request(Some("users"), Mode::Replace, Format::JsonLines);
    let state = rig.import(asked, line.to_string().as_bytes()).await;
    assert_eq!(written(&state), 1);
    assert_eq!(rig.documents("users").await, before);
    let kept = rig.read(move |tx| Ok(tx.get(old)?)).await;
    assert!(kept.is_some());
}

#[tokio::test]
async fn a_table_that_does_not_exist_is_made() {
    let rig = Rig::new();
    let asked = request(Some("visitors"), Mode::Append, Format::JsonLines);
    assert_eq!(written(&rig.import(asked, LINES.as_bytes()).await), 2);
    assert_eq!(rig.texts("visitors", "name").await, ["Ada", "Bob"]);
    let rig = rig.reopen().await;
    assert_eq!(rig.texts("visitors", "name").await, ["Ada", "Bob"]);
}

#[tokio::test]
async fn indexes_hold_what_was_imported() {
    let rig = Rig::new();
    let many: String = (0..1_000)
        .map(|number| format!("{{\"name\":\"u{number:04}\"}}\n"))
        .collect();
    let asked = request(Some("users"), Mode::Replace, Format::JsonLines);
    assert_eq!(written(&rig.import(asked, many.as_bytes()).await), 1_000);
    let rig = rig.reopen().await;
    let by_name = Query {
        source: crate::database::Source::IndexRange {
            index: "by_name".into(),
            bounds: Vec::new(),
        },
        ..Query::table("users")
    };
    let found = rig.read(move |tx| Ok(tx.collect(&by_name)?)).await;
    let names: Vec<&str> = found
        .iter()
        .map(|user| user.fields["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 1_000);
    assert!(names.is_sorted());
}

/// Before, each id left room for a document in the head's memory, and each name what its look-up found.
#[tokio::test]
async fn an_import_leaves_no_document_in_the_memory_of_those_that_are_asked_for() {
    const DOCUMENTS: u16 = 2_000;
    const IMPORT_BYTES: usize = 128 << 10;
    let rig = Rig::new();
    let old = rig.insert("users", object! { "name" => "Old" }).await;
    let lines: String = (0..DOCUMENTS)
        .map(|number| {
            let mut id = [7; 16];
            id[..2].copy_from_slice(&number.to_be_bytes());
            let id: DocumentId = DocumentId::new(old.table(), vestibule_schema::id::InternalId(id));
            format!("{{\"_id\":\"{id}\",\"name\":\"u{number}\"}}\n")
        })
        .collect();
    let database = rig.transfers.database.clone();
    for mode in [Mode::Append, Mode::Replace] {
        let before = database.document_bytes();
        let asked = request(Some("users"), mode, Format::JsonLines);
        let state = rig.import(asked, lines.as_bytes()).await;
        assert_eq!(written(&state), i64::from(DOCUMENTS));
        // What the import asks for itself stays; its documents would take four times as much.
        let grown = database.document_bytes().saturating_sub(before);
        assert!(grown < IMPORT_BYTES, "{mode:?}: {grown}");
    }
}

#[tokio::test]
async fn whoever_read_a_table_before_it_was_replaced_is_stale() {
    let rig = Rig::new();
    rig.insert("users", object! { "name" => "Old" }).await;
    let read = rig.read(|tx| {
        tx.collect(&Query::table("users"))?;
        Ok((tx.take_reads(), tx.snapshot_ts()))
    });
    let (reads, ts) = read.await;
    let asked = request(Some("users"), Mode::Replace, Format::JsonLines);
    rig.import(asked, LINES.as_bytes()).await;
    let freshness = rig.transfers.database.write_log().freshness(&reads, ts);
    assert_ne!(freshness, crate::database::Freshness::Fresh);
}

#[tokio::test]
async fn an_import_at_once_tells_how_many_documents_it_wrote() {
    let rig = Rig::new();
    let content = stream::iter([Ok(Bytes::from_static(LINES.as_bytes()))]);
    let asked = request(Some("users"), Mode::RequireEmpty, Format::JsonLines);
    let imported = rig.transfers.import_now(asked, content).await;
    assert_eq!(imported.unwrap(), 2);
    let content = stream::iter([Ok(Bytes::from_static(LINES.as_bytes()))]);
    let asked = request(Some("users"), Mode::RequireEmpty, Format::JsonLines);
    let refused = rig.transfers.import_now(asked, content).await;
    assert!(matches!(refused, Err(TransferError::TableExists(_))));
}

#[tokio::test]
async fn a_table_that_is_made_during_an_import_takes_another_number() {
    let rig = Rig::new();
    let asked = request(Some("visitors"), Mode::Append, Format::JsonLines);
    let id = rig.upload(asked, LINES.as_bytes(), 1_000).await;
    rig.state(id, &["waiting_for_confirmation"]).await;
    rig.write(move |tx| states::set_state(tx, id, states::in_progress("Importing", &[])))
        .await;
    let catalog = rig.transfers.database.definitions().catalog.clone();
    let wanted = [("visitors".to_string(), None)].into();
    let plan = plan::Plan::new(Mode::Append, &wanted, &Default::default(), &catalog).unwrap();
    let number = plan.filled["visitors"].number;
    let hiding = plan.clone();
    let hidden = rig.write(move |tx| swap::hide(tx, &hiding)).await;
    rig.write(|tx| Ok(tx.ensure_table("meanwhile")?)).await;
    rig.write(move |tx| {
        let completed = states::completed(0, 0);
        swap::swap(tx, &id.to_string(), &plan, &hidden, completed)
    })
    .await;
    rig.write(|tx| Ok(tx.ensure_table("later")?)).await;
    let catalog = rig.transfers.database.definitions().catalog.clone();
    let number_of = |name: &str| catalog.table(name).unwrap().number;
    assert_eq!(number_of("visitors"), number);
    let numbers = ["visitors", "meanwhile", "later"].map(number_of);
    let different: std::collections::BTreeSet<_> = numbers.into();
    assert_eq!(different.len(), 3);
}
