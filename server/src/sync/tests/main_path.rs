//! Subscribing, mutating, reconnecting.

use serde_json::json;

use super::apps::App;
use super::harness::{results, ts, version};

#[tokio::test]
async fn a_mutation_is_answered_before_the_transition_that_shows_it_in_all_queries() {
    let server = App::without_gate().server;
    let mut client = server.connect().await;
    client.say_connect().await;
    client
        .watch(0, &[(0, "notes:list"), (1, "notes:count")])
        .await;
    let first = client.next().await;
    assert_eq!(
        (
            version(&first, "startVersion"),
            version(&first, "endVersion")
        ),
        ((0, 0), (1, 0))
    );
    assert_eq!(results(&first), [(0, json!([])), (1, json!(0.0))]);

    client
        .mutate(0, "notes:add", json!({ "text": "hello" }))
        .await;
    let response = client.next().await;
    assert_eq!(response["type"], "MutationResponse");
    assert_eq!(response["success"], true);
    assert_eq!(response["logLines"], json!(["[LOG] adding"]));
    let second = client.next().await;
    assert_eq!(second["startVersion"], first["endVersion"]);
    assert_eq!(results(&second), [(0, json!(["hello"])), (1, json!(1.0))]);
    assert!(ts(&second) >= ts(&response));
}

#[tokio::test]
async fn a_change_reaches_other_clients_and_leaves_unrelated_queries_unmentioned() {
    let server = App::without_gate().server;
    let mut reader = server.connect().await;
    reader
        .watch(0, &[(0, "notes:list"), (7, "notes:nosuch")])
        .await;
    let first = reader.next().await;
    assert_eq!(results(&first)[0], (0, json!([])));
    assert!(
        results(&first)[1].1["errorMessage"]
            .as_str()
            .unwrap()
            .contains("Could not find public function")
    );

    let mut writer = server.connect().await;
    writer.mutate(0, "notes:add", json!({ "text": "x" })).await;
    let seen = reader.until(0, |value| *value == json!(["x"])).await;
    assert_eq!(results(seen.last().unwrap()).len(), 1);
}

#[tokio::test]
async fn a_failed_mutation_carries_its_data_leaves_no_trace_and_is_followed_by_a_transition() {
    let server = App::without_gate().server;
    let mut client = server.connect().await;
    client.say_connect().await;
    client.watch(0, &[(0, "notes:list")]).await;
    client.next().await;
    client.mutate(3, "notes:fail", json!({})).await;
    let response = client.next().await;
    assert_eq!(response["success"], false);
    assert_eq!(response["errorData"], json!({ "code": "FULL" }));
    let after = client.next().await;
    assert_eq!(
        (after["type"].as_str(), results(&after).len()),
        (Some("Transition"), 0)
    );

    client.mutate(4, "notes:panic", json!({})).await;
    let response = client.next().await;
    assert!(
        response["result"]
            .as_str()
            .unwrap()
            .contains("panicked: boom"),
        "{response}"
    );
    assert_eq!(response.get("errorData"), None);
}

#[tokio::test]
async fn a_mutation_sent_again_is_answered_as_before_and_does_not_run_again() {
    let server = App::without_gate().server;
    let mut first = server.connect().await;
    first.say_connect().await;
    first
        .mutate(7, "notes:add", json!({ "text": "once" }))
        .await;
    let original = first.next().await;
    drop(first);
    let mut second = server.connect().await;
    second.say_connect().await;
    second.watch(0, &[(0, "notes:list")]).await;
    second
        .mutate(7, "notes:add", json!({ "text": "once" }))
        .await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.push(second.next().await);
    }
    let again = seen
        .iter()
        .find(|message| message["type"] == "MutationResponse")
        .unwrap();
    assert_eq!(*again, original);
    second
        .mutate(8, "notes:add", json!({ "text": "twice" }))
        .await;
    second
        .until(0, |value| *value == json!(["once", "twice"]))
        .await;
}

#[tokio::test]
async fn a_malformed_message_ends_its_connection_and_no_other() {
    let server = App::without_gate().server;
    let mut good = server.connect().await;
    good.watch(0, &[(0, "notes:list")]).await;
    good.next().await;
    let mut bad = server.connect().await;
    bad.send(json!({ "type": "Dance" })).await;
    assert_eq!(bad.next().await["type"], "FatalError");
    assert_eq!(bad.next_or_close().await, Err(None));
    good.mutate(0, "notes:add", json!({ "text": "fine" })).await;
    good.until(0, |value| *value == json!(["fine"])).await;
}

#[tokio::test]
async fn queries_are_run_once_for_all_who_watch_them() {
    let server = App::without_gate().server;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = server.connect().await;
        client.watch(0, &[(0, "notes:list")]).await;
        client.next().await;
        clients.push(client);
    }
    assert_eq!(server.live.census().live_queries, 1);
    clients[0]
        .mutate(0, "notes:add", json!({ "text": "x" }))
        .await;
    for client in &mut clients {
        client.until(0, |value| *value == json!(["x"])).await;
    }
}

#[tokio::test]
async fn what_is_asked_for_again_after_a_change_is_new() {
    let server = App::without_gate().server;
    for round in 0..10 {
        let mut client = server.connect().await;
        client.say_connect().await;
        client.watch(0, &[(0, "notes:count")]).await;
        assert_eq!(
            results(&client.next().await),
            [(0, json!(f64::from(round)))]
        );
        drop(client);
        let mut writer = server.connect().await;
        writer.mutate(0, "notes:add", json!({ "text": "x" })).await;
        assert_eq!(writer.next().await["success"], true);
    }
}
