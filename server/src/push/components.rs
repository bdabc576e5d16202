//! The components that come with a push: evaluated and checked like the app, each after those that it uses, and shown to
//! tools.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use vestibule_schema::path::ComponentPath;

use super::Pushes;
use super::error::PushError;
use super::replies;
use super::request::ComponentBody;
use super::starting::{check_sources, stored_module, texts_of};
use crate::deployment::{
    AnalyzeInput, COMPONENTS_MAX, ChildComponent, ComponentManifest, Deployment, DeploymentError,
    ImportPhase, Manifest, ModuleEnvironment, SourceModule, Visibility,
};

/// The components of a push, by the path of their definitions.
#[derive(Default)]
pub(super) struct Evaluated {
    components: BTreeMap<String, ComponentManifest>,
    /// The name that each has where it is used under no other.
    names: BTreeMap<String, String>,
    /// The texts of their modules.
    pub texts: Vec<Arc<str>>,
}

impl Pushes {
    /// Evaluates the components of a push, each after those that it uses.
    pub(super) async fn components(
        &self,
        bodies: Vec<ComponentBody>,
        import: &ImportPhase,
    ) -> Result<Evaluated, PushError> {
        if bodies.len() > COMPONENTS_MAX {
            return Err(DeploymentError::TooManyComponents.into());
        }
        let mut evaluated = Evaluated::default();
        let mut waiting = bodies;
        while !waiting.is_empty() {
            let is_next = |body: &ComponentBody| {
                let mut needed = body.dependencies.iter();
                needed.all(|path| evaluated.components.contains_key(path))
            };
            let Some(next) = waiting.iter().position(is_next) else {
                let path = waiting.swap_remove(0).definition_path;
                let reason = "it uses itself, or a component that was not sent".to_owned();
                return Err(DeploymentError::ComponentDefinition { path, reason }.into());
            };
            let body = waiting.remove(next);
            if evaluated.components.contains_key(&body.definition_path) {
                let (path, reason) = (body.definition_path, "it was sent twice".to_owned());
                return Err(DeploymentError::ComponentDefinition { path, reason }.into());
            }
            self.component(body, &mut evaluated, import).await?;
        }
        Ok(evaluated)
    }

    async fn component(
        &self,
        body: ComponentBody,
        known: &mut Evaluated,
        import: &ImportPhase,
    ) -> Result<(), PushError> {
        let path = body.definition_path;
        let modules: Vec<SourceModule> = body.functions.into_iter().map(Into::into).collect();
        check_sources(&modules)?;
        let mut node = modules.iter();
        if let Some(module) = node.find(|module| module.environment == ModuleEnvironment::Node) {
            return Err(DeploymentError::NodeInComponent {
                component: path,
                module: module.path.clone(),
            }
            .into());
        }
        known.texts.extend(texts_of(&modules));
        let stored = modules.iter().map(stored_module).collect();
        let input = AnalyzeInput {
            modules,
            schema: body.schema.map(SourceModule::from),
            definition: Some(body.definition.into()),
            components: known.names(body.dependencies.iter()),
            seed: import.seed,
            time_millis: import.time_millis,
            ..AnalyzeInput::default()
        };
        let analysis = self.analyze(input).await?;
        let component = ComponentManifest {
            path: path.clone(),
            definition: analysis.definition.unwrap_or_default(),
            server_version: body.udf_server_version.unwrap_or_default(),
            modules: stored,
            analysis: analysis.modules,
            schema: analysis.schema,
        };
        let (definition, _) = component.read(&Manifest::default())?;
        known.check(&definition.children())?;
        known.names.insert(path.clone(), definition.name);
        known.components.insert(path, component);
        Ok(())
    }
}

impl Evaluated {
    /// The names of the components at `paths`.
    pub fn names<'p>(&self, paths: impl Iterator<Item = &'p String>) -> BTreeMap<String, String> {
        let named = paths.filter_map(|path| Some((path.clone(), self.names.get(path)?.clone())));
        named.collect()
    }

    /// As a manifest has them.
    pub fn into_manifests(self) -> Vec<ComponentManifest> {
        self.components.into_values().collect()
    }

    /// Refuses what uses components that were not sent.
    fn check(&self, children: &[ChildComponent]) -> Result<(), DeploymentError> {
        let unknown = children
            .iter()
            .find(|child| !self.components.contains_key(&child.path));
        match unknown {
            None => Ok(()),
            Some(child) => Err(DeploymentError::ComponentDefinition {
                path: child.path.clone(),
                reason: format!(
                    "it was not sent, and {:?} is to be an instance of it",
                    child.name
                ),
            }),
        }
    }
}

/// Adds to the reply to a push what tools are shown of the components that came with it, and where they are mounted.
pub(super) fn add_to(
    reply: &mut Json,
    manifest: &Manifest,
    next: &Deployment,
) -> Result<(), DeploymentError> {
    for component in &manifest.components {
        let (definition, part) = component.read(manifest)?;
        let path = &component.path;
        let shown = definition.to_reply(path, file_based(&part));
        reply["analysis"][path] = replies::analysis(&part, shown);
    }
    reply["app"]["childComponents"] = mounted_in(&ComponentPath::ROOT, next);
    reply["app"]["httpRoutes"]["mounts"] = mounts(&next.definition.mounts());
    Ok(())
}

/// The components that `parent` mounts, by name.
fn mounted_in(parent: &ComponentPath, next: &Deployment) -> Json {
    let children = next.components.iter();
    let children = children.filter(|(path, _)| path.parent() == *parent);
    let shown = children.map(|(path, mounted)| {
        let shown = json!({
            "definitionPath": mounted.definition_path,
            "componentPath": path,
            "args": {},
            "childComponents": mounted_in(path, next),
            "httpRoutes": {
                "httpModuleRoutes": replies::routes(&mounted.part),
                "mounts": mounts(&mounted.definition.mounts()),
            },
            "exports": {},
        });
        (path.name().to_owned(), shown)
    });
    Json::Object(shown.collect::<Map<_, _>>())
}

fn mounts(mounts: &[(String, String)]) -> Json {
    mounts.iter().map(|(prefix, _)| json!(prefix)).collect()
}

/// The exports of a component: its public functions, in a tree of their files.
fn file_based(deployment: &Deployment) -> Json {
    let mut paths = BTreeSet::new();
    for function in deployment.functions.values() {
        if function.visibility == Visibility::Public {
            paths.insert((function.path.module(), function.path.function()));
        }
    }
    let mut tree = Tree::default();
    for (module, function) in paths {
        let mut at = &mut tree;
        for part in module.split('/') {
            at = at.branches.entry(part.to_owned()).or_default();
        }
        let leaf = format!("_reference/function/{module}:{function}");
        at.leaves.insert(function.to_owned(), leaf);
    }
    tree.to_json()
}

#[derive(Default)]
struct Tree {
    branches: BTreeMap<String, Tree>,
    leaves: BTreeMap<String, String>,
}

impl Tree {
    fn to_json(&self) -> Json {
        let branches = self
            .branches
            .iter()
            .map(|(name, tree)| json!([name, tree.to_json()]));
        let leaves = self
            .leaves
            .iter()
            .map(|(name, leaf)| json!([name, {"type": "leaf", "leaf": leaf}]));
        json!({"type": "branch", "branch": branches.chain(leaves).collect::<Vec<_>>()})
    }
}
