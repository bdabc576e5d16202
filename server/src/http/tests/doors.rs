//! Every token of the table at every door of a whole server: a refused token starts nothing and writes nothing.
//!
//! The doors: a socket's first Authenticate, an Authenticate on a connection whose user is provisioned, and the bearer
//! of each kind of HTTP call. HTTP actions are asked in `askers.rs`.

use std::time::Duration;

use reqwest::header::HeaderValue;
use serde_json::{Value as Json, json};
use vestibule_schema::timestamp::Timestamp;

use super::harness::{Server, Setup, answer, assert_refused};
use super::socket_client::SocketClient;
use crate::auth::AUTH_FAILURES_PER_MINUTE_MAX;
use crate::auth::tests::keys::RSA;
use crate::auth::tests::table::{Case, Table, providers};
use crate::auth::tests::tokens::{Draft, Kind};
use crate::auth::tests::{NOW, NOW_SECONDS};

const HOUR: Duration = Duration::from_secs(3_600);

/// A server whose gate provisions every identity, at the moment for which the table's tokens are made.
async fn guarded() -> Server {
    let server = Server::start_with(Setup {
        provision_with: Some("guarded:ensure"),
        providers: providers().to_vec(),
        ..Setup::default()
    })
    .await;
    server.clock.jump_to(NOW);
    server
}

/// The counts that must not move while a token is refused: functions begun, the provisioning one among them, and
/// commits.
fn activity(server: &Server) -> (usize, Timestamp) {
    let newest = server.http.functions.database().durable_ts();
    (server.latch.guarded.began(), newest)
}

fn is_ok(case: &Case) -> bool {
    case.expected == "ok"
}

/// The error for a refused token's client.
async fn refusal(server: &Server, case: &Case) -> String {
    let verified = server.http.authenticator.verify_user(&case.token).await;
    verified.unwrap_err().message()
}

/// Presents the cases one after another, and lets the minutes pass in which failures are counted.
async fn each(server: &Server, mut present: impl AsyncFnMut(&Case)) {
    for (number, case) in Table::whole().cases.iter().enumerate() {
        if number % (AUTH_FAILURES_PER_MINUTE_MAX as usize / 10) == 0 {
            server.clock.advance(Duration::from_secs(60));
            server.clock.jump_to(NOW);
        }
        let before = activity(server);
        present(case).await;
        if !is_ok(case) {
            assert_eq!(activity(server), before, "{}", case.name);
        }
    }
}

/// Sends work right behind an Authenticate; it must share the fate of that one.
async fn send_work(client: &mut SocketClient) {
    client.call("Mutation", 0, "guarded:mutation").await;
    client.call("Action", 1, "guarded:action").await;
}

async fn expect_refused(server: &Server, client: &mut SocketClient, case: &Case, base: u32) {
    let (said, closed) = client.until_closed().await;
    let said: Vec<&Json> = said
        .iter()
        .filter(|it| it["type"] != "Transition")
        .collect();
    let error = json!({
        "type": "AuthError", "error": refusal(server, case).await,
        "baseVersion": base, "authUpdateAttempted": true,
    });
    assert_eq!(said, [&error], "{}", case.name);
    assert_eq!(closed, None, "{}", case.name);
}

