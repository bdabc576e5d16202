//! Components that come with a push: evaluated and checked like the app, shown to tools, and not run. A function's call
//! of one fails with a sentence; everything else of the app runs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::Pushes;
use super::error::PushError;
use super::replies;
use super::request::ComponentBody;
use super::starting::check_sources;
use crate::deployment::{
    AnalyzeInput, COMPONENTS_MAX, ChildComponent, ComponentDefinition, Deployment, DeploymentError,
    ImportPhase, Manifest, Module, ModuleEnvironment, SourceModule, Variables, Visibility,
};

/// The components of a push, by the path of their definitions.
#[derive(Default)]
pub(super) struct Components(BTreeMap<String, Component>);

struct Component {
    definition: ComponentDefinition,
    /// Its functions and tables, read as if they were an app's.
    deployment: Deployment,
}

impl Pushes {
    /// Evaluates the components of a push, each after those that it uses.
    pub(super) async fn components(
        &self,
        bodies: Vec<ComponentBody>,
        import: &ImportPhase,
    ) -> Result<Components, PushError> {
        if bodies.len() > COMPONENTS_MAX {
            return Err(DeploymentError::TooManyComponents.into());
        }
        let mut components = Components::default();
        let mut waiting = bodies;
        while !waiting.is_empty() {
            let is_next = |body: &ComponentBody| {
                let mut needed = body.dependencies.iter();
                needed.all(|path| components.0.contains_key(path))
            };
            let Some(next) = waiting.iter().position(is_next) else {
                let path = waiting.swap_remove(0).definition_path;
                let reason = "it uses itself, or a component that was not sent".to_owned();
                return Err(DeploymentError::ComponentDefinition { path, reason }.into());
            };
            let body = waiting.remove(next);
            let path = body.definition_path.clone();
            let component = self.component(body, &components, import).await?;
            if components.0.insert(path.clone(), component).is_some() {
                let reason = "it was sent twice".to_owned();
                return Err(DeploymentError::ComponentDefinition { path, reason }.into());
            }
        }
        Ok(components)
    }

    async fn component(
        &self,
        body: ComponentBody,
        known: &Components,
        import: &ImportPhase,
    ) -> Result<Component, PushError> {
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
        let stored = modules.iter().map(|module| Module {
            path: module.path.clone(),
            environment: module.environment,
            hash: String::new(),
            source: String::new(),
            source_map: None,
        });
        let stored = stored.collect();
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
        let definition = analysis.definition.unwrap_or_default();
        let definition = ComponentDefinition::from_text(&path, &definition)?;
        known.check(&definition.children())?;
        let manifest = Manifest {
            modules: stored,
            analysis: analysis.modules,
            schema: analysis.schema,
            import: import.clone(),
            server_version: body.udf_server_version.unwrap_or_default(),
            ..Manifest::default()
        };
        let deployment = Deployment::from_manifest(&manifest, Variables::default())?;
        Ok(Component {
            definition,
            deployment,
        })
    }
}

impl Components {
    /// The names of the components at `paths`.
    pub fn names<'p>(&self, paths: impl Iterator<Item = &'p String>) -> BTreeMap<String, String> {
        let named = paths.filter_map(|path| {
            let component = self.0.get(path)?;
            Some((path.clone(), component.definition.name.clone()))
        });
        named.collect()
    }

    /// Refuses what uses components that were not sent.
    pub fn check(&self, children: &[ChildComponent]) -> Result<(), DeploymentError> {
        let unknown = children
            .iter()
            .find(|child| !self.0.contains_key(&child.path));
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

    /// Adds to the reply to a push what tools are shown of the components that `app` uses.
    pub fn add_to(&self, reply: &mut Json, app: &[ChildComponent]) -> Result<(), DeploymentError> {
        for (path, component) in &self.0 {
            let Component {
                definition,
                deployment,
            } = component;
            let exports = file_based(deployment);
            reply["analysis"][path] =
                replies::analysis(deployment, definition.to_reply(path, exports));
        }
        let mut count = 0;
        reply["app"]["childComponents"] = self.instances("", app, &mut count)?;
        Ok(())
    }

    fn instances(
        &self,
        parent: &str,
        children: &[ChildComponent],
        count: &mut usize,
    ) -> Result<Json, DeploymentError> {
        let mut instances = Map::new();
        for ChildComponent { name, path } in children {
            *count += 1;
            if *count > COMPONENTS_MAX {
                return Err(DeploymentError::TooManyComponents);
            }
            let place = match parent {
                "" => name.clone(),
                parent => format!("{parent}/{name}"),
            };
            let component = self.0.get(path);
            let of_it = component.map(|component| component.definition.children());
            let instance = json!({
                "definitionPath": path,
                "componentPath": place,
                "args": {},
                "childComponents": self.instances(&place, &of_it.unwrap_or_default(), count)?,
                "httpRoutes": {"httpModuleRoutes": null, "mounts": []},
                "exports": {},
            });
            instances.insert(name.clone(), instance);
        }
        Ok(Json::Object(instances))
    }
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
