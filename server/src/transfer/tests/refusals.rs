//! Imports that cannot be: nothing of them is seen, and nothing is left.

use vestibule_schema::object;
use vestibule_schema::validator::Validator;

use super::*;

/// Imports that fail, and checks that users are as they were.
async fn fails(rig: &Rig, mode: Mode, text: &str, problem: &str) {
    let before = rig.documents("users").await;
    let asked = request(Some("users"), mode, Format::JsonLines);
    let state = rig.import(asked, text.as_bytes()).await;
    assert!(failure(&state).contains(problem), "{state:?}");
    assert_eq!(rig.documents("users").await, before, "{problem}");
}

#[tokio::test]
async fn a_document_that_is_wrong_fails_the_whole_import() {
    let rig = Rig::new();
    rig.insert("users", object! { "name" => "Old" }).await;
    let good: String = (0..600)
        .map(|number| format!("{{\"name\":\"u{number}\"}}\n"))
        .collect();
    for (bad, problem) in [
        ("{\"name\":", "users:601"),
        (
            "{\"_id\":\"0400000000000000000000000000248\",\"name\":\"x\"}",
            "the table \"users\" has",
        ),
        ("{\"name\":\"u0\"}", "by_name"),
        ("{\"_x\":1}", "document 601"),
        (
            "{\"_creationTime\":9007199254740000}",
            "more than a day ahead",
        ),
    ] {
        fails(&rig, Mode::Replace, &format!("{good}{bad}"), problem).await;
    }
}

#[tokio::test]
async fn a_document_of_another_table_or_twice_is_refused() {
    let rig = Rig::new();
    let room = rig.insert("rooms", object! { "name" => "Kitchen" }).await;
    rig.insert("users", object! { "name" => "Old" }).await;
    let of_a_room = format!("{{\"_id\":\"{room}\",\"name\":\"x\"}}");
    fails(
        &rig,
        Mode::Replace,
        &of_a_room,
        "belongs to the table \"rooms\"",
    )
    .await;
    fails(&rig, Mode::Append, &of_a_room, "has 10001").await;
    let users = rig.documents("users").await;
    let old = users[0]["_id"].as_str().unwrap();
    let twice = format!("{{\"_id\":\"{old}\",\"name\":\"x\"}}");
    fails(&rig, Mode::Append, &twice, "already").await;
    let both = format!("{twice}\n{{\"_id\":\"{old}\",\"name\":\"y\"}}");
    fails(&rig, Mode::Replace, &both, "already").await;
}

#[tokio::test]
async fn numbers_of_the_servers_own_tables_and_of_hidden_ones_are_refused() {
    let rig = Rig::new();
    for number in [1, 500, 10_000, 1 << 31, u32::MAX] {
        let number = vestibule_schema::id::TableNumber::new(number).unwrap();
        let id = DocumentId::<()>::new(number, vestibule_schema::id::InternalId([7; 16]));
        let text = format!("{{\"_id\":\"{id}\",\"name\":\"x\"}}");
        fails(&rig, Mode::Replace, &text, "cannot have the number").await;
    }
    // The last one that a table may have; the next table has another one.
    let last = vestibule_schema::id::TableNumber::new((1 << 31) - 1).unwrap();
    let id = DocumentId::<()>::new(last, vestibule_schema::id::InternalId([7; 16]));
    let asked = request(Some("users"), Mode::Replace, Format::JsonLines);
    let state = rig
        .import(asked, format!("{{\"_id\":\"{id}\"}}").as_bytes())
        .await;
    assert_eq!(written(&state), 1);
    for table in ["others", "more"] {
        let asked = request(Some(table), Mode::Append, Format::JsonLines);
        assert_eq!(written(&rig.import(asked, b"{}").await), 1);
    }
    let catalog = rig.transfers.database.definitions().catalog.clone();
    let numbers: std::collections::BTreeSet<_> =
        catalog.tables().map(|table| table.number).collect();
    assert_eq!(numbers.len(), catalog.tables().count());
    assert_eq!(catalog.table("users").unwrap().number, last);
}

