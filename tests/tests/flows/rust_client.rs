//! Our own Rust client against the chat: the steps, live queries, mutations.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokio::time::timeout;
use vestibule_client::{
    CallError, Client, ConnectError, EnsureUserError, FixedToken, LoginStatus, Pagination,
    Provisioned, Subscription, SubscriptionError, Unprovisioned, Value, object,
};
use vestibule_tests::process::{Chat, mint_token};
use vestibule_tests::proxy::Proxy;

/// Far more than anything here takes, so that a test that hangs fails instead.
const LONG: Duration = Duration::from_secs(120);

/// Signs in as `subject`.
pub async fn sign_in(chat: &Chat, subject: &str) -> Client<Provisioned> {
    let token = FixedToken(chat.token(subject).await.unwrap());
    timeout(LONG, Client::sign_in(chat.url(), token))
        .await
        .expect("the sign-in ends")
        .unwrap()
}

/// The next item of a subscription.
pub async fn next<T: serde::de::DeserializeOwned>(
    subscription: &mut Subscription<T>,
) -> Result<T, SubscriptionError> {
    timeout(LONG, subscription.next())
        .await
        .expect("the subscription has news")
        .expect("the subscription goes on")
}

/// The texts of the messages in a result of `messages:list`, newest first.
pub fn bodies(messages: &[Value]) -> Vec<String> {
    messages
        .iter()
        .map(|message| body(message).to_string())
        .collect()
}

fn body(message: &Value) -> &str {
    message.as_object().unwrap()["body"].as_str().unwrap()
}

pub fn general() -> vestibule_client::Object {
    object! { "channel" => "general" }
}

pub fn message(body: &str) -> vestibule_client::Object {
    object! { "channel" => "general", "body" => body }
}

#[tokio::test]
async fn the_steps_lead_to_a_user_who_exists() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let client = Client::connect(chat.url()).await.unwrap();
    let people: f64 = client
        .without_user()
        .query("users:count", ())
        .await
        .unwrap();
    assert_eq!(people, 0.0);

    let token = FixedToken(chat.token("ada").await.unwrap());
    let client = client.authenticate(token).await.unwrap();
    let people: f64 = client
        .without_user()
        .query("users:count", ())
        .await
        .unwrap();
    assert_eq!(people, 0.0, "the token is in hand and nobody was made yet");

    let client = client.ensure_user().await.unwrap();
    assert_eq!(client.status().borrow().login, LoginStatus::Provisioned);
    let me: Value = client.query("users:me", ()).await.unwrap();
    let me = me.as_object().unwrap();
    assert_eq!(me["name"], Value::from("ada"));
    assert_eq!(me["_id"], client.user::<Value>().unwrap());
}

#[tokio::test]
async fn a_refused_user_keeps_the_client_and_is_let_in_on_a_later_try() {
    let data = tempfile::tempdir().unwrap();
    let address = super::free_address();
    let options = |domain: &str| {
        super::chat(data.path())
            .arguments(&["--listen", &address])
            .variable("CHAT_INVITE_DOMAIN", domain)
    };
    let chat = options("elsewhere.example").start().unwrap();
    let ada = json!({ "subject": "ada", "name": "ada", "email": "ada@here.example" });
    let token = FixedToken(chat.token_for(ada).await.unwrap());
    let client = Client::connect(chat.url()).await.unwrap();
    let client = client.authenticate(token).await.unwrap();

    let refused = client.ensure_user().await.unwrap_err();
    let EnsureUserError::Unprovisioned(Unprovisioned::Refused(error)) = &refused.reason else {
        panic!("expected a refusal, got {:?}", refused.reason)
    };
    let data = error.data.as_ref().unwrap().as_object().unwrap();
    assert_eq!(data["code"], Value::from("NotInvited"));
    let client = refused.client;
    assert!(matches!(
        client.status().borrow().login,
        LoginStatus::Unprovisioned(Unprovisioned::Refused(_))
    ));
    let people: f64 = client
        .without_user()
        .query("users:count", ())
        .await
        .unwrap();
    assert_eq!(people, 0.0, "the client goes on as nobody");
    let client = client.ensure_user().await.unwrap_err().client;

    chat.kill();
    let _chat = options("here.example").start().unwrap();
    let client = timeout(LONG, client.ensure_user()).await.unwrap().unwrap();
    let me: Value = client.query("users:me", ()).await.unwrap();
    assert_eq!(me.as_object().unwrap()["name"], Value::from("ada"));
}

