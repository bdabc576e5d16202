//! The deployment room: the pushed app as plain data. Nothing here reads, writes or waits.
//!
//! A push is described by a [`Manifest`], which is stored. A [`Deployment`] is made from a manifest and the environment
//! variables, and fully checked. It is immutable, and functions see the one of their snapshot.

pub mod analysis;
mod components;
pub mod crons;
mod definition;
pub mod diff;
mod error;
mod functions;
mod manifest;
pub mod modules;
pub mod provisioning;
mod schema;
mod superset;
#[cfg(test)]
mod tests;
pub mod variables;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use vestibule_schema::path::{ComponentPath, FunctionPath};

pub use self::analysis::{
    Analysis, AnalyzeError, AnalyzeInput, AnalyzedFunction, Analyzer, FunctionKind, ModuleAnalysis,
    NoJavaScript, SourceModule, Visibility,
};
pub use self::components::{ComponentManifest, Components, Given};
pub use self::crons::{Cron, CronError, CronExpression, Schedule};
pub use self::definition::{AppDefinition, CHILD_REFERENCE, COMPONENTS_MAX, ChildComponent};
pub use self::diff::IndexDiff;
pub use self::error::DeploymentError;
pub use self::functions::{PushedFunction, PushedRoute};
pub use self::manifest::{ImportPhase, MANIFEST_VERSION, Manifest, NodeDependency};
use self::modules::{CRONS_MODULE, HTTP_MODULE, MODULES_MAX, ModulePathError, check_module_path};
pub use self::modules::{Module, ModuleEnvironment};
pub use self::schema::{PushedIndex, PushedSchema, PushedTable, fields_json};
pub use self::superset::allows_all;
pub use self::variables::{CLOUD_URL, VariableChange, VariableError, Variables};
use crate::auth::AuthConfig;

/// A deployment as of one commit.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    /// The push that it comes from; none before the first.
    pub push: Option<PushInfo>,
    /// The folder of the functions in the developer's project.
    pub functions_folder: String,
    /// The version of the package that it was bundled with.
    pub server_version: String,
    /// The version of Node.js that it asks for.
    pub node_version: Option<String>,
    /// Packages that modules in Node.js need beside what is bundled.
    pub node_dependencies: Vec<NodeDependency>,
    /// Seed and time with which modules are imported.
    pub import: ImportPhase,
    /// The modules, by path.
    pub modules: BTreeMap<String, Module>,
    /// The analysis of the modules, by path.
    pub analysis: Arc<BTreeMap<String, ModuleAnalysis>>,
    /// The functions, by path; those of components are among the components'.
    pub functions: HashMap<FunctionPath, Arc<PushedFunction>>,
    /// The routes of HTTP actions; none without `http.js`.
    pub http_routes: Option<Vec<PushedRoute>>,
    /// The cron jobs, by name.
    pub crons: Vec<Cron>,
    /// The schema, when there is one.
    pub schema: Option<PushedSchema>,
    /// The auth providers; none without `auth.config.js`.
    pub auth: Option<AuthConfig>,
    auth_json: Vec<Json>,
    /// The app's definition.
    pub definition: AppDefinition,
    /// The components that it mounts.
    pub components: Components,
    /// The environment variables.
    pub variables: Variables,
    /// The settings that change while it runs.
    pub settings: Settings,
}

/// Settings that are changed while a deployment runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether functions are refused.
    pub is_paused: bool,
    /// The origin of the API as clients know it, where that is not the configured one.
    pub cloud_url: Option<String>,
    /// The origin of the HTTP actions.
    pub site_url: Option<String>,
}

/// Which push a deployment comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct PushInfo {
    /// Its id.
    pub id: String,
    /// The message of the person who pushed.
    pub message: Option<String>,
    /// When, in milliseconds since 1970.
    pub at_millis: f64,
}

impl Deployment {
    /// A deployment before the first push.
    pub fn new(variables: Variables) -> Deployment {
        Deployment {
            functions_folder: DEFAULT_FUNCTIONS_FOLDER.to_owned(),
            variables,
            ..Deployment::default()
        }
    }

    /// Reads a push, and checks it.
    pub fn from_manifest(
        manifest: &Manifest,
        variables: Variables,
    ) -> Result<Deployment, DeploymentError> {
        let (auth, auth_json) = read_auth(manifest.auth_config.as_deref())?;
        let definition = manifest.definition.as_deref().map(AppDefinition::from_text);
        let definition = definition.transpose()?.unwrap_or_default();
        Ok(Deployment {
            push: Some(PushInfo {
                id: manifest.push_id.clone(),
                message: manifest.message.clone(),
                at_millis: manifest.pushed_at_millis,
            }),
            auth,
            auth_json,
            components: components::mount(manifest, &definition)?,
            definition,
            variables,
            ..Deployment::read_part(manifest, ComponentPath::ROOT)?
        })
    }

    /// Reads what an app and a component may have, as that of `component`.
    fn read_part(
        manifest: &Manifest,
        component: ComponentPath,
    ) -> Result<Deployment, DeploymentError> {
        let modules = modules_of(manifest)?;
        let functions = functions_of(manifest, &modules, &component)?;
        let http_routes = manifest.analysis.get(HTTP_MODULE);
        let crons = crons_of(manifest, &component)?;
        check_targets(&crons, &functions)?;
        let schema = manifest.schema.as_deref().map(PushedSchema::from_text);
        Ok(Deployment {
            functions_folder: manifest.functions.clone(),
            server_version: manifest.server_version.clone(),
            node_version: manifest.node_version.clone(),
            node_dependencies: manifest.node_dependencies.clone(),
            import: manifest.import.clone(),
            modules,
            analysis: Arc::new(manifest.analysis.clone()),
            functions,
            http_routes: http_routes
                .filter(|http| http.http_routes.is_some())
                .map(PushedRoute::all_of)
                .transpose()?,
            crons,
            schema: schema.transpose()?,
            ..Deployment::default()
        })
    }

