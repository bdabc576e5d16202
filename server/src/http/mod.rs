//! Bytes in and out: the listener, every HTTP route, and the WebSocket handshake.
//!
//! Entry points: [`Http::serve`] accepts connections, `routes.rs` lists every route, `around.rs` is what happens to
//! each request before and after its route, and `respond.rs` is where errors of the other rooms become answers. What
//! is said on a socket after its handshake is left to whoever implements [`WebSockets`].

mod around;
mod body;
mod budget;
mod calls;
mod client_version;
mod cors;
mod credentials;
mod dev;
mod health;
mod metrics;
mod open_api;
mod options;
mod pace;
mod respond;
mod routes;
mod serve;
mod site;
mod snapshots;
mod stall;
#[cfg(test)]
mod tests;
mod upgrade;

use std::sync::Arc;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use client_version::ClientVersion;
pub use health::Health;
pub use options::{HttpOptions, open_files_max};
pub use serve::bind;
pub use site::Asset;

use crate::auth::{Authenticator, DevIssuer};
use crate::functions::{BoxFuture, Functions};
use crate::provisioning::Gate;
use crate::subscriptions::LiveQueries;
use budget::BodyBudget;
use metrics::HttpMetrics;
use site::Site;

/// A socket after its WebSocket handshake: bytes both ways, still to be framed. Reads that arrived with the handshake
/// come first.
pub type UpgradedIo = TokioIo<Upgraded>;

/// Who talks on WebSockets.
pub trait WebSockets: Send + Sync {
    /// Serves one socket, whose handshake is done, to its end. When the deployment drains it ends its sockets itself;
    /// a socket that outlives [`HttpOptions::drain_timeout`] is dropped.
    fn serve(&self, io: UpgradedIo, client: ClientVersion) -> BoxFuture<()>;

    /// Whether there is room for one more socket. Where there is none the handshake is answered 503.
    fn has_room(&self) -> bool;
}

/// What the HTTP room uses.
pub struct HttpParts {
    /// Runs functions.
    pub functions: Arc<Functions>,
    /// Answers queries, from the shared results where it can.
    pub live: Arc<LiveQueries>,
    /// Lets identities in.
    pub gate: Arc<Gate>,
    /// Verifies auth tokens and admin keys.
    pub authenticator: Arc<Authenticator>,
    /// Takes sockets over.
    pub web_sockets: Arc<dyn WebSockets>,
    /// Signs in anyone who asks, in development. Its routes exist only with it.
    pub dev_issuer: Option<Arc<DevIssuer>>,
    /// What `/healthz` says.
    pub health: watch::Receiver<Health>,
    /// All metrics of the deployment; the room adds its own and serves the whole at `/metrics`.
    pub metrics: Arc<Mutex<Registry>>,
    /// Static files of the app.
    pub site: Vec<Asset>,
}

/// The HTTP side of a deployment.
pub struct Http {
    functions: Arc<Functions>,
    live: Arc<LiveQueries>,
    gate: Arc<Gate>,
    authenticator: Arc<Authenticator>,
    web_sockets: Arc<dyn WebSockets>,
    dev_issuer: Option<Arc<DevIssuer>>,
    health: watch::Receiver<Health>,
    registry: Arc<Mutex<Registry>>,
    metrics: HttpMetrics,
    site: Site,
    options: HttpOptions,
    /// Function requests that may run at the same time.
    slots: Arc<Semaphore>,
    /// Bytes of request bodies held at the same time.
    budget: BodyBudget,
    /// Connections, sockets and actions under way. They end before `serve` does.
    tasks: TaskTracker,
    /// Ends those that did not end by themselves in time.
    abort: CancellationToken,
}

impl Http {
    /// The HTTP side over `parts`. Nothing is listened to before [`Http::serve`].
    pub fn new(parts: HttpParts, options: HttpOptions) -> Arc<Http> {
        let HttpParts { functions, live, gate, authenticator, web_sockets, dev_issuer, health, metrics, site } = parts;
        let counters = HttpMetrics::register(&mut metrics.lock());
        Arc::new(Http {
            functions,
            live,
            gate,
            authenticator,
            web_sockets,
            dev_issuer,
            health,
            registry: metrics,
            metrics: counters,
            site: Site::new(site),
            slots: Arc::new(Semaphore::new(options.requests_max)),
            budget: BodyBudget::new(options.body_bytes_total_max),
            options,
            tasks: TaskTracker::new(),
            abort: CancellationToken::new(),
        })
    }
}
