//! The provisioning room: `ensureUser` runs once for an identity before anything else runs as it.
//!
//! Whoever holds a verified identity, a connection or an HTTP request, asks [`Gate::admit`] and gets a [`Caller`] with
//! the proof that the identity's provisioning committed, or the reason why not. What to hold back meanwhile is the
//! asker's part.

mod flights;
mod gate;
mod metrics;
mod new_users;
#[cfg(test)]
mod tests;

pub use gate::{Checks, Gate, GateOptions, Unprovisioned};
pub use metrics::GateMetrics;
