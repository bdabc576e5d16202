//! Convex's sync protocol, point by point.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value as Json, json};
use vestibule_schema::timestamp::Timestamp;

use super::apps::App;
use super::harness::{Client, SESSION, add, remove, results, ts, version};
use crate::clock::Clock;
use crate::sync::{ClientFeatures, SyncOptions};

fn redacting() -> App {
    App::start_with(SyncOptions::default())
}

async fn connected(app: &App) -> Client {
    let mut client = app.server.connect().await;
    client.say_connect().await;
    client
}

// ---- Connect -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn connect_tolerates_what_clients_send_and_leave_out() {
    let app = App::without_gate();
    for fields in [
        json!({}),
        json!({ "connectionCount": 3, "lastCloseReason": null, "clientTs": 0 }),
        json!({ "connectionCount": 1, "lastCloseReason": "closed with code 1006", "clientTs": -5, "later": [1] }),
        json!({ "maxObservedTimestamp": "AAAAAAAAAAA=", "clientTs": 1e18 }),
        json!({ "clientTs": 1.5 }),
    ] {
        let mut connect = json!({ "type": "Connect", "sessionId": SESSION });
        connect
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let mut client = app.server.connect().await;
        client.send(connect).await;
        client.modify(0, vec![]).await;
        let transition = client.next().await;
        assert_eq!(version(&transition, "endVersion"), (1, 0), "{fields}");
        let (skew, now) = (
            transition.get("clientClockSkew"),
            transition.get("serverTs"),
        );
        assert_eq!(skew.is_some(), fields.get("clientTs").is_some(), "{fields}");
        assert_eq!(now.is_some(), skew.is_some(), "both or neither: {fields}");
        assert!(skew.is_none_or(Json::is_i64), "{fields}");
    }
}

#[tokio::test]
async fn transitions_tell_how_far_the_clients_clock_is_off() {
    let app = App::without_gate();
    let now_ms = app.server.clock.now().0 as i64 / 1_000_000;
    let mut client = app.server.connect().await;
    client
        .send(json!({ "type": "Connect", "sessionId": SESSION, "clientTs": now_ms + 1_234 }))
        .await;
    client.modify(0, vec![]).await;
    let transition = client.next().await;
    assert_eq!(transition["clientClockSkew"], json!(1_234));
    assert_eq!(transition["serverTs"], json!(app.server.clock.now().0));
}

#[tokio::test]
async fn a_client_that_has_seen_a_newer_state_than_there_is_is_told_to_come_back() {
    let app = App::without_gate();
    for (ahead, is_served) in [(0, true), (1, false), (1 << 62, false)] {
        let observed = Timestamp(app.server.durable_ts().0 + ahead);
        let mut client = app.server.connect().await;
        let connect = json!({ "type": "Connect", "sessionId": SESSION, "maxObservedTimestamp": observed.to_wire() });
        client.send(connect).await;
        client.watch(0, &[(0, "notes:list")]).await;
        match is_served {
            true => assert!(ts(&client.next().await) >= observed),
            false => assert_eq!(
                client.close().await,
                Some((1011, "InternalServerError".to_string()))
            ),
        }
    }
}

// ---- query sets --------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_empty_query_set_is_acknowledged() {
    let app = App::without_gate();
    let mut client = connected(&app).await;
    client.modify(0, vec![]).await;
    let first = client.next().await;
    assert_eq!(
        (
            version(&first, "startVersion"),
            version(&first, "endVersion")
        ),
        ((0, 0), (1, 0))
    );
    assert_eq!(first["startVersion"]["ts"], "AAAAAAAAAAA=");
    client.modify(1, vec![]).await;
    let second = client.next().await;
    assert_eq!(second["startVersion"], first["endVersion"]);
    assert_eq!(
        (version(&second, "endVersion"), results(&second)),
        ((2, 0), vec![])
    );
}

#[tokio::test]
async fn all_adds_of_one_message_are_answered_in_one_transition() {
    let app = App::without_gate();
    let mut client = connected(&app).await;
    let texts = (0..200).map(|n| add(n, "notes:has", json!({ "text": n.to_string() })));
    client.modify(0, texts.collect()).await;
    let transition = client.next().await;
    let expected: Vec<(u32, Json)> = (0..200).map(|n| (n, json!(false))).collect();
    assert_eq!(results(&transition), expected);
}

