//! How identities become provisioned in a deployment: two variables, or flags of the server. They name a mutation to
//! run, a document to wait for, or both. The variables are parsed and checked here; the gate applies them.
//!
//! | variable | as in |
//! | --- | --- |
//! | `VESTIBULE_PROVISION_WITH` | `users:store`, `users:store {"name":"$name"}`, `users:store\|users:ensure`, `none` |
//! | `VESTIBULE_PROVISION_WHEN` | `users.by_clerk_id:subject` |

mod arguments;
mod candidates;
mod check;
mod error;
mod parse;
mod stated;
#[cfg(test)]
mod tests;

use vestibule_schema::identity::Identity;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::value::{Object, Value};

#[cfg(test)]
pub use candidates::{Candidates, candidates};
pub use check::{Callable, CallableMutations};
pub use error::RulesError;
pub use stated::Stated;

use arguments::Template;

/// The variable that names the mutation which provisions an identity.
pub const PROVISION_WITH: &str = "VESTIBULE_PROVISION_WITH";
/// The variable that names the index in which a provisioned identity has a document.
pub const PROVISION_WHEN: &str = "VESTIBULE_PROVISION_WHEN";
/// Alternatives of one variable.
pub const ALTERNATIVES_MAX: usize = 16;

/// The rules of the two variables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProvisioningRules {
    with: With,
    when: Vec<DocumentRule>,
}

/// The rule of the first variable.
#[derive(Clone, Debug, Default, PartialEq)]
enum With {
    #[default]
    Unsaid,
    /// There is nothing to provision.
    Nothing,
    /// The first of these that exists.
    Mutations(Vec<MutationRule>),
}

/// A mutation that provisions an identity, and what it is called with.
#[derive(Clone, Debug, PartialEq)]
pub struct MutationRule {
    /// The mutation.
    pub path: FunctionPath,
    arguments: Option<Template>,
}

/// An index in which a provisioned identity has a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentRule {
    /// The table.
    pub table: String,
    /// Its index.
    pub index: String,
    /// The claim that the index's first field equals.
    pub claim: String,
}

impl ProvisioningRules {
    /// Nothing has to happen for an identity.
    pub fn nothing() -> ProvisioningRules {
        ProvisioningRules {
            with: With::Nothing,
            when: Vec::new(),
        }
    }

    /// This mutation runs for an identity, without arguments.
    pub fn mutation(path: FunctionPath) -> ProvisioningRules {
        let rule = MutationRule {
            path,
            arguments: None,
        };
        ProvisioningRules {
            with: With::Mutations(vec![rule]),
            when: Vec::new(),
        }
    }

    /// Whether no variable or flag says how identities become provisioned.
    pub fn is_unsaid(&self) -> bool {
        self.with == With::Unsaid && self.when.is_empty()
    }

    /// The modules of which the rules name a function, as paths of files.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        let mutations = match &self.with {
            With::Mutations(mutations) => &mutations[..],
            With::Unsaid | With::Nothing => &[],
        };
        mutations.iter().map(|rule| rule.path.module_file())
    }
}

impl MutationRule {
    /// Its arguments for `identity`. A claim that the token lacks leaves its field out.
    pub fn arguments_for(&self, identity: &Identity) -> Value {
        let arguments = self.arguments.as_ref();
        Value::Object(arguments.map_or_else(Object::new, |template| template.fill(identity)))
    }
}

impl DocumentRule {
    /// The value that the first field of the index must equal; `None` where the token lacks the claim.
    pub fn value_for(&self, identity: &Identity) -> Option<Value> {
        claim(identity, &self.claim)
    }
}

impl std::fmt::Display for DocumentRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.table, self.index)
    }
}

/// A claim of an identity under the name that `getUserIdentity()` gives it.
fn claim(identity: &Identity, name: &str) -> Option<Value> {
    match name {
        "subject" => Some(identity.subject.as_str().into()),
        "issuer" => Some(identity.issuer.as_str().into()),
        "tokenIdentifier" => Some(identity.token_identifier.as_str().into()),
        _ => identity.attributes.get(name).cloned(),
    }
}
