//! Tests of environment variables, settings and the functions of the system.

use serde_json::{Value as Json, json};
use vestibule_schema::value::{ARRAY_LENGTH_MAX, OBJECT_FIELDS_MAX, Value};

use super::rig::{Rig, app, rooms};
use crate::auth::Caller;
use crate::deployment::VariableChange;
use crate::deployment::provisioning::{PROVISION_WHEN, PROVISION_WITH};
use crate::functions::{Call, CallSource, FunctionOutcome, QueryOutcome};
use crate::push::PushError;

fn set(name: &str, value: Option<&str>) -> Vec<VariableChange> {
    vec![VariableChange {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    }]
}

async fn ask(rig: &Rig, caller: Caller, path: &str, args: Json) -> FunctionOutcome {
    let call = Call {
        path: path.parse().unwrap(),
        args: Value::from_json(&args).unwrap(),
        caller,
        source: CallSource::Client(None),
    };
    match rig.functions.query(call, None).await.unwrap().outcome {
        QueryOutcome::Done(outcome) => outcome,
        QueryOutcome::Suspended => panic!("an admin was suspended"),
    }
}

async fn admin(rig: &Rig, path: &str, args: Json) -> Json {
    match ask(rig, Caller::admin(), path, args).await {
        FunctionOutcome::Returned(value) => value.to_json(),
        FunctionOutcome::Threw(thrown) => panic!("{path} threw {}", thrown.message),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_are_set_removed_listed_and_kept() {
    let rig = Rig::new().await;
    rig.pushes
        .change_variables(set("B", Some("2")))
        .await
        .unwrap();
    rig.pushes
        .change_variables(set("A", Some("1")))
        .await
        .unwrap();
    rig.pushes
        .change_variables(set("A", Some("one")))
        .await
        .unwrap();
    rig.pushes
        .change_variables(set("never", None))
        .await
        .unwrap();
    let refused = rig
        .pushes
        .change_variables(set("no way", None))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "EnvironmentVariableNameInvalid");
    let rig = rig.restart().await;
    let listed = admin(&rig, "_system/cli/queryEnvironmentVariables", json!({})).await;
    let names: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (&it["name"], &it["value"]))
        .collect();
    assert_eq!(
        names,
        [(&json!("A"), &json!("one")), (&json!("B"), &json!("2"))]
    );
    let get = "_system/cli/queryEnvironmentVariables:get";
    let found = admin(&rig, get, json!({"name": "B"})).await;
    assert_eq!(found, json!({"name": "B", "value": "2"}));
    let built_in = admin(&rig, get, json!({"name": "CONVEX_SITE_URL"})).await;
    assert_eq!(built_in["value"], "https://site.example");
    rig.pushes.change_variables(set("B", None)).await.unwrap();
    assert_eq!(admin(&rig, get, json!({"name": "B"})).await, Json::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_the_auth_config_reads_changes_the_providers() {
    let rig = Rig::new().await;
    rig.pushes
        .change_variables(set("DOMAIN", Some("https://a.example")))
        .await
        .unwrap();
    let mut body = app("list", None);
    let module = json!({"path": "auth.config.js", "source": "DOMAIN"});
    body["appDefinition"]["changedModules"]
        .as_array_mut()
        .unwrap()
        .push(module);
    rig.push(body).await.unwrap();
    let issuers = |rig: &Rig| -> Vec<String> {
        let health = rig.pushes.authenticator.provider_health();
        health.into_iter().map(|provider| provider.issuer).collect()
    };
    assert_eq!(issuers(&rig), ["https://a.example"]);
    rig.pushes
        .change_variables(set("DOMAIN", Some("https://b.example")))
        .await
        .unwrap();
    assert_eq!(issuers(&rig), ["https://b.example"]);
    let refused = rig
        .pushes
        .change_variables(set("DOMAIN", None))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "AuthConfigMissingEnvironmentVariable");
    assert_eq!(issuers(&rig), ["https://b.example"]);
    // The push that is stored knows the first value; a start goes by the present one.
    let rig = rig.restart().await;
    assert_eq!(issuers(&rig), ["https://b.example"]);
    rig.push(app("list", None)).await.unwrap();
    let first = rig.pushes.history().await.unwrap().pop().unwrap();
    rig.pushes.roll_back(&first.id).await.unwrap();
    assert_eq!(issuers(&rig), ["https://b.example"]);
    let rig = rig.restart().await;
    assert_eq!(issuers(&rig), ["https://b.example"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_warned_of_first_logins_unless_it_signs_its_own_tokens() {
    for (domain, warnings) in [("https://a.example", 1), ("https://site.example", 0)] {
        let rig = Rig::new().await;
        let domain = set("DOMAIN", Some(domain));
        rig.pushes.change_variables(domain).await.unwrap();
        let mut body = app("list", None);
        let module = json!({"path": "auth.config.js", "source": "DOMAIN"});
        body["appDefinition"]["changedModules"]
            .as_array_mut()
            .unwrap()
            .push(module);
        rig.push(body).await.unwrap();
        let now = rig.pushes.now_millis() as u64;
        let logged = rig.functions.log().after(0, now).entries;
        let warned = logged
            .iter()
            .filter(|entry| entry.identifier == "vestibule:firstLogins");
        assert_eq!(warned.count(), warnings, "{logged:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_that_an_app_requires_are_asked_for() {
    let rig = Rig::new().await;
    let definition = json!({"definitionType": {"type": "app"}, "envVars": [
        ["KEY", {"type": "value", "value": "{\"type\":\"string\"}"}],
    ]});
    let mut body = app("list", None);
    let module = json!({"path": "convex.config.js", "source": definition.to_string()});
    body["appDefinition"]["definition"] = module;
    let refused = rig.push(body.clone()).await.unwrap_err();
    assert_eq!(refused.code(), "MissingEnvironmentVariables");
    assert!(
        refused.to_string().contains("are not set: KEY."),
        "{refused}"
    );
    rig.pushes
        .change_variables(set("KEY", Some("k")))
        .await
        .unwrap();
    rig.push(body).await.unwrap();
    let refused = rig
        .pushes
        .change_variables(set("KEY", None))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "RequiredEnvironmentVariable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_paused_and_goes_on_and_its_origins_change() {
    let rig = Rig::new().await;
    let refused = rig.pushes.pause(false).await.unwrap_err();
    assert!(matches!(refused, PushError::NotPaused));
    rig.pushes.pause(true).await.unwrap();
    rig.pushes
        .change_origin(true, Some("https://hooks.example/".to_owned()))
        .await
        .unwrap();
    let rig = rig.restart().await;
    assert!(rig.pushes.live().settings.is_paused);
    assert_eq!(rig.pushes.origins().site, "https://hooks.example");
    let cloud = admin(&rig, "_system/cli/convexUrl:cloudUrl", json!({})).await;
    assert_eq!(cloud, "https://api.example");
    rig.pushes.change_origin(true, None).await.unwrap();
    assert_eq!(rig.pushes.origins().site, "https://site.example");
    rig.pushes.pause(false).await.unwrap();
    for text in [
        "x",
        "ftp://a.example",
        "https://a.example/path",
        "https://a.example?x",
    ] {
        let refused = rig.pushes.change_origin(false, Some(text.to_owned())).await;
        assert_eq!(refused.unwrap_err().code(), "InvalidCanonicalUrl", "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_look_into_the_deployment_and_nobody_else_does() {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("number", true))))
        .await
        .unwrap();
    rig.add_rooms(3).await;
    let page = json!({"paginationOpts": {"cursor": null, "numItems": 2.0}});
    let tables = admin(&rig, "_system/cli/tables", page.clone()).await;
    assert_eq!(
        tables["page"],
        json!([{"name": "natives"}, {"name": "rooms"}])
    );
    let mut data = page;
    data["table"] = json!("rooms");
    data["order"] = json!("desc");
    let first = admin(&rig, "_system/cli/tableData", data.clone()).await;
    assert_eq!(
        (&first["page"][0]["n"], &first["isDone"]),
        (&json!(2.0), &json!(false))
    );
    data["paginationOpts"]["cursor"] = first["continueCursor"].clone();
    let second = admin(&rig, "_system/cli/tableData", data.clone()).await;
    assert_eq!(
        (&second["page"][0]["n"], &second["isDone"]),
        (&json!(0.0), &json!(true))
    );
    data["table"] = json!("never");
    data["paginationOpts"]["cursor"] = Json::Null;
    assert_eq!(
        admin(&rig, "_system/cli/tableData", data).await["page"],
        json!([])
    );
    let size = admin(
        &rig,
        "_system/cli/tableSize",
        json!({"tableName": "rooms", "more": 1.0}),
    )
    .await;
    assert_eq!(size, 3.0);
    let spec = admin(&rig, "_system/cli/modules:apiSpec", json!({})).await;
    assert_eq!(spec[0]["identifier"], "rooms.js:list");
    let schemas = admin(&rig, "_system/frontend/getSchemas", json!({})).await;
    assert!(schemas["active"].as_str().unwrap().contains("by_n"));
    let indexes = admin(
        &rig,
        "_system/frontend/indexes",
        json!({"tableName": "rooms"}),
    )
    .await;
    assert_eq!(indexes[0]["fields"], json!(["n", "_creationTime"]));
    match ask(&rig, Caller::nobody(), "_system/cli/tables", json!({})).await {
        FunctionOutcome::Threw(thrown) => assert!(
            thrown
                .message
                .contains("You do not have permission to perform this operation"),
            "{}",
            thrown.message
        ),
        FunctionOutcome::Returned(value) => panic!("{value}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_see_more_than_an_app_may_keep_in_a_document() {
    let rig = Rig::new().await;
    let many = (0..ARRAY_LENGTH_MAX + 1)
        .map(|n| json!({"name": format!("f{n}"), "kind": "Query", "visibility": "public"}));
    let found = json!({"functions": many.collect::<Vec<_>>()});
    let tables = (0..=OBJECT_FIELDS_MAX).map(|n| {
        json!({"tableName": format!("table{n}"), "indexes": [], "documentType": {"type": "any"}})
    });
    let schema = json!({"schemaValidation": true, "tables": tables.collect::<Vec<_>>()});
    let mut body = app("list", Some(schema));
    body["appDefinition"]["changedModules"][0]["source"] = json!(found.to_string());
    rig.push(body).await.unwrap();
    let spec = admin(&rig, "_system/cli/modules:apiSpec", json!({})).await;
    assert_eq!(spec.as_array().unwrap().len(), ARRAY_LENGTH_MAX + 1);
    let all = "_system/frontend/modules:listForAllComponents";
    let modules = admin(&rig, all, json!({})).await;
    let functions = modules[0][1][0][1]["functions"].as_array().unwrap();
    assert_eq!(functions.len(), ARRAY_LENGTH_MAX + 1);
    let mapping = admin(&rig, "_system/frontend/getTableMapping", json!({})).await;
    let mapped = mapping.as_object().unwrap().values();
    let mapped = mapped.filter(|name| name.as_str().unwrap().starts_with("table"));
    assert_eq!(mapped.count(), OBJECT_FIELDS_MAX + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_documents_ends_at_its_own_bound() {
    const ROWS: usize = 10_000;
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    rig.add_rooms(ROWS + 1).await;
    let options = json!({"numItems": 1e9, "cursor": null});
    let args = json!({"table": "rooms", "paginationOpts": options});
    for path in [
        "_system/cli/tableData",
        "_system/frontend/paginatedTableDocuments",
    ] {
        let page = admin(&rig, path, args.clone()).await;
        assert_eq!(page["page"].as_array().unwrap().len(), ROWS, "{path}");
        assert_eq!(page["isDone"], false, "{path}");
        let mut rest = args.clone();
        rest["paginationOpts"]["cursor"] = page["continueCursor"].clone();
        let rest = admin(&rig, path, rest).await;
        assert_eq!(rest["page"].as_array().unwrap().len(), 1, "{path}");
        assert_eq!(rest["isDone"], true, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tools_watch_changes_with_what_it_shows() {
    let rig = Rig::new().await;
    rig.push(app("list", Some(rooms("number", false))))
        .await
        .unwrap();
    let log = rig.functions.database().write_log().clone();
    let watched = async |path: &str, args: Json| {
        let call = Call {
            path: path.parse().unwrap(),
            args: Value::from_json(&args).unwrap(),
            caller: Caller::admin(),
            source: CallSource::Client(None),
        };
        rig.functions.query(call, None).await.unwrap()
    };
    let mut newest = log.subscribe();
    let mut settle = async || {
        // Answers come before the news of what they changed.
        let durable = rig.functions.database().durable_ts();
        newest.wait_for(|newest| *newest >= durable).await.unwrap();
    };
    let is_stale = |run: &crate::functions::QueryRun| {
        log.freshness(&run.reads, run.ts) != crate::database::Freshness::Fresh
    };
    let rooms = json!({"tableName": "rooms"});
    let table = watched("_system/cli/queryTable", rooms.clone()).await;
    let size = watched("_system/cli/tableSize", rooms).await;
    let variables = watched("_system/cli/queryEnvironmentVariables", json!({})).await;
    let spec = watched("_system/cli/modules:apiSpec", json!({})).await;
    let tables = watched("_system/cli/tables", json!({})).await;
    rig.add_rooms(1).await;
    settle().await;
    assert!(is_stale(&table) && is_stale(&size) && !is_stale(&variables) && !is_stale(&spec));
    rig.pushes
        .change_variables(set("A", Some("1")))
        .await
        .unwrap();
    settle().await;
    assert!(is_stale(&variables) && !is_stale(&spec) && !is_stale(&tables));
    let more = json!({"tables": [{"tableName": "rooms", "indexes": []}, {"tableName": "more", "indexes": []}]});
    rig.push(app("list", Some(more))).await.unwrap();
    settle().await;
    assert!(is_stale(&spec) && is_stale(&tables));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_query_of_the_system_is_for_admins_alone() {
    let rig = Rig::new().await;
    let (live, _following) = crate::subscriptions::LiveQueries::start(rig.functions.clone());
    let ask = async |caller: Caller| {
        let call = Call {
            path: "_system/cli/convexUrl:cloudUrl".parse().unwrap(),
            args: Value::from_json(&json!({})).unwrap(),
            caller,
            source: CallSource::Client(None),
        };
        let (result, _) = live.query(call).await.unwrap();
        matches!(result.done(), Some(FunctionOutcome::Returned(_)))
    };
    assert!(ask(Caller::admin()).await);
    assert!(!ask(Caller::nobody()).await);
    assert!(ask(Caller::admin()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn c13_what_provisions_is_checked_by_pushes_and_from_the_first_one_on_by_variables() {
    let rig = Rig::new().await;
    let with = |value| rig.pushes.change_variables(set(PROVISION_WITH, value));
    with(Some("rooms:list")).await.unwrap();
    let refused = rig.push(app("list", None)).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.to_string().as_str()),
        (
            "InvalidProvisioning",
            "VESTIBULE_PROVISION_WITH names rooms:list, which is a Query: only a mutation can provision a user."
        )
    );
    assert!(rig.pushes.live().push.is_none());
    with(Some("none")).await.unwrap();
    rig.push(app("list", None)).await.unwrap();
    let refused = with(Some("rooms:store")).await.unwrap_err();
    assert!(
        refused.to_string().contains("there is no such function"),
        "{refused}"
    );
    assert_eq!(rig.pushes.variables().get(PROVISION_WITH), Some("none"));
    with(None).await.unwrap();
    let when = set(PROVISION_WHEN, Some("rooms.by_nothing:subject"));
    let refused = rig.pushes.change_variables(when).await.unwrap_err();
    assert!(
        refused.to_string().contains("rooms.by_nothing"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_does_not_keep_a_change_from_taking_effect() {
    let rig = Rig::new().await;
    let site = Some("https://other.example".to_owned());
    let mut changing = Box::pin(rig.pushes.change_origin(true, site));
    let _ = futures_util::poll!(&mut changing);
    drop(changing);
    rig.pushes.settled().await;
    assert_eq!(rig.pushes.origins().site, "https://other.example");
    assert_eq!(rig.pushes.own.origins().site, "https://other.example");
    let started = rig.start(super::rig::app("list", None)).await.unwrap();
    rig.prepare(&started).await;
    let mut finishing = Box::pin(rig.finish(started));
    let _ = futures_util::poll!(&mut finishing);
    drop(finishing);
    rig.pushes.settled().await;
    assert!(rig.pushes.live().push.is_some());
}
