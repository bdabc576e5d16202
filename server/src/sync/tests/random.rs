//! Random clients: at every Transition, what a client has been shown is what its queries give at that timestamp.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures_util::FutureExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use vestibule_schema::table::{Index, Schema, Table};
use vestibule_schema::timestamp::Timestamp;

use super::harness::{Client, Server, add, results, seeds, version};
use crate::functions::{Function, MutationCtx, QueryCtx, Result};

#[derive(Serialize, Deserialize)]
struct Entry {
    key: String,
    value: f64,
    owner: String,
}

impl Entry {
    const BY_KEY: Index<Entry> = Index::unique("by_key", &["key"]);
    const BY_OWNER: Index<Entry> = Index::new("by_owner", &["owner", "key"]);
}

impl Table for Entry {
    const NAME: &'static str = "entries";
    const INDEXES: &'static [Index<Entry>] = &[Entry::BY_KEY, Entry::BY_OWNER];
}

#[derive(Deserialize)]
struct Put {
    key: String,
    value: f64,
}

#[derive(Deserialize)]
struct Key {
    key: String,
}

#[derive(Deserialize)]
struct Range {
    from: String,
    to: String,
}

/// Sets an entry, and says whose it is now.
fn put(ctx: &mut MutationCtx, Put { key, value }: Put) -> Result<String> {
    let owner = ctx
        .identity()?
        .map_or(String::new(), |who| who.subject.to_string());
    let entry = Entry {
        key,
        value,
        owner: owner.clone(),
    };
    match ctx
        .db()
        .query::<Entry>()
        .index(Entry::BY_KEY, &entry.key)
        .unique()?
    {
        Some(old) => ctx.db().replace(old.id, entry)?,
        None => drop(ctx.db().insert(entry)?),
    }
    Ok(owner)
}

fn remove(ctx: &mut MutationCtx, Key { key }: Key) -> Result<String> {
    if let Some(old) = ctx
        .db()
        .query::<Entry>()
        .index(Entry::BY_KEY, &key)
        .unique()?
    {
        ctx.db().delete(old.id)?;
    }
    Ok(String::new())
}

fn get(ctx: &mut QueryCtx, Key { key }: Key) -> Result<Option<f64>> {
    let entry = ctx
        .db()
        .query::<Entry>()
        .index(Entry::BY_KEY, &key)
        .unique()?;
    Ok(entry.map(|entry| entry.value.value))
}

fn range(ctx: &mut QueryCtx, Range { from, to }: Range) -> Result<Vec<(String, f64)>> {
    let entries = ctx
        .db()
        .query::<Entry>()
        .index_range(Entry::BY_KEY, |keys| keys.gte("key", from).lt("key", to));
    Ok(entries
        .collect()?
        .into_iter()
        .map(|entry| (entry.value.key, entry.value.value))
        .collect())
}

fn count(ctx: &mut QueryCtx, (): ()) -> Result<f64> {
    Ok(ctx.db().query::<Entry>().count()? as f64)
}

/// What the caller owns; looks at the identity only when there is something in the way of "first".
fn mine(ctx: &mut QueryCtx, (): ()) -> Result<Vec<(String, f64)>> {
    if ctx.db().query::<Entry>().first()?.is_none() {
        return Ok(Vec::new());
    }
    let owner = ctx
        .identity()?
        .map_or(String::new(), |who| who.subject.to_string());
    let entries = ctx
        .db()
        .query::<Entry>()
        .index(Entry::BY_OWNER, owner)
        .collect()?;
    Ok(entries
        .into_iter()
        .map(|entry| (entry.value.key, entry.value.value))
        .collect())
}

fn server() -> Server {
    let functions = vec![
        Function::mutation("entries:put", put),
        Function::mutation("entries:remove", remove),
        Function::query("entries:get", get),
        Function::query("entries:range", range),
        Function::query("entries:count", count),
        Function::query("entries:mine", mine),
    ];
    Server::start(Schema::new().table::<Entry>(), functions, None)
}

type Entries = BTreeMap<String, (f64, String)>;

/// A query as the model answers it.
#[derive(Clone, Debug)]
enum Asked {
    Get(String),
    Range(String, String),
    Count,
    Mine,
}

impl Asked {
    fn random(rng: &mut StdRng) -> Asked {
        match rng.random_range(0..4) {
            0 => Asked::Get(key(rng)),
            1 => Asked::Range(key(rng), key(rng)),
            2 => Asked::Count,
            _ => Asked::Mine,
        }
    }

    fn message(&self, id: u32) -> Json {
        match self {
            Asked::Get(key) => add(id, "entries:get", json!({ "key": key })),
            Asked::Range(from, to) => add(id, "entries:range", json!({ "from": from, "to": to })),
            Asked::Count => add(id, "entries:count", json!({})),
            Asked::Mine => add(id, "entries:mine", json!({})),
        }
    }

