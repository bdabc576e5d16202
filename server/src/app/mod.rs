//! The app room: a team's description of its program, and the one place that builds the rooms from the bottom up and
//! drains them.

mod admin_client;
mod bounds;
pub mod config;
mod deploying;
mod error;
mod gauges;
#[cfg(feature = "typescript")]
mod js_gauges;
mod open_files;
mod push_gauges;
pub(crate) mod running;
pub mod settings;

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::future::Future;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use vestibule_schema::convert::to_value;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::table::{Index, Schema, Table};
use vestibule_schema::value::{Object, Value};

pub use admin_client::{ANSWER_BYTES_MAX, AdminClient, AdminClientError};
pub use bounds::Bounds;
pub use config::{Config, LogFormat};
pub use deploying::url_of;
pub use error::StartError;
pub use running::{Running, StopSignals};

pub use crate::database::Limits;
pub use crate::http::HTTP_REQUEST_BYTES_MAX;
pub use crate::jobs::JobsOptions;
pub use crate::sync::SyncOptions;

use settings::Environment;

use crate::clock::{Clock, SystemClock};
use crate::deployment::crons::CRON_ARGS_BYTES_MAX;
use crate::deployment::{Analyzer, Cron, Schedule};
use crate::functions::{
    ActionCtx, AppState, ArrivingRequest, Function, FunctionKind, HttpActionCtx, HttpRequest,
    HttpResponse, HttpRoute, MutationCtx, QueryCtx, Registry, RegistryError, Result,
    transfer_functions,
};
use crate::http::Asset;
use crate::jobs::first_run;
use crate::outbound::Origins;
use crate::probe::{Probe, Watch};
use crate::provisioning::{self, ProvisioningRules, Stated};
use crate::push;
use crate::storage::is_store;

/// A moment for people, in UTC, of milliseconds since 1970.
pub fn moment(millis: f64) -> String {
    match jiff::Timestamp::from_millisecond(millis as i64) {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => millis.to_string(),
    }
}

/// Whether a data directory holds a deployment already.
pub fn is_deployment(data: &Path) -> bool {
    is_store(data)
}

/// A team's program: its tables, its functions, and which of them provisions users.
///
/// ```no_run
/// use vestibule_server::prelude::*;
///
/// # async fn run(config: Config) -> std::result::Result<(), StartError> {
/// App::new(Schema::new())
///     .query("greetings:hello", |_: &mut QueryCtx, (): ()| Ok("Hello"))
///     .without_provisioning()
///     .serve(config)
///     .await
/// # }
/// ```
pub struct App {
    schema: Schema,
    functions: Vec<Function>,
    http_routes: Vec<HttpRoute>,
    crons: Vec<DeclaredCron>,
    state: AppState,
    provisioning: Provisioning,
    site: Vec<Asset>,
    limits: Limits,
    sync: SyncOptions,
    jobs: JobsOptions,
    runs_jobs: bool,
    gate_deadline: Duration,
    has_user: Option<FunctionPath>,
    analyzer: Option<Arc<dyn Analyzer>>,
    clock: Arc<dyn Clock>,
    probe: Probe,
}

enum Provisioning {
    Unsaid,
    None,
    With(String),
    AsDeployed,
}

/// How long a provisioning run may be retried before the connection is asked to come back later.
const GATE_DEADLINE: Duration = Duration::from_secs(5);
/// The internal query that [`App::users_by`] adds.
const HAS_USER: &str = "vestibule/provisioning:hasUser";

impl App {
    /// An app over `schema`.
    pub fn new(schema: Schema) -> App {
        App {
            schema,
            functions: Vec::new(),
            http_routes: Vec::new(),
            crons: Vec::new(),
            state: AppState::default(),
            provisioning: Provisioning::Unsaid,
            site: Vec::new(),
            limits: Limits::default(),
            sync: SyncOptions::default(),
            jobs: JobsOptions::default(),
            runs_jobs: true,
            gate_deadline: GATE_DEADLINE,
            has_user: None,
            analyzer: None,
            clock: Arc::new(SystemClock::new()),
            probe: Probe::none(),
        }
    }

