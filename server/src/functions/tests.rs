//! Calls of functions: the checks before and after, the functions each caller may call, and the texts of errors.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::Barrier;
use vestibule_schema::object;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::table::{Index, Schema, Table};
use vestibule_schema::validator::Validator;
use vestibule_schema::value::{Object, Value};

use super::error::NOT_PERMITTED;
use super::*;
use crate::auth::Caller;
use crate::clock::SystemClock;
use crate::database::DatabaseOptions;

#[derive(Serialize, Deserialize)]
pub(super) struct Counter {
    pub(super) name: String,
    pub(super) value: i64,
}

impl Counter {
    pub(super) const BY_NAME: Index<Counter> = Index::unique("by_name", &["name"]);
}

impl Table for Counter {
    const NAME: &'static str = "counters";
    const INDEXES: &'static [Index<Counter>] = &[Counter::BY_NAME];
}

#[derive(Deserialize, Serialize)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) by: i64,
}

fn add(ctx: &mut MutationCtx, Step { name, by }: Step) -> Result<i64> {
    let old = ctx
        .db()
        .query::<Counter>()
        .index(Counter::BY_NAME, &name)
        .unique()?;
    let value = old.as_ref().map_or(0, |old| old.value.value) + by;
    match old {
        Some(old) => ctx.db().patch(old.id, object! { "value" => value })?,
        None => drop(ctx.db().insert(Counter { name, value })?),
    }
    Ok(value)
}

fn total(ctx: &mut QueryCtx, (): ()) -> Result<i64> {
    let counters = ctx.db().query::<Counter>().collect()?;
    Ok(counters.iter().map(|counter| counter.value.value).sum())
}

fn refuse(_: &mut MutationCtx, (): ()) -> Result<()> {
    Err(Error::application(object! { "code" => "NO" }))
}

async fn add_twice(ctx: ActionCtx, step: Step) -> Result<i64> {
    ctx.run_mutation::<i64>("counters:add", &step).await?;
    ctx.run_mutation::<i64>("counters:addSecretly", &step)
        .await?;
    ctx.run_query("counters:total", ()).await
}

async fn forward_refusal(ctx: ActionCtx, (): ()) -> Result<()> {
    ctx.run_mutation("counters:refuse", ()).await
}

struct Rig {
    functions: Arc<Functions>,
    _dir: TempDir,
}

/// Calls itself in tasks of its own, so deep.
async fn deep(ctx: ActionCtx, left: i64) -> Result<i64> {
    if left == 0 {
        return Ok(0);
    }
    let calls = [(); 2].map(|()| {
        let ctx = ctx.clone();
        tokio::spawn(async move {
            ctx.run_action::<i64>("acts:deep", object! { "left" => left - 1 })
                .await
        })
    });
    let mut sum = 1;
    for call in calls {
        sum += call.await.unwrap()?;
    }
    Ok(sum)
}

#[derive(Deserialize)]
struct Deep {
    left: i64,
}

fn rig() -> Rig {
    rig_of(&JsOptions::default(), Vec::new())
}

fn rig_within(options: &JsOptions) -> Rig {
    rig_of(options, Vec::new())
}

/// With further functions.
fn rig_with(more: Vec<Function>) -> Rig {
    rig_of(&JsOptions::default(), more)
}