#[tokio::test]
async fn a_forged_token_is_rejected_and_a_text_that_is_no_token_never_leaves() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let client = Client::connect(chat.url()).await.unwrap();
    let client = client
        .authenticate(FixedToken("no token".to_string()))
        .await
        .unwrap_err()
        .client;
    let mut forged = chat.token("ada").await.unwrap();
    let signature = forged.rfind('.').unwrap();
    forged.truncate(signature);
    let client = client
        .authenticate(FixedToken(format!("{forged}.c2ln")))
        .await
        .unwrap();
    let rejected = timeout(LONG, client.ensure_user()).await.unwrap();
    assert!(matches!(
        rejected.unwrap_err().reason,
        EnsureUserError::Unprovisioned(Unprovisioned::TokenRejected { .. })
    ));
    assert_eq!(
        chat.query("users:count", json!({})).await.unwrap(),
        json!(0.0)
    );
}

#[tokio::test]
async fn equal_subscriptions_share_one_on_the_wire() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let client = sign_in(&chat, "ada").await;
    let mut first = client
        .subscribe::<Vec<Value>>("messages:list", general())
        .unwrap();
    assert!(next(&mut first).await.unwrap().is_empty());
    let before = chat.metric("vestibule_sync_results_total").await.unwrap();
    let mut second = client
        .clone()
        .subscribe::<Vec<Value>>("messages.js:list", general())
        .unwrap();
    assert!(next(&mut second).await.unwrap().is_empty());
    assert_eq!(
        chat.metric("vestibule_sync_results_total").await.unwrap(),
        before
    );

    let _: Value = client
        .mutation("messages:send", message("hello"))
        .await
        .unwrap();
    for subscription in [&mut first, &mut second] {
        assert_eq!(bodies(&next(subscription).await.unwrap()), ["hello"]);
    }
    assert_eq!(
        chat.metric("vestibule_sync_results_total").await.unwrap(),
        before + 1.0
    );

    // The one that is left goes on alone.
    drop(first);
    let _: Value = client
        .mutation("messages:send", message("again"))
        .await
        .unwrap();
    assert_eq!(
        bodies(&next(&mut second).await.unwrap()),
        ["again", "hello"]
    );
}

#[tokio::test]
async fn a_mutation_that_has_resolved_is_seen_in_every_subscription() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let client = sign_in(&chat, "ada").await;
    let messages = client
        .subscribe::<Vec<Value>>("messages:list", general())
        .unwrap();
    let sent: Vec<String> = (0..50).map(|number| format!("message {number}")).collect();
    for (number, text) in sent.iter().enumerate() {
        let _: Value = client
            .mutation("messages:send", message(text))
            .await
            .unwrap();
        let newest = messages.latest().unwrap().unwrap();
        assert_eq!(newest.len(), number + 1);
        assert_eq!(body(&newest[0]), text);
    }
}

#[tokio::test]
async fn mutations_run_in_the_order_in_which_they_were_sent() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let client = sign_in(&chat, "ada").await;
    let calls: Vec<_> = (0..40)
        .map(|number| {
            client
                .mutation::<Value>("messages:send", message(&number.to_string()))
                .send()
        })
        .collect();
    futures_util::future::try_join_all(calls).await.unwrap();
    let messages: Vec<Value> = client.query("messages:list", general()).await.unwrap();
    let expected: Vec<String> = (0..40).rev().map(|number| number.to_string()).collect();
    assert_eq!(bodies(&messages), expected);
}

