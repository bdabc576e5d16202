//! Carries a schedule out against a server, and sees it to its quiet end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value as Json, json};
use tokio::task::{JoinHandle, JoinSet};
use vestibule_schema::identity::IdentityKey;
use vestibule_server::probe::{Event, Point};
use vestibule_tests::control::{Command, Remark};

use super::child::{PATIENCE, Server, remark};
use super::client::{Client, Sockets};
use super::driver::{Act, Driver, Mint};
use super::issuer::{Face, Issuer, Person};
use super::oracle;
use super::plan::{Kind, Plan, Quality, Step, Watched};
use super::pushed::Pusher;
use super::react_app::Pages;

/// A moment in which what is under way usually gets somewhere. Nothing depends on whether it does.
const MOMENT: Duration = Duration::from_millis(60);
/// More than a short token has, and than a provider is left alone for after it failed.
const SKIP: Duration = Duration::from_secs(25);
/// Attempts at a login that nothing stands in the way of. Each finds another flaw of the schedule mended.
const ATTEMPTS_MAX: usize = 4;

/// The findings of a run of a schedule.
pub struct Outcome {
    pub record: Vec<Event>,
    pub violations: Vec<oracle::Violation>,
    /// Identities that were let in for the first time.
    pub first_logins: usize,
    /// The sights of the run, with their counts.
    pub sights: BTreeMap<&'static str, usize>,
}

/// A server with its provider, for many schedules one after another.
pub struct Rig {
    pub issuer: Arc<Issuer>,
    pub server: Server,
    pub sockets: Sockets,
    http: reqwest::Client,
    /// Started for the first schedule that needs it.
    pages: Option<Arc<Pages>>,
    /// The pusher of the functions, where they are pushed.
    pusher: Option<Arc<Pusher>>,
}

/// Makes the people of every run new.
static RUNS: AtomicU64 = AtomicU64::new(0);

impl Rig {
    pub async fn start(kind: Kind) -> anyhow::Result<Rig> {
        let issuer = Arc::new(Issuer::start().await?);
        let server = Server::start(&issuer, kind.is_pushed()).await?;
        let pusher = match kind.is_pushed() {
            true => Some(Arc::new(Pusher::begin(&server, kind).await?)),
            false => None,
        };
        Ok(Rig {
            issuer,
            server,
            sockets: Sockets::default(),
            // A kept connection would be closed just when it is used again: the server waits ten seconds for a
            // request, and so do some schedules.
            http: reqwest::Client::builder()
                .pool_max_idle_per_host(0)
                .build()?,
            pages: None,
            pusher,
        })
    }

    fn mint(&self) -> Mint {
        Mint {
            issuer: self.issuer.clone(),
            time: self.server.time.clone(),
        }
    }

    /// Runs a schedule and judges its record. An error is a failure of the test itself, or the death of the server.
    pub async fn run(&mut self, plan: &Plan) -> anyhow::Result<Outcome> {
        self.server.tape.take();
        if plan.kind.is_pushed() {
            self.server.tape.push(remark(&Remark::InTypeScript));
        }
        self.sockets.store(0, Ordering::Relaxed);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let people = plan.people.iter().enumerate();
        let people = people.map(|(p, (manner, face))| Person {
            face: *face,
            subject: format!("{}-{}-{run}-{p}", manner.prefix(), std::process::id()),
        });
        let people = people.collect();
        let (mint, url) = (self.mint(), self.server.url());
        if plan.kind == Kind::React && self.pages.is_none() {
            self.pages = Some(Arc::new(Pages::start()?));
        }
        let pages = self.pages.clone().filter(|_| plan.kind == Kind::React);
        let mut clients = Vec::new();
        for c in 0..plan.clients {
            clients
                .push(Driver::new(plan.kind, pages.clone(), c, &mint, &url, &self.sockets).await?);
        }
        let mut performance = Performance {
            people,
            clients,
            mint,
            requests: JoinSet::new(),
            probes: Vec::new(),
            push: None,
            kind: plan.kind,
            run,
            rig: self,
        };
        for step in &plan.steps {
            performance.step(*step).await?;
        }
        let unrest = performance.come_to_rest(plan).await?;
        ensure!(!self.server.has_died(), "the server ended by itself");
        let record = self.server.tape.take();
        let mut violations = oracle::judge(&record);
        violations.extend(oracle::judge_stories(&record));
        violations.extend(unrest);
        let mut sights = oracle::sights(&record);
        sights.extend(oracle::story_sights(&record));
        Ok(Outcome {
            first_logins: oracle::first_logins(&record),
            sights,
            record,
            violations,
        })
    }
}

