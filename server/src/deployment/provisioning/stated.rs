//! The source of the provisioning rules: the server's own program, or the deployment, whose variables give way to flags
//! of the server.

use super::check::CallableMutations;
use super::error::RulesError;
use super::{PROVISION_WHEN, PROVISION_WITH, ProvisioningRules};
use crate::database::Catalog;
use crate::deployment::{Deployment, Variables};

/// The source of the provisioning rules.
#[derive(Clone, Debug, PartialEq)]
pub enum Stated {
    /// The program states the rules, once and for all.
    ByProgram(ProvisioningRules),
    /// The deployment's variables state the rules, unless a flag goes before one.
    ByDeployment {
        /// The flag that goes before [`PROVISION_WITH`].
        with: Option<String>,
        /// The flag that goes before [`PROVISION_WHEN`].
        when: Option<String>,
    },
}

impl Stated {
    /// The deployment's variables alone state the rules.
    pub fn by_variables() -> Stated {
        Stated::ByDeployment {
            with: None,
            when: None,
        }
    }

    /// The rules in a deployment with `variables`.
    pub fn rules(&self, variables: &Variables) -> Result<ProvisioningRules, RulesError> {
        match self {
            Stated::ByProgram(rules) => Ok(rules.clone()),
            Stated::ByDeployment { with, when } => {
                let with = with.as_deref().or_else(|| variables.get(PROVISION_WITH));
                let when = when.as_deref().or_else(|| variables.get(PROVISION_WHEN));
                ProvisioningRules::parse(with, when)
            }
        }
    }

    /// Checks a push: what is said must be possible in `next`. `functions` and `catalog` are those that it brings.
    pub fn check_push(
        &self,
        next: &Deployment,
        functions: &dyn CallableMutations,
        catalog: &Catalog,
    ) -> Result<(), RulesError> {
        self.rules(&next.variables)?
            .check_against(functions, catalog)
    }

    /// Checks a change of variables from those of `live` to `after`. Before the first push every value is taken.
    pub fn check_change(
        &self,
        live: &Deployment,
        after: &Variables,
        functions: &dyn CallableMutations,
        catalog: &Catalog,
    ) -> Result<(), RulesError> {
        let names = [PROVISION_WITH, PROVISION_WHEN];
        let changes = |name: &&str| live.variables.get(name) != after.get(name);
        let mut changed = names.into_iter().filter(changes).peekable();
        if changed.peek().is_none() {
            return Ok(());
        }
        for name in changed.filter(|name| after.get(name).is_some()) {
            self.check_is_free(name, after)?;
        }
        match live.push {
            Some(_) => self.rules(after)?.check_against(functions, catalog),
            None => Ok(()),
        }
    }

    /// Checks what is stored when the server starts.
    pub fn check_start(&self, variables: &Variables) -> Result<(), RulesError> {
        let stored = [PROVISION_WITH, PROVISION_WHEN];
        let stored = stored
            .into_iter()
            .find(|name| variables.get(name).is_some());
        match self {
            Stated::ByProgram(_) => match stored {
                Some(name) => Err(RulesError::ProgramSays(name)),
                None => Ok(()),
            },
            // A flag that changed goes before what was set under another one.
            Stated::ByDeployment { .. } => Ok(()),
        }
    }

    fn check_is_free(&self, name: &'static str, after: &Variables) -> Result<(), RulesError> {
        let flag = match self {
            Stated::ByProgram(_) => return Err(RulesError::ProgramSays(name)),
            Stated::ByDeployment { with, when } => match name {
                PROVISION_WITH => with,
                _ => when,
            },
        };
        match flag {
            Some(flag) if after.get(name) != Some(flag) => Err(RulesError::FlagGiven {
                variable: name,
                flag: flag.clone(),
            }),
            Some(_) | None => Ok(()),
        }
    }
}
