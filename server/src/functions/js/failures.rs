//! How runs of JavaScript fail, in the words that developers know.

use std::time::Duration;

use vestibule_isolate::{Failure, HostValue, Thrown as JsThrown};
use vestibule_schema::path::FunctionPath;
use vestibule_schema::value::Value;

use super::code::Code;
use super::common::text;
use super::stack;
use super::syscalls::{ErrorKind, SyscallError};
use crate::functions::error::{Error, Result, Thrown};

/// The documented limit; engine and buffers share twice as much.
const OUT_OF_MEMORY: &str = "JavaScript execution ran out of memory (maximum memory usage: 64 MB)";
const TOP_LEVEL_AWAIT: &str = "Uncaught Error: Top-level awaits in source files are unsupported";

/// What the prelude tells of an error: name, message, stack, and a ConvexError's data.
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
pub(super) fn thrown(thrown: &JsThrown, code: &Code) -> Error {
    let mut message = stack::describe(thrown, code);
    let mut data = None;
    if thrown.is_convex_error {
        let json = thrown.data.as_deref().unwrap_or("null");
        let value = serde_json::from_str(json).map_err(|error| error.to_string());
        match value.and_then(|json| Value::from_json(&json).map_err(|error| error.to_string())) {
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
pub(super) fn of(failure: &Failure, code: &Code, time_max: Duration) -> Error {
    match failure {
        Failure::Threw(error) => thrown(error, code),
        Failure::TimedOut => {
            let seconds = time_max.as_secs_f64();
            fault(format!(
                "Function execution timed out (maximum duration: {seconds}s)"
            ))
        }
        Failure::OutOfMemory => fault(OUT_OF_MEMORY.to_owned()),
        Failure::Fatal(error) => fault(format!("Uncaught Error: {}", error.message)),
        Failure::Unsettled => fault(TOP_LEVEL_AWAIT.to_owned()),
    }
}

/// Why a module could not be loaded.
pub(super) fn at_import(failure: &Failure, code: &Code) -> Error {
    of(failure, code, Duration::from_secs(10))
}

/// An operation's failure that the function could not catch.
pub(super) fn fatal(error: &SyscallError) -> Error {
    match error.kind {
        ErrorKind::TimedOut | ErrorKind::Limit => fault(format!("Uncaught Error: {error}")),
        _ => Error::plain(format!("Uncaught Error: {error}")),
    }
}

fn fault(message: String) -> Error {
    Error::from_thrown(Thrown {
        message,
        data: None,
        is_fault: true,
    })
}

/// The value that the function returned, as the package encoded it.
pub(super) fn returned(text: &str, path: &FunctionPath) -> Result<Value> {
    let value = serde_json::from_str(text).map_err(|error| error.to_string());
    let value = value.and_then(|json| Value::from_json(&json).map_err(|error| error.to_string()));
    value.map_err(|error| {
        Error::plain(format!(
            "Function {} return value invalid: {error}",
            path.canonical()
        ))
    })
}

/// An error as a nested call's caller sees it.
pub(super) fn to_caller(error: Error) -> SyscallError {
    let thrown = error.into_thrown();
    SyscallError::thrown(thrown.message, thrown.data.as_ref())
}
