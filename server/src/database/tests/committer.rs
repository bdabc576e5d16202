//! The lane and the log writer, driven by hand: when each change becomes visible, and the state after an uncommitted
//! batch.

use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::task::Wake;
use std::time::Duration;

use parking_lot::Mutex;
use vestibule_schema::object;

use super::*;
use crate::storage::{ReadView, StorageError};

/// A committer without threads.
pub(super) struct Line {
    pub lane: Lane,
    pub writer: LogWriter,
    store: Store,
    write_log: Arc<WriteLog>,
    pub clock: Arc<ManualClock>,
    environment: Arc<Environment>,
    dir: TempDir,
}

fn rooms() -> Schema {
    schema([table("rooms", &[("by_a!", &["a"])])])
}

impl Line {
    pub fn new() -> Line {
        Line::open(tempfile::tempdir().unwrap(), manual_clock())
    }

    fn open(dir: TempDir, clock: Arc<ManualClock>) -> Line {
        let (store, appender) = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let (appender, catalog) = set_up(&store, appender, &clock, &rooms()).unwrap();
        let environment = Arc::new(environment(catalog, clock.clone()));
        let write_log = Arc::new(WriteLog::new(store.durable_ts()));
        let rollbacks = Arc::new(AtomicU64::new(0));
        let rng = Box::new(StdRng::seed_from_u64(store.epoch()));
        let lane = Lane::new(&store, environment.clone(), rng, rollbacks.clone()).unwrap();
        Line {
            writer: LogWriter::new(appender, write_log.clone(), rollbacks, 1 << 20),
            lane,
            store,
            write_log,
            clock,
            environment,
            dir,
        }
    }

    pub fn reopen(self) -> Line {
        let Line {
            dir,
            clock,
            lane,
            writer,
            store,
            ..
        } = self;
        drop((lane, writer, store));
        Line::open(dir, clock)
    }

    /// Runs one mutation in `batch`.
    pub fn run<R: Send + 'static>(
        &mut self,
        batch: &mut Batch,
        body: impl FnOnce(&mut Transaction<'_>) -> R + Send + 'static,
    ) -> Receiver<Outcome<R>> {
        let (sender, outcome) = channel();
        let body = |tx: &mut Transaction<'_>| (body(tx), Verdict::Commit);
        let mutation = mutation(body, move |outcome| sender.send(outcome).unwrap());
        self.lane.run(mutation, batch);
        outcome
    }

    /// Runs one mutation in a batch of its own, not yet written.
    fn batch<R: Send + 'static>(
        &mut self,
        body: impl FnOnce(&mut Transaction<'_>) -> R + Send + 'static,
    ) -> (Batch, Receiver<Outcome<R>>) {
        let mut batch = self.lane.open_batch();
        let outcome = self.run(&mut batch, body);
        self.lane.close_batch(&mut batch);
        (batch, outcome)
    }

    /// Runs one mutation and makes it durable.
    fn mutate<R: Send + 'static>(
        &mut self,
        body: impl FnOnce(&mut Transaction<'_>) -> R + Send + 'static,
    ) -> Outcome<R> {
        let (batch, outcome) = self.batch(body);
        self.writer.write(batch).unwrap();
        outcome.try_recv().unwrap()
    }

    fn insert(&mut self, a: i32) -> Timestamp {
        let (inserted, outcome) = self.mutate(move |tx| tx.insert("rooms", object! {"a" => a}));
        inserted.unwrap();
        outcome.unwrap().ts
    }

    /// The documents that readers see.
    fn durable(&self) -> Vec<Value> {
        self.read(values)
    }

