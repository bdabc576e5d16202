//! The state of all live queries, behind one lock that is held for no execution and no I/O. This file has the kept
//! live queries, and the effects of commits and executions on them. The subscribers' side is in `assembly`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use vestibule_schema::path::FunctionPath;
use vestibule_schema::timestamp::Timestamp;

use super::assembly::SubscriberState;
use super::idle::Idle;
use super::intervals::IntervalIndex;
use super::live_query::{Answer, Execution, LiveQuery, LiveQueryKey, QueryResult, Scope, Version};
use crate::auth::{Caller, ClaimsRead};
use crate::clock::Clock;
use crate::database::{Freshness, LogEntry, WriteLog};
use crate::functions::{Call, CallSource, SystemError};

pub(super) struct State {
    clock: Arc<dyn Clock>,
    /// Every commit up to this one has been looked at.
    pub ts: Timestamp,
    pub live_queries: HashMap<u64, LiveQuery>,
    by_key: HashMap<LiveQueryKey, u64>,
    intervals: IntervalIndex,
    pub subscribers: BTreeMap<u64, SubscriberState>,
    /// Functions that were seen to look at an identity, with the claims they looked at. Their results are kept apart by
    /// the values of those claims.
    identity_readers: HashMap<(Execution, FunctionPath), ClaimsRead>,
    pub(super) idle: Idle,
    /// Subscribers that wait for news.
    pub(super) waiting: Vec<u64>,
    next_id: u64,
}

/// Commits that are looked at to learn whether an answer without watchers still holds. In a storm of mutations, looking
/// at more would cost more than running the query again.
pub(super) const COMMITS_LOOKED_AT_MAX: usize = 128;

/// Live queries to run, to be handed to the readers once the lock is released.
pub(super) type ToRun = Vec<u64>;

impl State {
    pub fn new(ts: Timestamp, clock: Arc<dyn Clock>) -> State {
        State {
            clock,
            ts,
            live_queries: HashMap::new(),
            by_key: HashMap::new(),
            intervals: IntervalIndex::default(),
            subscribers: BTreeMap::new(),
            identity_readers: HashMap::new(),
            idle: Idle::default(),
            waiting: Vec::new(),
            next_id: 0,
        }
    }

    pub fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Queries that have a watcher or are being run.
    pub fn live_queries(&self) -> usize {
        self.live_queries.len() - self.idle.len()
    }

    pub fn ranges(&self) -> usize {
        self.intervals.len()
    }

    // ---- live queries ---------------------------------------------------------------------------------------------

    /// The scope in which `caller`'s result of a function is looked for first.
    pub fn scope(&self, execution: Execution, path: &FunctionPath, caller: &Caller) -> Scope {
        let read = self.identity_readers.get(&(execution, path.clone()));
        let own = read.and_then(|read| caller.cache_scope(read));
        own.map_or(Scope::Shared, Scope::Of)
    }

    /// Notes what an execution looked at of its caller's identity.
    fn learn(&mut self, execution: Execution, path: &FunctionPath, read: Option<ClaimsRead>) {
        if let Some(read) = read {
            let known = self.identity_readers.entry((execution, path.clone()));
            known.or_default().extend(read);
        }
    }

    /// The fresh answer to a call, when one is held.
    pub fn answer(&self, key: &LiveQueryKey) -> Option<Arc<QueryResult>> {
        let live = &self.live_queries[self.by_key.get(key)?];
        let holds = live.is_fresh() && !self.is_outdated(live);
        live.result().filter(|_| holds).cloned()
    }

    fn is_outdated(&self, live: &LiveQuery) -> bool {
        live.time_seen.is_some() && live.is_outdated(self.clock.elapsed())
    }

