//! Pushes that are kept, and going back to one.

use std::sync::Arc;

use super::Pushes;
use super::error::PushError;
use super::finishing::Switch;
use super::plans::Plan;
use super::request::WaitForSchema;
use super::stored::{self, StoredPush};
use crate::deployment::Deployment;

impl Pushes {
    /// The pushes that are kept, the newest first.
    pub async fn history(&self) -> Result<Vec<StoredPush>, PushError> {
        self.read(stored::pushes).await
    }

    /// Makes a push live that was live before, as a push of its own: its tables are prepared, and everything is checked.
    pub async fn roll_back(self: &Arc<Self>, id: &str) -> Result<(), PushError> {
        let wanted = id.to_owned();
        let found = self.read(move |tx| {
            let pushes = stored::pushes(tx)?;
            let push = pushes.into_iter().find(|push| push.id == wanted);
            let push = push.ok_or(PushError::UnknownPush(wanted))?;
            stored::manifest(tx, &push)
        });
        let mut manifest = found.await?;
        manifest.message = Some(format!("Back to {id}"));
        manifest.push_id = format!("{id}-{:08x}", rand::random::<u32>());
        let live = self.live();
        let deployment = Deployment::from_manifest(&manifest, live.variables.clone())?
            .with_settings(live.settings.clone());
        // The variables of today say what its providers come to.
        let (deployment, auth_config) = self.evaluate_auth(deployment).await?;
        manifest.auth_config = auth_config;
        self.check_fit(&deployment)?;
        let base = live.push.as_ref().map(|push| push.id.clone());
        let now = self.clock.elapsed();
        let plan = Plan::new(manifest.clone(), deployment.clone(), base.clone(), now);
        let plan = self.plans.add(plan);
        self.wait_until_prepared(&plan).await?;
        let switch = Switch {
            manifest,
            deployment,
            base,
        };
        let pushes = self.clone();
        self.apart(async move {
            pushes.switch(switch).await?;
            pushes.plans.remove(plan.id());
            Ok(())
        })
        .await
    }

    async fn wait_until_prepared(self: &Arc<Self>, plan: &Plan) -> Result<(), PushError> {
        loop {
            let request = WaitForSchema {
                schema_change: serde_json::json!({"schemaIds": {"": plan.id()}}),
                timeout_ms: None,
                dry_run: false,
            };
            let state = self.wait_for_schema(request).await?;
            match state["type"].as_str() {
                Some("inProgress") => {}
                Some("complete") => return Ok(()),
                Some("failed") => {
                    let error = state["error"].as_str().unwrap_or_default();
                    return Err(PushError::Schema(error.to_owned()));
                }
                _ => return Err(PushError::Race("Another push began during this one")),
            }
        }
    }
}
