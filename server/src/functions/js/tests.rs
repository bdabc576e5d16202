//! Functions in JavaScript on a real store, as the package's bundles shape them.

mod actions;
mod analysis;
mod awaits;
mod hostile;
mod limits;
pub(crate) mod oracle;
mod places;
mod steps;
pub(crate) mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;
use vestibule_schema::object;
use vestibule_schema::table::{Schema, TableDefinition};
use vestibule_schema::value::{Object, Value};

use super::*;
use crate::auth::Caller;
use crate::clock::SystemClock;
use crate::database::{CommitterOptions, Database, DatabaseOptions, Limits};
use crate::deployment::{AnalyzeInput, Analyzer};
use crate::executor::SystemExecutor;
use crate::functions::{
    Call, CallSource, FunctionOutcome, Functions, QueryOutcome, Registry, Thrown,
};
use crate::jobs::{Jobs, JobsMetrics, JobsOptions};
use crate::probe::Probe;
use crate::storage::StoreOptions;

struct Rig {
    functions: Arc<Functions>,
    js: Arc<Js>,
    _dir: TempDir,
}

/// The package's `query` and `mutation` around a handler, as far as the host sees them.
const PACKAGE: &str = r#"
export const define = (kind, handler, visibility = "isPublic") => {
  const invoke = async (text) => {
    const result = await handler(...JSON.parse(text));
    return JSON.stringify(result === undefined ? null : result);
  };
  const named = { query: ["isQuery", "invokeQuery"], mutation: ["isMutation", "invokeMutation"] };
  const fn = () => {};
  fn[visibility] = true;
  if (kind === "action") {
    fn.isAction = true;
    fn.invokeAction = (_, text) => invoke(text);
  } else {
    const [marker, name] = named[kind];
    fn[marker] = true;
    fn[name] = invoke;
  }
  fn._handler = handler;
  fn.exportArgs = () => '{"type":"any"}';
  fn.exportReturns = () => "null";
  return fn;
};
export const op = async (name, args) => JSON.parse(await Convex.asyncSyscall("1.0/" + name, JSON.stringify(args)));
export const all = async (table) => {
  const query = { source: { type: "FullTableScan", tableName: table, order: null }, operators: [] };
  const { queryId } = JSON.parse(Convex.syscall("1.0/queryStream", JSON.stringify({ query, version: "1.49.0" })));
  const rows = [];
  for (;;) {
    const { value, done } = await op("queryStreamNext", { queryId });
    if (done) return rows;
    rows.push(value);
  }
};
"#;

