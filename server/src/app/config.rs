//! The flags and environment variables of a server, and their meaning together.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use super::bounds::Bounds;
use super::settings::parse::{self, AllowedOrigin};
use super::settings::{Environment, Given, Kind, NoFlags, Setting, SettingError};
use crate::auth::{AuthConfig, AuthConfigError, DeploymentSecret, ProviderConfig};
use crate::deployment::VariableChange;
use crate::functions::NodeProgram;
use crate::outbound::Network;

/// How a server is run: built by a program, or read from its command line and environment. Each flag is also an
/// environment variable, and `VESTIBULE_X_FILE` names a file that holds what `VESTIBULE_X` would. An empty value is none.
///
/// ```
/// use vestibule_server::prelude::*;
///
/// // For a program that reads its settings by itself. A server on a free port, behind Clerk:
/// let config = Config::new("/var/lib/chat")
///     .listen(([127, 0, 0, 1], 0))
///     .issuer("https://clerk.example.com", "convex")
///     .allowed_origins(["https://chat.example.com"]);
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Where the app's HTTP actions are at the root of an origin of their own. Nowhere when nothing is said.
    pub site_listen: Option<SiteListen>,
    /// Data directory; made when it is missing.
    pub data: PathBuf,
    /// Development mode: a built-in issuer signs in every client that asks, and clients see error texts and logs. When
    /// it is not set, it is on where no issuer is given, on a loopback address, behind no proxy.
    pub dev: Option<bool>,
    /// Whether a built-in issuer signs in every client that asks. When it is not set, it is on in development mode.
    pub dev_issuer: Option<bool>,
    /// Issuer of auth tokens: an OpenID Connect provider.
    pub issuer: Option<String>,
    /// Audience that auth tokens must name.
    pub audience: Option<String>,
    /// Providers as JSON, as auth.config holds them: `{"providers":[…]}`.
    pub auth_config: Option<String>,
    /// Name of the deployment, in admin keys and at `/instance_name`.
    pub name: String,
    /// Where clients reach this server, as in https://api.example.com; the address it listens on when not given.
    pub origin: Option<String>,
    /// Where HTTP actions are reached. When not given, `/http` below the origin, or the address of `site_listen` where no
    /// origin is given either.
    pub site_origin: Option<String>,
    /// Environment variables of the deployment, each set if it never was before.
    pub env: Vec<VariableChange>,
    /// Origins of pages that may connect, as browsers spell them; every origin when there is no list.
    pub allowed_origins: Option<Vec<String>>,
    /// First logins of one issuer in a minute. Known users are not counted.
    pub first_logins_per_minute: Option<NonZeroU32>,
    /// The mutation that runs once for an identity before anything else runs as it, as in `users:store`. Goes before the
    /// deployment's own variable of this name.
    pub provision_with: Option<String>,
    /// The index in which a provisioned identity has a document, and the claim that it equals, as in
    /// `users.by_clerk_id:subject`. Goes before the deployment's own variable of this name.
    pub provision_when: Option<String>,
    /// Reverse proxies before this server, whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<Network>,
    /// Networks that `fetch` of JavaScript actions may reach although they are not public. In development mode every
    /// address may be reached. Where `HTTP_PROXY` and its like are set, the proxy decides instead.
    pub fetch_allow: Vec<Network>,
    /// Memory for documents that are asked for or have changed, in MiB; 96 when nothing is said.
    pub document_cache_mib: Option<NonZeroU32>,
    /// Whether functions of packages that this server knows, such as `convexToJson`, run natively.
    pub native_heads: bool,
    /// The Node.js that runs actions in modules with "use node".
    pub node: NodeProgram,
    /// Whether packages that convex.json leaves out of the bundle are installed from the npm registry.
    pub node_packages: bool,
    /// Whether packages for Node.js may load native code, which nothing keeps in its place.
    pub node_addons: bool,
    /// Other bounds than the rooms' own.
    pub bounds: Bounds,
    /// How the log on standard error is written.
    pub log_format: LogFormat,
    /// Hide error texts and log lines from clients. When it is not set, it is on, unless in development mode.
    pub redact: Option<bool>,
    /// The deployment's secret, where it is not kept in the data directory.
    pub secret: Option<DeploymentSecret>,
}

