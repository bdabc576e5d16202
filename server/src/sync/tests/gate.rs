//! The gate on one connection: nothing runs as an identity before its `ensureUser` has committed.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::apps::App;
use super::harness::{Client, Server, results, version};

async fn sign_in(client: &mut Client, server: &Server, subject: &str) -> Json {
    client.say_connect().await;
    client.authenticate(0, &server.token(subject)).await;
    client
        .watch(0, &[(0, "users:me"), (1, "users:count")])
        .await;
    client.next().await
}

#[tokio::test]
async fn the_first_result_of_a_first_login_contains_the_user() {
    let server = App::start().server;
    let mut client = server.connect().await;
    let first = sign_in(&mut client, &server, "ada").await;
    assert_eq!(
        (
            version(&first, "startVersion"),
            version(&first, "endVersion")
        ),
        ((0, 0), (1, 1))
    );
    assert_eq!(results(&first), [(0, json!("ada")), (1, json!(1.0))]);
}

#[tokio::test]
async fn a_mutation_behind_the_authenticate_runs_as_the_user_after_the_commit() {
    let server = App::start().server;
    let mut client = server.connect().await;
    client.say_connect().await;
    client.authenticate(0, &server.token("ada")).await;
    client.mutate(0, "users:whoami", json!({})).await;
    let response = loop {
        let message = client.next().await;
        if message["type"] == "MutationResponse" {
            break message;
        }
    };
    assert_eq!(
        (&response["success"], &response["result"]),
        (&json!(true), &json!("ada"))
    );
}

#[tokio::test]
async fn signing_in_on_an_open_connection_moves_all_queries_in_one_transition() {
    let server = App::start().server;
    let mut client = server.connect().await;
    client
        .watch(0, &[(0, "users:me"), (1, "users:count")])
        .await;
    assert_eq!(
        results(&client.next().await),
        [(0, json!(null)), (1, json!(0.0))]
    );
    client.authenticate(0, &server.token("ada")).await;
    let switched = client.next().await;
    assert_eq!(version(&switched, "endVersion"), (1, 1));
    assert_eq!(results(&switched), [(0, json!("ada")), (1, json!(1.0))]);
}

#[tokio::test]
async fn a_known_user_costs_no_commit_and_a_refresh_runs_nothing_again() {
    let server = App::start().server;
    let mut client = server.connect().await;
    sign_in(&mut client, &server, "ada").await;
    let committed = server.functions.database().durable_ts();
    client.authenticate(1, &server.token("ada")).await;
    let refreshed = client.next().await;
    assert_eq!(
        (version(&refreshed, "endVersion"), results(&refreshed).len()),
        ((1, 2), 0)
    );
    let mut again = server.connect().await;
    let first = sign_in(&mut again, &server, "ada").await;
    assert_eq!(results(&first), [(0, json!("ada")), (1, json!(1.0))]);
    assert_eq!(server.functions.database().durable_ts(), committed);
}

#[tokio::test]
async fn a_refused_user_is_told_why_and_nothing_runs_as_them() {
    let server = App::start().server;
    let mut client = server.connect().await;
    client.say_connect().await;
    client.authenticate(0, &server.token("stranger")).await;
    client.watch(0, &[(0, "users:me")]).await;
    client.mutate(0, "users:whoami", json!({})).await;
    let response = client.next().await;
    assert_eq!(
        response["errorData"],
        json!({ "code": "NotProvisioned", "reason": "refused", "data": { "code": "NotInvited" } })
    );
    let refused = client.next().await;
    assert_eq!(
        (
            &refused["type"],
            &refused["baseVersion"],
            &refused["authUpdateAttempted"]
        ),
        (&json!("AuthError"), &json!(0), &json!(true))
    );
    assert_eq!(client.next_or_close().await, Err(None));
}

#[tokio::test]
async fn switching_users_never_shows_one_the_others_result() {
    let server = App::start().server;
    let mut client = server.connect().await;
    sign_in(&mut client, &server, "ada").await;
    client.authenticate(1, &server.token("grace")).await;
    let switched = client.next().await;
    assert_eq!(version(&switched, "endVersion"), (1, 2));
    assert_eq!(results(&switched), [(0, json!("grace")), (1, json!(2.0))]);
    client.sign_out(2).await;
    let signed_out = client.next().await;
    assert_eq!(version(&signed_out, "endVersion"), (1, 3));
    assert_eq!(results(&signed_out), [(0, json!(null))]);
}