const APP: &str = r#"
import { define, op, all } from "./_deps/package.js";
let calls = 0;
export const add = define("mutation", async ({ text }) => {
  calls += 1;
  const { _id } = await op("insert", { table: "notes", value: { text, calls } });
  return _id;
});
export const list = define("query", async () => (await all("notes")).map(({ text, calls }) => ({ text, calls })));
export const page = define("query", async ({ size }) => {
  const source = { type: "FullTableScan", tableName: "notes", order: "desc" };
  const { page } = await op("queryPage", {
    query: { source, operators: [] }, cursor: null, endCursor: null, pageSize: size, maximumRowsRead: null, version: "1.49.0",
  });
  return page.map(({ text }) => text);
});
const inner = (name, size) => op("runUdf", { udfType: "query", name: "app:" + name, args: { size } });
export const outer = define("query", async () => await inner("page", 2));
export const outermost = define("query", async () => await inner("outer"));
export const pages = define("query", async () => [await inner("page", 1), await inner("page", 2)]);
const read = async (size, cursor) => {
  const source = { type: "FullTableScan", tableName: "notes", order: "desc" };
  const { page, continueCursor } = await op("queryPage", {
    query: { source, operators: [] }, cursor, endCursor: null, pageSize: size, maximumRowsRead: null, version: "1.49.0",
  });
  return [page.map(({ text }) => text), continueCursor];
};
export const rest = define("query", async ({ cursor }) => (await read(1, cursor))[0]);
const restFrom = (cursor) => op("runUdf", { udfType: "query", name: "app:rest", args: { cursor } });
export const readsThenCalls = define("query", async () => {
  const [page, cursor] = await read(1, null);
  return [page, await restFrom(cursor)];
});
export const callsThenReads = define("query", async () => {
  const first = await restFrom(null);
  return [first, (await read(2, null))[0]];
});
export const twoLevels = define("query", async () => await inner("readsThenCalls"));
export const twoLevelsBack = define("query", async () => await inner("callsThenReads"));
export const twice = define("mutation", async () => {
  await op("runUdf", { udfType: "mutation", name: "app:add", args: { text: "kept" } });
  try {
    await op("runUdf", { udfType: "mutation", name: "app:fail", args: {} });
  } catch (error) {
    return error.message.includes("no way");
  }
});
export const fail = define("mutation", async () => {
  await op("insert", { table: "notes", value: { text: "lost" } });
  throw new TypeError("no way");
});
export const refuse = define("query", async () => {
  const error = new Error("full");
  error.name = "ConvexError";
  error.data = '{"code":"FULL"}';
  error.ConvexErrorSymbol = Symbol.for("ConvexError");
  error[error.ConvexErrorSymbol] = true;
  throw error;
});
export const spin = define("query", async () => { for (;;); });
export const never = define("query", () => new Promise(() => {}));
export const hungry = define("query", async () => { const all = []; for (;;) all.push(new Array(100_000).fill(0)); });
export const log = define("query", async () => { console.log("hi", 3); return Date.now() > 0 && Math.random() < 1; });
export const fetches = define("query", async () => fetch("http://example.com"));
export const act = define("action", async () => {
  await op("actions/mutation", { name: "app:add", args: { text: "from an action" } });
  await new Promise((resolve) => setTimeout(resolve, 1));
  return await op("actions/query", { name: "app:list", args: {} });
});
export const hidden = define("query", async () => 1, "isInternal");
const soon = (text) => ({ name: "app:add", ts: Date.now() / 1000, args: { text }, version: "1.49.0" });
export const later = define("mutation", async () => await op("schedule", soon("by a mutation")));
export const laterAndFail = define("mutation", async () => {
  await op("schedule", soon("never"));
  throw new Error("no");
});
export const laterInVain = define("mutation", async () => {
  const id = await op("schedule", soon("never"));
  await op("cancel_job", { id });
  try {
    await op("schedule", { ...soon("never"), name: "app:nothing" });
  } catch (error) {
    return error.message;
  }
});
export const actLater = define("action", async () => {
  const id = await op("actions/schedule", { requestId: "", ...soon("never") });
  await op("actions/cancel_job", { requestId: "", id });
  return await op("actions/schedule", { requestId: "", ...soon("by an action"), name: "app:chain" });
});
export const chain = define("mutation", async ({ text }) => {
  const { scheduledFunctionId } = await op("getRequestMetadata", {});
  const { _id } = await op("insert", { table: "notes", value: { text, own: typeof scheduledFunctionId } });
  await op("schedule", soon("by a job"));
}, "isInternal");
"#;

fn source(path: &str, source: &str) -> SourceModule {
    SourceModule {
        path: path.to_owned(),
        environment: ModuleEnvironment::Isolate,
        source: Arc::from(source),
        source_map: None,
    }
}

fn rig() -> Rig {
    rig_of(APP, JsOptions::default())
}

/// A server that runs the functions of `app`.
fn rig_of(app: &str, mut options: JsOptions) -> Rig {
    options.fresh_runtimes |= oracle::is_asked();
    let sources = vec![source("_deps/package.js", PACKAGE), source("app.js", app)];
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let database = Database::open(DatabaseOptions {
        dir: dir.path().to_path_buf(),
        schema: Schema::new().define(TableDefinition::new("notes")),
        limits: Limits::default(),
        store: StoreOptions::default(),
        committer: CommitterOptions::default(),
        reader_threads: 1,
        secret: [1; 32],
        clock: clock.clone(),
        executor: Arc::new(SystemExecutor),
        probe: Probe::none(),
        rng: Box::new(StdRng::seed_from_u64(3)),
        on_unknown: Box::new(|unknown| panic!("{unknown}")),
    });
    let js = Js::new("test", options.clone(), clock);
    let input = AnalyzeInput {
        modules: sources.clone(),
        ..AnalyzeInput::default()
    };
    let analysis = js.clone().analyze(input).unwrap();
    let code = js.code(&sources, BTreeMap::new(), ImportPhase::default());
    let found = &analysis.modules["app.js"].functions;
    let registered = found.iter().map(|function| {
        let kind = match function.kind {
            PushedKind::Query => FunctionKind::Query,
            PushedKind::Mutation => FunctionKind::Mutation,
            PushedKind::Action => FunctionKind::Action,
        };
        let path = format!("app:{}", function.name).parse().unwrap();
        Registered {
            visibility: match function.visibility {
                Some(PushedVisibility::Public) => Visibility::Public,
                _ => Visibility::Internal,
            },
            args: vestibule_schema::validator::Validator::Any,
            returns: None,
            body: js.body(kind, &path, &code),
            is_beside: true,
            pushed: Some(Pushed {
                code: code.clone(),
                node: None,
            }),
            tally: Arc::default(),
            path,
        }
    });
    let registry = Registry::default().with_functions(registered.collect());
    Rig {
        functions: Functions::with_js(
            registry,
            Arc::new(database.unwrap()),
            Some(js.clone()),
            &options,
        ),
        js,
        _dir: dir,
    }
}

