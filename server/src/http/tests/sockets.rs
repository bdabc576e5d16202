//! WebSocket handshakes, bad ones first.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::harness::{Server, Setup};
use crate::http::HttpOptions;

const SESSION: &str = "3f2b1c9e-5d4a-4c3b-8a7f-0123456789ab";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const UPGRADE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";

/// A handshake for `path` with these header lines, on a connection that ends with its answer unless it is upgraded.
async fn handshake(server: &Server, path: &str, lines: &str) -> String {
    server.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await
}

#[tokio::test]
async fn a_handshake_that_is_wrong_is_refused_before_the_upgrade() {
    let server = Server::start().await;
    let cases = [
        ("/api/sync", String::new(), "BadWebSocketRequest"),
        (
            "/api/sync",
            format!("{UPGRADE}{VERSION}"),
            "BadWebSocketRequest",
        ),
        (
            "/api/sync",
            format!("{UPGRADE}{KEY}"),
            "BadWebSocketRequest",
        ),
        (
            "/api/sync",
            format!("{UPGRADE}{KEY}Sec-WebSocket-Version: 8\r\n"),
            "BadWebSocketRequest",
        ),
        (
            "/api/sync",
            format!("{UPGRADE}{VERSION}Sec-WebSocket-Key: c2hvcnQ=\r\n"),
            "BadWebSocketRequest",
        ),
        (
            "/api/sync",
            format!("Connection: close\r\nUpgrade: websocket\r\n{KEY}{VERSION}"),
            "BadWebSocketRequest",
        ),
        (
            "/api/sync",
            format!("Connection: upgrade\r\nUpgrade: h2c\r\n{KEY}{VERSION}"),
            "BadWebSocketRequest",
        ),
        (
            "/api/latest/sync",
            format!("{UPGRADE}{KEY}{VERSION}"),
            "InvalidClientVersion",
        ),
        (
            "/api/0.19.1/sync",
            format!("{UPGRADE}{KEY}{VERSION}"),
            "ClientVersionUnsupported",
        ),
        (
            "/api/1.45.0/sync",
            format!("{UPGRADE}{KEY}{VERSION}Convex-Client: rust-0.0.1\r\n"),
            "ClientVersionUnsupported",
        ),
    ];
    for (path, lines, code) in cases {
        let answer = handshake(&server, path, &lines).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 "),
            "{path} {lines}: {answer}"
        );
        assert!(
            answer.contains(&format!("\"code\":\"{code}\"")),
            "{path} {lines}: {answer}"
        );
    }
    let old = handshake(
        &server,
        "/api/0.19.1/sync",
        &format!("{UPGRADE}{KEY}{VERSION}"),
    )
    .await;
    assert!(
        old.contains("x-convex-deprecation-state: Unsupported"),
        "{old}"
    );
}

#[tokio::test]
async fn a_page_that_is_not_on_the_list_opens_no_socket() {
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
    let upgrade = |origin: &str| format!("{UPGRADE}{KEY}{VERSION}Origin: {origin}\r\n");
    let answer = handshake(&server, "/api/sync", &upgrade("https://evil.example")).await;
    assert!(
        answer.starts_with("HTTP/1.1 403 ") && answer.contains("OriginNotAllowed"),
        "{answer}"
    );

    for origin in [Some("https://app.example"), None] {
        let mut request = format!("ws://{}/api/sync", server.address)
            .into_client_request()
            .unwrap();
        if let Some(origin) = origin {
            request
                .headers_mut()
                .insert("Origin", origin.parse().unwrap());
        }
        assert_eq!(
            connect_async(request).await.unwrap().1.status(),
            101,
            "{origin:?}"
        );
    }
}

#[tokio::test]
async fn a_full_server_says_so_before_the_upgrade() {
    let server = Server::start_with(Setup {
        sockets_max: 0,
        ..Setup::default()
    })
    .await;
    let answer = handshake(&server, "/api/sync", &format!("{UPGRADE}{KEY}{VERSION}")).await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("TooManyConnections"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_socket_speaks_the_sync_protocol_at_each_of_its_addresses() {
    let server = Server::start().await;
    for path in ["/api/sync", "/api/1.45.0/sync", "//api/1.46.0-alpha.2/sync"] {
        let (mut socket, response) = connect_async(format!("ws://{}{path}", server.address))
            .await
            .unwrap();
        assert!(!response.headers().contains_key("sec-websocket-extensions"));
        let connect = json!({ "type": "Connect", "sessionId": SESSION, "connectionCount": 0 });
        let query = json!({ "type": "Add", "queryId": 1, "udfPath": "notes:count", "args": [{}] });
        let watch = json!({ "type": "ModifyQuerySet", "baseVersion": 0, "newVersion": 1, "modifications": [query] });
        for message in [connect, watch] {
            socket
                .send(Message::text(message.to_string()))
                .await
                .unwrap();
        }
        let value = loop {
            let message = socket.next().await.unwrap().unwrap();
            let Ok(text) = message.to_text() else {
                continue;
            };
            let message: Json = serde_json::from_str(text).unwrap_or_default();
            if message["type"] == "Transition"
                && !message["modifications"].as_array().unwrap().is_empty()
            {
                break message["modifications"][0]["value"].clone();
            }
        };
        assert_eq!(value, 0.0, "{path}");
        socket.close(None).await.unwrap();
    }
}
