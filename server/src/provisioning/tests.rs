//! The gate alone: who runs, who joins, and how each wait ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::registry::Registry as Metrics;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use vestibule_schema::identity::Identity;
use vestibule_schema::object;
use vestibule_schema::table::{Index, Schema, Table};
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::{Object, Value};

use super::{Gate, GateMetrics, GateOptions, Unprovisioned};
use crate::auth::{Caller, IdentityAccess};
use crate::clock::{ManualClock, UnixNanos};
use crate::database::{CommitterOptions, Database, DatabaseOptions, Limits};
use crate::functions::{Error, Function, Functions, MutationCtx, Registry, Result};
use crate::storage::StoreOptions;
use crate::subscriptions::{Following, LiveQueries};

/// Long enough that a test may let time pass in small steps while it waits for a thread.
const DEADLINE: Duration = Duration::from_secs(100_000);

#[derive(Serialize, Deserialize)]
struct User {
    token: String,
}

impl User {
    const BY_TOKEN: Index<User> = Index::unique("by_token", &["token"]);
}

impl Table for User {
    const NAME: &'static str = "users";
    const INDEXES: &'static [Index<User>] = &[User::BY_TOKEN];
}

/// What `ensureUser` does for whom, and what it saw.
#[derive(Default)]
struct Hooks {
    runs: AtomicUsize,
    emails: Mutex<Vec<Option<String>>>,
    /// While it is locked, the lane stands still behind the write of a new user.
    lane: Mutex<()>,
}

struct Rig {
    gate: Arc<Gate>,
    functions: Arc<Functions>,
    hooks: Arc<Hooks>,
    clock: Arc<ManualClock>,
    metrics: Metrics,
    _following: Following,
    _dir: TempDir,
}

impl Rig {
    fn start() -> Rig {
        Rig::with(Some("users:ensureUser"), CommitterOptions::default())
    }

    fn with(function: Option<&str>, committer: CommitterOptions) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(UnixNanos::from_seconds(1_760_000_000)));
        let database = Database::open(DatabaseOptions {
            dir: dir.path().to_path_buf(),
            schema: Schema::new().table::<User>(),
            limits: Limits { documents_written_max: 2, ..Limits::default() },
            store: StoreOptions::default(),
            committer,
            reader_threads: 2,
            secret: [7; 32],
            clock: clock.clone(),
            rng: Box::new(StdRng::seed_from_u64(1)),
            on_unknown: Box::new(|unknown| panic!("{unknown}")),
        });
        let hooks = Arc::new(Hooks::default());
        let ensuring = hooks.clone();
        let held = hooks.clone();
        let registry = Registry::new(vec![
            Function::mutation("users:ensureUser", move |ctx: &mut MutationCtx, (): ()| ensure_user(ctx, &ensuring)),
            Function::mutation("users:hold", move |_: &mut MutationCtx, (): ()| {
                drop(held.lane.lock());
                Ok(())
            }),
        ]);
        let functions = Functions::new(registry.unwrap(), Arc::new(database.unwrap()));
        let (live, following) = LiveQueries::start(functions.clone());
        let mut metrics = Metrics::default();
        let options = GateOptions { function: function.map(|path| path.parse().unwrap()), deadline: DEADLINE };
        let gate_metrics = Arc::new(GateMetrics::register(&mut metrics));
        let gate = Gate::new(functions.clone(), live, options, clock.clone(), gate_metrics);
        Rig { gate, functions, hooks, clock, metrics, _following: following, _dir: dir }
    }

    async fn admit(&self, subject: &str) -> Result<Caller, Unprovisioned> {
        self.gate.admit(&identity(subject, None)).await
    }

    fn ask(&self, identity: Arc<Identity>) -> tokio::task::JoinHandle<Result<Caller, Unprovisioned>> {
        let gate = self.gate.clone();
        tokio::spawn(async move { gate.admit(&identity).await })
    }

    fn runs(&self) -> usize {
        self.hooks.runs.load(Ordering::SeqCst)
    }

    fn metric(&self, name: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).unwrap();
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a metric has come this far.
    async fn reached(&self, name: &str, value: f64) {
        while self.metric(name) < value {
            tokio::task::yield_now().await;
        }
    }
}

fn ensure_user(ctx: &mut MutationCtx, hooks: &Hooks) -> Result<()> {
    hooks.runs.fetch_add(1, Ordering::SeqCst);
    let who = ctx.identity()?.ok_or_else(|| Error::new("nobody"))?;
    hooks.emails.lock().push(who.text("email").map(str::to_string));
    if who.subject == "stranger" {
        return Err(Error::application(object! { "code" => "NotInvited" }));
    }
    assert!(who.subject != "jinx", "broke");
    let copies = if who.subject == "glutton" { 9 } else { 1 };
    for n in 0..copies {
        let token = format!("{} {n}", who.token_identifier);
        if ctx.db().query::<User>().index(User::BY_TOKEN, &token).unique()?.is_none() {
            ctx.db().insert(User { token })?;
        }
    }
    drop(hooks.lane.lock());
    Ok(())
}

