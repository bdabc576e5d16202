//! The definitions of the app and of components, as each one's `convex.config.js` exports it.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use vestibule_schema::path::check_identifier;
use vestibule_schema::validator::Validator;

use super::error::DeploymentError;
use super::variables::{VariableChange, Variables};

/// Components that an app uses, those of its components included.
pub const COMPONENTS_MAX: usize = 1_000;

/// The exports of `convex.config.js`.
#[derive(Clone, Debug, PartialEq)]
pub struct AppDefinition {
    json: Json,
    /// Variables that the app declares.
    pub variables: Vec<DeclaredVariable>,
}

/// The exports of a component's `convex.config.js`.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentDefinition {
    json: Json,
    /// The name that it has where it is used under no other.
    pub name: String,
    /// Variables that it declares.
    pub variables: Vec<DeclaredVariable>,
}

/// A component as an app or another component uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildComponent {
    /// Its name there.
    pub name: String,
    /// The path of its definition.
    pub path: String,
    /// The variables that it is given, by the names that it has for them.
    pub bindings: BTreeMap<String, Binding>,
}

/// What a component is given as one of its variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Binding {
    /// This text.
    Text(String),
    /// The variable that the user of the component has under this name.
    Variable(String),
}

/// A variable that the app declares, with what its value must be.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredVariable {
    pub name: String,
    /// The validator of its text.
    pub value: Validator,
    pub optional: bool,
}

impl Default for AppDefinition {
    fn default() -> AppDefinition {
        let json = json!({
            "definitionType": {"type": "app"},
            "childComponents": [],
            "httpMounts": {},
            "exports": {"type": "branch", "branch": []},
        });
        let variables = Vec::new();
        AppDefinition { json, variables }
    }
}

impl AppDefinition {
    /// Reads the exported JSON text.
    pub fn from_text(text: &str) -> Result<AppDefinition, DeploymentError> {
        let refused = |reason: &str| DeploymentError::Definition(reason.to_owned());
        let json: Json = serde_json::from_str(text).map_err(|error| refused(&error.to_string()))?;
        if json["definitionType"]["type"] != "app" {
            return Err(refused("it is not the definition of an app"));
        }
        check_children(&json)?;
        let variables = DeclaredVariable::all_of(&json)?;
        Ok(AppDefinition { json, variables })
    }

    /// As the reply to a push shows it.
    pub fn to_reply(&self) -> Json {
        reply_of(&self.json, "")
    }

    /// The components that the app uses.
    pub fn children(&self) -> Vec<ChildComponent> {
        children_of(&self.json)
    }

    /// The children whose HTTP routes are the app's too, by the prefix below which they are.
    pub fn mounts(&self) -> Vec<(String, String)> {
        mounts_of(&self.json)
    }

    /// Names of required variables that are not set.
    pub fn missing(&self, variables: &Variables) -> Vec<String> {
        let is_missing = |declared: &&DeclaredVariable| {
            !declared.optional && variables.get(&declared.name).is_none()
        };
        let missing = self.variables.iter().filter(is_missing);
        missing.map(|declared| declared.name.clone()).collect()
    }
}

impl ComponentDefinition {
    /// Reads the exported JSON text of the definition at `path`.
    pub fn from_text(path: &str, text: &str) -> Result<ComponentDefinition, DeploymentError> {
        let refused = |reason: String| DeploymentError::ComponentDefinition {
            path: path.to_owned(),
            reason,
        };
        let json: Json = serde_json::from_str(text).map_err(|error| refused(error.to_string()))?;
        if json["definitionType"]["type"] != "childComponent" {
            return Err(refused(
                "it is not the definition of a component".to_owned(),
            ));
        }
        let name = json["definitionType"]["name"].as_str().unwrap_or_default();
        check_identifier(name).map_err(|error| refused(error.to_string()))?;
        check_children(&json)?;
        let (name, variables) = (name.to_owned(), DeclaredVariable::all_of(&json)?);
        Ok(ComponentDefinition {
            json,
            name,
            variables,
        })
    }

