//! kill -9 under load: every acknowledged mutation is there exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;
use vestibule_schema::object;
use vestibule_schema::value::Object;
use vestibule_schema::wire::SessionId;
use vestibule_tests::process::Chat;
use vestibule_tests::raw::RawClient;

const CLIENTS: usize = 8;
const KILLS: usize = 12;

/// A client that survives kills: what it sent without an answer, it sends again under the same session.
struct Writer {
    name: String,
    session: SessionId,
    next_request: u32,
    unanswered: BTreeMap<u32, String>,
    acknowledged: BTreeSet<String>,
}

impl Writer {
    fn new(number: usize) -> Writer {
        Writer {
            name: format!("writer-{number}"),
            session: SessionId(rand::random()),
            next_request: 0,
            unanswered: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
        }
    }

    /// Sends until the connection breaks, counting what is acknowledged.
    async fn write_until_killed(
        &mut self,
        url: &str,
        token: &str,
        acknowledged: &AtomicUsize,
    ) -> anyhow::Result<()> {
        let mut client = RawClient::connect(url, self.session).await?;
        client.authenticate(token).await?;
        for (request, body) in self.unanswered.clone() {
            client
                .mutate(request, "messages:send", message(&body))
                .await?;
        }
        loop {
            while self.unanswered.len() < 20 {
                let body = format!("{} {}", self.name, self.next_request);
                self.unanswered.insert(self.next_request, body.clone());
                client
                    .mutate(self.next_request, "messages:send", message(&body))
                    .await?;
                self.next_request += 1;
            }
            self.take_response(&mut client, acknowledged).await?;
        }
    }

    /// Sends again what has no answer, until everything has one.
    async fn settle(&mut self, url: &str, token: &str) -> anyhow::Result<()> {
        let mut client = RawClient::connect(url, self.session).await?;
        client.authenticate(token).await?;
        for (request, body) in self.unanswered.clone() {
            client
                .mutate(request, "messages:send", message(&body))
                .await?;
        }
        while !self.unanswered.is_empty() {
            self.take_response(&mut client, &AtomicUsize::new(0))
                .await?;
        }
        Ok(())
    }

    async fn take_response(
        &mut self,
        client: &mut RawClient,
        acknowledged: &AtomicUsize,
    ) -> anyhow::Result<()> {
        let response = client.response().await?;
        anyhow::ensure!(response.outcome.is_ok(), "{response:?}");
        let request = response.request_id.0;
        let body = self.unanswered.remove(&request).context("answered twice")?;
        self.acknowledged.insert(body);
        acknowledged.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn message(body: &str) -> Object {
    object! { "channel" => "general", "body" => body }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_mutation_survives_kill_9_exactly_once() {
    let seed = super::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let data = tempfile::tempdir().unwrap();
    // The same address each time: it is the development issuer's name, and so part of every identity.
    let options = super::chat(data.path()).arguments(&["--listen", &super::free_address()]);
    let mut writers: Vec<Writer> = (0..CLIENTS).map(Writer::new).collect();
    for _ in 0..KILLS {
        let chat = options.start().unwrap();
        writers = write_and_kill(chat, writers, rng.random_range(1..200)).await;
    }
    let chat = options.start().unwrap();
    for writer in &mut writers {
        let token = chat.token(&writer.name).await.unwrap();
        writer.settle(&chat.sync_url(), &token).await.unwrap();
    }
    let sent: BTreeSet<String> = writers
        .iter()
        .flat_map(|writer| writer.acknowledged.iter().cloned())
        .collect();
    let stored = all_messages(&chat).await;
    assert_eq!(stored.len(), sent.len(), "every message once");
    assert_eq!(stored.into_iter().collect::<BTreeSet<_>>(), sent);
    assert_eq!(
        chat.query("users:count", json!({})).await.unwrap(),
        json!(CLIENTS as f64)
    );
}

/// Lets all writers write until `enough` mutations are acknowledged, then kills the server.
async fn write_and_kill(chat: Chat, writers: Vec<Writer>, enough: usize) -> Vec<Writer> {
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for mut writer in writers {
        let (url, acknowledged) = (chat.sync_url(), acknowledged.clone());
        let token = chat.token(&writer.name).await.unwrap();
        tasks.push(tokio::spawn(async move {
            // Ends when the server is killed, which is what is being tested.
            let _ = writer.write_until_killed(&url, &token, &acknowledged).await;
            writer
        }));
    }
    kill_after(chat, enough, &acknowledged, tasks).await
}

/// Kills a server once `enough` answers are counted, and returns what its clients became, all of which its end ends.
pub async fn kill_after<C>(
    server: Chat,
    enough: usize,
    answered: &AtomicUsize,
    clients: Vec<JoinHandle<C>>,
) -> Vec<C> {
    while answered.load(Ordering::Relaxed) < enough {
        tokio::task::yield_now().await;
        assert!(
            clients.iter().any(|client| !client.is_finished()),
            "every client failed"
        );
    }
    server.kill();
    let mut ended = Vec::new();
    for client in clients {
        ended.push(client.await.unwrap());
    }
    ended
}

async fn all_messages(chat: &Chat) -> Vec<String> {
    let mut bodies = Vec::new();
    let mut cursor = Json::Null;
    loop {
        let args = json!({ "channel": "general", "paginationOpts": { "numItems": 500, "cursor": cursor } });
        let page = chat.query("messages:page", args).await.unwrap();
        let messages = page["page"].as_array().unwrap();
        bodies.extend(
            messages
                .iter()
                .map(|message| message["body"].as_str().unwrap().to_string()),
        );
        if page["isDone"] == true {
            return bodies;
        }
        cursor = page["continueCursor"].clone();
    }
}
