//! Small questions that tools ask beside a push.

use serde_json::{Value as Json, json};
use vestibule_schema::path::ComponentPath;

use super::Pushes;
use super::replies;
use crate::database::{Catalog, stored_name};

impl Pushes {
    /// The hashes of the modules that are live.
    pub fn config_hashes(&self) -> Json {
        replies::config_hashes(&self.live())
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