#[tokio::test]
async fn what_a_function_throws_and_what_cannot_be_called_are_told_apart() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let client = sign_in(&chat, "ada").await;
    let thrown = client
        .mutation::<Value>("messages:send", message(" "))
        .await
        .unwrap_err();
    let CallError::Function(error) = thrown else {
        panic!("{thrown:?}")
    };
    let data = error.data.unwrap();
    assert_eq!(
        data.as_object().unwrap()["code"],
        Value::from("InvalidBody")
    );

    let missing = client
        .query::<Value>("messages:nosuch", ())
        .await
        .unwrap_err();
    assert!(matches!(missing, CallError::Function(error) if error.data.is_none()));
    let no_path = client
        .query::<Value>("messages::list", ())
        .await
        .unwrap_err();
    assert!(matches!(no_path, CallError::Path(_)), "{no_path:?}");
    let no_args = client.query::<Value>("messages:list", 7).await.unwrap_err();
    assert!(matches!(no_args, CallError::Args(_)), "{no_args:?}");
    let other_type = client.query::<bool>("users:count", ()).await.unwrap_err();
    assert!(matches!(other_type, CallError::Result(_)), "{other_type:?}");
}

#[tokio::test]
async fn an_optimistic_update_is_shown_at_once_and_taken_back_when_the_mutation_fails() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let client = sign_in(&chat, "ada").await;
    let mut messages = client
        .subscribe::<Vec<Value>>("messages:list", general())
        .unwrap();
    assert!(next(&mut messages).await.unwrap().is_empty());
    for (text, succeeds) in [(" ", false), ("hello", true)] {
        let sent = client
            .mutation::<Value>("messages:send", message(text))
            .optimistic(|store| {
                store.update("messages:list", &general(), |messages: &mut Vec<Value>| {
                    messages.insert(0, object! { "body" => "on its way" }.into());
                });
            })
            .send();
        let shown = next(&mut messages).await.unwrap();
        assert_eq!(bodies(&shown), ["on its way"]);
        assert_eq!(sent.await.is_ok(), succeeds);
        let settled = bodies(&messages.latest().unwrap().unwrap());
        match succeeds {
            true => assert_eq!(settled, ["hello"]),
            false => assert!(settled.is_empty()),
        }
        assert_eq!(bodies(&next(&mut messages).await.unwrap()), settled);
    }
}

#[tokio::test]
async fn pages_grow_without_gaps_and_are_split() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let client = sign_in(&chat, "ada").await;
    for number in 0..7 {
        let _: Value = client
            .mutation("messages:send", message(&number.to_string()))
            .await
            .unwrap();
    }
    let mut pages = client
        .paginate::<Value>("messages:page", general(), 3)
        .unwrap();
    wait_for_bodies(&mut pages, &["6", "5", "4"]).await;
    pages.load_more();
    wait_for_bodies(&mut pages, &["6", "5", "4", "3", "2", "1"]).await;

    // The first page takes in what is new, and is split when it has grown to more than twice its size.
    for number in 7..12 {
        let _: Value = client
            .mutation("messages:send", message(&number.to_string()))
            .await
            .unwrap();
    }
    let all: Vec<String> = (1..12)
        .rev()
        .map(|number: u32| number.to_string())
        .collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    wait_for_bodies(&mut pages, &all).await;
    pages.load_more();
    let rest: Vec<&str> = all.iter().copied().chain(["0"]).collect();
    wait_for_bodies(&mut pages, &rest).await;
    assert!(!pages.latest().unwrap().unwrap().has_more);
}

async fn wait_for_bodies(pages: &mut Pagination<Value>, wanted: &[&str]) {
    loop {
        let shown = timeout(LONG, pages.next())
            .await
            .expect("the pages have news")
            .unwrap()
            .unwrap();
        let shown = bodies(&shown.items);
        let mut sorted: Vec<u32> = shown.iter().map(|body| body.parse().unwrap()).collect();
        sorted.sort_by(|one, other| other.cmp(one));
        sorted.dedup();
        let in_order: Vec<String> = sorted.iter().map(u32::to_string).collect();
        assert_eq!(shown, in_order, "a page overlaps another");
        if shown == wanted {
            return;
        }
    }
}