#[tokio::test]
async fn a_query_id_twice_ends_the_client() {
    let app = App::without_gate();
    for path in ["notes:list", "not a path"] {
        let mut client = connected(&app).await;
        client
            .modify(
                0,
                vec![add(4, path, json!({})), add(4, "notes:count", json!({}))],
            )
            .await;
        assert!(
            client.next().await["error"]
                .as_str()
                .unwrap()
                .contains("query id 4")
        );
        assert_eq!(client.close().await, None);
    }
    let mut client = connected(&app).await;
    client.watch(0, &[(4, "notes:list")]).await;
    client.next().await;
    client.watch(1, &[(4, "notes:count")]).await;
    assert_eq!(client.next().await["type"], "FatalError");
}

#[tokio::test]
async fn a_query_removed_before_its_answer_is_told_removed_and_nothing_else() {
    let app = App::without_gate();
    let mut client = connected(&app).await;
    let big = json!({ "bytes": 100_000 });
    client
        .modify(
            0,
            vec![
                add(0, "notes:big", big),
                add(1, "notes:list", json!({})),
                remove(1),
                remove(0),
            ],
        )
        .await;
    let transition = client.next().await;
    let told = results(&transition);
    assert_eq!(
        told.iter()
            .map(|(id, told)| (*id, told["type"].as_str().unwrap()))
            .collect::<Vec<_>>(),
        [(0, "QueryRemoved"), (1, "QueryRemoved")]
    );
    client.watch(1, &[(2, "notes:list")]).await;
    client.next().await;
    client.modify(2, vec![remove(2)]).await;
    assert_eq!(results(&client.next().await)[0].1["type"], "QueryRemoved");
    client
        .modify(3, vec![add(2, "notes:count", json!({}))])
        .await;
    assert_eq!(results(&client.next().await), [(2, json!(0.0))]);
}

#[tokio::test]
async fn a_query_that_cannot_be_run_fails_alone() {
    let app = App::without_gate();
    let mut client = connected(&app).await;
    let odd = |id: u32, path: &str, args: Json| json!({ "type": "Add", "queryId": id, "udfPath": path, "args": args });
    let component = json!({
        "type": "Add", "queryId": 9, "udfPath": "notes:list", "args": [{}], "componentPath": "billing"
    });
    client
        .modify(
            0,
            vec![
                odd(0, "no:such", json!([{}])),
                odd(1, "not a path at all", json!([{}])),
                odd(2, "notes:list", json!([{}, {}])),
                odd(3, "notes:list", json!([7])),
                odd(4, "notes:list", json!({})),
                odd(5, "notes:has", json!([{ "text": 7 }])),
                odd(6, "notes:has", json!([{ "text": { "$unknown": 1 } }])),
                odd(7, "notes:add", json!([{ "text": "x" }])),
                odd(8, "notes:secret", json!([{}])),
                component,
                odd(10, "notes:list", json!([])),
                odd(11, "notes.js:list", json!([{}])),
            ],
        )
        .await;
    let told: std::collections::BTreeMap<u32, Json> =
        results(&client.next().await).into_iter().collect();
    let wanted = [
        (0, "Could not find public function for 'no:such'."),
        (1, "Could not find public function for 'not a path at all'."),
        (2, "Instead received 2 arguments: ["),
        (3, "Expected to receive an object"),
        (4, "arguments must be an array"),
        (5, "ArgumentValidationError: "),
        (6, "Invalid arguments for notes.js:has"),
        (
            7,
            "Trying to execute notes.js:add as Query, but it is defined as Mutation.",
        ),
        (8, "Could not find public function for 'notes:secret'."),
        (
            9,
            "Could not find public function for 'notes:list' in 'billing'.",
        ),
    ];
    for (id, text) in wanted {
        let failed = &told[&id];
        assert_eq!(failed["type"], "QueryFailed", "{failed}");
        assert!(
            failed["errorMessage"].as_str().unwrap().contains(text),
            "{failed}"
        );
        assert_eq!(
            (failed.get("errorData"), &failed["logLines"]),
            (None, &json!([])),
            "{failed}"
        );
        assert_eq!(failed["journal"], json!(null), "{failed}");
    }
    assert_eq!((&told[&10], &told[&11]), (&json!([]), &json!([])));
    client
        .mutate(0, "notes:add", json!({ "text": "still here" }))
        .await;
    client
        .until(10, |value| *value == json!(["still here"]))
        .await;
}

