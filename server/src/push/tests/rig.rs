//! A server's lower rooms with the room under test, and an app that is pushed to it.

use std::path::Path;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use vestibule_schema::object;
use vestibule_schema::table::{Schema, TableDefinition};
use vestibule_schema::value::{Object, Value};

use crate::auth::{AdminKeys, AuthConfig, Authenticator, DeploymentSecret};
use crate::clock::{Clock, ManualClock, UnixNanos};
use crate::database::{
    Bound, BoundKind, CommitterOptions, Database, DatabaseOptions, Limits, Order, Query, Source,
    Transaction,
};
use crate::deployment::analysis::ModuleAnalysis;
use crate::deployment::provisioning::Stated;
use crate::deployment::{Analysis, AnalyzeError, AnalyzeInput, Analyzer};
use crate::executor::SystemExecutor;
use crate::functions::{Error, Functions, Registry};
use crate::outbound::{Origins, Own};
use crate::probe::Probe;
use crate::push::plans::Plan;
use crate::push::request::push_id;
use crate::push::{Program, PushError, PushParts, Pushes, StartPush, system};
use crate::storage::StoreOptions;

pub struct Rig {
    pub pushes: Arc<Pushes>,
    pub functions: Arc<Functions>,
    pub clock: Arc<ManualClock>,
    pub dir: TempDir,
}

/// Takes a module's source as its analysis.
struct Reader;

impl Analyzer for Reader {
    fn analyze(self: Arc<Self>, input: AnalyzeInput) -> Result<Analysis, AnalyzeError> {
        let mut analysis = Analysis {
            schema: input.schema.map(|schema| schema.source.to_string()),
            definition: input
                .definition
                .map(|definition| definition.source.to_string()),
            ..Analysis::default()
        };
        for module in input.modules {
            if module.path == "auth.config.js" {
                let name = module.source.to_string();
                let domain = input.variables.get(&name);
                let domain = domain.ok_or(AnalyzeError::AuthConfigVariable(name))?;
                let provider = json!({"domain": domain, "applicationID": "convex"});
                analysis.auth_config = Some(json!({"providers": [provider]}).to_string());
                continue;
            }
            let found: ModuleAnalysis =
                serde_json::from_str(&module.source).map_err(|error| AnalyzeError::Module {
                    path: module.path.clone(),
                    error: error.to_string(),
                })?;
            analysis.modules.insert(module.path, found);
        }
        Ok(analysis)
    }
}

impl Rig {
    pub async fn new() -> Rig {
        Rig::open(tempfile::tempdir().unwrap()).await
    }

    pub async fn open(dir: TempDir) -> Rig {
        let clock = Arc::new(ManualClock::at(UnixNanos::from_seconds(1_760_000_000)));
        let database = open_database(dir.path(), clock.clone());
        let origins = Origins {
            cloud: "https://api.example".to_owned(),
            site: "https://site.example".to_owned(),
        };
        let registry = Registry::new(system::functions(&origins)).unwrap();
        let own = Own::at(origins);
        let functions = Functions::new(registry, Arc::new(database));
        let secret = DeploymentSecret::load_or_create(dir.path()).unwrap();
        let keys = AdminKeys::open("test", &secret, dir.path()).unwrap();
        let authenticator =
            Authenticator::new(AuthConfig::none(), keys, clock.clone(), own.clone());
        let native = functions.native().functions();
        let pushes = Pushes::new(PushParts {
            functions: functions.clone(),
            analyzer: Arc::new(Reader),
            js: None,
            authenticator: Arc::new(authenticator),
            configured: AuthConfig::none(),
            dev_provider: None,
            program: Program {
                functions: native.map(|function| function.path.clone()).collect(),
                tables: ["natives".to_owned()].into(),
                routes: ["GET /native".to_owned()].into(),
            },
            stated: Stated::by_variables(),
            own,
            clock: clock.clone(),
        });
        pushes.restore().await.unwrap();
        Rig {
            pushes,
            functions,
            clock,
            dir,
        }
    }

    /// Ends the server, and starts it on the same data.
    pub async fn restart(self) -> Rig {
        let Rig {
            pushes,
            functions,
            dir,
            ..
        } = self;
        pushes.stop();
        drop(pushes);
        let database = functions.database().clone();
        drop(functions);
        database.close().await;
        Rig::open(dir).await
    }

