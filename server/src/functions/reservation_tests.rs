//! Long mutations over documents that others write without a pause: they commit, and hold up only what they read.

use std::sync::atomic::{AtomicBool, AtomicU32};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;
use vestibule_schema::object;
use vestibule_schema::table::Schema;
use vestibule_schema::value::Value;

use super::tests::{Counter, Step};
use super::*;
use crate::auth::Caller;
use crate::clock::{Clock, ManualClock, SystemClock, UnixNanos};
use crate::database::{DatabaseOptions, DatabaseWriter, Limits, PageBorders};

/// A step in the middle of which `pause` is called.
fn add_in(
    db: &mut DatabaseWriter<'_>,
    Step { name, by }: Step,
    pause: impl FnOnce(),
) -> Result<i64> {
    let old = db
        .query::<Counter>()
        .index(Counter::BY_NAME, &name)
        .unique()?;
    pause();
    let value = old.as_ref().map_or(0, |old| old.value.value) + by;
    match old {
        Some(old) => db.patch(old.id, object! { "value" => value })?,
        None => drop(db.insert(Counter { name, value })?),
    }
    Ok(value)
}

/// The work of a long mutation in the middle of a run, by the number of the run.
type Pause = Box<dyn Fn(u32) + Send + Sync>;

struct Rig {
    functions: Arc<Functions>,
    /// Runs of the long mutation.
    runs: Arc<AtomicU32>,
    _dir: TempDir,
}

type Answer = Receiver<std::result::Result<MutationRun, SystemError>>;

impl Rig {
    fn new(clock: Arc<dyn Clock>, user_millis_max: u64, pause: Pause) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let schema = Schema::new().table::<Counter>();
        let database = Database::open(DatabaseOptions {
            limits: Limits {
                user_millis_max,
                ..Limits::default()
            },
            rng: Box::new(StdRng::seed_from_u64(3)),
            ..DatabaseOptions::for_tests(dir.path(), schema, clock)
        });
        let runs = Arc::new(AtomicU32::new(0));
        let run = runs.clone();
        let long = move |ctx: &mut MutationCtx, step: Step| {
            let run = run.fetch_add(1, Ordering::Relaxed) + 1;
            add_in(ctx.db(), step, || pause(run))
        };
        let add = |ctx: &mut MutationCtx, step: Step| add_in(ctx.db(), step, || {});
        let registry = Registry::new(vec![
            Function::mutation("counters:add", add),
            Function::mutation("counters:addBeside", add).beside_the_lane(),
            Function::mutation("counters:addLong", long).beside_the_lane(),
        ]);
        Rig {
            functions: Functions::new(registry.unwrap(), Arc::new(database.unwrap())),
            runs,
            _dir: dir,
        }
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::Relaxed)
    }
}

fn submit(
    functions: &Arc<Functions>,
    path: &str,
    (name, by): (&str, i64),
    request: Option<(u8, u32)>,
) -> Answer {
    let call = Call {
        path: path.parse().unwrap(),
        args: Value::Object(object! { "name" => name, "by" => by }),
        caller: Caller::nobody(),
        source: CallSource::Client(None),
    };
    let session_request = request.map(|(session, request)| SessionRequest {
        session: [session; 16],
        request,
        identity: String::new(),
    });
    let (answer, answered) = bounded(1);
    let on_finish: OnFinish = Box::new(move |run| {
        drop(answer.send(run));
        None
    });
    let submitted = functions.submit_mutation(call, session_request, on_finish);
    submitted.unwrap();
    answered
}

fn total(answer: &Answer) -> (i64, MutationRun) {
    let run = answer.recv().unwrap().unwrap();
    match run.outcome {
        FunctionOutcome::Returned(Value::Int64(total)) => (total, run),
        other => panic!("{other:?}"),
    }
}

/// Adds to a counter without a pause until told to stop. Returns how many times.
fn add_without_pause(
    functions: &Arc<Functions>,
    name: &'static str,
    count: &Arc<AtomicU32>,
    stop: &Arc<AtomicBool>,
) -> thread::JoinHandle<()> {
    let (functions, count, stop) = (functions.clone(), count.clone(), stop.clone());
    thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            total(&submit(&functions, "counters:add", (name, 1), None));
            count.fetch_add(1, Ordering::Relaxed);
        }
    })
}

