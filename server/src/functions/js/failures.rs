//! How runs of JavaScript fail, in the words that developers know.

use std::time::Duration;

use vestibule_isolate::{Failure, HostValue, Thrown as JsThrown};
use vestibule_schema::object;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::value::Value;

use super::common::text;
use super::encoded;
use super::stack::{self, Places};
use super::syscalls::{ErrorKind, SyscallError, may_have_token, read_with_tokens};
use crate::database::CommitTsPlaces;
use crate::functions::error::{Error, Result, TIMED_OUT_CODE, Thrown};

/// The documented limit; engine and buffers share twice as much.
const OUT_OF_MEMORY: &str = "JavaScript execution ran out of memory (maximum memory usage: 64 MB)";
const OUT_OF_MEMORY_CODE: &str = "FunctionOutOfMemory";
/// A function that passes one of these limits ends the functions that called it too, whatever they catch.
const ENDS_ITS_CALLERS: [&str; 2] = [TIMED_OUT_CODE, OUT_OF_MEMORY_CODE];
const TOP_LEVEL_AWAIT: &str = "Uncaught Error: Top-level awaits in source files are unsupported";

/// The prelude's description of an error: name, message, stack, and a ConvexError's data.
pub(super) fn described(args: &[HostValue]) -> JsThrown {
    let argument = |at| text(args, at).unwrap_or("").to_owned();
    let data = text(args, 3).map(str::to_owned);
    JsThrown {
        name: argument(0),
        message: argument(1),
        stack: argument(2),
        is_convex_error: data.is_some(),
        data,
    }
}

/// A value that the function threw.
pub(super) fn thrown(thrown: &JsThrown, code: &impl Places) -> Error {
    let mut message = stack::describe(thrown, code);
    let mut data = None;
    if thrown.is_convex_error {
        let json = thrown.data.as_deref().unwrap_or("null");
        match encoded::value(json) {
            Ok(value) => data = Some(value),
            Err(error) => message = format!("ConvexError with invalid data: {error}"),
        }
    }
    Error::from_thrown(Thrown {
        message,
        data,
        is_fault: false,
    })
}

/// Why a run gave no result.
pub(super) fn of(failure: &Failure, code: &impl Places, time_max: Duration) -> Error {
    match failure {
        Failure::Threw(error) => thrown(error, code),
        Failure::TimedOut => Error::timed_out(time_max),
        Failure::OutOfMemory => fault(OUT_OF_MEMORY.to_owned(), Some(OUT_OF_MEMORY_CODE)),
        Failure::Fatal(error) => fault(format!("Uncaught Error: {}", error.message), None),
        Failure::Unsettled => fault(TOP_LEVEL_AWAIT.to_owned(), None),
    }
}

/// An action used the engine for too long without waiting for anything.
pub(super) fn step_too_long(step_max: Duration) -> Error {
    let seconds = step_max.as_secs_f64();
    let message = format!(
        "Function execution timed out (maximum duration of a step that waits for nothing: {seconds}s)"
    );
    fault(message, Some(TIMED_OUT_CODE))
}

/// The heap of an action's process of Node.js was full.
pub(super) fn out_of_memory(mebibytes: usize) -> Error {
    let message =
        format!("JavaScript execution ran out of memory (maximum memory usage: {mebibytes} MB)");
    fault(message, Some(OUT_OF_MEMORY_CODE))
}

/// Whatever ran the function is gone.
pub(super) fn broken(message: String) -> Error {
    fault(message, None)
}

/// Why a module could not be loaded.
pub(super) fn at_import(failure: &Failure, code: &impl Places) -> Error {
    of(failure, code, Duration::from_secs(10))
}

/// An operation's failure that the function could not catch.
pub(super) fn fatal(error: &SyscallError) -> Error {
    match error.kind {
        ErrorKind::TimedOut | ErrorKind::Limit => {
            fault(format!("Uncaught Error: {error}"), error.code)
        }
        // Its text is that of the function that was called.
        ErrorKind::EndedCallee => fault(error.message.clone(), error.code),
        _ => Error::plain(format!("Uncaught Error: {error}")),
    }
}

/// The function broke: it passed the limit with this code, or met with something worse.
fn fault(message: String, code: Option<&'static str>) -> Error {
    Error::from_thrown(Thrown {
        message,
        data: code.map(|code| Value::Object(object! { "code" => code })),
        is_fault: true,
    })
}

/// Limits that a run has passed, by the text that the function saw of each. It may catch them, or end with one.
#[derive(Default)]
pub(super) struct LimitsPassed(Vec<(String, &'static str)>);

/// Limits remembered of one run. A function that catches more is not told the code of the last.
const LIMITS_PASSED_MAX: usize = 64;

impl LimitsPassed {
    /// Remembers an operation's failure, if it is of a limit.
    pub fn note(&mut self, error: &SyscallError) {
        let is_new = |text: &str| self.0.iter().all(|(known, _)| known != text);
        if let Some(code) = error.code
            && self.0.len() < LIMITS_PASSED_MAX
            && is_new(&error.message)
        {
            self.0.push((error.message.clone(), code));
        }
    }

    /// As [`thrown`], with the code of the limit if that is what the function ended with.
    pub fn thrown(&self, error: &JsThrown, code: &impl Places) -> Error {
        let passed = self.0.iter().find(|(text, _)| *text == error.message);
        match passed {
            Some((_, limit)) if !error.is_convex_error => {
                fault(stack::describe(error, code), Some(limit))
            }
            _ => thrown(error, code),
        }
    }
}

/// The value that a query or mutation returned, and the places of its unresolved commit timestamps.
pub(super) fn returned_with_places(
    text: &str,
    path: &FunctionPath,
) -> Result<(Value, CommitTsPlaces)> {
    match serde_json::from_str(text) {
        Ok(value) => Ok((value, CommitTsPlaces::default())),
        Err(_) if may_have_token(text) => {
            read_with_tokens(text).map_err(|error| invalid(path, &error.to_string()))
        }
        Err(_) => returned(text, path).map(|value| (value, CommitTsPlaces::default())),
    }
}

/// The value that the function returned, as the package encoded it.
pub(super) fn returned(text: &str, path: &FunctionPath) -> Result<Value> {
    encoded::value(text).map_err(|error| invalid(path, &error.to_string()))
}

/// A query has returned a timestamp of a commit that never comes.
pub(super) fn unresolved(path: &FunctionPath) -> Error {
    invalid(path, "queries cannot return an unresolved commit timestamp")
}

fn invalid(path: &FunctionPath, why: &str) -> Error {
    let path = path.canonical();
    Error::plain(format!("Function {path} return value invalid: {why}"))
}

/// An error as a nested call's caller sees it.
pub(super) fn to_caller(error: Error) -> SyscallError {
    let thrown = error.into_thrown();
    let is_of = |code: &&str| thrown.is_fault && thrown.code() == Some(*code);
    if let Some(code) = ENDS_ITS_CALLERS.into_iter().find(is_of) {
        return SyscallError {
            code: Some(code),
            ..SyscallError::new(ErrorKind::EndedCallee, thrown.message)
        };
    }
    SyscallError::thrown(thrown.message.clone(), thrown.application_data())
}
