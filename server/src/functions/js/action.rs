//! One run of a JavaScript action: a thread of its own, which waits where the action does.
//!
//! Operations run concurrently on the server's runtime; each is completed as its outcome arrives. What is still under
//! way when the action ends is dropped, and named in a warning.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngCore;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use vestibule_isolate::{ErrorClass, Failure, Host, HostError, HostValue, Thrown as JsThrown};
use vestibule_schema::path::FunctionPath;
use vestibule_schema::value::Value;

use super::Js;
use super::action_calls::{Outcome, perform};
use super::code::Code;
use super::common::{self, CommonOps, text};
use super::execution::{IntoValue, tenths};
use super::failures;
use crate::functions::action::ActionCtx;
use crate::functions::error::{Error, Result};
use crate::functions::workers::WORKER_STACK_BYTES;
use crate::functions::{Console, FunctionKind};

/// Operations that one action may have under way.
const OPERATIONS_MAX: usize = 1_000;

/// What runs.
#[derive(Clone)]
pub(super) struct ActionTarget {
    pub js: Arc<Js>,
    pub code: Arc<Code>,
    pub path: FunctionPath,
}

/// Runs an action to its end.
pub(super) async fn run(target: ActionTarget, ctx: ActionCtx, args: Value) -> Result<Value> {
    let slots = target.js.action_slots.clone();
    let slot = slots.acquire_owned().await;
    let slot = slot.expect("the slots are never closed");
    let handle = Handle::current();
    let (answer, answered) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("action".into())
        .stack_size(WORKER_STACK_BYTES);
    let spawned = thread.spawn(move || {
        let _slot = slot;
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run_here(&target, ctx, args, handle)
        }));
        let ran = ran.unwrap_or_else(|_| {
            tracing::error!("a thread that ran an action panicked");
            Err(Error::plain(
                "Your request couldn't be completed. Try again later.",
            ))
        });
        // The caller may have gone.
        let _ = answer.send(ran);
    });
    if let Err(error) = spawned {
        tracing::error!(%error, "no thread for an action");
        return Err(Error::plain(
            "Your request couldn't be completed. Try again later.",
        ));
    }
    let ended = answered.await;
    ended.unwrap_or_else(|_| Err(Error::plain("The action's thread ended without an answer.")))
}

fn run_here(target: &ActionTarget, ctx: ActionCtx, args: Value, handle: Handle) -> Result<Value> {
    let Js {
        runtimes, clock, ..
    } = &*target.js;
    let mut runtime = runtimes
        .take(&target.code, target.path.module_file())
        .map_err(|failure| failures::at_import(&failure, &target.code))?;
    let time_max = target.js.time_max(FunctionKind::Action);
    runtime.isolate.set_budget(time_max);
    let (sender, completions) = mpsc::unbounded_channel();
    let mut host = ActionHost {
        target,
        ctx,
        handle,
        sender,
        completions,
        under_way: BTreeMap::new(),
        console: Console::default(),
        began: clock.elapsed(),
        ended: None,
    };
    let driven = host.drive(&mut runtime, args, time_max);
    let result = host.finish(driven, time_max);
    runtimes.give_back(runtime);
    result
}

struct ActionHost<'t> {
    target: &'t ActionTarget,
    ctx: ActionCtx,
    handle: Handle,
    sender: mpsc::UnboundedSender<(u64, Outcome)>,
    completions: mpsc::UnboundedReceiver<(u64, Outcome)>,
    /// Operations by id, with their names.
    under_way: BTreeMap<u64, (String, AbortHandle)>,
    console: Console,
    began: Duration,
    ended: Option<Ended>,
}

enum Ended {
    Returned(String),
    Threw(JsThrown),
}

