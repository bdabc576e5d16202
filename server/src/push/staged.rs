//! Staged validators: what they say of the documents that are there. They are held against documents when a tool asks,
//! and hold no writer up.

use serde_json::{Value as Json, json};
use vestibule_schema::validator::Validator;

use super::calls::count;
use super::error::PushError;
use super::stored::trouble;
use crate::database::{Catalog, Transaction};
use crate::deployment::PushedSchema;

/// Documents of one table that are held against its staged validator before a tool is answered.
const STAGED_CHECKED_MAX: usize = 20_000;
/// Documents that are looked at in one step.
const STEP_DOCUMENTS_MAX: usize = 256;

/// Whether the documents of a table fit `rules`, as tools read it.
pub(super) fn state(
    tx: &mut Transaction<'_>,
    catalog: &Catalog,
    table: &str,
    rules: &Validator,
) -> Result<Json, PushError> {
    let Some(meta) = catalog.table(table) else {
        return Ok(json!({"state": "valid"}));
    };
    let (mut checked, mut after) = (0, None);
    while checked < STAGED_CHECKED_MAX {
        let step = tx.check_documents(meta, rules, after, STEP_DOCUMENTS_MAX);
        let step = step.map_err(trouble)?;
        if let Some(error) = step.problem {
            return Ok(json!({"state": "failed", "error": error}));
        }
        checked += step.documents;
        if step.next.is_none() {
            return Ok(json!({"state": "valid"}));
        }
        after = step.next;
    }
    Ok(json!({
        "state": "pending",
        "numDocsValidated": checked,
        "totalDocs": count(tx, catalog, table)?,
    }))
}

/// The staged validators of the live schema that a new one neither keeps nor puts in force.
pub(super) fn discarded(
    tx: &mut Transaction<'_>,
    catalog: &Catalog,
    live: Option<&PushedSchema>,
    new: Option<&PushedSchema>,
) -> Result<Vec<Json>, PushError> {
    let mut discarded = Vec::new();
    for table in live.iter().flat_map(|schema| &schema.tables) {
        let Some(rules) = &table.staged_document else {
            continue;
        };
        let staged = new.and_then(|schema| schema.table(&table.name)?.staged_document.as_ref());
        let tables = new.map_or(&[][..], |schema| schema.schema.tables());
        let mut enforced = tables.iter().filter(|new| new.name == table.name);
        if staged == Some(rules) || enforced.any(|new| new.document == *rules) {
            continue;
        }
        let state = state(tx, catalog, &table.name, rules)?;
        // A validator that failed is given up for a reason.
        if state["state"] != "failed" {
            discarded.push(json!({
                "tableName": table.name,
                "state": state,
                "replaced": staged.is_some(),
            }));
        }
    }
    Ok(discarded)
}
