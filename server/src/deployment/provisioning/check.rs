//! Checking the names in the rules against the existing functions and tables.

use vestibule_schema::id::TableNumber;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::table::IndexMethod;
use vestibule_schema::validator::{Field, TableNames, Validator};
use vestibule_schema::value::Value;

use super::arguments::{Part, Template};
use super::error::RulesError;
use super::{DocumentRule, MutationRule, ProvisioningRules, With};
use crate::database::{Catalog, TableMeta};
use crate::deployment::FunctionKind;

/// The parts of a function that the rules need.
pub struct Callable<'f> {
    /// Its kind.
    pub kind: FunctionKind,
    /// The validator of its arguments.
    pub args: &'f Validator,
}

/// All functions, native and pushed.
pub trait CallableMutations {
    /// The function at `path`, public or internal.
    fn callable(&self, path: &FunctionPath) -> Option<Callable<'_>>;
}

/// The rules after a check against functions and tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved<'r> {
    /// The mutation that runs first.
    pub mutation: Option<&'r MutationRule>,
    /// The document that must exist then.
    pub document: Option<&'r DocumentRule>,
}

impl ProvisioningRules {
    /// Checks that one alternative of each exists and can be used: what a push and `env set` ask.
    pub fn check_against(
        &self,
        functions: &dyn CallableMutations,
        catalog: &Catalog,
    ) -> Result<(), RulesError> {
        self.resolve(functions, catalog).map(drop)
    }

    /// The first alternative of each that can be used. The error is that of the last.
    pub fn resolve(
        &self,
        functions: &dyn CallableMutations,
        catalog: &Catalog,
    ) -> Result<Resolved<'_>, RulesError> {
        let mutations = match &self.with {
            With::Mutations(mutations) => &mutations[..],
            With::Unsaid | With::Nothing => &[],
        };
        Ok(Resolved {
            mutation: first(mutations, |rule| check_mutation(rule, functions))?,
            document: first(&self.when, |rule| check_document(rule, catalog))?,
        })
    }
}

fn first<T>(
    alternatives: &[T],
    check: impl Fn(&T) -> Result<(), RulesError>,
) -> Result<Option<&T>, RulesError> {
    let mut refused = None;
    for alternative in alternatives {
        match check(alternative) {
            Ok(()) => return Ok(Some(alternative)),
            // An alternative that exists and is wrong says more than one that does not exist.
            Err(error) => refused = Some(telling(refused, error)),
        }
    }
    refused.map_or(Ok(None), Err)
}

fn telling(known: Option<RulesError>, new: RulesError) -> RulesError {
    let is_absence = |error: &RulesError| {
        matches!(
            error,
            RulesError::NoFunction(_) | RulesError::NoTable { .. } | RulesError::NoIndex(_)
        )
    };
    match known {
        Some(known) if is_absence(&new) || !is_absence(&known) => known,
        Some(_) | None => new,
    }
}

fn check_mutation(
    rule: &MutationRule,
    functions: &dyn CallableMutations,
) -> Result<(), RulesError> {
    let path = || rule.path.to_string();
    let function = functions
        .callable(&rule.path)
        .ok_or_else(|| RulesError::NoFunction(path()))?;
    if function.kind != FunctionKind::Mutation {
        return Err(RulesError::NotAMutation {
            path: path(),
            kind: function.kind.name(),
        });
    }
    check_arguments(rule, function.args)
}

/// Checks the facts known before any login: the fields that exist, and the values of those that are not claims.
fn check_arguments(rule: &MutationRule, validator: &Validator) -> Result<(), RulesError> {
    let path = rule.path.to_string();
    let nothing = Template::default();
    let given = rule.arguments.as_ref().unwrap_or(&nothing);
    let Validator::Object(fields) = validator else {
        // It takes anything, or one of several objects: the call finds out.
        return Ok(());
    };
    let unknown = given
        .fields()
        .keys()
        .find(|name| !fields.contains_key(*name));
    if let Some(field) = unknown.cloned() {
        return Err(RulesError::ArgumentUnknown { path, field });
    }
    for (name, field) in fields {
        match given.fields().get(name) {
            None if !field.optional => {
                let field = name.clone();
                return Err(RulesError::ArgumentMissing { path, field });
            }
            None => {}
            Some(part) => check_part(part, field).map_err(|reason| {
                let path = path.clone();
                RulesError::ArgumentWrong { path, reason }
            })?,
        }
    }
    Ok(())
}

fn check_part(part: &Part, field: &Field) -> Result<(), String> {
    let checked = match part {
        Part::Literal(value) => field.validator.check(value, &NoTables),
        // The identifying claims are always texts.
        Part::Claim(name) if ["subject", "issuer", "tokenIdentifier"].contains(&name.as_str()) => {
            field.validator.check(&Value::from(SAMPLE), &NoTables)
        }
        Part::Claim(_) | Part::Array(_) | Part::Object(_) => Ok(()),
    };
    checked.map_err(|error| error.to_string().trim_end().to_owned())
}

/// Stands for a text that is not known yet.
const SAMPLE: &str = "a claim of the token";

fn check_document(rule: &DocumentRule, catalog: &Catalog) -> Result<(), RulesError> {
    let label = || rule.to_string();
    let table = catalog
        .table(&rule.table)
        .ok_or_else(|| RulesError::NoTable {
            index: label(),
            table: rule.table.clone(),
        })?;
    match index(table, rule) {
        None => Err(RulesError::NoIndex(label())),
        Some(staged) if staged => Err(RulesError::StagedIndex(label())),
        Some(_) => Ok(()),
    }
}

/// Whether the index is staged, when there is one.
fn index(table: &TableMeta, rule: &DocumentRule) -> Option<bool> {
    let index = table.index(&rule.index)?;
    (index.method == IndexMethod::Order).then_some(index.staged)
}

/// Claims are no ids of documents.
struct NoTables;

impl TableNames for NoTables {
    fn table_number(&self, _: &str) -> Option<TableNumber> {
        None
    }

    fn table_name(&self, _: TableNumber) -> Option<&str> {
        None
    }
}