    /// Reads what is durable.
    pub fn read<R>(&self, body: impl FnOnce(&mut Transaction<'_>) -> R) -> R {
        let snapshot = self.store.snapshot().unwrap();
        body(&mut Transaction::read_only(&snapshot, &self.environment))
    }

    /// Moves everything into the tables.
    pub fn fold(&mut self) {
        while self.writer.appender().fold().unwrap() != FoldProgress::Idle {}
    }
}

fn values(tx: &mut Transaction<'_>) -> Vec<Value> {
    let found = tx.collect(&index("rooms", "by_a")).unwrap();
    column(&found, "a").into_iter().flatten().collect()
}

fn numbers(numbers: impl IntoIterator<Item = i32>) -> Vec<Value> {
    numbers.into_iter().map(Value::from).collect()
}

fn insert(a: i32) -> impl FnOnce(&mut Transaction<'_>) -> Vec<Value> + Send {
    move |tx| {
        let before = values(tx);
        tx.insert("rooms", object! {"a" => a}).unwrap();
        before
    }
}

#[test]
fn a_batch_runs_on_the_one_before_it_while_readers_see_neither() {
    let mut line = Line::new();
    let (first, first_outcome) = line.batch(insert(1));
    let (second, second_outcome) = line.batch(insert(2));
    assert_eq!(line.durable(), []);
    assert!(first_outcome.try_recv().is_err());

    line.writer.write(first).unwrap();
    assert_eq!(line.durable(), numbers([1]));
    let (seen, committed) = first_outcome.try_recv().unwrap();
    assert_eq!(seen, []);
    assert_eq!(committed.unwrap().ts, line.store.durable_ts());
    assert!(second_outcome.try_recv().is_err());

    line.writer.write(second).unwrap();
    assert_eq!(line.durable(), numbers([1, 2]));
    assert_eq!(second_outcome.try_recv().unwrap().0, numbers([1]));
}

#[test]
fn an_answer_comes_after_durability_and_before_the_news() {
    let mut line = Line::new();
    let (store, write_log) = (line.store.clone(), line.write_log.clone());
    let news = line.write_log.subscribe();
    let before = *news.borrow();
    let (sender, answered) = channel();
    let body = |tx: &mut Transaction<'_>| (insert(1)(tx), Verdict::Commit);
    let on_finish = move |(_, outcome): Outcome<_>| {
        let ts = outcome.unwrap().ts;
        let durable = (store.durable_ts(), store.snapshot().unwrap().ts());
        assert_eq!(durable, (ts, ts));
        assert_eq!(*write_log.subscribe().borrow(), before);
        assert_eq!(write_log.since(before).unwrap().len(), 0);
        sender.send(ts).unwrap();
    };
    let mut batch = line.lane.open_batch();
    line.lane.run(mutation(body, on_finish), &mut batch);
    line.lane.close_batch(&mut batch);
    line.writer.write(batch).unwrap();
    let ts = answered.try_recv().unwrap();
    assert_eq!(*news.borrow(), ts);
    let entries = line.write_log.since(before).unwrap();
    assert_eq!(
        entries.iter().map(|entry| entry.ts).collect::<Vec<_>>(),
        [ts]
    );
    assert_eq!(
        entries[0].touched.len(),
        3,
        "by_id, by_creation_time and by_a"
    );
}

/// Inserts, and has itself woken.
struct Woken(Arc<NewsAtWake>);

/// How many commits the write log told of when it was woken.
struct NewsAtWake {
    write_log: Arc<WriteLog>,
    before: Timestamp,
    seen: Mutex<Vec<usize>>,
}

impl Mutation for Woken {
    fn run<'v>(&mut self, mut tx: Transaction<'v>) -> (Transaction<'v>, Verdict) {
        tx.insert("rooms", object! {}).unwrap();
        (tx, Verdict::Commit)
    }

    fn finish(self: Box<Self>, _: Result<Committed, CommitError>) -> Option<Waker> {
        Some(self.0.into())
    }
}

impl Wake for NewsAtWake {
    fn wake(self: Arc<Self>) {
        let news = self.write_log.since(self.before).unwrap();
        self.seen.lock().push(news.len());
    }
}

#[test]
fn who_waits_for_answers_is_woken_once_after_the_news_and_at_once_when_refused() {
    let mut line = Line::new();
    let waiting = Arc::new(NewsAtWake {
        write_log: line.write_log.clone(),
        before: line.write_log.newest(),
        seen: Mutex::default(),
    });
    let batch_of_two = |line: &mut Line| {
        let mut batch = line.lane.open_batch();
        for _ in 0..2 {
            line.lane.run(Box::new(Woken(waiting.clone())), &mut batch);
        }
        line.lane.close_batch(&mut batch);
        batch
    };
    let batch = batch_of_two(&mut line);
    line.writer.write(batch).unwrap();
    assert_eq!(*waiting.seen.lock(), [2]);
    batch_of_two(&mut line).refuse(CommitError::ShuttingDown);
    assert_eq!(*waiting.seen.lock(), [2, 2, 2]);
}