    /// Adds a public query at `path`, as in `messages:list`.
    pub fn query<A, R>(
        self,
        path: &str,
        body: impl Fn(&mut QueryCtx<'_>, A) -> Result<R> + Send + Sync + 'static,
    ) -> App
    where
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
    {
        self.function(Function::query(path, body))
    }

    /// Adds a public mutation.
    pub fn mutation<A, R>(
        self,
        path: &str,
        body: impl Fn(&mut MutationCtx<'_>, A) -> Result<R> + Send + Sync + 'static,
    ) -> App
    where
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
    {
        self.function(Function::mutation(path, body))
    }

    /// Adds a public action.
    pub fn action<A, R, F>(
        self,
        path: &str,
        body: impl Fn(ActionCtx, A) -> F + Send + Sync + 'static,
    ) -> App
    where
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
        F: Future<Output = Result<R>> + Send + 'static,
    {
        self.function(Function::action(path, body))
    }

    /// Adds a function: for internal ones, and those with validators of their own.
    pub fn function(mut self, function: Function) -> App {
        self.functions.push(function);
        self
    }

    /// Adds an HTTP action: answers requests with this method at this path below `/http`, which stands for the site's
    /// address of other Convex servers. For webhooks, and other senders that are not clients.
    ///
    /// The server answers nothing for it, such as preflights of pages of other origins, and keeps no sender out. It may
    /// call every function, internal ones included. A request's body has at most
    /// [`HTTP_REQUEST_BYTES_MAX`] bytes.
    ///
    /// ```
    /// use vestibule_server::prelude::*;
    ///
    /// async fn hello(_: HttpActionCtx, request: HttpRequest) -> Result<HttpResponse> {
    ///     let whom = request.text()?;
    ///     Ok(HttpResponse::text(StatusCode::OK, format!("Hello, {whom}")))
    /// }
    ///
    /// // curl -d Ada http://127.0.0.1:3210/http/hello
    /// let app = App::new(Schema::new()).http_route(Method::POST, "/hello", hello);
    /// ```
    pub fn http_route<F>(
        mut self,
        method: Method,
        path: &str,
        body: impl Fn(HttpActionCtx, HttpRequest) -> F + Send + Sync + 'static,
    ) -> App
    where
        F: Future<Output = Result<HttpResponse>> + Send + 'static,
    {
        self.http_routes.push(HttpRoute::path(method, path, body));
        self
    }

    /// Adds an HTTP action for every path that begins with `prefix`, which ends with a slash. The longest prefix wins,
    /// and an exact path before it.
    pub fn http_route_prefix<F>(
        mut self,
        method: Method,
        prefix: &str,
        body: impl Fn(HttpActionCtx, HttpRequest) -> F + Send + Sync + 'static,
    ) -> App
    where
        F: Future<Output = Result<HttpResponse>> + Send + 'static,
    {
        let route = HttpRoute::path_prefix(method, prefix, body);
        self.http_routes.push(route);
        self
    }

    /// Adds an HTTP action that runs while the body of its request arrives. It is for long bodies, and for senders that
    /// wait for an answer to the first part before they send the next.
    ///
    /// ```
    /// use vestibule_server::prelude::*;
    ///
    /// async fn count(_: HttpActionCtx, mut request: ArrivingRequest) -> Result<HttpResponse> {
    ///     let mut bytes = 0;
    ///     while let Some(part) = request.chunk().await? {
    ///         bytes += part.len();
    ///     }
    ///     Ok(HttpResponse::text(StatusCode::OK, bytes.to_string()))
    /// }
    ///
    /// let app = App::new(Schema::new()).http_route_arriving(Method::POST, "/count", count);
    /// ```
    pub fn http_route_arriving<F>(
        mut self,
        method: Method,
        path: &str,
        body: impl Fn(HttpActionCtx, ArrivingRequest) -> F + Send + Sync + 'static,
    ) -> App
    where
        F: Future<Output = Result<HttpResponse>> + Send + 'static,
    {
        self.http_routes
            .push(HttpRoute::arriving(method, path, body));
        self
    }

    /// The same for every path that begins with `prefix`, which ends with a slash.
    pub fn http_route_prefix_arriving<F>(
        mut self,
        method: Method,
        prefix: &str,
        body: impl Fn(HttpActionCtx, ArrivingRequest) -> F + Send + Sync + 'static,
    ) -> App
    where
        F: Future<Output = Result<HttpResponse>> + Send + 'static,
    {
        let route = HttpRoute::arriving_prefix(method, prefix, body);
        self.http_routes.push(route);
        self
    }

    /// Hands `state` to the functions, which ask for it by its type: a client of another service, or a setting. Another
    /// value of its type is replaced. No query runs again because such a value changed, so it is for what stays as it is
    /// while the server runs.
    ///
    /// ```
    /// use vestibule_server::prelude::*;
    ///
    /// struct Greeting(String);
    ///
    /// fn hello(ctx: &mut QueryCtx, (): ()) -> Result<String> {
    ///     Ok(ctx.state::<Greeting>()?.0.clone())
    /// }
    ///
    /// let app = App::new(Schema::new())
    ///     .state(Greeting("Hello".to_string()))
    ///     .query("greetings:hello", hello);
    /// ```
    pub fn state<S: Send + Sync + 'static>(mut self, state: S) -> App {
        self.state = self.state.with(state);
        self
    }

    /// Runs a mutation or an action again and again, without an identity. All times are UTC. The name is the cron's
    /// identity: the next start with another schedule goes on from its last run.
    ///
    /// ```
    /// use vestibule_server::prelude::*;
    ///
    /// fn tidy(ctx: &mut MutationCtx, (): ()) -> Result<()> {
    ///     // Runs exactly once for each moment, whenever the server is restarted.
    ///     Ok(())
    /// }
    ///
    /// let nightly = Schedule::Daily { hour: 3, minute: Some(15) };
    /// let app = App::new(Schema::new())
    ///     .function(Function::mutation("rooms:tidy", tidy).internal())
    ///     .cron("tidy up", nightly, "rooms:tidy", ());
    /// ```
    pub fn cron(mut self, name: &str, schedule: Schedule, path: &str, args: impl Serialize) -> App {
        self.crons.push(DeclaredCron {
            name: name.to_string(),
            schedule,
            path: path.to_string(),
            args: to_value(&args).map_err(|error| error.to_string()),
        });
        self
    }

    /// Names the mutation that makes a user's document when it is missing. No function runs as an identity before this
    /// one has committed for it. It takes no arguments and must be safe to run again.
    pub fn provision_with(mut self, path: &str) -> App {
        self.provisioning = Provisioning::With(path.to_string());
        self
    }

    /// Declares the index by which a user's document is found by `tokenIdentifier`. In development the gate then looks,
    /// after each provisioning that wrote, whether the document is there, and complains loudly where it is not.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use vestibule_server::prelude::*;
    /// # #[derive(Serialize, Deserialize)]
    /// # struct User { token: String }
    /// impl User {
    ///     const BY_TOKEN: Index<User> = Index::unique("by_token", &["token"]);
    /// }
    /// # impl Table for User {
    /// #     const NAME: &'static str = "users";
    /// #     const INDEXES: &'static [Index<User>] = &[User::BY_TOKEN];
    /// # }
    /// let app = App::new(Schema::new().table::<User>()).users_by(User::BY_TOKEN);
    /// ```
    pub fn users_by<T: Table>(mut self, index: Index<T>) -> App {
        let has_user = move |ctx: &mut QueryCtx<'_>, (): ()| {
            let Some(identity) = ctx.identity()? else {
                return Ok(false);
            };
            let users = ctx.db().query::<T>();
            let user = users.index(index, identity.token_identifier()).first()?;
            Ok(user.is_some())
        };
        let function = Function::query(HAS_USER, has_user).internal();
        self.has_user = Some(HAS_USER.parse().expect("the path is well formed"));
        self.function(function)
    }

