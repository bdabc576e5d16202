//! Calls of functions: what they are given, what they may do, and what their callers are told.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use vestibule_schema::identity::Identity;
use vestibule_schema::object;
use vestibule_schema::table::{Schema, Table};
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::validator::Validator;
use vestibule_schema::value::{Object, Value};

use super::*;
use crate::auth::{Caller, ProvisioningProof};
use crate::clock::{ManualClock, UnixNanos};
use crate::database::{CommitterOptions, DatabaseOptions, Limits};
use crate::storage::StoreOptions;

#[derive(Serialize, Deserialize)]
struct Note {
    text: String,
}

impl Table for Note {
    const NAME: &'static str = "notes";
}

#[derive(Deserialize)]
struct Guests {
    room: String,
    guests: u32,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
struct Path {
    path: String,
}

struct Rig {
    functions: Arc<Functions>,
    _dir: TempDir,
}

impl Rig {
    fn start() -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(DatabaseOptions {
            dir: dir.path().to_path_buf(),
            schema: Schema::new().table::<Note>(),
            limits: Limits { args_bytes_max: 1 << 20, ..Limits::default() },
            store: StoreOptions::default(),
            committer: CommitterOptions::default(),
            reader_threads: 2,
            secret: [7; 32],
            clock: Arc::new(ManualClock::at(UnixNanos::from_seconds(1_760_000_000))),
            rng: Box::new(StdRng::seed_from_u64(1)),
            on_unknown: Box::new(|unknown| panic!("{unknown}")),
        });
        Rig { functions: Functions::new(registry(), Arc::new(database.unwrap())), _dir: dir }
    }

    async fn query(&self, path: &str, args: Object) -> QueryRun {
        self.functions.query(call(path, args), None).await.unwrap()
    }

    async fn mutate(&self, path: &str, args: Object) -> MutationRun {
        self.functions.mutate(call(path, args)).await.unwrap()
    }

    async fn act(&self, path: &str, args: Object) -> ActionRun {
        self.functions.act(call(path, args)).await.unwrap()
    }

    async fn count(&self) -> Value {
        returned(done(self.query("notes:count", object! {}).await))
    }
}

fn call(path: &str, args: Object) -> Call {
    Call {
        path: path.parse().unwrap(),
        args: Value::Object(args),
        caller: Caller::nobody(),
        origin: Origin::Client,
    }
}

fn ada() -> Arc<Identity> {
    Arc::new(Identity::new("https://issuer.example", "ada", Object::new()))
}

fn done(run: QueryRun) -> FunctionOutcome {
    match run.outcome {
        QueryOutcome::Done(outcome) => outcome,
        QueryOutcome::Suspended => panic!("suspended"),
    }
}

fn returned(outcome: FunctionOutcome) -> Value {
    match outcome {
        FunctionOutcome::Returned(value) => value,
        FunctionOutcome::Threw(thrown) => panic!("{thrown:?}"),
    }
}

fn thrown(outcome: FunctionOutcome) -> Thrown {
    match outcome {
        FunctionOutcome::Threw(thrown) => thrown,
        FunctionOutcome::Returned(value) => panic!("returned {value}"),
    }
}

