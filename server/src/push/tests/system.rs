//! Tests of the functions of the system that dashboards call: looking at data and changing it.

use data_encoding::BASE64;
use serde_json::{Value as Json, json};
use vestibule_schema::identity::Identity;
use vestibule_schema::object;
use vestibule_schema::table::{IndexDefinition, TableDefinition};
use vestibule_schema::value::{Object, Value};

use super::rig::{Rig, app, rooms};
use crate::auth::{AdminRights, Caller};
use crate::database::Catalog;
use crate::deployment::{Cron, Schedule};
use crate::functions::{Call, CallSource, FunctionOutcome, QueryOutcome};
use crate::jobs::crons::{CronOwner, reconcile};

fn call(caller: Caller, name: &str, args: &Json) -> Call {
    Call {
        path: format!("_system/frontend/{name}").parse().unwrap(),
        args: Value::from_json(args).unwrap(),
        caller,
        source: CallSource::Client(None),
    }
}

fn outcome(outcome: FunctionOutcome) -> Result<Json, String> {
    match outcome {
        FunctionOutcome::Returned(value) => Ok(value.to_json()),
        FunctionOutcome::Threw(thrown) => Err(thrown.message),
    }
}

/// The result of a function of the dashboard.
pub async fn look(rig: &Rig, name: &str, args: Json) -> Result<Json, String> {
    let call = call(Caller::admin(), name, &args);
    match rig.functions.query(call, None).await.unwrap().outcome {
        QueryOutcome::Done(done) => outcome(done),
        QueryOutcome::Suspended => panic!("an admin was suspended"),
    }
}

async fn change_as(rig: &Rig, caller: Caller, name: &str, args: Json) -> Result<Json, String> {
    let run = rig.functions.mutate(call(caller, name, &args)).await;
    outcome(run.unwrap().outcome)
}

async fn change(rig: &Rig, name: &str, args: Json) -> Result<Json, String> {
    change_as(rig, Caller::admin(), name, args).await
}

/// A rig with the table `rooms`, whose `n` is a number with an index over it.
async fn with_rooms() -> Rig {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("number", true))))
        .await
        .unwrap();
    rig
}

async fn add(rig: &Rig, documents: Json) {
    let added = change(
        rig,
        "addDocument",
        json!({"table": "rooms", "documents": documents, "componentId": null}),
    );
    assert_eq!(added.await, Ok(json!({"success": true})));
}

async fn scan(rig: &Rig) -> Vec<Json> {
    let found = look(rig, "listTableScan", json!({"table": "rooms"})).await;
    found.unwrap().as_array().unwrap().clone()
}

/// The numbers of the rooms on a page with these filters.
async fn numbers(rig: &Rig, filters: Json) -> Vec<f64> {
    let page = page(rig, filters).await;
    let page = page["page"].as_array().unwrap().iter();
    page.map(|room| room["n"].as_f64().unwrap()).collect()
}