#[tokio::test]
async fn equal_results_are_not_sent_again() {
    let app = App::without_gate();
    let mut client = connected(&app).await;
    client
        .watch(0, &[(0, "notes:count"), (1, "notes:list")])
        .await;
    client.next().await;
    client
        .modify(1, vec![add(2, "notes:has", json!({ "text": "x" }))])
        .await;
    client.next().await;
    for (request, has) in [(0, vec![(2, json!(true))]), (1, vec![])] {
        client
            .mutate(request, "notes:add", json!({ "text": "x" }))
            .await;
        let response = client.next().await;
        assert_eq!(response["success"], true);
        let mut seen = Vec::new();
        loop {
            let transition = client.next().await;
            seen.extend(results(&transition).into_iter().filter(|(id, _)| *id == 2));
            if ts(&transition) >= ts(&response) {
                break;
            }
        }
        assert_eq!(seen, has);
    }
}

#[tokio::test]
async fn too_many_subscriptions_fail_alone_and_a_removed_one_makes_room() {
    let app = App::start_with(SyncOptions {
        redact: false,
        subscriptions_max: 3,
        ..SyncOptions::default()
    });
    let mut client = connected(&app).await;
    let has = |n: u32| add(n, "notes:has", json!({ "text": n.to_string() }));
    client.modify(0, (0..5).map(has).collect()).await;
    let told = results(&client.next().await);
    assert_eq!(
        told[..3],
        [(0, json!(false)), (1, json!(false)), (2, json!(false))]
    );
    for (_, failed) in &told[3..] {
        assert!(
            failed["errorMessage"]
                .as_str()
                .unwrap()
                .contains("TooManySubscriptions"),
            "{failed}"
        );
        assert_eq!(
            failed["errorData"],
            json!({ "code": "TooManySubscriptions" })
        );
    }
    client.modify(1, vec![remove(1), remove(4), has(5)]).await;
    let told: std::collections::BTreeMap<u32, Json> =
        results(&client.next().await).into_iter().collect();
    assert_eq!(told[&5], json!(false));
    assert_eq!(
        (&told[&1]["type"], &told[&4]["type"]),
        (&json!("QueryRemoved"), &json!("QueryRemoved"))
    );
    client.modify(2, vec![has(6)]).await;
    assert_eq!(results(&client.next().await)[0].1["type"], "QueryFailed");
}

// ---- journals ----------------------------------------------------------------------------------------------

fn page(id: u32, items: u32, cursor: Option<&str>) -> Json {
    add(
        id,
        "notes:page",
        json!({ "paginationOpts": { "numItems": items, "cursor": cursor, "id": 1 } }),
    )
}

fn updated(transition: &Json, id: u32) -> Json {
    let modifications = transition["modifications"].as_array().unwrap();
    modifications
        .iter()
        .find(|told| told["queryId"] == id)
        .cloned()
        .unwrap_or_default()
}

#[tokio::test]
async fn a_pages_border_stays_while_documents_come_and_also_after_a_reconnect() {
    let app = App::without_gate();
    let mut client = connected(&app).await;
    for (request, text) in ["a", "b", "c"].into_iter().enumerate() {
        client
            .mutate(request as u32, "notes:add", json!({ "text": text }))
            .await;
        client.next().await;
    }
    client.modify(0, vec![page(0, 2, None)]).await;
    let first = loop {
        let told = updated(&client.next_of("Transition").await, 0);
        if told["type"] == "QueryUpdated" {
            break told;
        }
    };
    assert_eq!(first["value"]["page"], json!(["a", "b"]));
    let journal = first["journal"].as_str().unwrap().to_string();
    client.mutate(9, "notes:add", json!({ "text": "aa" })).await;
    client
        .until(0, |value| value["page"] == json!(["a", "aa", "b"]))
        .await;

    let mut again = connected(&app).await;
    let mut with_journal = page(0, 2, None);
    with_journal["journal"] = json!(journal);
    let mut with_null = page(1, 2, None);
    with_null["journal"] = json!(null);
    again.modify(0, vec![with_journal, with_null]).await;
    let told = again.next().await;
    assert_eq!(updated(&told, 0)["value"]["page"], json!(["a", "aa", "b"]));
    assert_eq!(updated(&told, 0)["journal"], json!(journal));
    assert_eq!(updated(&told, 1)["value"]["page"], json!(["a", "aa"]));
}