    /// The live query of `key`, made when there is none. It runs when it has no answer and is not being run. It runs again
    /// when its last execution broke or asked for a time that has passed.
    pub fn find_or_create(&mut self, key: LiveQueryKey, call: &Call, to_run: &mut ToRun) -> u64 {
        if let Some(id) = self.by_key.get(&key).copied() {
            let live = self.live_queries.get(&id).filter(|live| live.running == 0);
            let is_broken = live.is_some_and(LiveQuery::is_broken);
            let is_outdated = live.is_some_and(|live| self.is_outdated(live));
            if is_outdated && let Some(live) = self.live_queries.get_mut(&id) {
                // Nobody is told it any more.
                live.end_answer();
            }
            if is_broken || is_outdated {
                self.run(id, to_run);
            }
            return id;
        }
        let id = self.next_id();
        let mut call = call.clone();
        if key.scope == Scope::Shared {
            // It may do what every caller may that it answers, and no more.
            let is_admin = call.caller.may_call_internal();
            call.caller = match is_admin {
                true => Caller::unidentified_admin(),
                false => Caller::unidentified(),
            };
            call.source = match key.sees_internal && !is_admin {
                true => CallSource::Function(None),
                false => CallSource::Client(None),
            };
        }
        // Later runs are for whoever watches then, not for the request that was first.
        if let CallSource::Request(_, mark) = &call.source {
            call.source = CallSource::Client(*mark);
        }
        let mut live = LiveQuery::new(key.clone(), Arc::new(call));
        live.running = 1;
        self.live_queries.insert(id, live);
        self.by_key.insert(key, id);
        to_run.push(id);
        id
    }

    /// Keeps the result of an execution without watchers, for the next request.
    pub fn keep(&mut self, mut key: LiveQueryKey, call: &Call, answer: Answer, log: &WriteLog) {
        let looked = answer.claims_read.is_some();
        if looked && call.caller.is_suspending() {
            return;
        }
        self.learn(key.execution, &key.path, answer.claims_read.clone());
        key.scope = match looked {
            true => self.scope(key.execution, &key.path, &call.caller),
            false => Scope::Shared,
        };
        if let Some(known) = self.by_key.get(&key).copied() {
            let live = &self.live_queries[&known];
            let is_unused = live.watchers.is_empty() && live.running == 0;
            if is_unused && self.is_outdated(live) {
                self.drop_entry(known);
            }
        }
        if self.by_key.contains_key(&key) || log.commits_after(answer.ts) > COMMITS_LOOKED_AT_MAX {
            return;
        }
        // The execution to run has just run.
        let id = self.find_or_create(key, call, &mut ToRun::new());
        self.complete(id, Ok(answer), log);
    }

    fn drop_entry(&mut self, id: u64) {
        let Some(live) = self.live_queries.remove(&id) else {
            return;
        };
        for range in live.reads.covering() {
            self.intervals.remove(range, id);
        }
        self.unlist(&live.key, id);
        if let Some(place) = live.idle {
            self.idle.remove(place);
        }
    }

    /// A live query is no longer found under a key.
    fn unlist(&mut self, key: &LiveQueryKey, id: u64) {
        if self.by_key.get(key) == Some(&id) {
            self.by_key.remove(key);
        }
    }

    /// When a live query loses its last watcher, a fresh answer is kept for a while; any other is dropped.
    pub fn release(&mut self, id: u64) {
        let age = self.next_id();
        let Some(live) = self.live_queries.get_mut(&id) else {
            return;
        };
        if !live.watchers.is_empty() || live.running > 0 {
            return;
        }
        if !live.is_fresh() || live.is_broken() {
            return self.drop_entry(id);
        }
        if live.idle.is_some() {
            return;
        }
        live.idle = Some(self.idle.add(id, age, live.bytes()));
        while let Some(oldest) = self.idle.surplus() {
            self.drop_entry(oldest);
        }
    }

    /// Drops every answer without watchers.
    #[cfg(test)]
    pub fn drop_idle(&mut self) {
        let idle: Vec<u64> = self
            .live_queries
            .iter()
            .filter(|(_, live)| live.idle.is_some())
            .map(|(id, _)| *id)
            .collect();
        idle.into_iter().for_each(|id| self.drop_entry(id));
    }

    #[cfg(test)]
    pub fn is_running(&self) -> bool {
        self.live_queries.values().any(|live| live.running > 0)
    }

    // ---- commits and executions ------------------------------------------------------------------------------

