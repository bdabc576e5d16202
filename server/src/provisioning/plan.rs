//! The steps for an identity that comes now, by the deployment's current rules.

use std::sync::Arc;

use parking_lot::Mutex;
use vestibule_schema::timestamp::Timestamp;

use crate::database::Definitions;
use crate::deployment::provisioning::{DocumentRule, MutationRule, RulesError, Stated};
use crate::functions::{Functions, Registry};

/// The steps for an identity.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plan {
    /// Nothing.
    Nothing,
    Steps(Steps),
    /// Something that is not possible, in the sentence that says why: a push will have to make it so.
    Unmet(String),
}

/// The mutation comes first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Steps {
    pub mutation: Option<MutationRule>,
    pub document: Option<DocumentRule>,
}

/// Makes plans, and remembers the newest.
pub(super) struct Planner {
    stated: Stated,
    newest: Mutex<Option<(Arc<Definitions>, Arc<Plan>)>>,
}

impl Plan {
    /// The plan of `stated` with `definitions`.
    pub fn of(stated: &Stated, definitions: &Definitions) -> Plan {
        Plan::with_variables_of(stated, definitions, definitions)
    }

    /// The plan of one state's variables with the functions and tables of another.
    fn with_variables_of(stated: &Stated, said: &Definitions, there: &Definitions) -> Plan {
        let variables = &Registry::of(said).deployment().variables;
        let resolved = stated.rules(variables).and_then(|rules| {
            let resolved = rules.resolve(Registry::of(there), &there.catalog)?;
            Ok::<_, RulesError>(Steps {
                mutation: resolved.mutation.cloned(),
                document: resolved.document.cloned(),
            })
        });
        match resolved {
            Ok(Steps {
                mutation: None,
                document: None,
            }) => Plan::Nothing,
            Ok(steps) => Plan::Steps(steps),
            Err(error) => Plan::Unmet(error.to_string()),
        }
    }

    /// The mutation, if one has to run.
    pub fn mutation(&self) -> Option<&MutationRule> {
        match self {
            Plan::Steps(steps) => steps.mutation.as_ref(),
            Plan::Nothing | Plan::Unmet(_) => None,
        }
    }

    /// Whether something is up to others: a document, or a push.
    pub fn is_up_to_others(&self) -> bool {
        match self {
            Plan::Nothing => false,
            Plan::Steps(steps) => steps.document.is_some(),
            Plan::Unmet(_) => true,
        }
    }
}

impl Planner {
    pub fn new(stated: Stated) -> Planner {
        Planner {
            stated,
            newest: Mutex::default(),
        }
    }

    /// The plan as of the newest durable commit.
    pub fn newest(&self, functions: &Functions) -> Arc<Plan> {
        let definitions = functions.database().definitions();
        let mut newest = self.newest.lock();
        if let Some((of, plan)) = &*newest
            && Arc::ptr_eq(of, &definitions)
        {
            return plan.clone();
        }
        let plan = Arc::new(Plan::of(&self.stated, &definitions));
        *newest = Some((definitions, plan.clone()));
        plan
    }

    /// The plan of the current rules, with the functions and tables of an older state.
    pub fn at(&self, functions: &Functions, ts: Timestamp) -> Plan {
        let said = functions.database().definitions();
        let there = functions.database().environment().definitions.at(ts);
        Plan::with_variables_of(&self.stated, &said, &there)
    }
}