/// Answers that a writer of another counter gets during each run, or the run ends in vain.
const OTHERS: u32 = 3;

/// Steps of a long mutation beside writers of what it reads.
const LONG: i64 = 1_000_000;

fn commits_beside_writers(length: Duration, user_millis_max: u64) {
    let others = Arc::new(AtomicU32::new(0));
    let stood_still = Arc::new(AtomicBool::new(false));
    let (seen, still) = (others.clone(), stood_still.clone());
    let pause = move |_| {
        let before = seen.load(Ordering::Relaxed);
        thread::sleep(length);
        let clock = SystemClock::new();
        while seen.load(Ordering::Relaxed) < before + OTHERS {
            if clock.elapsed() > Duration::from_secs(30) {
                return still.store(true, Ordering::Relaxed);
            }
            thread::yield_now();
        }
    };
    let rig = Rig::new(
        Arc::new(SystemClock::new()),
        user_millis_max,
        Box::new(pause),
    );
    let functions = &rig.functions;
    let (hot, stop) = (
        Arc::new(AtomicU32::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let mut writers: Vec<_> = (0..4)
        .map(|_| add_without_pause(functions, "hot", &hot, &stop))
        .collect();
    writers.push(add_without_pause(functions, "other", &others, &stop));
    total(&submit(functions, "counters:addLong", ("hot", LONG), None));
    stop.store(true, Ordering::Relaxed);
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
    assert!(!stood_still.load(Ordering::Relaxed), "others did not go on");
    // Three runs beside the lane, and one whose reads nobody writes.
    assert!(rig.runs() <= 4, "{} runs", rig.runs());
    let (sum, _) = total(&submit(functions, "counters:add", ("hot", 0), None));
    let added = i64::from(hot.load(Ordering::Relaxed));
    assert_eq!(sum, LONG + added, "a step is lost");
}

#[test]
fn a_long_mutation_over_a_hot_document_commits_and_others_go_on() {
    commits_beside_writers(Duration::from_millis(30), 600_000);
}

#[test]
fn so_does_one_of_more_than_a_second() {
    commits_beside_writers(Duration::from_millis(1_100), 600_000);
}

/// A pause that has something overtake the first runs, and then says so and waits.
fn overtaken_at_first(
    functions: &Arc<OnceLock<Arc<Functions>>>,
) -> (Pause, Receiver<u32>, Sender<()>) {
    let (say, said) = unbounded();
    let (release, held) = unbounded();
    let functions = functions.clone();
    let pause = move |run: u32| {
        if run <= 3 {
            let functions = functions.get().unwrap();
            total(&submit(functions, "counters:add", ("hot", 1), None));
            // A run that is no longer short.
            thread::sleep(Duration::from_millis(6));
            return;
        }
        say.send(run).unwrap();
        let _ = held.recv();
    };
    (Box::new(pause), said, release)
}

#[test]
fn what_is_put_back_keeps_the_order_of_its_session() {
    let at = Arc::new(OnceLock::new());
    let (pause, reserved, release) = overtaken_at_first(&at);
    let rig = Rig::new(Arc::new(SystemClock::new()), 600_000, pause);
    let functions = &rig.functions;
    at.set(functions.clone()).ok().unwrap();
    let long = submit(functions, "counters:addLong", ("hot", LONG), None);
    assert_eq!(reserved.recv(), Ok(4));

    let send = |path, of, request| submit(functions, path, of, Some((1, request)));
    let hot = send("counters:add", ("hot", 1), 0);
    let lane = send("counters:add", ("cold", 1), 1);
    let beside = send("counters:addBeside", ("cold", 1), 2);
    let cold = send("counters:add", ("cold", 1), 3);
    let other = submit(functions, "counters:add", ("cold", 10), Some((2, 0)));
    assert_eq!(total(&other).0, 10, "another session does not wait");
    for waits in [&hot, &lane, &beside, &cold] {
        assert!(waits.is_empty());
    }
    drop(release);

    let (_, long) = total(&long);
    let (after, hot) = total(&hot);
    assert_eq!(after, LONG + 4);
    assert!(long.ts < hot.ts);
    let rest = [&lane, &beside, &cold].map(total);
    assert_eq!(rest.each_ref().map(|(total, _)| *total), [11, 12, 13]);
    let mut before = hot.ts;
    for (_, run) in &rest {
        assert!(before < run.ts);
        before = run.ts;
    }
}

fn manual() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(UnixNanos::from_seconds(1_760_000_000)))
}

