//! The state of all live queries, behind one lock that is held for no execution and no I/O. This file has the kept
//! entries, and the effects of commits and executions on them. The subscribers' side is in `assembly`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use vestibule_schema::path::FunctionPath;
use vestibule_schema::timestamp::Timestamp;

use super::assembly::SubscriberState;
use super::entry::{Answer, Entry, EntryKey, Execution, QueryResult, Scope, Version};
use super::idle::Idle;
use super::intervals::IntervalIndex;
use crate::auth::{Caller, ClaimsRead};
use crate::clock::Clock;
use crate::database::{Freshness, LogEntry, WriteLog};
use crate::functions::{Call, Origin, SystemError};

pub(super) struct State {
    clock: Arc<dyn Clock>,
    /// Every commit up to this one has been looked at.
    pub ts: Timestamp,
    pub entries: HashMap<u64, Entry>,
    by_key: HashMap<EntryKey, u64>,
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

/// Entries to run, to be handed to the readers once the lock is released.
pub(super) type ToRun = Vec<u64>;

impl State {
    pub fn new(ts: Timestamp, clock: Arc<dyn Clock>) -> State {
        State {
            clock,
            ts,
            entries: HashMap::new(),
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
        self.entries.len() - self.idle.len()
    }

    pub fn ranges(&self) -> usize {
        self.intervals.len()
    }

    // ---- entries ---------------------------------------------------------------------------------------------

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
    pub fn answer(&self, key: &EntryKey) -> Option<Arc<QueryResult>> {
        let entry = &self.entries[self.by_key.get(key)?];
        let holds = entry.is_fresh() && !self.is_outdated(entry);
        entry.result().filter(|_| holds).cloned()
    }

    fn is_outdated(&self, entry: &Entry) -> bool {
        entry.time_seen.is_some() && entry.is_outdated(self.clock.elapsed())
    }

    /// The entry of `key`, made when there is none. It runs when it has no answer and is not being run. It runs again
    /// when its last execution broke or asked for a time that has passed.
    pub fn find_or_create(&mut self, key: EntryKey, call: &Call, to_run: &mut ToRun) -> u64 {
        if let Some(id) = self.by_key.get(&key).copied() {
            let entry = self.entries.get(&id).filter(|entry| entry.running == 0);
            let is_broken = entry.is_some_and(Entry::is_broken);
            let is_outdated = entry.is_some_and(|entry| self.is_outdated(entry));
            if is_outdated && let Some(entry) = self.entries.get_mut(&id) {
                // Nobody is told it any more.
                entry.end_answer();
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
            call.origin = match key.sees_internal && !is_admin {
                true => Origin::Function(None),
                false => Origin::Client(None),
            };
        }
        // Later runs are for whoever watches then, not for the request that was first.
        if let Origin::Request(_, mark) = &call.origin {
            call.origin = Origin::Client(*mark);
        }
        let mut entry = Entry::new(key.clone(), Arc::new(call));
        entry.running = 1;
        self.entries.insert(id, entry);
        self.by_key.insert(key, id);
        to_run.push(id);
        id
    }

    /// Keeps the result of an execution without watchers, for the next request.
    pub fn keep(&mut self, mut key: EntryKey, call: &Call, answer: Answer, log: &WriteLog) {
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
            let entry = &self.entries[&known];
            let is_unused = entry.watchers.is_empty() && entry.running == 0;
            if is_unused && self.is_outdated(entry) {
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
        let Some(entry) = self.entries.remove(&id) else {
            return;
        };
        for range in entry.reads.covering() {
            self.intervals.remove(range, id);
        }
        self.unlist(&entry.key, id);
        if let Some(place) = entry.idle {
            self.idle.remove(place);
        }
    }

    /// An entry is no longer found under a key.
    fn unlist(&mut self, key: &EntryKey, id: u64) {
        if self.by_key.get(key) == Some(&id) {
            self.by_key.remove(key);
        }
    }

    /// When an entry loses its last watcher, a fresh answer is kept for a while; any other is dropped.
    pub fn release(&mut self, id: u64) {
        let age = self.next_id();
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if !entry.watchers.is_empty() || entry.running > 0 {
            return;
        }
        if !entry.is_fresh() || entry.is_broken() {
            return self.drop_entry(id);
        }
        if entry.idle.is_some() {
            return;
        }
        entry.idle = Some(self.idle.add(id, age, entry.bytes()));
        while let Some(oldest) = self.idle.surplus() {
            self.drop_entry(oldest);
        }
    }

    /// Drops every answer without watchers.
    #[cfg(test)]
    pub fn drop_idle(&mut self) {
        let idle: Vec<u64> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.idle.is_some())
            .map(|(id, _)| *id)
            .collect();
        idle.into_iter().for_each(|id| self.drop_entry(id));
    }

    #[cfg(test)]
    pub fn is_running(&self) -> bool {
        self.entries.values().any(|entry| entry.running > 0)
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
        for entry in news {
            if entry.touched.is_everything() {
                let mut all: Vec<u64> = self.entries.keys().copied().collect();
                all.sort_unstable();
                overtaken.extend(all.into_iter().map(|id| (id, entry.ts)));
            }
            // A commit's keys are not looked at while there are no watchers.
            if self.intervals.is_empty() {
                continue;
            }
            for key in entry.touched.iter() {
                self.intervals.stab(key, &mut |id| {
                    if self.has_read(id, key) {
                        overtaken.push((id, entry.ts));
                    }
                });
            }
        }
        overtaken
    }

    /// Whether an entry depends on a key of one of its ranges: of some ranges, only some keys count.
    fn has_read(&self, id: u64, key: &[u8]) -> bool {
        let entry = self.entries.get(&id);
        entry.is_some_and(|entry| !entry.reads.is_narrowed() || entry.reads.contains(key))
    }

    /// The write log has forgotten the commits in between, so everything older than `newest` may be stale. It is stale
    /// from the first commit that its execution or this state has not seen.
    fn overtaken_by_anything(&self, newest: Timestamp) -> Vec<(u64, Timestamp)> {
        let unseen = |entry: &Entry| {
            let from = entry.version.as_ref()?.from.max(self.ts);
            (from < newest).then_some(Timestamp(from.0 + 1))
        };
        let mut overtaken: Vec<_> = self
            .entries
            .iter()
            .filter_map(|(id, entry)| Some((*id, unseen(entry)?)))
            .collect();
        overtaken.sort_unstable();
        overtaken
    }

    fn overtake(&mut self, id: u64, ts: Timestamp, to_run: &mut ToRun) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let Some(version) = entry.version.as_mut().filter(|version| version.is_newest()) else {
            return;
        };
        if version.from >= ts {
            return;
        }
        version.until = Some(ts);
        match entry.watchers.is_empty() && entry.running == 0 {
            true => self.drop_entry(id),
            false => self.run_when_stale(id, to_run),
        }
    }

    /// A stale answer with a watcher is computed again, unless that is under way.
    fn run_when_stale(&mut self, id: u64, to_run: &mut ToRun) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        if entry.is_stale() && entry.running == 0 && !entry.watchers.is_empty() {
            self.run(id, to_run);
        }
    }