/// The identity is told, and the action's answer; either may come first.
async fn expect_let_in(client: &mut SocketClient, case: &Case, version: u64) {
    let (mut identified, mut acted) = (false, false);
    while !(identified && acted) {
        let message = client.next().await.unwrap();
        assert_ne!(message["type"], "AuthError", "{}", case.name);
        identified |= message["endVersion"]["identity"] == version;
        acted |= message["type"] == "ActionResponse" && message["success"] == true;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_authenticate_of_a_socket_refuses_the_table() {
    let server = guarded().await;
    each(&server, async |case: &Case| {
        let mut client = SocketClient::connect(&server, &[]).await;
        client.authenticate(0, "User", &case.token).await;
        client.watch("guarded:query").await;
        send_work(&mut client).await;
        match is_ok(case) {
            true => expect_let_in(&mut client, case, 1).await,
            false => expect_refused(&server, &mut client, case, 0).await,
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authenticate_on_a_provisioned_connection_refuses_the_table() {
    let server = guarded().await;
    let known = Draft::of(Kind::Oidc).claim("sub", "known").signed(&RSA);
    let signed_in = async || {
        let mut client = SocketClient::connect(&server, &[]).await;
        client.authenticate(0, "User", &known).await;
        client.watch("users:me").await;
        client.identified(1).await;
        client
    };
    // So that no first login is counted below.
    signed_in().await;
    let mut cases = Table::whole().cases;
    for (number, case) in cases.drain(..).enumerate() {
        if number % 50 == 0 {
            server.clock.advance(Duration::from_secs(60));
            server.clock.jump_to(NOW);
        }
        let mut client = signed_in().await;
        let before = activity(&server);
        client.authenticate(1, "User", &case.token).await;
        send_work(&mut client).await;
        if is_ok(&case) {
            expect_let_in(&mut client, &case, 2).await;
        } else {
            expect_refused(&server, &mut client, &case, 1).await;
            assert_eq!(activity(&server), before, "{}", case.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bearer_of_every_http_call_refuses_the_table() {
    let server = guarded().await;
    let mut unsendable = 0;
    each(&server, async |case: &Case| {
        let header = HeaderValue::from_bytes(format!("Bearer {}", case.token).as_bytes());
        // No header holds a control character, and white space around one is not part of it.
        let Some(header) = header.ok().filter(|_| case.token.trim() == case.token) else {
            unsendable += 1;
            return;
        };
        let (status, code) = match case.expected {
            _ if case.token.is_empty() => (400, "InvalidHeaderFailure"),
            "ok" => (200, ""),
            code => (401, code),
        };
        for kind in ["query", "mutation", "action"] {
            let call = server.call(kind, &format!("guarded:{kind}"), json!({}));
            let response = call
                .header("Authorization", header.clone())
                .send()
                .await
                .unwrap();
            assert_eq!(response.status(), status, "{} ({kind})", case.name);
            let body: Json = response.json().await.unwrap_or_default();
            assert_eq!(
                body["code"].as_str().unwrap_or_default(),
                code,
                "{}",
                case.name
            );
            if status == 401 {
                assert_eq!(
                    body["message"],
                    refusal(&server, case).await,
                    "{}",
                    case.name
                );
            }
        }
    })
    .await;
    assert!(unsendable < 20, "{unsendable} tokens that no header holds");
}

#[tokio::test]
async fn the_administrators_route_answers_a_user_whatever_their_token_is() {
    let server = guarded().await;
    let call = || {
        server.post(
            "/api/function",
            json!({ "path": "guarded:mutation", "args": {} }),
        )
    };
    let good = Draft::of(Kind::Oidc).signed(&RSA);
    let bad = Draft::of(Kind::Oidc).claim("exp", NOW_SECONDS).signed(&RSA);
    let before = activity(&server);
    assert_refused(call().bearer_auth(good), 403, "BadDeployKey").await;
    assert_refused(call().bearer_auth(bad), 401, "Unauthenticated").await;
    assert_refused(call(), 403, "BadDeployKey").await;
    assert_eq!(activity(&server), before);
}

#[tokio::test]
async fn t25_people_whose_subjects_differ_at_all_are_different_users() {
    let server = guarded().await;
    for (before, subject) in ["ada", "Ada", "ada ", "\u{e9}", "e\u{301}"]
        .iter()
        .enumerate()
    {
        let token = || Draft::of(Kind::Oidc).claim("sub", *subject).signed(&RSA);
        let me = server
            .call("query", "users:me", json!({}))
            .bearer_auth(token());
        assert_eq!(answer(me).await.1["value"], *subject);
        let count = server
            .call("query", "users:count", json!({}))
            .bearer_auth(token());
        assert_eq!(answer(count).await.1["value"], before as f64 + 1.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t28_the_calls_of_one_user_do_not_run_as_the_next() {
    let server = guarded().await;
    let token = |subject: &str| Draft::of(Kind::Oidc).claim("sub", subject).signed(&RSA);
    let mut client = SocketClient::connect(&server, &[]).await;
    let (entered, enters) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let meanwhile = move || {
        let _ = entered.send(());
        let _ = released.recv();
    };
    *server.latch.guarded.meanwhile.lock() = Some(Box::new(meanwhile));
    client.authenticate(0, "User", &token("a")).await;
    send_work(&mut client).await;
    tokio::task::block_in_place(|| enters.recv()).unwrap();
    client.authenticate(1, "User", &token("b")).await;
    for kind in ["MutationResponse", "ActionResponse"] {
        let rejected = client.next_of(kind).await;
        assert_eq!(
            rejected["errorData"]["reason"], "identity_changed",
            "{rejected}"
        );
    }
    drop(release);
    client.watch("users:me").await;
    let told = client.identified(2).await;
    assert_eq!(told["modifications"][0]["value"], "b");
    assert_eq!(server.count().await, 0.0, "nothing was written for anybody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t29_a_token_that_expires_while_its_user_is_provisioned_opens_nothing() {
    let server = guarded().await;
    let clock = server.clock.clone();
    let meanwhile = move || clock.jump_to(NOW.plus(HOUR));
    *server.latch.guarded.meanwhile.lock() = Some(Box::new(meanwhile));
    let token = |subject: &str| Draft::of(Kind::Oidc).claim("sub", subject).signed(&RSA);
    let late = server
        .call("mutation", "guarded:mutation", json!({}))
        .bearer_auth(token("ada"));
    assert_refused(late, 401, "TokenExpired").await;
    server.clock.jump_to(NOW);
    let mut client = SocketClient::connect(&server, &[]).await;
    client.authenticate(0, "User", &token("grace")).await;
    send_work(&mut client).await;
    let (said, closed) = client.until_closed().await;
    let last = said.last().unwrap();
    assert_eq!((&last["type"], closed), (&json!("AuthError"), None));
    let users = server.call("query", "users:count", json!({}));
    assert_eq!(answer(users).await.1["value"], 2.0, "both commits stand");
    assert_eq!(server.count().await, 0.0, "and nothing else happened");
}

#[tokio::test]
async fn t29_a_token_that_expires_on_a_connection_ends_it_before_the_next_result() {
    let server = guarded().await;
    let mut client = SocketClient::connect(&server, &[]).await;
    let token = Draft::of(Kind::Oidc).signed(&RSA);
    client.authenticate(0, "User", &token).await;
    client.watch("users:me").await;
    client.identified(1).await;
    let before = activity(&server);
    server.clock.jump_to(NOW.plus(HOUR));
    send_work(&mut client).await;
    let (said, closed) = client.until_closed().await;
    let attempted: Vec<&Json> = said.iter().map(|it| &it["authUpdateAttempted"]).collect();
    assert_eq!((attempted, closed), (vec![&json!(false)], None));
    assert_eq!(activity(&server), before);
}

#[tokio::test]
async fn t32_an_authenticate_out_of_step_closes_with_an_internal_error() {
    let server = guarded().await;
    let token = Draft::of(Kind::Oidc).signed(&RSA);
    for base in [0, 2, u32::MAX] {
        let mut client = SocketClient::connect(&server, &[]).await;
        client.authenticate(0, "User", &token).await;
        client.watch("users:me").await;
        client.identified(1).await;
        let before = activity(&server);
        client.authenticate(base, "User", &token).await;
        send_work(&mut client).await;
        let (_, closed) = client.until_closed().await;
        assert_eq!(closed.unwrap().0, 1011, "base {base}");
        assert_eq!(activity(&server), before);
    }
}

#[tokio::test]
async fn an_address_of_many_refused_tokens_is_told_to_come_back_later() {
    let server = guarded().await;
    let good = Draft::of(Kind::Oidc).signed(&RSA);
    let ask = |token: &str| {
        server
            .call("query", "guarded:query", json!({}))
            .bearer_auth(token)
    };
    for _ in 0..AUTH_FAILURES_PER_MINUTE_MAX {
        assert_eq!(answer(ask("bad")).await.0, 401);
    }
    let began = activity(&server);
    assert_refused(ask("bad"), 429, "TooManyAuthFailures").await;
    assert_refused(ask(&good), 429, "TooManyAuthFailures").await;
    let mut client = SocketClient::connect(&server, &[]).await;
    client.authenticate(0, "User", &good).await;
    let (_, closed) = client.until_closed().await;
    let closed = closed.unwrap();
    assert_eq!((closed.0, &*closed.1), (1013, "TooManyAuthFailures"));
    assert_eq!(activity(&server), began);
    let nobody = server.call("query", "guarded:query", json!({}));
    assert_eq!(
        answer(nobody).await.0,
        200,
        "who presents nothing is not concerned"
    );
    server.clock.advance(Duration::from_secs(60));
    server.clock.jump_to(NOW);
    assert_eq!(answer(ask(&good)).await.0, 200);
}
