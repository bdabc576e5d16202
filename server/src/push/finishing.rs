//! The end of a push: one commit, with which everything switches.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;

use super::backfill::STEP_DOCUMENTS_MAX;
use super::error::PushError;
use super::request::{FinishPush, push_id};
use super::stored::{self, trouble};
use super::tables::{Need, Target, with_filled};
use super::{Program, Pushes};
use crate::database::{Catalog, Extension, QueryError, Transaction};
use crate::deployment::provisioning::Stated;
use crate::deployment::{AnalyzeError, Cron, Deployment, Manifest, diff};
use crate::functions::js::Js;
use crate::functions::{CodePart, PushedCode, Registry};
use crate::jobs::crons::{CronOwner, CronRefused, reconcile};

/// A push that is about to become live.
pub(super) struct Switch {
    pub manifest: Manifest,
    pub deployment: Deployment,
    /// The push that must still be live.
    pub base: Option<String>,
}

impl Pushes {
    /// Makes a push live that was started, and says what that changed.
    pub async fn finish(self: &Arc<Self>, request: FinishPush) -> Result<Json, PushError> {
        let pushes = self.clone();
        self.apart(async move { pushes.finish_here(request).await })
            .await
    }

    async fn finish_here(self: &Arc<Self>, request: FinishPush) -> Result<Json, PushError> {
        let id = push_id(&request.start_push["schemaChange"]);
        let plan = self.plans.get(id, self.clock.elapsed());
        let plan = plan.ok_or(PushError::Race(
            "This push is not known to the server any more",
        ))?;
        if request.dry_run {
            return Ok(diff::empty_reply());
        }
        let mut switch = Switch {
            manifest: plan.manifest.clone(),
            deployment: plan.deployment.clone(),
            base: plan.base.clone(),
        };
        switch.manifest.message = request.message.clone();
        if let Some(push) = &mut switch.deployment.push {
            push.message = request.message;
        }
        let reply = self.counts.step(self.switch(switch).await)?;
        self.plans.remove(plan.id());
        Ok(reply)
    }

    /// Makes a deployment live.
    pub(super) async fn switch(self: &Arc<Self>, switch: Switch) -> Result<Json, PushError> {
        let _changing = self.changing.lock().await;
        let before = self.live();
        check_missing(&switch.deployment, &before)?;
        let deployment = Arc::new(switch.deployment);
        let extension = self.extension_of(deployment.clone()).await?;
        self.warm(&extension).await;
        let manifest = Manifest {
            pushed_at_millis: self.now_millis(),
            ..switch.manifest
        };
        let job = Job {
            manifest,
            deployment: deployment.clone(),
            base: switch.base,
            extension: extension.clone(),
            program: self.program.clone(),
            stated: self.stated.clone(),
        };
        let replaced: Extension = self.functions.registry();
        let kept = components_with_tables(&self.functions.database().definitions().catalog);
        let switched = self.transact(move |tx| {
            let definitions = tx.definitions().clone();
            job.run(tx, Registry::of(&definitions).deployment())
        });
        match switched.await {
            Ok(()) => self.retire(&replaced),
            Err(error) => {
                self.retire(&extension);
                return Err(error);
            }
        }
        self.counts.went_live();
        self.activated(&deployment);
        self.warn_of_unsupported(&before, &deployment);
        self.warn_of_first_logins(&before, &deployment).await;
        let reply = diff::to_reply(&before, &deployment, &kept);
        self.clean_later();
        let push = deployment.push.as_ref();
        tracing::info!(
            push_id = push.map(|push| &*push.id),
            modules = deployment.modules.len(),
            functions = deployment.functions.len(),
            "a push is live"
        );
        Ok(reply)
    }

    /// The extension that transactions use with a deployment. Its code is made ready on a thread that no other work
    /// waits for.
    pub(super) async fn extension_of(
        &self,
        deployment: Arc<Deployment>,
    ) -> Result<Extension, PushError> {
        let code = match self.js.clone() {
            None => None,
            Some(js) => Some(self.code_of(js, &deployment).await?),
        };
        let functions = self.functions.clone();
        let making = move || functions.registry_with(deployment, code.as_ref());
        match tokio::task::spawn_blocking(making).await {
            Ok(registry) => Ok(Arc::new(registry)),
            Err(error) => {
                tracing::error!(%error, "making code ready failed");
                Err(AnalyzeError::Broken.into())
            }
        }
    }
}

impl Pushes {
    /// The code of the app and of each component, with the variables that it sees.
    async fn code_of(&self, js: Arc<Js>, deployment: &Deployment) -> Result<PushedCode, PushError> {
        let mut parts = Vec::new();
        for (component, part) in deployment.parts() {
            let modules = part.modules.values().cloned().collect();
            let given = match component.is_root() {
                true => None,
                false => Some(deployment.variables_of(&component)),
            };
            let variables = match &given {
                None => self.visible_variables(deployment),
                Some(given) => {
                    let given = given.iter();
                    let given = given
                        .filter_map(|(name, given)| Some((name.clone(), given.value.clone()?)));
                    given.chain(self.built_in(deployment)).collect()
                }
            };
            parts.push(CodePart {
                component,
                sources: self.stored_sources(modules).await?,
                variables,
                given,
            });
        }
        Ok(PushedCode { js, parts })
    }
}

