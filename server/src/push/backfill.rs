//! Preparing the tables for the schema of a push while the server goes on. New indexes are filled and documents are
//! checked, a few at a time, in ordinary commits and snapshots. Threads beside the lane read the documents, and the lane
//! takes only the new entries on (`pace.rs` says how fast).
//!
//! Writers keep a new index, and tell of documents that will not fit, from the commit that declares both. Finished work
//! stays done. An equal push goes on where another has stopped, and a fill where a stop of the server has cut it off.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::Pushes;
use super::error::PushError;
use super::pace::Pace;
use super::plans::{Plan, Progress, SchemaFailure, SchemaState};
use super::request::{WaitForSchema, push_id};
use super::stored::trouble;
use super::tables::{Need, Target, is_retired, with_filled};
use crate::clock;
use crate::database::{IndexId, Step, TableMeta, Transaction, component_of, local_name};

/// Documents of one step, at most.
pub(super) const STEP_DOCUMENTS_MAX: usize = 256;
/// Documents of a step that runs on the lane itself, because a commit touched one of them.
const OVERTAKEN_DOCUMENTS_MAX: usize = 32;
/// The longest that one look at the state is held.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The hold when tools do not say.
const WAIT_DEFAULT: Duration = Duration::from_secs(10);

impl Pushes {
    /// Prepares the tables for a push, and returns its progress: when the work ends, or after the time that tools give.
    pub async fn wait_for_schema(
        self: &Arc<Self>,
        request: WaitForSchema,
    ) -> Result<Json, PushError> {
        let id = push_id(&request.schema_change);
        let Some(plan) = self.plans.get(id, self.clock.elapsed()) else {
            return Ok(json!({"type": "raceDetected"}));
        };
        if request.dry_run {
            return self.check_dry(&plan).await;
        }
        self.cleaning.asked(self.clock.elapsed());
        if plan.begin() {
            self.overwrite_others(&plan);
            self.prepare(&plan);
        }
        let wait = request
            .timeout_ms
            .filter(|millis| (0.0..1e9).contains(millis));
        let wait = wait.map_or(WAIT_DEFAULT, |millis| {
            Duration::from_secs_f64(millis / 1_000.0)
        });
        let mut state = plan.schema.subscribe();
        let is_over = |state: &SchemaState| {
            !matches!(state, SchemaState::Waiting | SchemaState::InProgress(_))
        };
        let ended = state.wait_for(is_over);
        drop(clock::timeout(&*self.clock, wait.min(WAIT_MAX), ended).await);
        let state = plan.schema.borrow().clone();
        Ok(reply(&state))
    }

    fn overwrite_others(&self, plan: &Plan) {
        let others = self.plans.all();
        others
            .iter()
            .filter(|other| other.id() != plan.id())
            .for_each(|other| other.overwrite());
    }

    fn prepare(self: &Arc<Self>, plan: &Arc<Plan>) {
        let (pushes, preparing) = (self.clone(), plan.clone());
        let task = tokio::spawn(async move {
            let tell = |progress: &Progress| {
                preparing.become_state(SchemaState::InProgress(progress.clone()));
            };
            let state = match pushes.build(&preparing, tell).await {
                Ok(state) => state,
                Err(error) => SchemaState::Failed(SchemaFailure {
                    error: error.to_string(),
                    table: None,
                }),
            };
            preparing.become_state(state);
        });
        plan.prepared_by(task.abort_handle());
    }

    /// Fills and checks all that the schema needs, and tells how far that is.
    pub(super) async fn build(
        self: &Arc<Self>,
        plan: &Arc<Plan>,
        tell: impl Fn(&Progress),
    ) -> Result<SchemaState, PushError> {
        let needs = self.declare(plan).await?;
        let mut progress = Progress::of(&plan.deployment, &needs);
        tell(&progress);
        // A document that does not fit ends the push: better before the long work than after it.
        for need in &needs {
            if let Some(failure) = self.check(need).await? {
                return Ok(SchemaState::Failed(failure));
            }
        }
        progress.is_validated = true;
        tell(&progress);
        for Need { table, indexes, .. } in needs {
            for index in indexes {
                if let Some(failure) = self.fill(&table, index).await? {
                    return Ok(SchemaState::Failed(failure));
                }
                progress.completed(&table);
                tell(&progress);
            }
        }
        Ok(SchemaState::Complete)
    }

    pub(super) async fn declare(&self, plan: &Arc<Plan>) -> Result<Vec<Need>, PushError> {
        let (plan, native) = (plan.clone(), self.program.tables.clone());
        self.transact(move |tx| {
            let target = Target::of(&plan.deployment, &native);
            let (catalog, needs) = target.declare(&tx.catalog());
            tx.set_catalog(catalog).map_err(trouble)?;
            Ok(needs)
        })
        .await
    }