    /// The whole of a push.
    pub async fn push(&self, body: Json) -> Result<Json, PushError> {
        let started = self.start(body).await?;
        let prepared = self.prepare(&started).await;
        assert_eq!(prepared["type"], "complete", "{prepared}");
        self.finish(started).await
    }

    pub async fn start(&self, body: Json) -> Result<Json, PushError> {
        let request: StartPush = serde_json::from_value(body).unwrap();
        self.pushes.start(request).await
    }

    /// Asks until the preparation has ended.
    pub async fn prepare(&self, started: &Json) -> Json {
        let request = json!({"schemaChange": started["schemaChange"], "timeoutMs": 1e6});
        let request = serde_json::from_value(request).unwrap();
        self.pushes.wait_for_schema(request).await.unwrap()
    }

    /// The plan of a push that was started.
    pub fn plan(&self, started: &Json) -> Arc<Plan> {
        let id = push_id(&started["schemaChange"]);
        self.pushes.plans.get(id, self.clock.elapsed()).unwrap()
    }

    pub async fn finish(&self, started: Json) -> Result<Json, PushError> {
        let request = json!({"startPush": started, "message": "because"});
        self.pushes
            .finish(serde_json::from_value(request).unwrap())
            .await
    }

    pub async fn transact<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut Transaction<'_>) -> T + Send + 'static,
    ) -> T {
        let done = self
            .functions
            .transact(move |tx| Ok::<_, Error>(work(tx)))
            .await;
        done.unwrap().unwrap()
    }

    /// Adds `count` rooms, numbered from zero.
    pub async fn add_rooms(&self, count: usize) {
        for start in (0..count).step_by(1_000) {
            self.transact(move |tx| {
                for n in start..count.min(start + 1_000) {
                    tx.insert("rooms", object! { "n" => n as f64 }).unwrap();
                }
            })
            .await;
        }
    }

    /// The rooms with this number, by the index.
    pub async fn rooms_with(&self, n: f64) -> Result<Vec<Object>, String> {
        self.transact(move |tx| {
            let query = Query {
                table: "rooms".into(),
                source: Source::IndexRange {
                    index: "by_n".into(),
                    bounds: vec![Bound {
                        kind: BoundKind::Eq,
                        field: "n".into(),
                        value: Some(Value::Float64(n)),
                    }],
                },
                order: Order::Asc,
                operators: Vec::new(),
            };
            let found = tx.collect(&query).map_err(|error| error.to_string())?;
            Ok(found.into_iter().map(|document| document.fields).collect())
        })
        .await
    }
}

fn open_database(dir: &Path, clock: Arc<ManualClock>) -> Database {
    let schema = Schema::new().define(TableDefinition::new("natives"));
    Database::open(DatabaseOptions {
        dir: dir.to_path_buf(),
        schema,
        limits: Limits::default(),
        store: StoreOptions::default(),
        committer: CommitterOptions::default(),
        reader_threads: 1,
        secret: [7; 32],
        clock,
        executor: Arc::new(SystemExecutor),
        probe: Probe::none(),
        rng: Box::new(StdRng::seed_from_u64(rand::random())),
        on_unknown: Box::new(|unknown| panic!("{unknown}")),
    })
    .unwrap()
}

/// A push of one module with a query of this name, and a schema.
pub fn app(function: &str, schema: Option<Json>) -> Json {
    let found = json!({"functions": [{"name": function, "kind": "Query", "visibility": "public"}]});
    let schema = schema.map(|schema| json!({"path": "schema.js", "source": schema.to_string()}));
    json!({
        "functions": "convex/",
        "appDefinition": {
            "schema": schema,
            "changedModules": [
                {"path": "rooms.js", "source": found.to_string(), "sourceMap": "{}", "environment": "isolate"},
            ],
            "udfServerVersion": "1.49.0",
        },
    })
}

/// A schema of one table whose documents have a field `n` of this type, with an index over it or not.
pub fn rooms(n: &str, has_index: bool) -> Json {
    let index = json!({"indexDescriptor": "by_n", "fields": ["n"]});
    let indexes = if has_index { vec![index] } else { Vec::new() };
    json!({"schemaValidation": true, "tables": [{
        "tableName": "rooms",
        "indexes": indexes,
        "documentType": {"type": "object", "value": {
            "n": {"fieldType": {"type": n}, "optional": false},
        }},
    }]})
}
