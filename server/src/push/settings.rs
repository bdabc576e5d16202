//! Settings of a deployment that are changed while it runs: small documents under a key.

use vestibule_schema::object;
use vestibule_schema::value::Value;

use crate::database::{
    Bound, BoundKind, DatabaseError, Order, Query, RawDocument, Source, Transaction,
};
use crate::deployment::Settings;

const TABLE: &str = "_settings";
/// Whether functions are refused.
const PAUSED: &str = "paused";
/// The origin of the API as clients know it.
const CLOUD_URL: &str = "cloudUrl";
/// The origin of the HTTP actions.
const SITE_URL: &str = "siteUrl";
/// Names of variables that were given at a start.
const INITIAL_VARIABLES: &str = "initialVariables";

/// Reads all settings.
pub fn read(tx: &mut Transaction<'_>) -> Result<Settings, DatabaseError> {
    let text = |value: Option<Value>| match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    Ok(Settings {
        is_paused: get(tx, PAUSED)? == Some(Value::Boolean(true)),
        cloud_url: text(get(tx, CLOUD_URL)?),
        site_url: text(get(tx, SITE_URL)?),
    })
}

/// Writes all settings.
pub fn write(tx: &mut Transaction<'_>, settings: &Settings) -> Result<(), DatabaseError> {
    let url = |url: &Option<String>| url.clone().map_or(Value::Null, Value::String);
    set(tx, PAUSED, Value::Boolean(settings.is_paused))?;
    set(tx, CLOUD_URL, url(&settings.cloud_url))?;
    set(tx, SITE_URL, url(&settings.site_url))
}

/// The variables that a start has looked at: it sets each of them once.
pub fn initial_variables(tx: &mut Transaction<'_>) -> Result<Vec<String>, DatabaseError> {
    let names = match get(tx, INITIAL_VARIABLES)? {
        Some(Value::Array(names)) => names,
        _ => Vec::new(),
    };
    let names = names.into_iter().filter_map(|name| match name {
        Value::String(name) => Some(name),
        _ => None,
    });
    Ok(names.collect())
}

/// Writes all variables that a start has looked at.
pub fn set_initial_variables(
    tx: &mut Transaction<'_>,
    names: Vec<String>,
) -> Result<(), DatabaseError> {
    let names = names.into_iter().map(Value::String).collect();
    set(tx, INITIAL_VARIABLES, Value::Array(names))
}

fn get(tx: &mut Transaction<'_>, key: &str) -> Result<Option<Value>, DatabaseError> {
    let found = find(tx, key)?;
    Ok(found.and_then(|mut setting| setting.fields.remove("value")))
}

fn set(tx: &mut Transaction<'_>, key: &str, value: Value) -> Result<(), DatabaseError> {
    let fields = object! { "key" => key, "value" => value };
    match find(tx, key)? {
        Some(setting) => tx.replace(setting.id, fields),
        None => tx.insert(TABLE, fields).map(drop),
    }
}

fn find(tx: &mut Transaction<'_>, key: &str) -> Result<Option<RawDocument>, DatabaseError> {
    tx.unique(&by(TABLE, "by_key", "key", key))
}

/// The documents of a table whose indexed field is `value`.
pub(super) fn by(
    table: &'static str,
    index: &'static str,
    field: &'static str,
    value: &str,
) -> Query {
    Query {
        table: table.into(),
        source: Source::IndexRange {
            index: index.into(),
            bounds: vec![Bound {
                kind: BoundKind::Eq,
                field: field.into(),
                value: Some(Value::from(value)),
            }],
        },
        order: Order::Asc,
        operators: Vec::new(),
    }
}
