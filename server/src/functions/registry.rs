//! Every function of a deployment, by path.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error as ThisError;
use vestibule_schema::id::TableNumber;
use vestibule_schema::object;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::validator::{TableNames, Validator};
use vestibule_schema::value::{ByteCount, Value, check_value};

use super::error::{Error, NOT_PERMITTED, Result};
use super::function::{Body, Function, FunctionKind, Visibility};
use super::handles::HandleKey;
use super::http_routes::{HttpRoute, HttpRoutes};
use super::js::code::Code;
use super::js::node::code::NodeCode;
use super::runner::Call;
use crate::auth::SystemAccess;
use crate::database::Definitions;
use crate::deployment::Deployment;
use crate::deployment::provisioning::{Callable, CallableMutations};

/// The code of a mutation or an action that is refused because its caller may only look.
pub const READ_ONLY_CODE: &str = "OperationNotPermitted";

/// Told to every client while the deployment is paused.
pub const PAUSED: &str = "Cannot run functions while this deployment is paused. Resume the deployment to allow functions to run.";

/// The functions of a deployment, immutable: a push brings another registry.
#[derive(Clone, Default)]
pub struct Registry {
    functions: HashMap<FunctionPath, Arc<Registered>>,
    http_routes: HttpRoutes,
    deployment: Arc<Deployment>,
    state: AppState,
    handle_key: HandleKey,
}

/// Values of the program's own that its functions use, one of a type.
#[derive(Clone, Default)]
pub struct AppState(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl AppState {
    /// The same with `value`. Another one of its type goes.
    pub fn with<S: Send + Sync + 'static>(mut self, value: S) -> AppState {
        self.0.insert(TypeId::of::<S>(), Arc::new(value));
        self
    }

    fn get<S: Send + Sync + 'static>(&self) -> Option<Arc<S>> {
        let value = self.0.get(&TypeId::of::<S>())?.clone();
        value.downcast().ok()
    }
}

/// A function with everything about it checked.
pub struct Registered {
    /// Its path.
    pub path: FunctionPath,
    /// The callers it admits.
    pub visibility: Visibility,
    /// The validator of its arguments.
    pub args: Validator,
    /// The validator of its result, when one is declared.
    pub returns: Option<Validator>,
    pub(super) body: Body,
    /// Whether it is a mutation that runs beside the lane.
    pub(super) is_beside: bool,
    /// The push it belongs to, when it was pushed.
    pub(super) pushed: Option<Pushed>,
    pub(super) tally: Arc<Tally>,
}

/// The push that a function belongs to.
pub(super) struct Pushed {
    /// Its modules.
    pub code: Arc<Code>,
    /// Its modules for Node.js, if it is an action in one of those.
    pub node: Option<Arc<NodeCode>>,
}

/// Executions of one function since the start.
#[derive(Default)]
pub(super) struct Tally {
    runs: AtomicU64,
    errors: AtomicU64,
}

/// The runs of a function since the start, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs {
    /// Its path; of an HTTP action its route.
    pub path: String,
    /// The name of its kind.
    pub kind: &'static str,
    /// Times it was called, refused arguments included.
    pub runs: u64,
    /// How many of them threw, panicked, or were refused for their arguments.
    pub errors: u64,
}

/// A function that cannot be registered.
#[derive(Debug, ThisError)]
pub enum RegistryError {
    #[error("`{0}` is not a function path; write `module:function`, as in `messages:list`")]
    Path(String),
    #[error("the function `{0}` is registered twice")]
    Twice(String),
    #[error("the arguments of `{path}`: {reason}")]
    Args { path: String, reason: String },
    #[error("the HTTP route `{label}` {problem}")]
    HttpRoute {
        label: String,
        problem: &'static str,
    },
    #[error("the HTTP route `{0}` is registered twice")]
    HttpRouteTwice(String),
}

