//! Staged validators: what they say of the documents that are there. They are held against documents when a tool asks,
//! and hold no writer up.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use vestibule_schema::id::InternalId;
use vestibule_schema::validator::Validator;

use super::Pushes;
use super::error::PushError;
use super::evaluation::Change;
use super::measuring::Measures;
use crate::database::{TableMeta, Transaction};

/// Documents of one table that are held against its staged validator before a tool is answered. At the pace of a walk that
/// takes less than half a minute. Of a larger table the rest is checked when the validator is put in force.
const STAGED_CHECKED_MAX: usize = 200_000;

impl Pushes {
    /// Whether the documents of a table fit `rules`, as tools read it.
    pub(super) async fn staged_state(
        &self,
        measures: &Measures,
        table: &str,
        rules: &Validator,
    ) -> Result<Json, PushError> {
        if !measures.has(table) {
            return Ok(json!({"state": "valid"}));
        }
        let rules = Arc::new(rules.clone());
        let look = move |tx: &mut Transaction<'_>, table: &TableMeta, after, max| {
            let step = tx.check_documents(table, &rules, after, max)?;
            Ok((step, ()))
        };
        let (mut checked, mut next, mut problem) = (0, None::<InternalId>, None);
        let walked = self.walk(table, look, |step, ()| {
            checked += step.documents;
            (next, problem) = (step.next, step.problem.clone());
            problem.is_none() && checked < STAGED_CHECKED_MAX
        });
        walked.await?;
        Ok(match (problem, next) {
            (Some(error), _) => json!({"state": "failed", "error": error}),
            (None, None) => json!({"state": "valid"}),
            (None, Some(_)) => json!({
                "state": "pending",
                "numDocsValidated": checked,
                "totalDocs": measures.documents(table),
            }),
        })
    }

    /// The staged validators of the live schema that a new one neither keeps nor puts in force.
    pub(super) async fn discarded_staged(
        &self,
        measures: &Measures,
        change: &Change<'_>,
    ) -> Result<Vec<Json>, PushError> {
        let Change {
            live, next: new, ..
        } = change;
        let mut discarded = Vec::new();
        for table in live.iter().flat_map(|schema| &schema.tables) {
            let (table, Some(rules)) = (&table.name, &table.staged_document) else {
                continue;
            };
            let staged = new.and_then(|schema| schema.table(table)?.staged_document.as_ref());
            let tables = new.map_or(&[][..], |schema| schema.schema.tables());
            let mut enforced = tables.iter().filter(|new| new.name == *table);
            if staged == Some(rules) || enforced.any(|new| new.document == *rules) {
                continue;
            }
            let stored = change.stored(table);
            let state = self.staged_state(measures, &stored, rules).await?;
            // A validator that failed is given up for a reason.
            if state["state"] != "failed" {
                discarded.push(json!({
                    "tableName": table,
                    "state": state,
                    "replaced": staged.is_some(),
                }));
            }
        }
        Ok(discarded)
    }
}