#[tokio::test]
async fn documents_must_fit_the_schema() {
    let fields = serde_json::json!({
        "type": "object",
        "value": { "name": { "fieldType": { "type": "string" }, "optional": false } },
    });
    let users = TableDefinition {
        document: Validator::from_json(&fields).unwrap(),
        ..TableDefinition::new("users")
    };
    let rig = Rig::with(Schema::new().define(users));
    fails(&rig, Mode::Replace, "{\"name\":7}", "users").await;
    fails(&rig, Mode::Append, "{\"name\":\"a\"}\n{}", "users").await;
}

#[tokio::test]
async fn a_file_that_fails_at_its_end_appends_nothing() {
    let rig = Rig::new();
    rig.insert("users", object! { "name" => "u5" }).await;
    let users = rig.documents("users").await;
    let old = users[0]["_id"].as_str().unwrap();
    let good: String = (1_000..2_000)
        .map(|number| format!("{{\"name\":\"u{number}\"}}\n"))
        .collect();
    for (bad, problem) in [
        ("{\"name\":".to_string(), "users:1001"),
        ("{\"name\":\"u5\"}".to_string(), "by_name"),
        ("{\"_x\":1}".to_string(), "document 1001"),
        (format!("{{\"_id\":\"{old}\",\"name\":\"x\"}}"), "already"),
    ] {
        fails(&rig, Mode::Append, &format!("{good}{bad}"), problem).await;
    }
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_at_once() {
    let rig = Rig::new();
    for (table, format) in [
        (None, Format::Csv),
        (Some("users"), Format::Zip),
        (Some("_storage"), Format::Csv),
        (Some("../x"), Format::JsonLines),
    ] {
        let token = rig.transfers.start_upload().unwrap();
        let asked = request(table, Mode::Append, format);
        let made = rig.transfers.finish_upload(asked, &token, &[]).await;
        assert!(made.is_err(), "{table:?}");
    }
    for id in ["", "x", "0400000000000000000000000000248"] {
        let performed = rig.transfers.perform_import(id.to_string()).await;
        assert!(matches!(performed, Err(TransferError::UnknownImport(_))));
        let opened = rig.transfers.open_export(id.to_string()).await;
        assert!(matches!(
            opened.err(),
            Some(TransferError::UnknownExport(_))
        ));
    }
}

#[tokio::test]
async fn what_the_process_ended_in_is_ended_and_cleared_away() {
    let rig = Rig::new();
    rig.insert("users", object! { "name" => "Old" }).await;
    let asked = request(Some("users"), Mode::Replace, Format::JsonLines);
    let id = rig.upload(asked, b"{\"name\":\"Ada\"}", 100).await;
    rig.state(id, &["waiting_for_confirmation"]).await;
    // As if the process had ended with hidden tables half full.
    rig.write(move |tx| {
        states::set_state(tx, id, states::in_progress("Importing", &[]))?;
        let mut catalog = crate::database::Catalog::clone(&tx.catalog());
        let like = TableMeta::clone(catalog.table("users").unwrap());
        let hidden = catalog.add_hidden(&like);
        tx.set_catalog(catalog)?;
        let to = crate::database::Destination {
            name: "users".to_string(),
            number: like.number,
            table: Arc::new(hidden),
            names: tx.catalog(),
        };
        for number in 0..100 {
            let document = crate::database::ImportedDocument {
                id: None,
                creation_time: None,
                fields: object! { "name" => format!("u{number}") },
            };
            tx.import(&to, document)?;
        }
        Ok(())
    })
    .await;
    let rig = rig.reopen().await;
    assert_eq!(rig.texts("users", "name").await, ["Old"]);
    rig.transfers.recover().await.unwrap();
    rig.settled().await;
    let state = rig.state(id, &["failed"]).await;
    assert!(failure(&state).contains("restarted"), "{state:?}");
    assert_eq!(rig.texts("users", "name").await, ["Old"]);
    let uploads = std::fs::read_dir(rig.dir.path().join("imports")).unwrap();
    assert_eq!(uploads.count(), 0);
}