    /// Says that identities need no provisioning: functions run as soon as a token is verified.
    pub fn without_provisioning(mut self) -> App {
        self.provisioning = Provisioning::None;
        self
    }

    /// Leaves it to the deployment how identities are provisioned: to `VESTIBULE_PROVISION_WITH` and
    /// `VESTIBULE_PROVISION_WHEN` among its environment variables. Where neither is set, functions run as soon as a token is
    /// verified.
    pub fn provision_as_deployed(mut self) -> App {
        self.provisioning = Provisioning::AsDeployed;
        self
    }

    /// Serves a static file beside the API.
    pub fn asset(
        mut self,
        path: &str,
        content_type: &'static str,
        bytes: impl Into<bytes::Bytes>,
    ) -> App {
        self.site.push(Asset {
            path: path.to_string(),
            content_type,
            bytes: bytes.into(),
        });
        self
    }

    /// Sets the bounds of one execution.
    pub fn limits(mut self, limits: Limits) -> App {
        self.limits = limits;
        self
    }

    /// Sets the bounds and times of connections.
    pub fn sync_options(mut self, options: SyncOptions) -> App {
        self.sync = options;
        self
    }

    /// Sets the bounds of scheduled functions and crons.
    pub fn jobs_options(mut self, options: JobsOptions) -> App {
        self.jobs = options;
        self
    }