fn call(name: &str, args: Object) -> Call {
    Call {
        path: format!("app:{name}").parse().unwrap(),
        args: Value::Object(args),
        caller: Caller::nobody(),
        source: CallSource::Client(None),
    }
}

impl Rig {
    async fn query(&self, name: &str) -> FunctionOutcome {
        let run = self.functions.query(call(name, object! {}), None).await;
        match run.unwrap().outcome {
            QueryOutcome::Done(outcome) => outcome,
            QueryOutcome::Suspended => panic!("it asked for no identity"),
        }
    }

    async fn mutate(&self, name: &str, args: Object) -> FunctionOutcome {
        self.functions
            .mutate(call(name, args))
            .await
            .unwrap()
            .outcome
    }

    async fn count_notes(&self) -> usize {
        match self.query("list").await {
            FunctionOutcome::Returned(Value::Array(notes)) => notes.len(),
            other => panic!("{other:?}"),
        }
    }

    async fn notes(&self) -> String {
        match self.query("list").await {
            FunctionOutcome::Returned(value) => value.to_json().to_string(),
            FunctionOutcome::Threw(thrown) => panic!("{}", thrown.message),
        }
    }
}

fn thrown(outcome: FunctionOutcome) -> Thrown {
    match outcome {
        FunctionOutcome::Threw(thrown) => thrown,
        FunctionOutcome::Returned(value) => panic!("it returned {value}"),
    }
}

#[tokio::test]
async fn a_mutation_writes_what_a_query_reads_and_no_call_sees_another_calls_variables() {
    let rig = rig();
    for text in ["a", "b"] {
        let outcome = rig.mutate("add", object! { "text" => text }).await;
        assert!(
            matches!(outcome, FunctionOutcome::Returned(_)),
            "{outcome:?}"
        );
    }
    assert_eq!(
        rig.notes().await,
        r#"[{"calls":1.0,"text":"a"},{"calls":1.0,"text":"b"}]"#
    );
}

#[tokio::test]
async fn images_are_ready_before_the_first_call() {
    let rig = rig();
    rig.js.warm_later(&rig.functions.registry());
    while rig.js.is_warming() {
        tokio::task::yield_now().await;
    }
    let ready = rig.js.runtimes().counts();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!((ready.idle, ready.made), (threads, threads));
    assert_eq!(rig.notes().await, "[]");
    assert_eq!(rig.js.runtimes().counts().made, ready.made);
}

#[tokio::test]
async fn images_of_code_that_is_not_live_any_more_go_at_once_or_with_their_call() {
    let rig = rig();
    let registry = rig.functions.registry();
    rig.js.warm(&registry);
    let any = registry.functions().next().unwrap();
    let code = &any.pushed().unwrap().code;
    let counts = || rig.js.runtimes().counts();
    let in_a_call = rig.js.runtimes().take(code, "app.js").ok().unwrap();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!((counts().idle, counts().busy), (threads - 1, 1));
    rig.js.retire(&registry);
    assert_eq!((counts().idle, counts().busy), (0, 1));
    rig.js.runtimes().give_back(in_a_call);
    assert_eq!((counts().idle, counts().busy), (0, 0));
    // A call that still begins with it has its answer.
    assert_eq!(rig.notes().await, "[]");
    assert_eq!((counts().idle, counts().busy), (0, 0));
}