    /// Looks at every document that was there when the rules were declared. Writers look at later documents themselves.
    async fn check(&self, need: &Need) -> Result<Option<SchemaFailure>, PushError> {
        let Need { table, rules, .. } = need;
        let Some(rules) = rules else {
            return Ok(None);
        };
        let checked = rules.clone();
        let look = move |tx: &mut Transaction<'_>, table: &TableMeta, after, max| {
            let step = tx.check_documents(table, checked.rules(), after, max)?;
            Ok((step, ()))
        };
        let mut failed = None;
        let walked = self.walk(table, look, |step, ()| {
            failed = step.problem.clone().or_else(|| rules.failure());
            failed.is_none()
        });
        walked.await?;
        if let Some(error) = failed {
            return Ok(Some(failure(table, error)));
        }
        rules.checked();
        Ok(None)
    }

    /// Fills an index, and marks it as filled.
    pub(super) async fn fill(
        &self,
        table: &str,
        index: IndexId,
    ) -> Result<Option<SchemaFailure>, PushError> {
        let mut pace = Pace::new(self.functions.database());
        loop {
            let step = || self.fill_step(table, index, pace.documents());
            let (step, worked) = pace.step(step).await?;
            pace.committed();
            match (step.problem, step.next) {
                (Some(error), _) => return Ok(Some(failure(table, error))),
                (None, Some(_)) => pace.rest(worked).await,
                (None, None) => return Ok(None),
            }
        }
    }

    /// Fills an index by the next documents, at most `max`. Tells how long that took beside the lane.
    pub(super) async fn fill_step(
        &self,
        table: &str,
        index: IndexId,
        max: usize,
    ) -> Result<(Step, Duration), PushError> {
        let beside = fill_some(table.to_owned(), index, max);
        if let Some(done) = self.transact_beside(beside).await? {
            return Ok(done);
        }
        // A document that changes all the time may overtake each try. Few of them are quick enough for the lane.
        let max = max.min(OVERTAKEN_DOCUMENTS_MAX);
        self.transact(fill_some(table.to_owned(), index, max)).await
    }

    /// Checks documents for a push that is only tried.
    async fn check_dry(&self, plan: &Arc<Plan>) -> Result<Json, PushError> {
        let (plan, native) = (plan.clone(), self.program.tables.clone());
        let catalog = self.functions.database().definitions().catalog.clone();
        let target = Target::of(&plan.deployment, &native);
        let (_, needs) = target.declare(&catalog);
        for need in &needs {
            if let Some(failure) = self.check(need).await? {
                return Ok(reply(&SchemaState::Failed(failure)));
            }
        }
        Ok(reply(&SchemaState::Complete))
    }
}

/// Fills an index by the next documents, and marks it as filled behind the last.
fn fill_some(
    name: String,
    index: IndexId,
    max: usize,
) -> impl Fn(&mut Transaction<'_>) -> Result<(Step, Duration), PushError> {
    move |tx| {
        timed(tx, |tx| {
            let catalog = tx.catalog();
            let table = catalog.table(&name).ok_or(GONE)?;
            let mut indexes = table.indexes.iter();
            let meta = indexes.find(|other| other.id == index && !is_retired(other));
            let meta = meta.ok_or(GONE)?;
            if meta.ready {
                // Another has filled it meanwhile.
                return Ok(Step::ended());
            }
            let step = tx.fill_index(table, meta, max).map_err(trouble)?;
            if step.next.is_none() && step.problem.is_none() {
                let filled = with_filled(&catalog, &name, index);
                tx.set_catalog(filled).map_err(trouble)?;
            }
            Ok(step)
        })
    }
}

/// How long `work` takes, beside what it returns.
pub(super) fn timed<T>(
    tx: &mut Transaction<'_>,
    work: impl FnOnce(&mut Transaction<'_>) -> Result<T, PushError>,
) -> Result<(T, Duration), PushError> {
    let clock = tx.environment().clock.clone();
    let began = clock.elapsed();
    let done = work(tx)?;
    Ok((done, clock.elapsed().saturating_sub(began)))
}

/// A table or an index has gone while it was prepared.
pub(super) const GONE: PushError = PushError::Race("The schema changed during the push");

fn failure(table: &str, error: String) -> SchemaFailure {
    SchemaFailure {
        error,
        table: Some(table.to_owned()),
    }
}

fn reply(state: &SchemaState) -> Json {
    match state {
        SchemaState::Waiting => reply(&SchemaState::InProgress(Progress::default())),
        SchemaState::InProgress(progress) => {
            let parts = progress.indexes.iter().map(|(component, indexes)| {
                let shown = json!({
                    "schemaValidationComplete": progress.is_validated,
                    "indexesComplete": indexes.complete,
                    "indexesTotal": indexes.total,
                });
                (component.clone(), shown)
            });
            json!({"type": "inProgress", "components": parts.collect::<Map<_, _>>()})
        }
        SchemaState::Complete => json!({"type": "complete"}),
        SchemaState::Failed(SchemaFailure { error, table }) => json!({
            "type": "failed",
            "error": error,
            "componentPath": component_of(table.as_deref().unwrap_or_default()),
            "tableName": table.as_deref().map(local_name),
        }),
        SchemaState::Overwritten => json!({"type": "raceDetected"}),
    }
}
