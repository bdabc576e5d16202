//! Admin keys at every door: wrong ones, revoked ones, those that may only look, and guesses.

use std::net::IpAddr;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value as Json, json};

use super::harness::{Server, Setup, answer, assert_refused};
use super::socket_client::SocketClient;
use crate::auth::{
    ADMIN_KEY_FAILURES_PER_MINUTE_MAX, AdminKeys, AdminRights, DeploymentSecret, REVOKED_KEYS_FILE,
};
use crate::clock::Clock;
use crate::http::HttpOptions;

const MINUTE: Duration = Duration::from_secs(60);

fn key(server: &Server, rights: AdminRights, lifetime: Option<Duration>) -> String {
    let minted = server
        .admin_keys
        .mint_with(rights, server.clock.now(), lifetime);
    minted.unwrap().text.expose().clone()
}

fn check(server: &Server, authorization: &str) -> reqwest::RequestBuilder {
    let check = server.get("/api/check_admin_key");
    check.header("Authorization", authorization)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t31_a_key_that_is_none_opens_no_door() {
    let server = Server::start().await;
    let good = server.admin_key();
    let (_, opaque) = good.split_once('|').unwrap();
    let attributes = BASE64.encode(br#"{"issuer":"https://i.example","subject":"s"}"#);
    let expired = key(&server, AdminRights::All, Some(Duration::from_secs(1)));
    server.clock.advance(Duration::from_secs(1));
    let other_secret = DeploymentSecret::from_bytes([9; 32]);
    let others = AdminKeys::new("test", &other_secret, []).unwrap();
    let others = others.mint(server.clock.now(), None).unwrap();
    let cases = [
        good[..good.len() - 2].to_owned(),
        format!("{good}00"),
        format!("other|{opaque}"),
        format!("{}:{attributes}", &good[..good.len() - 2]),
        format!("test|:{attributes}"),
        others.text.expose().clone(),
        expired,
        server.token("ada"),
    ];
    for case in &cases {
        server.clock.advance(MINUTE);
        let shown = &case[..case.len().min(40)];
        assert_refused(
            check(&server, &format!("Convex {case}")),
            401,
            "BadAdminKey",
        )
        .await;
        let parameter = url::form_urlencoded::byte_serialize(case.as_bytes()).collect::<String>();
        let check = server.get(&format!("/api/check_admin_key?adminKey={parameter}"));
        assert_refused(check, 401, "BadAdminKey").await;
        let call = server.call("mutation", "guarded:mutation", json!({}));
        let call = call.header("Authorization", format!("Convex {case}"));
        assert_refused(call, 401, "BadAdminKey").await;
        for signed_in in [false, true] {
            let mut client = SocketClient::connect(&server, &[]).await;
            if signed_in {
                client.authenticate(0, "User", &server.token("ada")).await;
                client.watch("users:me").await;
                client.identified(1).await;
            }
            client.authenticate(signed_in.into(), "Admin", case).await;
            client.call("Mutation", 0, "guarded:mutation").await;
            let (said, closed) = client.until_closed().await;
            let last = said.last().unwrap();
            assert_eq!(
                (&last["type"], closed),
                (&json!("AuthError"), None),
                "{shown}"
            );
            assert!(
                said.iter().all(|it| it["type"] != "MutationResponse"),
                "{shown}"
            );
        }
    }
    assert_eq!(server.latch.guarded.began(), 0);
    assert_eq!(server.count().await, 0.0);
}

#[tokio::test]
async fn t31_a_key_without_end_is_not_read_to_its_end() {
    let server = Server::start().await;
    let long = format!("test|{}", "0".repeat(1 << 20));
    let mut client = SocketClient::connect(&server, &[]).await;
    client
        .authenticate(0, "Admin", &long[..long.len() - 1_000])
        .await;
    let (said, closed) = client.until_closed().await;
    assert_eq!((&said[0]["type"], closed), (&json!("AuthError"), None));
    let request = format!(
        "GET /api/check_admin_key HTTP/1.1\r\nHost: x\r\nAuthorization: Convex {}\r\n\r\n",
        &long[..60_000]
    );
    let answered = server.raw(request.as_bytes()).await;
    assert!(answered.starts_with("HTTP/1.1 431"), "{answered}");
}

#[tokio::test]
async fn t31_headers_that_say_nothing_clear_are_bad_requests() {
    let server = Server::start().await;
    let good = server.admin_key();
    assert_refused(check(&server, "Basic eA=="), 400, "InvalidAdminKey").await;
    assert_refused(check(&server, &good), 400, "InvalidAdminKey").await;
    assert_refused(check(&server, "Convex"), 400, "InvalidHeaderFailure").await;
    let two = check(&server, &format!("Convex {good}"));
    let two = two.header("Authorization", format!("Convex {good}"));
    assert_refused(two, 400, "InvalidHeaderFailure").await;
    let empty = format!("Convex {good}:{}", BASE64.encode(b"{}"));
    assert_refused(check(&server, &empty), 400, "HeaderParseFailure").await;
    // A user who would act as another user presents an invalid token.
    let acting = BASE64.encode(br#"{"issuer":"https://i.example","subject":"root"}"#);
    let acting = format!("Bearer {}:{acting}", server.token("ada"));
    assert_refused(check(&server, &acting), 401, "InvalidAuthHeader").await;
}

#[tokio::test]
async fn a_key_that_may_look_only_runs_queries_and_nothing_else() {
    let server = Server::start().await;
    let key = key(&server, AdminRights::ReadOnly, None);
    let acting = BASE64.encode(br#"{"issuer":"https://i.example","subject":"s"}"#);
    for (key, is_acting) in [(key.clone(), false), (format!("{key}:{acting}"), true)] {
        let authorization = format!("Convex {key}");
        let (_, checked) = answer(check(&server, &authorization)).await;
        assert_eq!(checked["isReadOnly"], true);
        let ask = |route: &str, path: &str| {
            let body = json!({ "path": path, "args": {} });
            let ask = server.post(route, body);
            ask.header("Authorization", authorization.clone())
        };
        for (route, path) in [
            ("/api/query", "guarded:query"),
            ("/api/function", "notes:hidden"),
            ("/api/run/guarded/query", ""),
        ] {
            assert_eq!(
                answer(ask(route, path)).await.1["status"],
                "success",
                "{route}"
            );
        }
        let began = server.latch.guarded.began();
        for (route, path) in [
            ("/api/mutation", "guarded:mutation"),
            ("/api/action", "guarded:action"),
            ("/api/function", "guarded:mutation"),
            ("/api/function", "guarded:action"),
            ("/api/run/guarded/mutation", ""),
        ] {
            assert_refused(ask(route, path), 403, "OperationNotPermitted").await;
        }
        let mut client = SocketClient::connect(&server, &[]).await;
        client.authenticate(0, "Admin", &key).await;
        client.watch("users:me").await;
        let told = client.identified(1).await;
        let me = if is_acting { json!("s") } else { Json::Null };
        assert_eq!(told["modifications"][0]["value"], me);
        for (request, kind) in ["Mutation", "Action"].into_iter().enumerate() {
            let path = format!("guarded:{}", kind.to_lowercase());
            client.call(kind, request as u32, &path).await;
            let refused = client.next_of(&format!("{kind}Response")).await;
            assert_eq!(
                refused["errorData"]["code"], "OperationNotPermitted",
                "{refused}"
            );
        }
        assert_eq!(server.latch.guarded.began(), began);
    }
    let (_, checked) = answer(check(&server, &format!("Convex {}", server.admin_key()))).await;
    assert_eq!(checked["isReadOnly"], false);
}

#[tokio::test]
async fn a_revoked_key_is_refused_by_the_running_server_from_its_next_use_on() {
    let server = Server::start().await;
    let (kept, lost) = (server.admin_key(), server.admin_key());
    let authorization = format!("Convex {lost}");
    assert_eq!(answer(check(&server, &authorization)).await.0, 200);
    let mut client = SocketClient::connect(&server, &[]).await;
    client.authenticate(0, "Admin", &lost).await;
    client.watch("guarded:query").await;
    client.identified(1).await;
    // The operator's command works on the same directory, with keys of its own.
    server
        .admin_keys
        .revoke(server.admin_keys.id_of(&lost).unwrap())
        .unwrap();
    assert_refused(check(&server, &authorization), 401, "BadAdminKey").await;
    assert_eq!(
        answer(check(&server, &format!("Convex {kept}"))).await.0,
        200
    );
    server.clock.advance(MINUTE);
    client.call("Mutation", 0, "guarded:mutation").await;
    let (said, closed) = client.until_closed().await;
    assert_eq!(
        (&said.last().unwrap()["type"], closed),
        (&json!("AuthError"), None)
    );
    assert_eq!(server.count().await, 0.0);
    std::fs::write(server.dir.path().join(REVOKED_KEYS_FILE), "damaged").unwrap();
    let refused = check(&server, &format!("Convex {kept}"));
    assert_refused(refused, 503, "AdminKeysUnavailable").await;
    let mut client = SocketClient::connect(&server, &[]).await;
    client.authenticate(0, "Admin", &kept).await;
    assert_eq!(client.until_closed().await.1.unwrap().0, 1013);
}

#[tokio::test]
async fn an_address_that_guesses_is_limited_for_its_minute_and_the_right_key_passes() {
    let server = Server::start().await;
    let good = server.admin_key();
    for guess in 0..ADMIN_KEY_FAILURES_PER_MINUTE_MAX {
        let guess = format!("Convex test|{guess:098x}");
        assert_refused(check(&server, &guess), 401, "BadAdminKey").await;
    }
    let right = || check(&server, &format!("Convex {good}"));
    let wrong = format!("test|{:098x}", 99);
    let guess = || check(&server, &format!("Convex {wrong}"));
    for _ in 0..3 {
        assert_refused(guess(), 429, "TooManyAuthFailures").await;
        assert_eq!(answer(right()).await.0, 200);
    }
    let mut client = SocketClient::connect(&server, &[]).await;
    client.authenticate(0, "Admin", &good).await;
    client.watch("notes:count").await;
    client.identified(1).await;
    let mut client = SocketClient::connect(&server, &[]).await;
    client.authenticate(0, "Admin", &wrong).await;
    let closed = client.until_closed().await.1.unwrap();
    assert_eq!((closed.0, &*closed.1), (1013, "TooManyAuthFailures"));
    let user = server.call("query", "users:me", json!({}));
    let user = user.bearer_auth(server.token("ada"));
    assert_eq!(
        answer(user).await.1["value"],
        "ada",
        "tokens are counted apart"
    );
    server.clock.advance(MINUTE);
    assert_refused(guess(), 401, "BadAdminKey").await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_is_counted_by_itself() {
    let proxy: IpAddr = "127.0.0.1".parse().unwrap();
    let proxies = vec![proxy.into(), "10.0.0.0/24".parse().unwrap()];
    for (trusted_proxies, counts_apart) in [(proxies, true), (vec![], false)] {
        let server = Server::start_with(Setup {
            options: HttpOptions {
                trusted_proxies,
                ..Setup::default().options
            },
            ..Setup::default()
        })
        .await;
        let wrong = "Convex test|00";
        // The first addresses are the client's own claim, and are not believed.
        let guesser = |guess: u32| format!("192.0.2.{guess}, 198.51.100.7, 10.0.0.1");
        for guess in 0..ADMIN_KEY_FAILURES_PER_MINUTE_MAX {
            let guess = check(&server, wrong).header("X-Forwarded-For", guesser(guess));
            assert_eq!(answer(guess).await.0, 401);
        }
        let again = check(&server, wrong).header("X-Forwarded-For", guesser(99));
        assert_eq!(answer(again).await.0, 429);
        for address in [
            "203.0.113.9",
            "192.0.2.1, 203.0.113.9",
            "203.0.113.9,10.0.0.1",
        ] {
            let other = check(&server, wrong).header("X-Forwarded-For", address);
            let expected = if counts_apart { 401 } else { 429 };
            assert_eq!(answer(other).await.0, expected, "{address}");
        }
        let mut client =
            SocketClient::connect(&server, &[("x-forwarded-for", "198.51.100.7")]).await;
        client.authenticate(0, "Admin", "test|00").await;
        assert_eq!(client.until_closed().await.1.unwrap().0, 1013);
    }
}
