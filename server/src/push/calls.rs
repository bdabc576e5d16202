//! Small questions that tools ask beside a push.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use vestibule_schema::path::ComponentPath;

use super::Pushes;
use super::error::PushError;
use super::replies;
use super::request::StartPush;
use super::staged;
use super::stored::trouble;
use super::tables::Target;
use crate::database::{Catalog, Transaction, stored_name};
use crate::deployment::diff::named_indexes;
use crate::deployment::{AnalyzeInput, Deployment, PushedSchema, SourceModule};

/// Documents of one table that are counted for an estimate. Tools ask for confirmation from 100,000 on.
const COUNTED_MAX: usize = 100_001;
/// Bytes of one table that are measured for an estimate. Tools warn of documents to check from 128 MiB on.
const MEASURED_BYTES_MAX: usize = 256 << 20;

impl Pushes {
    /// The hashes of the modules that are live.
    pub fn config_hashes(&self) -> Json {
        replies::config_hashes(&self.live())
    }

    /// The effect that a push would have on the tables. It changes nothing and takes little time.
    pub async fn evaluate_schema(&self, request: StartPush) -> Result<Json, PushError> {
        let live = self.live();
        let is_new = |path: &String| {
            let mut known = live.components.values();
            !known.any(|mounted| mounted.definition_path == *path)
        };
        let sent = request.component_definitions.iter();
        let sent = sent.map(|component| component.definition_path.clone());
        let new_definitions: Vec<String> = sent.filter(is_new).collect();
        let schema = match request.app_definition.schema.map(SourceModule::from) {
            Some(schema) => {
                let input = AnalyzeInput {
                    schema: Some(schema),
                    ..AnalyzeInput::default()
                };
                self.analyze(input).await?.schema
            }
            None => None,
        };
        let schema = schema.as_deref().map(PushedSchema::from_text).transpose();
        let schema = schema.map_err(crate::deployment::DeploymentError::from)?;
        let evaluated = self.read(move |tx| evaluate(tx, &live, schema.as_ref()));
        Ok(json!({
            "componentSchemaEvaluations": {"": evaluated.await?},
            "newComponentDefinitions": new_definitions,
        }))
    }

    /// The indexes of all pushed tables of the app or of a component, with what is being built.
    pub fn indexes(&self, component: &ComponentPath) -> Json {
        let definitions = self.functions.database().definitions();
        let live = self.live();
        let schema = live.part(component).and_then(|part| part.schema.as_ref());
        let tables = schema.into_iter().flat_map(|schema| &schema.tables);
        let indexes = tables.flat_map(|table| {
            let stored = stored_name(component, &table.name);
            let catalog = &definitions.catalog;
            let indexes = table.indexes.iter();
            indexes.map(move |index| {
                json!({
                    "table": table.name,
                    "name": index.name(),
                    "fields": index.fields_json(),
                    "staged": index.staged,
                    "backfill": {"state": backfill_state(catalog, &stored, index.name())},
                })
            })
        });
        json!({"indexes": indexes.collect::<Vec<_>>()})
    }
}

/// `done`, or that an index is being built.
pub(super) fn backfill_state(catalog: &Catalog, table: &str, index: &str) -> &'static str {
    let index = catalog.table(table).and_then(|table| table.index(index));
    match index.is_some_and(|index| !index.ready) {
        true => "backfilling",
        false => "done",
    }
}

fn evaluate(
    tx: &mut Transaction<'_>,
    live: &Arc<Deployment>,
    schema: Option<&PushedSchema>,
) -> Result<Json, PushError> {
    let catalog = tx.catalog();
    let none = Default::default();
    let target = Target::of_schema(schema, &none);
    let (_, needs) = target.declare(&catalog);
    let mut tables = Vec::new();
    for table in schema.iter().flat_map(|schema| &schema.tables) {
        let must_walk = needs
            .iter()
            .any(|need| need.table == table.name && need.rules.is_some());
        let is_checked = schema.is_some_and(PushedSchema::checks_documents);
        let outcome = match (is_checked, must_walk) {
            (false, _) => "notValidated",
            (true, true) => "mustWalk",
            (true, false) => "supersetOfEnforced",
        };
        let mut shown = json!({
            "name": table.name,
            "outcome": outcome,
            "numDocs": count(tx, &catalog, &table.name)?,
            "sizeBytes": if must_walk { bytes_of(tx, &catalog, &table.name)? } else { 0 },
        });
        if let Some(rules) = &table.staged_document {
            shown["staged"] = staged::state(tx, &catalog, &table.name, rules)?;
        }
        tables.push(shown);
    }
    Ok(json!({
        "definitionPath": "",
        "schemaValidation": schema.is_some_and(PushedSchema::checks_documents),
        "tables": tables,
        "indexes": index_changes(tx, &catalog, live, schema)?,
        "discardedStagedValidators": staged::discarded(tx, &catalog, live.schema.as_ref(), schema)?,
    }))
}

fn index_changes(
    tx: &mut Transaction<'_>,
    catalog: &Catalog,
    live: &Deployment,
    schema: Option<&PushedSchema>,
) -> Result<Vec<Json>, PushError> {
    let (before, after) = (named_indexes(live.schema.as_ref()), named_indexes(schema));
    let mut changes = Vec::new();
    for (key @ (table, _), index) in &after {
        let same = before
            .get(key)
            .filter(|old| old.definition == index.definition);
        let change = match same.map(|old| (old.staged, index.staged)) {
            None => "added",
            Some((true, false)) => "enabled",
            Some((false, true)) => "disabled",
            Some(_) => "identical",
        };
        let mut shown = index.to_json(table);
        shown["change"] = json!(change);
        shown["needsBackfill"] = json!(!index.staged && matches!(change, "added" | "enabled"));
        shown["numDocs"] = json!(count(tx, catalog, table)?);
        changes.push(shown);
    }
    for (key @ (table, _), index) in &before {
        let new = after.get(key);
        if new.is_some_and(|new| new.definition == index.definition) {
            continue;
        }
        let mut shown = index.to_json(table);
        shown["change"] = json!("dropped");
        shown["needsBackfill"] = json!(false);
        shown["numDocs"] = json!(count(tx, catalog, table)?);
        changes.push(shown);
    }
    Ok(changes)
}

/// The bytes of a table's documents, as far as they matter.
fn bytes_of(tx: &mut Transaction<'_>, catalog: &Catalog, table: &str) -> Result<usize, PushError> {
    match catalog.table(table) {
        Some(table) => tx
            .count_document_bytes(table, MEASURED_BYTES_MAX)
            .map_err(trouble),
        None => Ok(0),
    }
}

pub(super) fn count(
    tx: &mut Transaction<'_>,
    catalog: &Catalog,
    table: &str,
) -> Result<usize, PushError> {
    match catalog.table(table) {
        Some(table) => tx.count_documents(table, COUNTED_MAX).map_err(trouble),
        None => Ok(0),
    }
}
