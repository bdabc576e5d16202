//! Random histories of mutations, on the lane, beside it and mixed, equal serial ones. Meanwhile batches are rolled back,
//! mutations are sent again, and definitions change.

use std::collections::BTreeMap;
use std::env;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use vestibule_schema::convert::{from_value, to_value};
use vestibule_schema::table::{Index, Schema, Table};
use vestibule_schema::timestamp::Timestamp;

use super::*;
use crate::auth::Caller;
use crate::clock::SystemClock;
use crate::database::{Catalog, DatabaseOptions, Limits, OpenError, TableMeta};
use crate::storage::StoreOptions;

/// Histories of one run of a test.
const HISTORIES: u64 = 6;
/// Clients of one history, each a session of its own.
const CLIENTS: u8 = 6;
/// Mutations of one client.
const STEPS: u32 = 60;
/// Steps that are answered between two changes of the definitions.
const ANSWERS_BETWEEN: u64 = 8;
/// How long a slow step lasts.
const SLOWNESS: Duration = Duration::from_millis(10);
/// Accounts that may exist.
const NAMES: u8 = 5;
/// Pages of the file: enough for what steps write, and too few for a hoard.
const PAGES_MAX: u32 = 1_500;
/// The documents of a hoard: their number, and the bytes of each.
const HOARDED: (usize, usize) = (9, 900_000);

#[derive(Serialize, Deserialize)]
struct Account {
    name: u8,
    balance: i64,
}

impl Account {
    const BY_NAME: Index<Account> = Index::unique("by_name", &["name"]);
}

impl Table for Account {
    const NAME: &'static str = "accounts";
    const INDEXES: &'static [Index<Account>] = &[Account::BY_NAME];
}

#[derive(Serialize, Deserialize)]
struct Hoard {
    text: String,
}

impl Table for Hoard {
    const NAME: &'static str = "hoards";
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Step {
    Open {
        name: u8,
    },
    Close {
        name: u8,
    },
    Transfer {
        from: u8,
        to: u8,
        amount: i64,
    },
    Total,
    /// Opens an account and then throws.
    Fail {
        name: u8,
    },
    /// Writes more than the disk has room for: its batch is rolled back.
    Hoard,
}

/// The values a step read, and so the step's effect.
type Observed = Vec<(u8, i64)>;

#[derive(Serialize, Deserialize)]
struct Args {
    step: Step,
}

impl Step {
    fn random(rng: &mut StdRng) -> Step {
        let name = rng.random_range(0..NAMES);
        match rng.random_range(0..24) {
            0..4 => Step::Open { name },
            4..6 => Step::Close { name },
            6..18 => Step::Transfer {
                from: name,
                to: rng.random_range(0..NAMES),
                amount: rng.random_range(1..50),
            },
            18..21 => Step::Total,
            21..23 => Step::Fail { name },
            _ => Step::Hoard,
        }
    }

    fn names(self) -> Vec<u8> {
        match self {
            Step::Open { name } | Step::Close { name } | Step::Fail { name } => vec![name],
            Step::Transfer { from, to, .. } => vec![from, to],
            Step::Total => (0..NAMES).collect(),
            Step::Hoard => Vec::new(),
        }
    }

