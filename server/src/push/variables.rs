//! Changing environment variables and settings: the auth providers are evaluated again, and everything switches with one
//! commit.

use std::sync::Arc;

use super::Pushes;
use super::error::PushError;
use super::settings;
use super::stored::{self, trouble};
use crate::database::Extension;
use crate::deployment::modules::AUTH_CONFIG_MODULE;
use crate::deployment::{AnalyzeInput, Deployment, Settings, VariableChange, Variables};
use crate::functions::Registry;

/// How often a change is tried again that another one overtakes.
const TRIES_MAX: usize = 8;

impl Pushes {
    /// Changes environment variables.
    pub async fn change_variables(
        self: &Arc<Self>,
        changes: Vec<VariableChange>,
    ) -> Result<(), PushError> {
        self.change(move |live| {
            let variables = live.variables.changed(&changes)?;
            let before = live.missing_variables(&live.variables);
            let missing = live.missing_variables(&variables).into_iter();
            let removed = missing.filter(|variable| !before.contains(variable));
            let removed: Vec<String> = removed.map(|variable| variable.to_string()).collect();
            match removed.is_empty() {
                true => Ok(live.with_variables(variables)),
                false => Err(PushError::RequiredVariables(removed)),
            }
        })
        .await
    }

    /// Sets variables that were given at the start, each once. A variable that is set already, or was set by an
    /// earlier start and removed since, stays as it is.
    pub async fn set_initial_variables(
        self: &Arc<Self>,
        given: Vec<VariableChange>,
    ) -> Result<(), PushError> {
        if given.is_empty() {
            return Ok(());
        }
        let before = self.read(|tx| settings::initial_variables(tx).map_err(trouble));
        let mut known = before.await?;
        let new = given
            .into_iter()
            .filter(|variable| !known.contains(&variable.name));
        let new: Vec<VariableChange> = new.collect();
        if new.is_empty() {
            return Ok(());
        }
        known.extend(new.iter().map(|variable| variable.name.clone()));
        let live = self.live();
        let is_unset = |variable: &VariableChange| live.variables.get(&variable.name).is_none();
        let unset: Vec<VariableChange> = new.into_iter().filter(is_unset).collect();
        if !unset.is_empty() {
            let names: Vec<&str> = unset.iter().map(|variable| &*variable.name).collect();
            tracing::info!(?names, "setting the variables that were given at the start");
            self.change_variables(unset).await?;
        }
        // After a crash before this the next start finds them set.
        self.transact(move |tx| settings::set_initial_variables(tx, known.clone()).map_err(trouble))
            .await
    }

    /// Stops functions from running, or lets them run again.
    pub async fn pause(self: &Arc<Self>, is_paused: bool) -> Result<(), PushError> {
        self.change(move |live| {
            if !is_paused && !live.settings.is_paused {
                return Err(PushError::NotPaused);
            }
            let settings = Settings {
                is_paused,
                ..live.settings.clone()
            };
            Ok(live.with_settings(settings))
        })
        .await
    }

    /// Sets where clients reach the deployment; without an origin, where it was started.
    pub async fn change_origin(
        self: &Arc<Self>,
        is_site: bool,
        origin: Option<String>,
    ) -> Result<(), PushError> {
        let origin = origin.map(checked_origin).transpose()?;
        self.change(move |live| {
            let mut settings = live.settings.clone();
            match is_site {
                true => settings.site_url = origin.clone(),
                false => settings.cloud_url = origin.clone(),
            }
            Ok(live.with_settings(settings))
        })
        .await
    }

    /// Replaces the live deployment by the one that `next` makes of it.
    async fn change(
        self: &Arc<Self>,
        next: impl Fn(&Deployment) -> Result<Deployment, PushError> + Send + Sync + 'static,
    ) -> Result<(), PushError> {
        let pushes = self.clone();
        self.apart(async move { pushes.change_here(next).await })
            .await
    }

    async fn change_here(
        self: &Arc<Self>,
        next: impl Fn(&Deployment) -> Result<Deployment, PushError> + Send + Sync,
    ) -> Result<(), PushError> {
        let _changing = self.changing.lock().await;
        for _ in 0..TRIES_MAX {
            let live = self.live();
            let next = next(&live)?;
            let is_as_before = live.variables == next.variables && live.settings == next.settings;
            let next = Arc::new(match is_as_before {
                true => next,
                false => self.evaluate_auth(next).await?.0,
            });
            let extension = self.extension_of(next.clone()).await?;
            self.warm(&extension).await;
            let (replaced, made): (Extension, _) = (self.functions.registry(), extension.clone());
            let (before, after) = (live, next.clone());
            let stated = self.stated.clone();
            // Live queries run again with the commit, and show then what is set here.
            self.own
                .set_origins(super::origins_of(&next, &self.origins));
            let changed = self.transact(move |tx| {
                let definitions = tx.definitions().clone();
                if !Arc::ptr_eq(Registry::of(&definitions).deployment(), &before) {
                    return Ok(false);
                }
                let functions = Registry::of(&definitions);
                stated.check_change(&before, &after.variables, functions, &definitions.catalog)?;
                stored::write_variables(tx, &before.variables, &after.variables)
                    .map_err(trouble)?;
                if before.settings != after.settings {
                    settings::write(tx, &after.settings).map_err(trouble)?;
                    // Live queries turn into refusals and back, or show addresses.
                    tx.touch_everything();
                }
                tx.set_extension(extension.clone()).map_err(trouble)?;
                Ok(true)
            });
            let changed = changed.await;
            if let Ok(true) = changed {
                self.retire(&replaced);
                self.activated(&next);
                return Ok(());
            }
            self.retire(&made);
            self.own.set_origins(self.origins());
            changed?;
        }
        Err(PushError::Race("The deployment kept changing"))
    }

    /// A deployment that was stored with the auth providers that its variables and this server's origins say, which may
    /// have changed since its push.
    pub(super) async fn with_present_auth(&self, stored: Deployment) -> Deployment {
        match self.evaluate_auth(stored.clone()).await {
            Ok((deployment, _)) => deployment,
            Err(error) => {
                tracing::error!(
                    %error,
                    "the auth config cannot be evaluated; the providers are those of the last push"
                );
                stored
            }
        }
    }

    /// Evaluates the auth config of `next`, which depends on variables and on where the server is reached. Returns its
    /// JSON text too.
    pub(super) async fn evaluate_auth(
        &self,
        next: Deployment,
    ) -> Result<(Deployment, Option<String>), PushError> {
        let Some(module) = next.modules.get(AUTH_CONFIG_MODULE).cloned() else {
            return Ok((next, None));
        };
        let source = self.stored_sources(vec![module]);
        let variables = self.visible_variables(&next);
        let input = AnalyzeInput {
            modules: source.await?,
            variables,
            seed: next.import.seed,
            time_millis: next.import.time_millis,
            ..AnalyzeInput::default()
        };
        let text = self.analyze(input).await?.auth_config;
        let next = next.with_auth(text.as_deref())?;
        self.check_providers(&next)?;
        Ok((next, text))
    }

    /// The variables, without the built-in ones.
    pub fn variables(&self) -> Variables {
        self.live().variables.clone()
    }
}

/// An origin without the slash that some people write behind it.
fn checked_origin(text: String) -> Result<String, PushError> {
    let url = url::Url::parse(&text).ok();
    let is_origin = url.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
    });
    match is_origin {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err(PushError::Origin(text)),
    }
}
