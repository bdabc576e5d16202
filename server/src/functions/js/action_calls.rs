//! The operations of actions on the server: other functions, requests, files, the caller's identity.

use serde::Deserialize;
use serde_json::value::RawValue;
use vestibule_isolate::{HostError, HostValue};
use vestibule_schema::path::{ComponentPath, FunctionPath};

use super::Js;
use super::action_host::{ActionHost, number, take_bytes};
use super::common::text;
use super::encoded;
use super::execution::IntoValue;
use super::fetching::Fetch;
use super::files;
use super::streams::Streams;
use super::syscalls::{
    ScheduledCall, Scope, SyscallError, canceled_job, found_json, function_address, handle_of,
    request_of, scheduled_call, vector_query,
};
use crate::functions::action::ActionCtx;
use crate::functions::error::{Error, Thrown};
use crate::functions::nesting::{self, Nesting};
use crate::functions::streamed::Chunks;
use crate::functions::{ActionScheduler, BoxFuture, FunctionKind, Registry};

/// The operation that waits until the client of an HTTP action has gone.
pub(super) const SIGNAL_WAIT: &str = "signal.wait";

/// How an operation ended.
pub(super) enum Outcome {
    /// With a value.
    Done(HostValue),
    /// With JSON, to which the id of a stream is to be added.
    Opened {
        json: serde_json::Value,
        body: Option<Chunks>,
    },
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

    /// An operation that has ended.
    pub fn at_once(self) -> BoxFuture<Outcome> {
        Box::pin(async move { self })
    }

    fn json(json: serde_json::Value) -> Outcome {
        Outcome::Done(HostValue::String(json.to_string()))
    }

    /// The arguments of the completion of operation `id`.
    pub fn completion(self, id: u64) -> Vec<HostValue> {
        let id = HostValue::Number(id as f64);
        match self {
            Outcome::Done(value) => vec![id, HostValue::Bool(true), value],
            Outcome::Opened { json, .. } => {
                vec![
                    id,
                    HostValue::Bool(true),
                    HostValue::String(json.to_string()),
                ]
            }
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
        let data = thrown.application_data();
        Outcome::Failed {
            class: "Error".to_owned(),
            data_json: data.map(|data| data.to_json().to_string()),
            message: thrown.message,
        }
    }
}

impl From<SyscallError> for Outcome {
    fn from(error: SyscallError) -> Outcome {
        Outcome::Failed {
            class: "Error".to_owned(),
            message: error.message,
            data_json: error.data_json,
        }
    }
}

type Begun = Result<BoxFuture<Outcome>, HostError>;

/// The operations that actions have wherever they run, in this process or in Node.js.
pub(super) struct Operations<'o> {
    pub js: &'o Js,
    pub ctx: &'o ActionCtx,
    /// The action.
    pub path: &'o FunctionPath,
    /// Why the auth token of the caller was refused.
    pub refusal: Option<&'o Thrown>,
    pub streams: &'o Streams,
}

impl ActionHost<'_> {
    /// Begins the operation that `args` name: its id, its name, its own arguments.
    pub(super) fn perform(&mut self, args: &mut [HostValue]) -> Begun {
        let id = number(args, 2).unwrap_or_default();
        let work = match text(args, 1).unwrap_or_default() {
            "fetch" => return self.fetch(args),
            "stream.write" => {
                let bytes = args.get_mut(3).and_then(take_bytes);
                return self.streams.write(id, bytes.unwrap_or_default());
            }
            SIGNAL_WAIT => self.wait_for_client(),
            _ => self.operations().perform(args),
        };
        Ok(work)
    }

    fn operations(&self) -> Operations<'_> {
        Operations {
            js: &self.target.js,
            ctx: &self.ctx,
            path: &self.target.path,
            refusal: self.asked.refusal.as_ref(),
            streams: &self.streams,
        }
    }

    fn fetch(&mut self, args: &mut [HostValue]) -> Begun {
        let bytes = args.get_mut(3).and_then(take_bytes);
        let text = text(args, 2).unwrap_or_default();
        let fetch = Fetch::read(text, bytes, &mut self.streams, &mut self.aborts)?;
        let outbound = self.target.js.outbound.clone();
        let sending = async move {
            match fetch.send(&outbound).await {
                Ok(fetched) => Outcome::Opened {
                    json: fetched.json,
                    body: fetched.body,
                },
                Err(error) => error.into(),
            }
        };
        // It may ask this server itself, for another action. How deep such requests go is bounded by those at one time.
        let nesting = Nesting {
            depth: 1,
            ..self.ctx.nesting()
        };
        Ok(Box::pin(nesting::at(nesting, sending)))
    }

    /// Without a client, it never ends.
    fn wait_for_client(&self) -> BoxFuture<Outcome> {
        let gone = self.asked.gone.clone();
        Box::pin(async move {
            match gone {
                Some(gone) => gone.cancelled().await,
                None => std::future::pending().await,
            }
            Outcome::Done(HostValue::Undefined)
        })
    }
}

