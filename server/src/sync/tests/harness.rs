//! A real server in memory but for its file. It has connections over duplex pipes, tokens of the development issuer,
//! and a clock that moves only when told to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use parking_lot::{Condvar, Mutex};
use prometheus_client::registry::Registry as Metrics;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use vestibule_schema::table::Schema;
use vestibule_schema::timestamp::Timestamp;

use crate::auth::{
    AdminKeys, AuthConfig, Authenticator, DeploymentSecret, DevIssuer, TokenRequest,
};
use crate::clock::{Clock, ManualClock, UnixNanos};
use crate::database::{Database, DatabaseOptions};
use crate::functions::{Function, Functions, Registry};
use crate::provisioning::{self, Gate, GateMetrics, GateOptions, ProvisioningRules, Stated};
use crate::subscriptions::{Following, LiveQueries};
use crate::sync::{ClientFeatures, Connections, ConnectionsParts, Peer, SyncMetrics, SyncOptions};

pub const ISSUER: &str = "http://127.0.0.1:3210";
pub const SESSION: &str = "3f2b1c9e-5d4a-4c3b-8a7f-0123456789ab";
/// How long the gate may take.
pub const GATE_DEADLINE: Duration = Duration::from_secs(5);
/// The number of bytes that a pipe holds between the two ends.
const PIPE_BYTES: usize = 1 << 20;

/// The rooms up to sync.
pub struct Server {
    pub connections: Arc<Connections>,
    pub functions: Arc<Functions>,
    pub live: Arc<LiveQueries>,
    pub gate: Arc<Gate>,
    pub clock: Arc<ManualClock>,
    pub authenticator: Arc<Authenticator>,
    pub metrics: Metrics,
    pub issuer: DevIssuer,
    following: Option<Following>,
    _dir: TempDir,
}

impl Server {
    pub fn start_with(
        schema: Schema,
        functions: Vec<Function>,
        provision_with: Option<&str>,
        options: SyncOptions,
    ) -> Server {
        let rules = provision_with.map_or_else(ProvisioningRules::nothing, |path| {
            ProvisioningRules::mutation(path.parse().unwrap())
        });
        Server::start_stated(schema, functions, Stated::ByProgram(rules), options)
    }

    /// A server whose deployment says how users are provisioned, or another source of the rules.
    pub fn start_stated(
        schema: Schema,
        mut functions: Vec<Function>,
        stated: Stated,
        options: SyncOptions,
    ) -> Server {
        functions.extend(provisioning::functions(&stated));
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(UnixNanos::from_seconds(1_760_000_000)));
        let secret = DeploymentSecret::load_or_create(dir.path()).unwrap();
        let issuer = DevIssuer::open(dir.path(), ISSUER, "test").unwrap();
        let database = Database::open(DatabaseOptions {
            rng: Box::new(StdRng::seed_from_u64(1)),
            ..DatabaseOptions::for_tests(dir.path(), schema, clock.clone())
        });
        let functions = Functions::new(
            Registry::new(functions).unwrap(),
            Arc::new(database.unwrap()),
        );
        let (live, following) = LiveQueries::start(functions.clone());
        let mut metrics = Metrics::default();
        let gate = Gate::new(
            functions.clone(),
            live.clone(),
            GateOptions {
                stated,
                deadline: GATE_DEADLINE,
                first_logins_per_minute: None,
                checks: None,
            },
            clock.clone(),
            Arc::new(GateMetrics::register(&mut metrics)),
        );
        let auth = AuthConfig::none().with(issuer.provider().unwrap());
        let admin_keys = AdminKeys::new("test", &secret, Vec::new()).unwrap();
        let authenticator = Arc::new(Authenticator::new(
            auth,
            admin_keys,
            clock.clone(),
            Arc::default(),
        ));
        let connections = Connections::new(ConnectionsParts {
            functions: functions.clone(),
            live: live.clone(),
            gate: gate.clone(),
            authenticator: authenticator.clone(),
            clock: clock.clone(),
            options,
            metrics: Arc::new(SyncMetrics::register(&mut metrics)),
            rng: Box::new(StdRng::seed_from_u64(2)),
        });
        Server {
            connections,
            functions,
            live,
            gate,
            clock,
            authenticator,
            metrics,
            issuer,
            following: Some(following),
            _dir: dir,
        }
    }

    pub fn token(&self, subject: &str) -> String {
        self.token_with(json!({ "subject": subject, "name": subject }))
    }

    pub fn token_with(&self, request: Json) -> String {
        let request: TokenRequest = serde_json::from_value(request).unwrap();
        self.issuer.mint(&request, self.clock.now()).unwrap()
    }

    pub async fn connect(&self) -> Client {
        self.connect_with(ClientFeatures::default(), PIPE_BYTES)
            .await
    }

    /// A client with its features, over a pipe of `bytes` in each direction.
    pub async fn connect_with(&self, features: ClientFeatures, bytes: usize) -> Client {
        let (near, far) = tokio::io::duplex(bytes);
        tokio::spawn(
            self.connections
                .clone()
                .serve(far, features, Peer::default()),
        );
        Client {
            socket: WebSocketStream::from_raw_socket(near, Role::Client, None).await,
        }
    }

    /// Ends the task that looks at commits for live queries.
    pub fn stop_following(&mut self) {
        self.following = None;
    }

    pub fn durable_ts(&self) -> Timestamp {
        self.functions.database().durable_ts()
    }

    /// Lets time pass as the machine does, the wall clock alone: as after a sleep of the machine.
    pub fn jump(&self, duration: Duration) {
        self.clock.jump_to(self.clock.now().plus(duration));
    }

    /// The value of a metric.
    pub fn metric(&self, name: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).unwrap();
        let line = text.lines().find(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(' '))
        });
        line.and_then(|line| line.rsplit(' ').next())
            .map_or(0.0, |value| value.parse().unwrap())
    }
}