#[tokio::test]
async fn a_foreign_journal_fails_with_the_data_that_makes_clients_start_again() {
    for app in [App::without_gate(), redacting()] {
        let mut client = connected(&app).await;
        let mut with_journal = page(0, 2, None);
        with_journal["journal"] = json!("rubbish");
        client.modify(0, vec![with_journal]).await;
        let failed = updated(&client.next().await, 0);
        assert_eq!(
            failed["errorData"],
            json!({ "isConvexSystemError": true, "paginationError": "InvalidCursor" }),
            "{failed}"
        );
    }
}

// ---- mutations ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn every_response_is_followed_by_a_transition_also_that_of_a_mutation_that_changed_nothing() {
    let app = App::without_gate();
    for connects in [false, true] {
        let mut client = app.server.connect().await;
        if connects {
            client.say_connect().await;
        }
        client.modify(0, vec![]).await;
        let mut last = client.next().await;
        let base = if connects { 0 } else { 100 };
        for (n, path) in [
            "notes:nothing",
            "notes:fail",
            "no:such",
            "notes:panic",
            "users:whoami",
        ]
        .iter()
        .enumerate()
        {
            client.mutate(base + n as u32, path, json!({})).await;
            let response = client.next().await;
            assert_eq!(response["type"], "MutationResponse", "{path}");
            let transition = client.next().await;
            assert_eq!(transition["startVersion"], last["endVersion"], "{path}");
            match response["success"].as_bool().unwrap() {
                true => assert!(ts(&transition) >= ts(&response), "{path}"),
                false => assert_eq!(response["ts"], json!(null), "{path}"),
            }
            last = transition;
        }
    }
}

#[tokio::test]
async fn the_transition_behind_a_response_waits_for_no_other_task() {
    let mut app = App::without_gate();
    app.server.stop_following();
    let mut client = connected(&app).await;
    client.modify(0, vec![]).await;
    client.next_of("Transition").await;
    let note = json!({ "text": "x" });
    client.mutate(0, "notes:add", note).await;
    let response = client.next().await;
    assert_eq!(response["type"], "MutationResponse");
    let transition = client.next().await;
    assert!(ts(&transition) >= ts(&response));
}

