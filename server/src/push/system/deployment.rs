//! Looking at what is deployed: functions, schema, variables, origins.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};
use vestibule_schema::object;
use vestibule_schema::path::ComponentPath;
use vestibule_schema::value::Value;

use super::reach::check_shown;
use super::{deployment_of, query, to_value};
use crate::database::{Order, Query, Source, Transaction, stored_name};
use crate::deployment::fields_json;
use crate::deployment::variables::{CLOUD_URL, SITE_URL};
use crate::functions::{Function, QueryCtx, Registry, Result};
use crate::outbound::Origins;
use crate::push::{calls, origins_of};

pub fn functions(origins: &Origins) -> Vec<Function> {
    let of = |pick: fn(Origins) -> String| {
        let origins = origins.clone();
        move |ctx: &mut QueryCtx<'_>, _: Value| {
            let tx = ctx.db().transaction();
            watch(tx, "_settings")?;
            Ok(pick(origins_of(&deployment_of(tx), &origins)))
        }
    };
    let cloud = |origins: Origins| origins.cloud;
    let site = |origins: Origins| origins.site;
    let built_in = origins.clone();
    vec![
        Function::query("_system/cli/convexUrl:cloudUrl", of(cloud)),
        Function::query("_system/cli/convexUrl:siteUrl", of(site)),
        Function::query("_system/frontend/convexCloudUrl:default", of(cloud)),
        Function::query("_system/frontend/convexSiteUrl:default", of(site)),
        Function::query("_system/cli/modules:apiSpec", api_spec),
        query("_system/frontend/getSchemas:default", get_schemas),
        query(
            "_system/frontend/getSchemas:schemaValidationProgress",
            nothing,
        ),
        query("_system/frontend/components:list", components),
        query("_system/frontend/listConfiguredSinks:default", none),
        query("_system/frontend/backendState:backendState", backend_state),
        Function::query(
            "_system/frontend/deploymentState:deploymentState",
            deployment_state,
        ),
        Function::query("_system/frontend/getVersion:default", version),
        query("_system/frontend/indexes:default", indexes),
        Function::query(
            "_system/frontend/listEnvironmentVariables:default",
            variables,
        ),
        Function::query("_system/frontend/listAuthProviders:default", auth_providers),
        Function::query("_system/cli/queryEnvironmentVariables:default", variables),
        Function::query(
            "_system/cli/queryEnvironmentVariables:get",
            move |ctx, args| variable(ctx, args, &built_in),
        ),
    ]
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfTable {
    #[serde(default)]
    table_name: Option<String>,
}

/// An empty list: the server has none of these.
fn none(_: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    Ok(Value::Array(Vec::new()))
}

/// Pushes alone know how far they are; tools ask them by `wait_for_schema`.
fn nothing(_: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    Ok(Value::Null)
}

/// Runs again when a document of this table of the server's own changes.
pub fn watch(tx: &mut Transaction<'_>, table: &str) -> Result<()> {
    if let Some(table) = tx.catalog().table(table) {
        tx.depend_on_documents(table)?;
    }
    Ok(())
}

/// Every function and every route.
fn api_spec(ctx: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    let tx = ctx.db().transaction();
    watch(tx, "_pushes")?;
    let specs = Registry::of(tx.definitions()).specs();
    to_value(Json::Array(specs))
}

/// Every component, by its path: those that are mounted, and those that have kept their tables.
fn components(ctx: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    let tx = ctx.db().transaction();
    watch(tx, "_pushes")?;
    tx.record_catalog()?;
    let deployment = deployment_of(tx);
    let mut states: BTreeMap<ComponentPath, &str> = BTreeMap::new();
    for table in tx.catalog().tables() {
        let component: ComponentPath = table.component().parse().unwrap_or_default();
        states.insert(component, "unmounted");
    }
    let mounted = deployment.components.keys();
    states.extend(mounted.map(|path| (path.clone(), "active")));
    states.remove(&ComponentPath::ROOT);
    let prefixes: BTreeMap<_, _> = deployment
        .http_places()
        .into_iter()
        .map(|(prefix, path)| (path, prefix))
        .collect();
    let listed = states.iter().map(|(path, state)| {
        json!({
            "id": path,
            "name": path.name(),
            "path": path,
            "args": {},
            "state": state,
            "httpPrefix": prefixes.get(path).map(|prefix| format!("{prefix}/")),
        })
    });
    to_value(listed.collect())
}

