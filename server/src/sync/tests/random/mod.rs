//! Several clients subscribe, write, sign in and out, and come back at random. At every Transition the client's results
//! must be those of its queries at the Transition's timestamp, for the Transition's identity.
//!
//! A run prints its seed; `VESTIBULE_SEED` takes those steps again, and `VESTIBULE_RUNS` sets how many runs there are.

mod functions;
mod peer;
mod world;

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::harness::{OpenAtEnd, Server, seeds};
use crate::sync::SyncOptions;
use peer::Peer;
use world::{History, Spec, Who};

const RUNS: u64 = 12;
const STEPS: usize = 400;
const PEERS: usize = 4;
const GROUPS: u32 = 3;

struct Run {
    rng: StdRng,
    server: Server,
    history: Arc<History>,
    peers: Vec<Peer>,
    subjects: u32,
    keys: u32,
    _open_at_end: OpenAtEnd,
}

impl Run {
    async fn start(seed: u64) -> Run {
        let mut rng = StdRng::seed_from_u64(seed);
        let history = Arc::new(History::default());
        // Without a grace, what does not look at the identity moves at once.
        let gate_grace = if rng.random_bool(0.5) {
            Duration::ZERO
        } else {
            SyncOptions::default().gate_grace
        };
        let options = SyncOptions {
            redact: false,
            gate_grace,
            first_query_set_grace: Duration::ZERO,
            ..SyncOptions::default()
        };
        let functions = functions::functions(&history);
        let server = Server::start_with(
            functions::schema(),
            functions,
            Some("users:ensureUser"),
            options,
        );
        let mut peers = Vec::new();
        for n in 0..PEERS {
            peers.push(Peer::connect(format!("peer{n}"), &server, &history).await);
        }
        let open_at_end = OpenAtEnd(history.ensuring.clone());
        Run {
            rng,
            server,
            history,
            peers,
            subjects: 0,
            keys: 0,
            _open_at_end: open_at_end,
        }
    }

    async fn step(&mut self) {
        let peer = self.rng.random_range(0..self.peers.len());
        match self.rng.random_range(0..100) {
            0..20 => {
                let specs = (0..self.rng.random_range(0..4))
                    .map(|_| self.some_spec(peer))
                    .collect();
                self.peers[peer].subscribe(specs).await;
            }
            20..27 => {
                let ids: Vec<u32> = self.peers[peer].queries().keys().copied().collect();
                if !ids.is_empty() {
                    let id = ids[self.rng.random_range(0..ids.len())];
                    self.peers[peer].unsubscribe(id).await;
                }
            }
            27..62 => self.write(peer).await,
            62..66 => {
                let subject = self.some_subject();
                let who = self.with_claims(subject);
                self.peers[peer].present(&self.server, Some(who)).await;
            }
            66..70 => {
                // A refresh, perhaps with other claims.
                if let Some(Who { subject, .. }) = self.peers[peer].who.clone() {
                    let who = self.with_claims(subject);
                    self.peers[peer].present(&self.server, Some(who)).await;
                }
            }
            70..73 => self.peers[peer].present(&self.server, None).await,
            73..76 => self.peers[peer].reconnect(&self.server).await,
            76..78 => self.history.ensuring.close(),
            78..80 => self.history.ensuring.open(),
            80..90 => {
                for peer in &mut self.peers {
                    peer.read_now();
                }
            }
            // Without waiting now and then the steps would all be taken before the server has begun.
            _ => {
                self.history.ensuring.open();
                self.peers[peer].read_until_settled().await;
            }
        }
        if self.rng.random_bool(0.3) {
            tokio::task::yield_now().await;
        }
    }

    async fn write(&mut self, peer: usize) {
        let burst = if self.rng.random_bool(0.1) { 10 } else { 1 };
        for _ in 0..burst {
            let (group, key) = (self.some_group(), self.some_key());
            let (path, key) = match self.rng.random_range(0..20) {
                0..9 => ("items:put", self.new_key(key)),
                9..11 => ("items:patch", key),
                11..16 => ("items:delete", key),
                16 => ("items:fail", key),
                17..19 => ("users:rename", key),
                _ => ("users:forget", key),
            };
            let value = f64::from(self.rng.random_range(0..3));
            self.peers[peer]
                .mutate(path, json!({ "group": group, "key": key, "value": value }))
                .await;
        }
    }