fn registry() -> Registry {
    let functions = vec![
        Function::query("rooms:book", |_: &mut QueryCtx, Guests { room, guests }: Guests| {
            Ok(format!("{room} for {guests}"))
        }),
        Function::query("notes:count", |ctx: &mut QueryCtx, (): ()| Ok(ctx.db().query::<Note>().count()? as f64)),
        Function::query("notes:secret", |_: &mut QueryCtx, (): ()| Ok("secret")).internal(),
        Function::query("notes:who", |ctx: &mut QueryCtx, (): ()| {
            Ok(ctx.identity()?.map_or("nobody".to_string(), |who| who.subject.clone()))
        }),
        Function::query("notes:swallow", |ctx: &mut QueryCtx, (): ()| {
            // Not even a function that goes on after the error gets around the suspension.
            Ok(ctx.identity().is_ok())
        }),
        Function::query("notes:wrong", |_: &mut QueryCtx, (): ()| Ok("text")).returns(Validator::Number),
        Function::query("notes:large", |_: &mut QueryCtx, (): ()| Ok("x".repeat(2 << 20))),
        Function::query("notes:chatter", |ctx: &mut QueryCtx, (): ()| {
            (0..1_000).for_each(|n| ctx.console().info(n));
            Ok(())
        }),
        Function::query("notes:panic", |_: &mut QueryCtx, (): ()| -> Result<()> { panic!("at the query") }),
        Function::mutation("notes:add", |ctx: &mut MutationCtx, Text { text }: Text| {
            ctx.console().log(&text);
            Ok(ctx.db().insert(Note { text })?)
        }),
        Function::mutation("notes:hide", |ctx: &mut MutationCtx, Text { text }: Text| {
            Ok(ctx.db().insert(Note { text })?)
        })
        .internal(),
        Function::mutation("notes:idle", |_: &mut MutationCtx, (): ()| Ok(())),
        Function::mutation("notes:panicMutation", |ctx: &mut MutationCtx, (): ()| -> Result<()> {
            ctx.db().insert(Note { text: "never".into() })?;
            panic!("at the mutation")
        }),
        Function::mutation("notes:refuse", |ctx: &mut MutationCtx, (): ()| -> Result<()> {
            ctx.console().error("refusing");
            ctx.db().insert(Note { text: "never".into() })?;
            Err(Error::application(object! { "code" => "FULL", "left" => 0.0 }))
        }),
        Function::mutation("notes:late", |ctx: &mut MutationCtx, (): ()| {
            ctx.db().insert(Note { text: "never".into() })?;
            Ok(f64::NAN)
        })
        .returns(Validator::String),
        Function::action("acts:mutate", |ctx: ActionCtx, Path { path }: Path| async move {
            ctx.console(|console| console.warn("mutating"));
            ctx.run_mutation::<Value>(&path, object! { "text" => "from an action" }).await
        }),
        Function::action("acts:mutateWithout", |ctx: ActionCtx, Path { path }: Path| async move {
            ctx.run_mutation::<Value>(&path, ()).await
        }),
        Function::action("acts:query", |ctx: ActionCtx, Path { path }: Path| async move {
            ctx.run_query::<Value>(&path, ()).await
        }),
        Function::action("acts:nest", |ctx: ActionCtx, Path { path }: Path| async move {
            ctx.run_action::<Value>("acts:query", object! { "path" => path }).await
        }),
        Function::action("acts:panicAtOnce", |_: ActionCtx, (): ()| {
            assert!(std::env::args().count() == usize::MAX, "before the future");
            std::future::ready(Ok(()))
        }),
        Function::action("acts:panicLater", |ctx: ActionCtx, (): ()| async move {
            ctx.run_query::<Value>("notes:count", ()).await?;
            assert!(std::env::args().count() == usize::MAX, "in the future");
            Ok(())
        }),
        Function::action("acts:hidden", |_: ActionCtx, (): ()| async move { Ok("hidden") }).internal(),
    ];
    Registry::new(functions).unwrap()
}

// ---- arguments and results ---------------------------------------------------------------------------------

#[tokio::test]
async fn arguments_are_checked_against_the_type_that_reads_them() {
    let rig = Rig::start();
    let run = rig.query("rooms:book", object! { "room" => "blue", "guests" => 3.0 }).await;
    assert_eq!(returned(done(run)), Value::from("blue for 3"));
    let cases = [
        (object! { "room" => "blue" }, "guests"),
        (object! { "room" => "blue", "guests" => "three" }, "guests"),
        (object! { "room" => 7.0, "guests" => 3.0 }, "room"),
        (object! { "room" => "blue", "guests" => 3.0, "extra" => true }, "extra"),
        (object! { "room" => "blue", "guests" => 3.5 }, "guests"),
        (object! { "room" => "blue", "guests" => -1.0 }, "guests"),
    ];
    for (args, field) in cases {
        let thrown = thrown(done(rig.query("rooms:book", args.clone()).await));
        assert!(thrown.message.starts_with("ArgumentValidationError: "), "{args:?}: {}", thrown.message);
        assert!(thrown.message.contains(field), "{args:?}: {}", thrown.message);
        assert!(thrown.data.is_none() && !thrown.is_fault);
    }
    let thrown = thrown(done(rig.query("notes:count", object! { "extra" => 1.0 }).await));
    assert!(thrown.message.starts_with("ArgumentValidationError: "), "{}", thrown.message);
}

#[tokio::test]
async fn arguments_and_results_that_are_too_large_are_refused_by_name() {
    let rig = Rig::start();
    let text = "x".repeat(2 << 20);
    let refused = thrown(rig.mutate("notes:add", object! { "text" => text.as_str() }).await.outcome);
    assert_eq!(refused.message, "Arguments for notes:add are too large (actual: 3 MiB, limit: 1 MiB)");
    let refused = thrown(done(rig.query("notes:large", object! {}).await));
    assert_eq!(refused.message, "Function notes:large return value is too large (actual: 3 MiB, limit: 1 MiB)");
    assert_eq!(rig.count().await, Value::from(0.0));
}

