//! An administrator's work on jobs, tables and the deployment as a whole.

use reqwest::RequestBuilder;
use serde_json::{Value as Json, json};

use super::harness::{Server, answer, assert_refused, json_of};
use super::socket_client::SocketClient;
use crate::auth::AdminRights;

const CANCEL_JOB: &str = "/api/cancel_job";
const CANCEL_ALL: &str = "/api/cancel_all_jobs";
const CLEAR: &str = "/api/delete_scheduled_functions_table";
const DELETE_TABLES: &str = "/api/delete_tables";
const PAUSE: &str = "/api/v1/pause_deployment";
const UNPAUSE: &str = "/api/v1/unpause_deployment";
const DEPLOYMENTS: &str = "/api/vestibule/deployments";
const ROLLBACK: &str = "/api/vestibule/rollback";
const NANOS_PER_MINUTE: u64 = 60_000_000_000;

fn by(request: RequestBuilder, key: &str) -> RequestBuilder {
    request.header("Authorization", format!("Convex {key}"))
}

struct Admin {
    server: Server,
    key: String,
}

impl Admin {
    async fn new() -> Admin {
        let server = Server::start().await;
        let key = server.admin_key();
        Admin { server, key }
    }

    fn post(&self, path: &str, body: Json) -> RequestBuilder {
        by(self.server.post(path, body), &self.key)
    }

    /// Schedules a function so many minutes ahead; its id.
    async fn schedule(&self, minutes: u64) -> String {
        let later = self
            .server
            .call("mutation", "notes:later", json!({ "minutes": minutes }));
        let answer = json_of(later.send().await.unwrap()).await;
        answer["value"].as_str().unwrap().to_owned()
    }

    /// Minutes from now in nanoseconds since 1970.
    fn in_minutes(&self, minutes: u64) -> u64 {
        use crate::clock::Clock;
        self.server.clock.now().0 + minutes * NANOS_PER_MINUTE
    }

    async fn canceled(&self, which: Json) -> u64 {
        let (status, body) = answer(self.post(CANCEL_ALL, which)).await;
        assert_eq!(status, 200, "{body}");
        body["canceled"].as_u64().unwrap()
    }
}

#[tokio::test]
async fn each_route_tells_each_role_apart() {
    let admin = Admin::new().await;
    let server = &admin.server;
    let now = {
        use crate::clock::Clock;
        server.clock.now()
    };
    let read_only = server
        .admin_keys
        .mint_with(AdminRights::ReadOnly, now, None);
    let read_only = read_only.unwrap().text.expose().clone();
    for (path, body, allowed) in [
        (
            CANCEL_JOB,
            json!({ "id": "none" }),
            (400, "InvalidScheduledFunctionId"),
        ),
        (CANCEL_ALL, json!({}), (200, "")),
        (CLEAR, json!({}), (200, "")),
        (DELETE_TABLES, json!({ "tableNames": [] }), (200, "")),
        (ROLLBACK, json!({ "id": "none" }), (400, "PushNotFound")),
        (UNPAUSE, json!({}), (400, "UnpauseDeploymentFailed")),
        (PAUSE, json!({}), (200, "")),
        (UNPAUSE, json!({}), (200, "")),
    ] {
        let post = || server.post(path, body.clone());
        let token = format!("Bearer {}", server.token("ada"));
        assert_refused(post(), 403, "BadDeployKey").await;
        assert_refused(post().header("Authorization", token), 403, "BadDeployKey").await;
        assert_refused(by(post(), "test|00"), 401, "BadAdminKey").await;
        assert_refused(by(post(), &read_only), 403, "OperationNotPermitted").await;
        let (status, answered) = answer(by(post(), &admin.key)).await;
        let code = answered["code"].as_str().unwrap_or_default();
        assert_eq!((status.as_u16(), code), allowed, "{path} {answered}");
    }
    // Looking is for those who may look.
    assert_refused(server.get(DEPLOYMENTS), 403, "BadDeployKey").await;
    for key in [&read_only, &admin.key] {
        let (status, listed) = answer(by(server.get(DEPLOYMENTS), key)).await;
        assert_eq!(
            (status.as_u16(), listed),
            (200, json!({ "deployments": [] }))
        );
    }
}

