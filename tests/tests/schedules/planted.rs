//! Each planted bug is noticed: by the judgement of schedules that a run of ordinary length would hold, or through the
//! server's doors where no schedule leads there.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value as Json, json};
use vestibule_server::planted::Bug;

use super::client::Client;
use super::issuer::{Face, Person};
use super::plan::{Plan, Watched};
use super::rig::Rig;

/// Schedules in which a bug must show. An ordinary run holds more.
const SCHEDULES: u64 = 1_500;

/// Runs schedules until one breaks the guarantee by one of `rules`.
async fn schedules_notice(bug: Bug, rules: &[&str]) {
    let mut rig = Rig::start(Some(bug)).await.unwrap();
    let first = u64::from(rand::random::<u32>()) << 20;
    for seed in first..first + SCHEDULES {
        let outcome = rig.run(&Plan::of_seed(seed)).await.unwrap();
        let noticed = outcome.violations.iter();
        let mut noticed = noticed.filter(|it| rules.contains(&it.rule));
        if let Some(violation) = noticed.next() {
            println!(
                "{bug:?} noticed in schedule {} (VESTIBULE_SEED={seed}): {violation}",
                seed - first + 1
            );
            return;
        }
        assert!(
            outcome.violations.is_empty(),
            "{bug:?} broke what it should not: {}",
            outcome.violations[0]
        );
    }
    panic!("{SCHEDULES} schedules from VESTIBULE_SEED={first} on did not notice {bug:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_opened_by_an_older_identity_version_is_noticed() {
    schedules_notice(Bug::GateOpenedByOlderVersion, &["G4"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_opened_before_the_commit_is_noticed() {
    schedules_notice(Bug::GateOpenedBeforeCommit, &["G1"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_call_that_runs_as_the_next_identity_is_noticed() {
    schedules_notice(Bug::HeldCallRunsAsNextIdentity, &["G7"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_answers_that_ignores_the_identity_is_noticed() {
    schedules_notice(Bug::DedupeIgnoresIdentity, &["G7"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_that_forgets_the_identity_is_noticed() {
    schedules_notice(Bug::CacheKeyForgetsIdentity, &["G1", "G3", "G5"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_runs_again_is_noticed() {
    schedules_notice(Bug::DedupeRecordSkipped, &["R10"]).await;
}

#[tokio::test]
async fn an_nbf_of_a_wrong_type_that_is_skipped_is_noticed() {
    refuses_an_nbf_of_a_wrong_type(None).await.unwrap();
    let planted = Some(Bug::NotBeforeOfWrongTypeSkipped);
    refuses_an_nbf_of_a_wrong_type(planted).await.unwrap_err();
}

/// A token whose `nbf` is no number gives nobody anything, at either door.
async fn refuses_an_nbf_of_a_wrong_type(bug: Option<Bug>) -> anyhow::Result<()> {
    let rig = Rig::start(bug).await?;
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
async fn keys_fetched_by_each_who_needs_them_are_noticed() {
    asks_for_keys_once(None).await.unwrap();
    let planted = Some(Bug::RefetchWithoutSingleFlight);
    asks_for_keys_once(planted).await.unwrap_err();
}

/// Many who sign in while the keys are on their way wait for one fetch.
async fn asks_for_keys_once(bug: Option<Bug>) -> anyhow::Result<()> {
    let rig = Rig::start(bug).await?;
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
async fn a_subscription_that_keeps_its_slot_is_noticed() {
    frees_the_slots_of_subscriptions(None).await.unwrap();
    let planted = Some(Bug::SubscriptionSlotNotFreed);
    frees_the_slots_of_subscriptions(planted).await.unwrap_err();
}

/// A client may watch and stop watching as often as it likes.
async fn frees_the_slots_of_subscriptions(bug: Option<Bug>) -> anyhow::Result<()> {
    let rig = Rig::start(bug).await?;
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