fn identity(subject: &str, email: Option<&str>) -> Arc<Identity> {
    let attributes: Object = email.map(|email| ("email".to_string(), Value::from(email))).into_iter().collect();
    Arc::new(Identity::new("https://issuer.example", subject, attributes))
}

#[tokio::test]
async fn a_new_user_is_let_in_at_the_commit_of_their_document() {
    let rig = Rig::start();
    let before = rig.functions.database().durable_ts();
    let caller = rig.admit("ada").await.unwrap();
    let committed_at = caller.proof().unwrap().committed_at();
    assert!(committed_at > before && committed_at == rig.functions.database().durable_ts());
    assert!(matches!(caller.identity(), IdentityAccess::Known(Some(who)) if who.subject == "ada"));
    assert_eq!(rig.metric("gate_outcomes_total{outcome=\"Provisioned\"}"), 1.0);
    assert_eq!(rig.metric("gate_wait_seconds_count"), 1.0);
}

#[tokio::test]
async fn a_known_user_writes_nothing_and_runs_again_only_when_what_was_read_has_changed() {
    let rig = Rig::start();
    rig.admit("ada").await.unwrap();
    rig.admit("ada").await.unwrap();
    let (runs, committed) = (rig.runs(), rig.functions.database().durable_ts());
    for _ in 0..5 {
        let caller = rig.admit("ada").await.unwrap();
        assert!(caller.proof().unwrap().committed_at() >= committed);
    }
    assert_eq!((rig.runs(), rig.functions.database().durable_ts()), (runs, committed));
}

#[tokio::test]
async fn all_who_ask_at_once_share_one_run() {
    let rig = Rig::start();
    let asked = {
        let _lane = rig.hooks.lane.lock();
        let asked: Vec<_> = (0..50).map(|_| rig.ask(identity("ada", None))).collect();
        rig.reached("gate_joined_total", 49.0).await;
        asked
    };
    let mut proofs = Vec::new();
    for asked in asked {
        proofs.push(asked.await.unwrap().unwrap().proof().unwrap());
    }
    assert!(proofs.iter().all(|proof| proof == &proofs[0]));
    // Once where it may not write, once where it may.
    assert_eq!(rig.runs(), 2);
    assert_eq!(rig.metric("gate_outcomes_total{outcome=\"Provisioned\"}"), 1.0);
}

#[tokio::test]
async fn a_refusal_passes_its_data_on_and_is_not_tried_again() {
    let rig = Rig::start();
    match rig.admit("stranger").await.unwrap_err() {
        Unprovisioned::Refused(thrown) => {
            assert_eq!(thrown.data, Some(Value::Object(object! { "code" => "NotInvited" })));
        }
        Unprovisioned::Failed { reason } => panic!("{reason}"),
    }
    assert_eq!(rig.runs(), 1);
    assert_eq!(rig.metric("gate_outcomes_total{outcome=\"Refused\"}"), 1.0);
    rig.admit("stranger").await.unwrap_err();
    assert_eq!(rig.runs(), 2, "a refusal is not kept: the next Authenticate asks again");
}

#[tokio::test]
async fn a_panic_or_a_passed_limit_is_a_failure_and_no_refusal() {
    let rig = Rig::start();
    for (subject, text) in [("jinx", "broke"), ("glutton", "Too many writes")] {
        match rig.admit(subject).await.unwrap_err() {
            Unprovisioned::Failed { reason } => assert!(reason.contains(text), "{reason}"),
            Unprovisioned::Refused(thrown) => panic!("{thrown:?}"),
        }
    }
    assert_eq!(rig.metric("gate_outcomes_total{outcome=\"Failed\"}"), 2.0);
    rig.admit("ada").await.unwrap();
}

#[tokio::test]
async fn the_servers_own_trouble_is_waited_out() {
    let rig = Rig::with(Some("users:ensureUser"), CommitterOptions { queue_max: 1, ..CommitterOptions::default() });
    let asked = {
        let _lane = rig.hooks.lane.lock();
        let waiting = fill_the_lane(&rig).await;
        let asked = rig.ask(identity("ada", None));
        tried(&rig, 2).await;
        (asked, waiting)
    };
    for waiting in asked.1 {
        waiting.await.unwrap().unwrap();
    }
    while !asked.0.is_finished() {
        rig.clock.advance(Duration::from_millis(25));
        tokio::task::yield_now().await;
    }
    asked.0.await.unwrap().unwrap();
    assert_eq!(rig.metric("gate_outcomes_total{outcome=\"Provisioned\"}"), 1.0);
}

