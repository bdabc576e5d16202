//! Identities whose users are made outside the gate: the gate waits for the document.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use vestibule_schema::object;
use vestibule_schema::table::Schema;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::{Object, Value};

use super::{Rooms, Setup, User, person, rooms, verified};
use crate::auth::{Caller, VerifiedUser};
use crate::clock::{Clock, ManualClock, UnixNanos};
use crate::database::{Catalog, TableMeta, Transaction};
use crate::deployment::Deployment;
use crate::deployment::provisioning::{PROVISION_WHEN, PROVISION_WITH};
use crate::functions::{Call, CallSource, Error, Function, MutationCtx, Registry, Result};
use crate::provisioning::{
    Admission, CONNECTION_PATIENCE, REFUSED_AFTER, SCANNED_MAX, Stated, Unprovisioned,
};

/// Documents that one mutation makes to fill a table.
const FILLED_AT_ONCE: usize = 2_000;
/// The users' index holds their token identifiers.
const WHEN: &str = "users.by_token:tokenIdentifier";

#[derive(Deserialize)]
struct Made {
    token: String,
}

/// A deployment whose variables say how users come to exist.
struct World {
    rooms: Rooms,
    clock: Arc<ManualClock>,
}

/// The change of the definitions, as a push makes it.
type Change = Box<dyn Fn(&mut Transaction<'_>) -> Result<()> + Send + Sync>;

fn functions(changes: Vec<(&'static str, Change)>) -> Vec<Function> {
    let make = |ctx: &mut MutationCtx<'_>, made: Made| {
        let name = "made".to_owned();
        let token = made.token;
        ctx.db().insert(User { name, token })?;
        Ok(())
    };
    let mut functions = vec![
        Function::mutation("hooks:make", make).internal(),
        Function::mutation("users:store", |ctx: &mut MutationCtx<'_>, (): ()| {
            let who = ctx.identity()?.ok_or_else(|| Error::new("nobody"))?;
            let token = who.token_identifier().to_owned();
            let users = ctx.db().query::<User>();
            if users.index(User::BY_TOKEN, &token).unique()?.is_none() {
                let name = "stored".to_owned();
                ctx.db().insert(User { name, token })?;
            }
            Ok(())
        }),
        Function::mutation("users:forget", |ctx: &mut MutationCtx<'_>, (): ()| {
            let who = ctx.identity()?.ok_or_else(|| Error::new("nobody"))?;
            Ok(who.token_identifier().len() as f64)
        })
        .internal(),
        Function::mutation("users:clear", |ctx: &mut MutationCtx<'_>, (): ()| {
            for user in ctx.db().query::<User>().collect()? {
                ctx.db().delete(user.id)?;
            }
            Ok(())
        }),
    ];
    for (path, change) in changes {
        let change = move |ctx: &mut MutationCtx<'_>, (): ()| change(ctx.db().transaction());
        functions.push(Function::mutation(path, change));
    }
    functions
}

/// Sets variables, as `env set` does.
fn sets(variables: Vec<(&'static str, &'static str)>) -> Change {
    Box::new(move |tx| {
        let definitions = tx.definitions().clone();
        let registry = Registry::of(&definitions).clone();
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| (name.to_string(), value.to_string()));
        let deployment = Deployment::new(variables.collect());
        let registry = registry.with_deployment(Arc::new(deployment));
        let stored = format!("at {}", tx.snapshot_ts().0);
        let stored = object! { "name" => stored, "value" => "" };
        tx.insert("_environment_variables", stored)?;
        for name in [PROVISION_WITH, PROVISION_WHEN] {
            tx.touch(crate::database::Dependency::Variable(name));
        }
        Ok(tx.set_extension(Arc::new(registry))?)
    })
}

/// Changes the table of users, as a push of a schema does.
fn changes_table(change: fn(&mut TableMeta)) -> Change {
    Box::new(move |tx| {
        let mut catalog = Catalog::clone(&tx.catalog());
        let mut users = TableMeta::clone(catalog.table("users").expect("it is declared"));
        change(&mut users);
        catalog.set(users);
        Ok(tx.set_catalog(catalog)?)
    })
}