/// A run of a schedule under way.
struct Performance<'r> {
    rig: &'r mut Rig,
    people: Vec<Person>,
    clients: Vec<Driver>,
    mint: Mint,
    /// Requests over HTTP.
    requests: JoinSet<()>,
    probes: Vec<Person>,
    /// The last push, and how often the server had been started when it began.
    push: Option<(u64, JoinHandle<anyhow::Result<()>>)>,
    kind: Kind,
    run: u64,
}

impl Performance<'_> {
    fn identity(&self, p: usize) -> IdentityKey {
        self.mint.identity(&self.people[p])
    }

    async fn step(&mut self, step: Step) -> anyhow::Result<()> {
        match step {
            Step::SignIn { c, p, token } => {
                let act = Act::SignIn(self.people[p].clone(), token);
                self.act(c, act).await;
            }
            Step::SignOut { c } => self.act(c, Act::SignOut).await,
            Step::Watch { c, query } => self.act(c, Act::Watch(query)).await,
            Step::Unwatch { c, query } => self.act(c, Act::Unwatch(query)).await,
            Step::Mutate { c } => self.act(c, Act::Mutate).await,
            Step::Act { c } => self.act(c, Act::Action).await,
            Step::Again { c } => self.act(c, Act::Again).await,
            Step::Drop { c } => self.act(c, Act::Lose).await,
            Step::Reconnect { c } => self.act(c, Act::Reconnect).await,
            Step::Settle { c } => {
                self.clients[c].settle(MOMENT).await;
            }
            Step::HttpQuery { p } => self.request(p, "query", "users:me", json!({})),
            Step::HttpMutation { p } => {
                let meant = json!({ "meant": self.identity(p) });
                self.request(p, "mutation", "notes:write", meant);
            }
            Step::Arm { point, p } => {
                let whom = p.map(|p| self.identity(p));
                self.rig.server.tell(&Command::Arm { point, whom })?;
            }
            Step::AwaitPause => {
                let is_paused = |events: &[Event]| !oracle::held_up(events).is_empty();
                self.rig.server.tape.wait(MOMENT, is_paused).await;
            }
            Step::Probe => self.probe().await?,
            Step::Release { point } => {
                let point = Some(point);
                self.rig.server.tell(&Command::Release { point })?;
            }
            Step::Wait => self.rig.server.advance(SKIP)?,
            Step::RotateKeys => {
                self.rig.issuer.rotate();
                // Asked for again no sooner.
                self.rig.server.advance(Duration::from_secs(11))?;
            }
            Step::Push => self.push().await?,
            Step::Told { p } => self.webhook(&self.people[p].clone()),
            Step::ProviderDown => self.rig.issuer.set_down(true),
            Step::ProviderUp => self.rig.issuer.set_down(false),
            Step::Kill => {
                self.clients.iter_mut().for_each(Driver::before_kill);
                self.rig.server.kill().await?;
                self.rig.sockets.store(0, Ordering::Relaxed);
                let url = self.rig.server.url();
                for client in &mut self.clients {
                    client.after_kill(&url).await;
                }
            }
        }
        Ok(())
    }

    async fn act(&mut self, c: usize, act: Act) {
        let url = self.rig.server.url();
        self.clients[c].act(act, &self.mint, &url).await;
    }

    fn request(&mut self, p: usize, kind: &str, path: &str, args: Json) {
        let token = self.mint.token(&self.people[p], Quality::Fresh);
        let body = json!({ "path": path, "args": args, "format": "json" });
        let url = format!("{}/api/{kind}", self.rig.server.url());
        let request = self.rig.http.post(url).bearer_auth(token).json(&body);
        self.requests.spawn(async move {
            // How it ended is in the record.
            let _ = request.send().await;
        });
    }

    /// Begins to push new code, unless that is under way already.
    async fn push(&mut self) -> anyhow::Result<()> {
        let is_under_way = self
            .push
            .as_ref()
            .is_some_and(|(_, push)| !push.is_finished());
        let Some(pusher) = self.rig.pusher.clone().filter(|_| !is_under_way) else {
            return Ok(());
        };
        self.end_push().await?;
        let (url, tape) = (self.rig.server.url(), self.rig.server.tape.clone());
        let push = tokio::spawn(async move {
            pusher.push(&url).await?;
            tape.push(remark(&Remark::Pushed));
            Ok(())
        });
        self.push = Some((self.rig.server.lives(), push));
        Ok(())
    }

    /// Waits for the push that is under way. It may fail when its server was killed.
    async fn end_push(&mut self) -> anyhow::Result<()> {
        if let Some((lives, push)) = self.push.take() {
            let pushed = push.await?;
            ensure!(
                pushed.is_ok() || self.rig.server.lives() > lives,
                "a push failed: {pushed:?}"
            );
        }
        Ok(())
    }

    /// The webhook tells of a person.
    fn webhook(&mut self, person: &Person) {
        let url = format!("{}/http/told", self.rig.server.url());
        let identity = self.mint.identity(person).as_str().to_string();
        let request = self.rig.http.post(url).body(identity);
        self.requests.spawn(async move {
            // A webhook that is lost is told again in the end.
            let _ = request.send().await;
        });
    }

    /// A new person signs in. They must get in although others are held up, unless those hold the one lane itself or
    /// are held up where every login would be.
    async fn probe(&mut self) -> anyhow::Result<()> {
        self.rig.issuer.set_down(false);
        // Only those who wait already are to be in the way.
        self.rig.server.tell(&Command::Disarm)?;
        self.rig.server.obeyed().await?;
        let held_up = self.rig.server.tape.look(oracle::held_up);
        let is_lane = |point: &Point| {
            use Point::{AfterCommit, BeforeCommit, FunctionReturned, LaneEntered};
            matches!(
                point,
                LaneEntered | FunctionReturned | BeforeCommit | AfterCommit
            )
        };
        if held_up.is_empty() || held_up.iter().any(is_lane) {
            return Ok(());
        }
        let person = Person {
            face: Face::Plain,
            subject: format!(
                "ok-{}-{}-probe{}",
                std::process::id(),
                self.run,
                self.probes.len()
            ),
        };
        let identity = self.mint.identity(&person);
        let began = Remark::ProbeBegan {
            identity: identity.clone(),
        };
        self.rig.server.tell(&Command::Note(began))?;
        self.log_in(&person).await;
        let ended = Remark::ProbeEnded { identity };
        self.rig.server.tell(&Command::Note(ended))?;
        self.probes.push(person);
        Ok(())
    }

    /// A whole login of a person, with nothing in the way. Returns whether they saw themselves.
    async fn log_in(&mut self, person: &Person) -> bool {
        if self.kind == Kind::Webhook {
            self.webhook(person);
        }
        let (url, identity) = (self.rig.server.url(), self.mint.identity(person));
        let token = self.mint.token(person, Quality::Fresh);
        let mut client = Client::new(&self.rig.sockets);
        client.watch(&url, Watched::Me).await;
        client.sign_in(&url, identity.clone(), token).await;
        client.saw_itself(&identity, PATIENCE).await
    }

    /// Lets every held caller go and everything end, then lets in every permitted person, and looks at the stored
    /// documents. Returns everything that did not come to an end.
    async fn come_to_rest(mut self, plan: &Plan) -> anyhow::Result<Vec<oracle::Violation>> {
        self.rig.issuer.set_down(false);
        self.rig.server.tell(&Command::Release { point: None })?;
        self.end_push().await?;
        if plan.kind == Kind::Webhook {
            self.people
                .clone()
                .iter()
                .for_each(|person| self.webhook(person));
        }
        let mut unrest = Vec::new();
        self.clients.iter_mut().for_each(Driver::open_ways);
        for (c, client) in self.clients.iter_mut().enumerate() {
            if !client.settle(PATIENCE).await {
                let says = format!("client {c} never got all its answers");
                unrest.push(oracle::Violation::new("G8", says));
            }
        }
        while self.requests.join_next().await.is_some() {}
        let stories = self.end_clients().await?;
        for (p, (manner, _)) in plan.people.iter().enumerate() {
            if manner.is_let_in() && !self.gets_in(p).await? {
                let says = format!("person {p} cannot sign in though nothing is in the way");
                unrest.push(oracle::Violation::new("G8", says));
            }
        }
        while self.requests.join_next().await.is_some() {}
        let sockets = self.rig.sockets.load(Ordering::Relaxed);
        let is_quiet = |events: &[Event]| oracle::is_quiet(events, sockets);
        if !self.rig.server.tape.wait(PATIENCE, is_quiet).await {
            unrest.push(oracle::Violation::new("G8", "something never ended".into()));
        }
        self.read_rows().await?;
        if plan.kind.is_ours() {
            self.read_marks().await?;
        }
        stories
            .into_iter()
            .for_each(|saw| self.rig.server.tape.push(remark(&saw)));
        // The answers are in the record, but perhaps not read from it yet.
        self.rig.server.obeyed().await?;
        Ok(unrest)
    }

    /// Ends all clients. Returns what they saw.
    async fn end_clients(&mut self) -> anyhow::Result<Vec<Remark>> {
        let mut stories = Vec::new();
        for (client, driver) in self.clients.drain(..).enumerate() {
            let (sockets, story) = driver.end().await?;
            self.rig.sockets.fetch_add(sockets, Ordering::Relaxed);
            stories.extend(story.into_iter().map(|saw| Remark::Saw { client, saw }));
        }
        Ok(stories)
    }

    async fn gets_in(&mut self, p: usize) -> anyhow::Result<bool> {
        let person = self.people[p].clone();
        for _ in 0..ATTEMPTS_MAX {
            if self.log_in(&person).await {
                return Ok(true);
            }
            self.rig.server.advance(SKIP)?;
        }
        Ok(false)
    }

    async fn read_rows(&mut self) -> anyhow::Result<()> {
        let everybody: Vec<_> = self.people.iter().chain(&self.probes).cloned().collect();
        for person in everybody {
            let identity = self.mint.identity(&person);
            let answer = self.read("users:rows", &identity).await?;
            let count = |place: usize| answer[place].as_f64().unwrap_or(-1.0) as u64;
            self.rig.server.tape.push(remark(&Remark::Rows {
                identity,
                users: count(0),
                settings: count(1),
            }));
        }
        Ok(())
    }

    async fn read_marks(&mut self) -> anyhow::Result<()> {
        for person in self.people.clone() {
            let identity = self.mint.identity(&person);
            let answer = self.read("notes:written", &identity).await?;
            let marks = serde_json::from_value(answer)?;
            let written = Remark::Written { identity, marks };
            self.rig.server.tape.push(remark(&written));
        }
        Ok(())
    }

    /// The result of a query about an identity that every caller may ask about.
    async fn read(&self, path: &str, identity: &IdentityKey) -> anyhow::Result<Json> {
        let args = json!({ "token": identity });
        let body = json!({ "path": path, "args": args, "format": "json" });
        let url = format!("{}/api/query", self.rig.server.url());
        let answer = self.rig.http.post(url).json(&body).send().await?;
        let mut answer: Json = answer.error_for_status()?.json().await?;
        Ok(answer["value"].take())
    }
}