#[tokio::test]
async fn a_result_must_be_what_its_function_declares_or_nothing_is_written() {
    let rig = Rig::start();
    let refused = thrown(done(rig.query("notes:wrong", object! {}).await));
    assert!(refused.message.starts_with("ReturnsValidationError: "), "{}", refused.message);
    let refused = thrown(rig.mutate("notes:late", object! {}).await.outcome);
    assert!(refused.message.starts_with("ReturnsValidationError: "), "{}", refused.message);
    assert_eq!(rig.count().await, Value::from(0.0));
}

// ---- who may call what -------------------------------------------------------------------------------------

#[tokio::test]
async fn a_function_of_another_kind_is_refused_naming_both_kinds() {
    let rig = Rig::start();
    let query = thrown(done(rig.query("notes:add", object! { "text" => "x" }).await));
    assert_eq!(query.message, "Trying to execute notes:add as Query, but it is defined as Mutation.");
    let mutation = thrown(rig.mutate("acts:query", object! {}).await.outcome);
    assert_eq!(mutation.message, "Trying to execute acts:query as Mutation, but it is defined as Action.");
    let action = thrown(rig.act("notes:count", object! {}).await.outcome);
    assert_eq!(action.message, "Trying to execute notes:count as Action, but it is defined as Query.");
}

#[tokio::test]
async fn an_internal_function_does_not_exist_for_clients_and_does_for_functions_and_admins() {
    let rig = Rig::start();
    let same = |path: &str| format!("Could not find public function for '{path}'.");
    for path in ["notes:secret", "no:such"] {
        assert_eq!(thrown(done(rig.query(path, object! {}).await)).message, same(path));
    }
    assert_eq!(thrown(rig.mutate("notes:hide", object! { "text" => "x" }).await.outcome).message, same("notes:hide"));
    assert_eq!(thrown(rig.act("acts:hidden", object! {}).await.outcome).message, same("acts:hidden"));
    for caller in [Caller::admin(), Caller::system(), Caller::admin_acting_as(ada())] {
        let run = rig.functions.query(Call { caller, ..call("notes:secret", object! {}) }, None).await.unwrap();
        assert_eq!(returned(done(run)), Value::from("secret"));
    }
    for (path, via) in [("notes:secret", "acts:query"), ("notes:secret", "acts:nest"), ("notes:hide", "acts:mutate")] {
        let run = rig.act(via, object! { "path" => path }).await;
        returned(run.outcome);
    }
}

#[tokio::test]
async fn a_query_that_looks_at_a_pending_identity_is_suspended_whatever_it_does_then() {
    let rig = Rig::start();
    for caller in [Caller::pending(ada()), Caller::unidentified()] {
        for path in ["notes:who", "notes:swallow"] {
            let call = Call { caller: caller.clone(), ..call(path, object! {}) };
            let run = rig.functions.query(call, None).await.unwrap();
            assert_eq!((run.outcome, run.observed_identity), (QueryOutcome::Suspended, true));
        }
        let call = Call { caller, ..call("notes:count", object! {}) };
        let run = rig.functions.query(call, None).await.unwrap();
        assert!(!run.observed_identity && matches!(run.outcome, QueryOutcome::Done(_)));
    }
    let ada = Caller::provisioned(ada(), ProvisioningProof::issue(Timestamp::ZERO));
    let run = rig.functions.query(Call { caller: ada, ..call("notes:who", object! {}) }, None).await.unwrap();
    assert!(run.observed_identity);
    assert_eq!(returned(done(run)), Value::from("ada"));
}

// ---- failing -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_panic_fails_its_own_call_and_leaves_no_trace() {
    let rig = Rig::start();
    let query = thrown(done(rig.query("notes:panic", object! {}).await));
    assert!(query.is_fault && query.message.contains("notes:panic panicked: at the query"), "{}", query.message);
    let mutation = thrown(rig.mutate("notes:panicMutation", object! {}).await.outcome);
    assert!(mutation.is_fault && mutation.message.contains("at the mutation"), "{}", mutation.message);
    for (path, text) in [("acts:panicAtOnce", "before the future"), ("acts:panicLater", "in the future")] {
        let action = thrown(rig.act(path, object! {}).await.outcome);
        assert!(action.is_fault && action.message.contains(text), "{}", action.message);
    }
    assert_eq!(rig.count().await, Value::from(0.0));
}