#[test]
fn what_an_aborted_mutation_changed_is_forgotten() {
    let mut line = Line::new();
    let before = line.insert(1);
    let (sender, outcome) = channel();
    let body = |tx: &mut Transaction<'_>| (insert(2)(tx), Verdict::Abort);
    let aborted = mutation(body, move |outcome| sender.send(outcome).unwrap());
    let mut batch = line.lane.open_batch();
    line.lane.run(aborted, &mut batch);
    let next = line.run(&mut batch, values);
    line.lane.close_batch(&mut batch);
    line.writer.write(batch).unwrap();
    // Both saw the one commit there is, and changed nothing.
    assert_eq!(outcome.try_recv().unwrap().1.unwrap().ts, before);
    let (seen, committed) = next.try_recv().unwrap();
    assert_eq!((seen, committed.unwrap().ts), (numbers([1]), before));
    assert_eq!(
        (line.durable(), line.store.durable_ts()),
        (numbers([1]), before)
    );
    assert_eq!(*line.write_log.subscribe().borrow(), before);
}

#[test]
fn a_batch_that_is_not_committed_takes_all_that_ran_on_it_with_it() {
    let mut line = Line::new();
    let kept = line.insert(1);
    let large = "x".repeat(200_000);
    line.writer.appender().set_pages_max(Some(1));
    let (failing, failed) = line.batch(move |tx| {
        tx.insert("rooms", object! {"a" => 2, "large" => large})
            .unwrap();
    });
    // The lane was two batches ahead when the disk was found full.
    let (on_top, on_top_outcome) = line.batch(insert(3));
    let (looking, looking_outcome) = line.batch(values);
    line.writer.write(failing).unwrap();
    line.writer.write(on_top).unwrap();
    line.writer.write(looking).unwrap();

    let text_of = |outcome: Result<Committed, CommitError>| text(outcome);
    let full = "not committed: the disk is full; writes resume when space returns";
    assert_eq!(text_of(failed.try_recv().unwrap().1), full);
    let earlier = "not committed: an earlier write was not committed; try again";
    let (seen, outcome) = on_top_outcome.try_recv().unwrap();
    assert_eq!(
        (seen, text_of(outcome)),
        (numbers([1, 2]), earlier.to_string())
    );
    let (seen, outcome) = looking_outcome.try_recv().unwrap();
    assert_eq!(
        (seen, text_of(outcome)),
        (numbers([1, 2, 3]), earlier.to_string())
    );
    assert_eq!(
        (line.durable(), line.store.durable_ts()),
        (numbers([1]), kept)
    );
    assert_eq!(*line.write_log.subscribe().borrow(), kept);

    // Still full: refused again. Then space returns and the next one succeeds, on what is durable.
    let large = "x".repeat(200_000);
    let (_, refused) = line.mutate(move |tx| {
        tx.insert("rooms", object! {"a" => 2, "large" => large})
            .unwrap();
    });
    assert_eq!(text_of(refused), full);
    line.writer.appender().set_pages_max(None);
    let (seen, committed) = line.mutate(insert(2));
    assert_eq!(seen, numbers([1]));
    assert!(committed.unwrap().ts > kept);
    assert_eq!(line.durable(), numbers([1, 2]));
    assert_eq!(line.reopen().durable(), numbers([1, 2]));
}

#[test]
fn commits_rise_when_the_clock_falls_also_over_a_restart() {
    let mut line = Line::new();
    let mut last = line.insert(0);
    for (n, seconds) in [START + 10, START + 5, 0, START + 20, START - 1_000_000]
        .into_iter()
        .enumerate()
    {
        line.clock.jump_to(UnixNanos::from_seconds(seconds));
        for a in 0..3 {
            let ts = line.insert(1 + 10 * n as i32 + a);
            assert!(ts > last, "{ts} after {last}");
            last = ts;
        }
        line = line.reopen();
        assert_eq!(line.store.durable_ts(), last);
    }
    let all = {
        let snapshot = line.store.snapshot().unwrap();
        let mut tx = Transaction::read_only(&snapshot, &line.environment);
        tx.collect(&Query::table("rooms")).unwrap()
    };
    let in_order_of_creation = column(&all, "a").into_iter().flatten().collect::<Vec<_>>();
    assert_eq!(in_order_of_creation, line.durable());
}