fn rig_of(options: &JsOptions, more: Vec<Function>) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(DatabaseOptions {
        rng: Box::new(StdRng::seed_from_u64(3)),
        ..DatabaseOptions::for_tests(
            dir.path(),
            Schema::new().table::<Counter>(),
            Arc::new(SystemClock::new()),
        )
    });
    let mut all = vec![
        Function::mutation("counters:add", add),
        Function::mutation("counters:addSecretly", add).internal(),
        Function::mutation("counters:addBeside", add).beside_the_lane(),
        Function::mutation("counters:refuseBeside", |ctx: &mut MutationCtx, (): ()| {
            let (name, value) = ("left".to_string(), 1);
            ctx.db().insert(Counter { name, value })?;
            refuse(ctx, ())
        })
        .beside_the_lane(),
        Function::mutation("counters:refuse", refuse),
        Function::mutation(
            "counters:panic",
            |_: &mut MutationCtx, (): ()| -> Result<()> { panic!("boom") },
        ),
        Function::query("counters:total", total),
        Function::query("counters:wrong", |_: &mut QueryCtx, (): ()| Ok("text"))
            .returns(Validator::Number),
        Function::action("counters:addTwice", add_twice),
        Function::action("counters:forwardRefusal", forward_refusal),
        Function::action("acts:deep", |ctx: ActionCtx, args: Deep| {
            deep(ctx, args.left)
        }),
        Function::action("acts:hang", |_: ActionCtx, (): ()| {
            std::future::pending::<Result<()>>()
        }),
    ];
    all.extend(more);
    let meet = |ctx: HttpActionCtx, _: HttpRequest| async move {
        ctx.run_action::<()>("acts:meet", ()).await?;
        Ok(HttpResponse::empty(StatusCode::OK))
    };
    let registry = Registry::new(all).unwrap();
    let registry = registry.with_http_routes(vec![HttpRoute::path(Method::POST, "/meet", meet)]);
    Rig {
        functions: Functions::with_js(
            registry.unwrap(),
            Arc::new(database.unwrap()),
            None,
            options,
        ),
        _dir: dir,
    }
}

fn call(path: &str, args: Object) -> Call {
    Call {
        path: path.parse().unwrap(),
        args: Value::Object(args),
        caller: Caller::nobody(),
        source: CallSource::Client(None),
    }
}

fn step(name: &str, by: i64) -> Object {
    object! { "name" => name, "by" => by }
}

fn thrown(outcome: FunctionOutcome) -> Thrown {
    match outcome {
        FunctionOutcome::Threw(thrown) => thrown,
        FunctionOutcome::Returned(value) => panic!("it returned {value}"),
    }
}

impl Rig {
    async fn mutate(&self, path: &str, args: Object) -> FunctionOutcome {
        self.functions
            .mutate(call(path, args))
            .await
            .unwrap()
            .outcome
    }

    async fn query(&self, path: &str) -> FunctionOutcome {
        match self
            .functions
            .query(call(path, Object::new()), None)
            .await
            .unwrap()
            .outcome
        {
            QueryOutcome::Done(outcome) => outcome,
            QueryOutcome::Suspended => panic!("it looked at an identity"),
        }
    }

    async fn act(&self, path: &str, args: Object) -> FunctionOutcome {
        self.functions.act(call(path, args)).await.unwrap().outcome
    }
}

#[tokio::test]
async fn wrong_arguments_are_refused_with_the_name_of_the_field() {
    let rig = rig();
    let missing = thrown(rig.mutate("counters:add", object! { "name" => "a" }).await);
    assert!(
        missing.message.starts_with("ArgumentValidationError: "),
        "{}",
        missing.message
    );
    assert!(missing.message.contains("`by`"), "{}", missing.message);
    let mistyped = thrown(
        rig.mutate("counters:add", object! { "name" => "a", "by" => "b" })
            .await,
    );
    assert!(
        mistyped.message.contains("Path: .by"),
        "{}",
        mistyped.message
    );
    let extra = thrown(
        rig.mutate(
            "counters:add",
            object! { "name" => "a", "by" => 1i64, "x" => 1.0 },
        )
        .await,
    );
    assert!(
        extra.message.contains("extra field `x`"),
        "{}",
        extra.message
    );
    assert_eq!(
        rig.query("counters:total").await,
        FunctionOutcome::Returned(Value::Int64(0))
    );
}

#[tokio::test]
async fn a_result_that_is_not_as_declared_is_an_error() {
    let message = thrown(rig().query("counters:wrong").await).message;
    assert!(message.starts_with("ReturnsValidationError: "), "{message}");
}

