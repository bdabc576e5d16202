//! Pushed functions and HTTP routes: what analysis found, checked.

use serde_json::{Value as Json, json};
use vestibule_schema::path::FunctionPath;
use vestibule_schema::validator::Validator;

use super::analysis::{AnalyzedFunction, FunctionKind, ModuleAnalysis, Visibility};
use super::error::DeploymentError;
use super::modules::ModuleEnvironment;

/// HTTP routes of one deployment.
pub const HTTP_ROUTES_MAX: usize = 10_000;
/// Methods that a route may have.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

/// One function of a pushed module.
#[derive(Clone, Debug, PartialEq)]
pub struct PushedFunction {
    /// Where it is called.
    pub path: FunctionPath,
    /// Its kind.
    pub kind: FunctionKind,
    /// The callers it admits. A function that does not say admits only other functions.
    pub visibility: Visibility,
    /// The validator of its arguments.
    pub args: Validator,
    /// The validator of its result, when one is declared.
    pub returns: Option<Validator>,
    /// Where its module runs.
    pub environment: ModuleEnvironment,
    /// The line of its handler in the original file.
    pub line: Option<u32>,
}

/// One HTTP route of the pushed router.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PushedRoute {
    /// The path, or a prefix as in `/pre/*`.
    pub path: String,
    /// In upper case.
    pub method: String,
}

impl PushedFunction {
    /// Checks one function of the module at `module`.
    pub(super) fn read(
        module: &str,
        environment: ModuleEnvironment,
        analyzed: &AnalyzedFunction,
    ) -> Result<PushedFunction, DeploymentError> {
        let export = |reader: &'static str| format!("{module}:{}.{reader}()", analyzed.name);
        let path = FunctionPath::new(module, &analyzed.name).map_err(|error| {
            DeploymentError::FunctionName {
                module: module.to_owned(),
                function: analyzed.name.clone(),
                reason: error.to_string(),
            }
        })?;
        if environment == ModuleEnvironment::Node && analyzed.kind != FunctionKind::Action {
            return Err(DeploymentError::NotAnAction {
                path: path.canonical().to_owned(),
                kind: analyzed.kind.name(),
            });
        }
        let args = match &analyzed.args {
            Some(text) => read_validator(text, || export("exportArgs"))?.unwrap_or(Validator::Any),
            None => Validator::Any,
        };
        args.check_describes_args()
            .map_err(|reason| DeploymentError::Validator {
                export: export("exportArgs"),
                reason: reason.to_string(),
            })?;
        let returns = match &analyzed.returns {
            Some(text) => read_validator(text, || export("exportReturns"))?,
            None => None,
        };
        Ok(PushedFunction {
            path,
            kind: analyzed.kind,
            visibility: analyzed.visibility.unwrap_or(Visibility::Internal),
            args,
            returns,
            environment,
            line: analyzed.line,
        })
    }

    /// As function specifications show it: identifier, kind, visibility, validators.
    pub fn to_spec(&self) -> Json {
        let returns = self.returns.as_ref().unwrap_or(&Validator::Any);
        json!({
            "identifier": self.path.canonical(),
            "functionType": self.kind.name(),
            "visibility": {"kind": self.visibility.name()},
            "args": self.args.to_json(),
            "returns": returns.to_json(),
        })
    }
}

impl PushedRoute {
    /// Checks the routes of `http.js`.
    pub(super) fn all_of(analysis: &ModuleAnalysis) -> Result<Vec<PushedRoute>, DeploymentError> {
        let declared = analysis.http_routes.as_deref().unwrap_or_default();
        if declared.len() > HTTP_ROUTES_MAX {
            return Err(DeploymentError::TooManyRoutes(declared.len()));
        }
        declared.iter().map(PushedRoute::read).collect()
    }

    fn read((path, method): &(String, String)) -> Result<PushedRoute, DeploymentError> {
        let refused = |reason: &'static str| DeploymentError::Route {
            path: path.clone(),
            method: method.clone(),
            reason,
        };
        if !METHODS.contains(&method.as_str()) {
            return Err(refused("is not an allowed HTTP method"));
        }
        if !path.starts_with('/') {
            return Err(refused("does not start with a /"));
        }
        Ok(PushedRoute {
            path: path.clone(),
            method: method.clone(),
        })
    }

    /// As function specifications show it.
    pub fn to_spec(&self) -> Json {
        json!({"functionType": "HttpAction", "method": self.method, "path": self.path})
    }
}

/// Reads the JSON text of a validator; the text `null` is none.
fn read_validator(
    text: &str,
    export: impl Fn() -> String,
) -> Result<Option<Validator>, DeploymentError> {
    let json: Json =
        serde_json::from_str(text).map_err(|error| DeploymentError::ValidatorJson {
            export: export(),
            reason: error.to_string(),
        })?;
    if json.is_null() {
        return Ok(None);
    }
    let validator = Validator::from_json(&json);
    validator
        .map(Some)
        .map_err(|reason| DeploymentError::Validator {
            export: export(),
            reason: reason.to_string(),
        })
}