#[tokio::test]
async fn mutations_of_one_connection_run_in_the_order_in_which_they_were_sent() {
    let app = App::without_gate();
    let mut client = connected(&app).await;
    client.watch(0, &[(0, "notes:list")]).await;
    let texts: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    for (n, text) in texts.iter().enumerate() {
        client
            .mutate(n as u32, "notes:add", json!({ "text": text }))
            .await;
    }
    let mut responses = Vec::new();
    let mut last = Timestamp::ZERO;
    let mut list = json!(null);
    while list != json!(texts) {
        let message = client.next().await;
        match message["type"].as_str().unwrap() {
            "MutationResponse" => {
                assert!(ts(&message) > last);
                last = ts(&message);
                responses.push(message["requestId"].as_u64().unwrap());
            }
            _ => {
                if let Some((_, value)) = results(&message).pop() {
                    list = value;
                }
                let shown = list.as_array().map_or(0, Vec::len);
                assert!(
                    responses.len() >= shown,
                    "a Transition shows a mutation before its response"
                );
            }
        }
    }
    assert_eq!(responses, (0..300).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_resent_mutation_is_answered_from_the_record_in_its_own_session_and_by_its_own_identity_alone()
 {
    let app = App::start();
    let mut first = connected(&app).await;
    first.authenticate(0, &app.server.token("ada")).await;
    first.modify(0, vec![]).await;
    first.next().await;
    first
        .mutate(7, "notes:add", json!({ "text": "once" }))
        .await;
    let original = first.next().await;
    // The path and the arguments of a duplicate are not looked at.
    first.mutate(7, "notes:nothing", json!({})).await;
    assert_eq!(first.next_of("MutationResponse").await, original);

    let mut other_session = app.server.connect().await;
    other_session
        .send(json!({ "type": "Connect", "sessionId": "00000000-0000-4000-8000-000000000000" }))
        .await;
    other_session
        .mutate(7, "notes:add", json!({ "text": "another" }))
        .await;
    assert_ne!(
        other_session.next_of("MutationResponse").await["result"],
        original["result"]
    );

    let mut nobody = connected(&app).await;
    nobody
        .mutate(7, "notes:add", json!({ "text": "stolen" }))
        .await;
    let refused = nobody.next_of("MutationResponse").await;
    assert_eq!(refused["success"], false, "{refused}");
    assert!(
        !refused
            .to_string()
            .contains(original["result"].as_str().unwrap())
    );

    let mut unconnected = app.server.connect().await;
    for _ in 0..2 {
        unconnected
            .mutate(7, "notes:add", json!({ "text": "each time" }))
            .await;
        unconnected.next_of("MutationResponse").await;
    }
    unconnected.watch(0, &[(0, "notes:list")]).await;
    unconnected
        .until(0, |value| {
            *value == json!(["once", "another", "each time", "each time"])
        })
        .await;
}

#[tokio::test]
async fn a_failed_mutation_is_not_recorded_and_runs_again_when_it_is_sent_again() {
    let app = App::without_gate();
    let mut client = connected(&app).await;
    client.mutate(0, "notes:fail", json!({})).await;
    assert_eq!(client.next_of("MutationResponse").await["success"], false);
    client
        .mutate(0, "notes:add", json!({ "text": "now" }))
        .await;
    assert_eq!(client.next_of("MutationResponse").await["success"], true);
}

// ---- actions -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn actions_run_beside_each_other_and_beside_mutations() {
    let app = App::without_gate();
    let mut client = connected(&app).await;
    client.modify(0, vec![]).await;
    client.next().await;
    for request in 0..3 {
        client.act(request, "notes:wait", json!({})).await;
    }
    app.hooks
        .waiting
        .begun
        .acquire_many(3)
        .await
        .unwrap()
        .forget();
    client
        .act(3, "notes:echo", json!({ "text": "hello" }))
        .await;
    let echoed = client.next().await;
    assert_eq!(
        (&echoed["requestId"], &echoed["result"]),
        (&json!(3), &json!("hello"))
    );
    assert_eq!(
        (&echoed["logLines"], echoed.get("ts")),
        (&json!(["[INFO] echoing"]), None)
    );
    client.mutate(4, "notes:add", json!({ "text": "x" })).await;
    client.next_of("MutationResponse").await;
    app.hooks.waiting.let_go.add_permits(3);
    let mut ended = Vec::new();
    while ended.len() < 3 {
        let response = client.next_of("ActionResponse").await;
        assert_eq!(response["result"], "waited");
        ended.push(response["requestId"].as_u64().unwrap());
    }
    ended.sort_unstable();
    assert_eq!(ended, [0, 1, 2]);
}

#[tokio::test]
async fn an_actions_calls_are_transactions_of_their_own_and_its_errors_keep_their_data() {
    let app = App::without_gate();
    let mut client = connected(&app).await;
    client.act(0, "notes:addTwo", json!({})).await;
    let added = client.next_of("ActionResponse").await;
    assert_eq!(
        (&added["success"], &added["result"]),
        (&json!(true), &json!(2.0)),
        "{added}"
    );
    client.act(1, "notes:refuseToAct", json!({})).await;
    assert_eq!(
        client.next_of("ActionResponse").await["errorData"],
        json!({ "code": "NO" })
    );
    for (path, text) in [
        ("no:such", "Could not find public function"),
        ("notes:add", "as Action, but it is defined"),
    ] {
        client.act(2, path, json!({ "text": "x" })).await;
        let refused = client.next_of("ActionResponse").await;
        assert!(
            refused["result"].as_str().unwrap().contains(text),
            "{refused}"
        );
        assert_eq!(refused.get("errorData"), None);
    }
}

#[tokio::test]
async fn an_action_goes_on_when_its_client_has_left() {
    let app = App::without_gate();
    let mut client = connected(&app).await;
    client.act(0, "notes:wait", json!({})).await;
    app.hooks.waiting.begun.acquire().await.unwrap().forget();
    drop(client);
    app.hooks.waiting.let_go.add_permits(1);
    // It takes the permit only when it goes on.
    let server = &app.server;
    server.connections.drain().await;
    assert_eq!(app.hooks.waiting.let_go.available_permits(), 0);
}

// ---- errors and logs ---------------------------------------------------------------------------------------

#[tokio::test]
async fn in_development_errors_come_with_their_text_and_logs_with_their_level() {
    let app = App::without_gate();
    let mut client = connected(&app).await;
    client
        .watch(
            0,
            &[
                (0, "notes:loud"),
                (1, "notes:refuse"),
                (2, "notes:broken"),
                (3, "notes:panicQuery"),
            ],
        )
        .await;
    let told = client.next().await;
    assert_eq!(
        updated(&told, 0)["logLines"],
        json!(["[LOG] listing", "[WARN] loudly"])
    );
    let refused = updated(&told, 1);
    assert_eq!(
        (&refused["errorData"], &refused["logLines"]),
        (&json!({ "code": "NO" }), &json!(["[LOG] refusing"]))
    );
    let broken = updated(&told, 2);
    assert_eq!(broken.get("errorData"), None);
    let text = broken["errorMessage"].as_str().unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let id = first
        .strip_prefix("[Request ID: ")
        .and_then(|rest| rest.strip_suffix("] Server Error"))
        .unwrap();
    assert!(
        id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{text}"
    );
    assert_eq!(rest, "Uncaught Error: out of order\n");
    assert!(
        updated(&told, 3)["errorMessage"]
            .as_str()
            .unwrap()
            .contains("panicked: boom")
    );
    client.mutate(7, "notes:fail", json!({})).await;
    let failed = client.next_of("MutationResponse").await;
    assert!(
        failed["result"]
            .as_str()
            .unwrap()
            .starts_with("[Request ID: 2ce0264e564a3150] Server Error\n")
    );
}

#[tokio::test]
async fn in_production_errors_lose_their_text_and_their_logs_but_not_their_data() {
    let app = redacting();
    let mut client = connected(&app).await;
    client
        .watch(
            0,
            &[
                (0, "notes:loud"),
                (1, "notes:refuse"),
                (2, "notes:broken"),
                (3, "no:such"),
            ],
        )
        .await;
    let told = client.next().await;
    assert_eq!(
        (&updated(&told, 0)["value"], &updated(&told, 0)["logLines"]),
        (&json!(0.0), &json!([]))
    );
    assert_eq!(updated(&told, 1)["errorData"], json!({ "code": "NO" }));
    for id in 1..=3 {
        let failed = updated(&told, id);
        let text = failed["errorMessage"].as_str().unwrap();
        assert!(
            text.ends_with("] Server Error") && text.len() == 43,
            "{text}"
        );
        assert_eq!(failed["logLines"], json!([]));
    }
    for (request, path) in ["notes:fail", "no:such", "notes:add"]
        .into_iter()
        .enumerate()
    {
        client.mutate(request as u32, path, json!({})).await;
        let failed = client.next_of("MutationResponse").await;
        assert!(
            failed["result"]
                .as_str()
                .unwrap()
                .ends_with("] Server Error"),
            "{failed}"
        );
        assert_eq!(failed["logLines"], json!([]));
        assert_eq!(failed.get("errorData").is_some(), path == "notes:fail");
    }
    client.act(9, "notes:echo", json!({ "text": "x" })).await;
    assert_eq!(
        client.next_of("ActionResponse").await["logLines"],
        json!([])
    );
}

// ---- long messages -----------------------------------------------------------------------------------------

#[tokio::test]
async fn a_long_transition_comes_in_chunks_to_clients_that_take_them_and_whole_to_others() {
    let app = App::without_gate();
    for transition_chunks in [true, false] {
        let mut client = app
            .server
            .connect_with(ClientFeatures { transition_chunks }, 1 << 16)
            .await;
        client
            .modify(
                0,
                vec![add(0, "notes:big", json!({ "bytes": 11_000_000.0 }))],
            )
            .await;
        let first = client.next().await;
        let transition = match transition_chunks {
            false => first,
            true => {
                let parts = first["totalParts"].as_u64().unwrap();
                assert_eq!(parts, 3);
                let mut text = first["chunk"].as_str().unwrap().to_string();
                for part in 1..parts {
                    let chunk = client.next().await;
                    assert_eq!(
                        (&chunk["type"], &chunk["partNumber"]),
                        (&json!("TransitionChunk"), &json!(part))
                    );
                    assert_eq!(chunk["transitionId"], first["transitionId"]);
                    text.push_str(chunk["chunk"].as_str().unwrap());
                }
                assert_eq!(first["transitionId"], json!(text.len().to_string()));
                serde_json::from_str(&text).unwrap()
            }
        };
        let value = &results(&transition)[0].1;
        assert_eq!(value.as_str().unwrap().len(), 11_000_000);
    }
}

// ---- reading once for all ----------------------------------------------------------------------------------

#[tokio::test]
async fn a_change_runs_a_query_once_however_many_watch_it() {
    let app = App::without_gate();
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = connected(&app).await;
        client.watch(0, &[(0, "notes:list")]).await;
        client.next().await;
        clients.push(client);
    }
    assert_eq!(app.hooks.lists.load(Ordering::SeqCst), 1);
    let mut expected = Vec::new();
    for n in 0..20 {
        expected.push(n.to_string());
        clients[0]
            .mutate(n, "notes:add", json!({ "text": n.to_string() }))
            .await;
        for client in &mut clients {
            client.until(0, |value| *value == json!(expected)).await;
        }
    }
    assert_eq!(app.hooks.lists.load(Ordering::SeqCst), 21);
}