impl Registry {
    /// A registry of `functions`.
    pub fn new(functions: Vec<Function>) -> std::result::Result<Registry, RegistryError> {
        let mut registry = Registry::default();
        for function in functions {
            let path: FunctionPath = function
                .path
                .parse()
                .map_err(|_| RegistryError::Path(function.path.clone()))?;
            let args = function.args.map_err(|reason| RegistryError::Args {
                path: function.path.clone(),
                reason,
            })?;
            let Function {
                visibility,
                returns,
                body,
                is_beside,
                ..
            } = function;
            let registered = Arc::new(Registered {
                path: path.clone(),
                visibility,
                args,
                returns,
                body,
                is_beside,
                pushed: None,
                tally: Arc::default(),
            });
            if registry.functions.insert(path, registered).is_some() {
                return Err(RegistryError::Twice(function.path));
            }
        }
        Ok(registry)
    }

    /// The functions that transactions on `definitions` use.
    pub fn of(definitions: &Definitions) -> &Registry {
        let registry = definitions.extension.downcast_ref();
        registry.expect("the runner installs a registry before anything runs")
    }

    /// The same with values that functions use.
    pub fn with_state(mut self, state: AppState) -> Registry {
        self.state = state;
        self
    }

    /// The same, whose function handles are made and read with `key`.
    pub fn with_handle_key(mut self, key: HandleKey) -> Registry {
        self.handle_key = key;
        self
    }

    /// The key of function handles.
    pub(super) fn handle_key(&self) -> HandleKey {
        self.handle_key
    }