impl ActionHost<'_> {
    fn drive(
        &mut self,
        runtime: &mut super::runtimes::Runtime,
        args: Value,
        time_max: Duration,
    ) -> std::result::Result<(), Failure> {
        let mut text = String::from("[");
        args.write_json(&mut text);
        text.push(']');
        let path = &self.target.path;
        let start = [
            "action".into_value(),
            path.module_file().into_value(),
            path.function().into_value(),
            HostValue::String(text),
        ];
        let isolate = &mut runtime.isolate;
        isolate.call(self, "start", &start)?;
        loop {
            isolate.run_jobs(self)?;
            if self.ended.is_some() {
                return Ok(());
            }
            if self.under_way.is_empty() {
                return Err(Failure::Threw(JsThrown {
                    name: "Error".to_owned(),
                    message: "Returned promise will never resolve".to_owned(),
                    ..JsThrown::default()
                }));
            }
            let elapsed = self.target.js.clock.elapsed() - self.began;
            let left = time_max.checked_sub(elapsed).ok_or(Failure::TimedOut)?;
            let next = self
                .handle
                .clone()
                .block_on(async { tokio::time::timeout(left, self.completions.recv()).await });
            let (id, outcome) = match next {
                Ok(Some(completion)) => completion,
                Ok(None) | Err(_) => return Err(Failure::TimedOut),
            };
            self.under_way.remove(&id);
            isolate.call(self, "complete", &outcome.completion(id))?;
        }
    }

    fn finish(
        mut self,
        driven: std::result::Result<(), Failure>,
        time_max: Duration,
    ) -> Result<Value> {
        let dangling: Vec<String> = self
            .under_way
            .values()
            .map(|(name, task)| {
                task.abort();
                name.clone()
            })
            .filter(|name| name != "timer")
            .collect();
        if !dangling.is_empty() {
            let (count, names) = (dangling.len(), dangling.join(", "));
            self.console.warn(format!(
                "{count} unawaited operation{}: [{names}]. Async operations should be awaited or they might not run. \
                 See https://docs.convex.dev/functions/actions#dangling-promises for more information.",
                if count == 1 { "" } else { "s" },
            ));
        }
        let lines = std::mem::take(&mut self.console);
        self.ctx.console(|console| console.append(lines));
        let code = &self.target.code;
        driven.map_err(|failure| failures::of(&failure, code, time_max))?;
        match self.ended.take() {
            Some(Ended::Returned(text)) => failures::returned(&text, &self.target.path),
            Some(Ended::Threw(thrown)) => Err(failures::thrown(&thrown, code)),
            None => unreachable!("an action that was driven to its end has ended"),
        }
    }

    fn begin(&mut self, args: &mut [HostValue]) -> std::result::Result<HostValue, HostError> {
        let id = match args.first() {
            Some(HostValue::Number(id)) => *id as u64,
            _ => return Err(HostError::fatal("an operation has no id")),
        };
        if self.under_way.len() >= OPERATIONS_MAX {
            let text = format!("An action may have at most {OPERATIONS_MAX} operations under way.");
            return Err(HostError::new(ErrorClass::Error, text));
        }
        let name = match text(args, 1) {
            Some("syscall") => text(args, 2).unwrap_or("").to_owned(),
            Some(name) => name.to_owned(),
            None => return Err(HostError::fatal("an operation has no name")),
        };
        let work = perform(self.target, &self.ctx, args);
        let sender = self.sender.clone();
        let task = self.handle.spawn(async move {
            // The action may have ended.
            let _ = sender.send((id, work.await));
        });
        let shown = name.rsplit('/').next().unwrap_or(&name);
        let shown = match shown {
            "query" | "mutation" | "action" => {
                let mut run = String::from("run");
                run.push_str(&shown[..1].to_uppercase());
                run.push_str(&shown[1..]);
                run
            }
            other => other.to_owned(),
        };
        self.under_way.insert(id, (shown, task.abort_handle()));
        Ok(HostValue::Undefined)
    }
}

impl CommonOps for ActionHost<'_> {
    fn now_millis(&mut self) -> f64 {
        (self.target.js.clock.now().0 / 1_000_000) as f64
    }

    fn performance_millis(&mut self) -> f64 {
        tenths(self.target.js.clock.elapsed() - self.began)
    }

    fn elapsed_millis(&mut self) -> f64 {
        (self.target.js.clock.elapsed() - self.began).as_secs_f64() * 1e3
    }

    fn time_origin(&mut self) -> f64 {
        self.target.code.import.time_millis
    }

    fn fill_random(&mut self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        self.target.code.variables.get(name).cloned()
    }

    fn console(&mut self) -> &mut Console {
        &mut self.console
    }
}

impl Host for ActionHost<'_> {
    fn call(
        &mut self,
        op: &str,
        args: &mut [HostValue],
    ) -> std::result::Result<HostValue, HostError> {
        match op {
            "async" => self.begin(args),
            "syscall" => {
                let text = format!("Unknown operation {}", text(args, 0).unwrap_or(""));
                Err(HostError::new(ErrorClass::Error, text))
            }
            "returned" => {
                let value = text(args, 0).unwrap_or("null").to_owned();
                self.ended.get_or_insert(Ended::Returned(value));
                Ok(HostValue::Undefined)
            }
            "threw" => {
                self.ended
                    .get_or_insert(Ended::Threw(failures::described(args)));
                Ok(HostValue::Undefined)
            }
            _ => common::call(self, op, args).unwrap_or_else(|| {
                let text = format!("Unknown operation {op}");
                Err(HostError::new(ErrorClass::Error, text))
            }),
        }
    }
}
