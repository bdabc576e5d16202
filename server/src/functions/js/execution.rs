//! One run of a JavaScript query or mutation, from its start to its result, on the thread that called it.
//!
//! The function runs until its microtasks are done. Then the operations that it has begun are performed in their order,
//! each completed before the next run of microtasks. The run ends when the function has returned and nothing is left to
//! do. So what a function does depends on its arguments, its snapshot, its time and its seed alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use vestibule_isolate::{ErrorClass, Failure, Host, HostError, HostValue, Thrown as JsThrown};
use vestibule_schema::path::FunctionPath;
use vestibule_schema::value::Value;

use super::Js;
use super::code::Code;
use super::common::{self, CommonOps, text};
use super::failures::{self, LimitsPassed};
use super::nested::Nested;
use super::runtimes::Runtime;
use super::syscalls::{DeploymentMetadata, FunctionState, SyscallError, Syscalls, put_tokens};
use super::warnings;
use crate::clock::{Clock, UnixNanos};
use crate::database::{Dependency, Transaction};
use crate::functions::context::{Execution, NestedPage};
use crate::functions::error::Result;
use crate::functions::request::RequestMetadata;
use crate::functions::{CallSource, Console, FunctionKind};

/// Time that a query or mutation may take with all that the server does for it.
const TOTAL_MILLIS_MAX: u64 = 15_000;

/// The function that runs.
pub(super) struct Target<'t> {
    pub js: &'t Arc<Js>,
    pub code: &'t Arc<Code>,
    pub path: &'t FunctionPath,
    pub kind: FunctionKind,
}

/// The state that a run shares with the calls that it makes.
#[derive(Clone)]
pub(super) struct Setting {
    /// `Date.now()`, fixed for all of it.
    pub now: UnixNanos,
    /// Where its random numbers come from.
    pub seed: [u8; 32],
    /// How many calls it is nested in.
    pub depth: usize,
    /// Where the call from outside came from.
    pub source: CallSource,
    pub request: Arc<RequestMetadata>,
    pub deployment: Arc<DeploymentMetadata>,
}

impl Setting {
    /// The setting of a call from outside.
    pub fn of(js: &Js, now: UnixNanos, source: &CallSource) -> Setting {
        let mut seed = [0; 32];
        StdRng::from_os_rng().fill_bytes(&mut seed);
        Setting {
            now,
            seed,
            depth: 0,
            request: source.request(),
            source: source.clone(),
            deployment: js.deployment.clone(),
        }
    }

    /// Time in the engine that a run may take.
    fn time_max(&self, target: &Target<'_>) -> Duration {
        let time_max = target.js.time_max(target.kind);
        match self.source {
            CallSource::Provisioning => time_max.min(target.js.options.provisioning_time_max),
            _ => time_max,
        }
    }
}

/// Runs a function in a transaction that a call from outside brought.
pub(super) fn run(
    target: &Target<'_>,
    execution: &mut Execution<'_>,
    args: Value,
) -> Result<Value> {
    let setting = Setting::of(target.js, target.js.clock.now(), &execution.source);
    let mut state = FunctionState::new(
        target.kind,
        target.path.clone(),
        execution.caller.clone(),
        setting.request.clone(),
        setting.deployment.clone(),
    );
    state.borders = std::mem::take(&mut execution.db.borders);
    state.observed.nested_page = NestedPage::of(&mut state.borders);
    // The engine measures the function's own time; this bounds all of it, the server's work included.
    let limits = *execution.db.tx.limits();
    execution.db.tx.set_limits(crate::database::Limits {
        user_millis_max: TOTAL_MILLIS_MAX
            .max(2 * target.js.time_max(target.kind).as_millis() as u64),
        ..limits
    });
    let parts = Parts {
        tx: &mut execution.db.tx,
        state: &mut state,
        console: &mut execution.console,
    };
    let args_bytes = args.size();
    let result = run_in(target, parts, &setting, args);
    let Execution { db, console, .. } = execution;
    warnings::warn(&mut db.tx, args_bytes, &result, console);
    state.observed.nested_page.leave(&mut state.borders);
    execution.db.borders = state.borders;
    execution.observed = state.observed;
    result
}

/// The parts that one run works on.
pub(super) struct Parts<'p, 'v> {
    pub tx: &'p mut Transaction<'v>,
    pub state: &'p mut FunctionState,
    pub console: &'p mut Console,
}

