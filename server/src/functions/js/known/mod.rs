//! Functions of packages that are known by what they are, and get a native head.
//!
//! A package's conversion of values takes three quarters of a list query, its password hashes take seconds: in JavaScript, without a
//! compiler for it. A head is put at the beginning of a function that the table knows, by its [fingerprint](fingerprint). The head asks the
//! server. Where the server has no answer, the function goes on as if nothing had been there. An unknown version runs as it is, and counts.
//! Lines stay where they were, and columns of all lines but the first of such a function.

mod fingerprint;
mod lexer;
mod table;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use parking_lot::Mutex;
use vestibule_isolate::KNOWN_MODULE;

use self::fingerprint::{Module, Modules};
use self::table::{Head, KNOWN, Known};

/// Names that heads use begin so. A module that has them already is left alone.
const MARK: &str = "__vestibule_";

/// How often functions that may be known were found in modules, by name and by whether they are.
#[derive(Default)]
pub struct KnownCounts(Mutex<BTreeMap<(&'static str, bool), u64>>);

impl KnownCounts {
    fn count(&self, name: &'static str, is_known: bool) {
        *self.0.lock().entry((name, is_known)).or_default() += 1;
    }

    /// The name of each function that was found, whether it got a head, and how often.
    pub fn counts(&self) -> Vec<(&'static str, bool, u64)> {
        let counts = self.0.lock();
        counts
            .iter()
            .map(|((name, is_known), count)| (*name, *is_known, *count))
            .collect()
    }
}

/// A head and where it goes.
struct Insertion {
    at: usize,
    text: String,
}

/// The source of the module at `path`, with a head in each function that is known. With it come the paths of the modules on
/// which that depends. `sources` has the texts of all modules, since a bundler may put what a function uses into another
/// one.
pub(super) fn with_heads<'s>(
    path: &str,
    source: &'s str,
    sources: &dyn Fn(&str) -> Option<&'s str>,
    counts: &KnownCounts,
) -> (Cow<'s, str>, Vec<String>) {
    let candidates: Vec<&Known> = KNOWN
        .iter()
        .filter(|known| source.contains(&known.quoted()))
        .collect();
    if candidates.is_empty() || source.contains(MARK) {
        return (Cow::Borrowed(source), Vec::new());
    }
    let modules = Modules::new(sources);
    let Some(module) = modules.module(path) else {
        for known in candidates {
            counts.count(known.name, false);
        }
        return (Cow::Borrowed(source), Vec::new());
    };
    let mut insertions = Vec::new();
    for known in candidates {
        for insertion in found(&modules, &module, known) {
            counts.count(known.name, insertion.is_some());
            insertions.extend(insertion);
        }
    }
    let mut asked = modules.asked();
    asked.retain(|other| other != path);
    match insertions.is_empty() {
        true => (Cow::Borrowed(source), asked),
        false => (Cow::Owned(inserted(source, insertions)), asked),
    }
}

fn inserted(source: &str, mut insertions: Vec<Insertion>) -> String {
    insertions.sort_by_key(|insertion| insertion.at);
    let mut text = String::with_capacity(source.len() + 1024);
    let mut done = 0;
    for insertion in insertions {
        text.push_str(&source[done..insertion.at]);
        text.push_str(&insertion.text);
        done = insertion.at;
    }
    text.push_str(&source[done..]);
    // Imports apply to the whole module wherever they stand, and here they move no line.
    text.push_str(&format!(
        "\nimport{{convexToJson as {MARK}toJson,jsonToConvex as {MARK}fromJson,call as {MARK}call}}from\"{KNOWN_MODULE}\";\n"
    ));
    text
}

/// The functions of this name: for each its head, or nothing for one that is not known.
fn found<'s>(
    modules: &Modules<'_, 's>,
    module: &Rc<Module<'s>>,
    known: &Known,
) -> Vec<Option<Insertion>> {
    let quoted = known.quoted();
    // The bundler leaves `n(M, "convexToJsonInternal")` after a function that it has renamed to `M`.
    let named = (4..module.tokens.len()).filter(|at| {
        module.text(*at) == quoted && module.text(at - 1) == "," && module.text(at - 3) == "("
    });
    named
        .map(|at| {
            let name = module.text(at - 2);
            let fingerprint = modules.fingerprint(module, name, module.text(at - 4));
            let is_known = fingerprint
                .as_deref()
                .is_some_and(|found| known.fingerprints.contains(&found));
            if !is_known {
                tracing::info!(
                    function = known.name,
                    fingerprint = fingerprint.as_deref().unwrap_or("none"),
                    "a function's version is not known, so it runs as JavaScript"
                );
                return None;
            }
            head(module, name, known.head)
        })
        .collect()
}

fn head(module: &Module<'_>, name: &str, head: Head) -> Option<Insertion> {
    let (start, end) = module.declaration(name)?;
    let open = (start..end).find(|at| module.text(*at) == "(")?;
    let close = (open..end).find(|at| module.text(*at) == ")")?;
    if module.text(close + 1) != "{" {
        return None;
    }
    let parameters: Vec<&str> = (open + 1..close)
        .step_by(2)
        .map(|at| module.text(at))
        .collect();
    Some(Insertion {
        at: module.tokens[close + 1].end,
        text: head.text(&parameters)?,
    })
}
