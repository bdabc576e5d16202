//! How connections end: limits, silence, stalls, shutdown.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::apps::App;
use super::harness::{Client, Closed, add, results, ts};
use crate::sync::{ClientFeatures, Peer, SyncOptions, connection};

async fn connected(app: &App) -> Client {
    let mut client = app.server.connect().await;
    client.say_connect().await;
    client
}

fn closed(code: u16, reason: &str) -> Closed {
    Some((code, reason.to_string()))
}

fn telling() -> SyncOptions {
    SyncOptions {
        redact: false,
        ..SyncOptions::default()
    }
}

// ---- sizes -------------------------------------------------------------------------------------------------

/// Ten thousand idle connections are ten thousand of these. One that awaits something large makes all larger: what is rare
/// belongs in a box.
#[tokio::test]
async fn what_a_connection_keeps_while_it_waits_fits_2_kib() {
    let app = App::start_with(SyncOptions::default());
    let (_near, far) = tokio::io::duplex(1);
    let connections = app.server.connections.clone();
    let running = connection::run(connections, far, ClientFeatures::default(), Peer::default());
    assert!(
        size_of_val(&running) <= 2 << 10,
        "{}",
        size_of_val(&running)
    );
}

fn event_of(bytes: usize) -> String {
    let around = json!({ "type": "Event", "eventType": "x", "event": "" })
        .to_string()
        .len();
    json!({ "type": "Event", "eventType": "x", "event": "a".repeat(bytes - around) }).to_string()
}

/// A client whose connection merely closed would send the message again each time it came back.
async fn is_told_to_end(client: &mut Client) {
    let told = client.next().await;
    assert_eq!(told["type"], "FatalError", "{told}");
    let error = told["error"].as_str().unwrap();
    assert!(error.starts_with("MessageTooLong: "), "{error}");
    assert_eq!(client.close().await, None);
}

#[tokio::test]
async fn a_message_longer_than_any_may_be_ends_its_client_for_good() {
    let app = App::start_with(SyncOptions {
        frame_bytes_max: 20_000,
        ..telling()
    });
    for signs_in in [false, true] {
        for (bytes, is_taken) in [(20_000, true), (20_001, false)] {
            let mut client = connected(&app).await;
            client.modify(0, vec![]).await;
            if signs_in {
                client.authenticate(0, &app.server.token("ada")).await;
            }
            client.next().await;
            client.send_text(event_of(bytes)).await;
            match is_taken {
                true => assert_eq!(client.said_so_far().await, Vec::<Json>::new()),
                false => is_told_to_end(&mut client).await,
            }
        }
    }
}

#[tokio::test]
async fn a_message_in_pieces_is_measured_whole() {
    let app = App::start_with(SyncOptions {
        frame_bytes_max: 20_000,
        ..telling()
    });
    let mut client = connected(&app).await;
    client.modify(0, vec![]).await;
    client.next().await;
    for n in 0..3 {
        let opcode = if n == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message(Bytes::from(vec![b' '; 9_000]), OpCode::Data(opcode), false);
        // The server may have closed before the last piece.
        let _ = client.socket.send(Message::Frame(frame)).await;
    }
    is_told_to_end(&mut client).await;
}

#[tokio::test]
async fn messages_that_are_not_done_with_count_together_and_one_too_many_comes_again_later() {
    let app = App::start_with(SyncOptions {
        inbound_bytes_total_max: 600_000,
        ..telling()
    });
    app.hooks.slow.close();
    let text = "x".repeat(400_000);
    let mut first = connected(&app).await;
    first.mutate(0, "notes:slow", json!({ "text": text })).await;
    app.hooks.slow.reached(1).await;
    let mut second = connected(&app).await;
    second.mutate(0, "notes:add", json!({ "text": text })).await;
    assert_eq!(
        second.close().await,
        closed(1013, "InboundBytesExceeded"),
        "the first one's are held by what waits for its outcome"
    );
    app.hooks.slow.open();
    first.next_of("MutationResponse").await;
    let mut again = connected(&app).await;
    again.mutate(0, "notes:add", json!({ "text": text })).await;
    assert_eq!(again.next_of("MutationResponse").await["success"], true);
}

