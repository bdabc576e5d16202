//! Functions that mean harm, or know no measure: each ends with the named error, and others go on as if nothing had been.

use std::sync::atomic::{AtomicBool, Ordering};

use vestibule_schema::value::Value;

use super::*;

const HOSTILE: &str = r#"
import { define, op, all } from "./_deps/package.js";
export const add = define("mutation", async ({ text }) => {
  const { _id } = await op("insert", { table: "notes", value: { text } });
  return _id;
});
export const list = define("query", async () => (await all("notes")).map(({ text }) => ({ text })));
const bad = (handler) => define("mutation", async () => {
  await op("insert", { table: "notes", value: { text: "lost" } });
  await handler();
  throw new Error("it came to its end");
});

export const loop = bad(() => { for (;;); });
export const loopAfterAwait = bad(async () => { await null; for (;;); });
export const loopOfJobs = bad(async () => { for (;;) await null; });
export const loopInGetter = bad(() => { throw { get stack() { for (;;); } }; });
export const loopInCatch = bad(() => { for (;;) { try { for (;;); } catch {} finally { for (;;); } } });
export const loopInProxy = bad(() => { throw new Proxy({}, { has() { for (;;); } }); });
export const loopInSort = bad(() => { [3, 2, 1].sort(() => { for (;;); }); });
export const loopInJson = bad(() => JSON.stringify({ toJSON() { for (;;); } }));
export const regex = bad(() => /^(a+)+$/.test("a".repeat(40) + "b"));
export const regexOfBackreferences = bad(() => /^((a|aa|aaa)\2?)*$/.test("a".repeat(60) + "b"));

export const arrays = bad(() => { const held = []; for (;;) held.push(new Array(10_000).fill(1)); });
export const strings = bad(() => { const held = []; for (let i = 0; ; i++) held.push(`${i}`.repeat(100_000)); });
export const buffers = bad(() => { const held = []; for (;;) held.push(new Uint8Array(1 << 20)); });
export const oneBuffer = bad(() => new ArrayBuffer(1 << 30));
export const maps = bad(() => { const held = new Map(); for (let i = 0; ; i++) held.set(i, { i }); });
export const caughtMemory = bad(() => { const held = []; for (;;) { try { for (;;) held.push(new Array(10_000).fill(1)); } catch {} } });
export const promises = bad(async () => { const held = []; for (;;) held.push(new Promise(() => {})); });

export const recursion = bad(() => { const down = () => down() + 1; down(); });
export const recursionOfJson = bad(() => { let value = []; for (let i = 0; i < 200_000; i++) value = [value]; JSON.stringify(value); });
export const recursionOfToString = bad(() => { const value = { toString: () => `${value}` }; `${value}`; });

export const never = define("mutation", () => new Promise(() => {}));
export const noConvex = bad(async () => { delete globalThis.Convex; await op("count", { table: "notes" }); });
export const noThen = bad(async () => { Promise.prototype.then = () => 1; await new Promise((resolve) => resolve.call()); throw new Error("broken"); });
export const noJson = bad(async () => { JSON.stringify = () => "nonsense"; await op("count", { table: "notes" }); });
export const noIterator = bad(async () => { Array.prototype[Symbol.iterator] = () => { throw new Error("no iterator"); }; [...[]]; });
export const noObject = bad(async () => {
  Object.defineProperty(Object.prototype, "name", { get() { throw new Error("trap"); } });
  Object.prototype.then = () => { throw new Error("then"); };
  globalThis.Object = globalThis.Array = globalThis.Promise = globalThis.Error = undefined;
  throw new TypeError("gone");
});
export const loopReading = define("mutation", () => { for (;;); });
export const oddThrow = define("query", async () => { throw new Proxy(() => {}, { get() { throw 1; }, getPrototypeOf() { throw 2; } }); });
export const undefinedThrow = define("query", async () => { throw undefined; });
"#;

const TIMED_OUT: &str = "Function execution timed out (maximum duration: 0.2s)";
const NO_MEMORY: &str = "JavaScript execution ran out of memory (maximum memory usage: 64 MB)";

