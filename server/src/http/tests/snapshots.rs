//! Several reads at one timestamp.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::harness::{Server, Setup, answer, assert_refused};

async fn newest(server: &Server) -> String {
    let (status, body) = answer(server.ask(reqwest::Method::POST, "/api/query_ts")).await;
    assert_eq!(status, 200);
    body["ts"].as_str().unwrap().to_owned()
}

fn count_at(server: &Server, ts: &str) -> reqwest::RequestBuilder {
    server.post(
        "/api/query_at_ts",
        json!({ "path": "notes:count", "args": {}, "ts": ts }),
    )
}

async fn add(server: &Server) {
    answer(server.call("mutation", "notes:add", json!({ "text": "x" }))).await;
}

#[tokio::test]
async fn queries_at_a_timestamp_agree_while_others_write() {
    let server = Server::start().await;
    add(&server).await;
    let ts = newest(&server).await;
    for _ in 0..20 {
        add(&server).await;
        assert_eq!(answer(count_at(&server, &ts)).await.1["value"], 1.0);
    }
    assert_eq!(
        answer(count_at(&server, &newest(&server).await)).await.1["value"],
        21.0
    );
}

#[tokio::test]
async fn a_timestamp_that_cannot_be_read_at_is_refused() {
    let server = Server::start().await;
    let ts = newest(&server).await;
    server.clock.advance(Duration::from_secs(31));
    assert_refused(count_at(&server, &ts), 503, "OutOfRetention").await;
    assert_refused(count_at(&server, "AQAAAAAAAAA="), 503, "OutOfRetention").await;
    assert_refused(
        count_at(&server, "/////////38="),
        500,
        "InternalServerError",
    )
    .await;
    assert_refused(count_at(&server, "soon"), 400, "BadJsonBody").await;
}

#[tokio::test]
async fn a_batch_is_answered_from_one_snapshot_in_its_order() {
    let server = Server::start().await;
    let queries: Vec<Json> = (0..50)
        .map(|_| json!({ "path": "notes:count", "args": {} }))
        .collect();
    let writing = async {
        for _ in 0..30 {
            add(&server).await;
        }
    };
    let reading = async {
        for _ in 0..30 {
            let (status, batch) =
                answer(server.post("/api/query_batch", json!({ "queries": queries }))).await;
            assert_eq!(status, 200);
            let results = batch["results"].as_array().unwrap();
            assert_eq!(results.len(), 50);
            assert!(
                results.iter().all(|result| *result == results[0]),
                "{results:?}"
            );
        }
    };
    tokio::join!(writing, reading);
}

#[tokio::test]
async fn a_failure_in_a_batch_is_its_own_and_a_wrong_path_is_the_whole_requests() {
    let server = Server::start().await;
    let batch = |queries: Json| server.post("/api/query_batch", json!({ "queries": queries }));
    let mixed = json!([
        { "path": "odd:fails", "args": {} },
        { "path": "odd:values", "args": [{}], "format": "export_json" },
        { "path": "odd:panics", "args": {} },
        { "path": "users:me", "args": {} },
    ]);
    let (_, answered) = answer(batch(mixed).bearer_auth(server.token("ada"))).await;
    let results = answered["results"].as_array().unwrap();
    let statuses: Vec<_> = results
        .iter()
        .map(|result| result["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["error", "success", "error", "success"]);
    assert_eq!(results[1]["value"]["int"], 7);
    assert_eq!(results[3]["value"], "ada");
    assert_eq!(answer(batch(json!([]))).await.1, json!({ "results": [] }));
    assert_refused(
        batch(json!([{ "path": "a b", "args": {} }])),
        400,
        "BadConvexFunctionIdentifier",
    )
    .await;
    assert_refused(
        batch(json!([{ "path": "a:b", "args": {}, "format": "x" }])),
        400,
        "BadFormat",
    )
    .await;
    let many: Vec<Json> = (0..1_001)
        .map(|_| json!({ "path": "notes:count", "args": {} }))
        .collect();
    assert_refused(batch(many.into()), 400, "BadJsonBody").await;
}

#[tokio::test]
async fn one_whose_user_is_younger_than_a_timestamp_reads_at_one_moment_past_it() {
    let server = Server::start_with(Setup {
        provision_with: Some("users:ensure"),
        ..Setup::default()
    })
    .await;
    let before = newest(&server).await;
    let at = |path: &str, subject: &str| {
        let body = json!({ "path": path, "args": {}, "ts": before });
        server
            .post("/api/query_at_ts", body)
            .bearer_auth(server.token(subject))
    };
    assert_eq!(answer(at("users:me", "ada")).await.1["value"], "ada");
    let others = server
        .call("mutation", "notes:add", json!({ "text": "since" }))
        .send()
        .await;
    assert_eq!(others.unwrap().status(), 200);
    // All requests of one user at a timestamp are answered at one moment, even those that do not look at the identity.
    for _ in 0..2 {
        assert_eq!(answer(at("notes:count", "ada")).await.1["value"], 0.0);
        assert_eq!(answer(at("users:me", "ada")).await.1["value"], "ada");
    }
    assert_eq!(answer(at("notes:count", "grace")).await.1["value"], 1.0);
    let nobody = json!({ "path": "notes:count", "args": {}, "ts": before });
    assert_eq!(
        answer(server.post("/api/query_at_ts", nobody)).await.1["value"],
        0.0
    );
}

#[tokio::test]
async fn a_known_user_reads_at_a_timestamp_although_others_wrote_since() {
    let server = Server::start_with(Setup {
        provision_with: Some("users:ensure"),
        ..Setup::default()
    })
    .await;
    let ada = server.token("ada");
    let me = |ts: Option<String>| {
        let (route, body) = match ts {
            None => ("/api/query", json!({ "path": "users:me", "args": {} })),
            Some(ts) => (
                "/api/query_at_ts",
                json!({ "path": "users:me", "args": {}, "ts": ts }),
            ),
        };
        server.post(route, body).bearer_auth(ada.clone())
    };
    assert_eq!(answer(me(None)).await.1["value"], "ada");
    server.clock.advance(Duration::from_secs(1));
    let ts = newest(&server).await;
    let other = server
        .post("/api/query", json!({ "path": "users:me", "args": {} }))
        .bearer_auth(server.token("grace"));
    assert_eq!(answer(other).await.1["value"], "grace");
    assert_eq!(answer(me(Some(ts))).await.1["value"], "ada");
}
