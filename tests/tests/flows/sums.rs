//! kill -9 under transfers: whatever was changed in place, folded or not, the sum over all accounts is right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value as Json, json};
use vestibule_schema::object;
use vestibule_schema::value::Object;
use vestibule_schema::wire::SessionId;
use vestibule_tests::bank::BALANCE;
use vestibule_tests::process::{Chat, ChatOptions};
use vestibule_tests::raw::RawClient;

use super::kills::kill_after;

const TELLERS: usize = 4;
const KILLS: usize = 8;
/// Transfers under way at once, for each teller.
const IN_FLIGHT: usize = 10;

/// A client that survives kills: what it sent without an answer, it sends again under the same session.
struct Teller {
    session: SessionId,
    rng: StdRng,
    next_request: u32,
    unanswered: BTreeMap<u32, Object>,
}

impl Teller {
    fn new(seed: u64) -> Teller {
        Teller {
            session: SessionId(rand::random()),
            rng: StdRng::seed_from_u64(seed),
            next_request: 0,
            unanswered: BTreeMap::new(),
        }
    }

    /// A transfer between two of few accounts, or of those that no transfer has met yet.
    fn transfer(&mut self, accounts: u32) -> Object {
        let from = self.rng.random_range(0..accounts);
        let to = (from + self.rng.random_range(1..accounts)) % accounts;
        let name = |number: u32| format!("account {number}");
        let amount = f64::from(self.rng.random_range(1..100));
        object! { "from" => name(from), "to" => name(to), "amount" => amount }
    }

    async fn connect(&mut self, url: &str) -> anyhow::Result<RawClient> {
        let mut client = RawClient::connect(url, self.session).await?;
        for (request, args) in self.unanswered.clone() {
            client.mutate(request, "bank:transfer", args).await?;
        }
        Ok(client)
    }

    /// Sends `count` transfers and waits until every one has its answer.
    async fn work(
        &mut self,
        url: &str,
        accounts: u32,
        count: usize,
        answered: &AtomicUsize,
    ) -> anyhow::Result<()> {
        let mut client = self.connect(url).await?;
        let mut left = count;
        while left > 0 || !self.unanswered.is_empty() {
            while left > 0 && self.unanswered.len() < IN_FLIGHT {
                left -= 1;
                let args = self.transfer(accounts);
                // Whether or not it is written before the server dies, the number is used.
                let request = self.next_request;
                self.next_request += 1;
                self.unanswered.insert(request, args.clone());
                client.mutate(request, "bank:transfer", args).await?;
            }
            let response = client.response().await?;
            anyhow::ensure!(response.outcome.is_ok(), "{response:?}");
            let request = response.request_id.0;
            self.unanswered.remove(&request).context("answered twice")?;
            answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sum_over_all_accounts_survives_kill_9() {
    let seed = super::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let data = tempfile::tempdir().unwrap();
    // So little memory that slots are evicted.
    let options = ChatOptions::new(env!("CARGO_BIN_EXE_bank-under-test"), data.path())
        .variable("VESTIBULE_DOCUMENT_CACHE_MIB", "1");
    let mut tellers: Vec<Teller> = (0..TELLERS)
        .map(|number| Teller::new(seed ^ number as u64))
        .collect();
    for life in 0..KILLS {
        let bank = options.start().unwrap();
        // Each life meets accounts of earlier ones, and opens some.
        let accounts = 20 * (life as u32 + 1);
        if rng.random_bool(0.7) {
            tellers = work(&bank, tellers, accounts, 40).await;
            if rng.random_bool(0.7) {
                wait_until_folded(&bank).await;
            }
        }
        tellers = work_until_killed(bank, tellers, accounts, rng.random_range(1..400)).await;
    }
    let bank = options.start().unwrap();
    tellers = work(&bank, tellers, 20, 0).await;
    let sent: u32 = tellers.iter().map(|teller| teller.next_request).sum();
    check(&bank, sent).await;
    // The same once everything is in the tables, and after one more start.
    wait_until_folded(&bank).await;
    bank.kill();
    check(&options.start().unwrap(), sent).await;
}

async fn check(bank: &Chat, sent: u32) {
    let total: Json = bank.query("bank:total", json!({})).await.unwrap();
    let number = |name: &str| total[name].as_f64().unwrap();
    assert_eq!(number("transfers"), 2.0 * f64::from(sent), "each once");
    assert_eq!(number("balance"), BALANCE * number("accounts"));
}

/// With nothing to do for a moment, the server folds what there is.
async fn wait_until_folded(bank: &Chat) {
    let names = ["vestibule_durable_ts", "vestibule_storage_folded_ts"];
    loop {
        let [durable, folded] = bank.metrics(&names).await.unwrap()[..] else {
            unreachable!("two were asked for")
        };
        if durable == folded {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// All tellers at once, each until its transfers are answered or the server is gone.
async fn work(bank: &Chat, tellers: Vec<Teller>, accounts: u32, count: usize) -> Vec<Teller> {
    let (tasks, _) = start(bank, tellers, accounts, count);
    let mut tellers = Vec::new();
    for task in tasks {
        let (teller, outcome) = task.await.unwrap();
        outcome.unwrap();
        tellers.push(teller);
    }
    tellers
}

/// Lets all tellers work until `enough` transfers are answered, then kills the server.
async fn work_until_killed(
    bank: Chat,
    tellers: Vec<Teller>,
    accounts: u32,
    enough: usize,
) -> Vec<Teller> {
    let (tasks, answered) = start(&bank, tellers, accounts, usize::MAX);
    let ended = kill_after(bank, enough, &answered, tasks).await;
    ended.into_iter().map(|(teller, _)| teller).collect()
}

type Task = tokio::task::JoinHandle<(Teller, anyhow::Result<()>)>;

fn start(
    bank: &Chat,
    tellers: Vec<Teller>,
    accounts: u32,
    count: usize,
) -> (Vec<Task>, Arc<AtomicUsize>) {
    let answered = Arc::new(AtomicUsize::new(0));
    let tasks = tellers.into_iter().map(|mut teller| {
        let (url, answered) = (bank.sync_url(), answered.clone());
        tokio::spawn(async move {
            let outcome = teller.work(&url, accounts, count, &answered).await;
            (teller, outcome)
        })
    });
    (tasks.collect(), answered)
}