    /// Runs on a plain map.
    fn replay(self, accounts: &mut BTreeMap<u8, i64>) -> Observed {
        let read = |name: u8| Some((name, *accounts.get(&name)?));
        let observed: Observed = self.names().into_iter().filter_map(read).collect();
        match self {
            Step::Open { name } => drop(accounts.entry(name).or_insert(100)),
            Step::Close { name } => drop(accounts.remove(&name)),
            Step::Transfer { from, to, amount } if observed.len() == 2 => {
                *accounts.entry(from).or_default() -= amount;
                *accounts.entry(to).or_default() += amount;
            }
            Step::Transfer { .. } | Step::Total | Step::Fail { .. } | Step::Hoard => {}
        }
        observed
    }
}

fn find(ctx: &mut MutationCtx, name: u8) -> Result<Option<crate::database::Document<Account>>> {
    let accounts = ctx.db().query::<Account>();
    Ok(accounts.index(Account::BY_NAME, name).unique()?)
}

fn run_step(ctx: &mut MutationCtx, Args { step }: Args) -> Result<Observed> {
    let mut observed = Observed::new();
    for name in step.names() {
        if let Some(account) = find(ctx, name)? {
            observed.push((name, account.value.balance));
        }
    }
    let is_there = |name: u8| observed.iter().any(|(there, _)| *there == name);
    match step {
        Step::Open { name } | Step::Fail { name } if !is_there(name) => {
            let balance = 100;
            ctx.db().insert(Account { name, balance })?;
        }
        Step::Close { name } if is_there(name) => {
            if let Some(account) = find(ctx, name)? {
                ctx.db().delete(account.id)?;
            }
        }
        Step::Transfer { from, to, amount } if observed.len() == 2 => {
            for (name, by) in [(from, -amount), (to, amount)] {
                let account = find(ctx, name)?.ok_or_else(|| Error::new("it was just there"))?;
                let balance = account.value.balance + by;
                let changed = vestibule_schema::object! { "balance" => balance };
                ctx.db().patch(account.id, changed)?;
            }
        }
        Step::Hoard => {
            for _ in 0..HOARDED.0 {
                let text = "x".repeat(HOARDED.1);
                ctx.db().insert(Hoard { text })?;
            }
        }
        _ => {}
    }
    match step {
        Step::Fail { .. } => Err(Error::application(to_value(&observed)?)),
        _ => Ok(observed),
    }
}

/// As [`run_step`], with so much time between what it reads and its place that others overtake it.
fn run_step_slowly(ctx: &mut MutationCtx, args: Args) -> Result<Observed> {
    let observed = run_step(ctx, args);
    std::thread::sleep(SLOWNESS);
    observed
}

#[derive(Clone, Copy, Debug)]
enum Where {
    Lane,
    Beside,
    Mixed,
}

impl Where {
    fn path(self, rng: &mut StdRng) -> &'static str {
        match self {
            Where::Beside | Where::Mixed if rng.random_ratio(1, 6) => "steps:slowly",
            Where::Lane => "steps:onLane",
            Where::Beside => "steps:beside",
            Where::Mixed if rng.random() => "steps:onLane",
            Where::Mixed => "steps:beside",
        }
    }
}

fn database(dir: &TempDir, pages_max: Option<u32>) -> Database {
    loop {
        let schema = Schema::new().table::<Account>().table::<Hoard>();
        let clock = Arc::new(SystemClock::new());
        let opened = Database::open(DatabaseOptions {
            // A busy machine may hold up a step for longer than a function has.
            limits: Limits {
                user_millis_max: 600_000,
                ..Limits::default()
            },
            store: StoreOptions {
                pages_max,
                ..StoreOptions::default()
            },
            rng: Box::new(StdRng::seed_from_u64(3)),
            ..DatabaseOptions::for_tests(dir.path(), schema, clock)
        });
        match opened {
            // The threads of an earlier life are about to end.
            Err(OpenError::Storage(error)) if error.is_in_use() => std::thread::yield_now(),
            opened => break opened.unwrap(),
        }
    }
}

fn open(dir: &TempDir, pages_max: Option<u32>) -> Arc<Functions> {
    let database = database(dir, pages_max);
    let all = |ctx: &mut QueryCtx, (): ()| {
        let accounts = ctx.db().query::<Account>().collect()?;
        let accounts = accounts.into_iter().map(|account| account.value);
        let mut all: Observed = accounts.map(|it| (it.name, it.balance)).collect();
        all.sort_unstable();
        Ok(all)
    };
    let registry = Registry::new(vec![
        Function::mutation("steps:onLane", run_step),
        Function::mutation("steps:beside", run_step).beside_the_lane(),
        Function::mutation("steps:slowly", run_step_slowly).beside_the_lane(),
        Function::query("steps:all", all),
    ]);
    Functions::new(registry.unwrap(), Arc::new(database))
}

