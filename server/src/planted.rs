//! Bugs that can be planted, one at a time, to see that the tests would notice.
//!
//! Without the feature `planted` there are none, and every question is answered "no" at compile time. With it there
//! are still none until a program calls `plant`, which only the one that tests start as a child does.

/// What can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bug {
    /// An answer for an older identity version opens the gate of the newest.
    GateOpenedByOlderVersion,
    /// The gate opens when the provisioning function has been queued, not when it has committed.
    GateOpenedBeforeCommit,
    /// Calls that wait when somebody else signs in are kept and run as them.
    HeldCallRunsAsNextIdentity,
    /// A request sent again is answered from the record, whoever sends it.
    DedupeIgnoresIdentity,
    /// Results that depend on the identity are shared by everybody who is signed in.
    CacheKeyForgetsIdentity,
    /// An `nbf` that is no number counts as absent.
    NotBeforeOfWrongTypeSkipped,
    /// Whoever needs a provider's keys fetches them, also while somebody else does.
    RefetchWithoutSingleFlight,
    /// A request sent again runs again.
    DedupeRecordSkipped,
    /// A subscription that was removed still counts.
    SubscriptionSlotNotFreed,
}

/// Whether this bug is planted.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn is(_bug: Bug) -> bool {
    false
}

#[cfg(feature = "planted")]
pub use on::{is, plant};

#[cfg(feature = "planted")]
mod on {
    use std::sync::OnceLock;

    use super::Bug;

    static PLANTED: OnceLock<Bug> = OnceLock::new();

    /// Plants a bug in this process. The first one stays.
    pub fn plant(bug: Bug) {
        let _ = PLANTED.set(bug);
    }

    /// Whether this bug is planted.
    pub fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(&bug)
    }
}