/// Whether and where HTTP actions have a listener of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteListen {
    /// They have none.
    Off,
    /// At this address.
    At(SocketAddr),
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Address to listen on when none is given.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:3210";
/// Port for HTTP actions at an address that names none.
const SITE_PORT_DEFAULT: u16 = 3211;
/// Data directory when none is given.
pub const DATA_DEFAULT: &str = "vestibule-data";
/// Name of a deployment that is given none.
pub const NAME_DEFAULT: &str = "vestibule";

macro_rules! settings {
    ($($name:ident: $flag:expr, $variable:literal, $kind:ident, $value:literal, $example:literal, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $name: Setting = Setting {
                flag: $flag,
                variable: $variable,
                value_name: $value,
                help: $help,
                example: $example,
                kind: Kind::$kind,
            };
        )*
        /// Every setting of a server.
        pub const SETTINGS: &[Setting] = &[$($name),*];
    };
}

#[rustfmt::skip]
settings! {
    LISTEN: Some("listen"), "VESTIBULE_LISTEN", One, "ADDR", "127.0.0.1:3210",
        "Address to listen on; 127.0.0.1:3210 when not given.";
    SITE_LISTEN: Some("site-listen"), "VESTIBULE_SITE_LISTEN", One, "ADDR", "127.0.0.1:3211",
        "Address to listen on for HTTP actions at the root of an origin, or off. `vestibule serve` listens on the next port after --listen when this is not given, as on 127.0.0.1:3211; other programs do not.";
    DATA: Some("data"), "VESTIBULE_DATA", One, "DIR", "vestibule-data",
        "Data directory, made when it is missing; vestibule-data when not given.";
    DEV: Some("dev"), "VESTIBULE_DEV", Switch, "BOOL", "false",
        "Development mode: clients see error texts and logs, and fetch of JavaScript actions may reach every address. A program of one's own is in it by default without an issuer, on a loopback address, and its development issuer is on; --dev=false turns both off. `vestibule serve` is in it only when told so.";
    DEV_ISSUER: Some("dev-issuer"), "VESTIBULE_DEV_ISSUER", Switch, "BOOL", "false",
        "A built-in issuer signs in anyone who asks, at /dev/token: on a loopback address only, and only until a push names a real provider. The default in development mode, but for `vestibule serve`.";
    ISSUER: Some("issuer"), "VESTIBULE_ISSUER", One, "URL", "https://your-app.clerk.accounts.dev",
        "Issuer of auth tokens: an OpenID Connect provider, as https://your-app.clerk.accounts.dev.";
    AUDIENCE: Some("audience"), "VESTIBULE_AUDIENCE", One, "AUD", "convex",
        "Audience that auth tokens must name.";
    AUTH_CONFIG: Some("auth-config"), "VESTIBULE_AUTH_CONFIG", One, "JSON", r#"{"providers":[{"domain":"https://your-app.clerk.accounts.dev","applicationID":"convex"}]}"#,
        r#"Providers as JSON, as auth.config holds them: {"providers":[…]}. For several issuers, or customJwt."#;
    NAME: Some("name"), "VESTIBULE_NAME", One, "NAME", "vestibule",
        "Name of the deployment, in admin keys and at /instance_name; vestibule when not given.";
    ORIGIN: Some("origin"), "VESTIBULE_ORIGIN", One, "URL", "https://api.example.com",
        "Where clients reach this server, as in https://api.example.com; the address it listens on when not given.";
    SITE_ORIGIN: Some("site-origin"), "VESTIBULE_SITE_ORIGIN", One, "URL", "https://site.example.com",
        "Where HTTP actions are reached. When not given: /http below --origin, or the address of --site-listen where there is no --origin.";
    ENV: Some("env"), "VESTIBULE_ENV", Lines, "NAME=VALUE", "OPENAI_API_KEY=sk-1234",
        "Environment variable of the deployment, as `npx convex env set` sets it. It is set only if it never was before, so that what people change later stays. The variable VESTIBULE_ENV holds one a line; VESTIBULE_ENV_NAME is the value of NAME.";
    ALLOWED_ORIGINS: Some("allowed-origin"), "VESTIBULE_ALLOWED_ORIGINS", Many, "ORIGIN", "https://app.example.com",
        "Origins of pages that may connect; every origin may when none is given, or *.";
    FIRST_LOGINS_PER_MINUTE: Some("first-logins-per-minute"), "VESTIBULE_FIRST_LOGINS_PER_MINUTE", One, "NUMBER", "600",
        "First logins of one issuer in a minute, where anybody may sign up; no bound when not given. Known users are not counted.";
    PROVISION_WITH: Some("provision-with"), "VESTIBULE_PROVISION_WITH", One, "MUTATION", "users:store",
        "The mutation that runs once for an identity before anything else runs as it, as users:store. Goes before the deployment's own variable of this name.";
    PROVISION_WHEN: Some("provision-when"), "VESTIBULE_PROVISION_WHEN", One, "INDEX:CLAIM", "users.by_clerk_id:subject",
        "The index in which a provisioned identity has a document, and the claim that it equals, as users.by_clerk_id:subject. Goes before the deployment's own variable of this name.";
    TRUSTED_PROXIES: Some("trusted-proxy"), "VESTIBULE_TRUSTED_PROXIES", Many, "IP", "10.0.0.0/8",
        "Address, or range of addresses, of reverse proxies before this server, whose X-Forwarded-For is believed. Without it, everybody who comes through the proxy counts as one when wrong admin keys and refused tokens are counted.";
    FETCH_ALLOW: Some("fetch-allow"), "VESTIBULE_FETCH_ALLOW", Many, "CIDR", "10.0.0.0/8",
        "Networks that fetch of JavaScript actions may reach although they are not public. In development mode every address may be reached. Where HTTP_PROXY and its like are set, the proxy decides instead.";
    DOCUMENT_CACHE_MIB: Some("document-cache-mib"), "VESTIBULE_DOCUMENT_CACHE_MIB", One, "NUMBER", "512",
        "Memory for documents that mutations ask for or change, in MiB; 96 when not given. What is not yet in the tables stays in memory beyond it.";
    NATIVE_HEADS: Some("native-heads"), "VESTIBULE_NATIVE_HEADS", One, "BOOL", "false",
        "Whether functions of packages that this server knows, such as convexToJson and scrypt, run natively; the default. Off, they run as JavaScript.";
    NODE: Some("node"), "VESTIBULE_NODE", One, "PATH", "/usr/bin/node",
        "The Node.js that runs actions in modules with \"use node\", 20 or newer, or off; the `node` on the PATH when not given.";
    NODE_PACKAGES: Some("node-packages"), "VESTIBULE_NODE_PACKAGES", Switch, "BOOL", "true",
        "Install packages that convex.json leaves out of the bundle (node.externalPackages) with npm, without their scripts.";
    NODE_ADDONS: Some("node-addons"), "VESTIBULE_NODE_ADDONS", Switch, "BOOL", "true",
        "Let packages for Node.js load native code, as sharp does. Native code reads every file that the server reads.";
    NODE_MEMORY_MAX: Some("node-memory-max"), "VESTIBULE_NODE_MEMORY_MAX", One, "BYTES", "512MiB",
        "Memory for JavaScript objects of one process of Node.js; 512MiB when not given.";
    JOBS_AT_ONCE: Some("jobs-at-once"), "VESTIBULE_JOBS_AT_ONCE", One, "NUMBER", "64",
        "Scheduled functions and crons that run at once; 64 when not given. What is due beyond waits.";
    JOBS_KEPT: Some("jobs-kept"), "VESTIBULE_JOBS_KEPT", One, "NUMBER", "1_000_000",
        "Scheduled functions that have ended and are kept, for seven days at most; 1,000,000 when not given.";
    ACTIONS_AT_ONCE: Some("actions-at-once"), "VESTIBULE_ACTIONS_AT_ONCE", One, "NUMBER", "256",
        "Actions and HTTP actions that run at once; 256 when not given. Others wait.";
    ACTIONS_BYTES_MAX: Some("actions-bytes-max"), "VESTIBULE_ACTIONS_BYTES_MAX", One, "BYTES", "2GiB",
        "Memory of the actions in JavaScript that run; 2GiB when not given. Others wait.";
    CALL_MEMORY_MAX: Some("call-memory-max"), "VESTIBULE_CALL_MEMORY_MAX", One, "BYTES", "128MiB",
        "Memory of one call in JavaScript beyond the modules of its app, an action's too: from 16MiB to 8GiB; 128MiB when not given.";
    SPARE_THREADS: Some("spare-threads"), "VESTIBULE_SPARE_THREADS", One, "NUMBER", "8",
        "Threads for queries, and as many for mutations, while others are at long calls; 4 for each core when not given.";
    QUERY_TIME_MAX: Some("query-time-max"), "VESTIBULE_QUERY_TIME_MAX", One, "TIME", "1s",
        "Time in the engine of a query in JavaScript; 1s when not given.";
    MUTATION_TIME_MAX: Some("mutation-time-max"), "VESTIBULE_MUTATION_TIME_MAX", One, "TIME", "10s",
        "Time in the engine of a mutation in JavaScript; 10s when not given.";
    ACTION_TIME_MAX: Some("action-time-max"), "VESTIBULE_ACTION_TIME_MAX", One, "TIME", "30min",
        "Time of an action, its waits included; 30min when not given.";
    ACTION_STEP_MAX: Some("action-step-max"), "VESTIBULE_ACTION_STEP_MAX", One, "TIME", "60s",
        "Time in the engine that an action in JavaScript takes between two waits; 60s when not given.";
    REQUESTS_AT_ONCE: Some("requests-at-once"), "VESTIBULE_REQUESTS_AT_ONCE", One, "NUMBER", "1_024",
        "Requests of HTTP that wait for a function's answer at the same time; 1,024 when not given. Others get status 429.";
    FILE_BYTES_MAX: Some("file-bytes-max"), "VESTIBULE_FILE_BYTES_MAX", One, "BYTES", "100MiB",
        "Bytes of one stored file; no bound when not given.";
    FILES_BYTES_MAX: Some("files-bytes-max"), "VESTIBULE_FILES_BYTES_MAX", One, "BYTES", "50GiB",
        "Bytes of all stored files together; no bound when not given.";
    UPLOADS_AT_ONCE: Some("uploads-at-once"), "VESTIBULE_UPLOADS_AT_ONCE", One, "NUMBER", "2_048",
        "Uploads of files at the same time; 2,048 when not given.";
    DOWNLOADS_AT_ONCE: Some("downloads-at-once"), "VESTIBULE_DOWNLOADS_AT_ONCE", One, "NUMBER", "2_048",
        "Downloads of files at the same time; 2,048 when not given.";
    UPLOAD_TIME_MAX: Some("upload-time-max"), "VESTIBULE_UPLOAD_TIME_MAX", One, "TIME", "6h",
        "Time of one upload of a file; 6h when not given.";
    IMPORT_BYTES_MAX: Some("import-bytes-max"), "VESTIBULE_IMPORT_BYTES_MAX", One, "BYTES", "1TiB",
        "Bytes of a file that is imported; 1TiB when not given.";
    IMPORT_UNPACKED_BYTES_MAX: Some("import-unpacked-bytes-max"), "VESTIBULE_IMPORT_UNPACKED_BYTES_MAX", One, "BYTES", "4TiB",
        "Bytes of everything in an archive that is imported, unpacked; 4TiB when not given.";
    IMPORT_KEPT: Some("import-kept"), "VESTIBULE_IMPORT_KEPT", One, "TIME", "7d",
        "Time that an upload for an import waits for its next step; 7d when not given.";
    EXPORT_KEPT: Some("export-kept"), "VESTIBULE_EXPORT_KEPT", One, "TIME", "14d",
        "Time that an export can be downloaded; 14d when not given.";
    LOG_KEPT: Some("log-kept"), "VESTIBULE_LOG_KEPT", One, "TIME", "2d",
        "How long commits stay in the log, and contents of deleted files in place, so that backups add to earlier ones and can be restored as of any time; not at all when not given.";
    LOSE_COMMITS_AFTER: Some("lose-commits-after"), "VESTIBULE_LOSE_COMMITS_AFTER", One, "TIMESTAMP", "1767225600000000000",
        "Start although damage hides the commits after this one, and lose them, as a refused start says. A copy of the damaged log is kept.";
    LOG_FORMAT: Some("log-format"), "VESTIBULE_LOG_FORMAT", One, "FORMAT", "json",
        "How the log on standard error is written: text or json. What is logged is chosen by VESTIBULE_LOG, as in `info` or `vestibule_server::sync=debug`.";
    REDACT: Some("redact"), "VESTIBULE_REDACT", One, "BOOL", "true",
        "Hide error texts and log lines from clients. The default unless in development mode.";
    LOG: None, "VESTIBULE_LOG", One, "FILTER", "info",
        "What is logged.";
    SECRET: None, "VESTIBULE_SECRET", Secret, "HEX", "the output of `openssl rand -hex 32`",
        "The deployment's secret, where it is not kept in the data directory.";
}

