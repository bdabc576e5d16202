//! The database as it runs, threads and all.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};

use proptest::collection::vec;
use proptest::prelude::*;
use vestibule_schema::object;

use super::*;
use crate::clock::SystemClock;
use crate::executor::SystemExecutor;

pub(super) fn open(
    dir: &TempDir,
    schema: Schema,
    clock: Arc<ManualClock>,
    change: impl FnOnce(&mut DatabaseOptions),
) -> Database {
    let mut options = DatabaseOptions {
        reader_threads: 1,
        rng: Box::new(StdRng::seed_from_u64(11)),
        ..DatabaseOptions::for_tests(dir.path(), schema, clock)
    };
    change(&mut options);
    Database::open(options).unwrap()
}

/// Queues a mutation; the outcome comes out of the channel.
fn submit<R: Send + 'static>(
    committer: &Committer,
    body: impl FnOnce(&mut Transaction<'_>) -> (R, Verdict) + Send + 'static,
) -> Receiver<Outcome<R>> {
    let (sender, outcome) = channel();
    let queued = committer.submit(mutation(body, move |outcome| drop(sender.send(outcome))));
    assert!(queued.is_ok(), "the queue has room");
    outcome
}

/// Runs a mutation and waits until it is durable.
pub(super) fn mutate<R: Send + 'static>(
    database: &Database,
    body: impl FnOnce(&mut Transaction<'_>) -> R + Send + 'static,
) -> R {
    let body = |tx: &mut Transaction<'_>| (body(tx), Verdict::Commit);
    let (returned, outcome) = submit(database.committer(), body).recv().unwrap();
    outcome.unwrap();
    returned
}

/// Runs a query on a reader thread.
pub(super) fn read<R: Send + 'static>(
    database: &Database,
    body: impl FnOnce(&mut Transaction<'_>) -> R + Send + 'static,
) -> R {
    let environment = database.environment().clone();
    let (sender, answer) = channel();
    let job = move |store: &Store| {
        let snapshot = store.snapshot().unwrap();
        let mut tx = Transaction::read_only(&snapshot, &environment);
        sender.send(body(&mut tx)).unwrap();
    };
    database.readers().submit(job).unwrap();
    answer.recv().unwrap()
}

fn accounts() -> Schema {
    schema([table("accounts", &[("by_name!", &["name"])])])
}

/// A mutation of the histories below.
#[derive(Clone, Debug)]
enum Step {
    Open(u8),
    Close(u8),
    Transfer {
        from: u8,
        to: u8,
        amount: i32,
    },
    Total,
    /// Opens an account and then fails.
    Fail(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..6_u8;
    prop_oneof![
        2 => name().prop_map(Step::Open),
        1 => name().prop_map(Step::Close),
        6 => (name(), name(), 0..50)
            .prop_map(|(from, to, amount)| Step::Transfer { from, to, amount }),
        1 => Just(Step::Total),
        1 => name().prop_map(Step::Fail),
    ]
}

/// The values a step read, and so the step's effect.
type Observed = Vec<(u8, i32)>;

impl Step {
    /// Runs on the database.
    fn run(&self, tx: &mut Transaction<'_>) -> (Observed, Verdict) {
        let observed = self.read(tx);
        let balance = |name: u8| observed.iter().find(|(n, _)| *n == name).map(|(_, b)| *b);
        match *self {
            Step::Open(name) | Step::Fail(name) if balance(name).is_none() => {
                let fields = object! {"name" => i32::from(name), "balance" => 100};
                tx.insert("accounts", fields).unwrap();
            }
            Step::Close(name) if balance(name).is_some() => {
                let id = find(tx, name).unwrap();
                tx.delete(id).unwrap();
            }
            Step::Transfer { from, to, amount } => {
                if let (Some(_), Some(_)) = (balance(from), balance(to)) {
                    add(tx, from, -amount);
                    add(tx, to, amount);
                }
            }
            Step::Open(_) | Step::Close(_) | Step::Total | Step::Fail(_) => {}
        }
        match self {
            Step::Fail(_) => (observed, Verdict::Abort),
            _ => (observed, Verdict::Commit),
        }
    }