    /// The same with other variables.
    pub fn with_variables(&self, variables: Variables) -> Deployment {
        Deployment {
            variables,
            ..self.clone()
        }
    }

    /// The same with other settings.
    pub fn with_settings(&self, settings: Settings) -> Deployment {
        Deployment {
            settings,
            ..self.clone()
        }
    }

    /// The same with other auth providers.
    pub fn with_auth(&self, auth_config: Option<&str>) -> Result<Deployment, DeploymentError> {
        let (auth, auth_json) = read_auth(auth_config)?;
        Ok(Deployment {
            auth,
            auth_json,
            ..self.clone()
        })
    }

    /// The function at `path`, for any caller.
    pub fn function(&self, path: &FunctionPath) -> Option<&Arc<PushedFunction>> {
        self.part(path.component())?.functions.get(path)
    }

    /// The cron job called `name`.
    pub fn cron(&self, name: &str) -> Option<&Cron> {
        self.crons.iter().find(|cron| cron.name == name)
    }

    /// The auth providers as tools show them, in order.
    pub fn auth_json(&self) -> &[Json] {
        &self.auth_json
    }

    /// Every function and route, as tools list them: modules by path, functions in the order of their file.
    pub fn function_specs(&self) -> Vec<Json> {
        let mut functions: Vec<&Arc<PushedFunction>> = self.functions.values().collect();
        functions.sort_by_key(|function| {
            let path = &function.path;
            (
                path.module_file().to_owned(),
                function.line,
                path.function().to_owned(),
            )
        });
        let functions = functions.into_iter().map(|function| function.to_spec());
        let routes = self.http_routes.iter().flatten().map(PushedRoute::to_spec);
        functions.chain(routes).collect()
    }
}

/// Where functions are unless the developer says otherwise.
pub const DEFAULT_FUNCTIONS_FOLDER: &str = "convex/";

fn modules_of(manifest: &Manifest) -> Result<BTreeMap<String, Module>, DeploymentError> {
    if manifest.modules.len() > MODULES_MAX {
        return Err(DeploymentError::TooManyModules(manifest.modules.len()));
    }
    let mut modules = BTreeMap::new();
    for module in &manifest.modules {
        check_module_path(&module.path)?;
        let is_special = [HTTP_MODULE, CRONS_MODULE, modules::AUTH_CONFIG_MODULE]
            .contains(&module.path.as_str());
        if is_special && module.environment == ModuleEnvironment::Node {
            return Err(DeploymentError::NotForNode(module.path.clone()));
        }
        if modules
            .insert(module.path.clone(), module.clone())
            .is_some()
        {
            return Err(ModulePathError::Twice(module.path.clone()).into());
        }
    }
    Ok(modules)
}

type Functions = HashMap<FunctionPath, Arc<PushedFunction>>;

fn functions_of(
    manifest: &Manifest,
    modules: &BTreeMap<String, Module>,
    component: &ComponentPath,
) -> Result<Functions, DeploymentError> {
    let mut functions = Functions::new();
    for (path, analysis) in &manifest.analysis {
        let environment = modules.get(path).map(|module| module.environment);
        for function in &analysis.functions {
            let environment = environment.unwrap_or_default();
            let mut function = PushedFunction::read(path, environment, function)?;
            function.path = function.path.in_component(component.clone());
            functions.insert(function.path.clone(), Arc::new(function));
        }
    }
    Ok(functions)
}

fn crons_of(manifest: &Manifest, component: &ComponentPath) -> Result<Vec<Cron>, DeploymentError> {
    let analysis = manifest.analysis.get(CRONS_MODULE);
    let Some(text) = analysis.and_then(|analysis| analysis.crons.as_deref()) else {
        return Ok(Vec::new());
    };
    let crons = Cron::all_from_json(text)?.into_iter().map(|cron| Cron {
        function: cron.function.in_component(component.clone()),
        ..cron
    });
    Ok(crons.collect())
}

fn check_targets(crons: &[Cron], functions: &Functions) -> Result<(), CronError> {
    for cron in crons {
        let (name, path) = (cron.name.clone(), cron.function.canonical().to_owned());
        match functions.get(&cron.function).map(|function| function.kind) {
            Some(FunctionKind::Mutation | FunctionKind::Action) => {}
            Some(kind @ FunctionKind::Query) => {
                let kind = kind.name();
                return Err(CronError::WrongKind { name, path, kind });
            }
            None => return Err(CronError::NoFunction { name, path }),
        }
    }
    Ok(())
}

/// Reads an auth config; each provider as tools show it is among what is returned.
fn read_auth(text: Option<&str>) -> Result<(Option<AuthConfig>, Vec<Json>), DeploymentError> {
    let Some(text) = text else {
        return Ok((None, Vec::new()));
    };
    let json: Json =
        serde_json::from_str(text).map_err(|error| DeploymentError::AuthJson(error.to_string()))?;
    let auth = AuthConfig::from_json(&json)?;
    let listed = json["providers"].as_array().cloned().unwrap_or_default();
    let shown = listed.into_iter().zip(auth.providers());
    let shown = shown.map(|(mut json, provider)| {
        match json.get("type") {
            Some(_) if json["applicationID"].is_null() => json["applicationID"] = Json::Null,
            Some(_) => {}
            None => json["domain"] = json!(provider.issuer()),
        }
        json
    });
    let shown = shown.collect();
    Ok((Some(auth), shown))
}
