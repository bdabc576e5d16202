//! The gate by itself: one run for all waiting callers, and their answers.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use futures_util::future::join_all;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry as Metrics;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use vestibule_schema::identity::Identity;
use vestibule_schema::object;
use vestibule_schema::table::{Index, Schema, Table};
use vestibule_schema::value::{Object, Value};

use super::*;
use crate::auth::{Caller, IdentityAccess, VerifiedUser};
use crate::clock::{Clock, SystemClock, UnixNanos};
use crate::database::{CommitterOptions, Database, DatabaseOptions};
use crate::functions::{
    Call, CallSource, Error, Function, Functions, MutationCtx, QueryCtx, Registry, Result,
};
use crate::subscriptions::{Following, LiveQueries};

mod documents;
mod known;
mod people;
mod trouble;

#[derive(Serialize, Deserialize)]
struct User {
    token: String,
    name: String,
}

impl User {
    const BY_TOKEN: Index<User> = Index::unique("by_token", &["token"]);
}

impl Table for User {
    const NAME: &'static str = "users";
    const INDEXES: &'static [Index<User>] = &[User::BY_TOKEN];
}

struct Rig {
    gate: Arc<Gate>,
    functions: Arc<Functions>,
    live: Arc<LiveQueries>,
    /// Times the provisioning function wrote.
    written: Arc<AtomicUsize>,
    pause: Arc<Pause>,
    metrics: Metrics,
    _following: Following,
    _dir: TempDir,
}

/// Where one run stops, behind its read.
struct Pause {
    is_wanted: AtomicBool,
    has_read: Barrier,
    may_go_on: Barrier,
}

impl Pause {
    fn new() -> Arc<Pause> {
        Arc::new(Pause {
            is_wanted: AtomicBool::new(false),
            has_read: Barrier::new(2),
            may_go_on: Barrier::new(2),
        })
    }

    fn pass(&self) {
        if self.is_wanted.swap(false, Ordering::Relaxed) {
            self.has_read.wait();
            self.may_go_on.wait();
        }
    }
}

fn ensure_user(ctx: &mut MutationCtx, written: &AtomicUsize, pause: &Pause) -> Result<()> {
    let who = ctx.identity()?.ok_or_else(|| Error::new("nobody"))?;
    match who.subject() {
        "stranger" => return Err(Error::application(object! { "code" => "NotInvited" })),
        "broken" => panic!("broken"),
        "endless" => loop {
            ctx.db().query::<User>().count()?;
        },
        "greedy" => loop {
            let name = "g".repeat(100_000);
            let token = rand::random::<u128>().to_string();
            ctx.db().insert(User { token, name })?;
        },
        _ => {}
    }
    let name = who.text("name").unwrap_or("Anonymous").to_string();
    let token = match who.subject() {
        "careless" => format!("{} ", who.token_identifier()),
        _ => who.token_identifier().to_string(),
    };
    let known = ctx
        .db()
        .query::<User>()
        .index(User::BY_TOKEN, &token)
        .unique()?;
    pause.pass();
    match known {
        Some(user) if user.name == name && who.subject() != "restless" => return Ok(()),
        Some(user) => ctx.db().patch(user.id, object! { "name" => name })?,
        None => drop(ctx.db().insert(User { token, name })?),
    }
    written.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// A test's departures from the usual rig.
struct Setup {
    stated: Stated,
    committer: CommitterOptions,
    clock: Arc<dyn Clock>,
    first_logins_per_minute: Option<NonZeroU32>,
    checks: Option<Checks>,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            stated: Stated::ByProgram(ProvisioningRules::mutation(
                "users:ensureUser".parse().unwrap(),
            )),
            committer: CommitterOptions::default(),
            clock: Arc::new(SystemClock::new()),
            first_logins_per_minute: None,
            checks: None,
        }
    }
}

fn rig() -> Rig {
    rig_with(Setup::default())
}

