//! The state of all live queries, behind one lock that is held for no execution and no I/O.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::Notify;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::wire::QueryId;

use super::entry::{Entry, EntryKey, Execution, QueryResult, Scope, Version};
use super::intervals::IntervalIndex;
use super::subscriber::{Moment, Watch};
use crate::auth::Caller;
use crate::database::{Freshness, LogEntry, WriteLog};
use crate::functions::{Call, QueryRun, SystemError};

/// Bytes of results kept though nobody watches them.
const IDLE_BYTES_MAX: usize = 64 << 20;
/// Times a subscriber's queries may miss a common timestamp before they are run together on one snapshot.
const MISSES_MAX: u32 = 4;

#[derive(Default)]
pub(super) struct State {
    /// Every commit up to this one has been looked at.
    pub ts: Timestamp,
    pub entries: HashMap<u64, Entry>,
    by_key: HashMap<EntryKey, u64>,
    intervals: IntervalIndex,
    pub subscribers: HashMap<u64, SubscriberState>,
    /// Functions that have been seen to look at an identity: their results are kept by identity from the start.
    identity_readers: HashSet<(Execution, FunctionPath)>,
    idle: BTreeMap<u64, u64>,
    idle_bytes: usize,
    /// Subscribers that wait for news.
    waiting: Vec<u64>,
    next_id: u64,
}

pub(super) struct SubscriberState {
    pub caller: Caller,
    pub watches: BTreeMap<QueryId, Watch>,
    pub wake: Arc<Notify>,
    /// It waits for news up to this commit.
    pub waits_for: Option<Timestamp>,
    pub misses: u32,
}

/// Entries to run, to be handed to the readers once the lock is released.
pub(super) type ToRun = Vec<u64>;

impl State {
    pub fn new(ts: Timestamp) -> State {
        State { ts, ..State::default() }
    }

    pub fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub fn live_queries(&self) -> usize {
        self.entries.len()
    }

    pub fn ranges(&self) -> usize {
        self.intervals.len()
    }

    // ---- entries ---------------------------------------------------------------------------------------------

    /// The scope in which `caller`'s result of a function is looked for first.
    pub fn scope(&self, execution: Execution, path: &FunctionPath, caller: &Caller) -> Scope {
        match caller.cache_scope() {
            Some(scope) if self.identity_readers.contains(&(execution, path.clone())) => Scope::Of(scope),
            _ => Scope::Shared,
        }
    }

    /// The fresh answer to a call, when one is held.
    pub fn answer(&mut self, key: &EntryKey) -> Option<Result<Arc<QueryResult>, SystemError>> {
        let id = *self.by_key.get(key)?;
        let entry = &self.entries[&id];
        let version = entry.version.as_ref().filter(|version| version.until.is_none())?;
        Some(version.result.clone())
    }

    /// The entry of `key`, made when there is none. It runs when it has no answer and is not being run.
    pub fn find_or_create(&mut self, key: EntryKey, call: &Call, to_run: &mut ToRun) -> u64 {
        if let Some(id) = self.by_key.get(&key) {
            return *id;
        }
        let id = self.next_id();
        let mut call = call.clone();
        if key.scope == Scope::Shared {
            call.caller = Caller::unidentified();
        }
        let mut entry = Entry::new(key.clone(), Arc::new(call));
        entry.running = 1;
        self.entries.insert(id, entry);
        self.by_key.insert(key, id);
        to_run.push(id);
        id
    }

    /// Keeps the result of an execution that nobody watches, for the next one who asks.
    pub fn keep(&mut self, key: EntryKey, call: &Call, run: QueryRun, log: &WriteLog) {
        if self.by_key.contains_key(&key) {
            return;
        }
        let mut to_run = ToRun::new();
        let id = self.find_or_create(key, call, &mut to_run);
        self.complete(id, Ok(run), log);
        self.release(id);
    }