#[tokio::test]
async fn internal_functions_do_not_exist_for_clients_and_do_for_functions_and_admins() {
    let rig = rig();
    let secret = thrown(rig.mutate("counters:addSecretly", step("a", 1)).await).message;
    let missing = thrown(rig.mutate("counters:nothing", step("a", 1)).await).message;
    assert_eq!(secret.replace("addSecretly", "nothing"), missing);
    let by_admin = Call {
        caller: Caller::admin(),
        ..call("counters:addSecretly", step("a", 1))
    };
    let run = rig.functions.mutate(by_admin).await.unwrap();
    assert_eq!(run.outcome, FunctionOutcome::Returned(Value::Int64(1)));
    assert_eq!(
        rig.act("counters:addTwice", step("a", 2)).await,
        FunctionOutcome::Returned(Value::Int64(5))
    );
}

#[tokio::test]
async fn a_function_of_another_kind_is_refused_with_both_kinds_named() {
    let message = thrown(rig().mutate("counters:total", Object::new()).await).message;
    assert_eq!(
        message,
        "Trying to execute counters.js:total as Mutation, but it is defined as Query."
    );
}

#[tokio::test]
async fn a_panic_fails_its_call_alone_and_leaves_no_trace() {
    let rig = rig();
    let panicked = thrown(rig.mutate("counters:panic", Object::new()).await);
    assert!(
        panicked.is_fault && panicked.message.contains("panicked: boom"),
        "{panicked:?}"
    );
    let next = rig.mutate("counters:add", step("a", 7)).await;
    assert_eq!(next, FunctionOutcome::Returned(Value::Int64(7)));
}

#[tokio::test]
async fn the_data_of_an_error_travels_through_an_action() {
    let refused = thrown(rig().act("counters:forwardRefusal", Object::new()).await);
    assert_eq!(
        refused.data,
        Some(Value::Object(object! { "code" => "NO" }))
    );
}

#[tokio::test]
async fn an_action_in_rust_has_its_time_and_no_more() {
    let rig = rig_within(&JsOptions {
        action_time_max: Duration::from_millis(50),
        ..JsOptions::default()
    });
    let ended = thrown(rig.act("acts:hang", object! {}).await);
    let expected = "Function execution timed out (maximum duration: 0.05s)";
    assert_eq!(ended.message, expected);
    assert_eq!(ended.code(), Some("FunctionTimedOut"));
    assert_eq!(rig.functions.places().counts(), PlaceCounts::default());
}

#[tokio::test]
async fn each_http_action_in_rust_has_one_call_that_waits_for_no_place() {
    // The two HTTP actions take all places, and the actions that they call wait for each other.
    let options = JsOptions {
        actions_max: 2,
        action_time_max: Duration::from_secs(20),
        ..JsOptions::default()
    };
    let both = Arc::new(Barrier::new(2));
    let meet = Function::action("acts:meet", move |_: ActionCtx, (): ()| {
        let both = both.clone();
        async move {
            both.wait().await;
            Ok(())
        }
    });
    let rig = rig_of(&options, vec![meet]);
    let ask = async || {
        let registry = rig.functions.registry();
        let RouteFound::Route(route) = registry.http_routes().find(&Method::POST, "/meet") else {
            unreachable!("the rig has this route")
        };
        let request = StreamedRequest {
            method: Method::POST,
            url: String::new(),
            path: "/meet".into(),
            query: None,
            headers: HeaderMap::new(),
            body: None,
            gone: CancellationToken::new(),
            held: None,
        };
        let asker = HttpAsker {
            request: Arc::new(RequestMetadata::unknown(None)),
            caller: Caller::nobody(),
            call: None,
            refusal: None,
        };
        let answer = rig.functions.answer(&route, request, asker).await;
        answer.map(|answer| answer.status)
    };
    let (one, other) = tokio::join!(ask(), ask());
    assert_eq!((one, other), (Ok(StatusCode::OK), Ok(StatusCode::OK)));
}

