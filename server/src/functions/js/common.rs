//! Operations that every call of JavaScript finds: time, randomness, variables, the console, and the web platform's.

use serde_json::Value as Json;
use vestibule_isolate::{ErrorClass, HostError, HostValue};

use super::code::Code;
use super::stack;
use super::web;
use crate::functions::Console;

/// The answers of one kind of call to these operations.
pub trait CommonOps {
    /// The time of `Date.now()`, in milliseconds since 1970.
    fn now_millis(&mut self) -> f64;
    /// The time of `performance.now()`, in milliseconds.
    fn performance_millis(&mut self) -> f64;
    /// Real time for the timers of the console, in milliseconds since anything.
    fn elapsed_millis(&mut self) -> f64;
    /// `performance.timeOrigin`.
    fn time_origin(&mut self) -> f64;
    /// Random bytes of this call.
    fn fill_random(&mut self, bytes: &mut [u8]);
    /// The value of an environment variable.
    fn variable(&mut self, name: &str) -> Option<String>;
    /// Where lines are logged.
    fn console(&mut self) -> &mut Console;
    /// The code that runs, whose places stacks show.
    fn code(&self) -> &Code;
}

/// Random bytes of one request.
const RANDOM_BYTES_MAX: usize = 65_536;

/// Runs the operation `op` if it is one of these.
pub fn call(
    ops: &mut dyn CommonOps,
    op: &str,
    args: &mut [HostValue],
) -> Option<Result<HostValue, HostError>> {
    let number = |number: f64| Some(Ok(HostValue::Number(number)));
    match op {
        "time.now" => number(ops.now_millis()),
        "time.performance" => number(ops.performance_millis()),
        "time.elapsed" => number(ops.elapsed_millis()),
        "time.origin" => number(ops.time_origin()),
        "random" => Some(random(ops, args)),
        "env" => Some(Ok(
            match text(args, 0).and_then(|name| ops.variable(name)) {
                Some(value) => HostValue::String(value),
                None => HostValue::Undefined,
            },
        )),
        "console" => {
            log(ops, args);
            Some(Ok(HostValue::Undefined))
        }
        "fail" => Some(Err(HostError::fatal(text(args, 0).unwrap_or("failed")))),
        "timer.clear" => Some(Ok(HostValue::Undefined)),
        _ => web::call(op, args),
    }
}

fn random(ops: &mut dyn CommonOps, args: &[HostValue]) -> Result<HostValue, HostError> {
    let count = match args.first() {
        Some(HostValue::Number(count)) if *count >= 0.0 => *count as usize,
        _ => 0,
    };
    if count > RANDOM_BYTES_MAX {
        let text = format!("at most {RANDOM_BYTES_MAX} random bytes at once");
        return Err(HostError::new(ErrorClass::RangeError, text));
    }
    let mut bytes = vec![0; count];
    ops.fill_random(&mut bytes);
    Ok(HostValue::Bytes(bytes))
}

fn log(ops: &mut dyn CommonOps, args: &[HostValue]) {
    let level = text(args, 0).unwrap_or("LOG");
    let messages = text(args, 1).and_then(|json| serde_json::from_str(json).ok());
    let messages = match messages {
        Some(Json::Array(messages)) => messages,
        _ => return,
    };
    let traced = text(args, 2).map(|stack| stack::frames(stack, ops.code()));
    let messages = messages.iter().filter_map(Json::as_str);
    log_line(ops.console(), level, messages, traced);
}

/// Logs the messages of one call of the console, with the frames of `console.trace` behind them.
pub fn log_line<'m>(
    console: &mut Console,
    level: &str,
    messages: impl Iterator<Item = &'m str>,
    traced: Option<String>,
) {
    let mut shown: Vec<&str> = messages.collect();
    shown.extend(traced.as_deref().map(str::trim_start));
    console.line(level, &shown);
}

/// The text at `at` among the arguments.
pub fn text(args: &[HostValue], at: usize) -> Option<&str> {
    match args.get(at) {
        Some(HostValue::String(text)) => Some(text),
        _ => None,
    }
}