    /// Looks at new commits: answers that they overtake get an end, and run again when they have a watcher. Several
    /// calls may look at once, and one that has looked at less changes nothing.
    pub fn follow(&mut self, news: Option<Vec<LogEntry>>, newest: Timestamp) -> ToRun {
        let overtaken = match news {
            Some(news) => self.overtaken_by(&news),
            None => self.overtaken_by_anything(newest),
        };
        self.ts = self.ts.max(newest);
        let mut to_run = ToRun::new();
        for (id, ts) in overtaken {
            self.overtake(id, ts, &mut to_run);
        }
        self.wake_waiting();
        to_run
    }

    fn overtaken_by(&self, news: &[LogEntry]) -> Vec<(u64, Timestamp)> {
        let mut overtaken = Vec::new();
        for commit in news {
            if commit.touched.is_everything() {
                let mut all: Vec<u64> = self.live_queries.keys().copied().collect();
                all.sort_unstable();
                overtaken.extend(all.into_iter().map(|id| (id, commit.ts)));
            }
            // A commit's keys are not looked at while there are no watchers.
            if self.intervals.is_empty() {
                continue;
            }
            for key in commit.touched.iter() {
                self.intervals.stab(key, &mut |id| {
                    if self.has_read(id, key) {
                        overtaken.push((id, commit.ts));
                    }
                });
            }
        }
        overtaken
    }

    /// Whether a live query depends on a key of one of its ranges: of some ranges, only some keys count.
    fn has_read(&self, id: u64, key: &[u8]) -> bool {
        let live = self.live_queries.get(&id);
        live.is_some_and(|live| !live.reads.is_narrowed() || live.reads.contains(key))
    }

    /// The write log has forgotten the commits in between, so everything older than `newest` may be stale. It is stale
    /// from the first commit that its execution or this state has not seen.
    fn overtaken_by_anything(&self, newest: Timestamp) -> Vec<(u64, Timestamp)> {
        let unseen = |live: &LiveQuery| {
            let from = live.version.as_ref()?.from.max(self.ts);
            (from < newest).then_some(Timestamp(from.0 + 1))
        };
        let mut overtaken: Vec<_> = self
            .live_queries
            .iter()
            .filter_map(|(id, live)| Some((*id, unseen(live)?)))
            .collect();
        overtaken.sort_unstable();
        overtaken
    }

    fn overtake(&mut self, id: u64, ts: Timestamp, to_run: &mut ToRun) {
        let Some(live) = self.live_queries.get_mut(&id) else {
            return;
        };
        let Some(version) = live.version.as_mut().filter(|version| version.is_newest()) else {
            return;
        };
        if version.from >= ts {
            return;
        }
        version.until = Some(ts);
        match live.watchers.is_empty() && live.running == 0 {
            true => self.drop_entry(id),
            false => self.run_when_stale(id, to_run),
        }
    }

    /// A stale answer with a watcher is computed again, unless that is under way.
    fn run_when_stale(&mut self, id: u64, to_run: &mut ToRun) {
        let Some(live) = self.live_queries.get(&id) else {
            return;
        };
        if live.is_stale() && live.running == 0 && !live.watchers.is_empty() {
            self.run(id, to_run);
        }
    }

    /// Runs a live query, also when it is being run already.
    pub(super) fn run(&mut self, id: u64, to_run: &mut ToRun) {
        if let Some(live) = self.live_queries.get_mut(&id) {
            live.running += 1;
            to_run.push(id);
        }
    }

    /// Takes the answer of an execution. Returns what has to run next.
    pub fn complete(
        &mut self,
        id: u64,
        answer: Result<Answer, SystemError>,
        log: &WriteLog,
    ) -> ToRun {
        let mut to_run = ToRun::new();
        let Some(live) = self.live_queries.get_mut(&id) else {
            return to_run;
        };
        live.running -= 1;
        match answer {
            Ok(answer) => self.accept(id, answer, log),
            Err(error) => self.accept_trouble(id, error),
        }
        if self.is_suspended(id) | self.follow_scope(id) {
            self.resolve_watchers(id, &mut to_run);
        }
        self.run_when_stale(id, &mut to_run);
        self.wake_watchers(id);
        self.release(id);
        to_run
    }