#[tokio::test]
async fn jobs_are_called_off_one_by_one_by_time_and_by_function() {
    let admin = Admin::new().await;
    let first = admin.schedule(1).await;
    for minutes in 2..=9 {
        admin.schedule(minutes).await;
    }
    let (status, body) = answer(admin.post(CANCEL_JOB, json!({ "id": first }))).await;
    assert_eq!((status.as_u16(), body), (200, Json::Null));
    // The same again changes nothing.
    assert_eq!(
        answer(admin.post(CANCEL_JOB, json!({ "id": first })))
            .await
            .0,
        200
    );
    // From the third minute on, and before the fifth.
    let (from, until) = (admin.in_minutes(3), admin.in_minutes(5));
    let span = json!({ "startNextTs": from, "endNextTs": until.to_string() });
    assert_eq!(admin.canceled(span).await, 2);
    assert_eq!(admin.canceled(json!({ "udfPath": "notes:texts" })).await, 0);
    let of_notes = json!({ "udfPath": "notes:add", "startNextTs": admin.in_minutes(9) });
    assert_eq!(admin.canceled(of_notes).await, 1);
    assert_eq!(admin.canceled(json!({ "componentId": null })).await, 5);
    assert_eq!(admin.canceled(json!({})).await, 0);
    let waiting = admin.schedule(1).await;
    assert_eq!(answer(admin.post(CLEAR, json!({}))).await.0, 200);
    assert_eq!(
        answer(admin.post(CANCEL_JOB, json!({ "id": waiting })))
            .await
            .0,
        200
    );
    assert_eq!(admin.canceled(json!({})).await, 0);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_and_changes_nothing() {
    let admin = Admin::new().await;
    admin.schedule(1).await;
    for (path, body, code) in [
        (CANCEL_JOB, json!({}), "BadJsonBody"),
        (CANCEL_JOB, json!({ "id": 7 }), "BadJsonBody"),
        (
            CANCEL_JOB,
            json!({ "id": "x", "componentId": "c" }),
            "ComponentNotFound",
        ),
        (
            CANCEL_ALL,
            json!({ "udfPath": "no path" }),
            "InvalidFunctionPath",
        ),
        (CANCEL_ALL, json!({ "startNextTs": "soon" }), "BadJsonBody"),
        (CANCEL_ALL, json!({ "endNextTs": [] }), "BadJsonBody"),
        (
            CANCEL_ALL,
            json!({ "componentPath": "c" }),
            "ComponentNotFound",
        ),
        (CLEAR, json!({ "componentId": "c" }), "ComponentNotFound"),
        (
            DELETE_TABLES,
            json!({ "tableNames": "notes" }),
            "BadJsonBody",
        ),
        (
            DELETE_TABLES,
            json!({ "tableNames": ["nowhere"] }),
            "TableNotFound",
        ),
        (
            DELETE_TABLES,
            json!({ "tableNames": ["_storage"] }),
            "TableCannotBeDeleted",
        ),
        (
            DELETE_TABLES,
            json!({ "tableNames": ["notes"] }),
            "TableCannotBeDeleted",
        ),
        (
            DELETE_TABLES,
            json!({ "tableNames": [], "componentId": "c" }),
            "ComponentNotFound",
        ),
        (ROLLBACK, json!({}), "BadJsonBody"),
    ] {
        assert_refused(admin.post(path, body), 400, code).await;
    }
    assert_eq!(admin.canceled(json!({})).await, 1);
}

#[tokio::test]
async fn a_table_that_no_schema_names_is_deleted_all_or_nothing() {
    let admin = Admin::new().await;
    let tables = async || {
        let shapes = by(admin.server.get("/api/shapes2"), &admin.key);
        let (_, shapes) = answer(shapes).await;
        let names = shapes.as_object().unwrap().keys().cloned();
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let all = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    for table in ["extra", "more"] {
        let path = format!("/api/import?tableName={table}&format=jsonLines&mode=append");
        let import = by(admin.server.ask(reqwest::Method::POST, &path), &admin.key);
        let (status, body) = answer(import.body("{\"n\":1}\n{\"n\":2}\n")).await;
        assert_eq!(status, 200, "{body}");
    }
    let before: std::collections::BTreeSet<String> = all(&["extra", "more", "notes", "users"]);
    assert_eq!(tables().await, before);
    let both = json!({ "tableNames": ["extra", "nowhere"] });
    assert_refused(admin.post(DELETE_TABLES, both), 400, "TableNotFound").await;
    assert_eq!(tables().await, before);
    let (status, _) = answer(admin.post(DELETE_TABLES, json!({ "tableNames": ["extra"] }))).await;
    assert_eq!(status, 200);
    let after = all(&["more", "notes", "users"]);
    assert_eq!(tables().await, after);
    // Its name is free again, and empty.
    let path = "/api/import?tableName=extra&format=jsonLines&mode=requireEmpty";
    let import = by(admin.server.ask(reqwest::Method::POST, path), &admin.key);
    assert_eq!(
        answer(import.body("{\"n\":3}")).await.1,
        json!({ "numWritten": 1 })
    );
}

#[tokio::test]
async fn a_pause_stops_calls_live_queries_and_http_actions_until_it_ends() {
    let admin = Admin::new().await;
    let mut client = SocketClient::connect(&admin.server, &[]).await;
    client.watch("notes:count").await;
    let shown = async |client: &mut SocketClient| loop {
        let transition = client.next_of("Transition").await;
        if let Some(shown) = transition["modifications"].get(0) {
            return shown["type"].as_str().unwrap().to_owned();
        }
    };
    assert_eq!(shown(&mut client).await, "QueryUpdated");
    assert_eq!(answer(admin.post(PAUSE, json!({}))).await.0, 200);
    assert_eq!(shown(&mut client).await, "QueryFailed");
    let called = admin.server.call("query", "notes:count", json!({}));
    let (_, called) = answer(called).await;
    assert!(
        called["errorMessage"].as_str().unwrap().contains("paused"),
        "{called}"
    );
    assert_refused(admin.server.get("/http/hello"), 503, "DeploymentPaused").await;
    // Data may still be changed, and files are still there.
    let path = "/api/import?tableName=notes&format=jsonLines&mode=append";
    let import = by(admin.server.ask(reqwest::Method::POST, path), &admin.key);
    assert_eq!(answer(import.body("{\"text\":\"x\"}")).await.0, 200);
    assert_eq!(answer(admin.post(UNPAUSE, json!({}))).await.0, 200);
    assert_eq!(shown(&mut client).await, "QueryUpdated");
    assert_eq!(admin.server.count().await, 1.0);
    assert_refused(
        admin.post(UNPAUSE, json!({})),
        400,
        "UnpauseDeploymentFailed",
    )
    .await;
}
