//! Connections of identities whose users are made outside the gate, such as by a webhook: the gate waits for the
//! document.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use vestibule_schema::object;
use vestibule_schema::table::Schema;
use vestibule_schema::value::{Object, Value};

use super::apps::User;
use super::harness::{Client, ISSUER, Server, results, version};
use crate::auth::Caller;
use crate::functions::{
    Call, CallSource, Function, FunctionOutcome, MutationCtx, QueryCtx, Result,
};
use crate::provisioning::Stated;
use crate::sync::SyncOptions;

#[derive(Deserialize)]
struct Made {
    token: String,
}

fn me(ctx: &mut QueryCtx<'_>, _: ()) -> Result<Option<String>> {
    let Some(who) = ctx.identity()? else {
        return Ok(None);
    };
    let users = ctx.db().query::<User>();
    let user = users
        .index(User::BY_TOKEN, who.token_identifier())
        .unique()?;
    Ok(Some(
        user.map_or("not found".to_owned(), |user| user.name.clone()),
    ))
}

fn functions() -> Vec<Function> {
    vec![
        Function::query("users:me", me),
        Function::query("users:count", |ctx: &mut QueryCtx<'_>, (): ()| {
            Ok(ctx.db().query::<User>().count()? as f64)
        }),
        Function::mutation("users:whoami", |ctx: &mut MutationCtx<'_>, (): ()| {
            Ok(ctx.identity()?.map(|who| who.subject().to_owned()))
        }),
        Function::mutation("hooks:make", |ctx: &mut MutationCtx<'_>, made: Made| {
            let token = made.token;
            let name = "made".to_owned();
            ctx.db().insert(User { name, token })?;
            Ok(())
        })
        .internal(),
        Function::mutation("hooks:clear", |ctx: &mut MutationCtx<'_>, (): ()| {
            for user in ctx.db().query::<User>().collect()? {
                ctx.db().delete(user.id)?;
            }
            Ok(())
        })
        .internal(),
    ]
}

fn start() -> Server {
    let stated = Stated::ByDeployment {
        with: None,
        when: Some("users.by_token:tokenIdentifier".to_owned()),
    };
    let options = SyncOptions {
        redact: false,
        ..SyncOptions::default()
    };
    Server::start_stated(Schema::new().table::<User>(), functions(), stated, options)
}

async fn hook(server: &Server, path: &str, args: Object) {
    let call = Call {
        path: path.parse().unwrap(),
        args: Value::Object(args),
        caller: Caller::nobody(),
        source: CallSource::Function(None),
    };
    let run = server.functions.mutate(call).await.unwrap();
    assert!(matches!(run.outcome, FunctionOutcome::Returned(_)));
}

/// As a provider's webhook does.
async fn make(server: &Server, subject: &str) {
    let token = format!("{ISSUER}|{subject}");
    hook(server, "hooks:make", object! { "token" => token }).await;
}

/// A client that has just signed in, its gate waiting.
async fn waiting(server: &Server, subject: &str) -> Client {
    let waited = server.metric("gate_waiting");
    let mut client = server.connect().await;
    client.say_connect().await;
    client.authenticate(0, &server.token(subject)).await;
    client
        .watch(0, &[(0, "users:me"), (1, "users:count")])
        .await;
    is_waiting(server, waited + 1.0).await;
    client
}

async fn is_waiting(server: &Server, connections: f64) {
    while server.metric("gate_waiting") < connections {
        tokio::task::yield_now().await;
    }
}

/// Waits until the server has taken up the messages sent by now: so many in all.
async fn received(server: &Server, messages: f64) {
    while server.metric("sync_received_total") < messages {
        tokio::task::yield_now().await;
    }
}

/// Lets time pass in steps in which a connection does what is due.
async fn pass(server: &Server, client: &mut Client, seconds: u64) {
    for _ in 0..seconds {
        server.clock.advance(Duration::from_secs(1));
        client.said_so_far().await;
    }
}

#[tokio::test]
async fn a1_a_webhooks_document_opens_the_gate_and_the_first_result_contains_the_user() {
    let server = start();
    let mut client = waiting(&server, "ada").await;
    client.mutate(0, "users:whoami", json!({})).await;
    make(&server, "ada").await;
    let answered = client.next_of("MutationResponse").await;
    assert_eq!(answered["result"], "ada");
    let first = client.next_of("Transition").await;
    assert_eq!(version(&first, "endVersion"), (1, 1));
    assert_eq!(results(&first), [(0, json!("made")), (1, json!(1.0))]);
}