    /// The value of this type that the program handed in.
    pub(super) fn state<S: Send + Sync + 'static>(&self) -> Result<Arc<S>> {
        self.state.get().ok_or_else(|| {
            let name = std::any::type_name::<S>();
            Error::new(format!(
                "there is no state of type `{name}`: hand it in with `App::state`"
            ))
        })
    }

    /// The same with pushed functions, which never replace an existing one.
    pub(super) fn with_functions(mut self, functions: Vec<Registered>) -> Registry {
        for function in functions {
            let path = function.path.clone();
            self.functions
                .entry(path)
                .or_insert_with(|| Arc::new(function));
        }
        self
    }

    /// The same, whose pushed functions and routes go on with the counts that they had in `before`.
    pub(super) fn counting_on(mut self, before: &Registry) -> Registry {
        for (path, function) in &mut self.functions {
            let same = before.functions.get(path);
            let same = same.filter(|same| same.kind() == function.kind());
            // Those of the program itself are shared, counts included.
            if let Some((function, same)) = Arc::get_mut(function).zip(same) {
                function.tally = same.tally.clone();
            }
        }
        self.http_routes.count_on(&before.http_routes);
        self
    }

    /// Every function, in no order.
    pub fn functions(&self) -> impl Iterator<Item = &Arc<Registered>> {
        self.functions.values()
    }

    /// The same with an app's HTTP actions.
    pub fn with_http_routes(
        mut self,
        routes: Vec<HttpRoute>,
    ) -> std::result::Result<Registry, RegistryError> {
        self.http_routes = HttpRoutes::new(routes)?;
        Ok(self)
    }

    /// The same with what was pushed.
    pub fn with_deployment(mut self, deployment: Arc<Deployment>) -> Registry {
        self.deployment = deployment;
        self
    }

    /// The pushed deployment.
    pub fn deployment(&self) -> &Arc<Deployment> {
        &self.deployment
    }

    /// Every function and route, as tools list them.
    pub fn specs(&self) -> Vec<serde_json::Value> {
        let is_app = |function: &&Arc<Registered>| {
            let path = &function.path;
            !path.is_system() && self.deployment.function(path).is_none()
        };
        let mut native: Vec<&Arc<Registered>> = self.functions.values().filter(is_app).collect();
        native.sort_by(|one, other| one.path.cmp(&other.path));
        let native = native.into_iter().map(|function| function.spec());
        native.chain(self.deployment.function_specs()).collect()
    }

    /// The same with the routes of a pushed router, which never replace an existing route. A deployment without a
    /// router has none.
    pub fn with_pushed_routes(mut self, routes: Option<Vec<HttpRoute>>) -> Registry {
        if let Some(routes) = routes {
            self.http_routes = self.http_routes.with_pushed(routes);
        }
        self
    }

    /// The routes of the HTTP actions.
    pub fn http_routes(&self) -> &HttpRoutes {
        &self.http_routes
    }

    /// The runs of each function, by path.
    pub fn runs(&self) -> Vec<Runs> {
        let functions = self.functions.values().map(|function| {
            let (path, kind) = (function.path.to_string(), function.kind().name());
            function.tally.runs(path, kind)
        });
        let mut runs: Vec<Runs> = functions.chain(self.http_routes.runs()).collect();
        runs.sort_by(|a, b| a.path.cmp(&b.path));
        runs
    }

    /// The function at `path`, for any caller.
    pub fn get(&self, path: &FunctionPath) -> Option<&Arc<Registered>> {
        self.functions.get(path)
    }

    /// Whether there is another function in the module of `wanted`.
    pub(super) fn has_module_of(&self, wanted: &FunctionPath) -> bool {
        let is_of_it = |path: &FunctionPath| {
            path.module() == wanted.module() && path.component() == wanted.component()
        };
        self.functions.keys().any(is_of_it)
    }

    /// The function that a call by `path` runs. Those of the system are the same in every component, whose path tells them
    /// which one they look at.
    fn named(&self, path: &FunctionPath) -> Option<&Arc<Registered>> {
        match path.is_system() && !path.component().is_root() {
            true => self.functions.get(&path.local()),
            false => self.functions.get(path),
        }
    }

    /// The function that `call` names, when it is of `kind` and its caller may run functions of that kind.
    pub fn find(&self, kind: FunctionKind, call: &Call) -> Result<&Arc<Registered>> {
        let function = self.find_any(call)?;
        if function.kind() != kind {
            let (wanted, actual) = (kind.name(), function.kind().name());
            let path = call.path.canonical();
            return Err(Error::plain(format!(
                "Trying to execute {path} as {wanted}, but it is defined as {actual}."
            )));
        }
        if kind != FunctionKind::Query && !call.caller.may_write() {
            return Err(Error::application(
                object! { "code" => READ_ONLY_CODE, "reason" => "this admin key may run queries only" },
            ));
        }
        // A user who is acted as has no part in the system's own functions but for looking. Nor has a function of the app
        // that an admin key calls: it may have the path from its arguments.
        let may_change =
            call.caller.may_call_system() == SystemAccess::All && !call.source.is_inside();
        if kind != FunctionKind::Query && call.path.is_system() && !may_change {
            return Err(Error::plain(NOT_PERMITTED));
        }
        Ok(function)
    }

    /// The function that `call` names, of whatever kind. Functions that do not exist and functions that the caller
    /// may not call are refused in the same words.
    pub fn find_any(&self, call: &Call) -> Result<&Arc<Registered>> {
        if call.path.is_system() && call.caller.may_call_system() == SystemAccess::None {
            return Err(Error::plain(NOT_PERMITTED));
        }
        // Administrators look at a component through them. The code of one would see the app, and other components.
        let is_of_component = !call.path.component().is_root();
        if call.path.is_system() && is_of_component && call.source.is_inside() {
            return Err(Error::plain(NOT_PERMITTED));
        }
        let is_paused = self.deployment.settings.is_paused;
        if is_paused && !call.source.is_inside() && !call.path.is_system() {
            return Err(Error::plain(PAUSED));
        }
        let may_call_internal = call.source.is_inside() || call.caller.may_call_internal();
        // Clients call the app alone.
        let is_open = |function: &Registered| {
            function.visibility == Visibility::Public && function.path.component().is_root()
        };
        self.named(&call.path)
            .filter(|function| is_open(function) || may_call_internal)
            .ok_or_else(|| Error::plain(no_public_function(&call.path)))
    }
}

/// The text for a function that is not there, or not for its caller.
pub(super) fn no_public_function(path: &FunctionPath) -> String {
    format!("Could not find public function for {}.", quoted(path))
}

/// A function's path as errors quote it: with the component that it is looked for in.
pub fn quoted(path: &FunctionPath) -> String {
    match path.component() {
        root if root.is_root() => format!("'{path}'"),
        component => format!("'{}' in '{component}'", path.local()),
    }
}

impl CallableMutations for Registry {
    fn callable(&self, path: &FunctionPath) -> Option<Callable<'_>> {
        let registered = self.get(path).map(|function| Callable {
            kind: function.kind(),
            args: &function.args,
        });
        // Without an engine, pushed functions are known but not registered.
        registered.or_else(|| {
            let function = self.deployment.function(path)?;
            Some(Callable {
                kind: function.kind,
                args: &function.args,
            })
        })
    }
}