impl World {
    fn with(with: Option<&str>, when: Option<&str>) -> World {
        let [with, when] = [with, when].map(|said| said.map(str::to_owned));
        World::stated(Stated::ByDeployment { with, when }, Vec::new())
    }

    fn stated(stated: Stated, changes: Vec<(&'static str, Change)>) -> World {
        let clock = Arc::new(ManualClock::at(UnixNanos::from_seconds(1_760_000_000)));
        let setup = Setup {
            stated,
            clock: clock.clone(),
            ..Setup::default()
        };
        let schema = Schema::new().table::<User>();
        World {
            rooms: rooms(schema, functions(changes), setup),
            clock,
        }
    }

    /// Starts to admit an identity.
    fn admits(
        &self,
        user: &VerifiedUser,
    ) -> tokio::task::JoinHandle<std::result::Result<Caller, Unprovisioned>> {
        let (gate, user) = (self.rooms.gate.clone(), user.clone());
        tokio::spawn(async move { gate.admit(&user).await })
    }

    async fn run(&self, path: &str, args: Object) -> Timestamp {
        let call = Call {
            path: path.parse().unwrap(),
            args: Value::Object(args),
            caller: Caller::nobody(),
            source: CallSource::Function(None),
        };
        let run = self.rooms.functions.mutate(call).await.unwrap();
        let returned = matches!(run.outcome, crate::functions::FunctionOutcome::Returned(_));
        assert!(returned, "{:?}", run.outcome);
        run.ts
    }

    /// As a provider's webhook does.
    async fn make(&self, user: &VerifiedUser) -> Timestamp {
        let token = user.identity.token_identifier.as_str();
        self.run("hooks:make", object! { "token" => token }).await
    }

    /// Waits until so many identities wait.
    async fn waiting(&self, identities: usize) {
        while self.rooms.gate.lobby.len() != identities {
            tokio::task::yield_now().await;
        }
        // They have begun to watch.
        while self.rooms.live.census().subscribers < identities {
            tokio::task::yield_now().await;
        }
        self.rooms.live.settle().await;
    }

    /// Waits until the newest commit is known to have made nothing stale, or something.
    async fn news_is_out(&self) {
        let database = self.rooms.functions.database();
        while database.write_log().newest() < database.durable_ts() {
            tokio::task::yield_now().await;
        }
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

fn ada() -> VerifiedUser {
    person("ada", "Ada")
}

fn reason(outcome: std::result::Result<Caller, Unprovisioned>) -> String {
    match outcome {
        Err(Unprovisioned::Missing { reason } | Unprovisioned::NeverCame { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn whoever_has_a_document_already_is_let_in_and_known_from_then_on() {
    let world = World::with(None, Some(WHEN));
    let made = world.make(&ada()).await;
    let caller = world.rooms.gate.admit(&ada()).await.unwrap();
    assert!(caller.proof().unwrap().committed_at() >= made);
    world.news_is_out().await;
    assert!(world.rooms.gate.admit_known(&ada()).is_some());
    assert!(
        world
            .rooms
            .gate
            .admit_known(&person("bob", "Bob"))
            .is_none()
    );
    world.run("users:clear", object! {}).await;
    world.news_is_out().await;
    assert!(world.rooms.gate.admit_known(&ada()).is_none());
}

#[tokio::test]
async fn a_webhook_opens_the_gate_for_all_who_wait_at_its_commit_and_for_nobody_else() {
    let world = World::with(None, Some(WHEN));
    let waiting = [world.admits(&ada()), world.admits(&ada())];
    let bob = world.admits(&person("bob", "Bob"));
    world.waiting(2).await;
    let made = world.make(&ada()).await;
    for caller in waiting {
        let caller = caller.await.unwrap().unwrap();
        assert!(caller.proof().unwrap().committed_at() >= made);
    }
    // A second delivery changes nothing for him.
    world.run("users:clear", object! {}).await;
    world.make(&ada()).await;
    assert!(!bob.is_finished());
    world.waiting(1).await;
    bob.abort();
    assert!(bob.await.is_err());
    assert_eq!(world.rooms.gate.lobby.len(), 0);
    assert_eq!(world.rooms.live.census().subscribers, 0);
}

#[tokio::test]
async fn nobody_waits_longer_than_a_minute_and_only_after_ten_in_all_is_one_refused() {
    let world = World::with(None, Some(WHEN));
    let begun = world.clock.elapsed();
    loop {
        let waits = world.admits(&ada());
        world.waiting(1).await;
        world.pass(CONNECTION_PATIENCE.as_secs() - 1);
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        world.pass(1);
        let outcome = waits.await.unwrap();
        let has_waited = world.clock.elapsed() - begun;
        if has_waited < REFUSED_AFTER {
            let reason =
                "no document in users.by_token has the claim \"tokenIdentifier\" of its token";
            let reason = reason.to_owned();
            assert_eq!(outcome.unwrap_err(), Unprovisioned::Missing { reason });
            continue;
        }
        let never = outcome.unwrap_err();
        assert!(
            matches!(never, Unprovisioned::NeverCame { .. }),
            "{never:?}"
        );
        assert_eq!(has_waited, REFUSED_AFTER);
        let refusal = never.refusal(&["users:signUp".to_owned()]).unwrap();
        for part in ["users.by_token", "users:signUp", PROVISION_WITH, "none"] {
            assert!(refusal.message.contains(part), "{}", refusal.message);
        }
        let data = object! {
            "code" => "UserMissing",
            "waiting" => Value::Array(vec!["users:signUp".into()]),
        };
        assert_eq!(refusal.data, Some(Value::Object(data)));
        return;
    }
}

#[tokio::test]
async fn one_who_asks_by_http_can_stop_holding_a_place_while_they_wait() {
    let world = World::with(None, Some(WHEN));
    let Ok(Admission::Waits(waiting)) = world.rooms.gate.enter(&ada()).await else {
        panic!("she was let in");
    };
    // Nothing of the reading side is held: its threads all take up other work.
    world.rooms.live.settle().await;
    let until = world.clock.elapsed() + Duration::from_secs(10);
    let waits = tokio::spawn(waiting.until(until));
    world.waiting(1).await;
    world.pass(10);
    let missing = waits.await.unwrap().unwrap_err();
    assert_eq!(
        (missing.name(), missing.try_again_code()),
        ("missing", "ProvisioningMissing")
    );
}

#[tokio::test]
async fn with_both_the_mutation_runs_first_and_then_the_document_is_there() {
    let world = World::with(Some("users:gone|users:store"), Some(WHEN));
    let caller = world.rooms.gate.admit(&ada()).await.unwrap();
    let newest = world.rooms.functions.database().durable_ts();
    assert_eq!(caller.proof().unwrap().committed_at(), newest);
}

#[tokio::test]
async fn a_mutation_that_forgets_to_insert_is_named() {
    let world = World::with(Some("users:forget"), Some(WHEN));
    let waits = world.admits(&ada());
    world.waiting(1).await;
    world.pass(60);
    assert_eq!(
        reason(waits.await.unwrap()),
        "users:forget committed, and still no document in users.by_token has the claim \"tokenIdentifier\" of its caller"
    );
    // A webhook may still come.
    let waits = world.admits(&ada());
    world.waiting(1).await;
    world.make(&ada()).await;
    waits.await.unwrap().unwrap();
}

#[tokio::test]
async fn c3_a_claim_that_the_token_lacks_is_named() {
    let world = World::with(None, Some("users.by_token:email"));
    let refused = world.rooms.gate.admit(&ada()).await.unwrap_err();
    let Unprovisioned::Refused(thrown) = refused else {
        panic!("{refused:?}");
    };
    let data = object! { "code" => "ClaimMissing", "claim" => "email" };
    assert_eq!(thrown.data, Some(Value::Object(data)));
    let with_claim = verified("ada", object! { "email" => "ada@example.test" });
    let waits = world.admits(&with_claim);
    world.waiting(1).await;
    let token = "ada@example.test";
    world.run("hooks:make", object! { "token" => token }).await;
    waits.await.unwrap().unwrap();
}

#[tokio::test]
async fn before_anything_is_pushed_that_makes_the_rules_possible_identities_wait_for_it() {
    let changes = vec![
        ("env:wrong", sets(vec![(PROVISION_WITH, "users:later")])),
        ("env:right", sets(vec![(PROVISION_WITH, "users:store")])),
    ];
    let world = World::stated(Stated::by_variables(), changes);
    // Nothing said is plain Convex.
    let caller = world.rooms.gate.admit(&ada()).await.unwrap();
    assert_eq!(caller.proof().unwrap().committed_at(), Timestamp::ZERO);
    world.run("env:wrong", object! {}).await;
    let waits = world.admits(&ada());
    world.waiting(1).await;
    world.pass(60);
    assert!(
        reason(waits.await.unwrap()).contains("names users:later, and there is no such function")
    );
    let waits = world.admits(&ada());
    world.waiting(1).await;
    let changed = world.run("env:right", object! {}).await;
    let caller = waits.await.unwrap().unwrap();
    assert!(caller.proof().unwrap().committed_at() > changed);
    // A missing document that no step can make refuses no identity, however long it takes.
    world.run("env:wrong", object! {}).await;
    for _ in 0..11 {
        let waits = world.admits(&ada());
        world.waiting(1).await;
        world.pass(60);
        let missing = waits.await.unwrap().unwrap_err();
        assert!(matches!(missing, Unprovisioned::Missing { .. }));
    }
}

#[tokio::test]
async fn c14_a_change_counts_from_the_next_who_comes() {
    let changes = vec![
        ("env:when", sets(vec![(PROVISION_WHEN, WHEN)])),
        ("env:none", sets(vec![(PROVISION_WITH, "none")])),
    ];
    let world = World::stated(Stated::by_variables(), changes);
    world.run("env:when", object! {}).await;
    let waits = world.admits(&ada());
    world.waiting(1).await;
    world.run("env:none", object! {}).await;
    // She goes on waiting for the step that was asked of her when she came; a later identity is let in.
    world.rooms.gate.admit(&person("bob", "Bob")).await.unwrap();
    assert!(!waits.is_finished());
    world.make(&ada()).await;
    waits.await.unwrap().unwrap();
}

#[tokio::test]
async fn while_its_index_is_being_built_a_small_table_is_looked_through_and_a_large_one_is_not() {
    let unbuilt = changes_table(|users| users.indexes[0].ready = false);
    let fill: Change = Box::new(|tx| {
        let ts = tx.snapshot_ts().0;
        for number in 0..FILLED_AT_ONCE {
            let token = format!("token {number} at {ts}");
            let fields = object! { "name" => "n", "token" => token };
            tx.insert("users", fields)?;
        }
        Ok(())
    });
    let changes = vec![("push:index", unbuilt), ("users:fill", fill)];
    let stated = Stated::ByDeployment {
        with: None,
        when: Some(WHEN.to_owned()),
    };
    let world = World::stated(stated, changes);
    world.run("push:index", object! {}).await;
    let waits = world.admits(&ada());
    world.waiting(1).await;
    world.make(&ada()).await;
    waits.await.unwrap().unwrap();
    world.run("users:clear", object! {}).await;
    for _ in 0..=SCANNED_MAX / FILLED_AT_ONCE {
        world.run("users:fill", object! {}).await;
    }
    let building = world.rooms.gate.admit(&ada()).await;
    assert!(reason(building).contains("users.by_token is still being built"));
}

#[tokio::test]
async fn an_older_state_is_judged_by_what_it_held() {
    let world = World::with(Some("users:forget"), Some(WHEN));
    let database = world.rooms.functions.database().clone();
    let leases = database.leases();
    let before = leases.take().unwrap();
    world.make(&ada()).await;
    let after = leases.take().unwrap();
    let was = |ts| {
        let snapshot = leases.find(ts).unwrap();
        let snapshot = snapshot.lock();
        let gate = &world.rooms.gate;
        gate.was_provisioned_on(&*snapshot, &ada().identity)
            .unwrap()
    };
    assert!(!was(before));
    assert!(was(after));
}
