//! A storm: many clients on a real server, which is killed again and again while they go on. When all is over, everything
//! that was sent has its answer, and the server's books are read.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use vestibule_tests::process::{Chat, ChatOptions, post};
use vestibule_tests::proxy::Proxy;

use crate::checks::{Books, Entry};
use crate::clients::{HttpClient, SessionClient, Stage, Watcher, Work};
use crate::record::{Op, Record};
use crate::steps::{Kind, Step};

/// The size of a storm.
#[derive(Clone, Debug)]
pub struct Storm {
    /// The seed that it follows from.
    pub seed: u64,
    /// The server.
    pub program: PathBuf,
    /// Clients over WebSockets.
    pub sessions: usize,
    /// Clients over HTTP.
    pub callers: usize,
    /// Clients that watch.
    pub watchers: usize,
    /// New people in each life of the server.
    pub visitors: usize,
    /// How often the server is killed.
    pub kills: usize,
    /// Answers in each life at the most.
    pub answers_max: usize,
    /// Whether connections are cut.
    pub cuts: bool,
    /// Whether functions are pushed in TypeScript.
    pub typescript: bool,
    /// Whether the last start finds the files of the first kill: a planted fault, which the verdict has to notice.
    pub rolls_back: bool,
}

/// Everything that is known when a storm is over.
pub struct Aftermath {
    /// The record of the clients.
    pub ops: Vec<Op>,
    /// The faults that clients saw at once.
    pub breaches: Vec<String>,
    /// The server's own account.
    pub books: Books,
    /// How long each start took until the server was ready.
    pub restarts: Vec<Duration>,
    /// Kills of a server that was ready.
    pub kills: u64,
    /// Kills of a server that was starting.
    pub kills_at_start: u64,
    /// How often all connections over the wire were cut.
    pub cuts: u64,
    /// The size of the database with its log.
    pub file_bytes: u64,
}

/// Long enough for anything that ends at all: it turns a hang into a failure.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for something that must come.
pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> anyhow::Result<T> {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.with_context(|| format!("{what} did not come within {PATIENCE:?}"))
}

/// An address that nothing listens on, to start a server on more than once. It is the development issuer's name, and so
/// part of every identity.
pub fn free_address() -> anyhow::Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}

impl Storm {
    /// Runs it on a new data directory, which is kept for the caller to look at until it drops it.
    pub fn run(&self, data: &Path) -> anyhow::Result<Aftermath> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build()?;
        runtime.block_on(self.storm(data))
    }

    async fn storm(&self, data: &Path) -> anyhow::Result<Aftermath> {
        let address = free_address()?;
        let options = self.options(data, &address);
        let proxy = Proxy::start(&address).await?;
        let (over, is_over) = watch::channel(false);
        let server = format!("http://{address}");
        let stage = Stage {
            wire: server.clone(),
            server,
            record: Record::default(),
            end: "end".into(),
            timestamps: Default::default(),
            is_over,
        };
        let mut weather = Weather {
            storm: self,
            rng: StdRng::seed_from_u64(self.seed),
            options,
            proxy,
            stage,
            clients: JoinSet::new(),
            restarts: Vec::new(),
            kills_at_start: 0,
            cuts: 0,
            visitors: 0,
        };
        let mut chat = weather.start()?;
        crate::rigs::push_if_typescript(self.typescript, data, &weather.stage.server)?;
        weather.begin();
        for kill in 0..self.kills {
            patiently("answers", weather.blow()).await?;
            chat.kill();
            weather.kill_at_start()?;
            self.roll_back(kill, data)?;
            chat = weather.start()?;
        }
        // The last life: everything is answered, and watchers see the end.
        over.send_replace(true);
        weather.end(&mut chat).await
    }

    /// Keeps the files of the first kill, and puts them back at the last.
    fn roll_back(&self, kill: usize, data: &Path) -> anyhow::Result<()> {
        let kept = data.with_extension("kept");
        let copy = |from: &Path, to: &Path| -> anyhow::Result<()> {
            std::fs::create_dir_all(to)?;
            for name in ["vestibule.sqlite3", "vestibule.sqlite3-wal"] {
                std::fs::copy(from.join(name), to.join(name))?;
            }
            Ok(())
        };
        match (self.rolls_back, kill) {
            (true, 0) => copy(data, &kept),
            (true, _) if kill + 1 == self.kills => copy(&kept, data),
            _ => Ok(()),
        }
    }

    fn options(&self, data: &Path, address: &str) -> ChatOptions {
        let arguments: &[&str] = match self.typescript {
            true => &["serve-empty", "--provision-with", "ledger:ensure"],
            false => &["serve"],
        };
        let arguments = [arguments, &["--listen", address]].concat();
        ChatOptions::new(&self.program, data)
            .arguments(&arguments)
            .variable("VESTIBULE_LOG", "error")
            .log(&data.with_extension("log"))
    }
}

