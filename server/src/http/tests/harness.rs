//! The rooms, the server over them, and its clients.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry as Metrics;
use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vestibule_schema::path::ComponentPath;

use super::app::{self, Latch};
use crate::auth::{
    AdminKeys, AuthConfig, Authenticator, DeploymentSecret, DevIssuer, ProviderConfig, TokenRequest,
};
use crate::backup::{BackupMetrics, Backups};
use crate::clock::{Clock, ManualClock, UnixNanos};
use crate::database::{CommitterOptions, Database, DatabaseOptions, Limits};
use crate::deployment::{
    AnalyzeInput, Analyzer, Deployment, ImportPhase, ModuleEnvironment, NoJavaScript, PushedRoute,
    SourceModule,
};
use crate::executor::SystemExecutor;
use crate::files::{Blobs, FileMetrics, Files, FilesOptions, FilesParts};
use crate::functions::js::{Js, JsOptions};
use crate::functions::{Functions, HttpRoute, Registry};
use crate::http::{Asset, Http, HttpOptions, HttpParts, bind};
use crate::outbound::{Origins, OutboundOptions, Own};
use crate::probe::Probe;
use crate::provisioning::{self, Gate, GateMetrics, GateOptions, ProvisioningRules, Stated};
use crate::push::{Program, PushParts, Pushes};
use crate::storage::StoreOptions;
use crate::subscriptions::{Following, LiveQueries};
use crate::sync::{Connections, ConnectionsParts, SyncMetrics, SyncOptions};
use crate::transfer::{TransferOptions, Transfers};

/// How a test's server differs from the usual one.
pub struct Setup {
    pub options: HttpOptions,
    pub provision_with: Option<&'static str>,
    /// The deployment's document rule, where the program says nothing.
    pub provision_when: Option<&'static str>,
    pub has_dev_issuer: bool,
    pub sockets_max: usize,
    pub site: Vec<Asset>,
    /// A router that was pushed, and where the server of this machine is that its actions ask.
    pub router: Option<(&'static str, String)>,
    /// Beside the development issuer.
    pub providers: Vec<ProviderConfig>,
    pub files: FilesOptions,
    /// Whether errors are told as in production.
    pub redact: bool,
    /// Time of an action.
    pub action_time_max: Duration,
    /// Whether the program has HTTP actions.
    pub has_routes: bool,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            options: HttpOptions {
                deployment_name: "test".to_string(),
                request_timeout: Duration::from_secs(30),
                ..HttpOptions::default()
            },
            redact: false,
            action_time_max: JsOptions::default().action_time_max,
            has_routes: true,
            provision_with: None,
            provision_when: None,
            has_dev_issuer: false,
            sockets_max: 100,
            site: Vec::new(),
            router: None,
            providers: Vec::new(),
            files: FilesOptions::default(),
        }
    }
}

impl Setup {
    fn stated(&self) -> Stated {
        match (self.provision_with, self.provision_when) {
            (None, None) => Stated::ByProgram(ProvisioningRules::nothing()),
            (Some(with), None) => {
                Stated::ByProgram(ProvisioningRules::mutation(with.parse().unwrap()))
            }
            (with, when) => Stated::ByDeployment {
                with: with.map(str::to_owned),
                when: when.map(str::to_owned),
            },
        }
    }
}

pub struct Server {
    pub http: Arc<Http>,
    pub files: Arc<Files>,
    pub address: SocketAddr,
    pub clock: Arc<ManualClock>,
    pub latch: Latch,
    pub shutdown: CancellationToken,
    pub connections: Arc<Connections>,
    pub serving: JoinHandle<()>,
    issuer: DevIssuer,
    pub admin_keys: AdminKeys,
    client: reqwest::Client,
    _following: Following,
    pub dir: TempDir,
}

impl Server {
    pub async fn start() -> Server {
        Server::start_with(Setup::default()).await
    }

