//! Every message in every state of the gate: it is answered, refused or held, never met with silence.

use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::apps::App;
use super::harness::{Client, SESSION, add, remove, results, version};
use futures_util::SinkExt;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// The client has not even said Connect.
    Silent,
    Anonymous,
    Pending,
    Provisioned,
}

const STATES: [State; 4] = [
    State::Silent,
    State::Anonymous,
    State::Pending,
    State::Provisioned,
];

/// A client in a state, what the server said on the way there read.
struct Scene {
    app: App,
    client: Client,
    state: State,
    /// Authenticates sent.
    identity: u32,
}

impl Scene {
    async fn set(state: State) -> Scene {
        let app = App::start();
        let mut client = app.server.connect().await;
        if state != State::Silent {
            client.say_connect().await;
        }
        let mut identity = 0;
        if matches!(state, State::Pending | State::Provisioned) {
            identity = 1;
            match state {
                State::Pending => app.hooks.ensuring.close(),
                _ => client.modify(0, vec![]).await,
            }
            client.authenticate(0, &app.server.token("ada")).await;
            match state {
                State::Pending => app.hooks.ensuring.reached(1).await,
                _ => assert_eq!(version(&client.next().await, "endVersion"), (1, 1)),
            }
        }
        Scene {
            app,
            client,
            state,
            identity,
        }
    }

    fn query_set(&self) -> u32 {
        u32::from(self.state == State::Provisioned)
    }

    /// Opens the gate, where it is closed.
    fn let_in(&self) {
        self.app.hooks.ensuring.open();
    }

    /// The identity that functions see.
    fn who(&self) -> Json {
        match self.state {
            State::Silent | State::Anonymous => json!(null),
            State::Pending | State::Provisioned => json!("ada"),
        }
    }
}

#[tokio::test]
async fn connect_is_not_answered_and_may_be_repeated() {
    for state in STATES {
        let mut scene = Scene::set(state).await;
        scene.client.say_connect().await;
        scene.let_in();
        let base = scene.query_set();
        scene.client.watch(base, &[(0, "users:me")]).await;
        let transition = scene.client.next_of("Transition").await;
        assert_eq!(results(&transition), [(0, scene.who())], "{state:?}");
    }
}

#[tokio::test]
async fn an_event_is_not_answered_whatever_its_kind() {
    for state in STATES {
        let mut scene = Scene::set(state).await;
        for event in [json!([]), json!(null), json!({ "a": 1 })] {
            scene
                .client
                .send(json!({ "type": "Event", "eventType": "Whatever", "event": event }))
                .await;
        }
        scene
            .client
            .send(json!({ "type": "Event", "eventType": "NoBody" }))
            .await;
        scene.let_in();
        let base = scene.query_set();
        scene.client.watch(base, &[(0, "users:me")]).await;
        let transition = scene.client.next_of("Transition").await;
        assert_eq!(results(&transition), [(0, scene.who())], "{state:?}");
    }
}

#[tokio::test]
async fn signing_out_is_acknowledged_by_the_next_transition() {
    for state in STATES {
        let mut scene = Scene::set(state).await;
        let base = scene.query_set();
        scene.client.sign_out(scene.identity).await;
        scene.client.watch(base, &[(0, "users:me")]).await;
        let mut identity = 0;
        while identity < scene.identity + 1 {
            let transition = scene.client.next_of("Transition").await;
            identity = version(&transition, "endVersion").1 as u32;
            if version(&transition, "endVersion").0 as u32 == base + 1 {
                assert_eq!(results(&transition), [(0, json!(null))], "{state:?}");
            }
        }
        assert_eq!(identity, scene.identity + 1, "{state:?}");
        scene.let_in();
    }
}

