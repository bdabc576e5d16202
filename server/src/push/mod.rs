//! The push room: changes of a deployment by tools. A push is started, prepared and finished; the finish is one commit,
//! with which tables, functions, routes, cron jobs and auth providers change together.
//!
//! [`Pushes::start`] evaluates and checks what was sent, and keeps it as a [plan](plans). [`Pushes::wait_for_schema`]
//! prepares the tables ([`backfill`]) while everything goes on as before. [`Pushes::finish`] switches.

mod backfill;
mod calls;
mod components;
mod counts;
mod deleting;
mod error;
mod evaluation;
mod finishing;
mod first_logins;
mod history;
mod inline;
mod measuring;
mod pace;
mod plans;
mod replies;
mod request;
mod settings;
mod shapes;
mod staged;
mod starting;
mod stored;
mod sweeping;
pub mod system;
mod tables;
#[cfg(test)]
mod tests;
mod unsupported;
mod variables;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tokio::sync::{Mutex, RwLock, mpsc};
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use vestibule_schema::path::{ComponentPath, FunctionPath};

pub use counts::PushCounts;
pub use error::PushError;
pub use inline::InlineSource;
pub use request::{FinishPush, StartPush, WaitForSchema};
pub use stored::StoredPush;

use crate::auth::{AuthConfig, Authenticator, ProviderConfig};
use crate::clock::Clock;
use crate::database::{Extension, Transaction};
use crate::deployment::provisioning::Stated;
use crate::deployment::{Analyzer, Deployment};
use crate::functions::js::Js;
use crate::functions::{Error, Functions, Registry, SystemError};
use crate::outbound::{Origins, Own};
use plans::Plans;
use sweeping::Cleaning;

/// The parts that the push room uses.
pub struct PushParts {
    /// Runs transactions.
    pub functions: Arc<Functions>,
    /// Evaluates modules.
    pub analyzer: Arc<dyn Analyzer>,
    /// Runs the modules; without it pushed functions are known and cannot be called.
    pub js: Option<Arc<Js>>,
    /// Verifies auth tokens; each deployment brings its providers.
    pub authenticator: Arc<Authenticator>,
    /// Providers that the server was started with. Those of deployments come after them.
    pub configured: AuthConfig,
    /// The development issuer, until a deployment brings a provider that is not of this machine.
    pub dev_provider: Option<ProviderConfig>,
    /// The contents of the server's own program, which a push cannot replace.
    pub program: Program,
    /// The source of the provisioning rules; the variables of deployments are checked against it.
    pub stated: Stated,
    /// Where this server is reached. Settings may change that.
    pub own: Arc<Own>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

/// The server's own program.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Its functions.
    pub functions: HashSet<FunctionPath>,
    /// Its tables.
    pub tables: HashSet<String>,
    /// The routes of its HTTP actions, as in `GET /files/*`.
    pub routes: HashSet<String>,
}

/// Takes pushes, and other changes of the deployment.
pub struct Pushes {
    functions: Arc<Functions>,
    analyzer: Arc<dyn Analyzer>,
    js: Option<Arc<Js>>,
    authenticator: Arc<Authenticator>,
    configured: AuthConfig,
    dev_provider: Option<ProviderConfig>,
    program: Program,
    stated: Stated,
    own: Arc<Own>,
    /// Where it is reached unless settings say otherwise.
    origins: Origins,
    clock: Arc<dyn Clock>,
    plans: Plans,
    /// Held while the deployment changes, so that changes are told in their order.
    changing: Mutex<()>,
    /// Held for reading while chunks are written that nothing names yet, for writing while such chunks are removed.
    unnamed_chunks: RwLock<()>,
    cleaning: Cleaning,
    /// Changes of the deployment under way, whoever waits for them.
    changes: TaskTracker,
    counts: PushCounts,
}

impl Pushes {
    /// The push room over `parts`.
    pub fn new(parts: PushParts) -> Arc<Pushes> {
        let PushParts {
            functions,
            analyzer,
            js,
            authenticator,
            configured,
            dev_provider,
            program,
            stated,
            own,
            clock,
        } = parts;
        Arc::new(Pushes {
            functions,
            analyzer,
            js,
            authenticator,
            configured,
            dev_provider,
            program,
            stated,
            origins: Origins::clone(&own.origins()),
            own,
            clock,
            plans: Plans::default(),
            changing: Mutex::default(),
            unnamed_chunks: RwLock::default(),
            cleaning: Cleaning::default(),
            changes: TaskTracker::new(),
            counts: PushCounts::default(),
        })
    }

    /// Pushes since the start.
    pub fn counts(&self) -> &PushCounts {
        &self.counts
    }

    /// The deployment as of the newest commit.
    pub fn live(&self) -> Arc<Deployment> {
        self.functions.registry().deployment().clone()
    }

    /// Whether a component is mounted, or has kept its tables. The app always is.
    pub fn has_component(&self, path: &ComponentPath) -> bool {
        let catalog = self.functions.database().definitions().catalog.clone();
        let mut tables = catalog.tables();
        self.live().part(path).is_some() || tables.any(|table| table.component() == path.as_str())
    }

    /// Takes on the deployment that is stored, before anything is served.
    pub async fn restore(self: &Arc<Self>) -> Result<(), PushError> {
        let stored = self.read(stored::load).await?;
        let deployment = Arc::new(self.with_present_auth(stored).await);
        self.stated.check_start(&deployment.variables)?;
        let extension = self.extension_of(deployment.clone()).await?;
        self.functions.database().install(extension);
        self.complete_tables().await?;
        self.activated(&deployment);
        if let Some(js) = &self.js {
            js.warm_later(&self.functions.registry());
        }
        self.clean_later();
        self.look_for_abandoned();
        Ok(())
    }

