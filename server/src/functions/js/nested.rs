//! A run's requests to the rooms around it: nested calls, the scheduler, files, tokens.

use rand::RngCore;
use rand::rngs::StdRng;
use vestibule_schema::id::DocumentId;
use vestibule_schema::value::Value;

use super::execution::{Parts, Setting, Target, run_in};
use super::failures;
use super::files;
use super::syscalls::{
    ErrorKind, FileMetadata, FileToStore, FunctionState, Hooks, NestedCall, NestedKind,
    ScheduledCall, StorageId, StoredFile, SyscallError, TokenToSign,
};
use crate::auth::Caller;
use crate::database::{CommitTsPlaces, Definitions, Transaction};
use crate::deployment::CLOUD_URL;
use crate::functions::context::{Execution, MutationCtx, Observed, QueryCtx};
use crate::functions::error::{Error, IDENTITY_HIDDEN, Result};
use crate::functions::nesting::{DEPTH_MAX, TOO_DEEP};
use crate::functions::registry::{Registered, Registry};
use crate::functions::runner::{Rules, checked, depend_on_lookup, guarded};
use crate::functions::scheduled::{self, CANCELS_ITSELF, Cancellation, ToSchedule};
use crate::functions::{Body, Call, Console, FunctionKind};

/// The state that nested calls of a run need.
pub(super) struct Nested<'n> {
    pub target: Target<'n>,
    pub setting: &'n Setting,
    pub caller: Caller,
}

impl Nested<'_> {
    /// The run's hooks, logging to `console`.
    pub fn hooks<'h>(&'h self, console: &'h mut Console, rng: &'h mut StdRng) -> RunHooks<'h> {
        RunHooks {
            nested: self,
            console,
            rng,
        }
    }
}

/// [`Hooks`] of one run.
pub(super) struct RunHooks<'h> {
    nested: &'h Nested<'h>,
    console: &'h mut Console,
    /// The run's own randomness, from which each call that it makes gets a seed.
    rng: &'h mut StdRng,
}

impl RunHooks<'_> {
    fn run(
        &mut self,
        tx: &mut Transaction<'_>,
        observed: &mut Observed,
        call: NestedCall,
    ) -> std::result::Result<Value, SyscallError> {
        if self.nested.setting.depth + 1 > DEPTH_MAX {
            return Err(SyscallError::bad_request(TOO_DEEP));
        }
        // Each call has its own time, and all of them together have that of the transaction.
        tx.check_time()?;
        let limits = *tx.limits();
        if let Some(budget) = &call.budget {
            let lowered = limits.lowered(budget, &tx.usage(), tx.ranges_read());
            tx.set_limits(lowered);
        }
        let ran = match call.kind {
            NestedKind::SnapshotQuery => {
                let mut snapshot = tx.at_snapshot();
                let ran = self.run_one(&mut snapshot, observed, FunctionKind::Query, call);
                tx.count_usage_of(&mut snapshot);
                ran
            }
            NestedKind::Query => self.run_one(tx, observed, FunctionKind::Query, call),
            NestedKind::Mutation => {
                let before = tx.savepoint();
                let ran = self.run_one(tx, observed, FunctionKind::Mutation, call);
                if ran.is_err() {
                    tx.roll_back_to(before);
                }
                ran
            }
        };
        tx.set_limits(limits);
        tx.check_time()?;
        ran
    }

    fn run_one(
        &mut self,
        tx: &mut Transaction<'_>,
        observed: &mut Observed,
        kind: FunctionKind,
        call: NestedCall,
    ) -> std::result::Result<Value, SyscallError> {
        let definitions = tx.definitions().clone();
        let setting = self.nested.setting;
        let places = call.places;
        let call = Call {
            path: call.path,
            args: Value::Object(call.args),
            caller: self.nested.caller.clone(),
            source: setting.source.nested(setting.request.clone()),
        };
        let found = Registry::of(&definitions).find(kind, &call);
        if found.is_err() {
            depend_on_lookup(tx, &call.path);
        }
        let function = found.map_err(failures::to_caller)?.clone();
        if function.pushed().is_none() && !places.is_empty() {
            return Err(SyscallError::bad_request(NOT_TO_RUST));
        }
        let result = self.run_function(tx, observed, &definitions, &function, call, places);
        if observed.suspended {
            return Err(SyscallError::new(ErrorKind::Suspended, IDENTITY_HIDDEN));
        }
        result.map_err(failures::to_caller)
    }

    fn run_function(
        &mut self,
        tx: &mut Transaction<'_>,
        observed: &mut Observed,
        definitions: &Definitions,
        function: &Registered,
        call: Call,
        places: CommitTsPlaces,
    ) -> Result<Value> {
        let environment = tx.environment();
        let rules = Rules::of(definitions, environment);
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let setting = Setting {
            depth: self.nested.setting.depth + 1,
            seed,
            ..self.nested.setting.clone()
        };
        let mut has_begun = false;
        let result = checked(function, rules, call.args.clone(), |args| {
            has_begun = true;
            if let Some(pushed) = function.pushed() {
                let target = Target {
                    js: self.nested.target.js,
                    code: &pushed.code,
                    path: &function.path,
                    kind: function.kind(),
                };
                let mut state = FunctionState::new(
                    target.kind,
                    function.path.clone(),
                    call.caller.clone(),
                    setting.request.clone(),
                    setting.deployment.clone(),
                );
                state.args_places = places;
                state.observed = std::mem::take(observed);
                state.borders = state.observed.nested_page.lend();
                let parts = Parts {
                    tx,
                    state: &mut state,
                    console: self.console,
                };
                let result = run_in(&target, parts, &setting, args);
                *observed = state.observed;
                observed.nested_page.take_back(state.borders);
                return Ok((result?, tx.catalog()));
            }
            let result = run_native(tx, observed, self.console, function, &call, args);
            Ok((result?, tx.catalog()))
        });
        if !has_begun {
            depend_on_lookup(tx, &call.path);
        }
        result
    }
}

