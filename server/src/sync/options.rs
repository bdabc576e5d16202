//! Bounds of a connection.

use std::time::Duration;

use vestibule_schema::wire::MESSAGE_BYTES_MAX;

/// Bounds and times of every connection.
#[derive(Clone, Debug)]
pub struct SyncOptions {
    /// Hide error texts and log lines from clients, as production does; over HTTP too.
    pub redact: bool,
    /// Connections at once.
    pub connections_max: usize,
    /// Bytes of one message. An official client may send all it has in one message: all its queries, when it comes
    /// back.
    pub frame_bytes_max: usize,
    /// Queries one connection may watch.
    pub subscriptions_max: usize,
    /// Bytes of the queries that one connection watches: less than a message, so that they fit one when it comes back.
    pub query_set_bytes_max: usize,
    /// The same of all connections of one address, and of all together.
    pub query_set_bytes_address_max: usize,
    pub query_set_bytes_total_max: usize,
    /// Mutations of one connection that may wait for their outcome. With more, nothing further is read from it.
    pub mutations_pending_max: usize,
    /// Actions of one connection that may run; further ones are refused, each by itself.
    pub actions_pending_max: usize,
    /// Calls that may wait behind a closed gate.
    pub held_calls_max: usize,
    /// Bytes of the messages that wait behind a closed gate.
    pub held_bytes_max: usize,
    /// The same of all connections together.
    pub held_bytes_total_max: usize,
    /// Bytes of messages that are half received, or not done with, of all connections of one address.
    pub inbound_bytes_address_max: usize,
    /// The same of all connections together.
    pub inbound_bytes_total_max: usize,
    /// How long nothing partial is sent while an identity is being provisioned, so that an ordinary login is
    /// answered whole.
    pub gate_grace: Duration,
    /// How long a connection waits for its client's first query set before it sends a Transition without.
    pub first_query_set_grace: Duration,
    /// How long the first Transition waits for mutations that a client sent again.
    pub first_mutations_grace: Duration,
    /// A Ping is sent when nothing else was for this long. Clients give up at 60 s and 30 s.
    pub ping_after: Duration,
    /// A client that has been silent for this long is asked for a sign of life …
    pub probe_after: Duration,
    /// … and dropped after this long. A long message on its way is a sign of life each time a further 256 KiB have come.
    pub silence_max: Duration,
    /// An anonymous connection without queries and calls is closed after this long.
    pub anonymous_idle_max: Duration,
    /// A client that takes nothing for this long is dropped.
    pub stall_max: Duration,
    /// How long a closing connection waits for the outcome of its mutations.
    pub drain_max: Duration,
    /// How often an admin's key is checked again.
    pub admin_recheck_after: Duration,
}

impl Default for SyncOptions {
    fn default() -> Self {
        SyncOptions {
            redact: true,
            connections_max: 65_536,
            frame_bytes_max: MESSAGE_BYTES_MAX,
            subscriptions_max: 16_384,
            query_set_bytes_max: 48 << 20,
            query_set_bytes_address_max: 256 << 20,
            query_set_bytes_total_max: 1 << 30,
            mutations_pending_max: 1_000,
            actions_pending_max: 1_000,
            held_calls_max: 1_000,
            held_bytes_max: 64 << 20,
            held_bytes_total_max: 256 << 20,
            inbound_bytes_address_max: 128 << 20,
            inbound_bytes_total_max: 256 << 20,
            gate_grace: Duration::from_millis(250),
            first_query_set_grace: Duration::from_millis(250),
            first_mutations_grace: Duration::from_millis(250),
            ping_after: Duration::from_secs(15),
            probe_after: Duration::from_secs(45),
            silence_max: Duration::from_secs(120),
            anonymous_idle_max: Duration::from_secs(300),
            stall_max: Duration::from_secs(120),
            drain_max: Duration::from_secs(5),
            admin_recheck_after: Duration::from_secs(60),
        }
    }
}

/// Transitions longer than this are sent in chunks to clients that can put them together.
pub const CHUNK_BYTES_MAX: usize = 5_000_000;
/// Longer messages are cut into WebSocket frames of this size: clients take 16 MiB a frame and 64 MiB a message.
pub const FRAGMENT_BYTES_MAX: usize = 8 << 20;
