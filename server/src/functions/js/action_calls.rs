//! What actions ask of the server: other functions, timers, who calls.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use vestibule_isolate::HostValue;
use vestibule_schema::value::Value;

use super::action::ActionTarget;
use super::common::text;
use super::execution::IntoValue;
use super::files;
use super::syscalls::{ScheduledCall, canceled_job, function_address, handle_of, scheduled_call};
use crate::functions::action::ActionCtx;
use crate::functions::error::Error;
use crate::functions::{BoxFuture, FunctionKind};

/// How an operation ended.
pub(super) enum Outcome {
    /// With a value.
    Done(HostValue),
    /// With an error of this class, which the action may catch.
    Failed {
        class: String,
        message: String,
        data_json: Option<String>,
    },
}

impl Outcome {
    /// A plain error.
    pub fn error(message: impl Into<String>) -> Outcome {
        Outcome::Failed {
            class: "Error".to_owned(),
            message: message.into(),
            data_json: None,
        }
    }

    /// The arguments of the completion of operation `id`.
    pub fn completion(self, id: u64) -> Vec<HostValue> {
        let id = HostValue::Number(id as f64);
        match self {
            Outcome::Done(value) => vec![id, HostValue::Bool(true), value],
            Outcome::Failed {
                class,
                message,
                data_json,
            } => vec![
                id,
                HostValue::Bool(false),
                HostValue::String(message),
                HostValue::String(class),
                data_json.map_or(HostValue::Undefined, HostValue::String),
            ],
        }
    }
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Outcome {
        let thrown = error.into_thrown();
        Outcome::Failed {
            class: "Error".to_owned(),
            message: thrown.message,
            data_json: thrown.data.map(|data| data.to_json().to_string()),
        }
    }
}

/// Begins the operation that `args` name: its id, its name, its own arguments.
pub(super) fn perform(
    target: &ActionTarget,
    ctx: &ActionCtx,
    args: &mut [HostValue],
) -> BoxFuture<Outcome> {
    match text(args, 1) {
        Some("syscall") => {
            let op = text(args, 2).unwrap_or("").to_owned();
            let text = text(args, 3).unwrap_or("").to_owned();
            syscall(target, ctx, op, text)
        }
        Some("timer") => {
            let millis = match args.get(3) {
                Some(HostValue::Number(millis)) if *millis > 0.0 => *millis,
                _ => 0.0,
            };
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs_f64(millis / 1e3)).await;
                Outcome::Done(HostValue::Undefined)
            })
        }
        other => {
            let text = format!("Unknown operation {}", other.unwrap_or(""));
            Box::pin(async move { Outcome::error(text) })
        }
    }
}

fn syscall(target: &ActionTarget, ctx: &ActionCtx, op: String, args: String) -> BoxFuture<Outcome> {
    match op.as_str() {
        "1.0/actions/query" => call(ctx, FunctionKind::Query, "runQuery", &args),
        "1.0/actions/mutation" => call(ctx, FunctionKind::Mutation, "runMutation", &args),
        "1.0/actions/action" => call(ctx, FunctionKind::Action, "runAction", &args),
        "1.0/actions/schedule" => schedule(ctx, &args),
        "1.0/actions/cancel_job" => cancel_job(ctx, &args),
        "1.0/getUserIdentity" => {
            let identity = ctx.identity();
            let text = identity.map_or("null".to_owned(), |identity| {
                identity.to_value().to_json().to_string()
            });
            done(text)
        }
        "1.0/createFunctionHandle" => match function_address("createFunctionHandle", &args) {
            Ok(path) => done(serde_json::Value::from(handle_of(&path)).to_string()),
            Err(error) => failed(error.message),
        },
        "1.0/getFunctionMetadata" => {
            let path = &target.path;
            let name = format!("{}:{}", path.module(), path.function());
            done(serde_json::json!({"name": name, "componentPath": ""}).to_string())
        }
        "1.0/getDeploymentMetadata" => {
            let deployment = &target.js.deployment;
            let metadata = serde_json::json!({
                "name": deployment.name,
                "region": null,
                "class": deployment.class,
            });
            done(metadata.to_string())
        }
        "1.0/auditLog" => failed("Audit logging is not yet supported in actions"),
        _ => {
            let ctx = ctx.clone();
            Box::pin(async move {
                match files::perform(&ctx, &op, &args).await {
                    Some(Ok(answer)) => Outcome::Done(HostValue::String(answer)),
                    Some(Err(error)) => error.into(),
                    None => Outcome::error(format!("Unknown async operation {op}")),
                }
            })
        }
    }
}

fn schedule(ctx: &ActionCtx, text: &str) -> BoxFuture<Outcome> {
    let ScheduledCall {
        path,
        at_seconds,
        args,
    } = match scheduled_call(text) {
        Ok(call) => call,
        Err(error) => return failed(error.message),
    };
    let scheduler = ctx.scheduler();
    Box::pin(async move {
        match scheduler.schedule(path, args, at_seconds).await {
            Ok(id) => {
                let text = serde_json::Value::from(id.to_string()).to_string();
                Outcome::Done(HostValue::String(text))
            }
            Err(error) => error.into(),
        }
    })
}

fn cancel_job(ctx: &ActionCtx, text: &str) -> BoxFuture<Outcome> {
    let id = match canceled_job(text) {
        Ok(id) => id,
        Err(error) => return failed(error.message),
    };
    let scheduler = ctx.scheduler();
    Box::pin(async move {
        match scheduler.cancel(id).await {
            Ok(()) => Outcome::Done(HostValue::String("null".to_owned())),
            Err(error) => error.into(),
        }
    })
}

fn done(text: String) -> BoxFuture<Outcome> {
    Box::pin(async move { Outcome::Done(HostValue::String(text)) })
}

fn failed(message: impl Into<String>) -> BoxFuture<Outcome> {
    let outcome = Outcome::error(message);
    Box::pin(async move { outcome })
}

/// The arguments of a call of another function.
#[derive(Deserialize)]
struct CallArgs<'a> {
    #[serde(borrow)]
    args: &'a RawValue,
}

fn call(ctx: &ActionCtx, kind: FunctionKind, api: &'static str, text: &str) -> BoxFuture<Outcome> {
    let path = match function_address(api, text) {
        Ok(path) => path,
        Err(error) => return failed(error.message),
    };
    let parsed: Result<CallArgs<'_>, _> = serde_json::from_str(text);
    let args = parsed
        .map_err(|error| error.to_string())
        .and_then(|parsed| {
            serde_json::from_str(parsed.args.get()).map_err(|error| error.to_string())
        })
        .and_then(|json| Value::from_json(&json).map_err(|error| error.to_string()));
    let args = match args {
        Ok(args) => args,
        Err(error) => return failed(format!("Invalid arguments for `{api}`: {error}")),
    };
    let ctx = ctx.clone();
    Box::pin(async move {
        match ctx.call_value(kind, path, args).await {
            Ok(value) => {
                let mut text = String::new();
                value.write_json(&mut text);
                Outcome::Done(text.as_str().into_value())
            }
            Err(error) => error.into(),
        }
    })
}