#[tokio::test]
async fn actions_in_rust_wait_for_a_place_and_those_that_they_call_do_not() {
    let rig = rig_within(&JsOptions {
        actions_max: 1,
        ..JsOptions::default()
    });
    let act = |path: &'static str, args: Object| {
        let functions = rig.functions.clone();
        tokio::spawn(async move { functions.act(call(path, args)).await })
    };
    let until = async |running: usize, waiting: usize| {
        let counts = || rig.functions.places().counts();
        while (counts().running, counts().waiting) != (running, waiting) {
            tokio::task::yield_now().await;
        }
    };
    let hanging = act("acts:hang", object! {});
    until(1, 0).await;
    let deep = act("acts:deep", object! { "left" => 3_i64 });
    until(1, 1).await;
    hanging.abort();
    let run = deep.await.unwrap().unwrap();
    assert_eq!(run.outcome, FunctionOutcome::Returned(Value::Int64(7)));
    assert_eq!(rig.functions.places().counts(), PlaceCounts::default());
    let too_deep = thrown(rig.act("acts:deep", object! { "left" => 9_i64 }).await);
    assert!(
        too_deep.message.contains("call depth limit exceeded"),
        "{}",
        too_deep.message
    );
}

#[tokio::test]
async fn arguments_that_are_too_large_are_refused_before_the_function_runs() {
    let rig = rig();
    let name = "x".repeat(17 << 20);
    let message = thrown(rig.mutate("counters:add", step(&name, 1)).await).message;
    assert_eq!(
        message,
        "Arguments for counters.js:add are too large (actual: 17 MiB, limit: 16 MiB)"
    );
}

#[test]
fn a_path_is_registered_once_and_arguments_are_objects() {
    let twice = vec![
        Function::query("counters:total", total),
        Function::query("counters.js:total", total),
    ];
    assert!(matches!(Registry::new(twice), Err(RegistryError::Twice(_))));
    let list = vec![Function::query(
        "counters:list",
        |_: &mut QueryCtx, _: Vec<f64>| Ok(()),
    )];
    assert!(matches!(
        Registry::new(list),
        Err(RegistryError::Args { .. })
    ));
    let nameless = vec![Function::query("../x:y", total)];
    assert!(matches!(
        Registry::new(nameless),
        Err(RegistryError::Path(_))
    ));
}