#[tokio::test]
async fn switching_to_a_user_who_is_known_already_lets_their_calls_run() {
    let server = App::start().server;
    let mut grace = server.connect().await;
    sign_in(&mut grace, &server, "grace").await;
    let mut client = server.connect().await;
    sign_in(&mut client, &server, "ada").await;
    client.authenticate(1, &server.token("grace")).await;
    client.mutate(0, "users:whoami", json!({})).await;
    let response = client.next_of("MutationResponse").await;
    assert_eq!(response["result"], "grace", "{response}");
}

#[tokio::test]
async fn many_connections_of_one_new_user_make_one_document() {
    let server = App::start().server;
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = server.connect().await;
        client.say_connect().await;
        client.authenticate(0, &server.token("ada")).await;
        client
            .watch(0, &[(0, "users:me"), (1, "users:count")])
            .await;
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(
            results(&client.next().await),
            [(0, json!("ada")), (1, json!(1.0))]
        );
    }
}

#[tokio::test]
async fn an_expired_token_is_told_before_the_next_result() {
    let server = App::start().server;
    let mut client = server.connect().await;
    sign_in(&mut client, &server, "ada").await;
    server.jump(Duration::from_secs(7200));
    client.mutate(0, "users:whoami", json!({})).await;
    let error = client.next().await;
    assert_eq!(
        (&error["type"], &error["authUpdateAttempted"]),
        (&json!("AuthError"), &json!(false))
    );
    assert_eq!(client.next_or_close().await, Err(None));
}

#[tokio::test]
async fn b10_while_one_is_slow_to_be_provisioned_known_users_come_in_and_new_ones_wait_for_the_lane_alone()
 {
    let app = App::start();
    let mut known = app.server.connect().await;
    sign_in(&mut known, &app.server, "grace").await;
    app.hooks.ensuring.close();
    let mut slow = app.server.connect().await;
    slow.say_connect().await;
    slow.authenticate(0, &app.server.token("ada")).await;
    app.hooks.ensuring.reached(2).await;
    let mut again = app.server.connect().await;
    let first = sign_in(&mut again, &app.server, "grace").await;
    assert_eq!(results(&first), [(0, json!("grace")), (1, json!(1.0))]);
    let mut new = app.server.connect().await;
    new.say_connect().await;
    new.authenticate(0, &app.server.token("hedy")).await;
    new.watch(0, &[(0, "users:me")]).await;
    app.hooks.ensuring.open();
    assert_eq!(results(&new.next().await), [(0, json!("hedy"))]);
}

#[tokio::test]
async fn a_client_that_provisions_its_user_itself_costs_no_commit_behind_the_gate() {
    let app = App::start();
    let mut client = app.server.connect().await;
    sign_in(&mut client, &app.server, "ada").await;
    let committed = app.server.durable_ts();
    let runs = app.hooks.starts_of("users:ensureUser").len();
    for request in 0..3 {
        client.mutate(request, "users:ensureUser", json!({})).await;
        let response = client.next_of("MutationResponse").await;
        assert_eq!(response["success"], true, "{response}");
    }
    assert_eq!(app.server.durable_ts(), committed);
    assert_eq!(app.hooks.starts_of("users:ensureUser").len(), runs);
    // Other arguments are checked as always.
    client
        .mutate(3, "users:ensureUser", json!({ "extra": 1 }))
        .await;
    let response = client.next_of("MutationResponse").await;
    assert_eq!(response["success"], false, "{response}");
}

#[tokio::test]
async fn a_client_that_provisions_its_user_itself_does_so_in_the_order_of_its_mutations() {
    let app = App::start();
    let mut client = app.server.connect().await;
    sign_in(&mut client, &app.server, "ada").await;
    let calls = ["users:leave", "users:ensureUser", "users:whoami"];
    for (request, path) in (0..).zip(calls) {
        client.mutate(request, path, json!({})).await;
    }
    for path in calls {
        let response = client.next_of("MutationResponse").await;
        assert_eq!(response["success"], true, "{path}: {response}");
    }
}