impl Config {
    /// Reads what a command line and an environment say.
    pub fn read(given: &Given<'_>) -> Result<Config, SettingError> {
        given.check_spelling(SETTINGS)?;
        given.read(&LOG, |text| EnvFilter::try_new(text))?;
        let (issuer, audience) = (given.read(&ISSUER, parse::issuer)?, given.text(&AUDIENCE)?);
        let auth_config = given.text(&AUTH_CONFIG)?;
        check_providers(&issuer, &audience, &auth_config)?;
        Ok(Config {
            listen: match given.read(&LISTEN, parse::listen)? {
                Some(listen) => listen,
                None => LISTEN_DEFAULT.parse().expect("the default is an address"),
            },
            site_listen: given.read(&SITE_LISTEN, site_listen)?,
            data: given.path(&DATA)?.unwrap_or_else(|| DATA_DEFAULT.into()),
            dev: given.read(&DEV, parse::boolean)?,
            dev_issuer: given.read(&DEV_ISSUER, parse::boolean)?,
            issuer,
            audience,
            auth_config,
            name: given
                .text(&NAME)?
                .unwrap_or_else(|| NAME_DEFAULT.to_owned()),
            origin: given.read(&ORIGIN, parse::base_url)?,
            site_origin: given.read(&SITE_ORIGIN, parse::base_url)?,
            env: initial_variables(given)?,
            allowed_origins: origins(given.list(&ALLOWED_ORIGINS, parse::allowed_origin)?),
            first_logins_per_minute: given.read(&FIRST_LOGINS_PER_MINUTE, parse::number)?,
            provision_with: given.text(&PROVISION_WITH)?,
            provision_when: given.text(&PROVISION_WHEN)?,
            trusted_proxies: given.list(&TRUSTED_PROXIES, parse::network)?,
            fetch_allow: given.list(&FETCH_ALLOW, parse::network)?,
            document_cache_mib: given.read(&DOCUMENT_CACHE_MIB, parse::number)?,
            native_heads: given.read(&NATIVE_HEADS, parse::boolean)?.unwrap_or(true),
            node: match given.path(&NODE)? {
                None => NodeProgram::OnPath,
                Some(path) if path.as_os_str().eq_ignore_ascii_case("off") => NodeProgram::Off,
                Some(path) => NodeProgram::At(path),
            },
            node_packages: given.read(&NODE_PACKAGES, parse::boolean)?.unwrap_or(false),
            node_addons: given.read(&NODE_ADDONS, parse::boolean)?.unwrap_or(false),
            bounds: Bounds::read(given)?,
            log_format: given.read(&LOG_FORMAT, log_format)?.unwrap_or_default(),
            redact: given.read(&REDACT, parse::boolean)?,
            secret: given.read(&SECRET, parse::deployment_secret)?,
        })
    }

