//! The reasons why an identity was not let in, and their names for clients.

use vestibule_schema::object;
use vestibule_schema::value::Value;

use crate::deployment::provisioning::PROVISION_WITH;
use crate::functions::Thrown;

/// Why an identity was not let in.
#[derive(Clone, Debug, PartialEq)]
pub enum Unprovisioned {
    /// The provisioning function threw: the app said no, and trying again with the same token will not help.
    Refused(Thrown),
    /// Storage, a time limit or overload got in the way; trying again may help.
    Failed {
        /// The obstacle, for the server's log.
        reason: String,
    },
    /// A document or rule made elsewhere, by a webhook or a push, is not there yet; trying again may help.
    Missing {
        /// The missing part, for the server's log.
        reason: String,
    },
    /// As [`Unprovisioned::Missing`], and it has been waited for so long that it will not come.
    NeverCame {
        /// The missing part, for the app's developer.
        reason: String,
    },
}

impl Unprovisioned {
    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Unprovisioned::Refused(_) | Unprovisioned::NeverCame { .. } => "refused",
            Unprovisioned::Failed { .. } => "failed",
            Unprovisioned::Missing { .. } => "missing",
        }
    }

    /// The word for clients that are to try again.
    pub fn try_again_code(&self) -> &'static str {
        match self {
            Unprovisioned::Missing { .. } => "ProvisioningMissing",
            Unprovisioned::Refused(_)
            | Unprovisioned::NeverCame { .. }
            | Unprovisioned::Failed { .. } => "ProvisioningFailed",
        }
    }

    /// The error for a refused identity's calls; `None` where trying again may help. `waiting` are the paths of the
    /// calls that waited: one of them may make the user, and then it has waited for itself.
    pub fn refusal(&self, waiting: &[String]) -> Option<Thrown> {
        match self {
            Unprovisioned::Refused(thrown) => Some(thrown.clone()),
            Unprovisioned::NeverCame { reason } => Some(never_came(reason, waiting)),
            Unprovisioned::Failed { .. } | Unprovisioned::Missing { .. } => None,
        }
    }
}

/// A call that does not run because its identity was not let in, or is no longer its connection's. It is an application
/// error with the provisioning function's own data.
pub fn not_provisioned(reason: &str, data: Option<Value>) -> Thrown {
    let data = object! {
        "code" => "NotProvisioned",
        "reason" => reason,
        "data" => data.unwrap_or(Value::Null),
    };
    Thrown {
        message: format!("The call did not run: the user was not provisioned ({reason})."),
        data: Some(Value::Object(data)),
        is_fault: false,
    }
}

fn never_came(reason: &str, waiting: &[String]) -> Thrown {
    let calls = match waiting {
        [] => String::new(),
        waiting => format!(" These calls waited for it: {}.", waiting.join(", ")),
    };
    let message = format!(
        "No user came to exist for this identity: {reason}.{calls} Where a call of the user's own makes it, name that \
         mutation in {PROVISION_WITH}; where nothing has to be made, set that to none."
    );
    tracing::warn!(message, "an identity was waited for in vain");
    let waiting = waiting.iter().map(|path| Value::from(path.as_str()));
    let data = object! {
        "code" => "UserMissing",
        "waiting" => Value::Array(waiting.collect()),
    };
    Thrown {
        message,
        data: Some(Value::Object(data)),
        is_fault: false,
    }
}

/// The refusal of a token that lacks the claim by which users are found.
pub(super) fn claim_missing(index: &str, claim: &str) -> Unprovisioned {
    let data = object! { "code" => "ClaimMissing", "claim" => claim };
    Unprovisioned::Refused(Thrown {
        message: format!(
            "The auth token has no claim \"{claim}\", by which {index} finds its user."
        ),
        data: Some(Value::Object(data)),
        is_fault: false,
    })
}
