//! What operators may bound of pushed functions.

use std::time::Duration;

use crate::outbound::OutboundOptions;

/// Bounds of JavaScript functions.
#[derive(Clone, Debug)]
pub struct JsOptions {
    /// Time in the engine that a query may take.
    pub query_time_max: Duration,
    /// Time in the engine that a mutation may take.
    pub mutation_time_max: Duration,
    /// Time that an action may take, its waits included.
    pub action_time_max: Duration,
    /// Actions that run at once; others wait.
    pub actions_max: usize,
    /// Where the requests of actions may go.
    pub outbound: OutboundOptions,
    /// Whether functions of packages that are known get native heads.
    pub native_heads: bool,
}

impl Default for JsOptions {
    fn default() -> Self {
        JsOptions {
            query_time_max: Duration::from_secs(1),
            mutation_time_max: Duration::from_secs(10),
            action_time_max: Duration::from_secs(1_800),
            actions_max: 256,
            outbound: OutboundOptions::default(),
            native_heads: true,
        }
    }
}