    fn answer(&self, entries: &Entries, who: &str) -> Json {
        let listed = |keep: &dyn Fn(&str, &str) -> bool| {
            let kept = entries.iter().filter(|(key, (_, owner))| keep(key, owner));
            json!(
                kept.map(|(key, (value, _))| json!([key, value]))
                    .collect::<Vec<_>>()
            )
        };
        match self {
            Asked::Get(key) => entries
                .get(key)
                .map_or(Json::Null, |(value, _)| json!(value)),
            Asked::Range(from, to) => listed(&|key, _| key >= &**from && key < &**to),
            Asked::Count => json!(entries.len() as f64),
            Asked::Mine => listed(&|_, owner| owner == who),
        }
    }
}

fn key(rng: &mut StdRng) -> String {
    format!("k{}", rng.random_range(0..8))
}

/// A change to the model: the key, and its new value.
type Change = (String, Option<(f64, String)>);

/// What a client was shown at one moment.
struct Shown {
    ts: Timestamp,
    who: String,
    queries: BTreeMap<u32, Asked>,
    results: BTreeMap<u32, Json>,
}

/// A client that acts at random and writes down what it is shown.
struct Actor {
    client: Client,
    /// The query sets by version.
    query_sets: Vec<BTreeMap<u32, Asked>>,
    /// Who it is by identity version; empty is nobody.
    identities: Vec<String>,
    next_query: u32,
    next_request: u32,
    pending: BTreeMap<u32, (String, Option<f64>)>,
    results: BTreeMap<u32, Json>,
    end: Json,
    ts: Timestamp,
    /// The newest commit of its own that it was told of.
    told: Timestamp,
    shown: Vec<Shown>,
    changes: Vec<(Timestamp, Change)>,
}

impl Actor {
    async fn new(server: &Server, number: usize) -> Actor {
        let mut client = server.connect().await;
        let mut session = String::new();
        write!(session, "00000000-0000-4000-8000-{number:012}").unwrap();
        client
            .send(json!({ "type": "Connect", "sessionId": session, "connectionCount": 0 }))
            .await;
        Actor {
            client,
            query_sets: vec![BTreeMap::new()],
            identities: vec![String::new()],
            next_query: 0,
            next_request: 0,
            pending: BTreeMap::new(),
            results: BTreeMap::new(),
            end: json!({ "querySet": 0, "identity": 0, "ts": "AAAAAAAAAAA=" }),
            ts: Timestamp::ZERO,
            told: Timestamp::ZERO,
            shown: Vec::new(),
            changes: Vec::new(),
        }
    }

    async fn act(&mut self, server: &Server, rng: &mut StdRng) {
        match rng.random_range(0..10) {
            0..=1 => self.subscribe(Asked::random(rng)).await,
            2 => self.unsubscribe(rng).await,
            3 => self.become_someone(server, rng).await,
            4..=7 => {
                self.mutate(key(rng), Some(f64::from(rng.random_range(0..100))))
                    .await
            }
            8 => self.mutate(key(rng), None).await,
            _ => tokio::task::yield_now().await,
        }
        while let Some(message) = self.client.next().now_or_never() {
            self.take(&message);
        }
    }

    async fn subscribe(&mut self, asked: Asked) {
        let mut set = self.query_sets.last().unwrap().clone();
        let message = asked.message(self.next_query);
        set.insert(self.next_query, asked);
        self.next_query += 1;
        self.modify(set, message).await;
    }

    async fn unsubscribe(&mut self, rng: &mut StdRng) {
        let mut set = self.query_sets.last().unwrap().clone();
        let ids: Vec<u32> = set.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let id = ids[rng.random_range(0..ids.len())];
        set.remove(&id);
        self.modify(set, json!({ "type": "Remove", "queryId": id }))
            .await;
    }

    async fn modify(&mut self, set: BTreeMap<u32, Asked>, modification: Json) {
        let base = self.query_sets.len() as u32 - 1;
        self.query_sets.push(set);
        self.client.modify(base, vec![modification]).await;
    }

    async fn become_someone(&mut self, server: &Server, rng: &mut StdRng) {
        let base = self.identities.len() as u32 - 1;
        match rng.random_range(0..3) {
            0 => {
                self.identities.push(String::new());
                self.client.sign_out(base).await;
            }
            n => {
                let subject = format!("person-{n}");
                self.client
                    .authenticate(base, &server.token(&subject))
                    .await;
                self.identities.push(subject);
            }
        }
    }