#[test]
fn code_of_a_component_reaches_no_function_of_the_system() {
    let look = Function::query("_system/test:look", total);
    let change = Function::mutation("_system/test:change", |_: &mut MutationCtx, (): ()| Ok(()));
    let registry = Registry::new(vec![look, change]).unwrap();
    let find = |component: &str, kind: FunctionKind, name: &str, source: CallSource| {
        let path: FunctionPath = format!("_system/test:{name}").parse().unwrap();
        let call = Call {
            path: path.in_component(component.parse().unwrap()),
            args: Value::Object(Object::new()),
            caller: Caller::admin(),
            source,
        };
        registry
            .find(kind, &call)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let (query, mutation) = (FunctionKind::Query, FunctionKind::Mutation);
    let client = || CallSource::Client(None);
    // An administrator looks at any component. So may the app where an admin key calls it.
    for component in ["", "kid", "kid/sub"] {
        assert_eq!(find(component, query, "look", client()), Ok(()));
        assert_eq!(find(component, mutation, "change", client()), Ok(()));
    }
    assert_eq!(find("", query, "look", CallSource::Function(None)), Ok(()));
    for source in [CallSource::Function(None), CallSource::Provisioning] {
        for component in ["kid", "kid/sub"] {
            for (kind, name) in [(query, "look"), (mutation, "change")] {
                let refused = find(component, kind, name, source.clone()).unwrap_err();
                assert!(
                    refused.contains(NOT_PERMITTED),
                    "{component} {name}: {refused}"
                );
            }
        }
    }
}

#[tokio::test]
async fn calls_and_their_failures_are_counted_by_function() {
    let rig = rig();
    rig.mutate("counters:add", step("a", 1)).await;
    rig.mutate("counters:add", object! { "name" => "a" }).await;
    rig.mutate("counters:panic", Object::new()).await;
    rig.query("counters:total").await;
    rig.act("counters:addTwice", step("b", 1)).await;
    rig.act("counters:forwardRefusal", Object::new()).await;
    let counted: Vec<_> = rig
        .functions
        .registry()
        .runs()
        .into_iter()
        .filter(|function| function.runs > 0)
        .map(|function| (function.path.to_string(), function.runs, function.errors))
        .collect();
    let expected = [
        ("counters:add", 3, 1),
        ("counters:addSecretly", 1, 0),
        ("counters:addTwice", 1, 0),
        ("counters:forwardRefusal", 1, 1),
        ("counters:panic", 1, 1),
        ("counters:refuse", 1, 1),
        ("counters:total", 2, 0),
    ];
    let expected = expected.map(|(path, runs, errors)| (path.to_string(), runs, errors));
    assert_eq!(counted, expected);
}

/// Sixteen sessions of counting, on the lane, beside it, and mixed: no step is lost, and no caller sees a conflict.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutations_beside_the_lane_are_as_if_each_had_run_alone() {
    let rig = rig();
    let functions = &rig.functions;
    let mut answers = Vec::new();
    const STEPS: u32 = 24;
    for session in 0..16u8 {
        for request in 0..STEPS {
            let beside = (u32::from(session) + request) % 3 != 0;
            let path = if beside {
                "counters:addBeside"
            } else {
                "counters:add"
            };
            let (answer, answered) = tokio::sync::oneshot::channel();
            let session_request = SessionRequest {
                session: [session; 16],
                request,
                identity: String::new(),
            };
            let submitted = functions.submit_mutation(
                call(path, step("hot", 1)),
                Some(session_request),
                Box::new(move |run| {
                    let _ = answer.send(run);
                    None
                }),
            );
            submitted.unwrap();
            answers.push(answered);
        }
    }
    let mut seen = Vec::new();
    for answered in answers {
        match answered.await.unwrap().unwrap().outcome {
            FunctionOutcome::Returned(Value::Int64(total)) => seen.push(total),
            other => panic!("{other:?}"),
        }
    }
    let total = 16 * i64::from(STEPS);
    // Answers of one session rise: its order held.
    for of_session in seen.chunks(STEPS as usize) {
        assert!(of_session.is_sorted(), "{of_session:?}");
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=total).collect::<Vec<_>>());
    let run = functions.query(call("counters:total", object! {}), None);
    let QueryOutcome::Done(outcome) = run.await.unwrap().outcome else {
        panic!("it needs no identity")
    };
    assert_eq!(outcome, FunctionOutcome::Returned(Value::Int64(total)));
}

#[tokio::test]
async fn a_mutation_beside_the_lane_that_is_sent_again_is_answered_and_does_not_run_again() {
    let rig = rig();
    let functions = &rig.functions;
    let send = || async {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let session_request = SessionRequest {
            session: [1; 16],
            request: 7,
            identity: String::new(),
        };
        functions
            .submit_mutation(
                call("counters:addBeside", step("a", 2)),
                Some(session_request),
                Box::new(move |run| {
                    let _ = answer.send(run);
                    None
                }),
            )
            .unwrap();
        answered.await.unwrap().unwrap()
    };
    let first = send().await;
    let again = send().await;
    assert_eq!(first.outcome, FunctionOutcome::Returned(Value::Int64(2)));
    assert_eq!((first.ts, first.outcome), (again.ts, again.outcome));
}

#[tokio::test]
async fn what_throws_beside_the_lane_leaves_nothing() {
    let rig = rig();
    let functions = &rig.functions;
    let run = functions.mutate(call("counters:refuseBeside", object! {}));
    let thrown = thrown(run.await.unwrap().outcome);
    assert!(thrown.data.is_some());
    let run = functions.query(call("counters:total", object! {}), None);
    let QueryOutcome::Done(outcome) = run.await.unwrap().outcome else {
        panic!("it needs no identity")
    };
    assert_eq!(outcome, FunctionOutcome::Returned(Value::Int64(0)));
}