fn get_schemas(ctx: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    let component = ctx.component().clone();
    let tx = ctx.db().transaction();
    watch(tx, "_pushes")?;
    let deployment = deployment_of(tx);
    let part = deployment.part(&component);
    Ok(Value::Object(
        match part.and_then(|part| part.schema.as_ref()) {
            Some(schema) => object! { "active" => schema.to_reply().to_string() },
            None => object! {},
        },
    ))
}

fn deployment_state(ctx: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    let tx = ctx.db().transaction();
    watch(tx, "_settings")?;
    let is_paused = deployment_of(tx).settings.is_paused;
    let state = if is_paused { "paused" } else { "running" };
    Ok(Value::Object(object! { "state" => state }))
}

/// The three causes that may keep functions from running. Here only the administrator's ever does.
fn backend_state(ctx: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    let tx = ctx.db().transaction();
    watch(tx, "_settings")?;
    let is_paused = deployment_of(tx).settings.is_paused;
    Ok(Value::Object(object! {
        "system" => "running",
        "usage_limit" => "running",
        "user" => if is_paused { "paused" } else { "running" },
    }))
}

/// The version of the package that the app was bundled with.
fn version(ctx: &mut QueryCtx<'_>, _: Value) -> Result<Option<String>> {
    let tx = ctx.db().transaction();
    watch(tx, "_pushes")?;
    let version = deployment_of(tx).server_version.clone();
    Ok(Some(version).filter(|version| !version.is_empty()))
}

fn auth_providers(ctx: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    let tx = ctx.db().transaction();
    watch(tx, "_pushes")?;
    watch(tx, "_environment_variables")?;
    let providers = deployment_of(tx).auth_json().to_vec();
    to_value(Json::Array(providers))
}

/// The declared indexes of a table; null where there is no such table.
fn indexes(ctx: &mut QueryCtx<'_>, args: OfTable) -> Result<Value> {
    let component = ctx.component().clone();
    let tx = ctx.db().transaction();
    watch(tx, "_pushes")?;
    tx.record_catalog()?;
    let deployment = deployment_of(tx);
    let catalog = tx.catalog();
    let Some(name) = args.table_name.filter(|name| check_shown(name).is_ok()) else {
        return Ok(Value::Null);
    };
    let part = deployment.part(&component);
    let schema = part.and_then(|part| part.schema.as_ref());
    let declared = schema.and_then(|schema| schema.table(&name));
    let name = stored_name(&component, &name);
    let listed: Vec<Json> = match (declared, catalog.table(&name)) {
        (Some(table), _) => {
            let indexes = table.indexes.iter().map(|index| {
                let state = calls::backfill_state(&catalog, &name, index.name());
                shown_index(index.name(), index.fields_json(), index.staged, state)
            });
            indexes.collect()
        }
        // One of the program, or one that no schema names.
        (None, Some(table)) => {
            let indexes = table.indexes.iter().map(|index| {
                let fields = fields_json(&index.fields, index.method);
                let state = calls::backfill_state(&catalog, &name, &index.name);
                shown_index(&index.name, fields, index.staged, state)
            });
            indexes.collect()
        }
        (None, None) => return Ok(Value::Null),
    };
    to_value(Json::Array(listed))
}

fn shown_index(name: &str, fields: Json, staged: bool, state: &str) -> Json {
    json!({
        "name": name,
        "fields": fields,
        "staged": staged,
        "backfill": {"state": state},
    })
}

/// The environment variables as documents, by name.
fn variables(ctx: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    let tx = ctx.db().transaction();
    let query = Query {
        table: "_environment_variables".into(),
        source: Source::IndexRange {
            index: "by_name".into(),
            bounds: Vec::new(),
        },
        order: Order::Asc,
        operators: Vec::new(),
    };
    let documents = tx.collect(&query)?.into_iter();
    Ok(Value::Array(
        documents
            .map(|document| Value::Object(document.fields))
            .collect(),
    ))
}

/// One variable, a built-in one too.
fn variable(ctx: &mut QueryCtx<'_>, args: Named, configured: &Origins) -> Result<Value> {
    let tx = ctx.db().transaction();
    watch(tx, "_environment_variables")?;
    watch(tx, "_settings")?;
    let deployment = deployment_of(tx);
    let origins = origins_of(&deployment, configured);
    let value = match args.name.as_str() {
        CLOUD_URL => Some(origins.cloud),
        SITE_URL => Some(origins.site),
        name => deployment.variables.get(name).map(str::to_owned),
    };
    Ok(match value {
        Some(value) => Value::Object(object! { "name" => args.name, "value" => value }),
        None => Value::Null,
    })
}
