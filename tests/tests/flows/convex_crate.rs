//! The official Rust client, as it is on crates.io, against the chat.

use std::collections::BTreeMap;
use std::time::Duration;

use convex::{ConvexClient, FunctionResult, Value};
use futures_util::StreamExt;
use vestibule_tests::proxy::Proxy;

fn args(pairs: &[(&str, &str)]) -> BTreeMap<String, Value> {
    pairs
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(value.to_string())))
        .collect()
}

fn value(result: FunctionResult) -> Value {
    match result {
        FunctionResult::Value(value) => value,
        other => panic!("expected a value, got {other:?}"),
    }
}

fn field<'v>(value: &'v Value, name: &str) -> &'v Value {
    match value {
        Value::Object(fields) => &fields[name],
        other => panic!("expected an object, got {other:?}"),
    }
}

#[tokio::test]
async fn the_official_crate_signs_in_for_the_first_time_and_its_first_result_knows_its_user() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let mut client = ConvexClient::new(chat.url()).await.unwrap();
    client
        .set_auth(Some(chat.token("ada").await.unwrap()))
        .await;
    let mut me = client.subscribe("users:me", BTreeMap::new()).await.unwrap();
    let first = value(me.next().await.unwrap());
    assert_eq!(field(&first, "name"), &Value::from("ada".to_string()));

    client
        .mutation("users:rename", args(&[("name", "Ada L.")]))
        .await
        .unwrap();
    loop {
        let renamed = value(me.next().await.unwrap());
        if field(&renamed, "name") == &Value::from("Ada L.".to_string()) {
            break;
        }
    }
}

#[tokio::test]
async fn two_official_crates_see_each_others_messages() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let mut ada = ConvexClient::new(chat.url()).await.unwrap();
    ada.set_auth(Some(chat.token("ada").await.unwrap())).await;
    let mut grace = ConvexClient::new(chat.url()).await.unwrap();
    grace
        .set_auth(Some(chat.token("grace").await.unwrap()))
        .await;
    let mut messages = grace
        .subscribe("messages:list", args(&[("channel", "general")]))
        .await
        .unwrap();
    assert_eq!(
        value(messages.next().await.unwrap()),
        Value::Array(Vec::new())
    );

    value(
        ada.mutation(
            "messages:send",
            args(&[("channel", "general"), ("body", "hello")]),
        )
        .await
        .unwrap(),
    );
    let Value::Array(list) = value(messages.next().await.unwrap()) else {
        panic!("not a list")
    };
    assert_eq!(field(&list[0], "body"), &Value::from("hello".to_string()));
    assert_eq!(
        field(field(&list[0], "author"), "name"),
        &Value::from("ada".to_string())
    );
}

#[tokio::test]
async fn a_failure_reaches_the_official_crate_with_its_data() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let mut nobody = ConvexClient::new(chat.url()).await.unwrap();
    let answer = nobody
        .mutation(
            "messages:send",
            args(&[("channel", "general"), ("body", "hello")]),
        )
        .await
        .unwrap();
    let FunctionResult::ConvexError(error) = answer else {
        panic!("expected an application error, got {answer:?}")
    };
    assert_eq!(
        field(&error.data, "code"),
        &Value::from("Unauthenticated".to_string())
    );
    let missing = nobody
        .query("messages:nosuch", BTreeMap::new())
        .await
        .unwrap();
    let FunctionResult::ErrorMessage(text) = missing else {
        panic!("expected an error, got {missing:?}")
    };
    assert!(
        text.contains("Could not find public function for 'messages:nosuch'"),
        "{text}"
    );
}

#[tokio::test]
async fn the_official_crate_signs_out_and_in_as_another() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let mut client = ConvexClient::new(chat.url()).await.unwrap();
    let mut me = client.subscribe("users:me", BTreeMap::new()).await.unwrap();
    assert_eq!(value(me.next().await.unwrap()), Value::Null);
    for name in ["ada", "grace"] {
        client.set_auth(Some(chat.token(name).await.unwrap())).await;
        let user = value(me.next().await.unwrap());
        assert_eq!(field(&user, "name"), &Value::from(name.to_string()));
    }
    client.set_auth(None).await;
    assert_eq!(value(me.next().await.unwrap()), Value::Null);
}

#[tokio::test]
async fn the_official_crate_lives_through_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let options = super::chat(data.path()).arguments(&["--listen", &super::free_address()]);
    let chat = options.start().unwrap();
    let mut client = ConvexClient::new(chat.url()).await.unwrap();
    client
        .set_auth(Some(chat.token("ada").await.unwrap()))
        .await;
    let mut messages = client
        .subscribe("messages:list", args(&[("channel", "general")]))
        .await
        .unwrap();
    assert_eq!(
        value(messages.next().await.unwrap()),
        Value::Array(Vec::new())
    );
    value(
        client
            .mutation(
                "messages:send",
                args(&[("channel", "general"), ("body", "before")]),
            )
            .await
            .unwrap(),
    );
    chat.kill();

    let _chat = options.start().unwrap();
    value(
        client
            .mutation(
                "messages:send",
                args(&[("channel", "general"), ("body", "after")]),
            )
            .await
            .unwrap(),
    );
    loop {
        let Value::Array(list) = value(messages.next().await.unwrap()) else {
            panic!("not a list")
        };
        let bodies: Vec<&Value> = list.iter().map(|message| field(message, "body")).collect();
        if bodies.len() == 2 {
            assert_eq!(
                bodies,
                [
                    &Value::from("after".to_string()),
                    &Value::from("before".to_string())
                ]
            );
            break;
        }
    }
}

/// The crate (0.10) does not end at a fatal error. It connects again with its backoff and sends the message again for as
/// long as the program lives. The server refuses it by its length each time, and serves the others.
#[tokio::test]
async fn the_official_crate_repeats_a_message_that_is_too_long_and_harms_nobody_else() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let proxy = Proxy::start(chat.url()).await.unwrap();
    let mut insistent = ConvexClient::new(&proxy.url()).await.unwrap();
    let mut ada = ConvexClient::new(chat.url()).await.unwrap();
    ada.set_auth(Some(chat.token("ada").await.unwrap())).await;

    let body = "x".repeat((64 << 20) + 1);
    let sending = tokio::spawn(async move {
        let too_long = args(&[("channel", "general"), ("body", &body)]);
        // The crate answers with nothing or with "channel closed", as its tasks happen to run. Either way it repeats.
        let answer = insistent.mutation("messages:send", too_long).await;
        assert!(answer.is_err(), "{answer:?}");
        std::future::pending::<()>().await;
    });
    for tries in 2..=3 {
        while proxy.accepted() < tries {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let sent = ada.mutation(
            "messages:send",
            args(&[("channel", "general"), ("body", "hello")]),
        );
        value(sent.await.unwrap());
    }
    assert!(!sending.is_finished());
    sending.abort();
}
