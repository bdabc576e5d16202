//! Tells the log what ran.

use std::time::Duration;

use data_encoding::HEXLOWER;
use http::Method;

use super::js::http::HttpEnd;
use super::log::LogEntry;
use super::runner::{Call, FunctionOutcome, MutationRun, QueryOutcome, QueryRun};
use super::{FunctionKind, Functions, SystemError};
use crate::auth::Caller;
use crate::deployment::ModuleEnvironment;

/// Where the functions of the program itself run.
const NATIVE: &str = "native";

impl Functions {
    pub(super) fn log_query(&self, call: &Call, run: &QueryRun, took: Duration) {
        if let QueryOutcome::Done(outcome) = &run.outcome {
            self.log_run(FunctionKind::Query, call, outcome, &run.log_lines, took);
        }
    }

    pub(super) fn log_mutation(
        &self,
        call: &Call,
        run: &Result<MutationRun, SystemError>,
        took: Duration,
    ) {
        if let Ok(run) = run {
            self.log_run(
                FunctionKind::Mutation,
                call,
                &run.outcome,
                &run.log_lines,
                took,
            );
        }
    }

    /// Adds an entry for one execution, unless nobody would miss it.
    pub(super) fn log_run(
        &self,
        kind: FunctionKind,
        call: &Call,
        outcome: &FunctionOutcome,
        log_lines: &[String],
        took: Duration,
    ) {
        let error = match outcome {
            FunctionOutcome::Returned(_) => None,
            FunctionOutcome::Threw(thrown) => Some(thrown.message.clone()),
        };
        let now = self.now_millis();
        let is_quiet = error.is_none() && log_lines.is_empty();
        if (is_quiet && !self.log.wants_successes(now)) || call.path.is_system() {
            return;
        }
        let deployment = self.registry();
        let pushed = deployment.deployment().function(&call.path);
        let environment = pushed.map_or(NATIVE, |pushed| pushed.environment.name());
        self.log.push(
            now,
            LogEntry {
                is_completion: true,
                kind: kind.name(),
                identifier: call.path.to_string(),
                began_millis: began(now, took),
                took,
                log_lines: log_lines.to_vec(),
                error,
                status: None,
                request_id: new_id(),
                environment,
                identity: call.caller.kind(),
            },
        );
    }

    /// Adds an entry for an HTTP action.
    pub(super) fn log_http(
        &self,
        (method, path): (&Method, &str),
        caller: &Caller,
        end: &HttpEnd,
        took: Duration,
    ) {
        let now = self.now_millis();
        let is_quiet = end.result.is_ok() && end.log_lines.is_empty();
        if is_quiet && !self.log.wants_successes(now) {
            return;
        }
        let (status, error) = match &end.result {
            Ok(status) => (Some(status.as_u16()), None),
            Err(thrown) => (None, Some(thrown.message.clone())),
        };
        self.log.push(
            now,
            LogEntry {
                is_completion: true,
                kind: super::http_action::HTTP_ACTION,
                identifier: format!("{method} {path}"),
                began_millis: began(now, took),
                took,
                log_lines: end.log_lines.clone(),
                error,
                status,
                request_id: new_id(),
                environment: end.environment.map_or(NATIVE, ModuleEnvironment::name),
                identity: caller.kind(),
            },
        );
    }

    fn now_millis(&self) -> u64 {
        self.database.clock().now().0 / 1_000_000
    }
}

fn began(now_millis: u64, took: Duration) -> f64 {
    now_millis as f64 - took.as_secs_f64() * 1_000.0
}

fn new_id() -> String {
    HEXLOWER.encode(&rand::random::<[u8; 8]>())
}