    /// Reads what the environment alone says.
    pub fn of_environment() -> Result<Config, SettingError> {
        Config::read(&Given::new(&NoFlags, &Environment::of_process()))
    }

    /// A server that keeps its data in `data`, and is otherwise as one that is started without a flag.
    pub fn new(data: impl Into<PathBuf>) -> Config {
        Config {
            listen: LISTEN_DEFAULT.parse().expect("the default is an address"),
            site_listen: None,
            data: data.into(),
            dev: None,
            dev_issuer: None,
            issuer: None,
            audience: None,
            auth_config: None,
            name: NAME_DEFAULT.into(),
            origin: None,
            site_origin: None,
            env: Vec::new(),
            allowed_origins: None,
            first_logins_per_minute: None,
            provision_with: None,
            provision_when: None,
            trusted_proxies: Vec::new(),
            fetch_allow: Vec::new(),
            document_cache_mib: None,
            native_heads: true,
            node: NodeProgram::OnPath,
            node_packages: false,
            node_addons: false,
            bounds: Bounds::default(),
            log_format: LogFormat::Text,
            redact: None,
            secret: None,
        }
    }

    /// A server in development mode on a free port of this machine, as tests want it.
    pub fn for_tests(data: impl Into<PathBuf>) -> Config {
        Config::new(data).listen(([127, 0, 0, 1], 0)).dev(true)
    }