fn call(path: &str, args: &impl Serialize) -> Call {
    Call {
        path: path.parse().unwrap(),
        args: to_value(args).unwrap(),
        caller: Caller::nobody(),
        source: CallSource::Client(None),
    }
}

async fn all(functions: &Arc<Functions>) -> Observed {
    let none = BTreeMap::<String, String>::new();
    let run = functions.query(call("steps:all", &none), None).await;
    match run.unwrap().outcome {
        QueryOutcome::Done(FunctionOutcome::Returned(value)) => from_value(value).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Sends a request once.
fn send(
    functions: &Arc<Functions>,
    call: &Call,
    request: &SessionRequest,
) -> oneshot::Receiver<std::result::Result<MutationRun, SystemError>> {
    let (answer, answered) = oneshot::channel();
    let on_finish: OnFinish = Box::new(move |run| {
        drop(answer.send(run));
        None
    });
    let submitted = functions.submit_mutation(call.clone(), Some(request.clone()), on_finish);
    submitted.unwrap();
    answered
}

/// Sends a request again until it is answered: a batch that fails takes the answers with it that rest on it.
async fn send_until_answered(
    functions: &Arc<Functions>,
    call: &Call,
    request: &SessionRequest,
) -> MutationRun {
    loop {
        match send(functions, call, request).await.unwrap() {
            Ok(run) => break run,
            Err(SystemError::NotCommitted(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// The answer to a client about a step that stands.
struct Told {
    ts: Timestamp,
    step: Step,
    observed: Observed,
}

/// Makes a client's steps one after another. Each is sent again until it is answered, now and then while it runs, and now
/// and then afterwards.
async fn play(
    functions: Arc<Functions>,
    client: u8,
    place: Where,
    seed: u64,
    answered: Arc<AtomicU64>,
) -> Vec<Told> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut told = Vec::new();
    for number in 0..STEPS {
        let step = Step::random(&mut rng);
        let call = call(place.path(&mut rng), &Args { step });
        let request = SessionRequest {
            session: [client; 16],
            request: number,
            identity: String::new(),
        };
        let run = loop {
            let first = send(&functions, &call, &request);
            let doubled = rng
                .random_ratio(1, 4)
                .then(|| send(&functions, &call, &request));
            let (first, doubled) = (
                first.await.unwrap(),
                match doubled {
                    Some(doubled) => Some(doubled.await.unwrap()),
                    None => None,
                },
            );
            match (first, doubled) {
                (Ok(run), Some(Ok(again))) if step.is_kept() => {
                    assert_eq!(
                        (&run.outcome, run.ts),
                        (&again.outcome, again.ts),
                        "{step:?}"
                    );
                    break Some(run);
                }
                (Ok(run), _) => break Some(run),
                // It left no trace, and the same request may be made again.
                (Err(SystemError::NotCommitted(_)), _) if step == Step::Hoard => break None,
                (Err(SystemError::NotCommitted(_)), _) => {}
                (Err(error), _) => panic!("{step:?}: {error}"),
            }
        };
        answered.fetch_add(1, Ordering::Relaxed);
        let Some(run) = run else { continue };
        if step.is_kept() && rng.random_ratio(1, 4) {
            let again = send_until_answered(&functions, &call, &request).await;
            assert_eq!(
                (&run.outcome, run.ts),
                (&again.outcome, again.ts),
                "{step:?}"
            );
        }
        let observed = match run.outcome {
            FunctionOutcome::Returned(value) => value,
            FunctionOutcome::Threw(thrown) => {
                thrown.data.clone().unwrap_or_else(|| panic!("{thrown:?}"))
            }
        };
        assert_ne!(step, Step::Hoard, "the disk has no room for it");
        let (ts, observed) = (run.ts, from_value(observed).unwrap());
        told.push(Told { ts, step, observed });
    }
    told
}

impl Step {
    /// Whether its answer is kept: what throws runs again when it is sent again.
    fn is_kept(self) -> bool {
        !matches!(self, Step::Fail { .. } | Step::Hoard)
    }
}

/// Puts the same functions and the same tables in place again and again, each time as a change of the definitions. A
/// change of the tables overtakes every draft, so some steps have to end in between.
async fn redefine(
    functions: Arc<Functions>,
    answered: Arc<AtomicU64>,
    stop: tokio_util::sync::CancellationToken,
) -> u64 {
    let mut times = 0;
    while !stop.is_cancelled() {
        let registry = Arc::new(Registry::clone(&functions.registry()));
        let changed = functions.transact(move |tx| {
            let mut catalog = Catalog::clone(&tx.catalog());
            let hoards = catalog.table(Hoard::NAME).expect("it is declared");
            catalog.set(TableMeta::clone(hoards));
            tx.set_catalog(catalog)?;
            Ok(tx.set_extension(registry.clone())?)
        });
        match changed.await {
            Ok(done) => done.unwrap(),
            Err(SystemError::NotCommitted(_)) => continue,
            Err(error) => panic!("{error}"),
        }
        times += 1;
        while answered.load(Ordering::Relaxed) < times * ANSWERS_BETWEEN && !stop.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    times
}

/// Plays one history and holds it against a serial one: that of the commits' timestamps. Returns how many times a
/// mutation reserved its reads.
async fn equals_a_serial_one(place: Where, seed: u64) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let functions = open(&dir, Some(PAGES_MAX));
    let stop = tokio_util::sync::CancellationToken::new();
    let answered = Arc::new(AtomicU64::new(0));
    let redefining = tokio::spawn(redefine(functions.clone(), answered.clone(), stop.clone()));
    let clients = (0..CLIENTS).map(|client| {
        let seed = seed.wrapping_add(u64::from(client) << 48);
        tokio::spawn(play(
            functions.clone(),
            client,
            place,
            seed,
            answered.clone(),
        ))
    });
    let mut history = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        history.extend(client.await.unwrap());
    }
    stop.cancel();
    assert!(redefining.await.unwrap() > 0);

    // A step that threw has the timestamp of the state that it saw, so it comes behind that commit.
    history.sort_by_key(|told| (told.ts, matches!(told.step, Step::Fail { .. })));
    let mut accounts = BTreeMap::new();
    for Told { ts, step, observed } in &history {
        assert_eq!(&step.replay(&mut accounts), observed, "{step:?} at {ts}");
    }
    let kept = history.iter().filter(|told| told.step.is_kept());
    let mut commits: Vec<_> = kept.map(|told| told.ts).collect();
    let count = commits.len();
    commits.dedup();
    assert_eq!(commits.len(), count, "two commits have one timestamp");

    let expected: Observed = accounts.into_iter().collect();
    assert_eq!(all(&functions).await, expected);
    let [_, _, reservations] = functions.draft_counts().read();
    drop(functions);
    assert_eq!(all(&open(&dir, None)).await, expected);
    reservations
}

async fn histories(place: Where) {
    let replayed = env::var("VESTIBULE_SEED").ok();
    let replayed = replayed.map(|seed| seed.parse::<u64>().unwrap());
    let first = replayed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let mut reservations = 0;
    for seed in first..first + HISTORIES {
        println!("{place:?}: VESTIBULE_SEED={seed}");
        reservations += equals_a_serial_one(place, seed).await;
    }
    println!("{place:?}: {reservations} reservations");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_history_on_the_lane_equals_a_serial_one() {
    histories(Where::Lane).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_history_beside_the_lane_equals_a_serial_one() {
    histories(Where::Beside).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_mixed_history_equals_a_serial_one() {
    histories(Where::Mixed).await;
}