impl Operations<'_> {
    /// Begins the operation that `args` name: its id, its name, its own arguments.
    pub fn perform(&self, args: &mut [HostValue]) -> BoxFuture<Outcome> {
        match text(args, 1).unwrap_or_default() {
            "syscall" => {
                let op = text(args, 2).unwrap_or_default();
                self.syscall(op, text(args, 3).unwrap_or_default())
            }
            "stream.read" => self.streams.read(number(args, 2).unwrap_or_default()),
            "storage.store" => self.store_file(args),
            "storage.get" => self.open_file(text(args, 2).unwrap_or_default().to_owned()),
            other => failed(format!("Unknown operation {other}")),
        }
    }

    fn syscall(&self, op: &str, args: &str) -> BoxFuture<Outcome> {
        match op {
            "1.0/actions/query" => self.run(FunctionKind::Query, "runQuery", args),
            "1.0/actions/mutation" => self.run(FunctionKind::Mutation, "runMutation", args),
            "1.0/actions/action" => self.run(FunctionKind::Action, "runAction", args),
            "1.0/actions/vectorSearch" => self.vector_search(args),
            "1.0/getUserIdentity" => self.identity(),
            "1.0/createFunctionHandle" => {
                let registry = self.ctx.registry();
                let scope = self.scope(&registry);
                match function_address("createFunctionHandle", args, scope) {
                    Ok(path) => done(handle_of(&path, scope).into()),
                    Err(error) => failed(error.message),
                }
            }
            "1.0/getFunctionMetadata" => {
                let path = self.path;
                let name = format!("{}:{}", path.module(), path.function());
                done(serde_json::json!({"name": name, "componentPath": path.component()}))
            }
            "1.0/getDeploymentMetadata" => {
                let deployment = &self.js.deployment;
                done(serde_json::json!({
                    "name": deployment.name,
                    "region": null,
                    "class": deployment.class,
                }))
            }
            "1.0/getRequestMetadata" => done(request_of(&self.ctx.request(), self.component())),
            "1.0/actions/schedule" => self.schedule(args),
            "1.0/actions/cancel_job" => self.cancel_job(args),
            "1.0/auditLog" => failed("Audit logging is not yet supported in actions"),
            "1.0/createServiceToken" | "1.0/getServiceUrl" => {
                failed("This server has none of the services of Convex's cloud.")
            }
            _ => {
                let (ctx, op, args) = (self.ctx.clone(), op.to_owned(), args.to_owned());
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

    /// The component whose action runs.
    fn component(&self) -> &ComponentPath {
        self.path.component()
    }

    /// Where the functions are that it names.
    fn scope<'s>(&'s self, registry: &'s Registry) -> Scope<'s> {
        Scope {
            component: self.component(),
            registry: Some(registry),
        }
    }

    fn scheduler(&self) -> ActionScheduler {
        let scheduler = self.ctx.scheduler();
        scheduler.of_component(self.component().clone())
    }

    /// The caller's identity, which only the app sees.
    fn identity(&self) -> BoxFuture<Outcome> {
        if !self.component().is_root() {
            return done(serde_json::Value::Null);
        }
        if let Some(refusal) = self.refusal {
            return failed(refusal.message.clone());
        }
        let identity = match self.ctx.identity() {
            Ok(identity) => identity,
            Err(error) => return failed(error.into_thrown().message),
        };
        done(identity.map_or(serde_json::Value::Null, |identity| {
            identity.to_value().to_json()
        }))
    }
}

impl Operations<'_> {
    fn schedule(&self, text: &str) -> BoxFuture<Outcome> {
        let registry = self.ctx.registry();
        let ScheduledCall {
            path,
            at_seconds,
            args,
        } = match scheduled_call(text, self.scope(&registry)) {
            Ok(call) => call,
            Err(error) => return failed(error.message),
        };
        let scheduler = self.scheduler();
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

    fn cancel_job(&self, text: &str) -> BoxFuture<Outcome> {
        let id = match canceled_job(text) {
            Ok(id) => id,
            Err(error) => return failed(error.message),
        };
        let scheduler = self.scheduler();
        Box::pin(async move {
            match scheduler.cancel(id).await {
                Ok(()) => Outcome::Done(HostValue::String("null".to_owned())),
                Err(error) => error.into(),
            }
        })
    }

    fn vector_search(&self, text: &str) -> BoxFuture<Outcome> {
        let query = match vector_query(text, self.component()) {
            Ok(query) => query,
            Err(error) => return failed(error.message),
        };
        let ctx = self.ctx.clone();
        Box::pin(async move {
            match ctx.nearest(query).await {
                Ok(found) => Outcome::json(found_json(&found)),
                Err(error) => error.into(),
            }
        })
    }

    /// Calls another function.
    fn run(&self, kind: FunctionKind, api: &'static str, text: &str) -> BoxFuture<Outcome> {
        let registry = self.ctx.registry();
        match function_address(api, text, self.scope(&registry)) {
            Ok(path) => call(self.ctx, kind, (api, path), text),
            Err(error) => failed(error.message),
        }
    }
}

fn done(json: serde_json::Value) -> BoxFuture<Outcome> {
    Outcome::json(json).at_once()
}

fn failed(message: impl Into<String>) -> BoxFuture<Outcome> {
    Outcome::error(message).at_once()
}

/// The arguments of a call of another function.
#[derive(Deserialize)]
struct CallArgs<'a> {
    #[serde(borrow)]
    args: &'a RawValue,
}

/// Calls the function at the path, with the arguments in `text`.
fn call(
    ctx: &ActionCtx,
    kind: FunctionKind,
    (api, path): (&'static str, FunctionPath),
    text: &str,
) -> BoxFuture<Outcome> {
    let parsed: Result<CallArgs<'_>, _> = serde_json::from_str(text);
    let args = parsed
        .map_err(|error| error.to_string())
        .and_then(|parsed| encoded::value(parsed.args.get()).map_err(|error| error.to_string()));
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
