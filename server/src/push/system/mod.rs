//! Functions of the server's own, which tools call over the same protocol as an app's clients call the app's. Only the
//! holder of an admin key may call them. They are queries like any other, so watchers are told when an answer changes.

mod data;
mod deployment;
mod documents;
mod events;
mod files;
mod filters;
mod modules;
mod pages;
mod reach;
mod schedules;

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_schema::convert::from_value;
use vestibule_schema::validator::Validator;
use vestibule_schema::value::Value;

use crate::database::Transaction;
use crate::deployment::Deployment;
use crate::functions::{Error, Function, MutationCtx, QueryCtx, Registry, Result};
use crate::outbound::Origins;

/// All of them. `origins` are the server's addresses unless settings say otherwise.
pub fn functions(origins: &Origins) -> Vec<Function> {
    let functions = data::functions()
        .into_iter()
        .chain(pages::functions())
        .chain(documents::functions())
        .chain(files::functions())
        .chain(schedules::functions())
        .chain(modules::functions())
        .chain(events::functions())
        .chain(deployment::functions(origins));
    // Newer tools may say more than these functions look at.
    functions
        .map(|function| function.args(Validator::Any))
        .collect()
}

/// The deployment that a transaction uses.
fn deployment_of(tx: &Transaction<'_>) -> Arc<Deployment> {
    Registry::of(tx.definitions()).deployment().clone()
}

/// A query of the dashboard, which says by `componentId` which part of the app it looks at.
fn query<A: DeserializeOwned, R: Serialize + 'static>(
    path: &str,
    body: impl Fn(&mut QueryCtx<'_>, A) -> Result<R> + Send + Sync + 'static,
) -> Function {
    Function::query(path, move |ctx, args: Value| body(ctx, of_root(args)?))
}

/// A mutation of the dashboard. It may write much, so it runs beside the lane.
fn mutation<A: DeserializeOwned, R: Serialize + 'static>(
    path: &str,
    body: impl Fn(&mut MutationCtx<'_>, A) -> Result<R> + Send + Sync + 'static,
) -> Function {
    Function::mutation(path, move |ctx, args: Value| body(ctx, of_root(args)?)).beside_the_lane()
}

/// Arguments that speak of the app itself, which is the only part that runs here.
fn of_root<A: DeserializeOwned>(args: Value) -> Result<A> {
    let component = args.as_object().and_then(|args| args.get("componentId"));
    match component {
        None | Some(Value::Null) => {}
        Some(Value::String(id)) if id.is_empty() => {}
        Some(id) => {
            return Err(Error::plain(format!(
                "This server does not run components yet, so there is nothing in the component {id}."
            )));
        }
    }
    from_value(args).map_err(|error| Error::plain(format!("ArgumentValidationError: {error}")))
}