    /// Leaves scheduled functions and crons alone, as for a tool that looks into a deployment.
    pub fn without_jobs(mut self) -> App {
        self.runs_jobs = false;
        self
    }

    /// Sets the deadline for provisioning; five seconds by default.
    pub fn gate_deadline(mut self, deadline: Duration) -> App {
        self.gate_deadline = deadline;
        self
    }

    /// Sets another clock than the machine's, for tests in which time passes as told.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> App {
        self.clock = clock;
        self
    }

    /// Has the server watched from inside, for tests that judge it by a record.
    #[doc(hidden)]
    pub fn watched_by(mut self, watcher: Arc<dyn Watch>) -> App {
        self.probe = Probe::of(watcher);
        self
    }

    /// Starts the server and returns once it is ready.
    pub async fn start(self, config: Config) -> Result<Running, StartError> {
        running::start(self, config).await
    }

    /// Starts the server and runs it until the process is asked to stop, then lets what is under way finish.
    pub async fn serve(self, config: Config) -> Result<(), StartError> {
        let signals = StopSignals::listen()?;
        self.start(config).await?.until(signals).await;
        Ok(())
    }

    /// The app's functions and HTTP actions, checked.
    /// Evaluates pushed modules with `analyzer` instead of the server's own engine.
    pub fn analyzer(mut self, analyzer: impl Analyzer + 'static) -> App {
        self.analyzer = Some(Arc::new(analyzer));
        self
    }

    fn registry(&self, origins: &Origins, stated: &Stated) -> Result<Registry, RegistryError> {
        let functions = self.functions.iter().cloned();
        let functions = functions.chain(transfer_functions());
        let functions = functions.chain(provisioning::functions(stated));
        let functions = functions.chain(push::system::functions(origins));
        let registry = Registry::new(functions.collect())?.with_state(self.state.clone());
        registry.with_http_routes(self.http_routes.clone())
    }

    /// The app's crons, checked against the functions there are.
    fn crons(&self, registry: &Registry) -> Result<Vec<Cron>, StartError> {
        let mut names = HashSet::new();
        let crons = self
            .crons
            .iter()
            .map(|cron| match names.insert(&cron.name) {
                true => cron.check(registry),
                false => Err(cron.refused("is declared twice")),
            });
        crons.collect()
    }

    /// The source of the provisioning rules: the program, or the deployment and the flags that go before it.
    fn stated(&self, config: &Config) -> Result<Stated, StartError> {
        let (with, when) = (config.provision_with.clone(), config.provision_when.clone());
        let is_flagged = with.is_some() || when.is_some();
        match &self.provisioning {
            Provisioning::With(_) | Provisioning::None if is_flagged => {
                Err(StartError::ProvisioningTwice)
            }
            Provisioning::With(path) => {
                let problem = "is not a function path";
                let parsed = path.parse().map_err(|_| StartError::ProvisioningFunction {
                    path: path.clone(),
                    problem,
                })?;
                Ok(Stated::ByProgram(ProvisioningRules::mutation(parsed)))
            }
            Provisioning::None => Ok(Stated::ByProgram(ProvisioningRules::nothing())),
            Provisioning::Unsaid if !is_flagged => Err(StartError::ProvisioningUnsaid),
            Provisioning::Unsaid | Provisioning::AsDeployed => {
                ProvisioningRules::parse(with.as_deref(), when.as_deref())?;
                Ok(Stated::ByDeployment { with, when })
            }
        }
    }

    /// Checks the mutation that the program names against the functions there are.
    fn check_provisioning(&self, registry: &Registry) -> Result<(), StartError> {
        let Provisioning::With(path) = &self.provisioning else {
            return Ok(());
        };
        let problem = |problem| StartError::ProvisioningFunction {
            path: path.clone(),
            problem,
        };
        let parsed: FunctionPath = path
            .parse()
            .map_err(|_| problem("is not a function path"))?;
        let function = registry
            .get(&parsed)
            .ok_or_else(|| problem("is not registered"))?;
        if function.kind() != FunctionKind::Mutation {
            return Err(problem("is not a mutation"));
        }
        match function.takes_no_arguments() {
            true => Ok(()),
            false => Err(problem("needs arguments, and the gate has none to give")),
        }
    }
}

