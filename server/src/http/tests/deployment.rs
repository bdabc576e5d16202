//! The deployment's description of itself, and its site.

use bytes::Bytes;
use reqwest::Method;
use serde_json::json;

use super::harness::{Server, Setup, answer, assert_refused};
use crate::http::{Asset, HttpOptions};

async fn text(server: &Server, path: &str) -> (u16, String, String) {
    let response = server.get(path).send().await.unwrap();
    let content_type = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    (
        response.status().as_u16(),
        content_type,
        response.text().await.unwrap(),
    )
}

#[tokio::test]
async fn a_probe_learns_what_runs_here() {
    let server = Server::start().await;
    let plain = "text/plain; charset=utf-8".to_owned();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    assert_eq!(
        text(&server, "/version").await,
        (200, plain.clone(), version.clone())
    );
    assert_eq!(
        text(&server, "/instance_version").await,
        (200, plain.clone(), version)
    );
    assert_eq!(
        text(&server, "/instance_name").await,
        (200, plain.clone(), "test".to_owned())
    );
    assert_eq!(text(&server, "/").await.0, 200);
    assert_eq!(
        answer(server.get("/healthz")).await,
        (reqwest::StatusCode::OK, json!({ "status": "ok" }))
    );
    assert_eq!(
        answer(server.get("/readyz")).await,
        (reqwest::StatusCode::OK, json!({ "status": "ok" }))
    );
    let js = server.http.functions.js().unwrap();
    let warming = js.begin_warming();
    let starting = answer(server.get("/readyz")).await;
    assert_eq!(starting.0, reqwest::StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(starting.1["status"], "starting");
    assert_eq!(text(&server, "/healthz").await.0, 200);
    drop(warming);
    assert_eq!(text(&server, "/readyz").await.0, 200);
    let head = server.ask(Method::HEAD, "/version").send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), head.text().await.unwrap()),
        (200, String::new())
    );
    let event = server
        .post("/api/debug_event", json!({ "event": "x" }))
        .send()
        .await
        .unwrap();
    assert_eq!(event.status(), 204);
}

#[tokio::test]
async fn a_good_admin_key_may_do_everything() {
    let server = Server::start().await;
    let check = server
        .get("/api/check_admin_key")
        .header("Authorization", format!("Convex {}", server.admin_key()));
    assert_eq!(
        answer(check).await.1,
        json!({ "success": true, "allowedOps": [], "isReadOnly": false })
    );
    assert_refused(server.get("/api/check_admin_key"), 403, "BadDeployKey").await;
    let user = server
        .get("/api/check_admin_key")
        .bearer_auth(server.token("ada"));
    assert_refused(user, 403, "BadDeployKey").await;
}

