//! Errors of the provisioning rules.

use thiserror::Error;

use super::{ALTERNATIVES_MAX, PROVISION_WHEN, PROVISION_WITH};

/// A fault of the provisioning rules, in the sentence that a push, `env set` and a start answer with.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RulesError {
    #[error(
        "{PROVISION_WITH} is not usable: {0:?} is not the path of a mutation, as in users:store ({1})."
    )]
    Path(String, String),
    #[error(
        "{PROVISION_WITH} is not usable: {0:?} is in a component, and only functions of the app itself can provision its users."
    )]
    Component(String),
    #[error(
        "{PROVISION_WITH} is not usable: the arguments behind {path} are not an object in JSON ({reason})."
    )]
    Arguments { path: String, reason: String },
    #[error(
        "{variable} is not usable: there must be a | between two alternatives, and nothing behind {after:?} but that."
    )]
    Separator {
        variable: &'static str,
        after: String,
    },
    #[error("{0} is not usable: it has more than {ALTERNATIVES_MAX} alternatives.")]
    TooMany(&'static str),
    #[error(
        "{PROVISION_WHEN} is not usable: {0:?} does not name an index and a claim, as in users.by_clerk_id:subject."
    )]
    Document(String),
    #[error(
        "{PROVISION_WITH} is none, which says that there is nothing to provision, and {PROVISION_WHEN} says what to wait for: remove one of them."
    )]
    Contradiction,
    #[error(
        "{PROVISION_WITH} names {0}, and there is no such function. Push it, or name the mutation that makes a user's document."
    )]
    NoFunction(String),
    #[error(
        "{PROVISION_WITH} names {path}, which is a {kind}: only a mutation can provision a user."
    )]
    NotAMutation { path: String, kind: &'static str },
    #[error(
        "{PROVISION_WITH} names {path}, which needs the argument {field}: write its arguments behind it, as in {path} {{\"{field}\":\"$claim\"}}."
    )]
    ArgumentMissing { path: String, field: String },
    #[error("{PROVISION_WITH} gives {path} the argument {field}, which it does not take.")]
    ArgumentUnknown { path: String, field: String },
    #[error("{PROVISION_WITH} gives {path} arguments that it does not take: {reason}")]
    ArgumentWrong { path: String, reason: String },
    #[error("{PROVISION_WHEN} names {index}, and there is no table {table}.")]
    NoTable { index: String, table: String },
    #[error("{PROVISION_WHEN} names {0}, and there is no such index.")]
    NoIndex(String),
    #[error(
        "{PROVISION_WHEN} names {0}, which is a staged index: queries cannot use it yet, nor can the gate."
    )]
    StagedIndex(String),
    #[error(
        "{variable} is set by a flag of the server to {flag:?}, which goes before the variable: change the flag, or set the variable to the same."
    )]
    FlagGiven {
        variable: &'static str,
        flag: String,
    },
    #[error(
        "{0} cannot be set: the server's own program says how its users are provisioned, with `provision_with` or `without_provisioning`."
    )]
    ProgramSays(&'static str),
}

impl RulesError {
    /// The code that tools see.
    pub fn code(&self) -> &'static str {
        "InvalidProvisioning"
    }
}
