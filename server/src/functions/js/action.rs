//! One run of a JavaScript action: a thread of its own, which waits where the action does.
//!
//! The place of an action (`places.rs`) is its thread's, to the end of the run. These threads give way to those of queries
//! and mutations.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use vestibule_isolate::HostValue;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::value::Value;

use super::Js;
use super::action_host::{ActionHost, Asked};
use super::code::Code;
use super::execution::IntoValue;
use super::failures;
use crate::functions::FunctionKind;
use crate::functions::action::ActionCtx;
use crate::functions::error::{Error, Result};
use crate::functions::places::Place;
use crate::functions::workers::WORKER_STACK_BYTES;

/// The text that developers read for the server's own trouble.
pub(super) const TROUBLE: &str = "Your request couldn't be completed. Try again later.";
/// How much an action's thread gives way to others, as `nice` counts it: to about a tenth of a busy processor.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// The action that runs.
#[derive(Clone)]
pub(super) struct ActionTarget {
    pub js: Arc<Js>,
    pub code: Arc<Code>,
    pub path: FunctionPath,
}

/// Runs an action to its end, in the place that its context has.
pub(super) async fn run(target: ActionTarget, ctx: ActionCtx, args: Value) -> Result<Value> {
    let place = ctx.take_place();
    let place = place.expect("an action has its place before its body begins");
    let asked = Asked::default();
    let handle = Handle::current();
    let (answer, answered) = oneshot::channel();
    let js = target.js.clone();
    on_thread(&js, place, move |place| {
        // The caller may have gone.
        let _ = answer.send(run_here(&target, ctx, asked, args, handle, place));
    })?;
    answered
        .await
        .unwrap_or_else(|_| Err(Error::plain(TROUBLE)))
}

/// Runs `work` on a thread of its own, which holds `place` meanwhile. A panic drops what `work` owns.
pub(super) fn on_thread(
    js: &Js,
    mut place: Place,
    work: impl FnOnce(&mut Place) + Send + 'static,
) -> Result<()> {
    let body = move || {
        give_way();
        let work = std::panic::AssertUnwindSafe(|| work(&mut place));
        if std::panic::catch_unwind(work).is_err() {
            tracing::error!("a thread that ran an action panicked");
        }
    };
    let executor = &js.options.executor;
    let started = executor.start("action", WORKER_STACK_BYTES, Box::new(body));
    started.map(drop).map_err(|error| {
        tracing::error!(%error, "no thread for an action");
        Error::plain(TROUBLE)
    })
}

/// Lowers this thread's priority below that of queries and mutations. Everybody may do that.
#[cfg(target_os = "linux")]
fn give_way() {
    // Here a niceness is a thread's own.
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "an action's thread has the priority of all others");
    }
}

/// Elsewhere a niceness is the whole process's.
#[cfg(not(target_os = "linux"))]
fn give_way() {}

fn run_here(
    target: &ActionTarget,
    ctx: ActionCtx,
    asked: Asked,
    args: Value,
    handle: Handle,
    place: &mut Place,
) -> Result<Value> {
    let mut runtime = target
        .js
        .runtimes
        .take(&target.code, target.path.module_file())
        .map_err(|not_loaded| failures::at_import(&not_loaded.failure, &target.code))?;
    let mut text = String::from("[");
    args.write_json(&mut text);
    text.push(']');
    let start = [
        "action".into_value(),
        target.path.module_file().into_value(),
        target.path.function().into_value(),
        HostValue::String(text),
    ];
    let time_max = target.js.time_max(FunctionKind::Action);
    let mut host = ActionHost::new(target, ctx, handle, asked, place);
    let driven = host.drive(&mut runtime, "start", &start, time_max);
    let result = host.finish(driven, time_max);
    target.js.runtimes.give_back(runtime);
    failures::returned(&result?, &target.path)
}