    /// Ends what is under way in the background.
    pub fn stop(&self) {
        self.plans.all().iter().for_each(|plan| plan.overwrite());
        self.cleaning.stop();
    }

    /// Waits until no change of the deployment is under way.
    pub async fn settled(&self) {
        self.changes.close();
        self.changes.wait().await;
    }

    /// Makes a change as a task of its own. A caller that leaves does not cut it off between its commit and what must
    /// follow, such as the providers of the new deployment.
    async fn apart<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, PushError>> + Send + 'static,
    ) -> Result<T, PushError> {
        match self.changes.spawn(change.in_current_span()).await {
            Ok(changed) => changed,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The server ends.
                Err(_) => Err(SystemError::ShuttingDown.into()),
            },
        }
    }

    /// Lets in who the deployment lets in, and goes by its origins.
    fn activated(&self, deployment: &Deployment) {
        self.own.set_origins(origins_of(deployment, &self.origins));
        let pushed = || deployment.auth.iter().flat_map(AuthConfig::providers);
        let real = pushed().find(|provider| !provider.is_loopback());
        let dev = self.dev_provider.iter().filter(|dev| match real {
            Some(real) => {
                if self.authenticator.trusts(dev.issuer()) {
                    tracing::info!(
                        issuer = real.issuer(),
                        "the development issuer is off: the pushed auth config names a real one"
                    );
                }
                false
            }
            None => true,
        });
        let is_new = |provider: &&ProviderConfig| !self.configured.providers().contains(provider);
        let others = dev.chain(pushed().filter(is_new)).cloned();
        self.authenticator
            .configure(others.fold(self.configured.clone(), AuthConfig::with));
    }

    /// Where the deployment is reached, settings included.
    pub fn origins(&self) -> Origins {
        origins_of(&self.live(), &self.origins)
    }

    /// The variables that are always there.
    fn built_in(&self, deployment: &Deployment) -> BTreeMap<String, String> {
        let Origins { cloud, site } = origins_of(deployment, &self.origins);
        BTreeMap::from([
            (crate::deployment::variables::CLOUD_URL.to_owned(), cloud),
            (crate::deployment::variables::SITE_URL.to_owned(), site),
        ])
    }

    fn now_millis(&self) -> f64 {
        let nanos_per_milli = 1_000_000;
        (self.clock.now().0 / nanos_per_milli) as f64
    }

    /// Makes the code of a deployment ready that is about to be live, so that live queries which run again find it so.
    async fn warm(&self, extension: &Extension) {
        let Some((js, registry)) = self.js.clone().zip(registry_of(extension)) else {
            return;
        };
        let warming = tokio::task::spawn_blocking(move || js.warm(&registry));
        if let Err(error) = warming.await {
            tracing::error!(%error, "making code ready failed");
        }
    }

    /// Lets go of what was kept ready for code that is not live, or not any more.
    fn retire(&self, extension: &Extension) {
        if let Some((js, registry)) = self.js.as_ref().zip(registry_of(extension)) {
            js.retire(&registry);
        }
    }

    /// Runs `work` as one transaction at the head. An error takes back all its writes.
    async fn transact<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut Transaction<'_>) -> Result<T, PushError> + Send + 'static,
    ) -> Result<T, PushError> {
        let (refusal, refused) = refusal();
        let done = self.functions.transact(move |tx| {
            work(tx).map_err(|error| {
                drop(refusal.try_send(error));
                Error::new("refused")
            })
        });
        done.await?.map_err(|error| refused_with(refused, &error))
    }

    /// As [`Self::transact`], beside the lane. `None` if a commit touched what `work` recorded as read.
    async fn transact_beside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, PushError> + Send + 'static,
    ) -> Result<Option<T>, PushError> {
        let (refusal, refused) = refusal();
        let done = self.functions.transact_beside(move |tx| {
            work(tx).map_err(|error| {
                drop(refusal.try_send(error));
                Error::new("refused")
            })
        });
        let done = done.await?.transpose();
        done.map_err(|error| refused_with(refused, &error))
    }

    /// Runs `work` on a snapshot of the newest commit.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, PushError> + Send + 'static,
    ) -> Result<T, PushError> {
        let database = self.functions.database().clone();
        let read = self.functions.read(move |view| {
            let mut tx = Transaction::read_only(view, database.environment());
            Ok::<_, SystemError>(work(&mut tx))
        });
        read.await?
    }
}

/// The way of an error of a transaction's own, beside the outcome.
fn refusal() -> (mpsc::Sender<PushError>, mpsc::Receiver<PushError>) {
    mpsc::channel(1)
}

fn refused_with(mut refused: mpsc::Receiver<PushError>, error: &Error) -> PushError {
    let refusal = refused.try_recv();
    refusal.unwrap_or_else(|_| PushError::Stored(error.to_string()))
}

fn registry_of(extension: &Extension) -> Option<Arc<Registry>> {
    extension.clone().downcast().ok()
}

fn origins_of(deployment: &Deployment, configured: &Origins) -> Origins {
    let settings = &deployment.settings;
    Origins {
        cloud: settings
            .cloud_url
            .clone()
            .unwrap_or_else(|| configured.cloud.clone()),
        site: settings
            .site_url
            .clone()
            .unwrap_or_else(|| configured.site.clone()),
    }
}