/// A client that speaks JSON.
pub struct Client {
    pub socket: WebSocketStream<DuplexStream>,
}

/// The code and reason of a close, `None` for a close without a status.
pub type Closed = Option<(u16, String)>;

impl Client {
    pub async fn send(&mut self, message: Json) {
        self.send_text(message.to_string()).await;
    }

    pub async fn send_text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub async fn say_connect(&mut self) {
        self.send(json!({ "type": "Connect", "sessionId": SESSION, "connectionCount": 0 }))
            .await;
    }

    pub async fn authenticate(&mut self, base: u32, token: &str) {
        let message = json!({ "type": "Authenticate", "baseVersion": base, "tokenType": "User", "value": token });
        self.send(message).await;
    }

    pub async fn sign_out(&mut self, base: u32) {
        self.send(json!({ "type": "Authenticate", "baseVersion": base, "tokenType": "None" }))
            .await;
    }

    /// Adds queries by path with empty arguments.
    pub async fn watch(&mut self, base: u32, queries: &[(u32, &str)]) {
        let adds = queries.iter().map(|(id, path)| add(*id, path, json!({})));
        self.modify(base, adds.collect()).await;
    }

    pub async fn modify(&mut self, base: u32, modifications: Vec<Json>) {
        let message = json!({
            "type": "ModifyQuerySet", "baseVersion": base, "newVersion": base + 1, "modifications": modifications,
        });
        self.send(message).await;
    }

    pub async fn mutate(&mut self, request: u32, path: &str, args: Json) {
        self.send(
            json!({ "type": "Mutation", "requestId": request, "udfPath": path, "args": [args] }),
        )
        .await;
    }

    pub async fn act(&mut self, request: u32, path: &str, args: Json) {
        self.send(
            json!({ "type": "Action", "requestId": request, "udfPath": path, "args": [args] }),
        )
        .await;
    }

    /// The next message; a closed socket fails the test.
    pub async fn next(&mut self) -> Json {
        match self.next_or_close().await {
            Ok(json) => json,
            Err(close) => panic!("the server closed with {close:?}"),
        }
    }

    /// The next message, or the code and reason of the close.
    pub async fn next_or_close(&mut self) -> Result<Json, Closed> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.socket.next())
                .await
                .expect("the server said nothing");
            if let Some(heard) = heard(next) {
                return heard;
            }
        }
    }

    /// The next message if it is there already.
    pub fn next_now(&mut self) -> Option<Result<Json, Closed>> {
        loop {
            if let Some(heard) = heard(self.socket.next().now_or_never()?) {
                return Some(heard);
            }
        }
    }

    /// The next message of a kind; others are passed over.
    pub async fn next_of(&mut self, kind: &str) -> Json {
        loop {
            let message = self.next().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// How the server closes, after whatever it says before.
    pub async fn close(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.next_or_close().await {
                return closed;
            }
        }
    }

    /// Reads Transitions until one of them brings the wanted result, and returns all messages up to then.
    pub async fn until(&mut self, query: u32, wanted: impl Fn(&Json) -> bool) -> Vec<Json> {
        let mut seen = Vec::new();
        loop {
            let message = self.next().await;
            let done = results(&message)
                .iter()
                .any(|(id, result)| *id == query && wanted(result));
            seen.push(message);
            if done {
                return seen;
            }
        }
    }

    /// The message that has come already, or nothing: a message that the server cannot have sent yet is not waited for.
    pub async fn said_so_far_or_close(&mut self) -> Option<Result<Json, Closed>> {
        tokio::task::yield_now().await;
        self.next_now()
    }

    /// Everything the server said before it answered a message sent only now. It is an action that does not exist: the
    /// only message whose answer nothing follows.
    pub async fn said_so_far(&mut self) -> Vec<Json> {
        const NOBODYS_REQUEST: u32 = u32::MAX;
        self.act(NOBODYS_REQUEST, "no:such", json!({})).await;
        let mut seen = Vec::new();
        loop {
            let message = self.next().await;
            if message["requestId"] == NOBODYS_REQUEST {
                return seen;
            }
            seen.push(message);
        }
    }
}