    /// An execution failed for the server's reasons: its watchers are told, and the next request tries again.
    fn accept_trouble(&mut self, id: u64, error: SystemError) {
        let Some(live) = self.live_queries.get_mut(&id) else {
            return;
        };
        live.version = Some(Version {
            result: Err(error),
            from: self.ts,
            until: None,
        });
        let key = live.key.clone();
        self.unlist(&key, id);
    }

    fn accept(&mut self, id: u64, answer: Answer, log: &WriteLog) {
        let Answer {
            result,
            given,
            reads,
            claims_read,
            ts,
            time_seen,
        } = answer;
        let freshness = log.freshness(&reads, ts);
        let Some(key) = self.live_queries.get(&id).map(|live| live.key.clone()) else {
            return;
        };
        self.learn(key.execution, &key.path, claims_read);
        let Some(live) = self.live_queries.get_mut(&id) else {
            return;
        };
        live.answers += 1;
        let is_overtaken = live
            .version
            .as_ref()
            .is_some_and(|version| version.from > ts);
        if is_overtaken || live.has_shown_another_end(given.as_ref()) {
            // Another execution of the same query has overtaken this one, or it must be made again with that end.
            return;
        }
        let until = match freshness {
            Freshness::Fresh => None,
            Freshness::StaleSince(ts) => Some(ts),
        };
        live.time_seen = time_seen;
        let is_rerun = live.version.is_some() && live.told_border.is_some();
        let same = live
            .result()
            .filter(|old| old.says_the_same_as(&result))
            .cloned();
        live.version = Some(Version {
            result: Ok(same.unwrap_or(result)),
            from: ts,
            until,
        });
        for range in live.reads.covering() {
            self.intervals.remove(range, id);
        }
        live.reads = reads;
        for range in live.reads.covering() {
            self.intervals.insert(range, id);
        }
        self.follow_page_border(id, is_rerun, given);
    }

    fn is_suspended(&self, id: u64) -> bool {
        self.live_queries
            .get(&id)
            .is_some_and(LiveQuery::is_suspended)
    }

    /// When an execution has looked at more claims than any before it, its answer is for fewer callers than it was
    /// listed for. Returns whether it is listed anew; then its watchers may have to go elsewhere.
    fn follow_scope(&mut self, id: u64) -> bool {
        let Some(live) = self.live_queries.get(&id) else {
            return false;
        };
        let key = &live.key;
        let scope = self.scope(key.execution, &key.path, &live.call.caller);
        if key.scope == Scope::Shared || key.scope == scope {
            return false;
        }
        let key = LiveQueryKey {
            scope,
            ..key.clone()
        };
        self.list_anew(id, key);
        true
    }

    /// From now on a live query is found under another key, unless one is already.
    fn list_anew(&mut self, id: u64, key: LiveQueryKey) {
        let Some(live) = self.live_queries.get_mut(&id) else {
            return;
        };
        let old_key = std::mem::replace(&mut live.key, key.clone());
        self.unlist(&old_key, id);
        self.by_key.entry(key).or_insert(id);
    }

    /// A request with a journal gets the result of the next execution. The first execution without a journal also
    /// answers other requests without one; later ones keep the page's border, so they are found under that. An execution
    /// that was `given` a border and leaves none, as one that cannot use it, answers nobody who has none.
    fn follow_page_border(&mut self, id: u64, is_rerun: bool, given: Option<Arc<str>>) {
        let Some(live) = self.live_queries.get_mut(&id) else {
            return;
        };
        let Some(left) = live.result().map(|result| result.journal.clone()) else {
            return;
        };
        let is_first_of_anybody = !is_rerun && live.key.journal.is_none();
        let journal = left.or(given);
        if is_first_of_anybody || journal == live.key.journal {
            return;
        }
        let key = LiveQueryKey {
            journal,
            ..live.key.clone()
        };
        self.list_anew(id, key);
    }
}
