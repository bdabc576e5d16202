//! Many people sign in for the first time at once.

use futures_util::future::join_all;
use serde_json::json;
use vestibule_client::Connection;
use vestibule_schema::value::{Object, Value};
use vestibule_schema::wire::{
    AddQuery, Args, Authenticate, ClientMessage, Credential, ModifyQuerySet, PathText, QueryId,
    QuerySetModification, ServerMessage, StateModification, Transition,
};
use vestibule_tests::process::Chat;

/// Connects, signs in and watches `users:me`, all in one breath. Returns the name in the very first result.
async fn first_login(chat: &Chat, subject: &str) -> anyhow::Result<String> {
    Ok(sign_in(chat, subject).await?.1)
}

/// The same, with the connection left open.
async fn sign_in(chat: &Chat, subject: &str) -> anyhow::Result<(Connection, String)> {
    let mut connection = Connection::open(&chat.sync_url()).await?;
    authenticate(&mut connection, 0, chat.token(subject).await?).await?;
    let me = AddQuery {
        query_id: QueryId(0),
        path: PathText::new("users:me"),
        args: Args::Ok(vec![Value::Object(Object::new())]),
        journal: None,
        component_path: None,
    };
    let modifications = vec![QuerySetModification::Add(me)];
    let modify = ModifyQuerySet {
        base_version: 0,
        new_version: 1,
        modifications,
    };
    connection
        .send(&ClientMessage::ModifyQuerySet(modify))
        .await?;
    loop {
        match &next_transition(&mut connection).await?.modifications[..] {
            // A client whose messages come in late is told early that it is signed in.
            [] => {}
            [
                StateModification::QueryUpdated {
                    value: Value::Object(user),
                    ..
                },
            ] => {
                let name = user["name"].as_str().unwrap_or_default().to_string();
                return Ok((connection, name));
            }
            other => anyhow::bail!("the first result of {subject} is {other:?}"),
        }
    }
}

async fn authenticate(
    connection: &mut Connection,
    base_version: u32,
    token: String,
) -> anyhow::Result<()> {
    let authenticate = Authenticate {
        base_version,
        credential: Credential::User(token),
    };
    let message = ClientMessage::Authenticate(authenticate);
    Ok(connection.send(&message).await?)
}

async fn next_transition(connection: &mut Connection) -> anyhow::Result<Transition> {
    match connection.next().await? {
        ServerMessage::Transition(transition) => Ok(transition),
        other => anyhow::bail!("the server said {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_first_logins_at_once_each_see_their_own_user_in_the_first_result() {
    const PEOPLE: usize = 1_000;
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let names: Vec<String> = (0..PEOPLE)
        .map(|number| format!("person-{number}"))
        .collect();
    let logins = join_all(names.iter().map(|name| first_login(&chat, name))).await;
    for (name, seen) in names.iter().zip(logins) {
        assert_eq!(&seen.unwrap(), name);
    }
    assert_eq!(
        chat.query("users:count", json!({})).await.unwrap(),
        json!(PEOPLE as f64)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_person_on_two_hundred_sockets_is_one_user() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    for seen in join_all((0..200).map(|_| first_login(&chat, "ada"))).await {
        assert_eq!(seen.unwrap(), "ada");
    }
    assert_eq!(
        chat.query("users:count", json!({})).await.unwrap(),
        json!(1.0)
    );
}

#[tokio::test]
async fn a_first_touch_over_http_passes_the_same_gate() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let token = chat.token("ada").await.unwrap();
    let calls = (0..20).map(|_| chat.call("query", "users:me", json!({}), Some(&token)));
    for user in join_all(calls).await {
        assert_eq!(user.unwrap()["name"], "ada");
    }
    assert_eq!(
        chat.query("users:count", json!({})).await.unwrap(),
        json!(1.0)
    );
}

#[tokio::test]
async fn a_known_user_costs_no_write_and_a_refresh_runs_nothing() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let (mut connection, _) = sign_in(&chat, "ada").await.unwrap();
    let counters = [
        r#"vestibule_functions_runs_total{path="users:ensureUser",kind="Mutation"}"#,
        r#"vestibule_functions_runs_total{path="users:me",kind="Query"}"#,
        "vestibule_durable_ts",
    ];
    let before = chat.metrics(&counters).await.unwrap();
    for base_version in 1..=5 {
        let token = chat.token("ada").await.unwrap();
        authenticate(&mut connection, base_version, token)
            .await
            .unwrap();
        let told = next_transition(&mut connection).await.unwrap();
        assert_eq!(told.end_version.identity, base_version + 1);
        assert!(told.modifications.is_empty());
    }
    for _ in 0..5 {
        assert_eq!(first_login(&chat, "ada").await.unwrap(), "ada");
    }
    assert_eq!(chat.metrics(&counters).await.unwrap(), before);
    let [known, runs] = [
        "vestibule_gate_known_total",
        r#"vestibule_gate_outcomes_total{outcome="Provisioned"}"#,
    ];
    assert_eq!(chat.metrics(&[known, runs]).await.unwrap(), [10.0, 1.0]);
}
