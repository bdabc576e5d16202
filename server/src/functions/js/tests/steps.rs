//! The time of an action's steps in the engine, the priority of its thread, and the memory of all actions.

use std::io::Write;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::Dispatch;
use vestibule_schema::object;

use super::world::World;
use super::*;
use crate::executor::{Body, Executor};
use crate::functions::js::action::on_thread;
use crate::outbound::OutboundOptions;

const APP: &str = r#"
import { define, op } from "./_deps/package.js";
export const loops = define("action", async ({ secret }) => { for (;;); });
export const loopsLater = define("action", async () => {
  await new Promise((resolve) => setTimeout(resolve, 1));
  for (;;);
});
const spend = (millis) => { for (const end = performance.now() + millis; performance.now() < end;); };
export const works = define("action", async () => {
  for (let step = 0; step < 12; step++) {
    spend(25);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return "done";
});
export const catches = define("action", async () => {
  try {
    return await op("actions/action", { name: "app:loops", args: {} });
  } catch (error) {
    return error.message;
  }
});
export const holds = define("action", async ({ base, megabytes }) => {
  const held = new Uint8Array(megabytes << 20).fill(7);
  await fetch(base + "/enter");
  await fetch(base + "/released");
  return held.length >> 20;
});
export const both = define("action", async ({ base, calls }) => {
  const call = () => op("actions/action", { name: "app:leaf", args: { base } });
  const all = await Promise.all(Array.from({ length: calls }, call));
  return all.length;
});
export const leaf = define("action", async ({ base }) => {
  const held = new Uint8Array(8 << 20).fill(7);
  await fetch(base + "/enter");
  return held.length;
});
"#;

fn options() -> JsOptions {
    JsOptions {
        outbound: OutboundOptions {
            is_open: true,
            ..OutboundOptions::default()
        },
        ..JsOptions::default()
    }
}

/// Threads whose log lines are kept.
struct Logged(Dispatch);

impl Executor for Logged {
    fn start(&self, name: &str, bytes: usize, body: Body) -> std::io::Result<JoinHandle<()>> {
        let dispatch = self.0.clone();
        let body = move || tracing::dispatcher::with_default(&dispatch, body);
        SystemExecutor.start(name, bytes, Box::new(body))
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_without_end_is_ended_and_reported_without_its_arguments() {
    let lines = Lines::default();
    let writer = lines.clone();
    let kept = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let rig = rig_of(
        APP,
        JsOptions {
            action_step_max: Duration::from_millis(50),
            executor: Arc::new(Logged(Dispatch::new(kept))),
            ..options()
        },
    );
    let expected =
        "Function execution timed out (maximum duration of a step that waits for nothing: 0.05s)";
    for name in ["loops", "loopsLater"] {
        let run = rig.act(name, object! { "secret" => "hidden" }).await;
        let thrown = thrown(run.outcome);
        assert_eq!(thrown.message, expected, "{name}");
        assert_eq!(thrown.code(), Some("FunctionTimedOut"), "{name}");
    }
    let told = String::from_utf8(lines.0.lock().clone()).unwrap();
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("app:loops") && !told[0].contains("hidden"),
        "{told:?}"
    );
    // Its caller is another action, and goes on.
    assert_eq!(
        rig.acted("catches", object! {}).await,
        format!("\"{expected}\"")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_are_counted_one_by_one() {
    let rig = rig_of(
        APP,
        JsOptions {
            action_step_max: Duration::from_millis(200),
            ..options()
        },
    );
    assert_eq!(rig.acted("works", object! {}).await, "\"done\"");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn threads_of_actions_give_way() {
    let rig = rig_of(APP, options());
    let own = rustix::process::nice(0).unwrap();
    let place = rig.js.places().take_own(1).await;
    let (tell, told) = oneshot::channel();
    on_thread(&rig.js, place, move |_| {
        tell.send(rustix::process::nice(0).unwrap()).unwrap();
    })
    .ok()
    .unwrap();
    assert_eq!(told.await.unwrap(), (own + 10).min(19));
    assert_eq!(rustix::process::nice(0).unwrap(), own);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actions_beyond_the_memory_of_all_wait_until_others_end() {
    let bound = 64 << 20;
    let rig = rig_of(
        APP,
        JsOptions {
            actions_bytes_max: bound,
            ..options()
        },
    );
    let world = World::start().await;
    let hold = |megabytes: f64| {
        let args = object! { "base" => world.url(), "megabytes" => megabytes };
        let functions = rig.functions.clone();
        tokio::spawn(async move { functions.act(call("holds", args)).await })
    };
    let first = hold(48.0);
    world.signs.entered.given().await;
    // It waits: as much again is expected, and there is not so much.
    while rig.js.places().counts().bytes < 48 << 20 {
        tokio::task::yield_now().await;
    }
    let second = hold(1.0);
    while rig.js.places().counts().waiting == 0 {
        tokio::task::yield_now().await;
    }
    let counts = rig.js.places().counts();
    assert!(
        counts.bytes < bound && counts.waiting_bytes > 0,
        "{counts:?}"
    );
    assert_eq!(counts.running, 1);
    world.signs.release.give();
    assert!(matches!(
        first.await.unwrap().unwrap().outcome,
        FunctionOutcome::Returned(_)
    ));
    world.signs.entered.given().await;
    world.signs.release.give();
    assert!(matches!(
        second.await.unwrap().unwrap().outcome,
        FunctionOutcome::Returned(_)
    ));
    while rig.js.places().counts().running > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.js.places().counts().bytes, 0);
}

/// Each caller gets its calls through one by one at least.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actions_that_call_many_at_once_end_where_there_is_memory_for_none() {
    let rig = rig_of(
        APP,
        JsOptions {
            actions_bytes_max: 1,
            ..options()
        },
    );
    let world = World::start().await;
    let args = object! { "base" => world.url(), "calls" => 7.0 };
    let [one, two] = [(); 2].map(|()| rig.acted("both", args.clone()));
    assert_eq!(tokio::join!(one, two), ("7.0".to_owned(), "7.0".to_owned()));
}

/// Threads, places and memory are there for so many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_actions_wait_at_once_for_one_event() {
    const ACTIONS: usize = 200;
    let rig = rig_of(APP, options());
    let world = World::start().await;
    let acting = (0..ACTIONS).map(|_| {
        let args = object! { "base" => world.url(), "megabytes" => 0.0 };
        let functions = rig.functions.clone();
        tokio::spawn(async move { functions.act(call("holds", args)).await })
    });
    let acting: Vec<_> = acting.collect();
    for _ in 0..ACTIONS {
        world.signs.entered.given().await;
    }
    let counts = rig.js.places().counts();
    assert_eq!((counts.running, counts.waiting), (ACTIONS, 0));
    for _ in 0..ACTIONS {
        world.signs.release.give();
    }
    for one in acting {
        let outcome = one.await.unwrap().unwrap().outcome;
        assert!(
            matches!(outcome, FunctionOutcome::Returned(_)),
            "{outcome:?}"
        );
    }
}