    /// Runs an entry, also when it is being run already.
    pub(super) fn run(&mut self, id: u64, to_run: &mut ToRun) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.running += 1;
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
        let Some(entry) = self.entries.get_mut(&id) else {
            return to_run;
        };
        entry.running -= 1;
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
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.version = Some(Version {
            result: Err(error),
            from: self.ts,
            until: None,
        });
        let key = entry.key.clone();
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
        let Some(key) = self.entries.get(&id).map(|entry| entry.key.clone()) else {
            return;
        };
        self.learn(key.execution, &key.path, claims_read);
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.answers += 1;
        let is_overtaken = entry
            .version
            .as_ref()
            .is_some_and(|version| version.from > ts);
        if is_overtaken || entry.has_shown_another_end(given.as_ref()) {
            // Another execution of the same query has overtaken this one, or it must be made again with that end.
            return;
        }
        let until = match freshness {
            Freshness::Fresh => None,
            Freshness::StaleSince(ts) => Some(ts),
        };
        entry.time_seen = time_seen;
        let is_rerun = entry.version.is_some() && entry.told_border.is_some();
        let same = entry
            .result()
            .filter(|old| old.says_the_same_as(&result))
            .cloned();
        entry.version = Some(Version {
            result: Ok(same.unwrap_or(result)),
            from: ts,
            until,
        });
        for range in entry.reads.covering() {
            self.intervals.remove(range, id);
        }
        entry.reads = reads;
        for range in entry.reads.covering() {
            self.intervals.insert(range, id);
        }
        self.follow_page_border(id, is_rerun, given);
    }

    fn is_suspended(&self, id: u64) -> bool {
        self.entries.get(&id).is_some_and(Entry::is_suspended)
    }

    /// When an execution has looked at more claims than any before it, its answer is for fewer callers than it was
    /// listed for. Returns whether it is listed anew; then its watchers may have to go elsewhere.
    fn follow_scope(&mut self, id: u64) -> bool {
        let Some(entry) = self.entries.get(&id) else {
            return false;
        };
        let key = &entry.key;
        let scope = self.scope(key.execution, &key.path, &entry.call.caller);
        if key.scope == Scope::Shared || key.scope == scope {
            return false;
        }
        let key = EntryKey {
            scope,
            ..key.clone()
        };
        self.list_anew(id, key);
        true
    }

    /// From now on an entry is found under another key, unless one is already.
    fn list_anew(&mut self, id: u64, key: EntryKey) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let old_key = std::mem::replace(&mut entry.key, key.clone());
        self.unlist(&old_key, id);
        self.by_key.entry(key).or_insert(id);
    }

    /// A request with a journal gets the result of the next execution. The first execution without a journal also
    /// answers other requests without one; later ones keep the page's border, so they are found under that. An execution
    /// that was `given` a border and leaves none, as one that cannot use it, answers nobody who has none.
    fn follow_page_border(&mut self, id: u64, is_rerun: bool, given: Option<Arc<str>>) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let Some(left) = entry.result().map(|result| result.journal.clone()) else {
            return;
        };
        let is_first_of_anybody = !is_rerun && entry.key.journal.is_none();
        let journal = left.or(given);
        if is_first_of_anybody || journal == entry.key.journal {
            return;
        }
        let key = EntryKey {
            journal,
            ..entry.key.clone()
        };
        self.list_anew(id, key);
    }
}