/// Runs a function on `parts`.
pub(super) fn run_in(
    target: &Target<'_>,
    parts: Parts<'_, '_>,
    setting: &Setting,
    args: Value,
) -> Result<Value> {
    let module = target.path.module_file();
    parts
        .tx
        .depend_on(Dependency::Module(&target.path.module_key()));
    let taken = target.js.runtimes.take(target.code, module);
    let variables = match &taken {
        Ok(runtime) => &runtime.variables,
        Err(not_loaded) => &not_loaded.variables,
    };
    let behind = variables
        .iter()
        .filter_map(|name| target.code.variable_behind(name));
    for name in behind {
        parts.tx.depend_on(Dependency::Variable(name));
    }
    let mut runtime =
        taken.map_err(|not_loaded| failures::at_import(&not_loaded.failure, target.code))?;
    let time_max = setting.time_max(target);
    runtime.isolate.set_budget(time_max);
    let nested = Nested {
        target: Target { ..*target },
        setting,
        caller: parts.state.caller().clone(),
    };
    let mut host = UdfHost {
        parts,
        nested,
        kind: target.kind,
        code: target.code.clone(),
        rng: StdRng::from_seed(setting.seed),
        now: setting.now,
        clock: &*target.js.clock,
        began: target.js.clock.elapsed(),
        pending: VecDeque::new(),
        ended: None,
        fatal: None,
        limits: LimitsPassed::default(),
    };
    let component = host.parts.tx.enter(target.path.component().clone());
    let driven = host.drive(&mut runtime, target, args);
    host.parts.tx.enter(component);
    let taken = runtime.isolate.cpu_used();
    warnings::warn_of_time(taken, time_max, host.parts.console);
    let result = host.result(driven, target);
    target.js.runtimes.give_back(runtime);
    result
}

/// The host of one run.
struct UdfHost<'h, 'v> {
    parts: Parts<'h, 'v>,
    nested: Nested<'h>,
    kind: FunctionKind,
    code: Arc<Code>,
    rng: StdRng,
    now: UnixNanos,
    clock: &'h dyn Clock,
    began: Duration,
    /// Operations that the function has begun, in their order.
    pending: VecDeque<Operation>,
    ended: Option<Ended>,
    /// Why the run cannot go on, whatever the function does.
    fatal: Option<SyscallError>,
    limits: LimitsPassed,
}

struct Operation {
    id: f64,
    op: String,
    args: String,
}

enum Ended {
    Returned(String),
    Threw(JsThrown),
}

impl UdfHost<'_, '_> {
    fn drive(
        &mut self,
        runtime: &mut Runtime,
        target: &Target<'_>,
        mut args: Value,
    ) -> Result<(), Failure> {
        let kind = match target.kind {
            FunctionKind::Query => "query",
            FunctionKind::Mutation => "mutation",
            FunctionKind::Action => unreachable!("actions have a driver of their own"),
        };
        let mut text = String::from("[");
        put_tokens(&mut args, &self.parts.state.args_places);
        args.write_json(&mut text);
        text.push(']');
        let start = [
            kind.into_value(),
            target.path.module_file().into_value(),
            target.path.function().into_value(),
            HostValue::String(text),
        ];
        let isolate = &mut runtime.isolate;
        isolate.call(self, "start", &start)?;
        loop {
            isolate.run_jobs(self)?;
            if matches!(self.ended, Some(Ended::Threw(_))) {
                return Ok(());
            }
            let Some(operation) = self.pending.pop_front() else {
                return match self.ended {
                    Some(_) => Ok(()),
                    None => Err(Failure::Threw(JsThrown {
                        name: "Error".to_owned(),
                        message: "Returned promise will never resolve".to_owned(),
                        ..JsThrown::default()
                    })),
                };
            };
            let done = self.perform(&operation)?;
            isolate.call(self, "complete", &completion(operation.id, done))?;
        }
    }

    /// Performs one operation. An error ends the run; an error that the function may catch is among the completed
    /// operations.
    fn perform(&mut self, operation: &Operation) -> Result<Result<String, SyscallError>, Failure> {
        let mut syscalls = Syscalls {
            tx: self.parts.tx,
            state: self.parts.state,
            hooks: &mut self.nested.hooks(self.parts.console, &mut self.rng),
        };
        let done = syscalls.async_syscall(&operation.op, &operation.args);
        if let Err(error) = &done {
            self.limits.note(error);
        }
        match done {
            Err(error) if !error.kind.is_catchable() => Err(self.end_with(error)),
            done => Ok(done),
        }
    }

    fn end_with(&mut self, error: SyscallError) -> Failure {
        let failure = Failure::Fatal(HostError::fatal(error.message.clone()));
        self.fatal = Some(error);
        failure
    }

    fn result(&mut self, driven: Result<(), Failure>, target: &Target<'_>) -> Result<Value> {
        match driven {
            Ok(()) => {}
            Err(_) if self.fatal.is_some() => {
                let error = self.fatal.take().expect("it was just looked at");
                return Err(failures::fatal(&error));
            }
            Err(failure) => {
                let time_max = self.nested.setting.time_max(target);
                return Err(failures::of(&failure, target.code, time_max));
            }
        }
        match self.ended.take() {
            Some(Ended::Returned(text)) => self.returned(&text, target),
            Some(Ended::Threw(thrown)) => Err(self.limits.thrown(&thrown, target.code)),
            None => unreachable!("a run that was driven to its end has ended"),
        }
    }
}