#[tokio::test]
async fn an_echo_is_what_was_sent_and_never_a_page() {
    let server = Server::start().await;
    let page = "<script>alert(1)</script>";
    let echo = server
        .ask(Method::POST, "/echo")
        .header("Content-Type", "text/html")
        .body(page)
        .send()
        .await
        .unwrap();
    assert_eq!(echo.headers()["content-type"], "application/octet-stream");
    assert_eq!(echo.headers()["x-content-type-options"], "nosniff");
    assert_eq!(echo.text().await.unwrap(), page);
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_status() {
    let server = Server::start().await;
    server.count().await;
    server
        .get("/api/query?path=notes:count")
        .send()
        .await
        .unwrap();
    server.get("/no/such/place").send().await.unwrap();
    let (status, _, metrics) = text(&server, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        r#"http_requests_total{route="/api/query",status="200"} 1"#,
        r#"http_requests_total{route="/api/query",status="400"} 1"#,
        r#"http_requests_total{route="none",status="404"} 1"#,
        "http_requests_in_flight 1",
        "gate_joined_total 0",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert!(!metrics.contains("/no/such/place"));
    let options = HttpOptions {
        expose_metrics: false,
        ..Setup::default().options
    };
    let server = Server::start_with(Setup {
        options,
        ..Setup::default()
    })
    .await;
    assert_refused(server.get("/metrics"), 404, "NotFound").await;
}

#[tokio::test]
async fn the_api_describes_its_public_part() {
    let server = Server::start().await;
    let (_, description) = answer(server.get("/api/public_openapi.json")).await;
    assert_eq!(description["openapi"], "3.1.0");
    let paths = description["paths"].as_object().unwrap();
    for path in [
        "/api/query",
        "/api/mutation",
        "/api/action",
        "/api/run/{path}",
        "/api/query_ts",
        "/api/query_at_ts",
        "/api/query_batch",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    assert!(paths["/api/query"]["get"].is_object() && paths["/api/query"]["post"].is_object());
    assert!(!paths.contains_key("/api/function") && !paths.contains_key("/dev/token"));
    let schemas = description["components"]["schemas"].as_object().unwrap();
    let text = description.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
}

fn site() -> Vec<Asset> {
    let asset = |path: &str, content_type, bytes: &'static str| Asset {
        path: path.to_owned(),
        content_type,
        bytes: Bytes::from_static(bytes.as_bytes()),
    };
    vec![
        asset(
            "/index.html",
            "text/html; charset=utf-8",
            "<title>chat</title>",
        ),
        asset("/assets/app.js", "text/javascript", "go()"),
    ]
}

#[tokio::test]
async fn a_site_is_served_beside_the_api() {
    let server = Server::start_with(Setup {
        site: site(),
        ..Setup::default()
    })
    .await;
    assert_eq!(
        text(&server, "/").await,
        (
            200,
            "text/html; charset=utf-8".to_owned(),
            "<title>chat</title>".to_owned()
        )
    );
    let script = server.get("/assets/app.js").send().await.unwrap();
    assert_eq!(
        script.headers()["content-security-policy"],
        "default-src 'self'; connect-src 'self' ws: wss:"
    );
    assert_eq!(script.headers()["x-content-type-options"], "nosniff");
    let tag = script.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(script.text().await.unwrap(), "go()");
    for tags in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"other\", {tag}"),
        "*".to_owned(),
    ] {
        let again = server
            .get("/assets/app.js")
            .header("If-None-Match", &tags)
            .send()
            .await
            .unwrap();
        assert_eq!(
            (again.status().as_u16(), &again.headers()["etag"]),
            (304, &tag.parse().unwrap()),
            "{tags}"
        );
    }
    let other = server
        .get("/assets/app.js")
        .header("If-None-Match", "\"other\"")
        .send()
        .await
        .unwrap();
    assert_eq!(other.status(), 200);
    assert_refused(server.get("/assets/none.js"), 404, "NotFound").await;
    assert_refused(server.get("/assets/../index.htm"), 404, "NotFound").await;
    assert_refused(
        server.ask(Method::POST, "/assets/app.js"),
        405,
        "MethodNotAllowed",
    )
    .await;
    assert_eq!(server.count().await, 0.0);
}

#[tokio::test]
async fn an_answer_says_nothing_of_an_admin_key_in_its_address() {
    let server = Server::start().await;
    let (_, body) = answer(server.get("/api/check_admin_key?adminKey=test%7Ccanary")).await;
    assert!(!body.to_string().contains("canary"), "{body}");
    let (_, _, metrics) = text(&server, "/metrics").await;
    assert!(!metrics.contains("canary"));
}

#[tokio::test]
async fn an_address_that_is_no_text_is_refused_as_every_other_bad_request() {
    let server = Server::start().await;
    for path in ["/api/storage/%ff", "/api/export/zip/%ff", "/api/%ff/sync"] {
        assert_refused(server.get(path), 400, "BadPathArgs").await;
    }
    for path in [
        "/api/run/%ff/x",
        "/api/export/cancel/%ff",
        "/api/export/set_expiration/%ff",
    ] {
        assert_refused(server.post(path, json!({})), 400, "BadPathArgs").await;
    }
}
