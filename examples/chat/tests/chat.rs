//! The chat's functions, as its users call them, without a network.

use serde::Deserialize;
use vestibule_server::prelude::*;
use vestibule_server::testing::{TestApp, TestUser};

#[derive(Debug, Deserialize)]
struct Shown {
    author: Author,
    body: String,
}

#[derive(Debug, Deserialize)]
struct Author {
    name: String,
}

fn in_general() -> Object {
    object! { "channel" => "general" }
}

async fn send(user: &TestUser, body: &str) -> Result<String> {
    let message = object! { "channel" => "general", "body" => body };
    user.mutation("messages:send", message).await
}

/// The code of an error that the chat tells its clients.
fn code(error: &Error) -> Option<&str> {
    let Some(Value::Object(data)) = error.data() else {
        return None;
    };
    data.get("code").and_then(Value::as_str)
}

#[tokio::test]
async fn a_message_is_shown_to_everybody_with_its_authors_present_name() {
    let app = TestApp::start(chat::app(None)).await.unwrap();
    let (ada, bob) = (
        app.sign_in("Ada").await.unwrap(),
        app.sign_in("Bob").await.unwrap(),
    );
    let mut shown = bob
        .subscribe::<Vec<Shown>>("messages:list", in_general())
        .unwrap();
    assert!(shown.next().await.unwrap().is_empty());
    send(&ada, "Hello").await.unwrap();
    let messages = shown.until(|messages| !messages.is_empty()).await.unwrap();
    assert_eq!(messages[0].body, "Hello");
    assert_eq!(messages[0].author.name, "Ada");
    let rename = object! { "name" => "Countess" };
    ada.mutation::<()>("users:rename", rename).await.unwrap();
    let renamed = |messages: &Vec<Shown>| messages[0].author.name == "Countess";
    shown.until(renamed).await.unwrap();
}

#[tokio::test]
async fn a_first_login_makes_one_user_however_often_it_happens() {
    let app = TestApp::start(chat::app(None)).await.unwrap();
    for _ in 0..2 {
        let ada = app.sign_in("Ada").await.unwrap();
        let me: Object = ada.query("users:me", ()).await.unwrap();
        assert_eq!(me["name"], Value::from("Ada"));
    }
    let count: f64 = app.signed_out().query("users:count", ()).await.unwrap();
    assert_eq!(count, 1.0);
}

#[tokio::test]
async fn who_is_not_invited_is_refused_and_makes_no_user() {
    let app = TestApp::start(chat::app(Some("chat.example".into()))).await;
    let app = app.unwrap();
    let refused = app.sign_in("Ada").await.err().unwrap();
    assert_eq!(code(&refused), Some("NotInvited"));
    let count: f64 = app.signed_out().query("users:count", ()).await.unwrap();
    assert_eq!(count, 0.0);
    let invited = object! { "name" => "Bob", "email" => "bob@chat.example" };
    let bob = app.sign_in_with("bob", invited).await.unwrap();
    send(&bob, "Hello").await.unwrap();
    let refused = send(&app.signed_out(), "Hello").await.unwrap_err();
    assert_eq!(code(&refused), Some("Unauthenticated"));
}
