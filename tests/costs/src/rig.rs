//! The server's rooms up to the gate, in this process, on a file in memory where the system has a place for one.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::future::join_all;
use prometheus_client::registry::Registry as Metrics;
use rand::SeedableRng;
use rand::rngs::{SmallRng, StdRng};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use vestibule_schema::identity::Identity;
use vestibule_schema::object;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::{Object, Value};
use vestibule_server::auth::{Caller, VerifiedUser};
use vestibule_server::clock::{Clock, SystemClock, UnixNanos};
use vestibule_server::database::{
    CommitterOptions, Database, DatabaseOptions, Limits, SessionRequest,
};
use vestibule_server::executor::SystemExecutor;
use vestibule_server::functions::{
    Call, CallSource, FunctionOutcome, Functions, MutationRun, Registry, SystemError,
};
use vestibule_server::probe::Probe;
use vestibule_server::provisioning::{Gate, GateMetrics, GateOptions, ProvisioningRules, Stated};
use vestibule_server::storage::StoreOptions;
use vestibule_server::subscriptions::{Following, LiveQueries};

use crate::app;

/// The rooms, and the thread of the caller as the one that waits for them.
pub struct Rig {
    pub functions: Arc<Functions>,
    pub live: Arc<LiveQueries>,
    pub gate: Arc<Gate>,
    following: Following,
    runtime: Runtime,
    dir: TempDir,
}

/// Where a sync costs nothing, so that no disk is measured.
const MEMORY: &str = "/dev/shm";
/// A function may take long: under callgrind everything takes fifty times as long.
const RUN_MILLIS_MAX: u64 = 600_000;
/// Items that one mutation adds, and people who come at once.
const AT_ONCE: usize = 1_000;

impl Rig {
    /// Rooms over an empty database.
    pub fn new() -> Rig {
        let dir = match Path::new(MEMORY).is_dir() {
            true => tempfile::tempdir_in(MEMORY),
            false => tempfile::tempdir(),
        };
        Rig::open(dir.expect("a temporary directory can be made"))
    }

    /// Rooms over as many items, numbered from 0.
    pub fn with_items(items: usize) -> Rig {
        let rig = Rig::new();
        for first in (0..items).step_by(AT_ONCE) {
            let count = AT_ONCE.min(items - first);
            rig.mutate(call(
                app::ADD,
                object! { "first" => first as f64, "count" => count as f64 },
            ));
        }
        rig
    }

    /// Lets as many new people in, from the first on.
    pub fn let_in(&self, first: usize, count: usize) {
        for from in (first..first + count).step_by(AT_ONCE) {
            let to = (from + AT_ONCE).min(first + count);
            let users: Vec<VerifiedUser> = (from..to).map(|number| person(number, "Ada")).collect();
            let admitted = self.wait(join_all(users.iter().map(|user| self.gate.admit(user))));
            assert!(admitted.iter().all(Result::is_ok), "everybody is let in");
        }
    }

    /// The same database after a restart: nothing is remembered, everything is in the file.
    pub fn reopened(self) -> Rig {
        let Rig {
            functions,
            live,
            gate,
            following,
            runtime,
            dir,
        } = self;
        let mut database = functions.database().clone();
        drop((gate, live, functions, following, runtime));
        // A reader may still be letting go of its last job.
        while let Err(held) = Arc::try_unwrap(database) {
            database = held;
            std::thread::yield_now();
        }
        Rig::open(dir)
    }

