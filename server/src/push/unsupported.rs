//! Telling the developer which parts of an app are taken by a push and not run.

use std::collections::BTreeSet;

use super::Pushes;
use crate::deployment::modules::is_entry_point;
use crate::deployment::{Deployment, Module, ModuleEnvironment};

/// The name under which the warning is logged, among executions of functions.
const LOGGED_AS: &str = "vestibule:push";

impl Pushes {
    /// Warns when a deployment begins to have such parts: in the log that `convex dev` shows, and in the server's own.
    pub(super) fn warn_of_unsupported(&self, before: &Deployment, live: &Deployment) {
        let node = self.js.as_ref().map(|js| js.node_refusal());
        // A server without the engine has no Node.js either.
        let has_node = node == Some(None);
        let (known, parts) = (unsupported(before, has_node), unsupported(live, has_node));
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
        let needs_node = live.modules.values().any(is_for_node);
        if let Some(why) = node.flatten().filter(|_| needs_node) {
            self.warn(
                LOGGED_AS,
                &format!("Actions with \"use node\" cannot run: {why}"),
            );
        }
    }
}

/// Whether a module has actions that Node.js runs.
fn is_for_node(module: &Module) -> bool {
    module.environment == ModuleEnvironment::Node && is_entry_point(&module.path)
}

/// The parts that are not run. Where there is a Node.js, its modules are.
fn unsupported(deployment: &Deployment, has_node: bool) -> BTreeSet<String> {
    let modules = deployment.modules.values();
    let modules = modules.filter(|module| !has_node && is_for_node(module));
    modules
        .map(|module| format!("the \"use node\" module {}", module.path))
        .collect()
}
