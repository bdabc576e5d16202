//! Which mutations of an app look as if they provision a user: best effort, for a warning that says so.

use std::collections::BTreeMap;

use super::{PROVISION_WHEN, PROVISION_WITH, Stated};
use crate::deployment::{Deployment, FunctionKind, ModuleEnvironment, PushedFunction};

/// Mutations that a warning names.
pub const CANDIDATES_MAX: usize = 8;

/// How functions ask who calls: of Convex itself, and of its auth library.
const ASKS: [&str; 2] = ["getUserIdentity", "getAuthUserId"];
/// How they make a document.
const INSERTS: &str = ".insert(";
/// Names that such mutations have in many apps, in lower case.
const COMMON_NAMES: [&str; 15] = [
    "store",
    "storeuser",
    "ensure",
    "ensureuser",
    "createuser",
    "createorgetuser",
    "getorcreate",
    "getorcreateuser",
    "createorupdateuser",
    "createcurrentuser",
    "upsertuser",
    "upsertcurrentuser",
    "upsertfromclerk",
    "syncuser",
    "synccurrentuser",
];

/// Mutations that look as if they provision a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Their paths: common names first, then public ones, then by path.
    pub paths: Vec<String>,
    /// Whether only their names speak for them: names that such mutations often have.
    pub is_by_name: bool,
}

/// Looks for candidates in the sources of a deployment's modules, by path. A module whose source is not given is judged by
/// the names of its functions.
pub fn candidates(deployment: &Deployment, sources: &BTreeMap<String, &str>) -> Candidates {
    let mut mutations: Vec<&PushedFunction> = deployment
        .functions
        .values()
        .map(|function| &**function)
        .filter(|function| function.kind == FunctionKind::Mutation)
        .filter(|function| function.environment == ModuleEnvironment::Isolate)
        .collect();
    // The first is the one that the log's command names.
    mutations.sort_by_key(|function| {
        let is_internal = function.visibility != crate::deployment::Visibility::Public;
        (
            !has_common_name(function),
            is_internal,
            function.path.clone(),
        )
    });
    let found = |does: &dyn Fn(&PushedFunction) -> bool| -> Vec<String> {
        let found = mutations.iter().filter(|function| does(function));
        let paths = found.map(|function| function.path.to_string());
        paths.take(CANDIDATES_MAX).collect()
    };
    let by_source = found(&|function| {
        let source = sources.get(function.path.module_file());
        source.is_some_and(|source| makes_a_user(function, source, &mutations, sources))
    });
    if !by_source.is_empty() {
        return Candidates {
            paths: by_source,
            is_by_name: false,
        };
    }
    Candidates {
        paths: found(&has_common_name),
        is_by_name: true,
    }
}

fn has_common_name(function: &PushedFunction) -> bool {
    let name = function.path.function().to_lowercase();
    COMMON_NAMES.contains(&name.as_str())
}

/// Whether a function inserts, and asks who calls, by itself or by what it imports.
fn makes_a_user(
    function: &PushedFunction,
    source: &str,
    all: &[&PushedFunction],
    sources: &BTreeMap<String, &str>,
) -> bool {
    let own = own_text(function, source, all);
    let imported = sources.iter().filter(|(path, _)| {
        let name = path.rsplit('/').next().unwrap_or(path);
        path.as_str() != function.path.module_file() && source.contains(name)
    });
    let asks = |text: &str| ASKS.iter().any(|ask| text.contains(ask));
    let asks = asks(own) || imported.map(|(_, text)| *text).any(asks);
    asks && own.contains(INSERTS)
}

/// The part of a module's source that is the function's: from where its name is bound to where the next one's is.
fn own_text<'s>(function: &PushedFunction, source: &'s str, all: &[&PushedFunction]) -> &'s str {
    let module = function.path.module_file();
    let bound = |name: &str| {
        let spellings = [format!("{name} = "), format!("{name}=")];
        spellings.iter().filter_map(|text| source.find(text)).min()
    };
    let Some(begin) = bound(function.path.function()) else {
        return source;
    };
    let others = all
        .iter()
        .filter(|other| other.path.module_file() == module);
    let ends = others.filter_map(|other| bound(other.path.function()));
    let end = ends.filter(|end| *end > begin).min();
    &source[begin..end.unwrap_or(source.len())]
}

impl Stated {
    /// The warning for an app that signs users in and does not say how they become provisioned.
    pub fn warning(
        &self,
        deployment: &Deployment,
        sources: &BTreeMap<String, &str>,
    ) -> Option<String> {
        let rules = self.rules(&deployment.variables).ok()?;
        if deployment.auth.is_none() || !rules.is_unsaid() {
            return None;
        }
        let Candidates { paths, is_by_name } = candidates(deployment, sources);
        let example = paths.first().map_or("users:store", String::as_str);
        let found = match (paths.is_empty(), is_by_name) {
            (true, _) => "No mutation of this app looks like one that makes users.".to_owned(),
            (false, true) => format!(
                "By their names these may make users (a guess): {}.",
                paths.join(", ")
            ),
            (false, false) => format!(
                "These look as if they make users (a guess from their source): {}.",
                paths.join(", ")
            ),
        };
        Some(format!(
            "This app signs people in and does not say how a user comes to exist, so a first visit may find no user. {found} \
             Name it with `npx convex env set {PROVISION_WITH} {example}`; where a webhook makes users, name their index with \
             `npx convex env set {PROVISION_WHEN} users.by_clerk_id:subject`; where nothing has to be made, set \
             {PROVISION_WITH} to none."
        ))
    }
}
