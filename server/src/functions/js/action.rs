//! One run of a JavaScript action: a thread of its own, which waits where the action does.
//!
//! A bounded number of actions runs at once; others wait for their turn. An action that another one calls does not
//! wait, so that none can wait for itself; how deep such calls go is bounded.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use vestibule_isolate::HostValue;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::value::Value;

use super::Js;
use super::action_host::{ActionHost, Asked};
use super::code::Code;
use super::execution::IntoValue;
use super::failures;
use super::nested::{DEPTH_MAX, TOO_DEEP};
use crate::functions::FunctionKind;
use crate::functions::action::ActionCtx;
use crate::functions::error::{Error, Result};
use crate::functions::nesting::depth;
use crate::functions::workers::WORKER_STACK_BYTES;

/// The text that developers read for the server's own trouble.
pub(super) const TROUBLE: &str = "Your request couldn't be completed. Try again later.";

/// The action that runs.
#[derive(Clone)]
pub(super) struct ActionTarget {
    pub js: Arc<Js>,
    pub code: Arc<Code>,
    pub path: FunctionPath,
}

/// A place among the actions that run at once; a nested action needs none.
pub(super) type Place = Option<OwnedSemaphorePermit>;

/// Runs an action to its end.
pub(super) async fn run(target: ActionTarget, ctx: ActionCtx, args: Value) -> Result<Value> {
    // A job has taken its place before it was put in progress.
    let place = match ctx.take_place() {
        Some(place) => Some(place),
        None => place(&target.js).await?,
    };
    let asked = Asked {
        refusal: None,
        gone: None,
        depth: depth(),
    };
    let handle = Handle::current();
    let (answer, answered) = oneshot::channel();
    let js = target.js.clone();
    on_thread(&js, place, move || {
        // The caller may have gone.
        let _ = answer.send(run_here(&target, ctx, asked, args, handle));
    })?;
    answered
        .await
        .unwrap_or_else(|_| Err(Error::plain(TROUBLE)))
}

/// A place for one more action, once there is one. A nested one goes without where none is free.
pub(super) async fn place(js: &Js) -> Result<Place> {
    match depth() {
        0 => Ok(own_place(js).await),
        // Its caller may hold the last place, and have ended: then it takes one.
        1..=DEPTH_MAX => Ok(js.action_slots.clone().try_acquire_owned().ok()),
        _ => Err(Error::plain(TOO_DEEP)),
    }
}

/// A place for an action that no other one calls, once there is one.
pub(super) async fn own_place(js: &Js) -> Place {
    js.actions_waiting.fetch_add(1, Ordering::Relaxed);
    let _waiting = Waiting(js);
    let place = js.action_slots.clone().acquire_owned().await;
    Some(place.expect("the slots are never closed"))
}

/// An action that waits for its place.
struct Waiting<'j>(&'j Js);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.actions_waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs `work` on a thread of its own, which holds `place` meanwhile. A panic drops what `work` owns.
pub(super) fn on_thread(js: &Js, place: Place, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let body = move || {
        let _place = place;
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        if ran.is_err() {
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

fn run_here(
    target: &ActionTarget,
    ctx: ActionCtx,
    asked: Asked,
    args: Value,
    handle: Handle,
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
    runtime.isolate.set_budget(time_max);
    let mut host = ActionHost::new(target, ctx, handle, asked, None);
    let driven = host.drive(&mut runtime, "start", &start, time_max);
    let result = host.finish(driven, time_max);
    target.js.runtimes.give_back(runtime);
    failures::returned(&result?, &target.path)
}