/// Functions, and what each ends with: a text, and the code that clients see.
const ENDS: &[(&str, &str, Option<&str>)] = &[
    ("loop", TIMED_OUT, Some("FunctionTimedOut")),
    ("loopAfterAwait", TIMED_OUT, Some("FunctionTimedOut")),
    ("loopOfJobs", TIMED_OUT, Some("FunctionTimedOut")),
    ("loopInGetter", TIMED_OUT, Some("FunctionTimedOut")),
    ("loopInCatch", TIMED_OUT, Some("FunctionTimedOut")),
    ("loopInProxy", TIMED_OUT, Some("FunctionTimedOut")),
    ("loopInSort", TIMED_OUT, Some("FunctionTimedOut")),
    ("loopInJson", TIMED_OUT, Some("FunctionTimedOut")),
    ("regex", TIMED_OUT, Some("FunctionTimedOut")),
    ("regexOfBackreferences", TIMED_OUT, Some("FunctionTimedOut")),
    (
        "recursion",
        "Uncaught RangeError: Maximum call stack size exceeded",
        None,
    ),
    (
        "recursionOfJson",
        "Uncaught RangeError: Maximum call stack size exceeded",
        None,
    ),
    (
        "recursionOfToString",
        "Uncaught RangeError: Maximum call stack size exceeded",
        None,
    ),
    ("never", "Returned promise will never resolve", None),
    ("noConvex", "Convex", None),
    ("noJson", "", None),
    ("noIterator", "Uncaught Error: no iterator", None),
    ("noThen", "", None),
    ("noObject", "", None),
    ("oddThrow", "Uncaught", None),
    ("undefinedThrow", "Uncaught undefined", None),
];

/// Functions that take all the memory there is.
const HUNGRY: [&str; 7] = [
    "arrays",
    "strings",
    "buffers",
    "oneBuffer",
    "maps",
    "caughtMemory",
    "promises",
];

fn hostile(time_max: Duration) -> Rig {
    let options = JsOptions {
        query_time_max: time_max,
        mutation_time_max: time_max,
        ..JsOptions::default()
    };
    rig_of(HOSTILE, options)
}

fn code_of(thrown: &Thrown) -> Option<String> {
    match &thrown.data {
        Some(Value::Object(data)) => data.get("code").map(|code| code.to_json().to_string()),
        _ => None,
    }
}

/// A call of another's, which has to go well.
async fn others_go_on(rig: &Rig, after: &str) {
    let outcome = rig.mutate("add", object! { "text" => after }).await;
    assert!(
        matches!(outcome, FunctionOutcome::Returned(_)),
        "{after}: {outcome:?}"
    );
}

#[tokio::test]
async fn a_function_that_means_harm_harms_itself_alone() {
    let rig = hostile(Duration::from_millis(200));
    let others = hostile(Duration::from_secs(10));
    for (name, text, code) in ENDS {
        let is_query = matches!(*name, "oddThrow" | "undefinedThrow");
        let outcome = match is_query {
            true => rig.query(name).await,
            false => rig.mutate(name, object! {}).await,
        };
        let thrown = thrown(outcome);
        assert!(thrown.message.contains(text), "{name}: {}", thrown.message);
        assert!(!thrown.message.contains("came to its end"), "{name}");
        let code = code.map(|code| format!("\"{code}\""));
        assert_eq!(code_of(&thrown), code, "{name}");
        others_go_on(&others, name).await;
    }
    let counts = rig.js.runtimes().counts();
    assert_eq!((counts.idle, counts.busy), (1, 0), "one runtime served all");
    assert_eq!(rig.notes().await, "[]");
}

