//! The state of the live queries, step by step: answers arrive when and in the order that a test says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::{Object, Value};
use vestibule_schema::wire::QueryId;

use super::LIVE_QUERIES_MAX;
use super::assembly::SubscriberState;
use super::idle::IDLE_BYTES_MAX;
use super::live_query::{Answer, Execution, LiveQueryKey, QueryResult, Scope, TIME_HOLDS};
use super::state::{COMMITS_LOOKED_AT_MAX, State, ToRun};
use super::subscriber::{Moment, QuerySpec};
use crate::auth::Caller;
use crate::clock::{Clock, ManualClock, UnixNanos};
use crate::database::{LogEntry, ReadSet, WriteLog};
use crate::functions::{Call, CallSource, FunctionOutcome, QueryOutcome, Thrown};
use crate::storage::KeyRange;

const SUBSCRIBER: u64 = 1_000_000;
const NOTHING: [u64; 0] = [];

/// A state with one subscriber, and a write log that knows nothing newer than `ts`.
struct Rig {
    state: State,
    log: WriteLog,
    wake: Arc<Notify>,
    clock: Arc<ManualClock>,
}

impl Rig {
    fn at(ts: u64) -> Rig {
        let clock = Arc::new(ManualClock::at(UnixNanos(ts)));
        let mut state = State::new(Timestamp(ts), clock.clone());
        let wake = Arc::new(Notify::new());
        state.subscribers.insert(
            SUBSCRIBER,
            SubscriberState::new(Caller::nobody(), wake.clone()),
        );
        Rig {
            state,
            log: WriteLog::new(Timestamp(ts)),
            wake,
            clock,
        }
    }

    /// Subscribes to a query; the live query that answers it, and what has to run.
    fn watch(&mut self, query: u32, path: &str) -> (u64, ToRun) {
        let spec = QuerySpec::new(path.parse().unwrap(), Value::Object(Object::new()), None);
        let mut to_run = ToRun::new();
        let has_begun = self
            .state
            .begin_watch(SUBSCRIBER, QueryId(query), spec, &mut to_run);
        assert!(has_begun, "there is room");
        (self.live_query(query), to_run)
    }

    fn live_query(&self, query: u32) -> u64 {
        self.state.subscribers[&SUBSCRIBER].watches[&QueryId(query)]
            .live_query
            .unwrap()
    }

    fn unwatch(&mut self, query: u32) {
        assert!(self.state.end_watch(SUBSCRIBER, QueryId(query)).is_some());
    }

    /// An execution ends that was given the page border of now.
    fn complete(&mut self, id: u64, answer: Answer) -> ToRun {
        let live = self.state.live_queries.get(&id);
        let given = live.and_then(|live| live.border().cloned());
        self.complete_given(given, id, answer)
    }

    fn complete_given(&mut self, given: Option<Arc<str>>, id: u64, answer: Answer) -> ToRun {
        let answer = Answer { given, ..answer };
        self.state.complete(id, Ok(answer), &self.log)
    }