    /// Listens on this address.
    pub fn listen(mut self, address: impl Into<SocketAddr>) -> Config {
        self.listen = address.into();
        self
    }

    /// Listens on this address for HTTP actions at the root of an origin.
    pub fn site_listen(mut self, address: impl Into<SocketAddr>) -> Config {
        self.site_listen = Some(SiteListen::At(address.into()));
        self
    }

    /// Says whether it is in development mode.
    pub fn dev(mut self, dev: bool) -> Config {
        self.dev = Some(dev);
        self
    }

    /// Trusts the auth tokens of an OpenID Connect provider that name `audience`.
    pub fn issuer(mut self, issuer: impl Into<String>, audience: impl Into<String>) -> Config {
        self.issuer = Some(issuer.into());
        self.audience = Some(audience.into());
        self
    }

    /// Trusts these providers, in the JSON of an `auth.config`: `{"providers":[…]}`.
    pub fn auth_config(mut self, json: impl Into<String>) -> Config {
        self.auth_config = Some(json.into());
        self
    }

    /// Names the deployment.
    pub fn name(mut self, name: impl Into<String>) -> Config {
        self.name = name.into();
        self
    }

    /// Says where clients reach the API, as in `https://api.example.com`.
    pub fn origin(mut self, url: impl Into<String>) -> Config {
        self.origin = Some(url.into());
        self
    }

