//! Pages of other origins.

use reqwest::Method;
use serde_json::json;

use super::harness::{Server, Setup};
use crate::http::HttpOptions;

fn header<'r>(response: &'r reqwest::Response, name: &str) -> Option<&'r str> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

fn preflight(server: &Server, path: &str, origin: &str) -> reqwest::RequestBuilder {
    server
        .ask(Method::OPTIONS, path)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header(
            "Access-Control-Request-Headers",
            "authorization,content-type,convex-client",
        )
        .header("Authorization", "nonsense")
}

#[tokio::test]
async fn a_preflight_is_answered_before_anything_is_checked() {
    let server = Server::start().await;
    for path in ["/api/query", "/api/nothing", "/", "/echo", "/instance_name"] {
        let response = preflight(&server, path, "https://app.example")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let expected = [
            ("access-control-allow-origin", Some("https://app.example")),
            ("access-control-allow-credentials", Some("true")),
            (
                "access-control-allow-methods",
                Some("GET, POST, OPTIONS, PATCH, DELETE, PUT"),
            ),
            (
                "access-control-allow-headers",
                Some("authorization,content-type,convex-client"),
            ),
            ("access-control-max-age", Some("86400")),
            (
                "vary",
                Some("origin, access-control-request-method, access-control-request-headers"),
            ),
            ("access-control-expose-headers", None),
        ];
        for (name, value) in expected {
            assert_eq!(header(&response, name), value, "{path} {name}");
        }
        assert!(response.text().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_page_reads_answers_and_refusals() {
    let server = Server::start().await;
    for args in [json!({}), json!(7)] {
        let request = server.post("/api/query", json!({ "path": "notes:count", "args": args }));
        let response = request
            .header("Origin", "https://app.example")
            .send()
            .await
            .unwrap();
        assert_eq!(
            header(&response, "access-control-allow-origin"),
            Some("https://app.example")
        );
        assert_eq!(header(&response, "access-control-max-age"), None);
    }
    let response = server.get("/version").send().await.unwrap();
    assert_eq!(header(&response, "access-control-allow-origin"), None);
}

#[tokio::test]
async fn with_a_list_only_its_origins_read_answers() {
    let allowed_origins = Some(vec!["https://app.example".to_owned()]);
    let options = HttpOptions {
        allowed_origins,
        ..Setup::default().options
    };
    let server = Server::start_with(Setup {
        options,
        ..Setup::default()
    })
    .await;
    for (origin, allowed) in [
        ("https://app.example", Some("https://app.example")),
        ("https://APP.example", Some("https://APP.example")),
        ("https://app.example.evil.example", None),
        ("http://app.example", None),
        ("null", None),
    ] {
        let response = preflight(&server, "/api/query", origin)
            .send()
            .await
            .unwrap();
        assert_eq!(
            header(&response, "access-control-allow-origin"),
            allowed,
            "{origin}"
        );
    }
}