#[tokio::test]
async fn signing_in_is_acknowledged_when_the_gate_has_opened() {
    for state in STATES {
        let mut scene = Scene::set(state).await;
        let base = scene.query_set();
        let token = scene.app.server.token("grace");
        scene.client.authenticate(scene.identity, &token).await;
        scene.client.watch(base, &[(0, "users:me")]).await;
        scene.let_in();
        let transition = scene.client.next_of("Transition").await;
        let acknowledged = (u64::from(base) + 1, u64::from(scene.identity) + 1);
        assert_eq!(
            version(&transition, "endVersion"),
            acknowledged,
            "{state:?}"
        );
        assert_eq!(results(&transition), [(0, json!("grace"))], "{state:?}");
    }
}

#[tokio::test]
async fn a_rejected_auth_token_is_told_with_the_version_it_was_to_replace() {
    for state in STATES {
        let mut scene = Scene::set(state).await;
        scene
            .client
            .authenticate(scene.identity, "not a token")
            .await;
        let error = scene.client.next_of("AuthError").await;
        assert_eq!(
            (&error["baseVersion"], &error["authUpdateAttempted"]),
            (&json!(scene.identity), &json!(true)),
            "{state:?}"
        );
        assert_eq!(scene.client.close().await, None, "{state:?}");
        scene.let_in();
    }
}

#[tokio::test]
async fn an_authenticate_out_of_step_closes_with_an_internal_error() {
    for state in STATES {
        for ahead in [1, 7] {
            let mut scene = Scene::set(state).await;
            scene.client.sign_out(scene.identity + ahead).await;
            let closed = Some((1011, "InternalServerError".to_string()));
            assert_eq!(scene.client.close().await, closed, "{state:?}");
            scene.let_in();
        }
    }
    let mut scene = Scene::set(State::Provisioned).await;
    scene.client.sign_out(0).await;
    assert_eq!(
        scene.client.close().await,
        Some((1011, "InternalServerError".to_string()))
    );
}

#[tokio::test]
async fn a_query_set_out_of_step_ends_the_client() {
    for state in STATES {
        let current = if state == State::Provisioned { 1 } else { 0 };
        for (base, new) in [
            (current + 1, current + 2),
            (current, current),
            (current + 4, current),
        ] {
            let mut scene = Scene::set(state).await;
            let message = json!({ "type": "ModifyQuerySet", "baseVersion": base, "newVersion": new, "modifications": [] });
            scene.client.send(message).await;
            let fatal = scene.client.next_of("FatalError").await;
            assert!(
                fatal["error"]
                    .as_str()
                    .unwrap()
                    .starts_with("BaseVersionMismatch"),
                "{state:?}: {fatal}"
            );
            assert_eq!(scene.client.close().await, None, "{state:?}");
            scene.let_in();
        }
    }
}

#[tokio::test]
async fn queries_are_answered_once_the_gate_lets_them() {
    for state in STATES {
        let mut scene = Scene::set(state).await;
        let base = scene.query_set();
        let adds = vec![
            add(0, "users:me", json!({})),
            add(1, "notes:count", json!({})),
            add(2, "no:such", json!({})),
            add(3, "notes:list", json!({})),
            remove(3),
            remove(99),
        ];
        scene.client.modify(base, adds).await;
        scene.let_in();
        let transition = scene.client.next_of("Transition").await;
        assert_eq!(
            version(&transition, "endVersion").0,
            u64::from(base) + 1,
            "{state:?}"
        );
        let by_id: std::collections::BTreeMap<u32, Json> =
            results(&transition).into_iter().collect();
        assert_eq!(by_id[&0], scene.who(), "{state:?}");
        assert_eq!(by_id[&1], json!(0.0), "{state:?}");
        assert_eq!(by_id[&2]["type"], "QueryFailed", "{state:?}");
        assert_eq!(by_id[&3]["type"], "QueryRemoved", "{state:?}");
    }
}