#[tokio::test]
async fn nothing_is_left_when_all_clients_have_gone() {
    let app = App::start();
    for round in 0..3 {
        let mut clients = Vec::new();
        for n in 0..8 {
            let mut client = connected(&app).await;
            if n % 2 == 0 {
                client
                    .authenticate(0, &app.server.token(&format!("user{}", n % 3)))
                    .await;
            }
            client
                .watch(
                    0,
                    &[
                        (0, "notes:list"),
                        (1, "users:me"),
                        (2, "users:meIfAnybody"),
                        (3, "no:such"),
                    ],
                )
                .await;
            client
                .mutate(round * 100 + n, "notes:add", json!({ "text": "x" }))
                .await;
            client.next_of("MutationResponse").await;
            clients.push(client);
        }
        // Some leave with a close, some without.
        for (n, mut client) in clients.into_iter().enumerate() {
            if n % 2 == 0 {
                client.socket.close(None).await.unwrap();
            }
        }
    }
    app.server.connections.drain().await;
    app.server.live.settle().await;
    let census = app.server.live.census();
    assert_eq!(
        (census.live_queries, census.subscribers),
        (0, 0),
        "{census:?}"
    );
    app.server.live.forget_idle();
    let census = app.server.live.census();
    assert_eq!((census.idle, census.ranges), (0, 0), "{census:?}");
    assert_eq!(app.server.metric("sync_connections"), 0.0);
}

