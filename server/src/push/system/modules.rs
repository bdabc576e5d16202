//! Looking at modules and their functions.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};
use vestibule_schema::path::{ComponentPath, FunctionPath};
use vestibule_schema::value::Value;

use super::deployment::watch;
use super::{deployment_of, query, to_value};
use crate::deployment::Deployment;
use crate::deployment::modules::{CRONS_MODULE, HTTP_MODULE};
use crate::functions::{Error, Function, QueryCtx, Registered, Registry, Result};

pub fn functions() -> Vec<Function> {
    vec![
        query("_system/frontend/modules:listForAllComponents", all),
        query("_system/frontend/modules:argsValidator", args_validator),
    ]
}

#[derive(Deserialize)]
struct OfFunction {
    function: String,
}

/// Every module with its functions, of the app and of each component.
fn all(ctx: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    let tx = ctx.db().transaction();
    watch(tx, "_pushes")?;
    let registry = Registry::of(tx.definitions());
    let mut parts = Vec::new();
    for (component, part) in registry.deployment().parts() {
        let id = Some(&component).filter(|component| !component.is_root());
        parts.push(json!([id, modules_of(registry, &component, part)]));
    }
    to_value(Json::Array(parts))
}

/// The modules of the app or of a component.
fn modules_of(registry: &Registry, component: &ComponentPath, part: &Deployment) -> Vec<Json> {
    let mut modules = pushed(part);
    let native_here = registry.functions().filter(|_| component.is_root());
    for function in native_here {
        let path = &function.path;
        if path.is_system() || registry.deployment().function(path).is_some() {
            continue;
        }
        let functions = modules.entry(path.module_file().to_owned());
        functions.or_default().push(native(function));
    }
    let modules = modules.into_iter().map(|(path, mut functions)| {
        functions.sort_by_key(|function| {
            let name = function["name"].as_str().unwrap_or_default();
            (function["lineno"].as_u64(), name.to_owned())
        });
        let mut module = json!({"functions": functions, "sourcePackageId": ""});
        if path == CRONS_MODULE {
            module["cronSpecs"] = cron_specs(part);
        }
        json!([path, module])
    });
    modules.collect()
}

fn pushed(deployment: &Deployment) -> BTreeMap<String, Vec<Json>> {
    let mut modules: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    for path in deployment.analysis.keys() {
        modules.insert(path.clone(), Vec::new());
    }
    for function in deployment.functions.values() {
        let returns = function.returns.as_ref().map(|returns| returns.to_json());
        let mut shown = json!({
            "name": function.path.function(),
            "udfType": function.kind.name(),
            "visibility": {"kind": function.visibility.name()},
            "args": function.args.to_json().to_string(),
            "returns": returns.map(|returns| returns.to_string()),
        });
        if let Some(line) = function.line {
            shown["lineno"] = json!(line);
        }
        let functions = modules.entry(function.path.module_file().to_owned());
        functions.or_default().push(shown);
    }
    for route in deployment.http_routes.iter().flatten() {
        let functions = modules.entry(HTTP_MODULE.to_owned());
        functions.or_default().push(json!({
            "name": format!("{} {}", route.method, route.path),
            "udfType": "HttpAction",
            "visibility": {"kind": "public"},
            "args": null,
            "returns": null,
        }));
    }
    modules
}

/// A function of the program itself.
fn native(function: &Registered) -> Json {
    let returns = function.returns.as_ref().map(|returns| returns.to_json());
    json!({
        "name": function.path.function(),
        "udfType": function.kind().name(),
        "visibility": {"kind": function.visibility.name()},
        "args": function.args.to_json().to_string(),
        "returns": returns.map(|returns| returns.to_string()),
    })
}

/// Name and schedule of each cron, in the order of the file.
fn cron_specs(deployment: &Deployment) -> Json {
    let crons = deployment.crons.iter().map(|cron| {
        json!([cron.name, {
            "udfPath": cron.function.canonical(),
            "cronSchedule": cron.schedule.to_json(),
        }])
    });
    crons.collect()
}

/// The validator of a function's arguments, as JSON text; null where there is no such function.
fn args_validator(ctx: &mut QueryCtx<'_>, args: OfFunction) -> Result<Option<String>> {
    let component = ctx.component().clone();
    let tx = ctx.db().transaction();
    watch(tx, "_pushes")?;
    let path: FunctionPath = args
        .function
        .parse()
        .map_err(|error| Error::plain(format!("{:?}: {error}", args.function)))?;
    let path = path.in_component(component);
    let deployment = deployment_of(tx);
    let pushed = deployment.function(&path).map(|function| &function.args);
    let registry = Registry::of(tx.definitions());
    let validator = pushed.or_else(|| registry.get(&path).map(|function| &function.args));
    Ok(validator.map(|validator| validator.to_json().to_string()))
}