impl Tally {
    pub fn count(&self, is_error: bool) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        if is_error {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn runs(&self, path: String, kind: &'static str) -> Runs {
        Runs {
            path,
            kind,
            runs: self.runs.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
        }
    }
}

impl Registered {
    /// Its kind.
    pub fn kind(&self) -> FunctionKind {
        match self.body {
            Body::Query(_) => FunctionKind::Query,
            Body::Mutation(_) => FunctionKind::Mutation,
            Body::Action(_) => FunctionKind::Action,
        }
    }

    /// Whether it was pushed.
    pub fn is_pushed(&self) -> bool {
        self.pushed.is_some()
    }

    /// The push it belongs to, when it was pushed.
    pub(super) fn pushed(&self) -> Option<&Pushed> {
        self.pushed.as_ref()
    }

    /// The memory that a run of it will take beside the server's own, in bytes.
    pub(super) fn bytes_expected(&self) -> usize {
        let pushed = self.pushed.as_ref();
        let here = pushed.filter(|pushed| pushed.node.is_none());
        here.map_or(0, |pushed| pushed.code.bytes_expected())
    }

    /// As function specifications show it.
    fn spec(&self) -> serde_json::Value {
        let returns = self.returns.as_ref().unwrap_or(&Validator::Any);
        serde_json::json!({
            "identifier": self.path.canonical(),
            "functionType": self.kind().name(),
            "visibility": {"kind": self.visibility.name()},
            "args": self.args.to_json(),
            "returns": returns.to_json(),
        })
    }

    /// Whether it is a mutation that runs beside the lane, as a draft.
    pub fn is_beside(&self) -> bool {
        self.is_beside && self.kind() == FunctionKind::Mutation
    }

    /// Whether it can be called with no arguments at all.
    pub fn takes_no_arguments(&self) -> bool {
        let nothing = Value::Object(Default::default());
        self.args.check(&nothing, &NoTables).is_ok()
    }

    /// Counts a call.
    pub(super) fn count(&self, is_error: bool) {
        self.tally.count(is_error);
    }

    /// Checks what a client or another function passes.
    pub(super) fn check_args(
        &self,
        args: &Value,
        tables: &dyn TableNames,
        bytes_max: usize,
    ) -> Result<()> {
        let size = args.size();
        if size > bytes_max {
            let (actual, limit) = (ByteCount(size), ByteCount(bytes_max));
            let path = self.path.canonical();
            let message =
                format!("Arguments for {path} are too large (actual: {actual}, limit: {limit})");
            return Err(Error::limit("ArgumentsTooLarge", message));
        }
        check_value(args).map_err(|error| {
            Error::plain(format!(
                "Invalid arguments for {}: {error}",
                self.path.canonical()
            ))
        })?;
        let checked = self.args.check(args, tables);
        checked.map_err(|error| Error::plain(format!("ArgumentValidationError: {error}")))
    }

    /// Checks what the function returned.
    pub(super) fn check_result(
        &self,
        value: &Value,
        tables: &dyn TableNames,
        bytes_max: usize,
    ) -> Result<()> {
        let path = self.path.canonical();
        // The bounds of documents: the server's own functions list more tables and functions than an object has fields.
        if !self.path.is_system() {
            check_value(value).map_err(|error| {
                Error::plain(format!("Function {path} return value invalid: {error}"))
            })?;
        }
        let size = value.size();
        if size > bytes_max {
            let (actual, limit) = (ByteCount(size), ByteCount(bytes_max));
            let message = format!(
                "Function {path} return value is too large (actual: {actual}, limit: {limit})"
            );
            return Err(Error::limit("ResultTooLarge", message));
        }
        match &self.returns {
            Some(returns) => returns
                .check(value, tables)
                .map_err(|error| Error::plain(format!("ReturnsValidationError: {error}"))),
            None => Ok(()),
        }
    }
}

/// An empty object holds no ids, so no table is ever looked up.
struct NoTables;

impl TableNames for NoTables {
    fn table_number(&self, _: &str) -> Option<TableNumber> {
        None
    }

    fn table_name(&self, _: TableNumber) -> Option<&str> {
        None
    }
}
