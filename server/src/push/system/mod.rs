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
use serde_json::Value as Json;
use vestibule_schema::convert::from_value;
use vestibule_schema::path::ComponentPath;
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

/// A query of tools, which say by `componentId`, by `tableNamespace` or with the call which part of the app it looks at.
fn query<A: DeserializeOwned, R: Serialize + 'static>(
    path: &str,
    body: impl Fn(&mut QueryCtx<'_>, A) -> Result<R> + Send + Sync + 'static,
) -> Function {
    Function::query(path, move |ctx, args: Value| {
        if let Some(component) = named_in(&args)? {
            ctx.set_component(component);
        }
        let component = ctx.component().clone();
        check_component(ctx.db().transaction(), &component)?;
        body(ctx, read(args)?)
    })
}

/// A mutation of the dashboard. It may write much, so it runs beside the lane.
fn mutation<A: DeserializeOwned, R: Serialize + 'static>(
    path: &str,
    body: impl Fn(&mut MutationCtx<'_>, A) -> Result<R> + Send + Sync + 'static,
) -> Function {
    let function = Function::mutation(path, move |ctx, args: Value| {
        if let Some(component) = named_in(&args)? {
            ctx.set_component(component);
        }
        let component = ctx.component().clone();
        check_component(ctx.db().transaction(), &component)?;
        body(ctx, read(args)?)
    });
    function.beside_the_lane()
}

/// The component that arguments name: its id is its path, and so is the namespace of its tables.
fn named_in(args: &Value) -> Result<Option<ComponentPath>> {
    let fields = args.as_object();
    let mut named = ["componentId", "tableNamespace"].into_iter();
    let component = named.find_map(|name| match fields?.get(name)? {
        Value::Null => None,
        id => Some(id),
    });
    match component {
        None => Ok(None),
        Some(Value::String(id)) if id.is_empty() => Ok(None),
        Some(id) => {
            let path = id.as_str().and_then(|id| id.parse().ok());
            path.map(Some)
                .ok_or_else(|| Error::plain(format!("{id} is not the id of a component.")))
        }
    }
}

/// Refuses a component that is neither mounted nor has kept its tables.
fn check_component(tx: &mut Transaction<'_>, component: &ComponentPath) -> Result<()> {
    if component.is_root() {
        return Ok(());
    }
    tx.record_catalog()?;
    deployment::watch(tx, "_pushes")?;
    let catalog = tx.catalog();
    let mut tables = catalog.tables();
    let is_there = deployment_of(tx).part(component).is_some()
        || tables.any(|table| table.component() == component.as_str());
    match is_there {
        true => Ok(()),
        false => Err(Error::plain(format!(
            "There is no component {:?}.",
            component.as_str()
        ))),
    }
}

/// A list or an object of the server's own, however much it holds: what apps may store does not bound it.
fn to_value(json: Json) -> Result<Value> {
    match json {
        Json::Array(elements) => {
            let elements = elements.into_iter().map(to_value);
            Ok(Value::Array(elements.collect::<Result<_>>()?))
        }
        // Names with a dollar sign stand for values that JSON lacks.
        Json::Object(fields) if !fields.keys().any(|name| name.starts_with('$')) => {
            let fields = fields.into_iter();
            let fields = fields.map(|(name, json)| Ok((name, to_value(json)?)));
            Ok(Value::Object(fields.collect::<Result<_>>()?))
        }
        json => Ok(Value::from_json(&json)?),
    }
}

fn read<A: DeserializeOwned>(args: Value) -> Result<A> {
    from_value(args).map_err(|error| Error::plain(format!("ArgumentValidationError: {error}")))
}
