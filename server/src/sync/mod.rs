//! The sync room: one connection's life, from its first message to its close, in Convex's sync protocol.
//!
//! A connection is one task. It reads messages in order and keeps the client's known state (query set, identity and
//! timestamp). It sends a Transition whenever all its queries are answered at one timestamp. Work that needs an
//! identity waits behind the gate until the identity is provisioned.

mod budget;
mod connection;
mod gatekeeper;
mod held_mutations;
mod inbound;
mod mailbox;
mod metrics;
mod options;
mod outbound;
mod query_set;
mod respond;
mod socket;
#[cfg(test)]
mod tests;
mod told;

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::RngCore;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

pub use metrics::SyncMetrics;
pub use options::SyncOptions;

use budget::Purses;
use held_mutations::HeldMutations;

use crate::auth::Authenticator;
use crate::clock::{Clock, timeout};
use crate::functions::Functions;
use crate::provisioning::Gate;
use crate::subscriptions::LiveQueries;

/// Abilities of a connection's client beyond the protocol's first version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientFeatures {
    /// It puts long Transitions together from chunks.
    pub transition_chunks: bool,
}

/// The state that every connection uses.
pub struct Connections {
    functions: Arc<Functions>,
    live: Arc<LiveQueries>,
    gate: Arc<Gate>,
    authenticator: Arc<Authenticator>,
    clock: Arc<dyn Clock>,
    options: SyncOptions,
    /// The budget of messages that are half received or in use.
    inbound: Purses,
    /// The budget of calls behind closed gates.
    held: Purses,
    held_mutations: HeldMutations,
    /// The budget of watched queries.
    watched: Purses,
    metrics: Arc<SyncMetrics>,
    request_ids: Mutex<Box<dyn RngCore + Send>>,
    shutdown: CancellationToken,
    /// Ends the actions that have not ended by themselves.
    abort: CancellationToken,
    /// Connections and actions under way.
    tasks: TaskTracker,
}

/// The arguments of [`Connections::new`].
pub struct ConnectionsParts {
    pub functions: Arc<Functions>,
    pub live: Arc<LiveQueries>,
    pub gate: Arc<Gate>,
    pub authenticator: Arc<Authenticator>,
    pub clock: Arc<dyn Clock>,
    pub options: SyncOptions,
    pub metrics: Arc<SyncMetrics>,
    pub rng: Box<dyn RngCore + Send>,
}

/// The other end of a socket, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Where it is.
    pub ip: Option<IpAddr>,
    /// Its `User-Agent` header.
    pub user_agent: Option<Arc<str>>,
}

impl Connections {
    /// No connections yet.
    pub fn new(parts: ConnectionsParts) -> Arc<Connections> {
        let ConnectionsParts {
            functions,
            live,
            gate,
            authenticator,
            clock,
            options,
            metrics,
            rng,
        } = parts;
        Arc::new(Connections {
            functions,
            live,
            gate,
            authenticator,
            clock,
            inbound: Purses::new(
                options.inbound_bytes_total_max,
                options.inbound_bytes_address_max,
            ),
            held: Purses::new(options.held_bytes_total_max, options.held_bytes_total_max),
            held_mutations: HeldMutations::default(),
            watched: Purses::new(
                options.query_set_bytes_total_max,
                options.query_set_bytes_address_max,
            ),
            options,
            metrics,
            request_ids: Mutex::new(rng),
            shutdown: CancellationToken::new(),
            abort: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// Whether errors show clients no more than a request id, as in production: by whatever transport they come.
    pub fn redacts(&self) -> bool {
        self.options.redact
    }

    /// Whether another connection may be opened.
    pub fn has_room(&self) -> bool {
        !self.shutdown.is_cancelled()
            && self.metrics.connections.get() < self.options.connections_max as i64
    }

    /// Serves an upgraded socket until it closes.
    pub async fn serve<S>(self: Arc<Self>, io: S, features: ClientFeatures, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let tracker = self.tasks.clone();
        let span = tracing::info_span!("connection");
        // In a box: awaiting a future by value makes room for it twice, and each connection keeps its room for as long
        // as it lives.
        let running = Box::pin(connection::run(self, io, features, peer));
        tracker.track_future(running).instrument(span).await;
    }

    /// Asks every connection to finish what it was given, then to close, and waits until all have. Actions that go on
    /// for longer than [`SyncOptions::drain_max`] are cut off.
    pub async fn drain(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        if timeout(&*self.clock, self.options.drain_max, self.tasks.wait())
            .await
            .is_none()
        {
            self.abort.cancel();
            self.tasks.wait().await;
        }
    }

    /// An id for the text of one error: 16 hexadecimal digits.
    fn request_id(&self) -> String {
        format!("{:016x}", self.request_ids.lock().next_u64())
    }
}
