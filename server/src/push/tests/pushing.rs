//! Tests of a push from its start to its end.

use serde_json::json;

use super::rig::{Rig, app, rooms};
use crate::push::PushError;
use crate::push::stored::PUSHES_MAX;

fn code(refused: Result<serde_json::Value, PushError>) -> &'static str {
    refused.unwrap_err().code()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_live_from_its_finish_on_and_after_a_restart() {
    let rig = Rig::new().await;
    let fresh = json!({
        "config": {"functions": "convex/"},
        "moduleHashes": [],
        "udfServerVersion": null,
        "nodeVersion": null,
    });
    assert_eq!(rig.pushes.config_hashes(), fresh);
    let mut body = app("list", None);
    body["nodeVersion"] = json!("22");
    let started = rig.start(body).await.unwrap();
    assert_eq!(
        started["analysis"][""]["functions"]["rooms.js"]["functions"][0]["udfType"],
        "Query"
    );
    assert_eq!(rig.pushes.config_hashes(), fresh);
    rig.prepare(&started).await;
    let reply = rig.finish(started).await.unwrap();
    assert_eq!(
        reply["componentDiffs"][""]["moduleDiff"]["added"],
        json!(["rooms.js"])
    );
    let hashes = rig.pushes.config_hashes();
    assert_eq!(hashes["moduleHashes"][0]["path"], "rooms.js");
    assert_eq!(hashes["nodeVersion"], "22");
    let rig = rig.restart().await;
    assert_eq!(rig.pushes.config_hashes(), hashes);
    let live = rig.pushes.live();
    assert_eq!(
        live.push.as_ref().unwrap().message.as_deref(),
        Some("because")
    );
    assert!(live.function(&"rooms:list".parse().unwrap()).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_that_stay_are_named_by_hash_and_others_are_deleted() {
    let rig = Rig::new().await;
    let mut first = app("list", None);
    let chat = json!({"path": "chat.js", "source": r#"{"functions":[]}"#});
    first["appDefinition"]["changedModules"]
        .as_array_mut()
        .unwrap()
        .push(chat);
    rig.push(first).await.unwrap();
    let hash = rig.pushes.live().modules["rooms.js"].hash.clone();
    let unchanged = |hash: &str| {
        let mut body = app("list", None);
        body["appDefinition"]["changedModules"] = json!([]);
        let kept = json!([{"path": "rooms.js", "environment": "isolate", "sha256": hash}]);
        body["appDefinition"]["unchangedModuleHashes"] = kept;
        body
    };
    assert_eq!(code(rig.push(unchanged("00")).await), "RaceDetected");
    rig.push(unchanged(&hash)).await.unwrap();
    let live = rig.pushes.live();
    assert_eq!(live.modules.keys().collect::<Vec<_>>(), ["rooms.js"]);
    assert_eq!(live.functions.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_during_a_push_refuses_its_finish() {
    let rig = Rig::new().await;
    let (first, second) = (app("list", None), app("other", None));
    let first = rig.start(first).await.unwrap();
    let second = rig.start(second).await.unwrap();
    assert_eq!(rig.prepare(&first).await["type"], "complete");
    assert_eq!(rig.prepare(&second).await["type"], "complete");
    assert_eq!(rig.prepare(&first).await["type"], "raceDetected");
    rig.finish(second).await.unwrap();
    assert_eq!(code(rig.finish(first).await), "RaceDetected");
    let third = rig.start(app("third", None)).await.unwrap();
    let change = crate::deployment::VariableChange {
        name: "A".to_owned(),
        value: Some("1".to_owned()),
    };
    rig.pushes.change_variables(vec![change]).await.unwrap();
    assert_eq!(code(rig.finish(third).await), "RaceDetected");
    let unknown = json!({"schemaChange": {"schemaIds": {"": "never"}}});
    assert_eq!(rig.prepare(&unknown).await["type"], "raceDetected");
    assert_eq!(code(rig.finish(unknown).await), "RaceDetected");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_refused_with_their_codes() {
    let rig = Rig::new().await;
    let mut broken = app("list", None);
    broken["appDefinition"]["changedModules"][0]["source"] = json!("{");
    assert_eq!(code(rig.start(broken).await), "InvalidModules");
    assert_eq!(
        code(rig.start(app("not a name", None)).await),
        "InvalidFunctionName"
    );
    let native = json!({"tables": [{"tableName": "natives", "indexes": []}]});
    assert_eq!(
        code(rig.start(app("list", Some(native))).await),
        "InvalidSchema"
    );
    let mut twice = app("list", None);
    let module = twice["appDefinition"]["changedModules"][0].clone();
    twice["appDefinition"]["changedModules"]
        .as_array_mut()
        .unwrap()
        .push(module);
    assert_eq!(code(rig.start(twice).await), "BadConvexModuleIdentifier");
    let mut node = app("list", None);
    node["nodeVersion"] = json!("18");
    assert_eq!(code(rig.start(node).await), "NodeVersionNotSupported");
    let mut reserved = app("list", None);
    reserved["appDefinition"]["changedModules"][0]["path"] = json!("_system/a.js");
    assert_eq!(code(rig.start(reserved).await), "BadConvexModuleIdentifier");
    let mut auth = app("list", None);
    let module = json!({"path": "auth.config.js", "source": "DOMAIN"});
    auth["appDefinition"]["changedModules"]
        .as_array_mut()
        .unwrap()
        .push(module);
    let refused = rig.start(auth).await.unwrap_err();
    assert_eq!(refused.code(), "AuthConfigMissingEnvironmentVariable");
    assert!(
        refused
            .to_string()
            .contains("Environment variable DOMAIN is used"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_leaves_no_trace() {
    let rig = Rig::new().await;
    let body = app("list", Some(rooms("number", true)));
    let request = |body: &serde_json::Value| serde_json::from_value(body.clone()).unwrap();
    let evaluated = rig.pushes.evaluate_schema(request(&body)).await.unwrap();
    let schema = &evaluated["componentSchemaEvaluations"][""];
    assert_eq!(schema["indexes"][0]["change"], "added");
    assert_eq!(schema["tables"][0]["numDocs"], 0);
    let evaluated = rig.pushes.evaluate_push(request(&body)).await.unwrap();
    let added = &evaluated["schemaChange"]["indexDiffs"][""]["added_indexes"];
    assert_eq!(added[0]["name"], "rooms.by_n");
    let mut dry = body;
    dry["dryRun"] = json!(true);
    let started = rig.start(dry).await.unwrap();
    let request = json!({"schemaChange": started["schemaChange"], "dryRun": true});
    let waited = rig
        .pushes
        .wait_for_schema(serde_json::from_value(request).unwrap())
        .await;
    assert_eq!(waited.unwrap()["type"], "complete");
    let request = json!({"startPush": started, "dryRun": true});
    let finished = rig
        .pushes
        .finish(serde_json::from_value(request).unwrap())
        .await
        .unwrap();
    assert_eq!(finished["componentDiffs"], json!({}));
    assert!(rig.pushes.live().push.is_none());
    assert!(
        rig.functions
            .database()
            .definitions()
            .catalog
            .table("rooms")
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_pushes_are_kept_and_can_be_gone_back_to() {
    let rig = Rig::new().await;
    for n in 0..PUSHES_MAX + 2 {
        rig.push(app(&format!("list{n}"), None)).await.unwrap();
    }
    let history = rig.pushes.history().await.unwrap();
    assert_eq!(history.len(), PUSHES_MAX);
    assert_eq!(history[0].id, rig.pushes.live().push.as_ref().unwrap().id);
    rig.pushes.roll_back(&history[1].id).await.unwrap();
    let live = rig.pushes.live();
    assert!(
        live.function(&format!("rooms:list{PUSHES_MAX}").parse().unwrap())
            .is_some()
    );
    let refused = rig.pushes.roll_back("never").await.unwrap_err();
    assert_eq!(refused.code(), "PushNotFound");
    // Kept pushes can still be read after all the cleaning up.
    let oldest = rig.pushes.history().await.unwrap().pop().unwrap();
    rig.pushes.roll_back(&oldest.id).await.unwrap();
}
