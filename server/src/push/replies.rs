//! The answers to tools.

use serde_json::{Map, Value as Json, json};

use crate::deployment::analysis::ModuleAnalysis;
use crate::deployment::{Deployment, IndexDiff};
use crate::outbound::Origins;

/// The hashes by which tools know which modules they need not send.
pub fn config_hashes(live: &Deployment) -> Json {
    let modules = live.modules.values().map(|module| {
        json!({
            "path": module.path,
            "hash": module.hash,
            "environment": module.environment.name(),
        })
    });
    let version = Some(&live.server_version).filter(|version| !version.is_empty());
    let mut hashes = json!({
        "config": {"functions": live.functions_folder},
        "moduleHashes": modules.collect::<Vec<_>>(),
        "udfServerVersion": version,
    });
    // To tools, null is another version than none: only a deployment without a push has it.
    if live.push.is_none() || live.node_version.is_some() {
        let node_version = &live.node_version;
        hashes["nodeVersion"] = json!(node_version);
    }
    hashes
}

/// The reply to the start of a push. Tools send it back as it is, so it also names the push.
pub fn started(live: &Deployment, next: &Deployment, push_id: &str, origins: &Origins) -> Json {
    let variables = next
        .variables
        .iter()
        .map(|(name, value)| (name.to_owned(), json!(value)));
    json!({
        "environmentVariables": variables.collect::<Map<_, _>>(),
        "externalDepsId": null,
        "componentDefinitionPackages": {},
        "appAuth": next.auth_json(),
        "analysis": {"": analysis(next, next.definition.to_reply())},
        "app": {
            "definitionPath": "",
            "componentPath": "",
            "args": {},
            "childComponents": {},
            "httpRoutes": {"httpModuleRoutes": routes(next), "mounts": []},
            "exports": {},
        },
        "schemaChange": schema_change(live, next, push_id),
        "vestibulePushId": push_id,
        "vestibuleOrigins": {"cloud": origins.cloud, "site": origins.site},
    })
}

/// The analysis of the modules of an app or a component, beside its definition.
pub fn analysis(found: &Deployment, definition: Json) -> Json {
    json!({
        "definition": definition,
        "schema": found.schema.as_ref().map(|schema| schema.to_reply()),
        "functions": functions(found),
        "udfConfig": {
            "serverVersion": found.server_version,
            "importPhaseRngSeed": found.import.seed.to_vec(),
            "importPhaseUnixTimestamp": found.import.time_millis,
        },
    })
}

/// The reply that lists the changes a push would make.
pub fn evaluated(live: &Deployment, next: &Deployment) -> Json {
    json!({"schemaChange": schema_change(live, next, "")})
}

fn schema_change(live: &Deployment, next: &Deployment, push_id: &str) -> Json {
    // A component that is not mounted any more keeps its indexes.
    let diffs = next.parts().map(|(path, part)| {
        let before = live.part(&path).and_then(|live| live.schema.as_ref());
        let diff = IndexDiff::between(before, part.schema.as_ref());
        (path.to_string(), diff.to_json())
    });
    json!({
        "allocatedComponentIds": {},
        "schemaIds": {"": push_id},
        "indexDiffs": diffs.collect::<Map<_, _>>(),
    })
}

/// The routes of an app or a component itself.
pub fn routes(next: &Deployment) -> Option<Json> {
    let routes = next.http_routes.as_ref()?;
    let routes = routes
        .iter()
        .map(|route| json!({"method": route.method, "path": route.path}));
    Some(routes.collect())
}

fn functions(next: &Deployment) -> Json {
    let modules = next.analysis.iter().map(|(path, analysis)| {
        let module = json!({
            "functions": analyzed_functions(path, analysis),
            "httpRoutes": http_routes(analysis),
            "cronSpecs": cron_specs(next, analysis),
            "sourceMapped": null,
        });
        (path.clone(), module)
    });
    Json::Object(modules.collect())
}

fn analyzed_functions(path: &str, analysis: &ModuleAnalysis) -> Vec<Json> {
    let functions = analysis.functions.iter().map(|function| {
        let position = function.line.map(|line| {
            json!({
                "path": path,
                "start_lineno": line,
                "start_col": function.column.unwrap_or_default(),
            })
        });
        let visibility = function
            .visibility
            .map(|visibility| json!({"kind": visibility.name()}));
        json!({
            "name": function.name,
            "pos": position,
            "udfType": function.kind.name(),
            "visibility": visibility,
            "args": function.args,
            "returns": function.returns,
        })
    });
    functions.collect()
}

fn http_routes(analysis: &ModuleAnalysis) -> Option<Json> {
    let routes = analysis.http_routes.as_ref()?;
    let routes = routes
        .iter()
        .map(|(path, method)| json!({"route": {"path": path, "method": method}, "pos": null}));
    Some(routes.collect())
}

fn cron_specs(next: &Deployment, analysis: &ModuleAnalysis) -> Option<Json> {
    analysis.crons.as_ref()?;
    Some(next.crons.iter().map(|cron| cron.to_json()).collect())
}
