//! The gate by itself: one run for all who wait, and what they are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
use crate::auth::IdentityAccess;
use crate::clock::SystemClock;
use crate::database::{CommitterOptions, Database, DatabaseOptions, Limits};
use crate::functions::{Error, Function, Functions, MutationCtx, Registry, Result};
use crate::storage::StoreOptions;
use crate::subscriptions::{Following, LiveQueries};

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
    /// Times the provisioning function wrote.
    written: Arc<AtomicUsize>,
    metrics: Metrics,
    _following: Following,
    _dir: TempDir,
}

fn ensure_user(ctx: &mut MutationCtx, written: &AtomicUsize) -> Result<()> {
    let who = ctx.identity()?.ok_or_else(|| Error::new("nobody"))?;
    match who.subject() {
        "stranger" => return Err(Error::application(object! { "code" => "NotInvited" })),
        "broken" => panic!("broken"),
        _ => {}
    }
    let name = who.text("name").unwrap_or("Anonymous").to_string();
    let known = ctx
        .db()
        .query::<User>()
        .index(User::BY_TOKEN, who.token_identifier())
        .unique()?;
    match known {
        Some(user) if user.name == name => return Ok(()),
        Some(user) => ctx.db().patch(user.id, object! { "name" => name })?,
        None => drop(ctx.db().insert(User {
            token: who.token_identifier().to_string(),
            name,
        })?),
    }
    written.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn rig() -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let database = Database::open(DatabaseOptions {
        dir: dir.path().to_path_buf(),
        schema: Schema::new().table::<User>(),
        limits: Limits::default(),
        store: StoreOptions::default(),
        committer: CommitterOptions::default(),
        reader_threads: 2,
        secret: [1; 32],
        clock: clock.clone(),
        rng: Box::new(StdRng::seed_from_u64(4)),
        on_unknown: Box::new(|unknown| panic!("{unknown}")),
    });
    let written = Arc::new(AtomicUsize::new(0));
    let counted = written.clone();
    let ensure = Function::mutation("users:ensureUser", move |ctx: &mut MutationCtx, (): ()| {
        ensure_user(ctx, &counted)
    });
    let functions = Functions::new(
        Registry::new(vec![ensure]).unwrap(),
        Arc::new(database.unwrap()),
    );
    let (live, following) = LiveQueries::start(functions.clone());
    let mut metrics = Metrics::default();
    let options = GateOptions {
        function: Some("users:ensureUser".parse().unwrap()),
        deadline: Duration::from_secs(5),
    };
    let gate_metrics = Arc::new(GateMetrics::register(&mut metrics));
    let gate = Gate::new(functions.clone(), live, options, clock, gate_metrics);
    Rig {
        gate,
        functions,
        written,
        metrics,
        _following: following,
        _dir: dir,
    }
}

fn person(subject: &str, name: &str) -> Arc<Identity> {
    let attributes: Object = object! { "name" => Value::from(name) };
    Arc::new(Identity::new("https://issuer.test", subject, attributes))
}

impl Rig {
    fn writes(&self) -> usize {
        self.written.load(Ordering::Relaxed)
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
        assert_eq!(caller.identity(), IdentityAccess::Known(Some(&ada)));
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
