//! Bytes in and out: the listener, every HTTP route, and the WebSocket handshake.
//!
//! Entry points: [`Http::serve`] accepts connections, and `routes.rs` lists every route. `around.rs` has the work
//! before and after each route, and `respond.rs` turns errors of the other rooms into answers. The messages on a socket
//! after its handshake are the sync room's.

mod actions;
mod around;
mod backups;
mod body;
mod budget;
mod calls;
mod client_version;
mod cors;
mod credentials;
mod deploy;
mod dev;
mod files;
mod health;
mod hosts;
mod keys;
mod lingering;
mod metrics;
mod open_api;
mod options;
mod origins;
mod pace;
mod path_text;
mod prepared;
mod ranges;
mod respond;
mod routes;
mod serve;
mod site;
mod snapshots;
mod stall;
mod streamed;
#[cfg(test)]
mod tests;
mod transfers;
mod upgrade;
mod within;

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

pub use options::{HTTP_REQUEST_BYTES_MAX, HttpOptions};
pub use origins::{OriginFault, normal_origin};
pub use serve::bind;
pub use site::Asset;

use crate::auth::{Authenticator, DevIssuer};
use crate::backup::Backups;
use crate::clock::Clock;
use crate::files::Files;
use crate::functions::{Functions, nesting};
use crate::jobs::JobsAdmin;
use crate::outbound::Own;
use crate::provisioning::Gate;
use crate::push::Pushes;
use crate::sampled::Sampled;
use crate::subscriptions::LiveQueries;
use crate::sync::Connections;
use crate::transfer::Transfers;
use budget::BodyBudget;
use health::HealthState;
use hosts::Hosts;
use metrics::HttpMetrics;
use serve::Places;
use site::Site;
use snapshots::Moved;

/// The parts that the HTTP room uses.
pub struct HttpParts {
    /// Runs functions.
    pub functions: Arc<Functions>,
    /// The deployment's files.
    pub files: Arc<Files>,
    /// Imports and exports.
    pub transfers: Arc<Transfers>,
    /// Backups.
    pub backups: Arc<Backups>,
    /// Answers queries, from the shared results where it can.
    pub live: Arc<LiveQueries>,
    /// Lets identities in.
    pub gate: Arc<Gate>,
    /// Verifies auth tokens and admin keys.
    pub authenticator: Arc<Authenticator>,
    /// Takes pushes.
    pub pushes: Arc<Pushes>,
    /// Where the server is reached.
    pub own: Arc<Own>,
    /// Takes sockets over after their handshake. It ends them itself when the deployment drains.
    pub connections: Arc<Connections>,
    /// Signs in every client that asks, in development. Its routes exist only with it.
    pub dev_issuer: Option<DevIssuer>,
    /// Static files of the app.
    pub site: Vec<Asset>,
    /// All metrics of the deployment; the room adds its own and serves the whole at `/metrics`.
    pub metrics: Registry,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Bounds and settings.
    pub options: HttpOptions,
}

/// The HTTP side of a deployment.
pub struct Http {
    functions: Arc<Functions>,
    files: Arc<Files>,
    transfers: Arc<Transfers>,
    backups: Arc<Backups>,
    live: Arc<LiveQueries>,
    gate: Arc<Gate>,
    authenticator: Arc<Authenticator>,
    pushes: Arc<Pushes>,
    own: Arc<Own>,
    connections: Arc<Connections>,
    dev_issuer: Option<DevIssuer>,
    site: Site,
    registry: Registry,
    metrics: HttpMetrics,
    health: HealthState,
    clock: Arc<dyn Clock>,
    options: HttpOptions,
    upgrade_warnings: Sampled,
    room_warnings: Sampled,
    /// Queries at a timestamp from before their caller existed.
    moved: Arc<Moved>,
    /// Called off and cleared by administrators.
    jobs: JobsAdmin,
    hosts: Hosts,
    /// Connections that may be open at the same time, of all listeners.
    places: Places,
    /// Function requests that may run at the same time.
    slots: Arc<Semaphore>,
    /// Bytes of request bodies held at the same time.
    budget: BodyBudget,
    /// Connections, sockets and actions under way. They end before `serve` does.
    tasks: TaskTracker,
    /// Ends those that did not end by themselves in time.
    abort: CancellationToken,
    /// Ends waits for news when the server ends.
    closing: CancellationToken,
}

impl Http {
    /// The HTTP side over `parts`. Nothing is listened to before [`Http::serve`].
    pub fn new(parts: HttpParts) -> Arc<Http> {
        let HttpParts {
            functions,
            files,
            transfers,
            backups,
            live,
            gate,
            authenticator,
            pushes,
            own,
            connections,
            dev_issuer,
            ..
        } = parts;
        let HttpParts {
            site,
            metrics: mut registry,
            clock,
            options,
            ..
        } = parts;
        let metrics = HttpMetrics::register(&mut registry);
        Arc::new(Http {
            jobs: JobsAdmin::new(functions.clone()),
            functions,
            files,
            transfers,
            backups,
            live,
            gate,
            authenticator,
            pushes,
            own,
            connections,
            dev_issuer,
            site: Site::new(site),
            registry,
            metrics,
            health: HealthState::default(),
            clock,
            upgrade_warnings: Sampled::default(),
            room_warnings: Sampled::default(),
            moved: Arc::default(),
            hosts: Hosts::default(),
            places: Places::new(options.connections_max),
            slots: Arc::new(Semaphore::new(options.requests_max)),
            budget: BodyBudget::new(options.body_bytes_total_max),
            options,
            tasks: TaskTracker::new(),
            abort: CancellationToken::new(),
            closing: CancellationToken::new(),
        })
    }

    /// Runs the work that the server waits for when it ends, and drops it if it takes too long; then it gives `None`.
    fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        self.spawn_on(&Handle::current(), task)
    }

    /// [`Http::spawn`] from a thread that may be none of the runtime's.
    fn spawn_on<T: Send + 'static>(
        &self,
        runtime: &Handle,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        // In a box: each layer around a future that it takes by value makes room for it again.
        let task = Box::pin(nesting::carried(task.in_current_span()));
        let abort = self.abort.clone();
        self.tasks
            .spawn_on(abort.run_until_cancelled_owned(task), runtime)
    }
}