    /// A commit that touched these keys.
    fn commit(&mut self, ts: u64, keys: &[&'static str]) -> ToRun {
        let touched = keys.iter().collect();
        let news = vec![LogEntry {
            ts: Timestamp(ts),
            touched: Arc::new(touched),
        }];
        self.log = WriteLog::new(Timestamp(ts));
        self.state.follow(Some(news), Timestamp(ts))
    }

    fn assemble(&mut self, wanted: u64, required: u64) -> (Option<(u64, Vec<String>)>, ToRun) {
        let (moment, to_gather) =
            self.state
                .assemble(SUBSCRIBER, Timestamp(wanted), Timestamp(required));
        let shown = match moment {
            Moment::At { ts, changed } => Some((
                ts.0,
                changed.iter().map(|(_, result)| text(result)).collect(),
            )),
            Moment::NotYet => None,
            Moment::Failed(error) => panic!("{error}"),
        };
        (shown, to_gather)
    }

    fn is_woken(&self) -> bool {
        use futures_util::FutureExt;
        self.wake.notified().now_or_never().is_some()
    }
}

fn text(result: &QueryResult) -> String {
    match result.done() {
        Some(FunctionOutcome::Returned(Value::String(text))) => text.clone(),
        other => panic!("{other:?}"),
    }
}

/// The answer of an execution that read `key` at `ts`.
fn answer(ts: u64, key: &'static str, value: &str) -> Answer {
    let mut reads = ReadSet::default();
    reads.record(KeyRange::point(Bytes::from_static(key.as_bytes())));
    let outcome = QueryOutcome::Done(FunctionOutcome::Returned(Value::from(value)));
    let result = QueryResult {
        outcome,
        log_lines: Vec::new(),
        journal: None,
        request_id: "".into(),
        json: Default::default(),
    };
    Answer {
        result: Arc::new(result),
        given: None,
        reads,
        claims_read: None,
        ts: Timestamp(ts),
        time_seen: None,
    }
}

fn page(ts: u64, key: &'static str, value: &str, journal: Option<&str>) -> Answer {
    let mut page = answer(ts, key, value);
    Arc::get_mut(&mut page.result).unwrap().journal = journal.map(Arc::from);
    page
}

/// The answer of an execution that took too long.
fn broken(ts: u64, key: &'static str) -> Answer {
    let mut broken = answer(ts, key, "");
    let thrown = Thrown {
        message: "too long".into(),
        data: None,
        is_fault: true,
    };
    let outcome = QueryOutcome::Done(FunctionOutcome::Threw(thrown));
    Arc::get_mut(&mut broken.result).unwrap().outcome = outcome;
    broken
}

fn key(path: &str) -> LiveQueryKey {
    LiveQueryKey {
        execution: Execution::Query,
        path: path.parse().unwrap(),
        args: "{}".into(),
        journal: None,
        scope: Scope::Shared,
        sees_internal: false,
    }
}

fn call(path: &str) -> Call {
    Call {
        path: path.parse().unwrap(),
        args: Value::Object(Object::new()),
        caller: Caller::nobody(),
        source: CallSource::Client(None),
    }
}

#[test]
fn what_there_is_no_room_for_is_refused_until_another_has_ended() {
    let mut rig = Rig::at(1);
    let begin = |state: &mut State, query: u32, number: u32| {
        let args = Value::from(f64::from(number));
        let spec = QuerySpec::new("notes:all".parse().unwrap(), args, None);
        state.begin_watch(SUBSCRIBER, QueryId(query), spec, &mut ToRun::new())
    };
    let full = LIVE_QUERIES_MAX as u32;
    for number in 0..full {
        assert!(begin(&mut rig.state, number, number));
    }
    assert!(!begin(&mut rig.state, full, full));
    assert!(rig.state.end_watch(SUBSCRIBER, QueryId(full)).is_none());
    let id = rig.live_query(0);
    rig.unwatch(0);
    rig.complete(id, answer(1, "a", "nobody's"));
    assert!(begin(&mut rig.state, full, full));
    assert!(!begin(&mut rig.state, 0, 0));
}

#[test]
fn an_answer_is_told_once_and_an_equal_one_not_at_all() {
    let mut rig = Rig::at(10);
    let (id, to_run) = rig.watch(0, "a:q");
    assert_eq!(to_run, [id]);
    assert_eq!(rig.assemble(0, 0).0, None);
    assert_eq!(rig.complete(id, answer(10, "k", "one")), NOTHING);
    assert!(rig.is_woken());
    assert_eq!(rig.assemble(0, 0).0, Some((10, vec!["one".into()])));
    assert_eq!(rig.assemble(0, 0).0, Some((10, vec![])));
    assert_eq!(rig.commit(11, &["k"]), [id]);
    assert!(!rig.is_woken(), "nothing is known yet");
    assert_eq!(
        rig.assemble(0, 0).0,
        Some((10, vec![])),
        "it is still what held at 10"
    );
    rig.complete(id, answer(11, "k", "one"));
    assert_eq!(rig.assemble(0, 0).0, Some((11, vec![])));
}

#[test]
fn a_query_that_broke_is_tried_again_for_whoever_asks_next() {
    let mut rig = Rig::at(10);
    let (id, _) = rig.watch(0, "a:q");
    assert_eq!(rig.complete(id, broken(10, "k")), NOTHING);
    let (same, to_run) = rig.watch(1, "a:q");
    assert_eq!((same, to_run), (id, vec![id]), "once for all who watch it");
    let (same, to_run) = rig.watch(2, "a:q");
    assert_eq!((same, &to_run[..]), (id, &NOTHING[..]), "that is under way");
    rig.complete(id, answer(10, "k", "one"));
    let told = vec!["one".into(), "one".into(), "one".into()];
    assert_eq!(rig.assemble(0, 0).0, Some((10, told)));
}

#[test]
fn what_broke_is_not_kept_when_nobody_watches_it_any_more() {
    let mut rig = Rig::at(10);
    let (id, _) = rig.watch(0, "a:q");
    rig.complete(id, broken(10, "k"));
    rig.unwatch(0);
    let (next, to_run) = rig.watch(1, "a:q");
    assert_eq!(to_run, [next]);
    assert_ne!(next, id);
}

#[test]
fn a_commit_elsewhere_runs_nothing_and_wakes_nobody() {
    let mut rig = Rig::at(10);
    let (id, _) = rig.watch(0, "a:q");
    rig.complete(id, answer(10, "k", "one"));
    rig.assemble(0, 0);
    while rig.is_woken() {}
    assert_eq!(rig.commit(11, &["j", "kk", "l"]), NOTHING);
    assert!(!rig.is_woken());
    assert_eq!(
        rig.assemble(0, 0).0,
        Some((11, vec![])),
        "the answer goes on to hold"
    );
}

#[test]
fn all_answers_of_a_moment_hold_at_its_timestamp() {
    let mut rig = Rig::at(10);
    let (a, _) = rig.watch(0, "a:q");
    let (b, _) = rig.watch(1, "b:q");
    rig.complete(a, answer(10, "a", "a10"));
    assert_eq!(rig.assemble(0, 0).0, None);
    assert_eq!(rig.commit(12, &["a"]), [a]);
    rig.complete(b, answer(12, "b", "b12"));
    assert_eq!(
        rig.assemble(0, 0).0,
        None,
        "a's answer ends before b's begins"
    );
    rig.complete(a, answer(12, "a", "a12"));
    assert_eq!(
        rig.assemble(0, 0).0,
        Some((12, vec!["a12".into(), "b12".into()]))
    );
}

#[test]
fn an_answer_from_ahead_waits_until_its_commits_are_looked_at() {
    let mut rig = Rig::at(10);
    let (id, _) = rig.watch(0, "a:q");
    rig.complete(id, answer(12, "k", "twelve"));
    assert_eq!(rig.assemble(0, 0).0, None);
    while rig.is_woken() {}
    rig.commit(11, &["k"]);
    assert_eq!(rig.assemble(0, 0).0, None);
    assert!(!rig.is_woken());
    rig.commit(12, &["k"]);
    assert!(rig.is_woken());
    assert_eq!(rig.assemble(0, 0).0, Some((12, vec!["twelve".into()])));
}

#[test]
fn whoever_wants_a_later_state_is_woken_when_it_is_there() {
    let mut rig = Rig::at(10);
    let (id, _) = rig.watch(0, "a:q");
    rig.complete(id, answer(10, "k", "one"));
    while rig.is_woken() {}
    assert_eq!(rig.assemble(13, 0).0, None);
    rig.commit(12, &["x"]);
    assert!(!rig.is_woken());
    rig.commit(13, &["x"]);
    assert!(rig.is_woken());
    assert_eq!(rig.assemble(13, 0).0, Some((13, vec!["one".into()])));
}

/// Two executions of one query are under way; the later snapshot answers first and is overtaken, then the earlier one
/// answers. It must still be run again.
#[test]
fn an_overtaken_answer_is_computed_again_though_an_older_execution_ends_last() {
    let mut rig = Rig::at(10);
    let (id, _) = rig.watch(0, "a:q");
    let mut again = ToRun::new();
    rig.state.run(id, &mut again);
    // The log reaches back to 12 only, so what was seen at 11 counts as overtaken.
    rig.log = WriteLog::new(Timestamp(12));
    assert_eq!(rig.complete(id, answer(11, "k", "eleven")), NOTHING);
    assert_eq!(rig.complete(id, answer(10, "k", "ten")), [id]);
    rig.commit(12, &["k"]);
    assert_eq!(rig.complete(id, answer(12, "k", "twelve")), NOTHING);
    assert_eq!(rig.assemble(0, 0).0, Some((12, vec!["twelve".into()])));
}

#[test]
fn when_the_write_log_has_forgotten_answers_from_ahead_are_not_trusted_either() {
    let mut rig = Rig::at(5);
    let (behind, _) = rig.watch(0, "a:q");
    let (ahead, _) = rig.watch(1, "b:q");
    let (newest, _) = rig.watch(2, "c:q");
    rig.complete(behind, answer(5, "a", "a"));
    rig.complete(ahead, answer(9, "b", "b"));
    rig.complete(newest, answer(12, "c", "c"));
    let mut to_run = rig.state.follow(None, Timestamp(12));
    to_run.sort_unstable();
    assert_eq!(to_run, [behind, ahead]);
}

#[test]
fn what_nobody_watches_is_kept_counted_once_and_dropped_when_it_is_overtaken() {
    let mut rig = Rig::at(10);
    rig.state
        .keep(key("a:q"), &call("a:q"), answer(10, "a", "a"), &rig.log);
    let one = rig.state.idle.bytes();
    rig.state
        .keep(key("b:q"), &call("b:q"), answer(10, "b", "b"), &rig.log);
    assert_eq!((rig.state.idle.len(), rig.state.idle.bytes()), (2, 2 * one));
    assert_eq!(rig.state.live_queries(), 0, "they take no one's room");
    let (id, to_run) = rig.watch(0, "a:q");
    assert_eq!(to_run, NOTHING, "it is answered from what was kept");
    assert_eq!(
        (
            rig.state.idle.len(),
            rig.state.idle.bytes(),
            rig.state.live_queries()
        ),
        (1, one, 1)
    );
    rig.unwatch(0);
    assert_eq!((rig.state.idle.len(), rig.state.idle.bytes()), (2, 2 * one));
    assert_eq!(rig.commit(11, &["a"]), NOTHING);
    assert!(!rig.state.live_queries.contains_key(&id));
    rig.state.drop_idle();
    assert_eq!(
        (
            rig.state.idle.len(),
            rig.state.idle.bytes(),
            rig.state.ranges()
        ),
        (0, 0, 0)
    );
}

#[test]
fn the_oldest_of_what_nobody_watches_makes_room_and_nothing_that_is_watched_does() {
    let mut rig = Rig::at(10);
    let (watched, _) = rig.watch(0, "watched:q");
    rig.complete(watched, answer(10, "w", "w"));
    let large = "x".repeat(IDLE_BYTES_MAX / 8);
    for n in 0..20 {
        let path = format!("n{n}:q");
        rig.state
            .keep(key(&path), &call(&path), answer(10, "a", &large), &rig.log);
        assert!(rig.state.idle.bytes() <= IDLE_BYTES_MAX);
    }
    assert!((1..=4).contains(&rig.state.idle.len()));
    assert!(rig.state.live_queries.contains_key(&watched));
    assert!(rig.state.answer(&key("n19:q")).is_some() && rig.state.answer(&key("n0:q")).is_none());
    // Going from the one to the other frees the one, which must not push the other out.
    let (kept, to_run) = rig.watch(1, "n19:q");
    assert_eq!(to_run, NOTHING);
    assert!(rig.state.live_queries.contains_key(&kept));
}

#[test]
fn what_an_internal_caller_was_answered_is_not_found_by_others() {
    let mut rig = Rig::at(10);
    let internal = LiveQueryKey {
        sees_internal: true,
        ..key("a:q")
    };
    rig.state.keep(
        internal.clone(),
        &call("a:q"),
        answer(10, "a", "secret"),
        &rig.log,
    );
    assert!(rig.state.answer(&internal).is_some());
    let (_, to_run) = rig.watch(0, "a:q");
    assert_eq!(to_run.len(), 1);
}

#[test]
fn an_answer_that_depends_on_the_time_serves_new_requests_for_a_while() {
    let mut rig = Rig::at(10);
    let seen_now = |rig: &Rig, value| Answer {
        time_seen: Some(rig.clock.elapsed()),
        ..answer(10, "a", value)
    };
    let first = seen_now(&rig, "1");
    rig.state.keep(key("a:q"), &call("a:q"), first, &rig.log);
    let timeless = answer(10, "b", "1");
    rig.state.keep(key("b:q"), &call("b:q"), timeless, &rig.log);
    rig.clock.advance(TIME_HOLDS);
    assert!(rig.state.answer(&key("a:q")).is_some());
    rig.clock.advance(Duration::from_nanos(1));
    assert!(rig.state.answer(&key("a:q")).is_none());
    assert!(rig.state.answer(&key("b:q")).is_some());
    // A request runs the query itself, and its answer is kept in place of the old one.
    let second = seen_now(&rig, "2");
    rig.state.keep(key("a:q"), &call("a:q"), second, &rig.log);
    let kept = rig.state.answer(&key("a:q")).unwrap();
    assert_eq!(text(&kept), "2");
    // A new watcher has it run again; one who watches it already does not.
    let (id, to_run) = rig.watch(1, "a:q");
    assert_eq!(to_run, NOTHING);
    rig.clock.advance(TIME_HOLDS + Duration::from_nanos(1));
    let (same, to_run) = rig.watch(2, "a:q");
    assert_eq!((same, to_run), (id, vec![id]));
}

#[test]
fn an_answer_that_many_commits_came_after_is_not_looked_at() {
    let kept_behind = |commits: usize| {
        let mut rig = Rig::at(10);
        let last = 10 + commits as u64;
        let news = (11..=last).map(|ts| LogEntry {
            ts: Timestamp(ts),
            touched: Arc::default(),
        });
        rig.log.publish(news.collect(), Timestamp(last));
        rig.state
            .keep(key("a:q"), &call("a:q"), answer(10, "a", "1"), &rig.log);
        rig.state.answer(&key("a:q")).is_some()
    };
    assert!(kept_behind(COMMITS_LOOKED_AT_MAX));
    assert!(!kept_behind(COMMITS_LOOKED_AT_MAX + 1));
}

/// Answers of two queries that are overtaken by every commit, each run at another moment: none ever hold together.
#[test]
fn a_subscriber_whose_answers_never_meet_gets_all_its_queries_run_together() {
    let mut rig = Rig::at(10);
    let (a, _) = rig.watch(0, "a:q");
    let (b, _) = rig.watch(1, "b:q");
    let mut ts = 10;
    rig.complete(a, answer(ts, "k", "first"));
    let to_gather = loop {
        ts += 1;
        rig.commit(ts, &["k"]);
        rig.complete(b, answer(ts, "k", &format!("b{ts}")));
        let (shown, to_gather) = rig.assemble(0, 0);
        assert_eq!(shown, None);
        if !to_gather.is_empty() {
            break to_gather;
        }
        ts += 1;
        rig.commit(ts, &["k"]);
        rig.complete(a, answer(ts, "k", &format!("a{ts}")));
        let (shown, to_gather) = rig.assemble(0, 0);
        assert_eq!(shown, None);
        if !to_gather.is_empty() {
            break to_gather;
        }
        assert!(ts < 40, "it starves");
    };
    assert_eq!(to_gather, [a, b]);
    let gathered = ts;
    let answers = [
        (a, Ok(answer(gathered, "k", "a together"))),
        (b, Ok(answer(gathered, "k", "b together"))),
    ];
    rig.state.gathered(SUBSCRIBER, &answers);
    // Before it comes to look, all has been overtaken again.
    for _ in 0..3 {
        ts += 1;
        rig.commit(ts, &["k"]);
        rig.complete(a, answer(ts, "k", "later"));
        ts += 1;
        rig.commit(ts, &["k"]);
        rig.complete(b, answer(ts, "k", "later"));
    }
    assert_eq!(
        rig.assemble(0, 0).0,
        Some((gathered, vec!["a together".into(), "b together".into()]))
    );
}

/// A client that writes without pause into what it watches is owed a state that its next write has always overtaken.
#[test]
fn a_subscriber_that_overtakes_itself_is_shown_earlier_states() {
    let mut rig = Rig::at(10);
    let (id, _) = rig.watch(0, "a:q");
    rig.complete(id, answer(10, "k", "ten"));
    let mut shown = Vec::new();
    for ts in 11..40 {
        rig.commit(ts, &["k"]);
        rig.complete(id, answer(ts, "k", &ts.to_string()));
        shown.extend(rig.assemble(ts + 1, 10).0);
    }
    assert!(shown.len() >= 4, "{shown:?}");
    assert!(
        shown
            .iter()
            .all(|(ts, changed)| *changed == [ts.to_string()]),
        "{shown:?}"
    );
}

#[test]
fn a_page_that_ran_again_is_found_under_its_border() {
    let mut rig = Rig::at(10);
    let (id, _) = rig.watch(0, "a:page");
    rig.complete(id, page(10, "k", "ab", Some("after b")));
    let first = key("a:page");
    let bordered = LiveQueryKey {
        journal: Some("after b".into()),
        ..first.clone()
    };
    assert!(
        rig.state.answer(&first).is_some(),
        "a newcomer would get the same page now"
    );
    rig.assemble(10, 10);
    rig.commit(11, &["k"]);
    rig.complete(id, page(11, "k", "aab", Some("after b")));
    assert!(
        rig.state.answer(&first).is_none(),
        "a newcomer's first page is another"
    );
    assert!(rig.state.answer(&bordered).is_some());
    // It throws and leaves no border. It was given one, so it says nothing to those who have none.
    rig.commit(12, &["k"]);
    rig.complete(id, page(12, "k", "none", None));
    assert!(rig.state.answer(&bordered).is_some());
    assert!(rig.state.answer(&first).is_none());
}

#[test]
fn the_end_of_a_page_that_nobody_was_shown_binds_nobody() {
    let mut rig = Rig::at(10);
    let (id, _) = rig.watch(0, "a:page");
    let (slow, _) = rig.watch(1, "a:slow");
    rig.complete(id, page(10, "k", "ab", Some("after b")));
    assert_eq!(
        rig.assemble(10, 10).0,
        None,
        "the other query has no answer"
    );
    rig.commit(11, &["k"]);
    assert_eq!(rig.state.live_queries[&id].journal(), None);
    rig.complete(id, page(11, "k", "aa", Some("after a")));
    assert!(rig.state.answer(&key("a:page")).is_some());
    // An execution begins before the page is shown, and ends after.
    rig.complete(slow, answer(11, "s", "done"));
    rig.commit(12, &["k"]);
    assert!(rig.assemble(11, 11).0.is_some());
    let to_run = rig.complete_given(None, id, page(12, "k", "aaa", Some("after aa")));
    assert_eq!(to_run, [id], "it is made again");
    assert_eq!(rig.assemble(12, 12).0, None);
    assert_eq!(
        rig.state.live_queries[&id].journal().as_deref(),
        Some("after a"),
        "the next execution keeps to what was shown"
    );
    rig.complete(id, page(12, "k", "aaaa", Some("after a")));
    let (shown, _) = rig.assemble(12, 12);
    assert_eq!(shown, Some((12, vec!["aaaa".to_string()])));
}

#[test]
fn a_page_whose_end_was_given_up_gets_another() {
    let mut rig = Rig::at(10);
    let (id, _) = rig.watch(0, "a:page");
    rig.complete(id, page(10, "k", "ab", Some("after b")));
    assert!(rig.assemble(10, 10).0.is_some());
    rig.commit(11, &["k"]);
    rig.complete(id, page(11, "k", "InvalidCursor", None));
    assert!(rig.assemble(11, 11).0.is_some());
    assert_eq!(rig.state.live_queries[&id].journal(), None);
    rig.commit(12, &["k"]);
    rig.complete(id, page(12, "k", "anew", Some("after z")));
    let (shown, _) = rig.assemble(12, 12);
    assert_eq!(shown, Some((12, vec!["anew".to_string()])));
    assert_eq!(
        rig.state.live_queries[&id].journal().as_deref(),
        Some("after z")
    );
}

#[test]
fn a_border_that_cannot_be_used_harms_nobody_else() {
    let mut rig = Rig::at(10);
    let args = Value::Object(Object::new());
    let spec = QuerySpec::new(
        "a:page".parse().unwrap(),
        args,
        Some("rubbish".to_string().into()),
    );
    let mut to_run = ToRun::new();
    let query = QueryId(0);
    assert!(rig.state.begin_watch(SUBSCRIBER, query, spec, &mut to_run));
    let id = rig.live_query(0);
    rig.complete(id, page(10, "k", "InvalidCursor", None));
    assert!(rig.state.answer(&key("a:page")).is_none());
    // The next execution is given none, so its page is anybody's first one.
    assert_eq!(rig.state.live_queries[&id].journal(), None);
    rig.commit(11, &["k"]);
    rig.complete(id, page(11, "k", "first", None));
    let shared = rig.state.answer(&key("a:page")).unwrap();
    assert_eq!(text(&shared), "first");
}

#[test]
fn whoever_looks_at_older_news_takes_nothing_back() {
    let mut rig = Rig::at(10);
    let (id, _) = rig.watch(0, "a:a");
    rig.complete(id, answer(10, "a", "old"));
    rig.commit(12, &["a"]);
    rig.complete(id, answer(12, "a", "new"));
    assert_eq!(rig.state.follow(Some(Vec::new()), Timestamp(11)), NOTHING);
    let (shown, _) = rig.assemble(12, 12);
    assert_eq!(shown, Some((12, vec!["new".to_string()])));
}