    pub async fn start_with(setup: Setup) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(UnixNanos::from_seconds(1_760_000_000)));
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let issuer =
            || DevIssuer::open(dir.path(), &format!("http://{address}"), "test-app").unwrap();
        let secret = DeploymentSecret::load_or_create(dir.path()).unwrap();
        let admin_keys = || AdminKeys::open("test", &secret, dir.path()).unwrap();
        let latch = Latch::default();
        let stated = setup.stated();
        let functions = open(
            &dir,
            clock.clone(),
            latch.clone(),
            &stated,
            setup.router.clone(),
            (setup.action_time_max, setup.has_routes),
        );
        let (live, following) = LiveQueries::start(functions.clone());
        let mut metrics = Metrics::default();
        let gate = Gate::new(
            functions.clone(),
            live.clone(),
            GateOptions {
                stated: setup.stated(),
                deadline: Duration::from_millis(100),
                first_logins_per_minute: None,
                checks: None,
            },
            clock.clone(),
            Arc::new(GateMetrics::register(&mut metrics)),
        );
        let own = Own::at(Origins::below(format!("http://{address}")));
        let auth = AuthConfig::none().with(issuer().provider().unwrap());
        let stated = setup.stated();
        let auth = setup.providers.into_iter().fold(auth, AuthConfig::with);
        let authenticator = Arc::new(Authenticator::new(
            auth.clone(),
            admin_keys(),
            clock.clone(),
            own.clone(),
        ));
        let connections = Connections::new(ConnectionsParts {
            functions: functions.clone(),
            live: live.clone(),
            gate: gate.clone(),
            authenticator: authenticator.clone(),
            clock: clock.clone(),
            options: SyncOptions {
                redact: setup.redact,
                connections_max: setup.sockets_max,
                ..SyncOptions::default()
            },
            metrics: Arc::new(SyncMetrics::register(&mut metrics)),
            rng: Box::new(StdRng::seed_from_u64(2)),
        });
        let files = Files::new(FilesParts {
            database: functions.database().clone(),
            blobs: Blobs::in_directory(dir.path()).unwrap(),
            own: own.clone(),
            secret: secret.key_for("uploads"),
            metrics: FileMetrics::register(&mut metrics),
            options: setup.files,
        });
        functions.install_files(files.clone());
        let database = functions.database().clone();
        let options = TransferOptions::default();
        let transfers = Transfers::open(dir.path(), database, files.clone(), options).unwrap();
        let backups = Backups::new(
            functions.database().clone(),
            files.clone(),
            dir.path().to_path_buf(),
            BackupMetrics::register(&mut metrics),
        );
        let pushes = Pushes::new(PushParts {
            functions: functions.clone(),
            analyzer: Arc::new(NoJavaScript),
            js: None,
            authenticator: authenticator.clone(),
            configured: auth,
            dev_provider: None,
            program: Program {
                tables: ["notes".to_owned(), "users".to_owned()].into(),
                ..Program::default()
            },
            stated,
            own: own.clone(),
            clock: clock.clone(),
        });
        let http = Http::new(HttpParts {
            functions,
            files: files.clone(),
            transfers,
            backups,
            live,
            gate,
            authenticator,
            pushes,
            own: own.clone(),
            connections: connections.clone(),
            dev_issuer: setup.has_dev_issuer.then(issuer),
            site: setup.site,
            metrics,
            clock: clock.clone(),
            options: setup.options,
        });
        let shutdown = CancellationToken::new();
        Server {
            http: http.clone(),
            files,
            address,
            clock,
            latch,
            serving: tokio::spawn(http.serve(listener, shutdown.clone())),
            shutdown,
            connections,
            issuer: issuer(),
            admin_keys: admin_keys(),
            client: reqwest::Client::new(),
            _following: following,
            dir,
        }
    }

    pub fn ask(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.address))
    }

    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.ask(Method::GET, path)
    }

    pub fn post(&self, path: &str, body: Json) -> reqwest::RequestBuilder {
        self.ask(Method::POST, path).json(&body)
    }

    /// Calls a function without an identity, the way the JavaScript client does.
    pub fn call(&self, kind: &str, path: &str, args: Json) -> reqwest::RequestBuilder {
        let body = json!({ "path": path, "format": "convex_encoded_json", "args": [args] });
        self.post(&format!("/api/{kind}"), body)
    }

    pub async fn count(&self) -> f64 {
        let answer = json_of(
            self.call("query", "notes:count", json!({}))
                .send()
                .await
                .unwrap(),
        )
        .await;
        answer["value"].as_f64().unwrap()
    }

    /// Waits until so many requests wait for a user who is made outside the gate.
    pub async fn is_waiting(&self, requests: usize) {
        let waiting = format!("gate_waiting {requests}");
        loop {
            let metrics = self.get("/metrics").bearer_auth(self.admin_key());
            let text = metrics.send().await.unwrap().text().await.unwrap();
            if text.lines().any(|line| line == waiting) {
                return;
            }
        }
    }

    pub fn token(&self, subject: &str) -> String {
        let request: TokenRequest = serde_json::from_value(json!({ "subject": subject })).unwrap();
        self.issuer.mint(&request, self.clock.now()).unwrap()
    }

    pub fn admin_key(&self) -> String {
        self.admin_keys
            .mint(self.clock.now(), None)
            .unwrap()
            .text
            .expose()
            .clone()
    }

    /// Waits for `future` while time passes, a hundredth of a second in each thousandth.
    pub async fn as_time_passes<T>(&self, future: impl Future<Output = T>) -> T {
        pass_time(&self.clock, future).await
    }

    /// Sends bytes and reads until the server closes.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        read_to_end(&mut stream).await
    }
}