#[tokio::test]
async fn an_application_error_keeps_its_data_through_every_layer() {
    let rig = Rig::start();
    let data = Value::Object(object! { "code" => "FULL", "left" => 0.0 });
    let direct = rig.mutate("notes:refuse", object! {}).await;
    assert_eq!(direct.log_lines, ["[ERROR] refusing"]);
    let direct = thrown(direct.outcome);
    assert_eq!(direct.data, Some(data.clone()));
    assert!(direct.message.starts_with("Uncaught ConvexError: "), "{}", direct.message);
    let nested = thrown(rig.act("acts:mutateWithout", object! { "path" => "notes:refuse" }).await.outcome);
    assert_eq!(nested.data, Some(data));
    assert_eq!(rig.count().await, Value::from(0.0));
}

#[tokio::test]
async fn what_an_action_calls_wrongly_fails_in_the_action() {
    let rig = Rig::start();
    let cases = [
        ("acts:query", "no:such", "Could not find public function for 'no:such'."),
        ("acts:query", "notes:add", "Trying to execute notes:add as Query, but it is defined as Mutation."),
        ("acts:query", "not a path", "`not a path` is not a function path"),
        ("acts:nest", "no:such", "Could not find public function for 'no:such'."),
        ("acts:mutateWithout", "notes:add", "ArgumentValidationError: "),
    ];
    for (act, path, text) in cases {
        let failed = thrown(rig.act(act, object! { "path" => path }).await.outcome);
        assert!(failed.message.contains(text), "{act} {path}: {}", failed.message);
        assert_eq!(failed.data, None);
    }
}

// ---- running -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_mutation_that_changes_nothing_is_as_of_the_state_it_saw() {
    let rig = Rig::start();
    let added = rig.mutate("notes:add", object! { "text" => "x" }).await;
    assert_eq!(added.ts, rig.functions.database().durable_ts());
    assert_eq!(added.log_lines, ["[LOG] x"]);
    for path in ["notes:idle", "notes:refuse", "no:such"] {
        let run = rig.mutate(path, object! {}).await;
        assert_eq!(run.ts, added.ts, "{path}: nothing will ever be newer without another commit");
    }
    assert_eq!(rig.functions.database().durable_ts(), added.ts);
}

#[tokio::test]
async fn an_actions_calls_see_each_other_and_its_log_is_its_own() {
    let rig = Rig::start();
    let run = rig.act("acts:mutate", object! { "path" => "notes:add" }).await;
    assert_eq!(run.log_lines, ["[WARN] mutating"]);
    returned(run.outcome);
    let counted = rig.act("acts:nest", object! { "path" => "notes:count" }).await;
    assert_eq!(returned(counted.outcome), Value::from(1.0));
}

#[tokio::test]
async fn a_console_is_bounded() {
    let rig = Rig::start();
    let run = rig.query("notes:chatter", object! {}).await;
    assert_eq!(run.log_lines.len(), 256);
    assert_eq!(run.log_lines[0], "[INFO] 0");
    assert!(run.log_lines[255].starts_with("[ERROR] Log overflow"));
}

#[tokio::test]
async fn a_mutation_run_where_it_cannot_write_answers_only_if_it_need_not() {
    let rig = Rig::start();
    let idle = rig.functions.mutate_without_writing(call("notes:idle", object! {})).await.unwrap();
    assert!(idle.is_some());
    let writing = rig.functions.mutate_without_writing(call("notes:add", object! { "text" => "x" })).await.unwrap();
    assert!(writing.is_none());
    // What it throws before it would write is its answer.
    let wrong = rig.functions.mutate_without_writing(call("notes:add", object! {})).await.unwrap();
    assert!(thrown(done(wrong.unwrap())).message.starts_with("ArgumentValidationError"));
    assert_eq!(rig.count().await, Value::from(0.0));
}

#[test]
fn a_registry_refuses_two_functions_of_one_path_and_paths_that_are_none() {
    let function = |path: &str| Function::query(path, |_: &mut QueryCtx, (): ()| Ok(()));
    assert!(matches!(Registry::new(vec![function("a:b"), function("a:b")]), Err(RegistryError::Twice(_))));
    assert!(matches!(Registry::new(vec![function("a:b"), function("a.js:b")]), Err(RegistryError::Twice(_))));
    assert!(matches!(Registry::new(vec![function("not a path")]), Err(RegistryError::Path(_))));
    let takes_text = Function::query("a:b", |_: &mut QueryCtx, _: String| Ok(()));
    assert!(matches!(Registry::new(vec![takes_text]), Err(RegistryError::Args { .. })));
}