#[tokio::test]
async fn a_long_message_on_its_way_is_a_sign_of_life_and_a_stalled_one_is_not() {
    let app = App::start_with(SyncOptions {
        ping_after: Duration::from_secs(1 << 20),
        probe_after: Duration::from_secs(1 << 20),
        ..telling()
    });
    let mut client = connected(&app).await;
    client.modify(0, vec![]).await;
    client.next().await;
    let piece = Bytes::from(vec![b' '; 300_000]);
    for n in 0..4 {
        let opcode = if n == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message(piece.clone(), OpCode::Data(opcode), false);
        client.socket.send(Message::Frame(frame)).await.unwrap();
        // Its other requests would say nothing while this one is under way: so nothing does here.
        while app.server.metric("sync_connections") > 0.0 && n == 3 {
            app.server.clock.advance(Duration::from_secs(60));
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        app.server.clock.advance(Duration::from_secs(100));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let open = app.server.metric("sync_connections");
        assert_eq!(open, f64::from(u8::from(n < 3)), "piece {n}");
    }
}

#[tokio::test]
async fn queries_that_are_too_long_together_are_refused_each_by_itself() {
    let app = App::start_with(SyncOptions {
        query_set_bytes_max: 10_000,
        redact: true,
        ..SyncOptions::default()
    });
    let mut client = connected(&app).await;
    let has = |id: u32, bytes: usize| add(id, "notes:has", json!({ "text": "y".repeat(bytes) }));
    let adds = vec![has(0, 6_000), has(1, 6_000), has(2, 100), has(3, 3_000)];
    client.modify(0, adds).await;
    let told: std::collections::BTreeMap<u32, Json> =
        results(&client.next().await).into_iter().collect();
    for fits in [0, 2, 3] {
        assert_eq!(told[&fits], json!(false), "{fits}");
    }
    assert_eq!(told[&1]["errorData"], json!({ "code": "QuerySetTooLarge" }));
    let remove = json!({ "type": "Remove", "queryId": 0 });
    client.modify(1, vec![remove, has(4, 6_000)]).await;
    let told: std::collections::BTreeMap<u32, Json> =
        results(&client.next().await).into_iter().collect();
    assert_eq!(told[&4], json!(false));
}

#[tokio::test]
async fn text_that_is_not_utf8_closes() {
    let app = App::start();
    let mut client = connected(&app).await;
    let frame = Frame::message(
        Bytes::from_static(b"\xff\xfe"),
        OpCode::Data(Data::Text),
        true,
    );
    client.socket.send(Message::Frame(frame)).await.unwrap();
    assert_eq!(client.close().await, closed(1007, "InvalidUtf8"));
    assert_eq!(app.server.metric("sync_protocol_errors_total"), 1.0);
}

// ---- counts ------------------------------------------------------------------------------------------------

#[tokio::test]
async fn more_mutations_than_may_wait_are_read_when_others_have_their_outcome() {
    let app = App::start_with(SyncOptions {
        mutations_pending_max: 3,
        ..telling()
    });
    app.hooks.slow.close();
    let mut client = connected(&app).await;
    client.modify(0, vec![]).await;
    client.next().await;
    for request in 0..50 {
        client
            .mutate(request, "notes:slow", json!({ "text": "x" }))
            .await;
    }
    app.hooks.slow.reached(1).await;
    // A client that is not read from is not punished for its silence.
    for _ in 0..10 {
        app.server.clock.advance(Duration::from_secs(14));
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    let received = app.server.metric("sync_received_total");
    assert!(received < 10.0, "{received}");
    app.hooks.slow.open();
    for request in 0..50 {
        let response = client.next_of("MutationResponse").await;
        assert_eq!(
            (&response["requestId"], &response["success"]),
            (&json!(request), &json!(true))
        );
    }
}

#[tokio::test]
async fn answered_mutations_make_room_for_others() {
    let app = App::start_with(SyncOptions {
        mutations_pending_max: 1,
        ..telling()
    });
    let mut client = connected(&app).await;
    client.modify(0, vec![]).await;
    for request in 0..20 {
        client
            .mutate(request, "notes:add", json!({ "text": "x" }))
            .await;
        client.next_of("MutationResponse").await;
    }
}

#[tokio::test]
async fn an_action_beside_as_many_as_may_run_is_refused_by_itself() {
    let app = App::start_with(SyncOptions {
        actions_pending_max: 2,
        ..telling()
    });
    let mut client = connected(&app).await;
    client.act(0, "notes:wait", json!({})).await;
    client.act(1, "notes:wait", json!({})).await;
    app.hooks
        .waiting
        .begun
        .acquire_many(2)
        .await
        .unwrap()
        .forget();
    app.hooks.waiting.let_go.add_permits(1);
    client.next_of("ActionResponse").await;
    client.act(2, "notes:wait", json!({})).await;
    app.hooks.waiting.begun.acquire().await.unwrap().forget();
    client.act(3, "notes:wait", json!({})).await;
    let refused = client.next_of("ActionResponse").await;
    assert_eq!(
        (&refused["requestId"], &refused["errorData"]),
        (
            &json!(3),
            &json!({ "code": "TooManyInflightActionsForSingleClient" })
        )
    );
    app.hooks.waiting.let_go.add_permits(2);
    for _ in 0..2 {
        assert_eq!(client.next_of("ActionResponse").await["success"], true);
    }
}

#[tokio::test]
async fn a_full_server_has_no_room_until_a_connection_ends() {
    let app = App::start_with(SyncOptions {
        connections_max: 1,
        ..telling()
    });
    assert!(app.server.connections.has_room());
    let mut client = connected(&app).await;
    client.modify(0, vec![]).await;
    client.next().await;
    assert!(!app.server.connections.has_room());
    client.socket.close(None).await.unwrap();
    client.close().await;
    while app.server.metric("sync_connections") > 0.0 {
        tokio::task::yield_now().await;
    }
    assert!(app.server.connections.has_room());
}

// ---- time --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_ping_is_sent_when_nothing_else_was_for_fifteen_seconds() {
    let app = App::start();
    let mut client = connected(&app).await;
    client.modify(0, vec![]).await;
    client.next().await;
    app.server.clock.advance(Duration::from_secs(14));
    assert_eq!(client.said_so_far().await, Vec::<Json>::new());
    // The answer above counts.
    app.server.clock.advance(Duration::from_secs(14));
    assert_eq!(client.said_so_far().await, Vec::<Json>::new());
    for _ in 0..2 {
        app.server.clock.advance(Duration::from_secs(15));
        assert_eq!(client.next().await, json!({ "type": "Ping" }));
    }
}

#[tokio::test]
async fn a_silent_client_is_asked_for_a_sign_of_life_and_dropped_without_one() {
    let app = App::start();
    let mut client = connected(&app).await;
    client.modify(0, vec![]).await;
    client.next().await;
    // The client's WebSocket answers probes by itself while it reads.
    for _ in 0..12 {
        app.server.clock.advance(Duration::from_secs(15));
        assert_eq!(client.next().await, json!({ "type": "Ping" }));
    }
    // Time passes while it does not.
    app.server.clock.advance(Duration::from_secs(119));
    while app.server.metric("sync_connections") > 0.0 {
        app.server.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    assert_eq!(app.server.live.census().subscribers, 0);
}

#[tokio::test]
async fn j2_a_connection_of_nobody_that_wants_nothing_is_closed_and_others_are_not() {
    let idle_max = Duration::from_secs(30);
    let app = App::start_with(SyncOptions {
        anonymous_idle_max: idle_max,
        ping_after: Duration::MAX,
        ..SyncOptions::default()
    });
    let mut idle = connected(&app).await;
    idle.modify(0, vec![]).await;
    idle.next().await;
    let mut watching = connected(&app).await;
    watching.watch(0, &[(0, "users:count")]).await;
    watching.next().await;
    let mut signed_in = connected(&app).await;
    signed_in.authenticate(0, &app.server.token("ada")).await;
    signed_in.modify(0, vec![]).await;
    signed_in.next().await;
    watching.next().await;
    app.server
        .clock
        .advance(idle_max - Duration::from_millis(1));
    // It is open still, and asking starts the time anew.
    assert_eq!(idle.said_so_far().await, Vec::<Json>::new());
    app.server.clock.advance(Duration::from_millis(1));
    assert_eq!(idle.said_so_far().await, Vec::<Json>::new());
    app.server.clock.advance(idle_max);
    assert_eq!(idle.next_or_close().await, Err(closed(1013, "Idle")));
    assert_eq!(watching.said_so_far().await, Vec::<Json>::new());
    assert_eq!(signed_in.said_so_far().await, Vec::<Json>::new());
}

#[tokio::test]
async fn without_a_query_set_the_first_transition_comes_after_a_grace() {
    let app = App::start();
    let mut client = connected(&app).await;
    client.mutate(0, "notes:add", json!({ "text": "x" })).await;
    let response = client.next().await;
    assert_eq!(response["type"], "MutationResponse");
    assert_eq!(client.said_so_far().await, Vec::<Json>::new());
    app.server
        .clock
        .advance(SyncOptions::default().first_query_set_grace);
    let transition = client.next().await;
    assert!(ts(&transition) >= ts(&response));
}

#[tokio::test]
async fn the_first_transition_waits_for_the_mutations_that_came_with_the_query_set_for_a_grace() {
    let app = App::start();
    // While an identity is being provisioned no mutation ends.
    app.hooks.ensuring.close();
    let mut slow = connected(&app).await;
    slow.authenticate(0, &app.server.token("ada")).await;
    app.hooks.ensuring.reached(1).await;
    let mut client = connected(&app).await;
    client.watch(0, &[(0, "notes:count")]).await;
    client.mutate(0, "notes:add", json!({ "text": "x" })).await;
    assert_eq!(client.said_so_far().await, Vec::<Json>::new());
    app.server.live.settle().await;
    assert_eq!(client.said_so_far().await, Vec::<Json>::new());
    app.server
        .clock
        .advance(SyncOptions::default().first_mutations_grace);
    assert_eq!(results(&client.next().await), [(0, json!(0.0))]);
    app.hooks.ensuring.open();
    assert_eq!(client.next().await["type"], "MutationResponse");
}

// ---- leaving -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_client_that_closes_is_answered_with_a_close() {
    let app = App::start();
    let mut client = connected(&app).await;
    client.modify(0, vec![]).await;
    client.next().await;
    let frame = CloseFrame {
        code: CloseCode::Normal,
        reason: "bye".into(),
    };
    client
        .socket
        .send(Message::Close(Some(frame.clone())))
        .await
        .unwrap();
    match client.socket.next().await {
        Some(Ok(Message::Close(answer))) => assert_eq!(answer, Some(frame)),
        other => panic!("expected a close, got {other:?}"),
    }
}

// ---- shutdown ----------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_draining_server_answers_what_it_was_given_then_closes_and_takes_nothing_more() {
    let app = App::start();
    app.hooks.slow.close();
    let mut idle = connected(&app).await;
    let mut busy = connected(&app).await;
    for client in [&mut idle, &mut busy] {
        client.modify(0, vec![]).await;
        client.next().await;
    }
    busy.mutate(0, "notes:slow", json!({ "text": "x" })).await;
    busy.mutate(1, "notes:add", json!({ "text": "y" })).await;
    busy.act(2, "notes:wait", json!({})).await;
    app.hooks.waiting.begun.acquire().await.unwrap().forget();
    app.hooks.slow.reached(1).await;
    let connections = app.server.connections.clone();
    let draining = tokio::spawn(async move { connections.drain().await });
    assert_eq!(
        idle.next_or_close().await,
        Err(closed(1001, "ServerShuttingDown"))
    );
    assert!(!app.server.connections.has_room());
    app.hooks.slow.open();
    for request in 0..2 {
        let response = busy.next_of("MutationResponse").await;
        assert_eq!(
            (&response["requestId"], &response["success"]),
            (&json!(request), &json!(true))
        );
    }
    app.hooks.waiting.let_go.add_permits(1);
    assert_eq!(busy.next_of("ActionResponse").await["result"], "waited");
    assert_eq!(busy.close().await, closed(1001, "ServerShuttingDown"));
    drop((idle, busy));
    draining.await.unwrap();
}