#[tokio::test]
async fn when_the_deadline_passes_all_who_wait_are_told_of_the_last_trouble() {
    let rig = Rig::with(Some("users:ensureUser"), CommitterOptions { queue_max: 1, ..CommitterOptions::default() });
    let _waiting = {
        let _lane = rig.hooks.lane.lock();
        let waiting = fill_the_lane(&rig).await;
        let asked: Vec<_> = (0..3).map(|_| rig.ask(identity("ada", None))).collect();
        tried(&rig, 3).await;
        rig.clock.advance(DEADLINE);
        for asked in asked {
            let failed = asked.await.unwrap().unwrap_err();
            let reason = "too many mutations are waiting to run".to_string();
            assert_eq!(failed, Unprovisioned::Failed { reason });
        }
        waiting
    };
    assert_eq!(rig.metric("gate_outcomes_total{outcome=\"Failed\"}"), 1.0);
}

/// Queues mutations until the lane takes no more.
async fn fill_the_lane(rig: &Rig) -> Vec<tokio::task::JoinHandle<Result<(), crate::functions::SystemError>>> {
    let mut waiting = Vec::new();
    loop {
        let functions = rig.functions.clone();
        let call = crate::functions::Call {
            path: "users:hold".parse().unwrap(),
            args: Value::Object(Object::new()),
            caller: Caller::system(),
            origin: crate::functions::Origin::Function,
        };
        let (answer, answered) = tokio::sync::oneshot::channel();
        let on_finish = Box::new(move |run: Result<_, _>| drop(answer.send(run)));
        match functions.submit_mutation(call, None, on_finish) {
            Ok(()) => waiting.push(tokio::spawn(async move { answered.await.unwrap().map(drop) })),
            // The lane has taken one and holds one in its queue.
            Err(_) if waiting.len() >= 2 => return waiting,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Waits until `ensureUser` has been run this often.
async fn ran(rig: &Rig, times: usize) {
    while rig.runs() < times {
        tokio::task::yield_now().await;
    }
}

/// Waits until the gate has tried this often, letting time pass between.
async fn tried(rig: &Rig, times: usize) {
    while rig.runs() < times {
        rig.clock.advance(Duration::from_millis(5));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_run_that_does_not_end_fails_at_the_deadline_and_may_still_commit() {
    let rig = Rig::start();
    let failed = {
        let _lane = rig.hooks.lane.lock();
        let asked = rig.ask(identity("ada", None));
        ran(&rig, 2).await;
        rig.clock.advance(DEADLINE);
        asked.await.unwrap()
    };
    assert!(matches!(failed, Err(Unprovisioned::Failed { .. })));
    rig.admit("ada").await.unwrap();
}

#[tokio::test]
async fn another_set_of_claims_of_the_same_person_gets_a_run_of_its_own() {
    let rig = Rig::start();
    let (old, new) = {
        let _lane = rig.hooks.lane.lock();
        let old = rig.ask(identity("ada", None));
        ran(&rig, 2).await;
        let new = rig.ask(identity("ada", Some("ada@example.com")));
        rig.reached("gate_joined_total", 1.0).await;
        (old, new)
    };
    let old = old.await.unwrap().unwrap();
    let new = new.await.unwrap().unwrap();
    assert!(old.proof().unwrap().committed_at() <= new.proof().unwrap().committed_at());
    let emails = rig.hooks.emails.lock().clone();
    assert_eq!(emails, [None, None, Some("ada@example.com".to_string())]);
}

#[tokio::test]
async fn a_run_goes_on_when_nobody_waits_for_it_any_more() {
    let rig = Rig::start();
    {
        let _lane = rig.hooks.lane.lock();
        let asked = rig.ask(identity("ada", None));
        ran(&rig, 2).await;
        asked.abort();
    }
    rig.reached("gate_outcomes_total{outcome=\"Provisioned\"}", 1.0).await;
    let committed = rig.functions.database().durable_ts();
    rig.admit("ada").await.unwrap();
    assert_eq!(rig.functions.database().durable_ts(), committed);
}

#[tokio::test]
async fn different_people_do_not_wait_for_each_others_runs_to_be_asked() {
    let rig = Rig::start();
    let asked: Vec<_> = (0..100).map(|n| rig.ask(identity(&format!("user{n}"), None))).collect();
    for asked in asked {
        asked.await.unwrap().unwrap();
    }
    assert_eq!(rig.metric("gate_joined_total"), 0.0);
    assert_eq!(rig.metric("gate_outcomes_total{outcome=\"Provisioned\"}"), 100.0);
}

#[tokio::test]
async fn without_a_provisioning_function_everybody_is_let_in() {
    let rig = Rig::with(None, CommitterOptions::default());
    assert!(rig.gate.is_open());
    let caller = rig.admit("stranger").await.unwrap();
    assert_eq!(caller.proof().unwrap().committed_at(), Timestamp::ZERO);
    assert_eq!(rig.runs(), 0);
}
