//! The first-login guarantee over HTTP.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::harness::{Server, Setup, answer, json_of};

async fn gated() -> Server {
    Server::start_with(Setup {
        provision_with: Some("users:ensure"),
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn the_first_call_of_a_user_runs_after_their_provisioning() {
    let server = gated().await;
    let calls = ["users:count", "users:me", "users:count"].map(|path| {
        let request = server
            .call("query", path, json!({}))
            .bearer_auth(server.token("ada"));
        async { answer(request).await.1["value"].clone() }
    });
    let [first, me, last] = calls;
    assert_eq!(
        tokio::join!(first, me, last),
        (json!(1.0), json!("ada"), json!(1.0))
    );
}

#[tokio::test]
async fn a_refused_user_is_answered_with_the_refusals_data_by_every_function_route() {
    let server = gated().await;
    let token = server.token("mallory");
    let call = json!({ "path": "users:me", "args": {}, "ts": "AQAAAAAAAAA=" });
    let data =
        json!({ "code": "NotProvisioned", "reason": "refused", "data": { "why": "banned" } });
    for route in ["query", "mutation", "action", "query_at_ts", "run/users/me"] {
        let (status, refused) = answer(
            server
                .post(&format!("/api/{route}"), call.clone())
                .bearer_auth(&token),
        )
        .await;
        assert_eq!(
            (status.as_u16(), &refused["status"], &refused["errorData"]),
            (200, &json!("error"), &data),
            "{route}"
        );
    }
    let batch = json!({ "queries": [call, call] });
    let (_, refused) = answer(server.post("/api/query_batch", batch).bearer_auth(&token)).await;
    let found: Vec<&Json> = refused["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| &result["errorData"])
        .collect();
    assert_eq!(found, [&data, &data]);
}

#[tokio::test]
async fn a_request_that_is_wrong_provisions_nobody() {
    let server = gated().await;
    let wrong = json!({ "path": "not a path", "args": {} });
    answer(
        server
            .post("/api/query", wrong)
            .bearer_auth(server.token("ada")),
    )
    .await;
    assert_eq!(
        answer(server.call("query", "users:count", json!({})))
            .await
            .1["value"],
        0.0
    );
}

#[tokio::test]
async fn an_admin_acting_as_a_user_provisions_nobody() {
    let server = gated().await;
    let attributes =
        data_encoding::BASE64.encode(br#"{"issuer":"https://a.example","subject":"grace"}"#);
    let acting = format!("Convex {}:{attributes}", server.admin_key());
    let count = server
        .call("query", "users:count", json!({}))
        .header("Authorization", acting);
    assert_eq!(answer(count).await.1["value"], 0.0);
}

async fn waits_for_documents(requests_max: usize) -> Server {
    let mut setup = Setup {
        provision_when: Some("users.by_subject:subject"),
        ..Setup::default()
    };
    setup.options.requests_max = requests_max;
    Server::start_with(setup).await
}

#[tokio::test]
async fn a_user_whom_a_webhook_makes_is_waited_for_without_holding_a_place() {
    // One place is all there is, and the webhook gets it.
    let server = waits_for_documents(1).await;
    let asked = tokio::spawn({
        let request = server.call("query", "users:me", json!({}));
        let request = request.bearer_auth(server.token("ada"));
        async { answer(request).await }
    });
    server.is_waiting(1).await;
    let made = server.call("mutation", "users:make", json!({ "subject": "ada" }));
    assert_eq!(answer(made).await.0, 200);
    assert_eq!(asked.await.unwrap().1["value"], "ada");
}

#[tokio::test]
async fn after_ten_seconds_the_answer_says_when_to_ask_again() {
    let server = waits_for_documents(16).await;
    let asked = tokio::spawn({
        let request = server.call("query", "users:me", json!({}));
        request.bearer_auth(server.token("ada")).send()
    });
    server.is_waiting(1).await;
    server.clock.advance(Duration::from_secs(10));
    let response = asked.await.unwrap().unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(json_of(response).await["code"], "ProvisioningMissing");
}

#[tokio::test]
async fn nobody_reads_as_themselves_at_a_timestamp_from_before_their_document() {
    let server = waits_for_documents(16).await;
    let ask_at = |ts: &Json| {
        let call = json!({ "path": "users:count", "args": {}, "ts": ts });
        let asked = server.post("/api/query_at_ts", call);
        asked.bearer_auth(server.token("ada"))
    };
    let (_, before) = answer(server.post("/api/query_ts", json!({}))).await;
    let made = server.call("mutation", "users:make", json!({ "subject": "ada" }));
    answer(made).await;
    server.clock.advance(Duration::from_secs(1));
    let (_, after) = answer(server.post("/api/query_ts", json!({}))).await;
    let other = server.call("mutation", "users:make", json!({ "subject": "bob" }));
    answer(other).await;
    assert_eq!(answer(ask_at(&before["ts"])).await.1["value"], 2.0);
    assert_eq!(answer(ask_at(&after["ts"])).await.1["value"], 1.0);
}

#[tokio::test]
async fn the_refusal_of_one_who_never_came_lists_the_call() {
    let server = waits_for_documents(16).await;
    for _ in 0..60 {
        let asked = tokio::spawn({
            let request = server.call("query", "users:me", json!({}));
            let request = request.bearer_auth(server.token("ada"));
            async { answer(request).await }
        });
        server.is_waiting(1).await;
        server.clock.advance(Duration::from_secs(10));
        let (status, answered) = asked.await.unwrap();
        if status == 200 {
            let data = json!({ "code": "UserMissing", "waiting": ["users:me"] });
            assert_eq!(answered["errorData"]["data"], data);
            return;
        }
    }
    panic!("ten minutes have passed");
}
