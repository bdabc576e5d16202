//! The context of actions: the other functions, each call its own transaction, and the outside world.

use std::sync::Arc;

use futures_util::FutureExt;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::panic::AssertUnwindSafe;
use vestibule_schema::convert::{from_value, to_value};
use vestibule_schema::path::ComponentPath;
use vestibule_schema::value::Value;

use super::console::Console;
use super::error::{Error, IDENTITY_HIDDEN, Result, SystemError};
use super::function::{Body, FunctionKind};
use super::logging::Running;
use super::nesting::{self, Nesting};
use super::on_behalf::HeldPlace;
use super::places::Place;
use super::registry::Registry;
use super::request::RequestMetadata;
use super::runner::{
    Call, FunctionOutcome, QueryOutcome, Rules, ended, outcome_of, panic_text, stated,
};
use super::scheduler::ActionScheduler;
use super::storage::StorageActions;
use super::{CallSource, Functions};
use crate::auth::{Caller, IdentityAccess, UserIdentity};
use crate::clock::timeout;
use crate::database::Definitions;
use crate::probe::Event;

/// The context of an action. It holds no transaction: each call it makes is a transaction of its own.
#[derive(Clone)]
pub struct ActionCtx {
    functions: Arc<Functions>,
    caller: Caller,
    /// Where its own calls come from.
    source: CallSource,
    /// How deep its own calls are nested.
    nesting: Nesting,
    place: HeldPlace,
    console: Arc<Mutex<Console>>,
    /// As the log knows the action.
    running: Arc<Running>,
}

/// One execution of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionRun {
    /// How it ended.
    pub outcome: FunctionOutcome,
    /// Its log lines.
    pub log_lines: Vec<String>,
}

impl ActionCtx {
    /// The value of this type that the program put into `App::state`.
    pub fn state<S: Send + Sync + 'static>(&self) -> Result<Arc<S>> {
        self.functions.registry().state()
    }

    /// The context of an action that `caller` runs and that was called from `source`.
    pub(super) fn new(
        functions: Arc<Functions>,
        caller: Caller,
        source: &CallSource,
        running: Arc<Running>,
    ) -> ActionCtx {
        ActionCtx {
            running,
            functions,
            caller,
            source: source.nested(source.request()),
            nesting: Nesting {
                depth: 1 + nesting::here().map_or(0, |here| here.depth),
                caller: 0,
            },
            place: match source {
                CallSource::Job(job) => job.place.clone(),
                _ => HeldPlace::default(),
            },
            console: Arc::default(),
        }
    }

    /// Where its calls and its searches run.
    pub(super) fn functions(&self) -> &Arc<Functions> {
        &self.functions
    }

    /// The functions that it may call.
    #[cfg(feature = "typescript")]
    pub(super) fn registry(&self) -> Arc<Registry> {
        self.functions.registry()
    }

    /// Takes the place that was kept for it.
    pub(super) fn take_place(&self) -> Option<Place> {
        self.place.take()
    }

    /// The same action in `place`.
    pub(super) fn placed(self, place: &Place) -> ActionCtx {
        let nesting = Nesting {
            caller: place.number(),
            ..self.nesting
        };
        ActionCtx { nesting, ..self }
    }

    /// How deep its own calls are nested.
    pub(super) fn nesting(&self) -> Nesting {
        self.nesting
    }

    /// The request that it runs for.
    pub(super) fn request(&self) -> Arc<RequestMetadata> {
        self.source.request()
    }

    /// The verified identity of the caller, `None` when the caller is signed out. It is an error in an action that an HTTP
    /// action calls for a sender whose auth token was refused: nobody becomes anonymous by mistake.
    pub fn identity(&self) -> Result<Option<UserIdentity>> {
        match self.caller.identity() {
            IdentityAccess::Known(identity) => Ok(identity.cloned().map(UserIdentity::new)),
            IdentityAccess::Suspended => Err(Error::plain(IDENTITY_HIDDEN)),
        }
    }

    /// Runs a query at the newest commit.
    pub async fn run_query<R: DeserializeOwned>(
        &self,
        path: &str,
        args: impl Serialize,
    ) -> Result<R> {
        let run = self
            .functions
            .query(self.call(path, args)?, None)
            .await
            .map_err(trouble)?;
        match run.outcome {
            QueryOutcome::Done(outcome) => unwrap(outcome),
            QueryOutcome::Suspended => Err(Error::plain(IDENTITY_HIDDEN)),
        }
    }

    /// Runs a mutation and waits until it is durable.
    pub async fn run_mutation<R: DeserializeOwned>(
        &self,
        path: &str,
        args: impl Serialize,
    ) -> Result<R> {
        unwrap(
            self.functions
                .mutate(self.call(path, args)?)
                .await
                .map_err(trouble)?
                .outcome,
        )
    }

    /// Runs another action.
    pub async fn run_action<R: DeserializeOwned>(
        &self,
        path: &str,
        args: impl Serialize,
    ) -> Result<R> {
        let call = self.call(path, args)?;
        unwrap(self.act(call).await?)
    }

    /// Runs a function of `kind` with arguments that are values already.
    pub(super) async fn call_value(
        &self,
        kind: FunctionKind,
        path: vestibule_schema::path::FunctionPath,
        args: Value,
    ) -> Result<Value> {
        let call = Call {
            path,
            args,
            caller: self.caller.clone(),
            source: self.source.clone(),
        };
        let outcome = match kind {
            FunctionKind::Query => {
                let run = self.functions.query(call, None).await.map_err(trouble)?;
                match run.outcome {
                    QueryOutcome::Done(outcome) => outcome,
                    QueryOutcome::Suspended => return Err(Error::plain(IDENTITY_HIDDEN)),
                }
            }
            FunctionKind::Mutation => self.functions.mutate(call).await.map_err(trouble)?.outcome,
            FunctionKind::Action => self.act(call).await?,
        };
        match outcome {
            FunctionOutcome::Returned(value) => Ok(value),
            FunctionOutcome::Threw(thrown) => Err(Error::from_thrown(thrown)),
        }
    }

    async fn act(&self, call: Call) -> Result<FunctionOutcome> {
        let functions = self.functions.clone();
        // In a box because an action may call itself.
        let run: super::BoxFuture<_> = Box::pin(async move { functions.act(call).await });
        // The body may make its calls in tasks of its own, so the nesting comes from here.
        let run = nesting::at(self.nesting, run).await;
        Ok(run.map_err(trouble)?.outcome)
    }

    /// Looks at files, stores and deletes them, each call by itself.
    pub fn storage(&self) -> StorageActions {
        StorageActions {
            files: self.functions.files().cloned(),
            asked_by: self.caller.identity_key(),
        }
    }

    /// Schedules functions, and cancels them.
    pub fn scheduler(&self) -> ActionScheduler {
        ActionScheduler {
            functions: self.functions.clone(),
            by: self.source.scheduled(),
            owner: ComponentPath::ROOT,
        }
    }

    /// As the log names the action.
    #[cfg(feature = "typescript")]
    pub(super) fn name(&self) -> &str {
        self.running.name()
    }

    /// Tells the log what the action has printed so far, while it waits.
    pub(super) fn tell(&self, lines: &[String]) {
        self.functions.log_progress(&self.running, lines);
    }

    /// Takes what was logged.
    pub(super) fn take_console(&self) -> Console {
        std::mem::take(&mut *self.console.lock())
    }

    /// Logs a line, as the consoles of queries and mutations do.
    pub fn console(&self, log: impl FnOnce(&mut Console)) {
        log(&mut self.console.lock());
    }

    fn call(&self, path: &str, args: impl Serialize) -> Result<Call> {
        let path = path
            .parse()
            .map_err(|_| Error::new(format!("`{path}` is not a function path")))?;
        let args = match to_value(&args)? {
            Value::Null => Value::Object(Default::default()),
            args => args,
        };
        Ok(Call {
            path,
            args,
            caller: self.caller.clone(),
            source: self.source.clone(),
        })
    }
}

