//! The components of an app: each definition of a push, mounted at every place where the app or another component uses it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vestibule_schema::path::ComponentPath;

use super::analysis::ModuleAnalysis;
use super::definition::{
    AppDefinition, Binding, COMPONENTS_MAX, ChildComponent, ComponentDefinition,
};
use super::error::DeploymentError;
use super::manifest::Manifest;
use super::modules::Module;
use super::{Cron, Deployment, Variables};

/// The definition of a component as a push brought it. It may be mounted any number of times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentManifest {
    /// Its folder, from that of the app's functions.
    pub path: String,
    /// The exports of its `convex.config.js`, as JSON text.
    pub definition: String,
    /// The version of the package that it was bundled with.
    pub server_version: String,
    /// The modules, by path.
    pub modules: Vec<Module>,
    /// The analysis of the modules, by path.
    pub analysis: BTreeMap<String, ModuleAnalysis>,
    /// The exported schema, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

/// A component at the place where it is mounted.
#[derive(Clone, Debug)]
pub struct Mounted {
    /// Its definition.
    pub definition: Arc<ComponentDefinition>,
    /// The path of the definition.
    pub definition_path: String,
    /// Its variables, by the names that it has for them.
    pub bindings: BTreeMap<String, Binding>,
    /// Its functions, tables, routes and crons: those of an app of its own, but for their names.
    pub part: Deployment,
}

/// Every mounted component, by its path.
pub type Components = BTreeMap<ComponentPath, Arc<Mounted>>;

/// Mounts the components of a push. A component is mounted before those that it mounts.
pub(super) fn mount(
    manifest: &Manifest,
    app: &AppDefinition,
) -> Result<Components, DeploymentError> {
    let mut definitions = BTreeMap::new();
    for component in &manifest.components {
        let definition = ComponentDefinition::from_text(&component.path, &component.definition)?;
        let known = (component, Arc::new(definition));
        if definitions.insert(&*component.path, known).is_some() {
            return Err(refused(&component.path, "it was sent twice"));
        }
    }
    let mut mounted = Components::new();
    let mut waiting = placed(&ComponentPath::ROOT, app.children())?;
    while let Some((path, child)) = waiting.pop() {
        if mounted.len() >= COMPONENTS_MAX {
            return Err(DeploymentError::TooManyComponents);
        }
        let ChildComponent {
            path: definition_path,
            name,
            bindings,
        } = child;
        let Some((component, definition)) = definitions.get(&*definition_path) else {
            let reason = format!("it was not sent, and {name:?} is to be an instance of it");
            return Err(refused(&definition_path, &reason));
        };
        waiting.extend(placed(&path, definition.children())?);
        let part = Deployment::read_part(&part_of(manifest, component), path.clone())?;
        let component = Mounted {
            definition: definition.clone(),
            definition_path,
            bindings,
            part,
        };
        mounted.insert(path, Arc::new(component));
    }
    Ok(mounted)
}

fn placed(
    parent: &ComponentPath,
    children: Vec<ChildComponent>,
) -> Result<Vec<(ComponentPath, ChildComponent)>, DeploymentError> {
    let place = |child: ChildComponent| {
        let path = parent.child(&child.name);
        let path = path.map_err(|error| DeploymentError::ComponentName {
            name: child.name.clone(),
            reason: error.to_string(),
        })?;
        Ok((path, child))
    };
    children.into_iter().map(place).collect()
}

/// A component as the push of an app that has nothing else.
fn part_of(manifest: &Manifest, component: &ComponentManifest) -> Manifest {
    Manifest {
        functions: manifest.functions.clone(),
        server_version: component.server_version.clone(),
        import: manifest.import.clone(),
        modules: component.modules.clone(),
        analysis: component.analysis.clone(),
        schema: component.schema.clone(),
        ..Manifest::default()
    }
}

impl ComponentManifest {
    /// Reads the definition, and what it defines, as that of an app which is mounted nowhere.
    pub fn read(
        &self,
        manifest: &Manifest,
    ) -> Result<(ComponentDefinition, Deployment), DeploymentError> {
        let definition = ComponentDefinition::from_text(&self.path, &self.definition)?;
        let part = Deployment::read_part(&part_of(manifest, self), ComponentPath::ROOT)?;
        Ok((definition, part))
    }
}