    async fn mutate(&mut self, key: String, value: Option<f64>) {
        let request = self.next_request;
        self.next_request += 1;
        match value {
            Some(value) => {
                self.client
                    .mutate(
                        request,
                        "entries:put",
                        json!({ "key": key, "value": value }),
                    )
                    .await
            }
            None => {
                self.client
                    .mutate(request, "entries:remove", json!({ "key": key }))
                    .await
            }
        }
        self.pending.insert(request, (key, value));
    }

    fn take(&mut self, message: &Json) {
        match message["type"].as_str().unwrap() {
            "MutationResponse" => self.take_response(message),
            "Transition" => self.take_transition(message),
            "Ping" => {}
            _ => panic!("{message}"),
        }
    }

    fn take_response(&mut self, message: &Json) {
        let request = message["requestId"].as_u64().unwrap() as u32;
        let (key, value) = self
            .pending
            .remove(&request)
            .expect("each request is answered once");
        if message["success"] == false {
            // It was sent as somebody who was not let in before the next one came.
            return assert_eq!(message["errorData"]["code"], "NotProvisioned", "{message}");
        }
        let ts = Timestamp::from_wire(message["ts"].as_str().unwrap()).unwrap();
        assert!(
            ts > self.ts,
            "a response comes before the Transition that shows it"
        );
        let owner = message["result"].as_str().unwrap().to_string();
        self.changes
            .push((ts, (key, value.map(|value| (value, owner)))));
        self.told = self.told.max(ts);
    }

    fn take_transition(&mut self, message: &Json) {
        assert_eq!(
            message["startVersion"], self.end,
            "Transitions form a chain"
        );
        self.end = message["endVersion"].clone();
        let ts = Timestamp::from_wire(self.end["ts"].as_str().unwrap()).unwrap();
        assert!(ts >= self.ts, "time never goes back");
        self.ts = ts;
        for (id, result) in results(message) {
            match result["type"] == "QueryRemoved" {
                true => drop(self.results.remove(&id)),
                false => drop(self.results.insert(id, result)),
            }
        }
        let (query_set, identity) = version(message, "endVersion");
        self.shown.push(Shown {
            ts,
            who: self.identities[identity as usize].clone(),
            queries: self.query_sets[query_set as usize].clone(),
            results: self.results.clone(),
        });
    }

    /// Reads until everything is answered and shown.
    async fn settle(&mut self) {
        self.mutate("settled".into(), Some(1.0)).await;
        let is_settled = |actor: &Actor| {
            actor.pending.is_empty()
                && actor.ts >= actor.told
                && actor.end["querySet"] == actor.query_sets.len() as u64 - 1
                && actor.end["identity"] == actor.identities.len() as u64 - 1
        };
        while !is_settled(self) {
            let message = self.client.next().await;
            self.take(&message);
        }
    }
}

/// The entries as of each commit.
struct History(Vec<(Timestamp, Change)>);

impl History {
    fn of(actors: &[Actor]) -> History {
        let mut changes: Vec<_> = actors
            .iter()
            .flat_map(|actor| actor.changes.clone())
            .collect();
        changes.sort_by_key(|(ts, _)| *ts);
        History(changes)
    }

    fn at(&self, ts: Timestamp) -> Entries {
        let mut entries = Entries::new();
        for (_, (key, value)) in self.0.iter().take_while(|(commit, _)| *commit <= ts) {
            match value {
                Some(value) => drop(entries.insert(key.clone(), value.clone())),
                None => drop(entries.remove(key)),
            }
        }
        entries
    }
}

async fn run(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let server = server();
    let mut actors = Vec::new();
    for number in 0..rng.random_range(2..5) {
        actors.push(Actor::new(&server, number).await);
    }
    for _ in 0..250 {
        let chosen = rng.random_range(0..actors.len());
        actors[chosen].act(&server, &mut rng).await;
    }
    for actor in &mut actors {
        actor.settle().await;
    }
    let history = History::of(&actors);
    for (number, actor) in actors.iter().enumerate() {
        for shown in &actor.shown {
            check(number, shown, &history);
        }
    }
}

fn check(number: usize, shown: &Shown, history: &History) {
    let Shown {
        ts,
        who,
        queries,
        results,
    } = shown;
    let entries = history.at(*ts);
    let expected: BTreeMap<u32, Json> = queries
        .iter()
        .map(|(id, asked)| (*id, asked.answer(&entries, who)))
        .collect();
    assert_eq!(
        *results, expected,
        "client {number} at {ts} as {who:?}, watching {queries:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transition_equals_evaluating_all_its_queries_at_its_timestamp() {
    for seed in seeds(25) {
        println!("VESTIBULE_SEED={seed}");
        run(seed).await;
    }
}