#[tokio::test]
async fn mutations_and_actions_run_once_the_gate_lets_them_and_as_whom_it_let_in() {
    for state in STATES {
        let mut scene = Scene::set(state).await;
        scene.client.mutate(0, "users:whoami", json!({})).await;
        scene.client.act(1, "users:act", json!({})).await;
        if state == State::Pending {
            assert_eq!(scene.app.hooks.starts_of("users:whoami"), []);
            assert_eq!(scene.app.hooks.starts_of("users:act"), []);
        }
        scene.let_in();
        let (mut mutation, mut action) = (None, None);
        while mutation.is_none() || action.is_none() {
            let message = scene.client.next().await;
            match message["type"].as_str().unwrap() {
                "MutationResponse" => mutation = Some(message["result"].clone()),
                "ActionResponse" => action = Some(message["result"].clone()),
                _ => {}
            }
        }
        assert_eq!(
            (mutation, action),
            (Some(scene.who()), Some(scene.who())),
            "{state:?}"
        );
        assert_eq!(scene.app.hooks.starts_of("users:whoami").len(), 1);
        assert_eq!(scene.app.hooks.starts_of("users:act").len(), 1);
    }
}

#[tokio::test]
async fn a_malformed_message_ends_the_client_and_a_binary_one_the_connection() {
    let malformed = [
        "",
        "null",
        "[]",
        "{}",
        "{\"type\":",
        "{\"type\":7}",
        "{\"type\":\"Dance\"}",
        "{\"type\":\"Connect\"}",
        "{\"type\":\"Connect\",\"sessionId\":\"not a uuid\",\"connectionCount\":0}",
        "{\"type\":\"Mutation\",\"udfPath\":\"a:b\",\"args\":[{}]}",
        "{\"type\":\"Mutation\",\"requestId\":-1,\"udfPath\":\"a:b\",\"args\":[{}]}",
        "{\"type\":\"ModifyQuerySet\",\"baseVersion\":0,\"newVersion\":1}",
        "{\"type\":\"Authenticate\",\"baseVersion\":0,\"tokenType\":\"User\"}",
        "{\"type\":\"Authenticate\",\"baseVersion\":0,\"tokenType\":\"King\",\"value\":\"x\"}",
    ];
    for state in STATES {
        for text in malformed {
            // A new scene for each would be slow; a second client on the scene's server is in the silent state.
            let mut scene = Scene::set(state).await;
            scene.client.send_text(text.to_string()).await;
            let fatal = scene.client.next_of("FatalError").await;
            assert!(
                fatal["error"]
                    .as_str()
                    .unwrap()
                    .starts_with("WSMessageInvalidJson"),
                "{state:?} {text}: {fatal}"
            );
            assert_eq!(scene.client.close().await, None, "{state:?} {text}");
            scene.let_in();
        }
        let mut scene = Scene::set(state).await;
        scene
            .client
            .socket
            .send(Message::Binary(Bytes::from_static(b"{}")))
            .await
            .unwrap();
        assert_eq!(
            scene.client.close().await,
            Some((1003, "BinaryNotSupported".to_string())),
            "{state:?}"
        );
        scene.let_in();
    }
}

#[tokio::test]
async fn a_refused_client_hears_nothing_more_whatever_it_sends() {
    let app = App::start();
    let mut client = app.server.connect().await;
    client.say_connect().await;
    client.authenticate(0, &app.server.token("stranger")).await;
    // Sent before it knows.
    client.watch(0, &[(0, "users:me")]).await;
    client.mutate(0, "users:whoami", json!({})).await;
    client.act(1, "users:act", json!({})).await;
    let said = [
        client.next().await,
        client.next().await,
        client.next().await,
    ];
    let kinds: Vec<&str> = said
        .iter()
        .map(|message| message["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["MutationResponse", "ActionResponse", "AuthError"]);
    assert!(
        said[..2]
            .iter()
            .all(|message| message["errorData"]["reason"] == "refused")
    );
    assert_eq!(client.next_or_close().await, Err(None));
    assert_eq!(
        app.hooks.starts_of("users:whoami").len() + app.hooks.starts_of("users:act").len(),
        0
    );
    assert_eq!(app.hooks.starts_of("users:me"), []);
    let again = json!({ "type": "Connect", "sessionId": SESSION });
    let mut other = app.server.connect().await;
    other.send(again).await;
    other.watch(0, &[(0, "users:me")]).await;
    assert_eq!(results(&other.next().await), [(0, json!(null))]);
}