/// The error of a commit timestamp among the arguments of a function that knows no such value.
const NOT_TO_RUST: &str = "`db.vars.commitTs` cannot be passed to a function in Rust.";

/// Runs a native function in the transaction of the JavaScript function that calls it.
fn run_native(
    tx: &mut Transaction<'_>,
    observed: &mut Observed,
    console: &mut Console,
    function: &Registered,
    call: &Call,
    args: Value,
) -> Result<Value> {
    let mut lent = tx.lend();
    let component = lent.enter(call.path.component().clone());
    let mut execution = Execution::new(lent, call.caller.clone(), None);
    execution.console = std::mem::take(console);
    execution.observed = std::mem::take(observed);
    execution.db.borders = execution.observed.nested_page.lend();
    execution.source = call.source.clone();
    // A panic must not take the lent transaction along.
    let (result, mut execution) = match &function.body {
        Body::Query(body) => {
            let mut ctx = QueryCtx { execution };
            let result = guarded(&function.path, || body(&mut ctx, args));
            (result, ctx.execution)
        }
        Body::Mutation(body) => {
            let mut ctx = MutationCtx { execution };
            let result = guarded(&function.path, || body(&mut ctx, args));
            (result, ctx.execution)
        }
        Body::Action(_) => (
            Err(Error::plain("actions cannot run in a transaction")),
            execution,
        ),
    };
    *observed = execution.observed;
    let journal = std::mem::take(&mut execution.db.borders);
    observed.nested_page.take_back(journal);
    *console = execution.console;
    tx.take_back(execution.db.into_transaction());
    tx.enter(component);
    result
}

impl Hooks for RunHooks<'_> {
    fn run_nested(
        &mut self,
        tx: &mut Transaction<'_>,
        observed: &mut Observed,
        call: NestedCall,
    ) -> std::result::Result<Value, SyscallError> {
        self.run(tx, observed, call)
    }

    fn schedule(
        &mut self,
        tx: &mut Transaction<'_>,
        call: ScheduledCall,
    ) -> std::result::Result<DocumentId, SyscallError> {
        let job = ToSchedule {
            path: call.path,
            args: call.args,
            at_seconds: call.at_seconds,
            by: self.nested.setting.source.scheduled(),
            owner: self.nested.target.path.component().clone(),
        };
        Ok(scheduled::schedule(tx, job)?)
    }

    fn warn(&mut self, text: String) {
        self.console.warn(text);
    }

    fn cancel_job(
        &mut self,
        tx: &mut Transaction<'_>,
        id: DocumentId,
    ) -> std::result::Result<(), SyscallError> {
        let (by, owner) = (
            self.nested.setting.source.scheduled(),
            self.nested.target.path.component(),
        );
        let canceled = scheduled::cancel(tx, id, by, owner)?;
        if canceled == Cancellation::Itself {
            self.console.warn(CANCELS_ITSELF);
        }
        Ok(())
    }

    fn file_url(
        &mut self,
        tx: &mut Transaction<'_>,
        id: StorageId,
    ) -> std::result::Result<Option<String>, SyscallError> {
        files::url(tx, &id)
    }

    fn file_metadata(
        &mut self,
        tx: &mut Transaction<'_>,
        id: StorageId,
    ) -> std::result::Result<Option<FileMetadata>, SyscallError> {
        files::metadata(tx, &id)
    }

    fn upload_url(
        &mut self,
        tx: &mut Transaction<'_>,
    ) -> std::result::Result<String, SyscallError> {
        files::upload_url(tx, &self.nested.caller)
    }

    fn delete_file(
        &mut self,
        tx: &mut Transaction<'_>,
        id: StorageId,
    ) -> std::result::Result<(), SyscallError> {
        files::delete(tx, &id)
    }

    fn store_file(
        &mut self,
        tx: &mut Transaction<'_>,
        file: FileToStore,
    ) -> std::result::Result<DocumentId, SyscallError> {
        files::keep(tx, &file)
    }

    fn file(
        &mut self,
        tx: &mut Transaction<'_>,
        id: StorageId,
    ) -> std::result::Result<Option<StoredFile>, SyscallError> {
        files::load(tx, &id)
    }

    fn sign_token(
        &mut self,
        tx: &mut Transaction<'_>,
        token: TokenToSign,
    ) -> std::result::Result<String, SyscallError> {
        let Target { js, code, path, .. } = &self.nested.target;
        let issuer = code.variables.get(CLOUD_URL);
        let (Some(signer), Some(issuer)) = (js.signer.get(), issuer) else {
            return Err(SyscallError::bad_request("This server signs no tokens."));
        };
        let issuer = &match path.component() {
            root if root.is_root() => issuer.clone(),
            component => format!("{issuer}/components/{component}"),
        };
        let TokenToSign {
            claims,
            expires_in_seconds,
        } = token;
        Ok(signer.sign(tx, issuer, claims, expires_in_seconds)?)
    }
}
