//! Telling the developer which parts of an app are taken by a push and not run.

use std::collections::BTreeSet;

use super::Pushes;
use crate::deployment::modules::is_entry_point;
use crate::deployment::{Deployment, ModuleEnvironment};

/// The name under which the warning is logged, among executions of functions.
const LOGGED_AS: &str = "vestibule:push";

impl Pushes {
    /// Warns when a deployment begins to have such parts: in the log that `convex dev` shows, and in the server's own.
    pub(super) fn warn_of_unsupported(&self, before: &Deployment, live: &Deployment) {
        let (known, parts) = (unsupported(before), unsupported(live));
        if parts.is_subset(&known) {
            return;
        }
        let listed: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.warn(
            LOGGED_AS,
            &format!(
                "This server takes these parts of the app and cannot run them yet: {}. Calls that need one fail and say \
                 so; everything else runs.",
                listed.join(", ")
            ),
        );
    }
}

fn unsupported(deployment: &Deployment) -> BTreeSet<String> {
    let modules = deployment.modules.values().filter(|module| {
        module.environment == ModuleEnvironment::Node && is_entry_point(&module.path)
    });
    modules
        .map(|module| format!("the \"use node\" module {}", module.path))
        .collect()
}