    fn read(&self, tx: &mut Transaction<'_>) -> Observed {
        let names = match self {
            Step::Open(name) | Step::Close(name) | Step::Fail(name) => vec![*name],
            Step::Transfer { from, to, .. } => vec![*from, *to],
            Step::Total => return all(tx),
        };
        let by_name = |name| Some((name, balance(tx, name)?));
        names.into_iter().filter_map(by_name).collect()
    }

    /// Runs on a plain map.
    fn replay(&self, model: &mut BTreeMap<u8, i32>) -> Observed {
        let read = |name: u8| model.get(&name).map(|balance| (name, *balance));
        let observed: Observed = match *self {
            Step::Open(name) | Step::Close(name) | Step::Fail(name) => {
                read(name).into_iter().collect()
            }
            Step::Transfer { from, to, .. } => [from, to].into_iter().filter_map(read).collect(),
            Step::Total => model.clone().into_iter().collect(),
        };
        match *self {
            Step::Open(name) => drop(model.entry(name).or_insert(100)),
            Step::Close(name) => drop(model.remove(&name)),
            Step::Transfer { from, to, amount } if observed.len() == 2 => {
                *model.get_mut(&from).unwrap() -= amount;
                *model.get_mut(&to).unwrap() += amount;
            }
            Step::Transfer { .. } | Step::Total | Step::Fail(_) => {}
        }
        observed
    }
}

fn find(tx: &mut Transaction<'_>, name: u8) -> Option<DocumentId> {
    let query = range(
        "accounts",
        "by_name",
        [bound(BoundKind::Eq, "name", i32::from(name))],
    );
    tx.unique(&query).unwrap().map(|document| document.id)
}

fn balance(tx: &mut Transaction<'_>, name: u8) -> Option<i32> {
    let id = find(tx, name)?;
    let document = tx.get(id).unwrap().unwrap();
    Some(document.fields["balance"].as_f64().unwrap() as i32)
}

fn add(tx: &mut Transaction<'_>, name: u8, amount: i32) {
    let id = find(tx, name).unwrap();
    let new = Value::from(balance(tx, name).unwrap() + amount);
    tx.patch(id, Patch::default().set("balance", new)).unwrap();
}

fn all(tx: &mut Transaction<'_>) -> Observed {
    let documents = tx.collect(&index("accounts", "by_name")).unwrap();
    let number =
        |document: &RawDocument, field: &str| document.fields[field].as_f64().unwrap() as i32;
    let row =
        |document: &RawDocument| (number(document, "name") as u8, number(document, "balance"));
    documents.iter().map(row).collect()
}

/// Submits each script from a thread of its own and returns what each step observed, with its timestamp.
fn run_at_once(committer: &Committer, scripts: Vec<Vec<Step>>) -> Vec<(Timestamp, Step, Observed)> {
    let run = |script: Vec<Step>| {
        let queue = |step: Step| {
            let queued = step.clone();
            (step, submit(committer, move |tx| queued.run(tx)))
        };
        let outcomes: Vec<_> = script.into_iter().map(queue).collect();
        let wait = |(step, outcome): (Step, Receiver<Outcome<Observed>>)| {
            let (observed, committed) = outcome.recv().unwrap();
            (committed.unwrap().ts, step, observed)
        };
        outcomes.into_iter().map(wait).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = scripts
            .into_iter()
            .map(|script| scope.spawn(|| run(script)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_history_equals_a_serial_one(
        scripts in vec(vec(step(), 0..40), 1..5),
        batch_commits_max in 1..20_usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let clock = manual_clock();
        let database = open(&dir, accounts(), clock.clone(), |options| {
            options.committer.batch_commits_max = batch_commits_max;
        });
        let mut history = run_at_once(database.committer(), scripts);

        // A step that changed nothing has the timestamp of the commit it saw, so it comes behind that one.
        let mut model = BTreeMap::new();
        let changes = |(_, step, observed): &(Timestamp, Step, Observed)| {
            let mut model: BTreeMap<u8, i32> = observed.iter().copied().collect();
            let before = model.clone();
            step.replay(&mut model);
            model != before || matches!(step, Step::Transfer { from, to, amount }
                if from == to && observed.len() == 2 && *amount != 0)
        };
        history.sort_by_key(|entry| (entry.0, !changes(entry)));
        for (ts, step, observed) in &history {
            prop_assert_eq!(&step.replay(&mut model), observed, "{:?} at {}", step, ts);
        }
        let mut committed: Vec<_> = history.iter().filter(|entry| changes(entry)).map(|entry| entry.0).collect();
        let commits = committed.len();
        committed.dedup();
        prop_assert_eq!(committed.len(), commits, "two commits have one timestamp");

        let expected: Observed = model.into_iter().collect();
        prop_assert_eq!(read(&database, all), expected.clone());
        drop(database);
        let database = open(&dir, accounts(), clock, |_| {});
        prop_assert_eq!(read(&database, all), expected);
    }
}

#[test]
fn mutations_of_one_caller_run_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(&dir, accounts(), manual_clock(), |_| {});
    let submit_one = |name: i32| {
        submit(database.committer(), move |tx| {
            tx.insert("accounts", object! {"name" => name}).unwrap();
            ((), Verdict::Commit)
        })
    };
    let outcomes: Vec<_> = (0..500).map(submit_one).collect();
    let ts_of = |outcome: Receiver<Outcome<()>>| outcome.recv().unwrap().1.unwrap().ts;
    let timestamps: Vec<_> = outcomes.into_iter().map(ts_of).collect();
    assert!(timestamps.is_sorted_by(|a, b| a < b));
}

#[test]
fn a_full_queue_refuses_and_hands_the_mutation_back() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(&dir, accounts(), manual_clock(), |options| {
        options.committer.queue_max = 3
    });
    let (started, running) = channel();
    let (release, released) = channel::<()>();
    let blocking = submit(database.committer(), move |_| {
        started.send(()).unwrap();
        released.recv().unwrap();
        ((), Verdict::Commit)
    });
    running.recv().unwrap();
    let waiting: Vec<_> = (0..3)
        .map(|_| submit(database.committer(), |tx| (all(tx), Verdict::Commit)))
        .collect();
    assert_eq!(database.committer().queued(), 3);
    let (sender, answered) = channel();
    let refused = mutation(
        |_| ((), Verdict::Commit),
        move |outcome| sender.send(outcome).unwrap(),
    );
    let Err(SubmitError::QueueFull(handed_back)) = database.committer().submit(refused) else {
        panic!("a full queue took a mutation");
    };
    drop(handed_back);
    assert!(answered.try_recv().is_err(), "whoever submitted it answers");

    release.send(()).unwrap();
    blocking.recv().unwrap().1.unwrap();
    for outcome in waiting {
        outcome.recv().unwrap().1.unwrap();
    }
}

#[test]
fn dropping_the_database_lets_queued_mutations_finish() {
    let dir = tempfile::tempdir().unwrap();
    let clock = manual_clock();
    let database = open(&dir, accounts(), clock.clone(), |options| {
        options.committer.batch_commits_max = 7;
    });
    let insert = |name: i32| {
        submit(database.committer(), move |tx| {
            tx.insert("accounts", object! {"name" => name, "balance" => 0})
                .unwrap();
            ((), Verdict::Commit)
        })
    };
    let outcomes: Vec<_> = (0..100).map(insert).collect();
    drop(database);
    for outcome in outcomes {
        outcome.try_recv().unwrap().1.unwrap();
    }
    let database = open(&dir, accounts(), clock, |_| {});
    assert_eq!(read(&database, all).len(), 100);
}

#[test]
fn the_last_owner_of_a_database_may_be_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let database = Arc::new(open(&dir, accounts(), manual_clock(), |_| {}));
    let owner = database.clone();
    let (let_go, alone) = channel::<()>();
    let (sender, answered) = channel();
    let last = mutation(
        |_| ((), Verdict::Commit),
        move |_| {
            alone.recv().unwrap();
            drop(owner);
            sender.send(()).unwrap();
        },
    );
    assert!(database.committer().submit(last).is_ok());
    drop(database);
    let_go.send(()).unwrap();
    answered.recv().unwrap();
}

#[test]
fn a_full_disk_refuses_every_mutation_and_the_committer_still_ends() {
    let dir = tempfile::tempdir().unwrap();
    let clock = manual_clock();
    let (store, appender) = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let (mut appender, catalog) = set_up(&store, appender, &clock, &accounts()).unwrap();
    appender.set_pages_max(Some(1));
    let environment = Arc::new(environment(catalog, clock));
    let write_log = Arc::new(WriteLog::new(store.durable_ts()));
    let rollbacks = Arc::new(AtomicU64::new(0));
    let rng = Box::new(StdRng::seed_from_u64(1));
    let lane = Lane::new(&store, environment, rng, rollbacks.clone()).unwrap();
    let writer = LogWriter::new(appender, write_log, rollbacks, 1 << 20);
    let on_unknown = Box::new(|unknown| panic!("{unknown}"));
    let (options, clock) = (CommitterOptions::default(), Arc::new(SystemClock::new()));
    let committer =
        Committer::start(lane, writer, options, &SystemExecutor, clock, on_unknown).unwrap();
    let before = store.durable_ts();
    for _ in 0..20 {
        let (seen, outcome) = submit(&committer, |tx| {
            let seen = all(tx);
            let fields = object! {"name" => 1, "balance" => 0, "large" => "x".repeat(100_000)};
            tx.insert("accounts", fields).unwrap();
            (seen, Verdict::Commit)
        })
        .recv()
        .unwrap();
        assert_eq!(seen, [], "nothing of an earlier attempt is left");
        assert!(matches!(outcome, Err(CommitError::NotCommitted(_))));
    }
    drop(committer);
    assert_eq!(store.durable_ts(), before);
}

#[test]
fn what_waits_to_be_folded_stays_bounded() {
    const UNFOLDED_MAX: usize = 64 << 10;
    let dir = tempfile::tempdir().unwrap();
    let database = open(&dir, accounts(), manual_clock(), |options| {
        options.store.overlay_bytes_max = UNFOLDED_MAX;
        options.committer.unfolded_bytes_max = UNFOLDED_MAX;
        options.committer.batch_bytes_max = 8 << 10;
    });
    let (sender, store) = channel();
    database
        .readers()
        .submit(move |store| sender.send(store.clone()).unwrap())
        .unwrap();
    let store = store.recv().unwrap();
    let (sender, overlays) = channel();
    const COUNT: i32 = 4_000;
    for name in 0..COUNT {
        let (store, sender) = (store.clone(), sender.clone());
        let body = move |tx: &mut Transaction<'_>| {
            let fields = object! {"name" => name, "balance" => 0, "filler" => "x".repeat(200)};
            tx.insert("accounts", fields).unwrap();
            ((), Verdict::Commit)
        };
        let on_finish = move |(_, outcome): Outcome<()>| {
            outcome.unwrap();
            sender.send(store.durable().overlay.bytes()).unwrap();
        };
        assert!(
            database
                .committer()
                .submit(mutation(body, on_finish))
                .is_ok()
        );
    }
    drop(sender);
    let largest = overlays.iter().max().unwrap();
    // The entries being folded, those waiting for the next round, and each entry's overhead beyond its bytes.
    assert!(largest < 8 * UNFOLDED_MAX, "{largest} bytes");
    assert_eq!(
        read(&database, |tx| tx
            .collect(&index("accounts", "by_id"))
            .unwrap()
            .len()),
        COUNT as usize
    );
}

#[test]
fn a_job_that_panics_ends_alone() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(&dir, accounts(), manual_clock(), |_| {});
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let panicked = runtime.block_on(database.readers().run(|_| panic!("on purpose")));
    let panicked: Result<(), _> = panicked;
    assert_eq!(panicked, Err(ReadersError::Closed));
    assert_eq!(read(&database, all), []);
}