fn trouble(error: SystemError) -> Error {
    Error::new(error)
}

fn unwrap<R: DeserializeOwned>(outcome: FunctionOutcome) -> Result<R> {
    match outcome {
        FunctionOutcome::Returned(value) => Ok(from_value(value)?),
        FunctionOutcome::Threw(thrown) => Err(Error::from_thrown(thrown)),
    }
}

/// Runs an action of these definitions to its end.
pub(super) async fn run_action(
    functions: Arc<Functions>,
    call: Call,
    running: Arc<Running>,
    definitions: &Definitions,
) -> ActionRun {
    let ctx = ActionCtx::new(
        functions.clone(),
        call.caller.clone(),
        &call.source,
        running,
    );
    let console = ctx.console.clone();
    let result = start(&functions, ctx, &call, definitions).await;
    let log_lines = std::mem::take(&mut *console.lock()).into_lines();
    ActionRun {
        outcome: outcome_of(result),
        log_lines,
    }
}

async fn start(
    functions: &Functions,
    ctx: ActionCtx,
    call: &Call,
    definitions: &Definitions,
) -> Result<Value> {
    let registry = Registry::of(definitions);
    let function = registry.find(FunctionKind::Action, call)?.clone();
    let rules = Rules::of(definitions, functions.database.environment());
    let component = function.path.component();
    function.check_args(
        &call.args,
        &rules.tables.namespace(component),
        rules.bytes_max,
    )?;
    let Body::Action(body) = &function.body else {
        unreachable!("the registry was asked for an action")
    };
    let place = match ctx.take_place() {
        // A job has taken its place before it was put in progress.
        Some(place) => place,
        None => functions.places.take(function.bytes_expected()).await?,
    };
    let ctx = ctx.placed(&place);
    let probe = functions.probe();
    let stated = || stated(FunctionKind::Action, call, None, None);
    probe.event(|| Event::Started(stated()));
    let running = async {
        match function.is_pushed() {
            // Its thread holds the place, and looks at the time.
            true => {
                ctx.place.put(place);
                body(ctx, call.args.clone()).await
            }
            false => {
                let (_place, args) = (place, call.args.clone());
                in_time(functions, async { body(ctx, args).await }).await
            }
        }
    };
    // The body's first step runs outside its future, so both are guarded.
    let running = AssertUnwindSafe(running);
    let result = running.catch_unwind().await.unwrap_or_else(|panic| {
        let what = panic_text(&*panic);
        tracing::error!(path = %function.path, panic = what, "an action panicked");
        Err(Error::panicked(&function.path, what))
    });
    probe.event(|| ended(stated(), &result));
    function.count(result.is_err());
    let result = result?;
    // A mutation that it ran may have made a table.
    let definitions = functions.database.definitions();
    let tables = definitions.catalog.namespace(component);
    function.check_result(&result, &tables, rules.bytes_max)?;
    Ok(result)
}

/// The work of an action of the program itself, to the end of an action's time. Then it is dropped where it waits.
pub(super) async fn in_time<T>(
    functions: &Functions,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let time_max = functions.places.time_max();
    let clock = functions.database.clock();
    let done = timeout(&**clock, time_max, work).await;
    done.unwrap_or_else(|| Err(Error::timed_out(time_max)))
}