fn on_this_thread() -> Result<String> {
    let thread = std::thread::current();
    Ok(thread.name().unwrap_or_default().to_owned())
}

/// Puts functions in place that the program does not have, as a push does.
async fn bring_functions(functions: &Arc<Functions>) {
    let brought = Registry::new(vec![
        Function::mutation("late:mutation", |_: &mut MutationCtx, (): ()| {
            on_this_thread()
        })
        .beside_the_lane(),
        Function::query("late:query", |_: &mut QueryCtx, (): ()| on_this_thread()),
    ]);
    let brought: Arc<Registry> = Arc::new(brought.unwrap());
    let changed = functions.transact(move |tx| {
        // Definitions change with a commit that writes.
        tx.ensure_table("brought")?;
        Ok(tx.set_extension(brought.clone())?)
    });
    changed.await.unwrap().unwrap();
}

/// A call that arrives before its function finds it when its turn comes, and the lane runs no such function.
#[tokio::test]
async fn a_function_that_comes_after_its_call_runs_beside_the_lane() {
    let (release, held) = crossbeam_channel::bounded::<()>(0);
    let rig = rig_with(vec![
        Function::mutation("slow:wait", move |_: &mut MutationCtx, (): ()| {
            let _ = held.recv();
            Ok(())
        })
        .beside_the_lane(),
    ]);
    let send = |request, path| {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let session_request = SessionRequest {
            session: [5; 16],
            request,
            identity: String::new(),
        };
        let on_finish: OnFinish = Box::new(move |run| {
            drop(answer.send(run));
            None
        });
        let call = call(path, object! {});
        let submitted = rig
            .functions
            .submit_mutation(call, Some(session_request), on_finish);
        submitted.unwrap();
        answered
    };
    let slow = send(0, "slow:wait");
    let late = send(1, "late:mutation");
    bring_functions(&rig.functions).await;
    drop(release);
    assert!(slow.await.unwrap().is_ok());
    let ran = late.await.unwrap().unwrap().outcome;
    assert_eq!(ran, FunctionOutcome::Returned(Value::from("beside-lane")));
}

#[tokio::test]
async fn a_query_that_the_program_does_not_have_runs_on_no_reader() {
    let rig = rig();
    bring_functions(&rig.functions).await;
    let ran = rig.query("late:query").await;
    assert_eq!(ran, FunctionOutcome::Returned(Value::from("slow-reader")));
}

/// One that is lost on its way, as a server ends, comes again from its client. The calls that follow it must not come
/// first.
#[tokio::test]
async fn what_waits_behind_a_mutation_that_is_lost_does_not_run() {
    let rig = rig();
    let functions = &rig.functions;
    let send = |request| {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let session_request = SessionRequest {
            session: [3; 16],
            request,
            identity: String::new(),
        };
        let on_finish: OnFinish = Box::new(move |run| {
            drop(answer.send(run));
            None
        });
        let call = call("counters:addBeside", step("hot", 1));
        (call, session_request, on_finish, answered)
    };
    let (call, session_request, on_finish, lost) = send(0);
    let queued = Queued {
        call,
        session_request: Some(session_request),
        on_finish,
        is_beside: true,
    };
    let Arrival::Start(first) = functions.order.arrive([3; 16], true, queued) else {
        panic!("nothing is in front of it")
    };
    let (call, session_request, on_finish, behind) = send(1);
    let submitted = functions.submit_mutation(call, Some(session_request), on_finish);
    submitted.unwrap();
    let Queued {
        call,
        session_request,
        on_finish,
        ..
    } = first;
    drop(DraftedMutation::new(
        functions.clone(),
        call,
        session_request,
        on_finish,
    ));
    lost.await.unwrap().map(drop).unwrap_err();
    let refused = behind.await.unwrap().map(drop).unwrap_err();
    assert!(matches!(refused, SystemError::CommitterFull), "{refused}");
}
