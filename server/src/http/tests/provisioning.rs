//! The first-login guarantee over HTTP.

use serde_json::{Value as Json, json};

use super::harness::{Server, Setup, answer};

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