async fn page(rig: &Rig, filters: Json) -> Json {
    let filters = BASE64.encode(filters.to_string().as_bytes());
    let options = json!({"numItems": 10.0, "cursor": null});
    let args = json!({"table": "rooms", "paginationOpts": options, "filters": filters});
    look(rig, "paginatedTableDocuments", args).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_added_and_listed_the_newest_first() {
    let rig = with_rooms().await;
    add(&rig, json!([{"n": 1.0}, {"n": 2.0}, {"n": 3.0}])).await;
    let all = scan(&rig).await;
    let shown: Vec<_> = all.iter().map(|room| room["n"].as_f64().unwrap()).collect();
    assert_eq!(shown, [3.0, 2.0, 1.0]);
    let two = look(
        &rig,
        "listTableScan",
        json!({"table": "rooms", "limit": 2.0}),
    );
    assert_eq!(two.await.unwrap().as_array().unwrap()[..], all[..2]);
    let id = &all[0]["_id"];
    assert_eq!(
        look(&rig, "getById", json!({"id": id})).await.unwrap(),
        all[0]
    );
    let found = look(&rig, "listById", json!({"ids": [id, "nothing"]})).await;
    assert_eq!(found.unwrap(), json!([all[0], null]));
    // The first document makes the table, as in functions.
    let args = json!({"table": "halls", "documents": [{"n": 1.0}]});
    assert_eq!(
        change(&rig, "addDocument", args).await.unwrap()["success"],
        true
    );
    let size = look(&rig, "tableSize", json!({"tableName": "halls"})).await;
    assert_eq!(size.unwrap(), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_do_not_fit_their_table_are_refused_whole() {
    let rig = with_rooms().await;
    let add = |documents: Json| {
        let args = json!({"table": "rooms", "documents": documents});
        change(&rig, "addDocument", args)
    };
    let refused = add(json!([{"n": 1.0}, {"n": "two"}])).await.unwrap_err();
    assert!(refused.contains("does not match the schema"), "{refused}");
    assert_eq!(scan(&rig).await.len(), 0, "nothing of it was added");
    let refused = add(json!([{"n": 1.0}, 7.0])).await.unwrap();
    assert_eq!(
        refused,
        json!({"success": false, "error": "A document is an object, not Float64."})
    );
    let many = add(Json::Array(vec![json!({"n": 1.0}); 4_097])).await;
    let error = many.unwrap()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("4096 documents at the most"), "{error}");
    assert_eq!(scan(&rig).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_schema_is_told_as_data() {
    let rig = with_rooms().await;
    let args = json!({"table": "rooms", "documents": [{"n": "two"}]});
    let run = rig
        .functions
        .mutate(call(Caller::admin(), "addDocument", &args))
        .await
        .unwrap();
    let FunctionOutcome::Threw(thrown) = run.outcome else {
        panic!("it was added");
    };
    let data = thrown.data.unwrap();
    assert!(data.as_str().unwrap().contains("does not match the schema"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unique_indexes_hold_for_administrators_too() {
    let rig = Rig::new().await;
    rig.transact(|tx| {
        let mut catalog = Catalog::clone(&tx.catalog());
        let mut table = TableDefinition::new("natives");
        table.indexes = vec![IndexDefinition::new("by_n", &["n"], true).unwrap()];
        let mut meta = (**catalog.table("natives").unwrap()).clone();
        meta.indexes = vec![crate::database::IndexMeta {
            method: vestibule_schema::table::IndexMethod::Order,
            id: catalog.next_index_id(),
            name: "by_n".to_owned(),
            fields: table.indexes[0].fields.clone(),
            unique: true,
            ready: true,
            staged: false,
        }];
        catalog.set(meta);
        tx.set_catalog(catalog).unwrap();
        tx.insert("natives", object! { "n" => 1.0 }).unwrap();
    })
    .await;
    let args = json!({"table": "natives", "documents": [{"n": 2.0}, {"n": 1.0}]});
    let refused = change(&rig, "addDocument", args).await.unwrap_err();
    assert!(refused.contains("natives.by_n"), "{refused}");
    let size = look(&rig, "tableSize", json!({"tableName": "natives"})).await;
    assert_eq!(size.unwrap(), 1.0);
    let indexes = look(&rig, "indexes", json!({"tableName": "natives"})).await;
    assert_eq!(indexes.unwrap()[0]["fields"], json!(["n", "_creationTime"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_replaced_patched_and_deleted() {
    let rig = Rig::new().await;
    let halls = json!({"table": "halls", "documents": [{"a": 1.0, "b": 1.0}, {"a": 2.0}]});
    change(&rig, "addDocument", halls).await.unwrap();
    let list = async || {
        let found = look(&rig, "listTableScan", json!({"table": "halls"})).await;
        found.unwrap().as_array().unwrap().clone()
    };
    let ids: Vec<Json> = list().await.iter().map(|it| it["_id"].clone()).collect();
    let patch = json!({"table": "halls", "ids": ids, "fields": {"b": "__undef", "c": 3.0}});
    let done = json!({"success": true});
    assert_eq!(
        change(&rig, "patchDocumentsFields", patch).await.unwrap(),
        done
    );
    let patched = list().await;
    assert!(
        patched
            .iter()
            .all(|it| it["c"] == 3.0 && it.get("b").is_none())
    );
    let mut replaced = patched[0].clone();
    replaced["a"] = json!("other");
    let replace = json!({"id": ids[0], "document": replaced});
    assert_eq!(
        change(&rig, "replaceDocument", replace).await.unwrap(),
        done
    );
    assert_eq!(list().await[0], replaced);
    let delete = json!({"toDelete": [
        {"id": ids[0], "tableName": "halls"}, {"id": ids[0], "tableName": "halls"},
    ]});
    assert_eq!(
        change(&rig, "deleteDocuments", delete.clone())
            .await
            .unwrap(),
        done
    );
    assert_eq!(list().await.len(), 1);
    let again = change(&rig, "deleteDocuments", delete).await.unwrap();
    assert_eq!(again["success"], false);
    let other_table = json!({"table": "rooms", "ids": [ids[1]], "fields": {}});
    let refused = change(&rig, "patchDocumentsFields", other_table).await;
    assert_eq!(refused.unwrap()["success"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_cleared_page_by_page() {
    let rig = with_rooms().await;
    rig.add_rooms(4_100).await;
    let clear = async |cursor: &Json| {
        let args = json!({"tableName": "rooms", "cursor": cursor});
        change(&rig, "clearTablePage", args).await.unwrap()
    };
    let first = clear(&Json::Null).await;
    assert_eq!(
        (&first["deleted"], &first["hasMore"]),
        (&json!(4_000.0), &json!(true))
    );
    let second = clear(&first["continueCursor"]).await;
    assert_eq!(
        (&second["deleted"], &second["hasMore"]),
        (&json!(100.0), &json!(false))
    );
    assert_eq!(scan(&rig).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_tables_are_neither_changed_nor_shown() {
    let rig = with_rooms().await;
    let own = rig
        .transact(|tx| {
            let key = object! { "secret" => "x" };
            tx.insert("_signing_keys", key).unwrap().to_string()
        })
        .await;
    let add = json!({"table": "_signing_keys", "documents": [{}]});
    let refused = change(&rig, "addDocument", add).await.unwrap();
    assert_eq!(refused["success"], false);
    for (name, args) in [
        ("deleteDocuments", json!({"toDelete": [own]})),
        ("replaceDocument", json!({"id": own, "document": {}})),
        (
            "patchDocumentsFields",
            json!({"table": "_signing_keys", "ids": [own], "fields": {}}),
        ),
        ("createTable", json!({"table": "_more"})),
    ] {
        let refused = change(&rig, name, args).await.unwrap();
        assert_eq!(refused["success"], false, "{name}");
    }
    let clear = json!({"tableName": "_signing_keys", "cursor": null});
    assert!(change(&rig, "clearTablePage", clear).await.is_err());
    let found = look(&rig, "getById", json!({"id": own})).await;
    assert_eq!(found, Ok(Json::Null));
    let scanned = look(&rig, "listTableScan", json!({"table": "_signing_keys"})).await;
    assert!(scanned.unwrap_err().contains("is not shown"));
    let kept = rig
        .transact(|tx| tx.count_table("_signing_keys").unwrap())
        .await;
    assert_eq!(kept, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_admin_key_that_may_write_changes_documents() {
    let rig = with_rooms().await;
    let args = json!({"table": "rooms", "documents": [{"n": 1.0}]});
    let callers = [
        Caller::nobody(),
        Caller::job(),
        Caller::admin_with(AdminRights::ReadOnly, None),
        Caller::admin_acting_as(Identity::new(
            "https://issuer.example",
            "ada",
            Object::new(),
        )),
    ];
    for caller in callers {
        let refused = change_as(&rig, caller.clone(), "addDocument", args.clone()).await;
        assert!(refused.is_err(), "{caller:?}");
    }
    // A function of the app that an admin key calls may have the path from its arguments.
    let nested = Call {
        source: CallSource::Function(None),
        ..call(Caller::admin(), "addDocument", &args)
    };
    let run = rig.functions.mutate(nested).await.unwrap();
    assert!(outcome(run.outcome).is_err());
    assert_eq!(scan(&rig).await.len(), 0);
    let component = json!({"table": "rooms", "documents": [], "componentId": "c1"});
    let refused = change(&rig, "addDocument", component).await.unwrap_err();
    assert!(refused.contains("no component \"c1\""), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_bounded_and_the_servers_own_tables_are_not_counted() {
    let rig = with_rooms().await;
    let many = vec![1; 40_000];
    let filter = json!({"clauses": [{"id": "1", "field": "n", "op": "anyOf", "value": many}]});
    let args = json!({
        "table": "rooms", "filters": BASE64.encode(filter.to_string().as_bytes()),
        "paginationOpts": {"numItems": 10, "cursor": null},
    });
    let page = look(&rig, "paginatedTableDocuments:default", args)
        .await
        .unwrap();
    let error = page["page"][0]["error"].as_str().unwrap();
    assert!(
        error.starts_with("The filters take 65536 bytes at the most"),
        "{error}"
    );
    for (table, is_counted) in [
        ("rooms", true),
        ("_storage", true),
        ("_signing_keys", false),
    ] {
        let counted = look(&rig, "tableSize:default", json!({"tableName": table})).await;
        assert_eq!(counted.is_ok(), is_counted, "{table}: {counted:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_filtered_and_in_the_order_that_is_asked_for() {
    let rig = Rig::new().await;
    let schema = json!({"schemaValidation": false, "tables": [{
        "tableName": "rooms", "indexes": [{"indexDescriptor": "by_n", "fields": ["n"]}],
        "documentType": {"type": "any"},
    }]});
    rig.push(app("list", Some(schema))).await.unwrap();
    add(
        &rig,
        json!([
            {"n": 3.0, "x": "a"}, {"n": 1.0, "x": null}, {"n": 2.0}, {"n": 4.0, "x": [1.0]},
        ]),
    )
    .await;
    let clause = |op: &str, value: Json| json!({"clauses": [{"id": "1", "field": "x", "op": op, "value": value}]});
    assert_eq!(
        numbers(&rig, json!({"clauses": []})).await,
        [4.0, 2.0, 1.0, 3.0]
    );
    let oldest = json!({"clauses": [], "order": "asc"});
    assert_eq!(numbers(&rig, oldest).await, [3.0, 1.0, 2.0, 4.0]);
    for (op, value, expected) in [
        ("eq", json!("a"), vec![3.0]),
        ("eq", Json::Null, vec![1.0]),
        ("eq", json!("__undef"), vec![2.0]),
        ("neq", json!("a"), vec![4.0, 2.0, 1.0]),
        ("anyOf", json!(["a", null]), vec![1.0, 3.0]),
        ("noneOf", json!(["a", null]), vec![4.0, 2.0]),
        ("type", json!("array"), vec![4.0]),
        ("type", json!("string"), vec![3.0]),
        ("type", json!("unset"), vec![2.0]),
        ("notype", json!("null"), vec![4.0, 2.0, 3.0]),
    ] {
        let found = numbers(&rig, clause(op, value.clone())).await;
        assert_eq!(found, expected, "{op} {value}");
    }
    let mut disabled = clause("eq", json!("a"));
    disabled["clauses"][0]["enabled"] = json!(false);
    assert_eq!(numbers(&rig, disabled).await.len(), 4);
    let range = json!({"clauses": [], "order": "asc", "index": {"name": "by_n", "clauses": [
        {"type": "indexRange", "enabled": true, "lowerOp": "gt", "lowerValue": 1.0,
         "upperOp": "lte", "upperValue": 3.0},
    ]}});
    assert_eq!(numbers(&rig, range).await, [2.0, 3.0]);
    for (filters, word) in [
        (clause("like", json!("a")), "like"),
        (clause("type", json!("ghost")), "ghost"),
        (json!({"clauses": [], "index": {"name": "by_x"}}), "by_x"),
        (json!({"clauses": 3.0}), "cannot be read"),
    ] {
        let problems = page(&rig, filters).await;
        let error = problems["page"][0]["error"].as_str().unwrap().to_owned();
        assert!(error.contains(word), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_shown_with_their_arguments() {
    let rig = Rig::new().await;
    let cron = Cron {
        name: "tidy".to_owned(),
        function: "rooms:tidy".parse().unwrap(),
        args: object! { "much" => true },
        schedule: Schedule::Interval { seconds: 60 },
    };
    let job = rig
        .transact(move |tx| {
            reconcile(tx, CronOwner::Pushed, std::slice::from_ref(&cron)).unwrap();
            let job = |state: &str, at: f64| {
                object! {
                    "name" => "rooms.js:open",
                    "args" => Value::Array(vec![Value::Object(object! { "at" => at })]),
                    "scheduledTime" => at,
                    "state" => Value::Object(object! { "kind" => state }),
                }
            };
            tx.insert("_scheduled_functions", job("success", 1.0))
                .unwrap();
            tx.insert("_scheduled_functions", job("pending", 3.0))
                .unwrap();
            tx.insert("_scheduled_functions", job("pending", 2.0))
                .unwrap()
        })
        .await;
    let crons = look(&rig, "listCronJobs", json!({})).await.unwrap();
    let spec = &crons[0]["cronSpec"];
    assert_eq!(spec["udfPath"], "rooms.js:tidy");
    assert_eq!(spec["cronSchedule"]["type"], "interval");
    assert!(spec["cronSchedule"]["seconds"].get("$integer").is_some());
    let args = BASE64.encode(br#"[{"much":true}]"#);
    assert_eq!(spec["udfArgs"], json!({"$bytes": args}));
    assert_eq!(crons[0]["lastRun"], Json::Null);
    assert_eq!(crons[0]["nextRun"]["state"]["type"], "pending");
    let options = json!({"numItems": 10.0, "cursor": null});
    let jobs = json!({"paginationOpts": options, "udfPath": "rooms:open"});
    let jobs = look(&rig, "paginatedScheduledJobs", jobs).await.unwrap();
    let page = jobs["page"].as_array().unwrap();
    assert_eq!(page.len(), 2, "what has ended is left out");
    assert_eq!(page[0]["_id"], job.to_string());
    assert_eq!(page[0]["state"], json!({"type": "pending"}));
    let none = json!({"paginationOpts": options, "udfPath": "rooms:close"});
    let none = look(&rig, "paginatedScheduledJobs", none).await.unwrap();
    assert_eq!(none["page"], json!([]));
    let args = look(
        &rig,
        "scheduler:getArgs",
        json!({"argsId": job.to_string()}),
    )
    .await;
    assert_eq!(args.unwrap()["args"], page[0]["udfArgs"]);
    let runs = look(&rig, "listCronJobRuns", json!({})).await;
    assert_eq!(runs, Ok(json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deployment_is_shown_with_what_its_pushes_changed() {
    let rig = with_rooms().await;
    rig.push(app("find", Some(rooms("number", false))))
        .await
        .unwrap();
    let last = look(&rig, "deploymentEvents:lastPushEvent", json!({})).await;
    let last = last.unwrap();
    assert_eq!(last["action"], "push_config");
    assert_eq!(last["metadata"]["message"], "because");
    let schemas = &last["metadata"]["schema"];
    assert!(
        schemas["previous_schema"]
            .as_str()
            .unwrap()
            .contains("by_n")
    );
    assert!(!schemas["next_schema"].as_str().unwrap().contains("by_n"));
    assert_eq!(last["metadata"]["server_version"], Json::Null);
    let events = async |filters: Json| {
        let options = json!({"numItems": 10.0, "cursor": null});
        let args = json!({"paginationOpts": options, "filters": filters});
        let page = look(&rig, "paginatedDeploymentEvents", args).await.unwrap();
        page["page"].as_array().unwrap().clone()
    };
    let all = events(json!({"minDate": 0.0})).await;
    assert_eq!((all.len(), &all[0]), (2, &last));
    assert_eq!(all[1]["metadata"]["modules"]["added"], json!(["rooms.js"]));
    assert_eq!(
        events(json!({"actions": ["build_indexes"]})).await,
        [] as [Json; 0]
    );
    let modules = look(&rig, "modules:listForAllComponents", json!({})).await;
    let modules = modules.unwrap();
    assert_eq!(modules[0][0], Json::Null);
    let module = &modules[0][1][0];
    assert_eq!(module[0], "rooms.js");
    assert_eq!(module[1]["functions"][0]["name"], "find");
    let validator = look(
        &rig,
        "modules:argsValidator",
        json!({"function": "rooms.js:find"}),
    );
    assert!(validator.await.unwrap().is_string());
    let constants = [
        ("components:list", json!([])),
        ("listConfiguredSinks", json!([])),
        ("getSchemas:schemaValidationProgress", Json::Null),
        ("indexes", Json::Null),
    ];
    for (name, expected) in constants {
        assert_eq!(look(&rig, name, json!({})).await, Ok(expected), "{name}");
    }
    let state = look(&rig, "backendState:backendState", json!({}))
        .await
        .unwrap();
    assert_eq!(state["user"], "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_shown_with_the_fields_that_indexes_end_in() {
    let rig = with_rooms().await;
    let schemas = look(&rig, "getSchemas", json!({"componentId": null})).await;
    let text = schemas.unwrap()["active"].as_str().unwrap().to_owned();
    let schema: Json = serde_json::from_str(&text).unwrap();
    let table = &schema["tables"][0];
    assert_eq!(table["indexes"][0]["fields"], json!(["n", "_creationTime"]));
    assert_eq!(table.get("stagedDbIndexes"), None);
}