fn rig_with(setup: Setup) -> Rig {
    let written = Arc::new(AtomicUsize::new(0));
    let pause = Pause::new();
    let (counted, pausing, holding) = (written.clone(), pause.clone(), pause.clone());
    let ensure = Function::mutation("users:ensureUser", move |ctx: &mut MutationCtx, (): ()| {
        ensure_user(ctx, &counted, &pausing)
    });
    let delete_all = Function::mutation("users:deleteAll", |ctx: &mut MutationCtx, (): ()| {
        for user in ctx.db().query::<User>().collect()? {
            ctx.db().delete(user.id)?;
        }
        Ok(())
    });
    let has_user = Function::query("users:exists", |ctx: &mut QueryCtx, (): ()| {
        let who = ctx.identity()?.ok_or_else(|| Error::new("nobody"))?;
        let users = ctx.db().query::<User>();
        let users = users.index(User::BY_TOKEN, who.token_identifier());
        Ok(users.first()?.is_some())
    });
    let hold = Function::mutation("users:hold", move |_: &mut MutationCtx, (): ()| {
        holding.pass();
        Ok(())
    });
    let schema = Schema::new().table::<User>();
    let functions = vec![ensure, delete_all, has_user, hold];
    let rooms = rooms(schema, functions, setup);
    Rig {
        gate: rooms.gate,
        functions: rooms.functions,
        live: rooms.live,
        written,
        pause,
        metrics: rooms.metrics,
        _following: rooms.following,
        _dir: rooms.dir,
    }
}

/// The rooms below the gate, and the gate in front of `users:ensureUser`.
struct Rooms {
    gate: Arc<Gate>,
    functions: Arc<Functions>,
    live: Arc<LiveQueries>,
    metrics: Metrics,
    following: Following,
    dir: TempDir,
}

fn rooms(schema: Schema, mut functions: Vec<Function>, setup: Setup) -> Rooms {
    let Setup {
        stated,
        committer,
        clock,
        first_logins_per_minute,
        checks,
    } = setup;
    functions.extend(super::functions(&stated));
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(DatabaseOptions {
        committer,
        rng: Box::new(StdRng::seed_from_u64(4)),
        ..DatabaseOptions::for_tests(dir.path(), schema, clock.clone())
    });
    let functions = Functions::new(
        Registry::new(functions).unwrap(),
        Arc::new(database.unwrap()),
    );
    let (live, following) = LiveQueries::start(functions.clone());
    let mut metrics = Metrics::default();
    let options = GateOptions {
        stated,
        deadline: Duration::from_secs(5),
        first_logins_per_minute,
        checks,
    };
    let gate_metrics = Arc::new(GateMetrics::register(&mut metrics));
    let gate = Gate::new(
        functions.clone(),
        live.clone(),
        options,
        clock,
        gate_metrics,
    );
    Rooms {
        gate,
        functions,
        live,
        metrics,
        following,
        dir,
    }
}

fn person(subject: &str, name: &str) -> VerifiedUser {
    let claims = object! { "name" => name, "picture" => "https://pictures.test/1" };
    verified(subject, claims)
}

fn verified(subject: &str, claims: Object) -> VerifiedUser {
    VerifiedUser {
        identity: Arc::new(Identity::new("https://issuer.test", subject, claims)),
        expires_at: UnixNanos::from_seconds(u32::MAX.into()),
        needs_provisioning: true,
        provider_gone: Default::default(),
    }
}