#[tokio::test]
async fn w1_a_webhook_that_was_early_is_not_waited_for() {
    let server = start();
    make(&server, "ada").await;
    let mut client = server.connect().await;
    client.say_connect().await;
    client.authenticate(0, &server.token("ada")).await;
    client.watch(0, &[(0, "users:me")]).await;
    let first = client.next().await;
    assert_eq!(results(&first), [(0, json!("made"))]);
}

#[tokio::test]
async fn what_asks_for_nobody_moves_after_the_grace_and_pings_keep_the_socket() {
    let server = start();
    let mut client = waiting(&server, "ada").await;
    server.clock.advance(Duration::from_millis(250));
    let partial = client.next().await;
    assert_eq!(version(&partial, "endVersion"), (1, 0));
    assert_eq!(results(&partial), [(1, json!(0.0))]);
    server.clock.advance(Duration::from_secs(15));
    assert_eq!(client.next().await["type"], "Ping");
    make(&server, "ada").await;
    let opened = client.until(0, |me| *me == json!("made")).await;
    assert_eq!(version(opened.last().unwrap(), "endVersion"), (1, 1));
}

#[tokio::test]
async fn c16_a_wait_ends_after_a_minute_with_a_close_that_keeps_the_client_signed_in() {
    let server = start();
    let mut client = waiting(&server, "ada").await;
    server.clock.advance(Duration::from_secs(30));
    // A renewed token joins the wait.
    client.authenticate(1, &server.token("ada")).await;
    received(&server, 4.0).await;
    server.clock.advance(Duration::from_secs(30));
    assert_eq!(
        client.close().await,
        Some((1013, "ProvisioningMissing".to_owned()))
    );
}

#[tokio::test]
async fn one_whose_user_never_comes_is_refused_with_the_calls_that_waited() {
    let server = start();
    for _ in 0..9 {
        let mut client = waiting(&server, "ada").await;
        server.clock.advance(Duration::from_secs(60));
        let close = client.close().await;
        assert_eq!(close, Some((1013, "ProvisioningMissing".to_owned())));
    }
    let mut client = waiting(&server, "ada").await;
    client.mutate(0, "users:signUp", json!({})).await;
    received(&server, 31.0).await;
    server.clock.advance(Duration::from_secs(60));
    let rejected = client.next_of("MutationResponse").await;
    assert_eq!(
        rejected["errorData"],
        json!({
            "code": "NotProvisioned",
            "reason": "refused",
            "data": { "code": "UserMissing", "waiting": ["users:signUp"] },
        })
    );
    let error = client.next_of("AuthError").await;
    let text = error["error"].as_str().unwrap();
    for part in ["users.by_token", "users:signUp", "VESTIBULE_PROVISION_WITH"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn d1_and_d3_a_document_of_one_who_has_gone_opens_nothing() {
    let server = start();
    let mut client = waiting(&server, "ada").await;
    client.mutate(0, "users:whoami", json!({})).await;
    client.authenticate(1, &server.token("bob")).await;
    let rejected = client.next_of("MutationResponse").await;
    assert_eq!(rejected["errorData"]["reason"], "identity_changed");
    make(&server, "ada").await;
    make(&server, "bob").await;
    let opened = client.until(0, |_| true).await;
    let opened = opened.last().unwrap();
    assert_eq!(version(opened, "endVersion"), (1, 2));
    assert!(results(opened).contains(&(0, json!("made"))));
}

#[tokio::test]
async fn a_refresh_without_the_document_keeps_the_gate_open_while_it_is_looked_for() {
    let server = start();
    make(&server, "ada").await;
    let mut client = server.connect().await;
    client.say_connect().await;
    client.authenticate(0, &server.token("ada")).await;
    client.watch(0, &[(0, "users:me")]).await;
    client.until(0, |me| *me == json!("made")).await;
    // It is gone, as when an event deletes and makes it again.
    hook(&server, "hooks:clear", object! {}).await;
    client.until(0, |me| *me == json!("not found")).await;
    client.authenticate(1, &server.token("ada")).await;
    let told = client.next_of("Transition").await;
    assert_eq!(version(&told, "endVersion"), (1, 2));
    is_waiting(&server, 1.0).await;
    client.mutate(0, "users:whoami", json!({})).await;
    assert_eq!(client.next_of("MutationResponse").await["result"], "ada");
    make(&server, "ada").await;
    client.until(0, |me| *me == json!("made")).await;
    while server.metric("gate_waiting") > 0.0 {
        tokio::task::yield_now().await;
    }
    // Gone for good, the connection ends a minute after the next refresh, and its client comes back.
    hook(&server, "hooks:clear", object! {}).await;
    client.authenticate(2, &server.token("ada")).await;
    is_waiting(&server, 1.0).await;
    pass(&server, &mut client, 59).await;
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(
        client.close().await,
        Some((1013, "ProvisioningMissing".to_owned()))
    );
}
