//! Small questions that tools ask beside a push.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use vestibule_schema::path::ComponentPath;

use super::Pushes;
use super::error::PushError;
use super::measuring::{Measures, Precision};
use super::replies;
use super::request::StartPush;
use super::tables::Target;
use crate::database::{Catalog, stored_name};
use crate::deployment::diff::named_indexes;
use crate::deployment::{AnalyzeInput, Deployment, PushedIndex, PushedSchema, SourceModule};

impl Pushes {
    /// The hashes of the modules that are live.
    pub fn config_hashes(&self) -> Json {
        replies::config_hashes(&self.live())
    }

    /// The effect that a push would have on the tables. It changes nothing.
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
        let evaluated = self.effect_on_tables(&live, schema.as_ref()).await?;
        Ok(json!({
            "componentSchemaEvaluations": {"": evaluated},
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

impl Pushes {
    async fn effect_on_tables(
        &self,
        live: &Deployment,
        schema: Option<&PushedSchema>,
    ) -> Result<Json, PushError> {
        let catalog = self.functions.database().definitions().catalog.clone();
        let none = Default::default();
        let (_, needs) = Target::of_schema(schema, &none).declare(&catalog);
        let must_walk = |table: &str| {
            let mut needs = needs.iter();
            needs.any(|need| need.table == table && need.rules.is_some())
        };
        let mut wanted = BTreeMap::new();
        let schemas = live.schema.iter().chain(schema);
        for table in schemas.flat_map(|schema| &schema.tables) {
            let precision = match must_walk(&table.name) {
                true => Precision::Bytes,
                false => Precision::Count,
            };
            wanted.insert(table.name.as_str(), precision);
        }
        let measures = self.measure(&catalog, wanted).await?;
        let is_checked = schema.is_some_and(PushedSchema::checks_documents);
        let mut tables = Vec::new();
        for table in schema.iter().flat_map(|schema| &schema.tables) {
            let must_walk = must_walk(&table.name);
            let outcome = match (is_checked, must_walk) {
                (false, _) => "notValidated",
                (true, true) => "mustWalk",
                (true, false) => "supersetOfEnforced",
            };
            let mut shown = json!({
                "name": table.name,
                "outcome": outcome,
                "numDocs": measures.documents(&table.name),
                "sizeBytes": if must_walk { measures.bytes(&table.name) } else { 0 },
            });
            if let Some(rules) = &table.staged_document {
                shown["staged"] = self.staged_state(&measures, &table.name, rules).await?;
            }
            tables.push(shown);
        }
        let discarded = self.discarded_staged(&measures, live.schema.as_ref(), schema);
        Ok(json!({
            "definitionPath": "",
            "schemaValidation": is_checked,
            "tables": tables,
            "indexes": index_changes(&measures, &catalog, live, schema),
            "discardedStagedValidators": discarded.await?,
        }))
    }
}

fn index_changes(
    measures: &Measures,
    catalog: &Catalog,
    live: &Deployment,
    schema: Option<&PushedSchema>,
) -> Vec<Json> {
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
        let is_new_use = !index.staged && matches!(change, "added" | "enabled");
        shown["needsBackfill"] = json!(is_new_use && !is_filled(catalog, table, index));
        shown["numDocs"] = json!(measures.documents(table));
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
        shown["numDocs"] = json!(measures.documents(table));
        changes.push(shown);
    }
    changes
}

/// Whether the entries of the index are there already: it was staged, or an unfinished push has filled it.
fn is_filled(catalog: &Catalog, table: &str, index: &PushedIndex) -> bool {
    let found = catalog
        .table(table)
        .and_then(|table| table.index(index.name()));
    found.is_some_and(|found| found.ready && found.is(&index.definition))
}