/// A cron as the program declares it.
struct DeclaredCron {
    name: String,
    schedule: Schedule,
    path: String,
    args: Result<Value, String>,
}

impl DeclaredCron {
    fn check(&self, registry: &Registry) -> Result<Cron, StartError> {
        let function: Option<FunctionPath> = self.path.parse().ok();
        let registered = function.and_then(|path| registry.get(&path));
        let registered =
            registered.ok_or_else(|| self.refused("runs a function that is not registered"))?;
        if registered.kind() == FunctionKind::Query {
            return Err(self.refused("runs a query; only a mutation or an action can be scheduled"));
        }
        let args = match &self.args {
            Ok(Value::Null) => Object::new(),
            Ok(Value::Object(args)) => args.clone(),
            Ok(_) => return Err(self.refused("has arguments that are not an object")),
            Err(error) => return Err(self.refused(error)),
        };
        if Value::Object(args.clone()).size() > CRON_ARGS_BYTES_MAX {
            return Err(self.refused("has too large arguments"));
        }
        if first_run(&self.schedule, 0).is_none() {
            return Err(self.refused("has a schedule that will never match any time"));
        }
        Ok(Cron {
            name: self.name.clone(),
            function: registered.path.clone(),
            args,
            schedule: self.schedule.clone(),
        })
    }

    fn refused(&self, problem: &str) -> StartError {
        StartError::Cron {
            name: self.name.clone(),
            problem: problem.to_string(),
        }
    }
}

/// Writes the server's log to standard error. `VESTIBULE_LOG` chooses what, as in `info` or
/// `vestibule_server::sync=debug`.
pub fn log_to_stderr(format: LogFormat) {
    // One that cannot be read has stopped the start with a sentence, or is another program's.
    let chosen = Environment::of_process().variable(config::LOG.variable);
    let filter = chosen.ok().flatten();
    let filter = filter
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(FilterFn::new(is_discreet));
    let log = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A program that has set up its own log keeps it.
    let _ = match format {
        LogFormat::Json => registry.with(log.json()).try_init(),
        LogFormat::Text => registry.with(log).try_init(),
    };
}

/// Whether something is logged when it is asked for. The WebSocket library would log whole messages, and with them
/// tokens and documents.
fn is_discreet(metadata: &tracing::Metadata<'_>) -> bool {
    let target = metadata.target();
    let is_talkative = ["tungstenite", "tokio_tungstenite"]
        .iter()
        .any(|library| target.starts_with(library));
    !is_talkative || *metadata.level() <= tracing::Level::INFO
}