impl Rig {
    fn writes(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits until the newest commit is known to have made nothing stale, or something. Answers come a moment before.
    async fn news_is_out(&self) {
        let database = self.functions.database();
        while database.write_log().newest() < database.durable_ts() {
            tokio::task::yield_now().await;
        }
    }

    fn metric(&self, name: &str) -> String {
        let mut text = String::new();
        encode(&mut text, &self.metrics).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit(' ').next().unwrap().to_string()
    }
}

#[tokio::test]
async fn all_who_wait_for_one_person_share_one_run_and_its_commit() {
    let rig = rig();
    let ada = person("ada", "Ada");
    let callers = join_all((0..100).map(|_| rig.gate.admit(&ada))).await;
    for caller in callers {
        let caller = caller.unwrap();
        assert!(caller.proof().unwrap().committed_at() <= rig.functions.database().durable_ts());
        assert_eq!(
            caller.identity(),
            IdentityAccess::Known(Some(&ada.identity))
        );
    }
    assert_eq!(rig.writes(), 1);
    assert_eq!(rig.metric("gate_joined_total"), "99");
    assert_eq!(rig.metric("gate_wait_seconds_count"), "100");
}

#[tokio::test]
async fn a_known_person_costs_no_commit() {
    let rig = rig();
    let ada = person("ada", "Ada");
    rig.gate.admit(&ada).await.unwrap();
    let committed = rig.functions.database().durable_ts();
    for _ in 0..10 {
        rig.gate.admit(&ada).await.unwrap();
    }
    assert_eq!(
        (rig.functions.database().durable_ts(), rig.writes()),
        (committed, 1)
    );
}

#[tokio::test]
async fn other_claims_of_the_same_person_get_their_own_turn() {
    let rig = rig();
    let (old, new) = (person("ada", "Ada"), person("ada", "Ada L."));
    let (first, second) = tokio::join!(rig.gate.admit(&old), rig.gate.admit(&new));
    first.unwrap();
    second.unwrap();
    assert_eq!(rig.writes(), 2);
}

#[tokio::test]
async fn a_refusal_carries_the_apps_data_and_a_panic_is_a_failure() {
    let rig = rig();
    let Err(Unprovisioned::Refused(thrown)) = rig.gate.admit(&person("stranger", "S")).await else {
        panic!("a stranger was let in");
    };
    assert_eq!(
        thrown.data,
        Some(Value::Object(object! { "code" => "NotInvited" }))
    );
    let broken = rig.gate.admit(&person("broken", "B")).await;
    assert!(
        matches!(broken, Err(Unprovisioned::Failed { .. })),
        "{broken:?}"
    );
    assert_eq!(rig.metric("gate_outcomes_total{outcome=\"Refused\"}"), "1");
    assert_eq!(rig.metric("gate_outcomes_total{outcome=\"Failed\"}"), "1");
    rig.gate.admit(&person("ada", "Ada")).await.unwrap();
}

#[tokio::test]
async fn a_run_goes_on_when_the_one_who_asked_leaves() {
    let rig = rig();
    let ada = person("ada", "Ada");
    let asked = tokio::spawn({
        let (gate, ada) = (rig.gate.clone(), ada.clone());
        async move { gate.admit(&ada).await }
    });
    tokio::task::yield_now().await;
    asked.abort();
    rig.gate.admit(&ada).await.unwrap();
    assert_eq!(rig.writes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_after_a_commit_is_not_let_in_by_a_run_that_saw_the_state_before_it() {
    let rig = rig();
    let ada = person("ada", "Ada");
    rig.gate.admit(&ada).await.unwrap();
    rig.live.forget_idle();
    rig.pause.is_wanted.store(true, Ordering::Relaxed);
    let early = {
        let (gate, ada) = (rig.gate.clone(), ada.clone());
        tokio::spawn(async move { gate.admit(&ada).await })
    };
    let pause = rig.pause.clone();
    tokio::task::spawn_blocking(move || pause.has_read.wait())
        .await
        .unwrap();
    let deleted = rig
        .functions
        .mutate(nobodys("users:deleteAll"))
        .await
        .unwrap()
        .ts;
    let mut late = Box::pin(rig.gate.admit(&ada));
    assert!(futures_util::poll!(&mut late).is_pending());
    assert_eq!(rig.metric("gate_joined_total"), "1");
    rig.pause.may_go_on.wait();
    let committed_at = |caller: Caller| caller.proof().unwrap().committed_at();
    assert!(committed_at(early.await.unwrap().unwrap()) < deleted);
    assert!(committed_at(late.await.unwrap()) > deleted);
    assert_eq!(rig.writes(), 2);
}

fn nobodys(path: &str) -> Call {
    Call {
        path: path.parse().unwrap(),
        args: Value::Object(Object::new()),
        caller: Caller::nobody(),
        source: CallSource::Client(None),
    }
}