#[tokio::test]
async fn a_draining_server_does_not_wait_for_ever() {
    let app = App::start();
    let mut acting = connected(&app).await;
    acting.act(0, "notes:wait", json!({})).await;
    app.hooks.waiting.begun.acquire().await.unwrap().forget();
    // This one takes nothing: its results are longer than the pipe.
    let mut stuck = app
        .server
        .connect_with(ClientFeatures::default(), 1 << 10)
        .await;
    stuck
        .modify(0, vec![add(0, "notes:big", json!({ "bytes": 1_000_000 }))])
        .await;
    while app.server.metric("sync_transitions_total") < 1.0 {
        tokio::task::yield_now().await;
    }
    let connections = app.server.connections.clone();
    let draining = tokio::spawn(async move { connections.drain().await });
    assert_eq!(acting.said_so_far_or_close().await, None);
    app.server.clock.advance(SyncOptions::default().drain_max);
    assert_eq!(acting.close().await, closed(1001, "ServerShuttingDown"));
    // Its goodbye is not taken either.
    while !draining.is_finished() {
        app.server.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    draining.await.unwrap();
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped_and_delays_nobody() {
    let app = App::start();
    let mut stuck = app
        .server
        .connect_with(ClientFeatures::default(), 1 << 10)
        .await;
    stuck
        .modify(0, vec![add(0, "notes:big", json!({ "bytes": 1_000_000 }))])
        .await;
    while app.server.metric("sync_transitions_total") < 1.0 {
        tokio::task::yield_now().await;
    }
    let mut other = connected(&app).await;
    other.watch(0, &[(0, "notes:list")]).await;
    other.next().await;
    other.mutate(0, "notes:add", json!({ "text": "x" })).await;
    other.until(0, |value| *value == json!(["x"])).await;
    other.socket.close(None).await.unwrap();
    other.close().await;
    // The bytes it took before count as taken when its time begins.
    while app.server.metric("sync_connections") > 0.0 {
        app.server.clock.advance(SyncOptions::default().stall_max);
        tokio::task::yield_now().await;
    }
    assert_eq!(app.server.live.census().subscribers, 0);
}

/// A client that does not read while its results change gets the newest state when it reads again. Of the states in
/// between it gets at most those already written.
#[tokio::test]
async fn a_slow_reader_is_told_the_newest_state_and_little_of_what_came_before() {
    let app = App::start();
    let mut slow = app
        .server
        .connect_with(ClientFeatures::default(), 1 << 10)
        .await;
    slow.watch(0, &[(0, "notes:list"), (1, "notes:count")])
        .await;
    slow.next().await;
    let mut writer = connected(&app).await;
    writer.watch(0, &[(0, "notes:count")]).await;
    let changes = 3_000;
    let text = "x".repeat(200);
    for n in 0..changes {
        writer.mutate(n, "notes:add", json!({ "text": text })).await;
        // A few at a time: each batch of the committer is a change of its own.
        if n % 4 == 3 {
            for _ in 0..4 {
                writer.next_of("MutationResponse").await;
            }
        }
    }
    writer
        .until(0, |value| *value == json!(f64::from(changes)))
        .await;
    let told_before = app.server.metric("sync_transitions_total");
    let told = slow
        .until(1, |value| *value == json!(f64::from(changes)))
        .await;
    // The messages in the pipe and the write buffer, the one being written, and the newest.
    assert!(told.len() < 100, "{} Transitions", told.len());
    assert!(told_before < f64::from(changes) * 2.0);
    let last = told.iter().rev().find_map(|transition| {
        results(transition)
            .into_iter()
            .find_map(|(id, value)| (id == 0).then_some(value))
    });
    assert_eq!(last.unwrap().as_array().unwrap().len(), changes as usize);
    for pair in told.windows(2) {
        assert_eq!(pair[0]["endVersion"], pair[1]["startVersion"]);
    }
}
