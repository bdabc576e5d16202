//! The stored part of a push: hashes, the analysis, and the few short texts from which a deployment is read again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::analysis::ModuleAnalysis;
use super::components::ComponentManifest;
use super::modules::Module;

/// The form of manifests that this server writes.
pub const MANIFEST_VERSION: u32 = 2;

/// Servers stored no components before this form, though the app's definition may name some.
const WITH_COMPONENTS: u32 = 2;

/// Everything about a push but the texts of its modules, which it names by hash.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`MANIFEST_VERSION`] of the server that wrote it.
    pub version: u32,
    /// Names the push.
    pub push_id: String,
    /// The message of the person who pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was pushed, in milliseconds since 1970.
    pub pushed_at_millis: f64,
    /// The folder of the functions in the developer's project, as in `convex/`.
    pub functions: String,
    /// The version of the package that the app was bundled with.
    pub server_version: String,
    /// Seed and time with which modules are imported.
    pub import: ImportPhase,
    /// The modules, by path.
    pub modules: Vec<Module>,
    /// The analysis of the modules, by path.
    pub analysis: BTreeMap<String, ModuleAnalysis>,
    /// The exported schema, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The exported auth config, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_config: Option<String>,
    /// The exported definition of the app, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// The definitions of the components that the app may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentManifest>,
    /// Packages that modules in Node.js need beside what is bundled: names and versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_dependencies: Vec<NodeDependency>,
    /// The version of Node.js that the app asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_version: Option<String>,
}

impl Manifest {
    /// Whether it is of a server that did not store the components of its pushes.
    pub(super) fn is_before_components(&self) -> bool {
        self.version < WITH_COMPONENTS && self.components.is_empty()
    }
}

/// The values that modules see while they are imported, the same every time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportPhase {
    /// Seed of random numbers.
    pub seed: [u8; 32],
    /// The time, in milliseconds since 1970.
    pub time_millis: f64,
}

/// A package for modules in Node.js.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDependency {
    pub name: String,
    pub version: String,
}
