//! The first touch of a user by every door. A user whom the server has never seen asks each route that runs a function,
//! and sends each message of a socket. A door without a row fails.

use serde_json::{Value as Json, json};

use super::harness::{Server, Setup, answer};
use super::socket_client::SocketClient;
use crate::http::routes::{ROUTES, Role};

/// Every door, as a route's method and path or a message's type.
const DOORS: [&str; 13] = [
    "post /api/query",
    "get /api/query",
    "post /api/mutation",
    "post /api/action",
    "post /api/run/{*path}",
    "post /api/query_at_ts",
    "post /api/query_batch",
    "any /http/{*path}",
    "message Authenticate",
    "message ModifyQuerySet",
    "message Mutation",
    "message Action",
    "message Connect",
];

/// Each function answers whether the caller's user is there.
const KNOWS: [&str; 3] = ["users:knows", "users:knows_to_write", "users:knows_to_act"];

/// The answer to a new user through a door: whether their user is there.
async fn touch(server: &Server, door: &str, early: &str, token: &str, number: u32) -> Json {
    let [query, mutation, action] = KNOWS;
    let call = |path: &str| json!({ "path": path, "args": {}, "ts": early });
    let post = |route: &str, body: Json| server.post(route, body).bearer_auth(token);
    let request = match door {
        "post /api/query" => post("/api/query", call(query)),
        "get /api/query" => server
            .get(&format!("/api/query?path={query}&args={{}}"))
            .bearer_auth(token),
        "post /api/mutation" => post("/api/mutation", call(mutation)),
        "post /api/action" => post("/api/action", call(action)),
        "post /api/run/{*path}" => post("/api/run/users/knows", json!({ "args": {} })),
        "post /api/query_at_ts" => post("/api/query_at_ts", call(query)),
        "post /api/query_batch" => post("/api/query_batch", json!({ "queries": [call(query)] })),
        "any /http/{*path}" => server.get("/http/knows").bearer_auth(token),
        _ => return say(server, door, token, number).await,
    };
    let (status, told) = answer(request).await;
    assert_eq!(status, 200, "{door}: {told}");
    match &told {
        Json::Bool(_) => told,
        _ if told["results"].is_array() => told["results"][0]["value"].clone(),
        _ => told["value"].clone(),
    }
}

/// The same on a socket. One session says all of this, so it numbers its calls.
async fn say(server: &Server, door: &str, token: &str, number: u32) -> Json {
    let [query, mutation, action] = KNOWS;
    let mut client = SocketClient::connect(server, &[]).await;
    let value = |transition: &Json| transition["modifications"][0]["value"].clone();
    match door {
        "message Authenticate" | "message Connect" => {
            client.authenticate(0, "User", token).await;
            client.watch(query).await;
            value(&client.identified(1).await)
        }
        "message ModifyQuerySet" => {
            client.watch(query).await;
            client.authenticate(0, "User", token).await;
            value(&client.identified(1).await)
        }
        "message Mutation" => {
            client.authenticate(0, "User", token).await;
            client.call("Mutation", number, mutation).await;
            client.next_of("MutationResponse").await["result"].clone()
        }
        "message Action" => {
            client.authenticate(0, "User", token).await;
            client.call("Action", number, action).await;
            client.next_of("ActionResponse").await["result"].clone()
        }
        other => panic!("{other} is no message"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_new_is_known_by_every_door_at_the_first_touch() {
    let server = Server::start_with(Setup {
        provision_with: Some("users:ensure"),
        ..Setup::default()
    })
    .await;
    let (_, early) = answer(server.post("/api/query_ts", json!({}))).await;
    let early = early["ts"].as_str().unwrap();
    let mut number = 0;
    for door in DOORS {
        for visit in 0..2 {
            let token = server.token(&format!("{door} {visit}"));
            for touched in 0..2 {
                number += 1;
                let known = touch(&server, door, early, &token, number).await;
                assert_eq!(known, json!(true), "{door}, touch {touched}");
            }
        }
    }
}

#[test]
fn every_door_has_a_row() {
    for route in ROUTES.iter().filter(|route| route.role == Role::Caller) {
        let door = format!("{} {}", route.method, route.path);
        assert!(DOORS.contains(&door.as_str()), "{door} has no row");
    }
    // The messages of a client, as the protocol's own list names them.
    let messages = include_str!("../../../../schema/src/wire/client.rs");
    let named = messages.split("match &*tag(text)? {").nth(1).unwrap();
    let named = named.split("other =>").next().unwrap();
    let mut seen = 0;
    for line in named
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"'))
    {
        let message = line.split('"').next().unwrap();
        seen += 1;
        let has_row = DOORS.contains(&format!("message {message}").as_str());
        // Telemetry is never answered.
        assert!(has_row || message == "Event", "{message} has no row");
    }
    assert_eq!(seen, 6);
}