#[tokio::test]
async fn signing_out_ends_what_was_the_users() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let ada = sign_in(&chat, "ada").await;
    let clone = ada.clone();
    let mut me = ada.subscribe::<Value>("users:me", ()).unwrap();
    assert_eq!(
        next(&mut me).await.unwrap().as_object().unwrap()["name"],
        Value::from("ada")
    );
    let nobody = ada.sign_out();
    assert!(matches!(
        next(&mut me).await,
        Err(SubscriptionError::LoginEnded(_))
    ));
    assert!(me.next().await.is_none());
    let refused = clone.query::<Value>("users:me", ()).await.unwrap_err();
    assert!(
        matches!(refused, CallError::LoginEnded { .. }),
        "{refused:?}"
    );
    let who: Value = nobody.without_user().query("users:me", ()).await.unwrap();
    assert_eq!(who, Value::Null);
}

#[tokio::test]
async fn a_server_without_a_gate_is_provisioned_by_an_ordinary_call() {
    let data = tempfile::tempdir().unwrap();
    let config = vestibule_server::prelude::Config::for_tests(data.path());
    let invited = Some("here.example".to_string());
    let running = chat::app(invited)
        .without_provisioning()
        .start(config)
        .await
        .unwrap();
    let proxy = Proxy::start(&running.url()).await.unwrap();
    let token = |email: &'static str| {
        let ada = json!({ "subject": email, "name": "ada", "email": email });
        let url = running.url();
        async move { FixedToken(mint_token(&url, ada).await.unwrap()) }
    };

    let client = Client::connect(&proxy.url()).await.unwrap();
    let stranger = token("ada@elsewhere.example").await;
    let refused = client.authenticate(stranger).await.unwrap().ensure_user();
    let refused = refused.await.unwrap_err();
    assert!(matches!(
        refused.reason,
        EnsureUserError::Unprovisioned(Unprovisioned::Refused(_))
    ));

    let client = refused.client.sign_out();
    let client = client
        .authenticate(token("ada@here.example").await)
        .await
        .unwrap();
    let client = client.ensure_user().await.unwrap();
    let mut me = client.subscribe::<Value>("users:me", ()).unwrap();
    let first = next(&mut me).await.unwrap();
    assert_eq!(first.as_object().unwrap()["name"], Value::from("ada"));

    proxy.cut();
    let _: Value = client
        .mutation("users:rename", object! { "name" => "Ada L." })
        .await
        .unwrap();
    let renamed = me.latest().unwrap().unwrap();
    assert_eq!(renamed.as_object().unwrap()["name"], Value::from("Ada L."));
    running.shut_down().await;
}

#[tokio::test]
async fn a_client_that_nobody_holds_says_what_it_was_told_to_and_leaves() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let client = sign_in(&chat, "ada").await;
    let watched = client
        .subscribe::<Vec<Value>>("messages:list", general())
        .unwrap();
    drop(
        client
            .mutation::<Value>("messages:send", message("goodbye"))
            .send(),
    );
    drop(client);
    assert_eq!(
        chat.metric("vestibule_sync_connections").await.unwrap(),
        1.0,
        "a subscription holds the client"
    );
    drop(watched);
    let gone = async {
        while chat.metric("vestibule_sync_connections").await.unwrap() > 0.0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, gone).await.expect("the socket closes");
    let args = json!({ "channel": "general" });
    let stored = chat.query("messages:list", args).await.unwrap();
    assert_eq!(stored.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_address_where_no_deployment_is_is_told_by_what_is_wrong_with_it() {
    let address = super::free_address();
    let nothing = Client::connect(&format!("http://{address}")).await;
    assert!(matches!(nothing, Err(ConnectError::Connection(_))));
    let no_address = Client::connect("chat.example").await;
    assert!(matches!(no_address, Err(ConnectError::Address { .. })));

    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let encrypted = chat.url().replacen("http", "https", 1);
    let not_encrypted = timeout(LONG, Client::connect(&encrypted)).await.unwrap();
    assert!(matches!(not_encrypted, Err(ConnectError::Connection(_))));
}
