//! The history of a deployment: the pushes that are kept, each with what it changed.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value as Json, json};
use vestibule_schema::object;
use vestibule_schema::value::Value;

use super::deployment::watch;
use super::{query, to_value};
use crate::database::Transaction;
use crate::deployment::crons::Cron;
use crate::deployment::modules::CRONS_MODULE;
use crate::deployment::{Manifest, PushedSchema};
use crate::functions::{Function, QueryCtx, Result};
use crate::push::stored::{StoredPush, manifest, pushes};

/// The action of every event that is kept. Other changes are lines of the log.
const PUSH_CONFIG: &str = "push_config";

pub fn functions() -> Vec<Function> {
    vec![
        query("_system/frontend/deploymentEvents:lastPushEvent", last),
        query(
            "_system/frontend/paginatedDeploymentEvents:default",
            paginated,
        ),
        query(
            "_system/frontend/listDeploymentEventsFromTime:default",
            from_time,
        ),
    ]
}

/// Few pushes are kept, so all of them are one page.
#[derive(Default, Deserialize)]
struct Paginated {
    #[serde(default)]
    filters: Option<Filters>,
}

/// Times are milliseconds since 1970.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filters {
    #[serde(default)]
    min_date: Option<f64>,
    #[serde(default)]
    max_date: Option<f64>,
    #[serde(default)]
    author_member_ids: Option<Vec<Value>>,
    #[serde(default)]
    actions: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FromTime {
    from_timestamp: f64,
}

/// A push, and the one before it.
struct Event {
    push: StoredPush,
    before: Option<StoredPush>,
}

fn last(ctx: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    let tx = ctx.db().transaction();
    let newest = events(tx)?.into_iter().next();
    let shown = newest.map(|event| event.shown(tx)).transpose()?;
    Ok(shown.unwrap_or(Value::Null))
}

fn paginated(ctx: &mut QueryCtx<'_>, args: Paginated) -> Result<Value> {
    let tx = ctx.db().transaction();
    let filters = args.filters.unwrap_or_default();
    let events = events(tx)?.into_iter();
    let events = events.filter(|event| filters.accept(&event.push));
    let page = events.map(|event| event.shown(tx));
    let page = page.collect::<Result<Vec<Value>>>()?;
    Ok(Value::Object(object! {
        "page" => Value::Array(page),
        "isDone" => true,
        "continueCursor" => "",
    }))
}

/// The events from a moment on, the oldest first.
fn from_time(ctx: &mut QueryCtx<'_>, args: FromTime) -> Result<Value> {
    let tx = ctx.db().transaction();
    let events = events(tx)?.into_iter().rev();
    let events = events.filter(|event| event.push.pushed_at_millis >= args.from_timestamp);
    let shown = events.map(|event| event.shown(tx));
    Ok(Value::Array(shown.collect::<Result<_>>()?))
}

/// The newest first. The oldest that is kept has none before it to be compared with.
fn events(tx: &mut Transaction<'_>) -> Result<Vec<Event>> {
    watch(tx, "_pushes")?;
    let pushes = pushes(tx)?;
    let events = pushes.iter().enumerate().map(|(at, push)| Event {
        push: push.clone(),
        before: pushes.get(at + 1).cloned(),
    });
    Ok(events.collect())
}

impl Filters {
    fn accept(&self, push: &StoredPush) -> bool {
        let at = push.pushed_at_millis;
        let has_author = |ids: &Vec<Value>| ids.is_empty() || ids.contains(&Value::Null);
        let is_wanted = |actions: &Vec<String>| {
            actions.is_empty() || actions.iter().any(|action| action == PUSH_CONFIG)
        };
        self.min_date.is_none_or(|min| at >= min)
            && self.max_date.is_none_or(|max| at <= max)
            // Admin keys are of nobody.
            && self.author_member_ids.as_ref().is_none_or(has_author)
            && self.actions.as_ref().is_none_or(is_wanted)
    }
}

impl Event {
    fn shown(&self, tx: &mut Transaction<'_>) -> Result<Value> {
        let now = manifest(tx, &self.push)?;
        let before = self.before.as_ref();
        let before = before.map(|before| manifest(tx, before)).transpose()?;
        let before = before.unwrap_or_default();
        let event = json!({
            "_id": self.push.id,
            "_creationTime": self.push.pushed_at_millis,
            "member_id": null,
            "action": PUSH_CONFIG,
            "metadata": {
                "message": self.push.message,
                "server_version": change(
                    text(&before.server_version),
                    text(&now.server_version),
                    ["previous_version", "next_version"],
                ),
                "modules": difference(&modules(&before), &modules(&now), "removed"),
                "auth": difference(&providers(&before), &providers(&now), "removed"),
                "crons": crons(&before, &now),
                "schema": change(
                    schema(&before),
                    schema(&now),
                    ["previous_schema", "next_schema"],
                ),
            },
        });
        to_value(event)
    }
}

fn text(version: &str) -> Option<String> {
    Some(version.to_owned()).filter(|version| !version.is_empty())
}

/// Both values where they differ; null where they do not.
fn change(before: Option<String>, now: Option<String>, [previous, next]: [&str; 2]) -> Json {
    match before == now {
        true => Json::Null,
        false => json!({previous: before, next: now}),
    }
}

fn difference(before: &BTreeSet<String>, now: &BTreeSet<String>, gone: &str) -> Json {
    json!({
        "added": now.difference(before).collect::<Vec<_>>(),
        gone: before.difference(now).collect::<Vec<_>>(),
    })
}

fn modules(manifest: &Manifest) -> BTreeSet<String> {
    let modules = manifest.modules.iter();
    modules.map(|module| module.path.clone()).collect()
}

fn providers(manifest: &Manifest) -> BTreeSet<String> {
    let text = manifest.auth_config.as_deref().unwrap_or("null");
    let config: Json = serde_json::from_str(text).unwrap_or_default();
    let providers = config["providers"].as_array().into_iter().flatten();
    providers.map(Json::to_string).collect()
}

fn crons(before: &Manifest, now: &Manifest) -> Json {
    let (before, now) = (crons_of(before), crons_of(now));
    let names = |crons: &[Cron]| crons.iter().map(|cron| cron.name.clone()).collect();
    let mut changes = difference(&names(&before), &names(&now), "deleted");
    let is_updated = |cron: &&Cron| {
        let mut others = before.iter();
        others.any(|other| other.name == cron.name && other != *cron)
    };
    let updated = now.iter().filter(is_updated).map(|cron| &*cron.name);
    changes["updated"] = json!(updated.collect::<Vec<_>>());
    changes
}

/// A push that is kept was checked.
fn crons_of(manifest: &Manifest) -> Vec<Cron> {
    let analysis = manifest.analysis.get(CRONS_MODULE);
    let text = analysis.and_then(|analysis| analysis.crons.as_deref());
    text.and_then(|text| Cron::all_from_json(text).ok())
        .unwrap_or_default()
}

fn schema(manifest: &Manifest) -> Option<String> {
    let schema = PushedSchema::from_text(manifest.schema.as_deref()?).ok()?;
    Some(schema.to_reply().to_string())
}