    fn some_group(&mut self) -> u32 {
        self.rng.random_range(0..GROUPS)
    }

    /// A key that is there, if there is one.
    fn some_key(&mut self) -> String {
        let world = self.history.newest();
        let keys: Vec<&String> = world.items.keys().map(|(_, key)| key).collect();
        match keys.is_empty() {
            true => "none".to_string(),
            false => keys[self.rng.random_range(0..keys.len())].clone(),
        }
    }

    /// A key that was never there, beside another or anywhere. The place of a key in an index depends on when it was
    /// made, so keys do not come back.
    fn new_key(&mut self, near: String) -> String {
        self.keys += 1;
        match self.rng.random_bool(0.5) {
            true => format!("{near}{}", self.keys),
            false => format!(
                "{}{}",
                char::from(self.rng.random_range(b'a'..=b'z')),
                self.keys
            ),
        }
    }

    /// One of the newest few people.
    fn some_subject(&mut self) -> String {
        if self.rng.random_bool(0.4) {
            self.subjects += 1;
        }
        let newest = self.subjects;
        format!(
            "user{}",
            newest - self.rng.random_range(0..3.min(newest + 1))
        )
    }

    fn with_claims(&mut self, subject: String) -> Who {
        let mut one_of = |claims: [&str; 2]| claims[self.rng.random_range(0..2)].to_string();
        Who {
            subject,
            name: one_of(["Ada", "Augusta"]),
            email: one_of(["ada@example.com", "lovelace@example.com"]),
        }
    }

    fn some_spec(&mut self, peer: usize) -> Spec {
        let (group, key) = (self.some_group(), self.some_key());
        match self.rng.random_range(0..10) {
            0 => Spec::Get { group, key },
            1 => Spec::Range {
                group,
                to: format!("{key}~"),
                from: key,
            },
            2 => Spec::Range {
                group,
                from: "b".into(),
                to: "n".into(),
            },
            3 => Spec::Count { group },
            4 => Spec::Flaky { group },
            5 => Spec::Me,
            6 => Spec::Maybe { group },
            9 => Spec::Claims { group },
            7 => match self.peers[peer].some_cursor() {
                Some((group, cursor)) => Spec::Page {
                    group,
                    items: 2,
                    cursor: Some(cursor),
                },
                None => Spec::Page {
                    group,
                    items: 2,
                    cursor: None,
                },
            },
            _ => Spec::Page {
                group,
                items: self.rng.random_range(1..4),
                cursor: None,
            },
        }
    }

    /// Lets everything come to rest, and checks that all have converged.
    async fn settle(&mut self) -> usize {
        self.history.ensuring.open();
        for peer in &mut self.peers {
            peer.read_until_settled().await;
        }
        // One commit behind all others, whose Transition shows each client the end of everything.
        for peer in &mut self.peers {
            peer.mutate(
                "items:put",
                json!({ "group": 0, "key": "the end", "value": 1.0 }),
            )
            .await;
            peer.read_until_settled().await;
        }
        self.peers.iter().map(|peer| peer.transitions).sum()
    }

    fn check_record(&self) {
        for (tag, runs) in self.history.executed.lock().iter() {
            assert_eq!(runs.len(), 1, "{tag} ran as {runs:?}");
        }
        let ensured = self.history.ensured.lock();
        for (subject, ts) in self.history.looks.lock().iter() {
            assert!(
                ensured.get(subject).is_some_and(|ensured| ensured <= ts),
                "G1: {subject} was seen at {ts}"
            );
        }
        for runs in self.history.executed.lock().values() {
            let Some(subject) = &runs[0].subject else {
                continue;
            };
            assert!(
                ensured
                    .get(subject)
                    .is_some_and(|ensured| *ensured < runs[0].ts),
                "G1: {subject} wrote"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_clients_do_each_transition_shows_one_moment_to_one_identity() {
    let mut transitions = 0;
    for seed in seeds(RUNS) {
        println!("VESTIBULE_SEED={seed}");
        let mut run = Run::start(seed).await;
        for _ in 0..STEPS {
            run.step().await;
        }
        transitions += run.settle().await;
        run.check_record();
    }
    println!("{transitions} Transitions");
    assert!(transitions > 0);
}