#[tokio::test]
async fn a_module_that_cannot_be_loaded_leaves_the_others_ready() {
    let rig = rig();
    let registry = rig.functions.registry();
    let any = registry.functions().next().unwrap();
    let code = &any.pushed().unwrap().code;
    let modules = ["app.js", "none.js", "_deps/package.js"];
    rig.js.runtimes().warm(code, modules);
    let one = rig.js.runtimes().counts();
    assert_eq!((one.idle, one.made), (1, 1));
    let broken = rig.js.code(
        &[
            source("broken.js", "throw new Error('no')"),
            source("fine.js", "export const x = 1;"),
        ],
        BTreeMap::new(),
        ImportPhase::default(),
    );
    rig.js.runtimes().warm(&broken, ["broken.js", "fine.js"]);
    assert_eq!(rig.js.runtimes().counts().idle, 2);
    rig.js.runtimes().warm(&broken, ["broken.js"]);
    assert_eq!(rig.js.runtimes().counts().idle, 2);
}

#[tokio::test]
async fn a_query_depends_on_the_variables_that_its_modules_read_while_they_were_loaded() {
    let read = |name: &str| {
        format!(
            r#"import {{ define }} from "./_deps/package.js";
            const needed = process.env.NEEDED;
            export const {name} = define("query", async () => needed ?? process.env.OTHER ?? null);"#
        )
    };
    let depends = async |rig: &Rig, name: &str| {
        let run = rig.functions.query(call(name, object! {}), None).await;
        let reads = format!("{:?}", run.unwrap().reads);
        [reads.contains("vNEEDED"), reads.contains("vOTHER")]
    };
    let rig = rig_of(&read("told"), JsOptions::default());
    assert_eq!(depends(&rig, "told").await, [true, true]);
    assert_eq!(depends(&rig, "told").await, [true, true]);
    let broken = "if (!process.env.NEEDED) throw new Error('no');";
    let broken = [source("broken.js", broken)];
    let code = rig
        .js
        .code(&broken, BTreeMap::new(), ImportPhase::default());
    let not_loaded = rig.js.runtimes().take(&code, "broken.js").err().unwrap();
    assert!(not_loaded.variables.contains("NEEDED"));
}