    fn drop_entry(&mut self, id: u64) {
        let Some(entry) = self.entries.remove(&id) else { return };
        for range in &entry.ranges {
            self.intervals.remove(range, id);
        }
        if self.by_key.get(&entry.key) == Some(&id) {
            self.by_key.remove(&entry.key);
        }
        self.forget_idle(&entry);
    }

    fn forget_idle(&mut self, entry: &Entry) {
        if let Some(since) = entry.idle_since {
            self.idle.remove(&since);
            self.idle_bytes -= entry_bytes(entry);
        }
    }

    /// Nobody watches an entry any more: a fresh answer is kept for a while, anything else is dropped.
    fn release(&mut self, id: u64) {
        let now = self.next_id();
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if !entry.watchers.is_empty() || entry.running > 0 {
            return;
        }
        if !entry.is_fresh() {
            return self.drop_entry(id);
        }
        entry.idle_since = Some(now);
        self.idle_bytes += entry_bytes(entry);
        self.idle.insert(now, id);
        while self.idle_bytes > IDLE_BYTES_MAX {
            let Some((_, oldest)) = self.idle.pop_first() else { break };
            // `drop_entry` takes it off the count.
            self.drop_entry(oldest);
        }
    }

    // ---- commits and executions ------------------------------------------------------------------------------

    /// Looks at new commits: answers that they overtake get an end, and run again when someone watches them.
    pub fn follow(&mut self, news: Option<Vec<LogEntry>>, newest: Timestamp) -> ToRun {
        let mut overtaken: Vec<(u64, Timestamp)> = Vec::new();
        match news {
            Some(news) => {
                for entry in &news {
                    for key in entry.touched.iter() {
                        self.intervals.stab(key, &mut |id| overtaken.push((id, entry.ts)));
                    }
                }
            }
            // The write log has forgotten what came in between, so anything may be stale.
            None => overtaken.extend(self.entries.keys().map(|id| (*id, Timestamp(self.ts.0 + 1)))),
        }
        self.ts = newest;
        let mut to_run = ToRun::new();
        for (id, ts) in overtaken {
            self.overtake(id, ts, &mut to_run);
        }
        self.wake_waiting();
        to_run
    }