fn refused(path: &str, reason: &str) -> DeploymentError {
    DeploymentError::ComponentDefinition {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

impl Deployment {
    /// The app itself, or a component that it mounts.
    pub fn part(&self, component: &ComponentPath) -> Option<&Deployment> {
        match component.is_root() {
            true => Some(self),
            false => self.components.get(component).map(|mounted| &mounted.part),
        }
    }

    /// The app and every component, each behind the one that mounts it.
    pub fn parts(&self) -> impl Iterator<Item = (ComponentPath, &Deployment)> {
        let mounted = self.components.iter();
        let mounted = mounted.map(|(path, mounted)| (path.clone(), &mounted.part));
        std::iter::once((ComponentPath::ROOT, self)).chain(mounted)
    }

    /// The app and the components whose HTTP routes are reached from outside, each with the path below which they are.
    pub fn http_places(&self) -> Vec<(String, ComponentPath)> {
        let mut places = vec![(String::new(), ComponentPath::ROOT)];
        let mut looked_at = 0;
        while let Some((prefix, component)) = places.get(looked_at).cloned() {
            looked_at += 1;
            let mounts = match self.components.get(&component) {
                Some(mounted) => mounted.definition.mounts(),
                None => self.definition.mounts(),
            };
            for (below, name) in mounts {
                let child = component.child(&name).ok();
                if let Some(child) = child.filter(|child| self.components.contains_key(child)) {
                    places.push((format!("{prefix}{}", below.trim_end_matches('/')), child));
                }
            }
        }
        places
    }

    /// The cron jobs of the app and of its components.
    pub fn all_crons(&self) -> impl Iterator<Item = &Cron> {
        self.parts().flat_map(|(_, part)| &part.crons)
    }

    /// The variables that a component was given, by the names that it has for them. Each stands beside the variable of the
    /// app that it is, or nothing where it is a text of the definition.
    pub fn variables_of(&self, component: &ComponentPath) -> BTreeMap<String, Given> {
        let Some(mounted) = self.components.get(component) else {
            return BTreeMap::new();
        };
        let parent = component.parent();
        let outer = self.variables_of(&parent);
        let given = |binding: &Binding| match binding {
            Binding::Text(value) => Some(Given {
                value: value.clone(),
                variable: None,
            }),
            Binding::Variable(name) if parent.is_root() => {
                let value = self.variables.get(name)?.to_owned();
                let variable = Some(name.clone());
                Some(Given { value, variable })
            }
            Binding::Variable(name) => outer.get(name).cloned(),
        };
        let bindings = mounted.bindings.iter();
        let given = bindings.filter_map(|(name, binding)| Some((name.clone(), given(binding)?)));
        given.collect()
    }

    /// Required variables that are not there, of the app and of its components.
    pub fn missing_variables(&self, variables: &Variables) -> Vec<String> {
        let mut missing = self.definition.missing(variables);
        for (path, mounted) in &self.components {
            let given = self.variables_of(path);
            let required = mounted.definition.variables.iter();
            let required = required.filter(|declared| !declared.optional);
            let unset = required.filter(|declared| !given.contains_key(&declared.name));
            missing.extend(unset.map(|declared| format!("{} of {path}", declared.name)));
        }
        missing
    }

    /// The modules of the app and of its components, each under its key. The hash of a component's module stands for its
    /// variables too: what they are is known at the push.
    pub fn keyed_modules(&self) -> BTreeMap<String, Module> {
        let mut modules = self.modules.clone();
        for (path, mounted) in &self.components {
            let bindings = serde_json::to_string(&mounted.bindings);
            let bindings = bindings.expect("texts by names are plain data");
            for module in mounted.part.modules.values() {
                let key = format!("{path}:{}", module.path);
                let keyed = Module {
                    path: key.clone(),
                    hash: format!("{}{bindings}", module.hash),
                    ..module.clone()
                };
                modules.insert(key, keyed);
            }
        }
        modules
    }
}

/// A variable that a component was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub value: String,
    /// The variable of the app that it is.
    pub variable: Option<String>,
}
