//! Cases that no schedule comes to, tried at the server's doors.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value as Json, json};

use super::client::Client;
use super::issuer::{Face, Person};
use super::plan::{Kind, Watched};
use super::rig::Rig;

#[tokio::test]
async fn a_token_whose_nbf_is_no_number_opens_neither_door() -> anyhow::Result<()> {
    let rig = Rig::start(Kind::Naive).await?;
    for face in [Face::Oidc, Face::Plain] {
        let person = person(face, "ok-nbf");
        for nbf in [json!("soon"), json!([1]), json!(null), json!(-1)] {
            let extra = json!({ "nbf": nbf });
            let token = rig
                .issuer
                .token(&person, rig.server.time.seconds(), 3_600, &extra);
            let status = call_with(&rig, &token).await?;
            ensure!(status == 401, "over HTTP, {extra} gives {status}");
            let mut client = Client::new(&rig.sockets);
            let identity = rig.issuer.identity(&person);
            client.watch(&rig.server.url(), Watched::Me).await;
            client
                .sign_in(&rig.server.url(), identity.clone(), token)
                .await;
            let limit = Duration::from_secs(30);
            let is_in = client.saw_itself(&identity, limit).await;
            ensure!(!is_in, "over a WebSocket, {extra} is let in");
        }
    }
    Ok(())
}

#[tokio::test]
async fn many_who_sign_in_while_the_keys_are_on_their_way_wait_for_one_fetch() -> anyhow::Result<()>
{
    let rig = Rig::start(Kind::Naive).await?;
    // Long enough for all of them to arrive before the first answer.
    rig.issuer.set_slowness(Duration::from_secs(1));
    let people = (0..20).map(|number| person(Face::Plain, &format!("ok-keys-{number}")));
    let tokens: Vec<String> = people
        .map(|person| {
            rig.issuer
                .token(&person, rig.server.time.seconds(), 3_600, &json!({}))
        })
        .collect();
    let calls = tokens.iter().map(|token| call_with(&rig, token));
    for status in futures_util::future::join_all(calls).await {
        ensure!(status? == 200, "a good token was refused");
    }
    let fetches = rig.issuer.plain_fetches();
    ensure!(
        fetches == 1,
        "{fetches} fetches for people who came together"
    );
    Ok(())
}

#[tokio::test]
async fn a_client_may_watch_and_stop_watching_as_often_as_it_likes() -> anyhow::Result<()> {
    let rig = Rig::start(Kind::Naive).await?;
    let url = rig.server.url();
    let mut client = Client::new(&rig.sockets);
    for _ in 0..100 {
        client.watch(&url, Watched::Pulse).await;
        client.unwatch(&url, Watched::Pulse).await;
    }
    client.watch(&url, Watched::Pulse).await;
    ensure!(client.settle(Duration::from_secs(30)).await, "no answer");
    let newest = client.newest_result();
    ensure!(newest == Some(json!(0.0)), "it is told {newest:?}");
    Ok(())
}

fn person(face: Face, subject: &str) -> Person {
    Person {
        face,
        subject: subject.to_string(),
    }
}

/// The status of a query over HTTP with this token.
async fn call_with(rig: &Rig, token: &str) -> anyhow::Result<u16> {
    let body: Json = json!({ "path": "users:me", "args": {}, "format": "json" });
    let request = reqwest::Client::new()
        .post(format!("{}/api/query", rig.server.url()))
        .bearer_auth(token)
        .json(&body);
    Ok(request.send().await?.status().as_u16())
}