impl UdfHost<'_, '_> {
    /// The value that the function returned. Only the commit of a mutation can resolve its timestamp.
    fn returned(&mut self, text: &str, target: &Target<'_>) -> Result<Value> {
        let (value, places) = failures::returned_with_places(text, target.path)?;
        let is_query = target.kind == FunctionKind::Query && self.nested.setting.depth == 0;
        if is_query && !places.is_empty() {
            return Err(failures::unresolved(target.path));
        }
        self.parts.state.observed.places = places;
        Ok(value)
    }
}

/// The arguments of a completion.
pub(super) fn completion(id: f64, done: Result<String, SyscallError>) -> Vec<HostValue> {
    match done {
        Ok(value) => vec![
            HostValue::Number(id),
            HostValue::Bool(true),
            HostValue::String(value),
        ],
        Err(error) => vec![
            HostValue::Number(id),
            HostValue::Bool(false),
            HostValue::String(error.message),
            "Error".into_value(),
            error
                .data_json
                .map_or(HostValue::Undefined, HostValue::String),
        ],
    }
}

/// Texts as values.
pub(super) trait IntoValue {
    fn into_value(self) -> HostValue;
}

impl IntoValue for &str {
    fn into_value(self) -> HostValue {
        HostValue::String(self.to_owned())
    }
}

impl CommonOps for UdfHost<'_, '_> {
    fn now_millis(&mut self) -> f64 {
        self.parts.state.observe_time();
        (self.now.0 / 1_000_000) as f64
    }

    fn performance_millis(&mut self) -> f64 {
        self.parts.state.observe_time();
        match self.kind {
            FunctionKind::Query => 0.0,
            FunctionKind::Mutation | FunctionKind::Action => {
                tenths(self.clock.elapsed() - self.began)
            }
        }
    }

    fn elapsed_millis(&mut self) -> f64 {
        (self.clock.elapsed() - self.began).as_secs_f64() * 1e3
    }

    fn time_origin(&mut self) -> f64 {
        self.code.import.time_millis
    }

    fn fill_random(&mut self, bytes: &mut [u8]) {
        self.rng.fill_bytes(bytes);
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        if let Some(name) = self.code.variable_behind(name) {
            self.parts.tx.depend_on(Dependency::Variable(name));
        }
        self.code.variables.get(name).cloned()
    }

    fn console(&mut self) -> &mut Console {
        self.parts.console
    }

    fn code(&self) -> &Code {
        &self.code
    }
}

/// Milliseconds, rounded to a tenth.
pub(super) fn tenths(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).floor() / 10.0
}

impl Host for UdfHost<'_, '_> {
    fn import(&mut self, specifier: &str) -> Result<(), HostError> {
        let text = format!("Can't dynamically import {specifier} in a query or mutation");
        Err(HostError::new(ErrorClass::Error, text))
    }

    fn call(&mut self, op: &str, args: &mut [HostValue]) -> Result<HostValue, HostError> {
        match op {
            "syscall" => {
                let (name, text) = (text(args, 0).unwrap_or(""), text(args, 1).unwrap_or(""));
                let mut syscalls = Syscalls {
                    tx: self.parts.tx,
                    state: self.parts.state,
                    hooks: &mut self.nested.hooks(self.parts.console, &mut self.rng),
                };
                let done = syscalls.sync_syscall(name, text);
                done.map(HostValue::String)
                    .map_err(|error| self.refuse(error))
            }
            "async" => {
                let id = match args.first() {
                    Some(HostValue::Number(id)) => *id,
                    _ => return Err(HostError::fatal("an operation has no id")),
                };
                if text(args, 1) != Some("syscall") {
                    let what = text(args, 1).unwrap_or("this");
                    return Err(HostError::fatal(format!(
                        "Can't use {what} in queries and mutations."
                    )));
                }
                let argument = |at| text(args, at).unwrap_or("").to_owned();
                self.pending.push_back(Operation {
                    id,
                    op: argument(2),
                    args: argument(3),
                });
                Ok(HostValue::Undefined)
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

impl UdfHost<'_, '_> {
    fn refuse(&mut self, error: SyscallError) -> HostError {
        self.limits.note(&error);
        if !error.kind.is_catchable() {
            let refused = HostError::fatal(error.message.clone());
            self.fatal = Some(error);
            return refused;
        }
        HostError {
            data_json: error.data_json,
            ..HostError::new(ErrorClass::Error, error.message)
        }
    }
}