    /// Says where HTTP actions are reached.
    pub fn site_origin(mut self, url: impl Into<String>) -> Config {
        self.site_origin = Some(url.into());
        self
    }

    /// Lets pages of these origins connect, and no others.
    pub fn allowed_origins<O: Into<String>>(
        mut self,
        origins: impl IntoIterator<Item = O>,
    ) -> Config {
        self.allowed_origins = Some(origins.into_iter().map(Into::into).collect());
        self
    }

    /// Bounds the first logins of one issuer in a minute.
    pub fn first_logins_per_minute(mut self, logins: NonZeroU32) -> Config {
        self.first_logins_per_minute = Some(logins);
        self
    }

    /// Says whether error texts and log lines are hidden from clients.
    pub fn redact(mut self, redact: bool) -> Config {
        self.redact = Some(redact);
        self
    }

    /// Sets other bounds than the rooms' own.
    pub fn bounds(mut self, bounds: Bounds) -> Config {
        self.bounds = bounds;
        self
    }

    /// Keeps the deployment's secret elsewhere than in the data directory.
    pub fn secret(mut self, secret: DeploymentSecret) -> Config {
        self.secret = Some(secret);
        self
    }

    /// Where `vestibule serve` listens for HTTP actions unless it is told: the port after that of the API.
    pub fn site_listen_default(&self) -> SiteListen {
        let mut address = self.listen;
        // Any port is any port.
        match address.port().checked_add(1).filter(|port| *port > 1) {
            Some(port) => address.set_port(port),
            None => address.set_port(0),
        }
        SiteListen::At(address)
    }