#[tokio::test]
async fn an_admins_answer_of_an_internal_query_is_not_for_others() {
    let app = App::start();
    let key = app
        .server
        .authenticator
        .admin_keys()
        .mint(app.server.clock.now(), Some(Duration::from_secs(3600)));
    let key = key.unwrap().text.expose().clone();
    let mut admin = connected(&app).await;
    let presented =
        json!({ "type": "Authenticate", "baseVersion": 0, "tokenType": "Admin", "value": key });
    admin.send(presented).await;
    admin.watch(0, &[(0, "notes:secret")]).await;
    let told = admin.next().await;
    assert_eq!(results(&told), [(0, json!("internal"))]);
    for signs_in in [false, true] {
        let mut other = connected(&app).await;
        if signs_in {
            other.authenticate(0, &app.server.token("ada")).await;
        }
        other.watch(0, &[(0, "notes:secret")]).await;
        let told = results(&other.next().await);
        assert!(
            told[0].1["errorMessage"]
                .as_str()
                .unwrap()
                .contains("Could not find public function"),
            "{told:?}"
        );
    }
    admin.sign_out(1).await;
    let told = results(&admin.next().await);
    assert_eq!(
        told[0].1["type"], "QueryFailed",
        "an admin who signs out is nobody"
    );
}

#[tokio::test]
async fn whoever_subscribes_after_a_commit_was_acknowledged_sees_it() {
    let app = App::without_gate();
    let mut writer = connected(&app).await;
    let mut texts = Vec::new();
    for n in 0..100 {
        texts.push(n.to_string());
        writer
            .mutate(n, "notes:add", json!({ "text": n.to_string() }))
            .await;
        writer.next_of("MutationResponse").await;
        let mut reader = connected(&app).await;
        reader.watch(0, &[(0, "notes:list")]).await;
        assert_eq!(results(&reader.next().await), [(0, json!(texts))]);
    }
}