#[test]
fn a_reservation_ends_with_its_time_and_its_holder_runs_again() {
    let at = Arc::new(OnceLock::new());
    let (pause, reserved, release) = overtaken_at_first(&at);
    // The time of the manual clock stands, so that a run is short, and asks for its turn first.
    let clock = manual();
    let passing = clock.clone();
    let pause: Pause = Box::new(move |run| {
        pause(run);
        passing.advance(Duration::from_millis(6));
    });
    let rig = Rig::new(clock.clone(), 10_000, pause);
    let functions = &rig.functions;
    at.set(functions.clone()).ok().unwrap();
    let long = submit(functions, "counters:addLong", ("hot", LONG), None);
    assert_eq!(reserved.recv(), Ok(4));
    let hot = submit(functions, "counters:add", ("hot", 1), None);
    clock.advance(Duration::from_secs(20));
    assert_eq!(total(&hot).0, 4);
    assert!(long.is_empty());
    drop(release);
    assert_eq!(total(&long).0, LONG + 4);
    assert_eq!(rig.runs(), 5);
}

#[test]
fn a_mutation_that_something_overtakes_for_ever_ends_with_a_named_error() {
    let clock = manual();
    let at: Arc<OnceLock<Arc<Functions>>> = Arc::default();
    let (passing, functions) = (clock.clone(), at.clone());
    let pause: Pause = Box::new(move |_| {
        let functions = functions.get().unwrap();
        // The server's own transactions are never put back.
        let own = functions.transact(|tx| {
            let mut db = DatabaseWriter::new(tx.lend(), PageBorders::default());
            let (name, by) = ("hot".to_owned(), 1);
            let added = add_in(&mut db, Step { name, by }, || {});
            tx.take_back(db.into_transaction());
            added
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(own).unwrap().unwrap();
        passing.advance(Duration::from_secs(30));
    });
    let rig = Rig::new(clock, 600_000, pause);
    at.set(rig.functions.clone()).ok().unwrap();
    let long = submit(&rig.functions, "counters:addLong", ("hot", LONG), None);
    let error = long.recv().unwrap().unwrap_err();
    assert!(matches!(error, SystemError::Contended), "{error}");
    assert_eq!(rig.runs(), 6, "the first one, and five more in 120 s");
}

#[test]
fn mutations_that_meet_on_one_document_seldom_overtake_each_other() {
    const MUTATIONS: u64 = 4_000;
    // No run is long, however busy the machine is.
    let clock = Arc::new(ManualClock::at(UnixNanos::from_seconds(1)));
    let rig = Rig::new(clock, 1_000, Box::new(|_| {}));
    let add = |_| submit(&rig.functions, "counters:addBeside", ("hot", 1), None);
    let answers: Vec<Answer> = (0..MUTATIONS).map(add).collect();
    let totals = answers.iter().map(|answer| total(answer).0);
    let mut totals: Vec<i64> = totals.collect();
    totals.sort_unstable();
    assert!(
        totals.into_iter().eq(1..=MUTATIONS as i64),
        "each adds once"
    );
    let [_, overtaken, _] = rig.functions.draft_counts().read();
    // Runs that are taken on give back a quarter of what those that are overtaken take, and the bound begins at the
    // number of threads. Without it all but the first of those threads run in vain each time.
    let threads = 2 * std::thread::available_parallelism().map_or(2, usize::from) as u64;
    let most = MUTATIONS / 2 + 16 * threads;
    assert!(overtaken <= most, "{overtaken} reruns, at most {most}");
    assert_eq!(rig.functions.queued().0, 0);
}