fn heard(
    next: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
) -> Option<Result<Json, Closed>> {
    match next {
        Some(Ok(Message::Text(text))) => Some(Ok(serde_json::from_str(&text).unwrap())),
        Some(Ok(Message::Close(frame))) => Some(Err(
            frame.map(|frame| (frame.code.into(), frame.reason.to_string()))
        )),
        Some(Ok(_)) => None,
        Some(Err(error)) => panic!("the connection broke: {error}"),
        None => panic!("the connection ended without a close"),
    }
}

/// Longer than any test takes, so that a test that would wait for ever fails instead.
pub const PATIENCE: Duration = Duration::from_secs(600);

pub fn add(id: u32, path: &str, args: Json) -> Json {
    json!({ "type": "Add", "queryId": id, "udfPath": path, "args": [args] })
}

pub fn remove(id: u32) -> Json {
    json!({ "type": "Remove", "queryId": id })
}

/// The results of a Transition: the value, or the whole modification of a failed or removed query.
pub fn results(message: &Json) -> Vec<(u32, Json)> {
    let modifications = message["modifications"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let result = |modification: Json| {
        let id = modification["queryId"].as_u64().unwrap() as u32;
        match modification["type"].as_str().unwrap() {
            "QueryUpdated" => (id, modification["value"].clone()),
            _ => (id, modification),
        }
    };
    modifications.into_iter().map(result).collect()
}

/// (query set, identity) of a version.
pub fn version(message: &Json, which: &str) -> (u64, u64) {
    (
        message[which]["querySet"].as_u64().unwrap(),
        message[which]["identity"].as_u64().unwrap(),
    )
}

/// The timestamp of a Transition's end or of a response.
pub fn ts(message: &Json) -> Timestamp {
    let ts = message
        .get("endVersion")
        .map_or(&message["ts"], |version| &version["ts"]);
    serde_json::from_value(ts.clone()).unwrap()
}

/// A place in a function where its runs stop until they are let go.
#[derive(Default)]
pub struct Valve {
    is_closed: Mutex<bool>,
    changed: Condvar,
    passing: watch::Sender<usize>,
}

impl Valve {
    pub fn close(&self) {
        *self.is_closed.lock() = true;
    }

    pub fn open(&self) {
        *self.is_closed.lock() = false;
        self.changed.notify_all();
    }

    /// Called in the function.
    pub fn pass(&self) {
        self.passing.send_modify(|passing| *passing += 1);
        let mut is_closed = self.is_closed.lock();
        while *is_closed {
            self.changed.wait(&mut is_closed);
        }
    }

    /// Waits until `runs` runs have come here.
    pub async fn reached(&self, runs: usize) {
        let mut passing = self.passing.subscribe();
        tokio::time::timeout(PATIENCE, passing.wait_for(|passing| *passing >= runs))
            .await
            .unwrap()
            .unwrap();
    }

    /// Runs that have come here.
    pub fn runs(&self) -> usize {
        *self.passing.borrow()
    }
}

/// A valve must not keep the server's threads when its test fails.
impl Drop for OpenAtEnd {
    fn drop(&mut self) {
        self.0.open();
    }
}

pub struct OpenAtEnd(pub Arc<Valve>);

/// The seeds of a randomized test: the one in `VESTIBULE_SEED`, or as many new ones as `VESTIBULE_RUNS` says.
pub fn seeds(runs: u64) -> Vec<u64> {
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse().expect("it is a number"))
    };
    match number("VESTIBULE_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("VESTIBULE_RUNS").unwrap_or(runs))
            .map(|_| rand::random())
            .collect(),
    }
}
