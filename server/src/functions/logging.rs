//! Adds executions to the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use vestibule_schema::path::{ComponentPath, FunctionPath};
use vestibule_schema::value::Value;

use super::log::LogEntry;
use super::request::new_request_id;
use super::runner::{Call, FunctionOutcome, MutationRun, QueryOutcome, QueryRun};
use super::{FunctionKind, Functions, SystemError};
use crate::auth::Caller;
use crate::deployment::ModuleEnvironment;

/// Where the functions of the program itself run.
const NATIVE: &str = "native";

/// An action as the log knows it: while it runs, and once it has ended.
pub(super) struct Running {
    kind: &'static str,
    identifier: String,
    component: ComponentPath,
    environment: &'static str,
    identity: &'static str,
    request_id: Arc<str>,
    /// On the clock's own count.
    began: Duration,
    /// How many of its lines the log has.
    told: AtomicUsize,
}

/// An execution of a query or a mutation that has ended.
struct LoggedRun<'r> {
    outcome: &'r FunctionOutcome,
    log_lines: &'r [String],
    took: Duration,
}

#[cfg(feature = "typescript")]
impl Running {
    /// The function's path, or the method and path of an HTTP action.
    pub(super) fn name(&self) -> &str {
        &self.identifier
    }
}

impl Functions {
    /// An action that begins to run. Functions of the program itself have no environment.
    pub(super) fn running(
        &self,
        kind: &'static str,
        (identifier, component): (String, ComponentPath),
        environment: Option<ModuleEnvironment>,
        caller: &Caller,
        request_id: Arc<str>,
    ) -> Arc<Running> {
        Arc::new(Running {
            kind,
            identifier,
            component,
            environment: environment.map_or(NATIVE, ModuleEnvironment::name),
            identity: caller.kind(),
            request_id,
            began: self.database.clock().elapsed(),
            told: AtomicUsize::new(0),
        })
    }

    /// Adds an entry with what an action that goes on has printed since the last one. `lines` are all its lines so far.
    pub(super) fn log_progress(&self, running: &Running, lines: &[String]) {
        let told = running.told.swap(lines.len(), Ordering::Relaxed);
        let Some(news @ [_, ..]) = lines.get(told..) else {
            return;
        };
        let entry = self.entry_of(running, news.to_vec());
        self.log.push(
            self.now_millis(),
            LogEntry {
                is_completion: false,
                ..entry
            },
        );
    }

    /// Adds the entry of an action that has ended. Lines that were told while it ran are not told again.
    pub(super) fn log_end(
        &self,
        running: &Running,
        end: (Option<String>, Option<u16>),
        lines: &[String],
    ) {
        let (error, status) = end;
        let is_told = running.told.load(Ordering::Relaxed) > 0;
        if is_told {
            self.log_progress(running, lines);
        }
        let now = self.now_millis();
        let is_quiet = error.is_none() && lines.is_empty();
        if is_quiet && !self.wants_success(running.environment, now) {
            return;
        }
        let lines = if is_told { Vec::new() } else { lines.to_vec() };
        let entry = self.entry_of(running, lines);
        self.log.push(
            now,
            LogEntry {
                error,
                status,
                ..entry
            },
        );
    }

    /// Whether an execution that succeeded and printed nothing gets an entry. An entry costs little beside a run of
    /// TypeScript, and much beside one in Rust.
    fn wants_success(&self, environment: &str, now_millis: u64) -> bool {
        environment != NATIVE || self.log.wants_successes(now_millis)
    }

    fn entry_of(&self, running: &Running, log_lines: Vec<String>) -> LogEntry {
        let took = self
            .database
            .clock()
            .elapsed()
            .saturating_sub(running.began);
        LogEntry {
            is_completion: true,
            kind: running.kind,
            identifier: running.identifier.clone(),
            component: running.component.clone(),
            began_millis: began(self.now_millis(), took),
            took,
            log_lines,
            error: None,
            status: None,
            request_id: running.request_id.clone(),
            environment: running.environment,
            identity: running.identity,
            is_cached: false,
        }
    }

    /// Adds the entry of a run on a snapshot.
    pub(super) fn log_run_of(
        &self,
        kind: FunctionKind,
        call: &Call,
        run: &QueryRun,
        took: Duration,
    ) {
        if let QueryOutcome::Done(outcome) = &run.outcome {
            let ended = LoggedRun {
                outcome,
                log_lines: &run.log_lines,
                took,
            };
            self.log_run(kind, call, || run.request_id.clone(), &ended);
        }
    }

