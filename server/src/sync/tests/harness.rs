//! A real server in memory but for its file: connections over duplex pipes, tokens of the development issuer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use prometheus_client::registry::Registry as Metrics;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::auth::{AdminKeys, AuthConfig, Authenticator, DeploymentSecret, DevIssuer, TokenRequest};
use crate::clock::{Clock, ManualClock, UnixNanos};
use crate::database::{CommitterOptions, Database, DatabaseOptions, Limits};
use crate::functions::{Function, Functions, Registry};
use crate::provisioning::{Gate, GateMetrics, GateOptions};
use crate::storage::StoreOptions;
use crate::subscriptions::{Following, LiveQueries};
use crate::sync::{ClientFeatures, Connections, ConnectionsParts, SyncMetrics, SyncOptions};
use vestibule_schema::table::Schema;

pub const ISSUER: &str = "http://127.0.0.1:3210";
pub const SESSION: &str = "3f2b1c9e-5d4a-4c3b-8a7f-0123456789ab";

/// The rooms up to sync.
pub struct Server {
    pub connections: Arc<Connections>,
    pub functions: Arc<Functions>,
    pub live: Arc<LiveQueries>,
    pub clock: Arc<ManualClock>,
    pub secret: DeploymentSecret,
    issuer: DevIssuer,
    _following: Following,
    _dir: TempDir,
}

impl Server {
    pub fn start(schema: Schema, functions: Vec<Function>, provision_with: Option<&str>) -> Server {
        Server::start_with(schema, functions, provision_with, SyncOptions { redact: false, ..quick() })
    }

    pub fn start_with(
        schema: Schema,
        functions: Vec<Function>,
        provision_with: Option<&str>,
        options: SyncOptions,
    ) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(UnixNanos::from_seconds(1_760_000_000)));
        let secret = DeploymentSecret::load_or_create(dir.path()).unwrap();
        let issuer = DevIssuer::open(dir.path(), ISSUER, "test").unwrap();
        let database = Database::open(DatabaseOptions {
            dir: dir.path().to_path_buf(),
            schema,
            limits: Limits::default(),
            store: StoreOptions::default(),
            committer: CommitterOptions::default(),
            reader_threads: 2,
            secret: [7; 32],
            clock: clock.clone(),
            rng: Box::new(StdRng::seed_from_u64(1)),
            on_unknown: Box::new(|unknown| panic!("{unknown}")),
        });
        let functions = Functions::new(Registry::new(functions).unwrap(), Arc::new(database.unwrap()));
        let (live, following) = LiveQueries::start(functions.clone());
        let mut metrics = Metrics::default();
        let gate = Gate::new(
            functions.clone(),
            live.clone(),
            GateOptions {
                function: provision_with.map(|path| path.parse().unwrap()),
                deadline: Duration::from_millis(100),
            },
            clock.clone(),
            Arc::new(GateMetrics::register(&mut metrics)),
        );
        let auth = AuthConfig::none().with(issuer.provider().unwrap());
        let admin_keys = AdminKeys::new("test", &secret, Vec::new()).unwrap();
        let connections = Connections::new(ConnectionsParts {
            functions: functions.clone(),
            live: live.clone(),
            gate,
            authenticator: Arc::new(Authenticator::new(auth, admin_keys, clock.clone())),
            clock: clock.clone(),
            options,
            metrics: Arc::new(SyncMetrics::register(&mut metrics)),
            rng: Box::new(StdRng::seed_from_u64(2)),
        });
        Server { connections, functions, live, clock, secret, issuer, _following: following, _dir: dir }
    }

    pub fn token(&self, subject: &str) -> String {
        self.token_with(json!({ "subject": subject, "name": subject }))
    }

    pub fn token_with(&self, request: Json) -> String {
        let request: TokenRequest = serde_json::from_value(request).unwrap();
        self.issuer.mint(&request, self.clock.now()).unwrap()
    }

    pub async fn connect(&self) -> Client {
        let (near, far) = tokio::io::duplex(1 << 20);
        tokio::spawn(self.connections.clone().serve(far, ClientFeatures::default()));
        Client { socket: WebSocketStream::from_raw_socket(near, Role::Client, None).await }
    }
}

/// Times that do not make a test wait.
pub fn quick() -> SyncOptions {
    SyncOptions {
        gate_grace: Duration::from_secs(3600),
        first_query_set_grace: Duration::from_secs(3600),
        ping_after: Duration::from_secs(3600),
        ..SyncOptions::default()
    }
}

/// A client that speaks JSON.
pub struct Client {
    pub socket: WebSocketStream<DuplexStream>,
}

impl Client {
    pub async fn send(&mut self, message: Json) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    pub async fn say_connect(&mut self) {
        self.send(json!({ "type": "Connect", "sessionId": SESSION, "connectionCount": 0 })).await;
    }

    pub async fn authenticate(&mut self, base: u32, token: &str) {
        let message = json!({ "type": "Authenticate", "baseVersion": base, "tokenType": "User", "value": token });
        self.send(message).await;
    }

    pub async fn sign_out(&mut self, base: u32) {
        self.send(json!({ "type": "Authenticate", "baseVersion": base, "tokenType": "None" })).await;
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
        self.send(json!({ "type": "Mutation", "requestId": request, "udfPath": path, "args": [args] })).await;
    }

    /// The next message; a closed socket fails the test.
    pub async fn next(&mut self) -> Json {
        match self.next_or_close().await {
            Ok(json) => json,
            Err(close) => panic!("the server closed with {close:?}"),
        }
    }

    /// The next message, or the code and reason of the close.
    pub async fn next_or_close(&mut self) -> Result<Json, Option<(u16, String)>> {
        loop {
            match tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("the server said nothing") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map(|frame| (frame.code.into(), frame.reason.to_string())));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Reads Transitions until every one of `queries` has the wanted result, and returns all of them.
    pub async fn until(&mut self, query: u32, wanted: impl Fn(&Json) -> bool) -> Vec<Json> {
        let mut seen = Vec::new();
        loop {
            let message = self.next().await;
            let done = results(&message).iter().any(|(id, result)| *id == query && wanted(result));
            seen.push(message);
            if done {
                return seen;
            }
        }
    }
}

/// Longer than anything takes, so that a test that would wait for ever fails instead.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn add(id: u32, path: &str, args: Json) -> Json {
    json!({ "type": "Add", "queryId": id, "udfPath": path, "args": [args] })
}

/// The results of a Transition: the value, or the whole modification of a failed query.
pub fn results(message: &Json) -> Vec<(u32, Json)> {
    let modifications = message["modifications"].as_array().cloned().unwrap_or_default();
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
    (message[which]["querySet"].as_u64().unwrap(), message[which]["identity"].as_u64().unwrap())
}
