//! Actions and the world: requests, streams, aborts, what is left at the end, files, and what actions may not do.

use vestibule_schema::object;
use vestibule_schema::path::FunctionPath;

use super::world::World;
use super::*;
use crate::database::Query;
use crate::files::{Blobs, FileMetrics, Files, FilesOptions, FilesParts};
use crate::functions::ActionRun;
use crate::functions::scheduled::{
    JobState, SCHEDULED_FUNCTIONS, ScheduledFunction, ToSchedule, schedule,
};
use crate::jobs::{Jobs, JobsMetrics, JobsOptions};
use crate::outbound::{Origins, OutboundOptions, Own};

const APP: &str = r#"
import { define, op } from "./_deps/package.js";
const text = (bytes) => new TextDecoder().decode(bytes);
const caught = async (work) => {
  try {
    return await work();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};
export const post = define("action", async ({ base }) => {
  const response = await fetch(base + "/x", { method: "POST", body: "hi", headers: { authorization: "t" } });
  return [response.status, response.headers.get("x-own"), response.url === base + "/x", await response.json()];
});
export const upload = define("action", async ({ base }) => {
  const body = ReadableStream.from(["a", "b", "c"]).pipeThrough(new TextEncoderStream());
  return await (await fetch(base + "/x", { method: "PUT", body, duplex: "half" })).json();
});
export const onward = define("action", async ({ base }) => {
  const { body } = await fetch(base + "/x", { method: "POST", body: "far" });
  return await (await fetch(base + "/y", { method: "POST", body, duplex: "half" })).json();
});
export const waits = define("action", () => new Promise((resolve) => setTimeout(resolve, 600_000)));
export const manyTimers = define("action", async () => {
  let set = 0;
  try {
    for (;; set += 1) setTimeout(() => {}, 60_000);
  } catch (error) {
    return [set, error.message];
  }
});
export const timersInOrder = define("action", async () => {
  const ran = [];
  for (let n = 0; n < 9; n++) setTimeout(() => ran.push(n), 0);
  setTimeout(() => ran.push("later"), 3);
  setTimeout(() => ran.push("sooner"), 2);
  const cleared = setTimeout(() => ran.push("cleared"), 1);
  setTimeout(() => clearTimeout(cleared), 0);
  // All of them are due when this ends.
  for (let n = 0; n < 1e6; n++) ran.length;
  await new Promise((resolve) => setTimeout(resolve, 4));
  return ran.join(" ");
});
export const timersAndOthers = define("action", async () => {
  let isOver = false;
  const ticks = setInterval(() => {}, 0);
  const again = () => isOver || setTimeout(again, 0);
  again();
  for (let n = 0; n < 20; n++) await op("getUserIdentity", {});
  isOver = true;
  clearInterval(ticks);
  return "both";
});
export const custom = define("action", async () => {
  class Own extends Error {}
  throw new Own("first\n    at spoof (app.js:1:1)");
});
export const empty = define("action", async ({ base }) => (await fetch(base + "/empty")).body === null);
export const held = define("action", async ({ base }) => {
  const reader = (await fetch(base + "/held")).body.getReader();
  const first = text((await reader.read()).value);
  await fetch(base + "/release");
  return [first, text((await reader.read()).value), (await reader.read()).done];
});
export const aborted = define("action", async ({ base }) => {
  const controller = new AbortController();
  const asked = fetch(base + "/silent", { signal: controller.signal });
  await fetch(base + "/entered");
  controller.abort();
  return await caught(() => asked);
});
export const cutShort = define("action", async ({ base }) => {
  const controller = new AbortController();
  const reader = (await fetch(base + "/held", { signal: controller.signal })).body.getReader();
  await reader.read();
  const read = reader.read();
  controller.abort(new Error("enough"));
  return await caught(() => read);
});
export const cancelled = define("action", async ({ base }) => {
  const response = await fetch(base + "/held");
  await response.body.cancel();
  return response.bodyUsed;
});
export const dangling = define("action", async ({ base }) => {
  fetch(base + "/silent");
  fetch(base + "/silent");
  setTimeout(() => {}, 1e9);
  await fetch(base + "/entered");
  await fetch(base + "/entered");
  return "done";
});
export const forbidden = define("action", async ({ url }) => caught(() => fetch(url)));
export const timers = define("action", async () => {
  for (let n = 0; n < 3000; n++) clearTimeout(setTimeout(() => {}, 1e9));
  let ticks = 0;
  return await new Promise((resolve) => {
    const id = setInterval(() => {
      if (++ticks === 3) resolve(clearInterval(id) ?? ticks);
    }, 1);
  });
});
export const crowd = define("action", async () => {
  const all = [];
  for (let n = 0; n < 1001; n++) all.push(caught(() => new Promise((resolve, reject) => {
    op("getUserIdentity", {}).then(resolve, reject);
  })));
  return (await Promise.all(all)).filter((each) => each !== null);
});
export const ask = define("action", async ({ name, args }) => caught(() => op(name, args)));
export const askNow = define("action", async ({ name }) => caught(() => Convex.syscall(name, "{}")));
export const deep = define("action", async ({ left }) =>
  left === 0 ? 0 : 1 + (await op("actions/action", { name: "app:deep", args: { left: left - 1 } })));
const storage = (op, args) => caught(() => Convex.jsSyscall("storage/" + op, args));
export const keep = define("action", async () => {
  const id = await storage("storeBlob", { blob: new Blob(["kept"], { type: "text/x" }) });
  const blob = await storage("getBlob", { storageId: id });
  const metadata = await op("storageGetMetadata", { storageId: id });
  await op("storageDelete", { storageId: id });
  return [blob.type, await blob.text(), metadata.size, await storage("getBlob", { storageId: id })];
});
export const keepWrong = define("action", async () => [
  await storage("storeBlob", { blob: new Blob(["x"]), options: { sha256: "AAAA" } }),
  await storage("storeBlob", { blob: new Blob(["x"]), options: { sha256: btoa("0".repeat(32)) } }),
  await storage("storeBlob", { blob: "x" }),
  await storage("getBlob", { storageId: 1 }),
]);
export const endless = define("action", async () => new Promise((resolve) => setTimeout(resolve, 1e9)));
"#;

fn open() -> JsOptions {
    JsOptions {
        outbound: OutboundOptions {
            is_open: true,
            ..OutboundOptions::default()
        },
        ..JsOptions::default()
    }
}

/// Actions that run, and actions that wait.
fn counts(rig: &Rig) -> (usize, usize) {
    let counts = rig.js.places().counts();
    (counts.running, counts.waiting)
}

impl Rig {
    pub(super) async fn act(&self, name: &str, args: Object) -> ActionRun {
        self.functions.act(call(name, args)).await.unwrap()
    }

    /// The states of all scheduled functions.
    async fn states(&self) -> Vec<JobState> {
        let reading = self.functions.transact(|tx| {
            let documents = tx.collect(&Query::table(SCHEDULED_FUNCTIONS))?;
            let jobs = documents.into_iter().filter_map(ScheduledFunction::read);
            Ok(jobs.map(|job| job.state).collect())
        });
        reading.await.unwrap().unwrap()
    }

    pub(super) async fn acted(&self, name: &str, args: Object) -> String {
        match self.act(name, args).await.outcome {
            FunctionOutcome::Returned(value) => value.to_json().to_string(),
            FunctionOutcome::Threw(thrown) => thrown.message,
        }
    }

    fn with_files(self) -> Rig {
        let mut metrics = prometheus_client::registry::Registry::default();
        self.functions.install_files(Files::new(FilesParts {
            database: self.functions.database().clone(),
            blobs: Blobs::in_directory(self._dir.path()).unwrap(),
            own: Own::at(Origins::below("http://files.test")),
            secret: crate::auth::DeploymentSecret::load_or_create(self._dir.path())
                .unwrap()
                .key_for("uploads"),
            metrics: FileMetrics::register(&mut metrics),
            options: FilesOptions::default(),
        }));
        self
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_too_many_is_an_error_that_the_action_may_catch() {
    let rig = rig_of(APP, open());
    let expected = r#"[1000.0,"An action may have at most 1000 operations under way."]"#;
    assert_eq!(rig.acted("manyTimers", object! {}).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_run_earliest_first_and_equal_ones_in_their_order() {
    let rig = rig_of(APP, open());
    let expected = r#""0 1 2 3 4 5 6 7 8 sooner later""#;
    for _ in 0..3 {
        assert_eq!(rig.acted("timersInOrder", object! {}).await, expected);
    }
    let both = rig.acted("timersAndOthers", object! {}).await;
    assert_eq!(both, r#""both""#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_of_a_message_is_taken_for_a_frame() {
    let rig = rig_of(APP, open());
    let told = rig.acted("custom", object! {}).await;
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines[..2],
        ["Uncaught Error: first", "    at spoof (app.js:1:1)"]
    );
    assert!(lines[2].contains("(../convex/app.js:"), "{told}");
    assert!(!told.contains("Own"), "{told}");
    assert_eq!(told.matches("spoof").count(), 1, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_sends_bodies_and_reads_them_as_they_arrive() {
    let (rig, world) = (rig_of(APP, open()), World::start().await);
    for (name, expected) in [
        ("post", r#"[200.0,"1",true,["POST","hi","t"]]"#),
        ("upload", r#"["PUT","abc",null]"#),
        ("onward", r#"["POST","[\"POST\",\"far\",null]",null]"#),
        ("empty", "true"),
        ("held", r#"["one","two",true]"#),
        ("cancelled", "true"),
    ] {
        let told = rig.acted(name, object! { "base" => world.url() }).await;
        assert_eq!(told, expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_ends_the_request_before_and_within_its_answer() {
    let (rig, world) = (rig_of(APP, open()), World::start().await);
    let base = object! { "base" => world.url() };
    let aborted = rig.acted("aborted", base.clone()).await;
    assert_eq!(aborted, r#""AbortError: This operation was aborted""#);
    world.signs.left.given().await;
    assert_eq!(rig.acted("cutShort", base).await, r#""Error: enough""#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_action_leaves_under_way_is_ended_and_named() {
    let (rig, world) = (rig_of(APP, open()), World::start().await);
    let run = rig.act("dangling", object! { "base" => world.url() }).await;
    assert_eq!(
        run.log_lines,
        [
            "[WARN] 2 unawaited operations: [fetch, fetch]. Async operations should be awaited or they might not run. \
             See https://docs.convex.dev/functions/actions#dangling-promises for more information."
        ]
    );
    world.signs.left.given().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_goes_to_public_addresses_alone() {
    let rig = rig_of(APP, JsOptions::default());
    for (url, expected) in [
        ("http://2130706433/", "127.0.0.1, a loopback address"),
        (
            "http://[::ffff:10.0.0.1]:81/x",
            "10.0.0.1, a private address",
        ),
    ] {
        let told = rig.acted("forbidden", object! { "url" => url }).await;
        assert!(told.starts_with("\"TypeError: fetch failed: "), "{told}");
        assert!(told.contains(expected), "{told}");
        assert!(told.contains("--fetch-allow"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_under_way_are_counted_and_cleared_timers_are_not() {
    let rig = rig_of(APP, open());
    assert_eq!(rig.acted("timers", object! {}).await, "3.0");
    assert_eq!(
        rig.acted("crowd", object! {}).await,
        r#"["Error: An action may have at most 1000 operations under way."]"#
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actions_that_call_actions_do_not_wait_for_their_own_place() {
    let options = JsOptions {
        actions_max: 1,
        ..open()
    };
    let rig = rig_of(APP, options);
    assert_eq!(rig.acted("deep", object! { "left" => 8.0 }).await, "8.0");
    let told = rig.acted("deep", object! { "left" => 9.0 }).await;
    assert!(told.contains("call depth limit exceeded"), "{told}");
    assert_eq!(rig.acted("deep", object! { "left" => 0.0 }).await, "0.0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_has_its_time_and_no_more() {
    let options = JsOptions {
        action_time_max: Duration::from_millis(50),
        ..open()
    };
    let told = rig_of(APP, options).acted("endless", object! {}).await;
    assert_eq!(
        told,
        "Function execution timed out (maximum duration: 0.05s)"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_operation_answers_or_says_why_not() {
    let rig = rig_of(APP, open());
    for (name, expected) in [
        ("getUserIdentity", "null"),
        (
            "getFunctionMetadata",
            r#"{"componentPath":"","name":"app:ask"}"#,
        ),
        (
            "actions/vectorSearch",
            "Invalid arguments for `vectorSearch`: missing field `query`",
        ),
        ("auditLog", "Audit logging is not yet supported in actions"),
        ("getServiceUrl", "none of the services of Convex's cloud"),
        (
            "getTransactionMetrics",
            "Unknown async operation 1.0/getTransactionMetrics",
        ),
        ("insert", "Unknown async operation 1.0/insert"),
        (
            "actions/query",
            "Invalid arguments for `runQuery`: Missing required argument 'name'",
        ),
        (
            "actions/cancel_job",
            "Invalid arguments for `db.cancel_job`: Missing required argument 'id'",
        ),
        (
            "storageGetUrl",
            "Invalid argument `storageId` for `storage.getUrl`",
        ),
    ] {
        let args = object! { "name" => name, "args" => object! {} };
        let told = rig.acted("ask", args).await;
        assert!(told.contains(expected), "{name}: {told}");
    }
    let soon = SystemClock::new().now().0 as f64 / 1e9 + 3_600.0;
    let later = object! { "name" => "app:post", "args" => object! {}, "ts" => soon };
    let args = object! { "name" => "actions/schedule", "args" => later };
    let id = rig.acted("ask", args).await;
    assert!(!id.contains("Error"), "{id}");
    let id = id.trim_matches('"').to_owned();
    let args = object! { "name" => "actions/cancel_job", "args" => object! { "id" => id } };
    assert_eq!(rig.acted("ask", args).await, "null");
    let args = object! { "name" => "getRequestMetadata", "args" => object! {} };
    let told = rig.acted("ask", args).await;
    assert!(
        told.contains(r#""ip":null"#) && told.contains(r#""requestId":""#),
        "{told}"
    );
    let now = rig
        .acted("askNow", object! { "name" => "1.0/queryStream" })
        .await;
    assert!(now.contains("Unknown operation 1.0/queryStream"), "{now}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_stores_files_and_gets_them_back() {
    let rig = rig_of(APP, open()).with_files();
    assert_eq!(
        rig.acted("keep", object! {}).await,
        r#"["text/x","kept",4.0,null]"#
    );
    let wrong = rig.acted("keepWrong", object! {}).await;
    for expected in [
        "Invalid argument `sha256` for `storage.store`",
        "Sha256 mismatch.",
        "store() expects a Blob.",
        "storage.get requires a string storageId but received number",
    ] {
        assert!(wrong.contains(expected), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_action_is_pending_until_it_has_a_place() {
    const ACTIONS: usize = 3;
    let options = JsOptions {
        actions_max: 1,
        ..open()
    };
    let rig = rig_of(super::APP, options);
    let path: FunctionPath = "app:act".parse().unwrap();
    let taken = rig.functions.action_place(&path).await;
    let scheduling = rig.functions.transact(move |tx| {
        for _ in 0..ACTIONS {
            let job = ToSchedule {
                path: path.clone(),
                args: vec![Value::Object(object! {})],
                at_seconds: tx.now().seconds() as f64,
                by: None,
                owner: Default::default(),
            };
            schedule(tx, job)?;
        }
        Ok(())
    });
    scheduling.await.unwrap().unwrap();
    let metrics = JobsMetrics::register(&mut prometheus_client::registry::Registry::default());
    let metrics = Arc::new(metrics);
    let jobs = Jobs::start(rig.functions.clone(), JobsOptions::default(), metrics);
    while counts(&rig) != (1, ACTIONS) {
        tokio::task::yield_now().await;
    }
    // An end of the process here loses none of them.
    assert_eq!(rig.states().await, vec![JobState::Pending; ACTIONS]);
    drop(taken);
    while rig.states().await != vec![JobState::Success; ACTIONS] {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.count_notes().await, ACTIONS);
    jobs.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_does_not_wait_for_actions_that_have_no_place() {
    let options = JsOptions {
        actions_max: 1,
        ..open()
    };
    let rig = rig_of(super::APP, options);
    let path: FunctionPath = "app:act".parse().unwrap();
    let _taken = rig.functions.action_place(&path).await;
    let scheduling = rig.functions.transact(move |tx| {
        let job = ToSchedule {
            path: path.clone(),
            args: vec![Value::Object(object! {})],
            at_seconds: tx.now().seconds() as f64,
            by: None,
            owner: Default::default(),
        };
        Ok(schedule(tx, job)?)
    });
    scheduling.await.unwrap().unwrap();
    let metrics = JobsMetrics::register(&mut prometheus_client::registry::Registry::default());
    let metrics = Arc::new(metrics);
    let jobs = Jobs::start(rig.functions.clone(), JobsOptions::default(), metrics);
    while counts(&rig) != (1, 1) {
        tokio::task::yield_now().await;
    }
    jobs.stop().await;
    assert_eq!(rig.states().await, [JobState::Pending]);
}

/// Its thread would wait on a runtime that is gone.
#[tokio::test]
async fn an_action_that_waits_ends_with_the_server() {
    let rig = rig_of(APP, open());
    let functions = rig.functions.clone();
    let waiting = tokio::spawn(async move { functions.act(call("waits", object! {})).await });
    while counts(&rig).0 == 0 {
        tokio::task::yield_now().await;
    }
    rig.js.end_actions();
    let run = waiting.await.unwrap().unwrap();
    assert!(matches!(run.outcome, FunctionOutcome::Threw(_)));
    while counts(&rig).0 > 0 {
        tokio::task::yield_now().await;
    }
}
