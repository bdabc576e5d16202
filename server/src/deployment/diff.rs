//! The changes of one push over another.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::Deployment;
use super::schema::{PushedIndex, PushedSchema};

/// How indexes differ between two schemas. Each entry is an index as tools show it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IndexDiff {
    pub added: Vec<Json>,
    pub removed: Vec<Json>,
    /// Staged before, and used now.
    pub enabled: Vec<Json>,
    /// Used before, and staged now.
    pub disabled: Vec<Json>,
}

/// One index of a pushed schema with its table.
pub type NamedIndexes<'s> = BTreeMap<(&'s str, &'s str), &'s PushedIndex>;

/// All indexes of a schema, by table and name.
pub fn named_indexes(schema: Option<&PushedSchema>) -> NamedIndexes<'_> {
    let tables = schema.into_iter().flat_map(|schema| &schema.tables);
    let indexes = tables.flat_map(|table| {
        let indexes = table.indexes.iter();
        indexes.map(|index| ((&*table.name, index.name()), index))
    });
    indexes.collect()
}

impl IndexDiff {
    /// The changes from `before` to `after`. An index with other fields under its name is removed and added.
    pub fn between(before: Option<&PushedSchema>, after: Option<&PushedSchema>) -> IndexDiff {
        let (before, after) = (named_indexes(before), named_indexes(after));
        let mut diff = IndexDiff::default();
        for (key, index) in &after {
            let shown = index.to_json(key.0);
            match before.get(key) {
                Some(old) if old.definition == index.definition => match (old.staged, index.staged)
                {
                    (true, false) => diff.enabled.push(shown),
                    (false, true) => diff.disabled.push(shown),
                    (true, true) | (false, false) => {}
                },
                Some(_) | None => diff.added.push(shown),
            }
        }
        for (key, index) in &before {
            let stays = after
                .get(key)
                .is_some_and(|new| new.definition == index.definition);
            if !stays {
                diff.removed.push(index.to_json(key.0));
            }
        }
        diff
    }

    /// As replies show it.
    pub fn to_json(&self) -> Json {
        json!({
            "added_indexes": self.added,
            "removed_indexes": self.removed,
            "enabled_indexes": self.enabled,
            "disabled_indexes": self.disabled,
        })
    }

    /// Whether nothing changes.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        *self == IndexDiff::default()
    }
}

/// The changes of a push, as its last reply shows them. `kept` are the components that were mounted at some time before and
/// have kept their tables.
pub fn to_reply(before: &Deployment, after: &Deployment, kept: &BTreeSet<String>) -> Json {
    let providers =
        |deployment: &Deployment| names(deployment.auth_json().iter().map(provider_name));
    let (auth_before, auth_after) = (providers(before), providers(after));
    let nothing = Deployment::default();
    let mut parts = Map::new();
    for (path, part) in after.parts() {
        let old = before.part(&path).filter(|_| before.push.is_some());
        let difference = match old {
            Some(_) => "modify",
            None if kept.contains(path.as_str()) => "remount",
            None => "create",
        };
        let old = old.unwrap_or(&nothing);
        parts.insert(path.to_string(), part_diff(old, part, difference));
    }
    for (path, part) in before.parts() {
        if after.part(&path).is_none() {
            // Its tables stay as they are.
            let gone = Deployment {
                schema: part.schema.clone(),
                ..Deployment::default()
            };
            parts.insert(path.to_string(), part_diff(part, &gone, "unmount"));
        }
    }
    json!({
        "authDiff": {
            "added": missing_in(&auth_after, &auth_before),
            "removed": missing_in(&auth_before, &auth_after),
        },
        "definitionDiffs": {},
        "componentDiffs": parts,
    })
}

/// The changes of the app or of one component.
fn part_diff(before: &Deployment, after: &Deployment, difference: &str) -> Json {
    let modules = |deployment: &Deployment| {
        let modules = deployment.modules.values();
        let keyed = modules.map(|module| (module.path.clone(), module.hash.clone()));
        keyed.collect::<BTreeMap<_, _>>()
    };
    let (modules_before, modules_after) = (modules(before), modules(after));
    // A module that changed counts as removed and added, as tools expect.
    let only_in = |one: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
        let differs = |(path, hash): &(&String, &String)| other.get(*path) != Some(*hash);
        one.iter()
            .filter(differs)
            .map(|(path, _)| path.clone())
            .collect::<Vec<_>>()
    };
    let schema = |deployment: &Deployment| {
        let schema = deployment.schema.as_ref();
        schema.map(|schema| schema.as_json().to_string())
    };
    let (schema_before, schema_after) = (schema(before), schema(after));
    let schema_diff = (schema_before != schema_after)
        .then(|| json!({"previous_schema": schema_before, "next_schema": schema_after}));
    let (version_before, version_after) = (&before.server_version, &after.server_version);
    let version_diff = (version_before != version_after)
        .then(|| json!({"previous_version": version_before, "next_version": version_after}));
    json!({
        "diffType": {"type": difference},
        "moduleDiff": {
            "added": only_in(&modules_after, &modules_before),
            "removed": only_in(&modules_before, &modules_after),
        },
        "udfConfigDiff": version_diff,
        "cronDiff": cron_diff(before, after),
        "indexDiff": IndexDiff::between(before.schema.as_ref(), after.schema.as_ref()).to_json(),
        "schemaDiff": schema_diff,
    })
}

/// The same with nothing changed, as a dry run is answered.
pub fn empty_reply() -> Json {
    json!({
        "authDiff": {"added": [], "removed": []},
        "definitionDiffs": {},
        "componentDiffs": {},
    })
}

fn cron_diff(before: &Deployment, after: &Deployment) -> Json {
    let added = after
        .crons
        .iter()
        .filter(|cron| before.cron(&cron.name).is_none());
    let deleted = before
        .crons
        .iter()
        .filter(|cron| after.cron(&cron.name).is_none());
    let updated = after.crons.iter().filter(|cron| {
        let old = before.cron(&cron.name);
        old.is_some_and(|old| old != *cron)
    });
    json!({
        "added": names(added.map(|cron| cron.name.clone())),
        "updated": names(updated.map(|cron| cron.name.clone())),
        "deleted": names(deleted.map(|cron| cron.name.clone())),
    })
}

fn names(names: impl Iterator<Item = String>) -> Vec<String> {
    names.collect()
}

fn missing_in(names: &[String], others: &[String]) -> Vec<String> {
    let missing = names.iter().filter(|name| !others.contains(name));
    missing.cloned().collect()
}

fn provider_name(provider: &Json) -> String {
    let issuer = provider["domain"].as_str().or(provider["issuer"].as_str());
    match provider["applicationID"].as_str() {
        Some(application) => format!("{} ({application})", issuer.unwrap_or_default()),
        None => issuer.unwrap_or_default().to_owned(),
    }
}
