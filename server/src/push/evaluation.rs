//! The effect that a push would have on the tables of the app and of its components. Nothing changes here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};
use vestibule_schema::path::ComponentPath;

use super::Pushes;
use super::error::PushError;
use super::measuring::{Measures, Precision};
use super::request::StartPush;
use super::tables::{Need, Target};
use crate::database::{Catalog, stored_name};
use crate::deployment::diff::named_indexes;
use crate::deployment::{
    AnalyzeInput, Deployment, ImportPhase, MANIFEST_VERSION, Manifest, PushedIndex, PushedSchema,
    PushedTable, SourceModule,
};

/// The schema of the app or of a component, as it is and as a push would have it.
pub(super) struct Change<'d> {
    pub component: ComponentPath,
    pub live: Option<&'d PushedSchema>,
    pub next: Option<&'d PushedSchema>,
}

impl Pushes {
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
        let next = self.with_schemas_of(&live, request).await?;
        let evaluated = self.effects(&live, &next).await?;
        Ok(json!({
            "componentSchemaEvaluations": evaluated,
            "newComponentDefinitions": new_definitions,
        }))
    }

    /// The deployment that a push would make, without its functions: they have no effect on tables.
    async fn with_schemas_of(
        &self,
        live: &Deployment,
        request: StartPush,
    ) -> Result<Deployment, PushError> {
        let import = ImportPhase {
            seed: rand::random(),
            time_millis: self.now_millis(),
        };
        let mut bodies = request.component_definitions;
        bodies.iter_mut().for_each(|body| body.functions.clear());
        let components = self.components(bodies, &import).await?;
        let app = request.app_definition;
        let input = AnalyzeInput {
            schema: app.schema.map(SourceModule::from),
            definition: app.definition.map(SourceModule::from),
            components: components.names(app.dependencies.iter()),
            variables: self.visible_variables(live),
            seed: import.seed,
            time_millis: import.time_millis,
            ..AnalyzeInput::default()
        };
        let analysis = self.analyze(input).await?;
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            import,
            schema: analysis.schema,
            definition: analysis.definition,
            components: components.into_manifests(),
            ..Manifest::default()
        };
        let next = Deployment::from_manifest(&manifest, live.variables.clone());
        Ok(next?)
    }
}

impl Pushes {
    /// The effect on the app and on each component, by the path of the component.
    async fn effects(&self, live: &Deployment, next: &Deployment) -> Result<Json, PushError> {
        let catalog = self.functions.database().definitions().catalog.clone();
        let none = Default::default();
        let (_, needs) = Target::of(next, &none).declare(&catalog);
        let mut evaluated = Map::new();
        for (component, part) in next.parts() {
            let path = component.to_string();
            let mounted = next.components.get(&component);
            let definition_path = mounted.map_or("", |mounted| &*mounted.definition_path);
            let before = live.part(&component);
            let change = Change {
                component,
                live: before.and_then(|part| part.schema.as_ref()),
                next: part.schema.as_ref(),
            };
            let mut shown = self.evaluate_change(&catalog, &needs, &change).await?;
            shown["definitionPath"] = json!(definition_path);
            evaluated.insert(path, shown);
        }
        Ok(Json::Object(evaluated))
    }

    async fn evaluate_change(
        &self,
        catalog: &Catalog,
        needs: &[Need],
        change: &Change<'_>,
    ) -> Result<Json, PushError> {
        let measures = self.measure(catalog, change.wanted(needs)).await?;
        let mut tables = Vec::new();
        for table in change.next.iter().flat_map(|schema| &schema.tables) {
            let mut shown = change.evaluate_table(&measures, needs, table);
            if let Some(rules) = &table.staged_document {
                let stored = change.stored(&table.name);
                shown["staged"] = self.staged_state(&measures, &stored, rules).await?;
            }
            tables.push(shown);
        }
        Ok(json!({
            "schemaValidation": change.checks_documents(),
            "tables": tables,
            "indexes": change.evaluate_indexes(&measures, catalog),
            "discardedStagedValidators": self.discarded_staged(&measures, change).await?,
        }))
    }
}

impl Change<'_> {
    /// The name under which a table is stored.
    pub fn stored<'n>(&self, table: &'n str) -> Cow<'n, str> {
        stored_name(&self.component, table)
    }

    fn checks_documents(&self) -> bool {
        self.next.is_some_and(PushedSchema::checks_documents)
    }

    /// The tables to measure, by the names under which they are stored.
    fn wanted(&self, needs: &[Need]) -> BTreeMap<String, Precision> {
        let schemas = self.live.iter().chain(&self.next);
        let tables = schemas.flat_map(|schema| &schema.tables);
        let wanted = tables.map(|table| {
            let stored = self.stored(&table.name);
            let precision = match must_walk(needs, &stored) {
                true => Precision::Bytes,
                false => Precision::Count,
            };
            (stored.into_owned(), precision)
        });
        wanted.collect()
    }

    fn evaluate_table(&self, measures: &Measures, needs: &[Need], table: &PushedTable) -> Json {
        let stored = self.stored(&table.name);
        let must_walk = must_walk(needs, &stored);
        let outcome = match (self.checks_documents(), must_walk) {
            (false, _) => "notValidated",
            (true, true) => "mustWalk",
            (true, false) => "supersetOfEnforced",
        };
        json!({
            "name": table.name,
            "outcome": outcome,
            "numDocs": measures.documents(&stored),
            "sizeBytes": if must_walk { measures.bytes(&stored) } else { 0 },
        })
    }

    fn evaluate_indexes(&self, measures: &Measures, catalog: &Catalog) -> Vec<Json> {
        let (before, after) = (named_indexes(self.live), named_indexes(self.next));
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
            let stored = self.stored(table);
            let is_new_use = !index.staged && matches!(change, "added" | "enabled");
            let mut shown = index.to_json(table);
            shown["change"] = json!(change);
            shown["needsBackfill"] = json!(is_new_use && !is_filled(catalog, &stored, index));
            shown["numDocs"] = json!(measures.documents(&stored));
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
            shown["numDocs"] = json!(measures.documents(&self.stored(table)));
            changes.push(shown);
        }
        changes
    }
}

/// Whether the documents of a table have to be held against a new schema.
fn must_walk(needs: &[Need], stored: &str) -> bool {
    let mut needs = needs.iter();
    needs.any(|need| need.table == stored && need.rules.is_some())
}

/// Whether the entries of the index are there already: it was staged, or an unfinished push has filled it.
fn is_filled(catalog: &Catalog, table: &str, index: &PushedIndex) -> bool {
    let found = catalog
        .table(table)
        .and_then(|table| table.index(index.name()));
    found.is_some_and(|found| found.ready && found.is(&index.definition))
}
