//! The gate on one connection: nothing runs as an identity before its `ensureUser` has committed.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use vestibule_schema::id::DocumentId;
use vestibule_schema::object;
use vestibule_schema::table::{Index, Schema, Table};

use super::harness::{Client, Server, results, version};
use crate::functions::{Error, Function, MutationCtx, QueryCtx, Result};

#[derive(Serialize, Deserialize)]
struct User {
    name: String,
    token: String,
}

impl User {
    const BY_TOKEN: Index<User> = Index::unique("by_token", &["token"]);
}

impl Table for User {
    const NAME: &'static str = "users";
    const INDEXES: &'static [Index<User>] = &[User::BY_TOKEN];
}

fn ensure_user(ctx: &mut MutationCtx, (): ()) -> Result<DocumentId<User>> {
    let who = ctx.identity()?.ok_or_else(|| Error::new("nobody"))?;
    if let Some(user) = ctx.db().query::<User>().index(User::BY_TOKEN, &who.token_identifier).unique()? {
        return Ok(user.id);
    }
    if who.subject.starts_with("stranger") {
        return Err(Error::application(object! { "code" => "NotInvited" }));
    }
    let name = who.text("name").unwrap_or("Anonymous").to_string();
    Ok(ctx.db().insert(User { name, token: who.token_identifier.to_string() })?)
}

fn me(ctx: &mut QueryCtx, (): ()) -> Result<Option<String>> {
    let Some(who) = ctx.identity()? else { return Ok(None) };
    let user = ctx.db().query::<User>().index(User::BY_TOKEN, &who.token_identifier).unique()?;
    Ok(Some(user.ok_or_else(|| Error::application(object! { "code" => "UserNotFound" }))?.value.name))
}

fn whoami(ctx: &mut MutationCtx, (): ()) -> Result<Option<String>> {
    let Some(who) = ctx.identity()? else { return Ok(None) };
    let user = ctx.db().query::<User>().index(User::BY_TOKEN, &who.token_identifier).unique()?;
    Ok(Some(user.ok_or_else(|| Error::new("User not found"))?.value.name))
}

fn server() -> Server {
    let functions = vec![
        Function::mutation("users:ensureUser", ensure_user),
        Function::mutation("users:whoami", whoami),
        Function::query("users:me", me),
        Function::query("users:count", |ctx: &mut QueryCtx, (): ()| Ok(ctx.db().query::<User>().count()? as f64)),
    ];
    Server::start(Schema::new().table::<User>(), functions, Some("users:ensureUser"))
}

async fn sign_in(client: &mut Client, server: &Server, subject: &str) -> Json {
    client.say_connect().await;
    client.authenticate(0, &server.token(subject)).await;
    client.watch(0, &[(0, "users:me"), (1, "users:count")]).await;
    client.next().await
}

#[tokio::test]
async fn the_first_result_of_a_first_login_contains_the_user() {
    let server = server();
    let mut client = server.connect().await;
    let first = sign_in(&mut client, &server, "ada").await;
    assert_eq!((version(&first, "startVersion"), version(&first, "endVersion")), ((0, 0), (1, 1)));
    assert_eq!(results(&first), [(0, json!("ada")), (1, json!(1.0))]);
}

#[tokio::test]
async fn a_mutation_behind_the_authenticate_runs_as_the_user_after_the_commit() {
    let server = server();
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
    assert_eq!((&response["success"], &response["result"]), (&json!(true), &json!("ada")));
}

#[tokio::test]
async fn signing_in_on_an_open_connection_moves_all_queries_in_one_transition() {
    let server = server();
    let mut client = server.connect().await;
    client.watch(0, &[(0, "users:me"), (1, "users:count")]).await;
    assert_eq!(results(&client.next().await), [(0, json!(null)), (1, json!(0.0))]);
    client.authenticate(0, &server.token("ada")).await;
    let switched = client.next().await;
    assert_eq!(version(&switched, "endVersion"), (1, 1));
    assert_eq!(results(&switched), [(0, json!("ada")), (1, json!(1.0))]);
}

#[tokio::test]
async fn a_known_user_costs_no_commit_and_a_refresh_runs_nothing_again() {
    let server = server();
    let mut client = server.connect().await;
    sign_in(&mut client, &server, "ada").await;
    let committed = server.functions.database().durable_ts();
    client.authenticate(1, &server.token("ada")).await;
    let refreshed = client.next().await;
    assert_eq!((version(&refreshed, "endVersion"), results(&refreshed).len()), ((1, 2), 0));
    let mut again = server.connect().await;
    let first = sign_in(&mut again, &server, "ada").await;
    assert_eq!(results(&first), [(0, json!("ada")), (1, json!(1.0))]);
    assert_eq!(server.functions.database().durable_ts(), committed);
}

#[tokio::test]
async fn a_refused_user_is_told_why_and_nothing_runs_as_them() {
    let server = server();
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
        (&refused["type"], &refused["baseVersion"], &refused["authUpdateAttempted"]),
        (&json!("AuthError"), &json!(0), &json!(true))
    );
    assert_eq!(client.next_or_close().await, Err(None));
}

#[tokio::test]
async fn switching_users_never_shows_one_the_others_result() {
    let server = server();
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
async fn many_connections_of_one_new_user_make_one_document() {
    let server = server();
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = server.connect().await;
        client.say_connect().await;
        client.authenticate(0, &server.token("ada")).await;
        client.watch(0, &[(0, "users:me"), (1, "users:count")]).await;
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(results(&client.next().await), [(0, json!("ada")), (1, json!(1.0))]);
    }
}

#[tokio::test]
async fn an_expired_token_is_told_before_the_next_result() {
    let server = server();
    let mut client = server.connect().await;
    sign_in(&mut client, &server, "ada").await;
    server.clock.advance(std::time::Duration::from_secs(7200));
    client.mutate(0, "users:whoami", json!({})).await;
    let error = client.next().await;
    assert_eq!((&error["type"], &error["authUpdateAttempted"]), (&json!("AuthError"), &json!(false)));
    assert_eq!(client.next_or_close().await, Err(None));
}