#[tokio::test]
async fn a_nested_mutation_that_fails_takes_back_its_own_writes_alone() {
    let rig = rig();
    let outcome = rig.mutate("twice", object! {}).await;
    assert_eq!(outcome, FunctionOutcome::Returned(Value::Boolean(true)));
    assert_eq!(rig.notes().await, r#"[{"calls":1.0,"text":"kept"}]"#);
}

#[tokio::test]
async fn what_a_function_throws_is_told_with_its_place() {
    let rig = rig();
    let thrown_text = thrown(rig.mutate("fail", object! {}).await).message;
    assert!(
        thrown_text.starts_with("Uncaught TypeError: no way\n    at "),
        "{thrown_text}"
    );
    assert!(thrown_text.contains("(../convex/app.js:"), "{thrown_text}");
    assert_eq!(rig.notes().await, "[]");
    let refused = thrown(rig.query("refuse").await);
    assert_eq!(
        refused.data,
        Some(Value::Object(object! { "code" => "FULL" }))
    );
}

#[tokio::test]
async fn hostile_calls_end_with_the_named_error_and_others_go_on() {
    let rig = rig();
    let text = |outcome| thrown(outcome).message;
    let timed_out = text(rig.query("spin").await);
    assert_eq!(
        timed_out,
        "Function execution timed out (maximum duration: 1s)"
    );
    assert_eq!(
        text(rig.query("hungry").await),
        "JavaScript execution ran out of memory (maximum memory usage: 64 MB)"
    );
    let never = text(rig.query("never").await);
    assert!(
        never.contains("Returned promise will never resolve"),
        "{never}"
    );
    let fetches = text(rig.query("fetches").await);
    assert!(
        fetches.contains(
            "Can't use fetch() in queries and mutations. Please consider using an action."
        ),
        "{fetches}"
    );
    assert_eq!(rig.notes().await, "[]");
}

#[tokio::test]
async fn a_function_logs_and_looks_at_the_clock() {
    let rig = rig();
    let run = rig.functions.query(call("log", object! {}), None).await;
    let run = run.unwrap();
    assert_eq!(run.log_lines, ["[LOG] 'hi' 3"]);
    assert_eq!(
        run.outcome,
        QueryOutcome::Done(FunctionOutcome::Returned(Value::Boolean(true)))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_calls_other_functions_each_on_its_own() {
    let rig = rig();
    let run = rig.functions.act(call("act", object! {})).await.unwrap();
    let FunctionOutcome::Returned(value) = run.outcome else {
        panic!("{:?}", run.outcome)
    };
    assert_eq!(
        value.to_json().to_string(),
        r#"[{"calls":1.0,"text":"from an action"}]"#
    );
}

#[tokio::test]
async fn clients_cannot_call_internal_functions() {
    let rig = rig();
    let text = thrown(rig.query("hidden").await).message;
    assert_eq!(text, "Could not find public function for 'app:hidden'.");
}

#[tokio::test]
async fn what_javascript_schedules_runs_once_and_what_it_takes_back_never() {
    let rig = rig();
    rig.mutate("laterAndFail", object! {}).await;
    let refused = rig.mutate("laterInVain", object! {}).await;
    let text = "Attempted to schedule function, but no exported function nothing found in the file: app.js. Did you \
                forget to export it?";
    assert_eq!(refused, FunctionOutcome::Returned(Value::from(text)));
    let scheduled = rig.mutate("later", object! {}).await;
    assert!(matches!(
        scheduled,
        FunctionOutcome::Returned(Value::String(_))
    ));
    let acted = rig.functions.act(call("actLater", object! {})).await;
    assert!(matches!(
        acted.unwrap().outcome,
        FunctionOutcome::Returned(_)
    ));
    let metrics = JobsMetrics::register(&mut prometheus_client::registry::Registry::default());
    let jobs = Jobs::start(
        rig.functions.clone(),
        JobsOptions::default(),
        Arc::new(metrics),
    );
    let mut news = rig.functions.database().write_log().subscribe();
    while rig.count_notes().await < 3 {
        news.changed().await.unwrap();
    }
    jobs.stop().await;
    let notes = rig.notes().await;
    for text in ["by a mutation", "by an action", "by a job"] {
        assert_eq!(notes.matches(text).count(), 1, "{notes}");
    }
    assert!(!notes.contains("never"), "{notes}");
}

#[tokio::test]
async fn a_page_that_a_nested_query_reads_keeps_its_border() {
    for (name, first, then) in [
        ("outer", r#"["b","a"]"#, r#"["c","b","a"]"#),
        ("outermost", r#"["b","a"]"#, r#"["c","b","a"]"#),
        // Of several pages the first has a border, as it has where a function reads it itself.
        ("pages", r#"[["b"],["b","a"]]"#, r#"[["c","b"],["c","b"]]"#),
        // A nested function that reads a page and calls another, in either order: one of them has the border.
        ("twoLevels", r#"[["b"],["a"]]"#, r#"[["c","b"],["a"]]"#),
        (
            "twoLevelsBack",
            r#"[["b"],["b","a"]]"#,
            r#"[["c","b"],["c","b"]]"#,
        ),
    ] {
        let rig = rig();
        let ask = async |name: &str, args: Object, journal: Option<String>| {
            let run = rig
                .functions
                .query(call(name, args), journal)
                .await
                .unwrap();
            match run.outcome {
                QueryOutcome::Done(FunctionOutcome::Returned(value)) => {
                    (value.to_json().to_string(), run.journal)
                }
                other => panic!("{name}: {other:?}"),
            }
        };
        for text in ["a", "b"] {
            rig.mutate("add", object! { "text" => text }).await;
        }
        let (value, journal) = ask(name, object! {}, None).await;
        assert_eq!(value, first, "{name}");
        rig.mutate("add", object! { "text" => "c" }).await;
        let (value, again) = ask(name, object! {}, journal.clone()).await;
        assert_eq!((value.as_str(), &again), (then, &journal), "{name}");
        // A function that reads its page itself makes nothing of that border.
        let (value, own) = ask("page", object! { "size" => 1.0 }, journal.clone()).await;
        assert_eq!(value, r#"["c"]"#);
        assert!(own.is_some() && own != journal);
    }
}
