//! Calls of other functions: at once, later, or by a handle.

use vestibule_schema::id::DocumentId;
use vestibule_schema::value::Value;

use super::address::{Scope, handle_of};
use super::args::Args;
use super::commit_ts::put_tokens;
use super::error::SyscallError;
use super::hooks::{NestedCall, NestedKind, ScheduledCall};
use super::{FunctionState, Syscalls, json_string};
use crate::database::Budget;
use crate::functions::FunctionKind;

impl Syscalls<'_, '_> {
    pub(super) fn run_udf(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("runUdf", text)?;
        let kind = match nested_kind(&args)? {
            // A query has written nothing, so its state is the snapshot, and what is read of it counts.
            NestedKind::SnapshotQuery if self.state.kind == FunctionKind::Query => {
                NestedKind::Query
            }
            kind => kind,
        };
        if kind == NestedKind::Mutation && self.state.kind == FunctionKind::Query {
            let text = "Cannot call a Mutation function from a Query function";
            return Err(SyscallError::bad_request(text));
        }
        let path = args.function(self.scope())?;
        let (object, places) = args.object("args")?;
        let call = NestedCall {
            kind,
            path,
            args: object,
            places,
            budget: budget(&args)?,
        };
        let FunctionState {
            observed, borders, ..
        } = &mut *self.state;
        let was_shut = observed.nested_page.calling(borders);
        let returned = self.hooks.run_nested(self.tx, observed, call);
        observed.nested_page.called(was_shut, borders);
        let places = std::mem::take(&mut observed.places);
        let mut returned = returned?;
        put_tokens(&mut returned, &places);
        let mut out = String::new();
        returned.write_json(&mut out);
        Ok(out)
    }

    pub(super) fn schedule(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("scheduler", text)?;
        self.require_mutation("scheduler")?;
        let call = read_scheduled_call(&args, self.scope())?;
        let id = self.hooks.schedule(self.tx, call)?;
        Ok(json_string(&id.to_string()))
    }

    pub(super) fn cancel_job(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("db.cancel_job", text)?;
        self.require_mutation("scheduler")?;
        let id = args.id("id")?;
        let catalog = self.tx.catalog();
        let table = catalog.table_numbered(id.table());
        if table.is_none_or(|table| table.name != "_scheduled_functions") {
            return Err(SyscallError::bad_request(
                "Invalid scheduled function ID. The ID must be an ID on the '_scheduled_functions' table.",
            ));
        }
        self.hooks.cancel_job(self.tx, id)?;
        Ok("null".to_string())
    }

    pub(super) fn create_function_handle(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("createFunctionHandle", text)?;
        let scope = self.scope();
        Ok(json_string(&handle_of(&args.function(scope)?, scope)))
    }
}

fn nested_kind(args: &Args<'_>) -> Result<NestedKind, SyscallError> {
    match args.text("udfType")?.as_str() {
        "query" => Ok(NestedKind::Query),
        "mutation" => Ok(NestedKind::Mutation),
        "snapshotQuery" => Ok(NestedKind::SnapshotQuery),
        other => Err(args.refuse("udfType", format!("unknown function type \"{other}\""))),
    }
}

fn budget(args: &Args<'_>) -> Result<Option<Budget>, SyscallError> {
    let raw = args.raw("transactionLimits");
    let budget = raw.map(|raw| serde_json::from_str(raw.get())).transpose();
    budget.map_err(|error| args.refuse("transactionLimits", error))
}

/// The call that an action's `schedule` asks for: its arguments are those of a mutation's.
pub fn scheduled_call(text: &str, scope: Scope<'_>) -> Result<ScheduledCall, SyscallError> {
    read_scheduled_call(&Args::parse("scheduler", text)?, scope)
}

/// The job that the arguments of `cancel_job` mean.
pub fn canceled_job(text: &str) -> Result<DocumentId, SyscallError> {
    Args::parse("db.cancel_job", text)?.id("id")
}

fn read_scheduled_call(args: &Args<'_>, scope: Scope<'_>) -> Result<ScheduledCall, SyscallError> {
    Ok(ScheduledCall {
        path: args.function(scope)?,
        at_seconds: args.number("ts")?,
        args: match args.value("args")? {
            // Old packages sent a list.
            Value::Array(positional) => positional,
            object @ Value::Object(_) => vec![object],
            _ => return Err(args.refuse("args", "expected an object")),
        },
    })
}
