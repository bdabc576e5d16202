//! Every route in every role.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use super::harness::{Server, Setup};
use crate::http::routes::{ROUTES, Role, Route, Takes};

/// An address that the route takes.
fn address(route: &Route) -> String {
    let address = match route.path {
        "/api/run/{*path}" => "/api/run/notes/count",
        "/api/{version}/sync" => "/api/1.45.0/sync",
        "/api/query" if route.method == "get" => "/api/query?path=notes:count&args={}",
        "/api/vestibule/backup" => "/api/vestibule/backup?logSince=perhaps",
        "/api/export/request/zip" => "/api/export/request/zip?includeStorage=perhaps",
        path if path.starts_with("/api/app_metrics/") => {
            let window =
                r#"{"start":{"secs_since_epoch":0},"end":{"secs_since_epoch":60},"num_buckets":1}"#;
            return format!("{path}?window={window}");
        }
        path => path,
    };
    address.to_owned()
}

/// Routes that refuse what is asked of them here, to those who may ask.
const REFUSED: [&str; 24] = [
    "/api/prepare_schema",
    "/api/push_config",
    "/api/schema_state/{id}",
    "/api/vestibule/backup",
    "/api/vestibule/backup_verified",
    "/api/run/",
    "/api/delete_component",
    "/api/cancel_job",
    "/api/delete_tables",
    "/api/vestibule/rollback",
    "/api/run_test_function",
    "/api/deploy2/evaluate_schema",
    "/api/deploy2/evaluate_push",
    "/api/deploy2/start_push",
    "/api/deploy2/wait_for_schema",
    "/api/deploy2/finish_push",
    "/api/update_canonical_url",
    "/api/v1/update_canonical_url",
    "/api/update_environment_variables",
    "/api/v1/update_environment_variables",
    "/api/v1/get_current_usage",
    "/api/v1/list_usage_limits",
    "/api/v1/create_usage_limit",
    "/api/v1/update_usage_limit/{id}",
];

/// A body that the route takes, with the newest timestamp for the one that needs it.
fn body(route: &Route, ts: &str) -> Json {
    let kind = route.path.rsplit('/').next().unwrap();
    let path = match kind {
        "mutation" => "notes:add",
        "action" => "acts:hello",
        _ => "notes:count",
    };
    let args = match kind {
        "mutation" => json!({ "text": "x" }),
        _ => json!({}),
    };
    match route.takes {
        Takes::Batch => json!({ "queries": [{ "path": path, "args": args }] }),
        Takes::CallAt => json!({ "path": path, "args": args, "ts": ts }),
        Takes::Other if route.path == "/dev/token" => json!({ "subject": "ada" }),
        _ => json!({ "path": path, "args": args }),
    }
}

async fn status(
    server: &Server,
    route: &Route,
    ts: &str,
    authorization: Option<&str>,
) -> StatusCode {
    let method = Method::from_bytes(route.method.to_ascii_uppercase().as_bytes()).unwrap();
    if route.path == "/api/v1/unpause_deployment" {
        server.http.pushes.pause(true).await.unwrap();
    }
    let mut request = server.ask(method, &address(route));
    if route.method == "post" {
        request = request.json(&body(route, ts));
    }
    if let Some(authorization) = authorization {
        request = request.header("Authorization", authorization);
    }
    request.send().await.unwrap().status()
}

#[tokio::test]
async fn every_route_answers_every_role_as_its_line_says() {
    let server = Server::start_with(Setup {
        has_dev_issuer: true,
        ..Setup::default()
    })
    .await;
    let admin = format!("Convex {}", server.admin_key());
    let acting = format!(
        "{admin}:{}",
        data_encoding::BASE64.encode(br#"{"issuer":"https://a.example","subject":"b"}"#)
    );
    for route in ROUTES {
        // So many wrong keys in one minute would be too many.
        server.clock.advance(Duration::from_secs(60));
        let user = format!("Bearer {}", server.token("ada"));
        let ts: Json = server
            .post("/api/query_ts", json!({}))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let ts = ts["ts"].as_str().unwrap();
        let mut found = Vec::new();
        let credentials =
            [None, Some(&user), Some(&admin), Some(&acting)].map(|it| it.map(String::as_str));
        for authorization in credentials.into_iter().chain([
            Some("Bearer not-a-token"),
            Some("Convex test|00"),
            Some("Basic eA=="),
        ]) {
            found.push(status(&server, route, ts, authorization).await.as_u16());
        }
        let fine = match route.path {
            "/api/sync" | "/api/{version}/sync" => 400,
            "/api/debug_event" => 204,
            // Neither a token nor the name of a file.
            "/api/storage/upload" => 401,
            "/api/storage/{id}" => 400,
            "/api/import/start_upload" => 200,
            path if path.contains("import") || path.contains("export") => 400,
            path if REFUSED.contains(&path) => 400,
            _ => 200,
        };
        let expected = match route.role {
            Role::Anyone | Role::ThisMachine => [fine; 7],
            Role::Caller => [fine, fine, fine, fine, 401, 401, 400],
            Role::Admin => [403, 403, fine, fine, 401, 401, 400],
        };
        assert_eq!(found, expected, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn another_method_is_refused_on_every_route() {
    let server = Server::start().await;
    for route in ROUTES {
        let response = server
            .ask(Method::DELETE, &address(route))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 405, "{}", route.path);
        assert_eq!(
            response.json::<Json>().await.unwrap()["code"],
            "MethodNotAllowed"
        );
    }
}