/// The gate runs provisioning functions so.
#[tokio::test]
async fn mutations_that_loop_where_they_cannot_write_keep_no_thread_from_queries() {
    let rig = hostile(Duration::from_secs(5));
    let loops = 2 * std::thread::available_parallelism().unwrap().get();
    let mut looping: Vec<_> = (0..loops)
        .map(|_| {
            let functions = rig.functions.clone();
            let call = call("loopReading", object! {});
            tokio::spawn(async move { functions.mutate_without_writing(call).await })
        })
        .collect();
    while rig.js.runtimes().counts().busy < loops {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // One of the server's own, on the one reader's thread of the rig, and one in JavaScript.
    rig.functions.read(|_| Ok(())).await.unwrap();
    let listed = rig.query("list").await;
    assert!(matches!(listed, FunctionOutcome::Returned(_)));
    for one in &mut looping {
        assert!(!one.is_finished(), "a query waited for a loop");
    }
    for one in looping {
        let run = one.await.unwrap().unwrap().unwrap();
        assert!(matches!(
            run.outcome,
            QueryOutcome::Done(FunctionOutcome::Threw(_))
        ));
    }
}

#[tokio::test]
async fn a_function_that_takes_all_memory_ends_and_gives_it_back() {
    // Time is not what ends these.
    let rig = hostile(Duration::from_secs(60));
    others_go_on(&rig, "before").await;
    let before = rig.js.runtimes().counts();
    for name in HUNGRY {
        let thrown = thrown(rig.mutate(name, object! {}).await);
        assert_eq!(thrown.message, NO_MEMORY, "{name}");
        assert_eq!(
            code_of(&thrown).as_deref(),
            Some("\"FunctionOutOfMemory\""),
            "{name}"
        );
        others_go_on(&rig, name).await;
    }
    let after = rig.js.runtimes().counts();
    assert_eq!(
        (after.idle, after.busy, after.image_bytes, after.made),
        (before.idle, before.busy, before.image_bytes, before.made)
    );
    assert_eq!(rig.count_notes().await, 1 + HUNGRY.len());
}

/// Milliseconds that all but one in a hundred calls stay below.
fn p99(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[(times.len() * 99).div_ceil(100) - 1].as_secs_f64() * 1e3
}

/// Short calls, one after another, and how long each took.
async fn short_calls(rig: &Rig, count: usize) -> Vec<Duration> {
    let clock = SystemClock::new();
    let mut times = Vec::new();
    for _ in 0..count {
        let began = clock.elapsed();
        others_go_on(rig, "short").await;
        times.push(clock.elapsed() - began);
    }
    times
}

/// A client that calls one function after another, each of which loops or takes all memory.
async fn harm(functions: Arc<Functions>, client: usize, stop: Arc<AtomicBool>) {
    let mut number = client;
    while !stop.load(Ordering::Relaxed) {
        let name = ["loop", "regex", "arrays"][number % 3];
        let run = functions.mutate(call(name, object! {})).await.unwrap();
        assert!(matches!(run.outcome, FunctionOutcome::Threw(_)), "{name}");
        number += 3;
    }
}

const SHORT_CALLS: usize = 100;

/// The clients that mean harm are twice as many as the threads, and never stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_calls_go_on_beside_calls_that_loop_for_ever() {
    let rig = hostile(Duration::from_secs(3));
    let before = p99(short_calls(&rig, SHORT_CALLS).await);
    let of_one = rig.js.runtimes().counts().image_bytes;
    let threads = 2 * std::thread::available_parallelism().unwrap().get();
    let stop = Arc::new(AtomicBool::new(false));
    let harmful: Vec<_> = (0..2 * threads)
        .map(|client| tokio::spawn(harm(rig.functions.clone(), client, stop.clone())))
        .collect();
    // As many loop as there are threads for all; the others are about to, or take memory.
    while rig.js.runtimes().counts().busy < threads {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let first = tokio::spawn({
        let (functions, name) = (rig.functions.clone(), "loopAfterAwait");
        async move { functions.mutate(call(name, object! {})).await }
    });
    let during = p99(short_calls(&rig, SHORT_CALLS).await);
    println!(
        "p99: {before:.1} ms alone, {during:.1} ms beside, {:.1} times",
        during / before
    );
    assert!(!first.is_finished(), "the short calls waited for a loop");
    stop.store(true, Ordering::Relaxed);
    for client in harmful {
        client.await.unwrap();
    }
    first.await.unwrap().unwrap();
    // All that is left are idle runtimes, with what each had when it was new.
    let after = rig.js.runtimes().counts();
    assert_eq!(after.busy, 0);
    assert_eq!(after.image_bytes, after.idle * of_one);
}