    /// The configured providers, without the development issuer.
    pub fn providers(&self) -> Result<AuthConfig, AuthConfigError> {
        if let Some(text) = &self.auth_config {
            let json =
                serde_json::from_str(text).map_err(|error| AuthConfigError::NotProviders {
                    reason: error.to_string(),
                })?;
            return AuthConfig::from_json(&json);
        }
        match (&self.issuer, &self.audience) {
            (Some(issuer), Some(audience)) => {
                Ok(AuthConfig::none().with(ProviderConfig::oidc(issuer, audience)?))
            }
            _ => Ok(AuthConfig::none()),
        }
    }
}

/// The deployment's secret, for tools that work beside a server.
pub fn secret(environment: &Environment) -> Result<Option<DeploymentSecret>, SettingError> {
    environment.read(&SECRET, parse::deployment_secret)
}

/// The prefix of the variables that each hold one of the deployment's.
const ENV_PREFIX: &str = "VESTIBULE_ENV_";
/// The one that does not: it names a file of lines.
const ENV_FILE: &str = "FILE";

/// The deployment's variables: from lines, and from variables that hold one each. A name in both is that of the lines.
fn initial_variables(given: &Given<'_>) -> Result<Vec<VariableChange>, SettingError> {
    let mut variables: Vec<VariableChange> = given
        .list(&ENV, parse::variable)?
        .into_iter()
        .flatten()
        .collect();
    for (name, value) in given.below(ENV_PREFIX)? {
        if name == ENV_FILE || variables.iter().any(|variable| variable.name == name) {
            continue;
        }
        let place = format!("{ENV_PREFIX}{name}");
        let variable = parse::checked_variable(&name, &value);
        let variable = variable.map_err(|why| SettingError::variable(place, why))?;
        variables.push(variable);
    }
    Ok(variables)
}

fn check_providers(
    issuer: &Option<String>,
    audience: &Option<String>,
    auth_config: &Option<String>,
) -> Result<(), SettingError> {
    match (issuer, audience) {
        (Some(_), None) => return Err(SettingError::alone(&ISSUER, &AUDIENCE)),
        (None, Some(_)) => return Err(SettingError::alone(&AUDIENCE, &ISSUER)),
        (Some(_), Some(_)) | (None, None) => {}
    }
    match issuer.is_some() && auth_config.is_some() {
        true => Err(SettingError::conflict(&ISSUER, &AUTH_CONFIG)),
        false => Ok(()),
    }
}

fn origins(listed: Vec<AllowedOrigin>) -> Option<Vec<String>> {
    let one = |origin: AllowedOrigin| match origin {
        AllowedOrigin::All => None,
        AllowedOrigin::One(origin) => Some(origin),
    };
    let origins: Option<Vec<String>> = listed.into_iter().map(one).collect();
    origins.filter(|origins| !origins.is_empty())
}

fn site_listen(text: &str) -> Result<SiteListen, &'static str> {
    match text.eq_ignore_ascii_case("off") {
        true => Ok(SiteListen::Off),
        false => parse::listen_on(text, SITE_PORT_DEFAULT).map(SiteListen::At),
    }
}

fn log_format(text: &str) -> Result<LogFormat, &'static str> {
    match text {
        _ if text.eq_ignore_ascii_case("text") => Ok(LogFormat::Text),
        _ if text.eq_ignore_ascii_case("json") => Ok(LogFormat::Json),
        _ => Err("it is neither text nor json"),
    }
}
