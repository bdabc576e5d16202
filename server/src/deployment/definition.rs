//! The app's definition, as `convex.config.js` exports it.

use serde_json::{Value as Json, json};
use vestibule_schema::validator::Validator;

use super::error::DeploymentError;
use super::variables::{VariableChange, Variables};

/// What `convex.config.js` exports.
#[derive(Clone, Debug, PartialEq)]
pub struct AppDefinition {
    json: Json,
    /// Variables that the app declares.
    pub variables: Vec<DeclaredVariable>,
}

/// A variable that the app declares, with what its value must be.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredVariable {
    pub name: String,
    /// What its text must be.
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
        let children = json["childComponents"].as_array();
        if let Some(child) = children.and_then(|children| children.first()) {
            let name = child["name"].as_str().unwrap_or_default();
            return Err(DeploymentError::Components(name.to_owned()));
        }
        let declared = json["envVars"].as_array();
        let variables = declared.into_iter().flatten().map(DeclaredVariable::read);
        let variables = variables.collect::<Result<_, _>>()?;
        Ok(AppDefinition { json, variables })
    }

    /// As the reply to a push shows it.
    pub fn to_reply(&self) -> Json {
        let mut reply = self.json.clone();
        reply["path"] = json!("");
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

    /// Names of required variables that are not set.
    pub fn missing(&self, variables: &Variables) -> Vec<String> {
        let is_missing = |declared: &&DeclaredVariable| {
            !declared.optional && variables.get(&declared.name).is_none()
        };
        let missing = self.variables.iter().filter(is_missing);
        missing.map(|declared| declared.name.clone()).collect()
    }
}

impl DeclaredVariable {
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