/// The paths of the components that have tables, mounted or not.
pub(super) fn components_with_tables(catalog: &Catalog) -> BTreeSet<String> {
    let components = catalog.tables().map(|table| table.component());
    let components = components.filter(|component| !component.is_empty());
    components.map(str::to_owned).collect()
}

fn check_missing(deployment: &Deployment, live: &Deployment) -> Result<(), PushError> {
    let missing = deployment.missing_variables(&live.variables);
    match missing.is_empty() {
        true => Ok(()),
        false => {
            let names = missing.iter().map(ToString::to_string);
            Err(PushError::MissingVariables(names.collect()))
        }
    }
}

/// The switch's work in its transaction.
struct Job {
    manifest: Manifest,
    deployment: Arc<Deployment>,
    base: Option<String>,
    extension: Extension,
    program: Program,
    stated: Stated,
}

impl Job {
    fn run(&self, tx: &mut Transaction<'_>, live: &Deployment) -> Result<(), PushError> {
        let live_push = live.push.as_ref().map(|push| &push.id);
        if live_push != self.base.as_ref() {
            return Err(PushError::Race("Another push was finished during this one"));
        }
        if live.variables.version() != self.deployment.variables.version() {
            return Err(PushError::Race(
                "Environment variables changed during the push",
            ));
        }
        if live.settings != self.deployment.settings {
            return Err(PushError::Race(
                "Settings of the deployment changed during the push",
            ));
        }
        self.switch_tables(tx)?;
        self.check_provisioning(tx)?;
        stored::write_modules(tx, &self.deployment.keyed_modules()).map_err(trouble)?;
        stored::write_push(tx, &self.manifest).map_err(trouble)?;
        let crons: Vec<Cron> = self.deployment.all_crons().cloned().collect();
        let crons = reconcile(tx, CronOwner::Pushed, &crons);
        crons.map_err(|refused| match refused {
            CronRefused::Database(error) => trouble(error),
            refused => PushError::Cron(refused.to_string()),
        })?;
        tx.set_extension(self.extension.clone()).map_err(trouble)
    }

    fn check_provisioning(&self, tx: &Transaction<'_>) -> Result<(), PushError> {
        let functions: &Registry = self.extension.downcast_ref().expect("it was made of one");
        self.stated
            .check_push(&self.deployment, functions, &tx.catalog())?;
        Ok(())
    }

    /// Tables that are not prepared yet are prepared here, where they are small: an app's first pushes need no more.
    fn switch_tables(&self, tx: &mut Transaction<'_>) -> Result<(), PushError> {
        let target = Target::of(&self.deployment, &self.program.tables);
        target.check()?;
        let before = tx.catalog();
        let (declared, needs) = target.declare(&before);
        tx.set_catalog(declared).map_err(trouble)?;
        for need in &needs {
            let prepared = before
                .table(&need.table)
                .and_then(|table| table.pending.clone());
            let equal = prepared.filter(|pending| {
                let wanted = need.rules.as_ref().map(|rules| rules.rules());
                Some(pending.rules()) == wanted
            });
            let is_checked = match equal {
                Some(pending) if pending.is_checked() => match pending.failure() {
                    Some(error) => return Err(PushError::Schema(error)),
                    None => true,
                },
                _ => false,
            };
            prepare_here(tx, need, is_checked)?;
        }
        let switched = target.switch(&tx.catalog());
        if switched.is_overfull() {
            return Err(PushError::Schema(QueryError::TooManyTables.to_string()));
        }
        tx.set_catalog(switched).map_err(trouble)
    }
}

/// Fills and checks what a small table needs.
fn prepare_here(tx: &mut Transaction<'_>, need: &Need, is_checked: bool) -> Result<(), PushError> {
    const TOO_LARGE: PushError = PushError::Race("The schema changed during the push");
    let catalog = tx.catalog();
    let table = catalog.table(&need.table).ok_or(TOO_LARGE)?;
    if let Some(rules) = need.rules.as_ref().filter(|_| !is_checked) {
        let step = tx.check_documents(table, rules.rules(), None, STEP_DOCUMENTS_MAX);
        let step = step.map_err(trouble)?;
        if let Some(problem) = step.problem {
            return Err(PushError::Schema(problem));
        }
        if step.next.is_some() {
            return Err(TOO_LARGE);
        }
    }
    for id in &need.indexes {
        let index = table
            .indexes
            .iter()
            .find(|index| index.id == *id)
            .ok_or(TOO_LARGE)?;
        let step = tx
            .fill_index(table, index, STEP_DOCUMENTS_MAX)
            .map_err(trouble)?;
        if let Some(problem) = step.problem {
            return Err(PushError::Schema(problem));
        }
        if step.next.is_some() {
            return Err(TOO_LARGE);
        }
        let filled = with_filled(&tx.catalog(), &need.table, *id);
        tx.set_catalog(filled).map_err(trouble)?;
    }
    Ok(())
}