/// A storm under way.
struct Weather<'s> {
    storm: &'s Storm,
    rng: StdRng,
    options: ChatOptions,
    proxy: Proxy,
    stage: Stage,
    clients: JoinSet<()>,
    restarts: Vec<Duration>,
    kills_at_start: u64,
    cuts: u64,
    visitors: usize,
}

impl Weather<'_> {
    fn start(&mut self) -> anyhow::Result<Chat> {
        let begun = Instant::now();
        let chat = self.options.start();
        let chat = chat.with_context(|| {
            let log = self.options.data().with_extension("log");
            std::fs::read_to_string(log).unwrap_or_default()
        })?;
        self.restarts.push(begun.elapsed());
        Ok(chat)
    }

    /// Now and then a server is killed before it is ready.
    fn kill_at_start(&mut self) -> anyhow::Result<()> {
        while self.rng.random_ratio(1, 4) {
            let moment = Duration::from_micros(self.rng.random_range(0..200_000));
            self.options.start_and_kill(moment)?;
            self.kills_at_start += 1;
        }
        Ok(())
    }

    /// The stage of a client: every second one is on the wire that is cut.
    fn stage(&self, number: usize) -> Stage {
        let wire = match self.storm.cuts && number.is_multiple_of(2) {
            true => self.proxy.url(),
            false => self.stage.server.clone(),
        };
        Stage {
            wire,
            ..self.stage.clone()
        }
    }

    fn work(&mut self, name: String, all: &Arc<AtomicU32>) -> Work {
        Work::new(name, self.rng.random(), Arc::clone(all))
    }

    fn begin(&mut self) {
        let all = Arc::default();
        for number in 0..self.storm.sessions {
            let person = (number % 3 != 0).then(|| format!("person-{number}"));
            let work = self.work(format!("s{number}"), &all);
            let client = SessionClient::new(number, person, work);
            self.clients.spawn(client.run(self.stage(number)));
        }
        for number in 0..self.storm.callers {
            let person = (number % 3 != 0).then(|| format!("caller-{number}"));
            let work = self.work(format!("h{number}"), &all);
            let client = HttpClient::new(person, work);
            self.clients.spawn(client.run(self.stage(number)));
        }
        for number in 0..self.storm.watchers {
            let work = self.work(format!("w{number}"), &all);
            let client = Watcher::new(number, work);
            self.clients.spawn(client.run(self.stage(number)));
        }
    }

    /// One life: new people come, connections are cut, and after so many answers it is over.
    async fn blow(&mut self) {
        let all = Arc::default();
        for _ in 0..self.storm.visitors {
            let number = self.storm.sessions + self.visitors;
            self.visitors += 1;
            let work = self.work(format!("v{number}"), &all);
            let client = SessionClient::new(number, Some(format!("visitor-{number}")), work);
            self.clients
                .spawn(client.at_most(1).run(self.stage(number)));
        }
        let until = self.stage.record.len() + self.rng.random_range(1..=self.storm.answers_max);
        let mut next_cut = self.stage.record.len() + self.rng.random_range(1..60);
        while self.stage.record.len() < until {
            if self.storm.cuts && self.stage.record.len() >= next_cut {
                self.proxy.cut();
                self.cuts += 1;
                next_cut = self.stage.record.len() + self.rng.random_range(1..60);
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        // The instant is not that of an answer.
        let more = Duration::from_micros(self.rng.random_range(0..10_000));
        tokio::time::sleep(more).await;
    }

    async fn end(mut self, chat: &mut Chat) -> anyhow::Result<Aftermath> {
        // Watchers wait for this value, and all others for the answers they miss.
        patiently("the end", append_end(&self.stage, LAST)).await??;
        let clients = async {
            while let Some(ended) = self.clients.join_next().await {
                ended.context("a client panicked")?;
            }
            anyhow::Ok(())
        };
        patiently("the end of all clients", clients).await??;
        let ops = self.stage.record.ops();
        let books = patiently("the books", read_books(chat)).await??;
        let data = self.options.data();
        let bytes = |name: &str| std::fs::metadata(data.join(name)).map_or(0, |it| it.len());
        Ok(Aftermath {
            ops,
            breaches: self.stage.record.breaches(),
            books,
            restarts: self.restarts,
            kills: self.storm.kills as u64,
            kills_at_start: self.kills_at_start,
            cuts: self.cuts,
            file_bytes: bytes("vestibule.sqlite3") + bytes("vestibule.sqlite3-wal"),
        })
    }
}

/// The id of the transaction that ends all.
const LAST: &str = "mlast";

/// Appends the value that watchers wait for.
pub async fn append_end(stage: &Stage, id: &str) -> anyhow::Result<()> {
    let steps = [Step::new(Kind::Append, stage.end.as_str(), "the end", 0)];
    let body = json!({
        "path": "ledger:transact", "args": { "id": id, "steps": steps }, "format": "json",
    });
    let begun = stage.record.now();
    let (status, answer) = post(&stage.server, "/api/mutation", &body, None).await?;
    anyhow::ensure!(status == 200, "{status}: {answer}");
    let results = serde_json::from_value(answer["value"].clone())
        .with_context(|| format!("the last mutation failed: {answer}"))?;
    stage.record.note(Op {
        id: id.into(),
        is_mutation: true,
        session: None,
        person: None,
        begun: Some(begun),
        ended: Some(stage.record.now()),
        steps: steps.to_vec(),
        outcome: crate::record::Outcome::Done(results, None),
    });
    Ok(())
}

/// Reads the books, once all that was scheduled has been done.
pub async fn read_books(chat: &Chat) -> anyhow::Result<Books> {
    #[derive(serde::Deserialize)]
    struct User {
        token: String,
    }
    #[derive(serde::Deserialize)]
    struct Effect {
        name: String,
    }
    let journal: Vec<Entry> = pages(chat, "ledger:journal").await?;
    let users: Vec<User> = pages(chat, "ledger:users").await?;
    let waiting = json!({});
    while chat.query("ledger:waiting", waiting.clone()).await? != json!(0.0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let effects: Vec<Effect> = pages(chat, "ledger:effects").await?;
    Ok(Books {
        journal,
        users: users.into_iter().map(|user| user.token).collect(),
        effects: effects.into_iter().map(|effect| effect.name).collect(),
    })
}

/// All documents of a query that pages.
async fn pages<T: DeserializeOwned>(chat: &Chat, path: &str) -> anyhow::Result<Vec<T>> {
    let mut all = Vec::new();
    let mut cursor = Json::Null;
    loop {
        let args = json!({ "paginationOpts": { "numItems": 500, "cursor": cursor } });
        let mut page = chat.query(path, args).await?;
        let documents: Vec<T> = serde_json::from_value(page["page"].take())?;
        all.extend(documents);
        if page["cursor"].is_null() {
            return Ok(all);
        }
        cursor = page["cursor"].take();
    }
}
