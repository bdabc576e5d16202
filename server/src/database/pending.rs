//! Rules that a table's documents are to keep once the schema of a push is live.
//!
//! They stand in the table's entry of the catalog while documents are checked. A write in the meantime is not refused
//! for them. Instead, its commit records that the document did not fit.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use vestibule_schema::validator::Validator;

/// Rules that are not in force yet.
#[derive(Debug)]
pub struct PendingRules {
    rules: Validator,
    failure: OnceLock<String>,
    is_checked: AtomicBool,
}

impl PendingRules {
    /// Rules that nothing was held against yet.
    pub fn new(rules: Validator) -> PendingRules {
        PendingRules {
            rules,
            failure: OnceLock::new(),
            is_checked: AtomicBool::new(false),
        }
    }

    /// The validator that documents will have to match.
    pub fn rules(&self) -> &Validator {
        &self.rules
    }

    /// Every document was held against them that was there when they were declared.
    pub fn checked(&self) {
        self.is_checked.store(true, Ordering::Release);
    }

    /// Whether that is so.
    pub fn is_checked(&self) -> bool {
        self.is_checked.load(Ordering::Acquire)
    }

    /// Remembers that a document was committed that does not fit.
    pub fn fail(&self, why: String) {
        // One that came earlier says as much.
        let _ = self.failure.set(why);
    }

    /// Why a document did not fit that was written since.
    pub fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }
}