    fn open(dir: TempDir) -> Rig {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let inside = runtime.enter();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let database = Database::open(DatabaseOptions {
            dir: dir.path().to_path_buf(),
            schema: app::schema(),
            limits: Limits {
                user_millis_max: RUN_MILLIS_MAX,
                ..Limits::default()
            },
            store: StoreOptions::default(),
            committer: CommitterOptions::default(),
            reader_threads: 2,
            secret: [1; 32],
            clock: clock.clone(),
            executor: Arc::new(SystemExecutor),
            probe: Probe::none(),
            rng: Box::new(StdRng::from_os_rng()),
            on_unknown: Box::new(|unknown| panic!("{unknown}")),
        });
        let database = Arc::new(database.expect("the database opens"));
        let registry = Registry::new(app::functions()).expect("the functions are well formed");
        let functions = Functions::new(registry, database);
        let (live, following) = LiveQueries::start(functions.clone());
        let options = GateOptions {
            stated: Stated::ByProgram(ProvisioningRules::mutation(
                app::ENSURE_USER.parse().expect("the path is well formed"),
            )),
            deadline: Duration::from_secs(60),
            first_logins_per_minute: None,
            checks: None,
        };
        let metrics = Arc::new(GateMetrics::register(&mut Metrics::default()));
        let gate = Gate::new(functions.clone(), live.clone(), options, clock, metrics);
        drop(inside);
        Rig {
            functions,
            live,
            gate,
            following,
            runtime,
            dir,
        }
    }

    /// Waits for something, on this thread, while the news of commits is followed.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Runs a mutation. Its commit's timestamp.
    pub fn mutate(&self, call: Call) -> Timestamp {
        returned(self.wait(self.functions.mutate(call)))
    }

    /// Queues a mutation whose outcome nobody waits for.
    pub fn begin(&self, call: Call) {
        let queued = self
            .functions
            .submit_mutation(call, None, Box::new(|_| None));
        queued.expect("the queue has room");
    }

    /// Queues mutations all at once, and waits until the last is durable.
    pub fn mutate_all(&self, calls: Vec<Call>) {
        self.request_all(calls.into_iter().map(|call| (call, None)).collect());
    }

    /// As [`Self::mutate_all`], of calls that clients may send again.
    pub fn request_all(&self, calls: Vec<(Call, Option<SessionRequest>)>) {
        let (answer, answers) = mpsc::channel();
        let count = calls.len();
        for (call, request) in calls {
            let answer = answer.clone();
            let on_finish = Box::new(move |run| {
                // The receiver waits until all are answered.
                let _ = answer.send(returned(run));
                None
            });
            let queued = self.functions.submit_mutation(call, request, on_finish);
            queued.expect("the queue has room");
        }
        let answered = answers.iter().take(count).count();
        assert_eq!(answered, count, "every mutation is answered");
    }

    /// How often a function has run.
    pub fn runs(&self, path: &str) -> u64 {
        let runs = self.functions.registry().runs();
        let of = runs.iter().find(|runs| runs.path == path);
        of.expect("the function exists").runs
    }

    /// Batches that were made durable.
    pub fn appends(&self) -> u64 {
        self.functions.database().appends()
    }
}

impl Default for Rig {
    fn default() -> Self {
        Rig::new()
    }
}

fn returned(run: Result<MutationRun, SystemError>) -> Timestamp {
    let run = run.expect("the server works");
    let is_returned = matches!(run.outcome, FunctionOutcome::Returned(_));
    assert!(is_returned, "{:?}", run.outcome);
    run.ts
}

/// A call without an identity.
pub fn call(path: &str, args: Object) -> Call {
    Call {
        path: path.parse().expect("the path is well formed"),
        args: Value::Object(args),
        caller: Caller::nobody(),
        source: CallSource::Client(None),
    }
}

/// A call about one item.
pub fn call_of(path: &str, number: usize) -> Call {
    call(path, object! { "number" => number as f64 })
}

/// A person by number who goes by `name`, and whose token was verified.
pub fn person(number: usize, name: &str) -> VerifiedUser {
    let claims = object! { "name" => name };
    let subject = format!("person-{number}");
    VerifiedUser {
        identity: Arc::new(Identity::new("https://issuer.test", subject, claims)),
        expires_at: UnixNanos::from_seconds(u32::MAX.into()),
        needs_provisioning: true,
        provider_gone: Default::default(),
    }
}

/// Chance that comes out the same each time, so that counts can be compared.
pub fn chance() -> SmallRng {
    SmallRng::seed_from_u64(1)
}
