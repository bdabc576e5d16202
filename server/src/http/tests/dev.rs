//! The development issuer's routes.

use serde_json::{Value, json};

use super::harness::{Server, Setup, answer, assert_refused};

async fn in_development() -> Server {
    Server::start_with(Setup {
        has_dev_issuer: true,
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn a_development_token_signs_in() {
    let server = in_development().await;
    let response = server
        .post("/dev/token", json!({ "subject": "ada" }))
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let token = response.json::<serde_json::Value>().await.unwrap()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let me = server
        .call("query", "users:me", json!({}))
        .bearer_auth(token);
    assert_eq!(answer(me).await.1["value"], "ada");
}

#[tokio::test]
async fn the_issuer_is_the_address_it_is_asked_at() {
    let server = in_development().await;
    let (_, discovery) = answer(server.get("/.well-known/openid-configuration")).await;
    let issuer = format!("http://{}", server.address);
    assert_eq!(discovery["issuer"], json!(issuer));
    let keys = discovery["jwks_uri"]
        .as_str()
        .unwrap()
        .strip_prefix(&issuer)
        .unwrap();
    assert_eq!(
        answer(server.get(keys)).await.1["keys"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn only_programs_and_pages_of_this_machine_get_tokens() {
    let server = in_development().await;
    let wanted = |host: &str, origin: Option<&str>| {
        let request = server
            .post("/dev/token", json!({ "subject": "ada" }))
            .header("Host", host);
        match origin {
            Some(origin) => request.header("Origin", origin),
            None => request,
        }
    };
    for (host, origin) in [
        ("127.0.0.1:3210", None),
        ("localhost:3210", Some("http://localhost:5173")),
        ("[::1]:3210", Some("http://127.0.0.1:5173")),
    ] {
        assert_eq!(
            wanted(host, origin).send().await.unwrap().status(),
            200,
            "{host} {origin:?}"
        );
    }
    for (host, origin) in [
        ("evil.example", None),
        ("localhost.evil.example:3210", None),
        ("10.0.0.1", None),
        ("127.0.0.1:3210", Some("https://evil.example")),
        ("127.0.0.1:3210", Some("null")),
        ("127.0.0.1:3210", Some("http://localhost.evil.example")),
        ("127.0.0.1:3210", Some("")),
    ] {
        assert_refused(wanted(host, origin), 403, "DevIssuerRefused").await;
    }
    let two =
        wanted("127.0.0.1:3210", Some("http://localhost")).header("Origin", "https://evil.example");
    assert_refused(two, 403, "DevIssuerRefused").await;
}

#[tokio::test]
async fn nobody_gets_a_token_through_a_proxy() {
    let server = in_development().await;
    for (name, value) in [
        ("Forwarded", "for=192.0.2.1"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Anything", "x"),
        ("X-Real-IP", "192.0.2.1"),
        ("Via", "1.1 proxy"),
        ("CF-Connecting-IP", "192.0.2.1"),
        ("CF-Ray", "x"),
        ("True-Client-IP", "192.0.2.1"),
        ("X-Envoy-External-Address", "192.0.2.1"),
    ] {
        let request = server.post("/dev/token", json!({ "subject": "ada" }));
        assert_refused(request.header(name, value), 403, "DevIssuerRefused").await;
    }
    // A proxy that adds nothing often speaks the protocol of old.
    let body = r#"{"subject":"ada"}"#;
    let of_old = |version: &str| {
        format!(
            "POST /dev/token HTTP/{version}\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            server.address,
            body.len()
        )
    };
    let answered = server.raw(of_old("1.0").as_bytes()).await;
    assert!(answered.contains(" 403 "), "{answered}");
    let answered = server.raw(of_old("1.1").as_bytes()).await;
    assert!(answered.contains(" 200 "), "{answered}");
}

#[tokio::test]
async fn a_token_that_cannot_be_made_is_refused_with_a_reason() {
    let server = in_development().await;
    assert_refused(server.post("/dev/token", json!({})), 400, "BadJsonBody").await;
    assert_refused(
        server.post("/dev/token", json!({ "subject": "a", "role": "admin" })),
        400,
        "BadJsonBody",
    )
    .await;
    assert_refused(
        server.post("/dev/token", json!({ "subject": "" })),
        400,
        "BadTokenRequest",
    )
    .await;
    assert_refused(
        server.post(
            "/dev/token",
            json!({ "subject": "a", "expiresInSeconds": 0 }),
        ),
        400,
        "BadTokenRequest",
    )
    .await;
    // A form of a foreign page cannot send this type without asking first.
    let form = server
        .ask(reqwest::Method::POST, "/dev/token")
        .body(r#"{"subject":"a"}"#);
    assert_refused(
        form.header("Content-Type", "text/plain"),
        400,
        "BadJsonBody",
    )
    .await;
}

#[tokio::test]
async fn without_a_development_issuer_its_routes_do_not_exist() {
    let server = Server::start().await;
    assert_refused(
        server.post("/dev/token", json!({ "subject": "a" })),
        404,
        "NotFound",
    )
    .await;
    assert_refused(
        server.get("/.well-known/openid-configuration"),
        404,
        "NotFound",
    )
    .await;
    let keys: Value = server
        .get("/.well-known/jwks.json")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(keys, json!({ "keys": [] }));
}