    fn overtake(&mut self, id: u64, ts: Timestamp, to_run: &mut ToRun) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(version) = entry.version.as_mut().filter(|version| version.until.is_none()) else { return };
        if version.from >= ts {
            return;
        }
        version.until = Some(ts);
        if entry.watchers.is_empty() {
            return self.drop_entry(id);
        }
        if entry.running == 0 {
            self.run_again(vec![id], to_run);
        }
    }

    fn run_again(&mut self, ids: Vec<u64>, to_run: &mut ToRun) {
        for id in ids {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.running += 1;
                to_run.push(id);
            }
        }
    }

    fn wake_waiting(&mut self) {
        let (ts, subscribers) = (self.ts, &mut self.subscribers);
        self.waiting.retain(|id| match subscribers.get_mut(id) {
            Some(subscriber) if subscriber.waits_for.is_some_and(|awaited| awaited > ts) => true,
            Some(subscriber) => {
                subscriber.waits_for = None;
                subscriber.wake.notify_one();
                false
            }
            None => false,
        });
    }

    /// Takes the result of an execution. Returns what has to run next.
    pub fn complete(&mut self, id: u64, run: Result<QueryRun, SystemError>, log: &WriteLog) -> ToRun {
        let mut to_run = ToRun::new();
        let Some(entry) = self.entries.get_mut(&id) else { return to_run };
        entry.running -= 1;
        match run {
            Ok(run) => self.accept(id, run, log, &mut to_run),
            Err(error) => {
                let from = self.ts;
                entry.version = Some(Version { result: Err(error), from, until: None });
                // An execution that failed for the server's reasons is not kept: whoever asks next tries again.
                self.by_key.remove(&self.entries[&id].key);
            }
        }
        self.move_on_suspended(id, &mut to_run);
        self.wake_watchers(id);
        self.release(id);
        to_run
    }

    fn accept(&mut self, id: u64, run: QueryRun, log: &WriteLog, to_run: &mut ToRun) {
        let freshness = log.freshness(&run.reads, run.ts);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.version.as_ref().is_some_and(|version| version.from > run.ts) {
            // Another execution of the same query has overtaken this one.
            return;
        }
        let until = match freshness {
            Freshness::Fresh => None,
            Freshness::StaleSince(ts) => Some(ts),
        };
        if run.observed_identity {
            self.identity_readers.insert((entry.key.execution, entry.key.path.clone()));
        }
        let result = Arc::new(QueryResult {
            outcome: run.outcome,
            log_lines: run.log_lines,
            journal: run.journal.map(Arc::from),
            json: Default::default(),
        });
        let is_rerun = entry.version.is_some();
        let old = entry.version.take().and_then(|version| version.result.ok());
        let result = old.filter(|old| old.says_the_same_as(&result)).unwrap_or(result);
        entry.version = Some(Version { result: Ok(result), from: run.ts, until });
        for range in std::mem::replace(&mut entry.ranges, run.reads.into_ranges()) {
            self.intervals.remove(&range, id);
        }
        for range in &entry.ranges {
            self.intervals.insert(range, id);
        }
        if until.is_some() && entry.running == 0 && !entry.watchers.is_empty() {
            self.run_again(vec![id], to_run);
        }
        if is_rerun {
            self.follow_page_border(id);
        }
    }

    /// A page that ran again keeps the border of its first run, so it is no longer what a newcomer without that
    /// border asks for: from now on it is found under its border.
    fn follow_page_border(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(Ok(result)) = entry.version.as_ref().map(|version| &version.result) else { return };
        if result.journal.is_none() || result.journal == entry.key.journal {
            return;
        }
        let journal = result.journal.clone();
        let key = EntryKey { journal, ..entry.key.clone() };
        let old_key = std::mem::replace(&mut entry.key, key.clone());
        if self.by_key.get(&old_key) == Some(&id) {
            self.by_key.remove(&old_key);
        }
        self.by_key.entry(key).or_insert(id);
    }

    /// Watchers of a shared result that turned out to depend on the identity go on to their own, unless theirs must
    /// not be seen yet.
    fn move_on_suspended(&mut self, id: u64, to_run: &mut ToRun) {
        let Some(entry) = self.entries.get(&id).filter(|entry| entry.is_suspended()) else { return };
        for (subscriber, query) in entry.watchers.clone() {
            self.resolve(subscriber, query, to_run);
        }
    }

    fn wake_watchers(&mut self, id: u64) {
        let Some(entry) = self.entries.get(&id) else { return };
        for (subscriber, _) in &entry.watchers {
            if let Some(subscriber) = self.subscribers.get(subscriber) {
                subscriber.wake.notify_one();
            }
        }
    }

    // ---- subscribers -----------------------------------------------------------------------------------------

    /// Points a watch at the entry that its subscriber's caller may see.
    pub fn resolve(&mut self, subscriber: u64, query: QueryId, to_run: &mut ToRun) {
        let Some(watch) = self.subscribers.get(&subscriber).and_then(|state| state.watches.get(&query)) else { return };
        let caller = self.subscribers[&subscriber].caller.clone();
        let spec = watch.spec.clone();
        let old = watch.entry;
        let mut scope = self.scope(Execution::Query, &spec.path, &caller);
        if let Some(entry) = old.and_then(|old| self.entries.get(&old)) {
            let journal_moved = entry.key.scope == Scope::Shared && !entry.is_suspended();
            if journal_moved && scope == Scope::Shared {
                return;
            }
            if let (Some(own), true) = (caller.cache_scope(), entry.is_suspended()) {
                scope = Scope::Of(own);
            }
        }
        let journal = self.watch_journal(subscriber, query).or(spec.journal.clone());
        let key = EntryKey {
            execution: Execution::Query,
            path: spec.path.clone(),
            args: spec.args_text.clone(),
            journal,
            scope,
        };
        let call = Call { caller, ..spec.call() };
        let new = self.find_or_create(key, &call, to_run);
        if old == Some(new) {
            return;
        }
        if let Some(old) = old {
            self.unwatch(old, subscriber, query);
        }
        self.watch(new, subscriber, query, to_run);
    }

    /// The page border that this watch has been shown, which must not move when it goes to another entry.
    fn watch_journal(&self, subscriber: u64, query: QueryId) -> Option<Arc<str>> {
        self.subscribers.get(&subscriber)?.watches.get(&query)?.sent.as_ref()?.journal.clone()
    }

    fn watch(&mut self, id: u64, subscriber: u64, query: QueryId, to_run: &mut ToRun) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Some(since) = entry.idle_since.take() {
            self.idle_bytes -= entry_bytes(entry);
            self.idle.remove(&since);
        }
        entry.watchers.push((subscriber, query));
        let is_suspended = entry.is_suspended();
        if let Some(watch) = self.subscribers.get_mut(&subscriber).and_then(|state| state.watches.get_mut(&query)) {
            watch.entry = Some(id);
        }
        let sees = self.subscribers.get(&subscriber).and_then(|state| state.caller.cache_scope());
        if is_suspended && sees.is_some() {
            self.resolve(subscriber, query, to_run);
        }
    }

    pub fn unwatch(&mut self, id: u64, subscriber: u64, query: QueryId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Some(at) = entry.watchers.iter().position(|watcher| *watcher == (subscriber, query)) {
            entry.watchers.swap_remove(at);
        }
        self.release(id);
    }

    /// The newest moment, not before `at_least`, at which all of a subscriber's queries have an answer.
    pub fn assemble(&mut self, id: u64, at_least: Timestamp, to_run: &mut ToRun) -> Moment {
        let entries = &self.entries;
        let Some(subscriber) = self.subscribers.get_mut(&id) else { return Moment::NotYet };
        let is_pending = subscriber.caller.cache_scope().is_none();
        let (mut earliest, mut end) = (at_least, None::<Timestamp>);
        let mut overtaken = ToRun::new();
        for watch in subscriber.watches.values() {
            let Some(entry) = watch.entry.and_then(|entry| entries.get(&entry)) else { return Moment::NotYet };
            if is_pending && entry.is_suspended() {
                continue;
            }
            let Some(version) = &entry.version else { return Moment::NotYet };
            if let Err(error) = &version.result {
                return Moment::Failed(error.clone());
            }
            earliest = earliest.max(version.from);
            if let Some(until) = version.until {
                end = Some(end.map_or(until, |end| end.min(until)));
                overtaken.extend(watch.entry);
            }
        }
        let ts = end.map_or(self.ts, |end| self.ts.min(Timestamp(end.0 - 1)));
        if ts < earliest {
            if earliest > self.ts && subscriber.waits_for.replace(earliest).is_none() {
                self.waiting.push(id);
            }
            subscriber.misses += u32::from(!overtaken.is_empty());
            if subscriber.misses > MISSES_MAX {
                subscriber.misses = 0;
                self.run_again(overtaken, to_run);
            }
            return Moment::NotYet;
        }
        subscriber.misses = 0;
        let mut changed = Vec::new();
        for (query, watch) in &mut subscriber.watches {
            let entry = watch.entry.and_then(|entry| entries.get(&entry));
            let Some(Ok(result)) = entry.and_then(|entry| entry.version.as_ref()).map(|version| &version.result) else {
                continue;
            };
            let is_news = !watch.sent.as_ref().is_some_and(|sent| Arc::ptr_eq(sent, result) || sent.says_the_same_as(result));
            if is_news && result.done().is_some() {
                watch.sent = Some(result.clone());
                changed.push((*query, result.clone()));
            }
        }
        Moment::At { ts, changed }
    }
}

fn entry_bytes(entry: &Entry) -> usize {
    let result = entry.version.as_ref().and_then(|version| version.result.as_ref().ok());
    result.map_or(256, |result| result.bytes())
}
