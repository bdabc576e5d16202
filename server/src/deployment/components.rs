//! The components of an app: each definition of a push, mounted at every place where the app or another component uses it.

use std::collections::BTreeMap;
use std::fmt;
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
    let children = app.children();
    if manifest.is_before_components() && !children.is_empty() {
        let names: Vec<&str> = children.iter().map(|child| &*child.name).collect();
        tracing::warn!(
            ?names,
            "the components of this push are not mounted: an older server took it, and stored none. Push again to have them"
        );
        return Ok(Components::new());
    }
    let mut definitions = BTreeMap::new();
    for component in &manifest.components {
        let definition = ComponentDefinition::from_text(&component.path, &component.definition)?;
        let known = (component, Arc::new(definition));
        if definitions.insert(&*component.path, known).is_some() {
            return Err(refused(&component.path, "it was sent twice"));
        }
    }
    let mut mounted = Components::new();
    let mut waiting = placed(&ComponentPath::ROOT, children)?;
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
    /// app that it is, set or not, or nothing where it is a text of a definition.
    pub fn variables_of(&self, component: &ComponentPath) -> BTreeMap<String, Given> {
        self.given_of(component, &self.variables)
    }

    fn given_of(
        &self,
        component: &ComponentPath,
        variables: &Variables,
    ) -> BTreeMap<String, Given> {
        let bound = self.bound_of(component).into_iter();
        let given = bound.map(|(name, binding)| {
            let given = match binding {
                Binding::Text(value) => Given {
                    value: Some(value),
                    variable: None,
                },
                Binding::Variable(variable) => Given {
                    value: variables.get(&variable).map(str::to_owned),
                    variable: Some(variable),
                },
            };
            (name, given)
        });
        given.collect()
    }

    /// What a component was given, as texts and variables of the app: the way through its parents is gone.
    fn bound_of(&self, component: &ComponentPath) -> BTreeMap<String, Binding> {
        let Some(mounted) = self.components.get(component) else {
            return BTreeMap::new();
        };
        let parent = component.parent();
        let outer = self.bound_of(&parent);
        let bound = mounted.bindings.iter().filter_map(|(name, binding)| {
            let binding = match binding {
                Binding::Variable(name) if !parent.is_root() => outer.get(name)?,
                Binding::Variable(_) | Binding::Text(_) => binding,
            };
            Some((name.clone(), binding.clone()))
        });
        bound.collect()
    }

    /// Required variables that are not among `variables`, of the app and of its components.
    pub fn missing_variables(&self, variables: &Variables) -> Vec<MissingVariable> {
        let of_app = self.definition.missing(variables).into_iter();
        let of_app = of_app.map(|name| MissingVariable {
            component: ComponentPath::ROOT,
            name,
        });
        let mut missing: Vec<MissingVariable> = of_app.collect();
        for (path, mounted) in &self.components {
            let given = self.given_of(path, variables);
            let is_set = |name: &str| given.get(name).is_some_and(|given| given.value.is_some());
            let required = mounted.definition.variables.iter();
            let unset = required.filter(|declared| !declared.optional && !is_set(&declared.name));
            missing.extend(unset.map(|declared| MissingVariable {
                component: path.clone(),
                name: declared.name.clone(),
            }));
        }
        missing
    }

    /// The modules of the app and of its components, each under its key. The hash of a component's module stands for its
    /// variables too: which they are is known at the push.
    pub fn keyed_modules(&self) -> BTreeMap<String, Module> {
        let mut modules = self.modules.clone();
        for (path, mounted) in &self.components {
            let bindings = serde_json::to_string(&self.bound_of(path));
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
    /// Its value, where it is set.
    pub value: Option<String>,
    /// The variable of the app that it is.
    pub variable: Option<String>,
}

/// A required variable that is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingVariable {
    /// The component that requires it; the root is the app.
    pub component: ComponentPath,
    /// The name that it has there.
    pub name: String,
}

impl fmt::Display for MissingVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.component.is_root() {
            true => f.write_str(&self.name),
            false => write!(f, "{} of {}", self.name, self.component),
        }
    }
}
