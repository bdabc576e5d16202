//! Live queries: each distinct query runs once for all who watch it, and again only when a commit changed what it read.

mod entry;
mod intervals;
mod state;
mod subscriber;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use vestibule_schema::timestamp::Timestamp;

pub use entry::QueryResult;
pub use subscriber::{Moment, QuerySpec, Subscriber};

use crate::functions::{Call, Functions, QueryRun, SystemError};
use entry::{EntryKey, Execution, Scope};
use state::{State, ToRun};

/// Distinct live queries of a deployment.
pub const LIVE_QUERIES_MAX: usize = 100_000;

/// All live queries of a deployment, and the cache of their results.
pub struct LiveQueries {
    functions: Arc<Functions>,
    state: Mutex<State>,
}

/// How many there are of what, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Distinct live queries, cached ones among them.
    pub live_queries: usize,
    /// Key ranges they read.
    pub ranges: usize,
    /// Connections.
    pub subscribers: usize,
}

/// Ends the following of commits when dropped.
pub struct Following(JoinHandle<()>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl LiveQueries {
    /// Live queries over `functions`, and the task that follows the write log for them.
    pub fn start(functions: Arc<Functions>) -> (Arc<LiveQueries>, Following) {
        let write_log = functions.database().write_log().clone();
        let mut newest = write_log.subscribe();
        let start = *newest.borrow_and_update();
        let live = Arc::new(LiveQueries { functions, state: Mutex::new(State::new(start)) });
        let following: Weak<LiveQueries> = Arc::downgrade(&live);
        let task = tokio::spawn(async move {
            while newest.changed().await.is_ok() {
                let newest = *newest.borrow_and_update();
                let Some(live) = following.upgrade() else { return };
                live.follow(newest);
            }
        });
        (live, Following(task))
    }

    /// How many there are of what.
    pub fn census(&self) -> Census {
        let state = self.state.lock();
        Census { live_queries: state.live_queries(), ranges: state.ranges(), subscribers: state.subscribers.len() }
    }

    /// Answers a query once, from the cache when it holds an answer that no commit has overtaken. The answer sees
    /// every commit that anybody was told of before the call.
    pub async fn query(&self, call: Call) -> Result<(Arc<QueryResult>, Timestamp), SystemError> {
        let key = self.key(Execution::Query, &call);
        if let Some(answer) = self.cached(&key) {
            return answer;
        }
        let run = self.functions.query(call.clone(), None).await?;
        Ok(self.keep(key, call, run))
    }

    /// Runs a mutation that is expected to write nothing. `None` when it would have to write. The answer of one that
    /// does not is cached by what it read.
    pub async fn mutate_without_writing(
        &self,
        call: Call,
    ) -> Result<Option<(Arc<QueryResult>, Timestamp)>, SystemError> {
        let key = self.key(Execution::MutationWithoutWriting, &call);
        if let Some(answer) = self.cached(&key) {
            return answer.map(Some);
        }
        let run = self.functions.mutate_without_writing(call.clone()).await?;
        Ok(run.map(|run| self.keep(key, call, run)))
    }

    fn key(&self, execution: Execution, call: &Call) -> EntryKey {
        let mut args = String::new();
        call.args.write_json(&mut args);
        let scope = self.state.lock().scope(execution, &call.path, &call.caller);
        EntryKey { execution, path: call.path.clone(), args: args.into(), journal: None, scope }
    }

    fn cached(&self, key: &EntryKey) -> Option<Result<(Arc<QueryResult>, Timestamp), SystemError>> {
        let durable = self.functions.database().durable_ts();
        let mut state = self.state.lock();
        // Commits are announced before they are followed: until then the cache may be behind.
        if state.ts < durable {
            return None;
        }
        let ts = state.ts;
        let answer = state.answer(key)?;
        let is_suspended = answer.as_ref().is_ok_and(|result| result.done().is_none());
        (!is_suspended).then(|| answer.map(|result| (result, ts)))
    }

    fn keep(&self, mut key: EntryKey, call: Call, run: QueryRun) -> (Arc<QueryResult>, Timestamp) {
        let ts = run.ts;
        let result = Arc::new(QueryResult {
            outcome: run.outcome.clone(),
            log_lines: run.log_lines.clone(),
            journal: run.journal.clone().map(Arc::from),
            json: Default::default(),
        });
        key.scope = match (run.observed_identity, call.caller.cache_scope()) {
            (false, _) => Scope::Shared,
            (true, Some(scope)) => Scope::Of(scope),
            (true, None) => return (result, ts),
        };
        // Errors are computed anew each time; so are pages, whose border belongs to one watcher.
        let is_returned = matches!(result.done(), Some(crate::functions::FunctionOutcome::Returned(_)));
        if is_returned && result.journal.is_none() {
            self.state.lock().keep(key, &call, run, self.functions.database().write_log());
        }
        (result, ts)
    }

    fn has_room(&self) -> bool {
        self.state.lock().live_queries() < LIVE_QUERIES_MAX
    }

    fn follow(self: &Arc<Self>, newest: Timestamp) {
        let to_run = {
            let mut state = self.state.lock();
            let news = self.functions.database().write_log().since(state.ts);
            let newest = news.as_ref().and_then(|news| news.last()).map_or(newest, |last| last.ts.max(newest));
            state.follow(news, newest)
        };
        for id in to_run {
            self.run_together(vec![id]);
        }
    }

    /// Runs entries one after another on one snapshot.
    fn run_together(self: &Arc<Self>, to_run: ToRun) {
        if to_run.is_empty() {
            return;
        }
        let live = self.clone();
        let ids = to_run.clone();
        let submitted = self.functions.database().readers().submit(move |store| match store.snapshot() {
            Ok(snapshot) => live.run_all(ids, &snapshot),
            Err(error) => live.fail_all(&ids, &SystemError::Storage(Arc::new(error))),
        });
        if let Err(error) = submitted {
            self.fail_all(&to_run, &SystemError::Readers(error));
        }
    }

    fn run_all(self: &Arc<Self>, ids: ToRun, snapshot: &dyn crate::storage::ReadView) {
        let mut runs = Vec::with_capacity(ids.len());
        for id in ids {
            let Some((call, journal)) = self.entry_call(id) else { continue };
            runs.push((id, self.functions.query_on(snapshot, &call, journal)));
        }
        for (id, run) in runs {
            self.complete(id, run);
        }
    }

    fn entry_call(&self, id: u64) -> Option<(Arc<Call>, Option<String>)> {
        let state = self.state.lock();
        let entry = state.entries.get(&id)?;
        Some((entry.call.clone(), entry.journal()))
    }

    fn fail_all(self: &Arc<Self>, ids: &[u64], error: &SystemError) {
        for id in ids {
            self.complete(*id, Err(error.clone()));
        }
    }

    fn complete(self: &Arc<Self>, id: u64, run: Result<QueryRun, SystemError>) {
        let to_run = self.state.lock().complete(id, run, self.functions.database().write_log());
        for id in to_run {
            self.run_together(vec![id]);
        }
    }
}