/// The bytes that arrive before the connection is closed, or reset.
pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A server that closes with bytes unread resets the connection; what came before is what counts.
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

/// Waits for `future` while the clock moves on, a hundredth of a second in each thousandth.
pub async fn pass_time<T>(clock: &ManualClock, future: impl Future<Output = T>) -> T {
    let passing = async {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            clock.advance(Duration::from_millis(10));
        }
    };
    tokio::select! {
        output = future => output,
        () = passing => unreachable!("time passes for ever"),
    }
}

fn open(
    dir: &TempDir,
    clock: Arc<ManualClock>,
    latch: Latch,
    stated: &Stated,
    router: Option<(&'static str, String)>,
    (action_time_max, has_routes): (Duration, bool),
) -> Arc<Functions> {
    let options = JsOptions {
        action_time_max,
        outbound: OutboundOptions {
            is_open: true,
            ..OutboundOptions::default()
        },
        ..JsOptions::default()
    };
    // Actions may ask servers of this machine.
    let js = Js::new("test", options.clone(), clock.clone());
    let database = Database::open(DatabaseOptions {
        dir: dir.path().to_path_buf(),
        schema: app::schema(),
        limits: Limits::default(),
        store: StoreOptions::default(),
        committer: CommitterOptions::default(),
        reader_threads: 2,
        secret: [7; 32],
        clock,
        executor: Arc::new(SystemExecutor),
        probe: Probe::none(),
        rng: Box::new(StdRng::seed_from_u64(1)),
        on_unknown: Box::new(|unknown| panic!("{unknown}")),
    });
    let functions = app::functions(latch.clone()).into_iter();
    let functions = functions.chain(crate::functions::transfer_functions());
    let functions = functions.chain(provisioning::functions(stated));
    let registry = Registry::new(functions.collect()).unwrap();
    let native = match has_routes {
        true => app::http_routes(latch),
        false => Vec::new(),
    };
    let registry = registry.with_http_routes(native).unwrap();
    let routes = router.map(|(source, base)| routes(&js, source, base));
    let registry = registry.with_pushed_routes(routes);
    Functions::with_js(registry, Arc::new(database.unwrap()), Some(js), &options)
}

/// The routes of a router that is pushed.
fn routes(js: &Arc<Js>, source: &str, base: String) -> Vec<HttpRoute> {
    let module = SourceModule {
        path: "http.js".to_owned(),
        environment: ModuleEnvironment::Isolate,
        source: Arc::from(source),
        source_map: None,
    };
    let input = AnalyzeInput {
        modules: vec![module.clone()],
        ..AnalyzeInput::default()
    };
    let analysis = js.clone().analyze(input).unwrap();
    let found = analysis.modules["http.js"].http_routes.clone().unwrap();
    let found = found.into_iter();
    let mut deployment = Deployment::default();
    deployment.http_routes = Some(
        found
            .map(|(path, method)| PushedRoute { path, method })
            .collect(),
    );
    let variables = BTreeMap::from([("BASE".to_owned(), base)]);
    let code = js.code(&[module], variables, ImportPhase::default());
    let codes = BTreeMap::from([(ComponentPath::ROOT, code)]);
    js.http_routes(&deployment, &codes).unwrap()
}

pub async fn json_of(response: Response) -> Json {
    response.json().await.unwrap()
}

pub async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Json) {
    let response = request.send().await.unwrap();
    (response.status(), json_of(response).await)
}

/// Asserts that a request is refused as a whole, with this status and code.
pub async fn assert_refused(request: reqwest::RequestBuilder, status: u16, code: &str) {
    let (found, body) = answer(request).await;
    assert_eq!(
        (found.as_u16(), body["code"].as_str().unwrap_or_default()),
        (status, code),
        "{body}"
    );
    assert!(!body["message"].as_str().unwrap().is_empty());
}