#[test]
fn a_timestamp_is_given_once_even_to_what_is_not_committed() {
    let mut line = Line::new();
    let mut given = Vec::new();
    for round in 0..3 {
        let mut batch = line.lane.open_batch();
        for verdict in [Verdict::Commit, Verdict::Abort] {
            let (sender, ts) = channel();
            let body = move |tx: &mut Transaction<'_>| {
                tx.insert("rooms", object! {}).unwrap();
                (tx.commit_ts().unwrap(), verdict)
            };
            let mutation = mutation(body, move |(ts, _)| sender.send(ts).unwrap());
            line.lane.run(mutation, &mut batch);
            given.push(ts);
        }
        line.lane.close_batch(&mut batch);
        match round {
            1 => line
                .writer
                .roll_back(batch, Arc::new(StorageError::DiskFull)),
            _ => line.writer.write(batch).unwrap(),
        }
    }
    let given: Vec<Timestamp> = given.into_iter().map(|ts| ts.try_recv().unwrap()).collect();
    assert!(given.is_sorted_by(|a, b| a < b), "{given:?}");
}

#[test]
fn creation_times_rise_over_a_restart_although_inserts_run_ahead_of_the_clock() {
    let mut line = Line::new();
    let (newest, _) = line.mutate(|tx| {
        let ids = (0..2_000).map(|a| tx.insert("rooms", object! {"a" => a}).unwrap());
        let last = ids.last().unwrap();
        tx.get(last).unwrap().unwrap().fields["_creationTime"].clone()
    });
    let mut line = line.reopen();
    let (next, _) = line.mutate(|tx| {
        let id = tx.insert("rooms", object! {"a" => -1}).unwrap();
        tx.get(id).unwrap().unwrap().fields["_creationTime"].clone()
    });
    assert!(next > newest, "{next} after {newest}");
}

#[test]
fn the_clock_going_on_shows_in_commits_and_creation_times() {
    let mut line = Line::new();
    line.clock.advance(Duration::from_secs(100));
    let (created, committed) = line.mutate(|tx| {
        let id = tx.insert("rooms", object! {}).unwrap();
        tx.get(id).unwrap().unwrap().fields["_creationTime"]
            .as_f64()
            .unwrap()
    });
    assert_eq!(
        committed.unwrap().ts,
        Timestamp((START + 100) * 1_000_000_000)
    );
    assert_eq!(created, ((START + 100) as f64 * 1_000.0).next_up());
}

#[test]
fn a_batch_is_full_by_count_or_by_bytes() {
    let mut line = Line::new();
    let options = |commits, bytes| CommitterOptions {
        batch_commits_max: commits,
        batch_bytes_max: bytes,
        ..CommitterOptions::default()
    };
    let mut batch = line.lane.open_batch();
    assert!(!batch.is_full(&options(1, 1)));
    line.run(&mut batch, insert(1));
    line.run(&mut batch, insert(2));
    assert!(!batch.is_full(&options(3, 10_000)));
    assert!(batch.is_full(&options(2, 10_000)));
    assert!(batch.is_full(&options(3, 100)));
}

#[test]
fn a_mutation_sent_again_is_answered_by_the_commit_before_it_in_the_same_batch() {
    let mut line = Line::new();
    let request = || SessionRequest {
        session: [1; 16],
        request: 5,
        identity: "ada".into(),
    };
    let body = move |tx: &mut Transaction<'_>| {
        let found = request().find(tx).unwrap();
        if found == Recorded::Nothing {
            tx.insert("rooms", object! {}).unwrap();
            let ts = tx.commit_ts().unwrap();
            request().record(
                tx,
                &RecordedAnswer {
                    ts,
                    value: Value::Null,
                    log_lines: vec![],
                },
            );
        }
        found
    };
    let mut batch = line.lane.open_batch();
    let first = line.run(&mut batch, body);
    let again = line.run(&mut batch, body);
    line.lane.close_batch(&mut batch);
    line.writer.write(batch).unwrap();
    let ts = first.try_recv().unwrap().1.unwrap().ts;
    let (found, _) = again.try_recv().unwrap();
    assert_eq!(
        found,
        Recorded::Answer(RecordedAnswer {
            ts,
            value: Value::Null,
            log_lines: vec![]
        })
    );
    let snapshot = line.store.snapshot().unwrap();
    let mut tx = Transaction::read_only(&snapshot, &line.environment);
    assert_eq!(tx.collect(&Query::table("rooms")).unwrap().len(), 1);
}

#[test]
fn nothing_of_a_batch_whose_outcome_is_unknown_is_answered() {
    let mut line = Line::new();
    let (batch, outcome) = line.batch(|tx| tx.insert("rooms", object! {"a" => 1.0}));
    line.store.stop();
    line.writer.write(batch).unwrap_err();
    // An answer that is dropped reads as a refusal, and the commit may be there after a restart.
    assert_eq!(outcome.try_recv().err(), Some(TryRecvError::Empty));
}