    /// As the reply to a push shows it, with the component's exports for its users.
    pub fn to_reply(&self, path: &str, exports: Json) -> Json {
        let mut reply = reply_of(&self.json, path);
        reply["exports"] = exports;
        reply
    }

    /// The components that this one uses.
    pub fn children(&self) -> Vec<ChildComponent> {
        children_of(&self.json)
    }

    /// As [`AppDefinition::mounts`].
    pub fn mounts(&self) -> Vec<(String, String)> {
        mounts_of(&self.json)
    }
}

fn reply_of(json: &Json, path: &str) -> Json {
    let mut reply = json.clone();
    reply["path"] = json!(path);
    for (key, default) in [
        ("childComponents", json!([])),
        ("httpMounts", json!({})),
        ("exports", json!({"type": "branch", "branch": []})),
    ] {
        if reply[key].is_null() {
            reply[key] = default;
        }
    }
    reply
}

fn children_of(json: &Json) -> Vec<ChildComponent> {
    let text = |child: &Json, key: &str| child[key].as_str().unwrap_or_default().to_owned();
    let children = json["childComponents"].as_array();
    let children = children.into_iter().flatten().map(|child| ChildComponent {
        name: text(child, "name"),
        path: text(child, "path"),
        bindings: bindings_of(&child["env"]),
    });
    children.collect()
}

fn bindings_of(json: &Json) -> BTreeMap<String, Binding> {
    let bound = json.as_array().into_iter().flatten().filter_map(|pair| {
        let text = |key: &str| pair[1][key].as_str().map(str::to_owned);
        let binding = match pair[1]["type"].as_str()? {
            "value" => Binding::Text(text("value")?),
            "envVar" => Binding::Variable(text("name")?),
            _ => return None,
        };
        Some((pair[0].as_str()?.to_owned(), binding))
    });
    bound.collect()
}

/// Each mount: its prefix, which ends in a slash, and the name of the child.
fn mounts_of(json: &Json) -> Vec<(String, String)> {
    let mounts = json["httpMounts"].as_object();
    let mounts = mounts.into_iter().flatten().filter_map(|(prefix, child)| {
        let name = child.as_str()?.strip_prefix(CHILD_REFERENCE)?;
        Some((prefix.clone(), name.to_owned()))
    });
    mounts.collect()
}

/// The beginning of a reference to a component that is used by its name.
pub const CHILD_REFERENCE: &str = "_reference/childComponent/";

/// Refuses a component whose name functions could not write, and two of one name. Where it is mounted, its path is checked.
fn check_children(json: &Json) -> Result<(), DeploymentError> {
    let mut names = HashSet::new();
    for ChildComponent { name, .. } in children_of(json) {
        let refused = |reason: String| DeploymentError::ComponentName {
            name: name.clone(),
            reason,
        };
        check_identifier(&name).map_err(|error| refused(error.to_string()))?;
        if !names.insert(name.clone()) {
            return Err(refused("another one has it".to_owned()));
        }
    }
    Ok(())
}

impl DeclaredVariable {
    fn all_of(definition: &Json) -> Result<Vec<DeclaredVariable>, DeploymentError> {
        let declared = definition["envVars"].as_array();
        let declared = declared.into_iter().flatten();
        declared.map(DeclaredVariable::read).collect()
    }

    fn read(json: &Json) -> Result<DeclaredVariable, DeploymentError> {
        let name = json[0].as_str().unwrap_or_default().to_owned();
        let refused = |reason: String| DeploymentError::DeclaredVariable {
            name: name.clone(),
            reason,
        };
        let change = VariableChange {
            name: name.clone(),
            value: None,
        };
        change.check().map_err(|error| refused(error.to_string()))?;
        let text = json[1]["value"].as_str().unwrap_or_default();
        let value = serde_json::from_str(text).map_err(|error| refused(error.to_string()))?;
        let value = Validator::from_json(&value).map_err(|error| refused(error.to_string()))?;
        let optional = json[1]["optional"].as_bool().unwrap_or(false);
        Ok(DeclaredVariable {
            name,
            value,
            optional,
        })
    }
}