    pub(super) fn log_mutation(
        &self,
        call: &Call,
        run: &Result<MutationRun, SystemError>,
        took: Duration,
    ) {
        audit(call, run);
        if let Ok(run) = run {
            let ended = LoggedRun {
                outcome: &run.outcome,
                log_lines: &run.log_lines,
                took,
            };
            self.log_run(
                FunctionKind::Mutation,
                call,
                || call.source.request_id(),
                &ended,
            );
        }
    }

    /// Adds an entry for one execution, unless no reader needs it.
    fn log_run(
        &self,
        kind: FunctionKind,
        call: &Call,
        request_id: impl FnOnce() -> Arc<str>,
        ended: &LoggedRun<'_>,
    ) {
        let LoggedRun {
            outcome,
            log_lines,
            took,
        } = *ended;
        let error = match outcome {
            FunctionOutcome::Returned(_) => None,
            FunctionOutcome::Threw(thrown) => Some(thrown.message.clone()),
        };
        let now = self.now_millis();
        let is_quiet = error.is_none() && log_lines.is_empty();
        let is_unwanted = is_quiet && self.js.is_none() && !self.log.wants_successes(now);
        if is_unwanted || call.path.is_system() {
            return;
        }
        let deployment = self.registry();
        let pushed = deployment.deployment().function(&call.path);
        let environment = pushed.map_or(NATIVE, |pushed| pushed.environment.name());
        if is_quiet && !self.wants_success(environment, now) {
            return;
        }
        self.log.push(
            now,
            LogEntry {
                is_completion: true,
                kind: kind.name(),
                identifier: call.path.local().to_string(),
                component: call.path.component().clone(),
                began_millis: began(now, took),
                took,
                log_lines: log_lines.to_vec(),
                error,
                status: None,
                request_id: request_id(),
                environment,
                identity: call.caller.kind(),
                is_cached: false,
            },
        );
    }

    /// Whether results that are given out again get entries: only while a tool follows, since nothing ran.
    pub fn logs_cached(&self) -> bool {
        self.log.was_looked_at() && self.log.wants_successes(self.now_millis())
    }

    /// Adds the entry of a query whose result an earlier run had left. Ask [`Self::logs_cached`] before.
    pub fn log_cached(&self, path: &FunctionPath, caller: &Caller, log_lines: &[String]) {
        if path.is_system() {
            return;
        }
        let deployment = self.registry();
        let pushed = deployment.deployment().function(path);
        let now = self.now_millis();
        self.log.push(
            now,
            LogEntry {
                is_completion: true,
                kind: FunctionKind::Query.name(),
                identifier: path.local().to_string(),
                component: path.component().clone(),
                began_millis: now as f64,
                took: Duration::ZERO,
                log_lines: log_lines.to_vec(),
                error: None,
                status: None,
                request_id: new_request_id().into(),
                environment: pushed.map_or(NATIVE, |pushed| pushed.environment.name()),
                identity: caller.kind(),
                is_cached: true,
            },
        );
    }

    /// Adds what is to be said of a job's function that did not run: runs that are left out, or why it cannot be run.
    pub fn log_job(&self, path: &FunctionPath, log_lines: Vec<String>, error: Option<String>) {
        let deployment = self.registry();
        let pushed = deployment.deployment().function(path);
        let kind = deployment
            .get(path)
            .map_or(FunctionKind::Mutation, |function| function.kind());
        let now = self.now_millis();
        self.log.push(
            now,
            LogEntry {
                is_completion: true,
                kind: kind.name(),
                identifier: path.local().to_string(),
                component: path.component().clone(),
                began_millis: now as f64,
                took: Duration::ZERO,
                log_lines,
                error,
                status: None,
                request_id: new_request_id().into(),
                environment: pushed.map_or(NATIVE, |pushed| pushed.environment.name()),
                identity: Caller::job().kind(),
                is_cached: false,
            },
        );
    }

    pub(super) fn now_millis(&self) -> u64 {
        self.database.clock().now().0 / 1_000_000
    }
}

/// The log's line on a mutation of the system with an admin key that may change the deployment, as routes have one.
fn audit(call: &Call, run: &Result<MutationRun, SystemError>) {
    let key = call.caller.key_id().filter(|_| call.caller.may_write());
    let Some(key) = key.filter(|_| call.path.is_system()) else {
        return;
    };
    let is_done = run.as_ref().is_ok_and(|run| match &run.outcome {
        FunctionOutcome::Returned(value) => {
            let success = value.as_object().and_then(|answer| answer.get("success"));
            success != Some(&Value::Boolean(false))
        }
        FunctionOutcome::Threw(_) => false,
    });
    tracing::info!(
        admin_key = %key,
        function = %call.path,
        is_done,
        request_id = %call.source.request_id(),
        "an admin key changed the deployment, or tried to"
    );
}

fn began(now_millis: u64, took: Duration) -> f64 {
    now_millis as f64 - took.as_secs_f64() * 1_000.0
}
