//! The provisioning room: the steps for an identity happen before any function runs as it. A mutation runs once,
//! or a document is there that a webhook makes, or both: the program or the deployment says so ([`Stated`]).
//!
//! A connection or an HTTP request with a verified identity asks [`Gate::admit`]. It gets a [`Caller`] with the proof
//! that the identity's provisioning committed, or the reason why not. The asker holds back its calls meanwhile.

mod gate;
mod lobby;
mod looks;
mod metrics;
mod new_users;
mod outcome;
mod plan;
mod runs;
mod single_flight;
#[cfg(test)]
mod tests;
mod waiting;

pub use gate::{Admission, CONNECTION_PATIENCE, Checks, Gate, GateOptions, REQUEST_PATIENCE};
pub use lobby::{REFUSED_AFTER, WAITING_MAX};
pub use looks::{SCANNED_MAX, functions};
pub use metrics::GateMetrics;
pub use outcome::{Unprovisioned, not_provisioned};
pub use waiting::Waiting;

pub use crate::deployment::provisioning::{ProvisioningRules, Stated};
