//! Live queries: each distinct query runs once for all its watchers, and again only when a commit changed what it read.

mod assembly;
mod idle;
mod intervals;
mod live_query;
mod state;
mod subscriber;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use vestibule_schema::timestamp::Timestamp;

pub use live_query::QueryResult;
pub use subscriber::{Moment, QuerySetChange, QuerySpec, Subscriber};

use crate::database::{Freshness, IndexId};
use crate::functions::{Call, FunctionOutcome, Functions, SystemError};
use crate::storage::ReadView;
use live_query::{Answer, Execution, LiveQueryKey, Scope};
use state::{State, ToRun};

/// Distinct queries of a deployment that are watched at once.
pub const LIVE_QUERIES_MAX: usize = 100_000;

/// Jobs that one commit hands to the readers.
const JOBS_MAX: usize = 8_192;

/// All live queries of a deployment, and the cache of their results.
pub struct LiveQueries {
    functions: Arc<Functions>,
    state: Mutex<State>,
}

/// The sizes of the live queries' state, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Distinct queries that have a watcher.
    pub live_queries: usize,
    /// Results kept without watchers.
    pub idle: usize,
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
        let clock = functions.database().clock().clone();
        let live = Arc::new(LiveQueries {
            functions,
            state: Mutex::new(State::new(start, clock)),
        });
        let following: Weak<LiveQueries> = Arc::downgrade(&live);
        let task = tokio::spawn(async move {
            while newest.changed().await.is_ok() {
                let newest = *newest.borrow_and_update();
                let Some(live) = following.upgrade() else {
                    return;
                };
                live.follow(newest);
            }
        });
        (live, Following(task))
    }

    /// The functions they run.
    pub fn functions(&self) -> &Arc<Functions> {
        &self.functions
    }

    /// How many there are of what.
    pub fn census(&self) -> Census {
        let state = self.state.lock();
        Census {
            live_queries: state.live_queries(),
            idle: state.idle.len(),
            ranges: state.ranges(),
            subscribers: state.subscribers.len(),
        }
    }

    /// Answers a query once, from the cache when it holds an answer that no commit has overtaken. The answer sees every
    /// commit that any client was told of before the call.
    pub async fn query(&self, call: Call) -> Result<(Arc<QueryResult>, Timestamp), SystemError> {
        let key = self.key(Execution::Query, &call);
        if let Some(answer) = self.cached(&key) {
            let is_returned = matches!(answer.0.done(), Some(FunctionOutcome::Returned(_)));
            if is_returned && self.functions.logs_cached() {
                let lines = &answer.0.log_lines;
                self.functions.log_cached(&call.path, &call.caller, lines);
            }
            return Ok(answer);
        }
        let run = self.functions.query(call.clone(), None).await?;
        Ok(self.keep(key, &call, run.into()))
    }

    /// Tries an idempotent mutation on a snapshot where it cannot write. `None` when it would have to write. The answer
    /// holds until a commit overlaps what it read.
    pub async fn run_idempotent_without_writing(
        self: &Arc<Self>,
        call: &Call,
    ) -> Result<Option<(Arc<QueryResult>, Timestamp)>, SystemError> {
        if let Some(answer) = self.held_answer(call) {
            return Ok(Some(answer));
        }
        let key = self.key(Execution::IdempotentMutation, call);
        let run = self.functions.try_mutation(call.clone()).await?;
        Ok(run.map(|run| self.keep(key, call, run.into())))
    }

    /// Runs an idempotent mutation. The answer holds until a commit overlaps what it read.
    pub async fn mutate_idempotently(
        &self,
        call: &Call,
    ) -> Result<(Arc<QueryResult>, Timestamp), SystemError> {
        let key = self.key(Execution::IdempotentMutation, call);
        let log = self.functions.database().write_log();
        let before = log.newest();
        let run = self.functions.mutate(call.clone()).await?;
        // Its commit was not held against its code, its variables and its stale reads. A native function has none.
        let dependencies = run.basis.reads.within(&IndexId::DEPENDENCIES.range());
        let unchecked = dependencies.and(run.basis.stale_reads.clone());
        if !unchecked.is_empty() {
            // The answer comes before the news of its batch.
            let _ = log.subscribe().wait_for(|newest| *newest >= run.ts).await;
            if log.freshness(&unchecked, before) != Freshness::Fresh {
                let Answer { result, ts, .. } = run.into();
                return Ok((result, ts));
            }
        }
        Ok(self.keep(key, call, run.into()))
    }

    /// The answer of an idempotent mutation that need not run now, because nothing it read has changed since it ran.
    pub fn held_answer(self: &Arc<Self>, call: &Call) -> Option<(Arc<QueryResult>, Timestamp)> {
        self.held(Execution::IdempotentMutation, call)
    }

    /// As [`Self::held_answer`], of a query.
    pub fn held_query(self: &Arc<Self>, call: &Call) -> Option<(Arc<QueryResult>, Timestamp)> {
        self.held(Execution::Query, call)
    }

    fn held(
        self: &Arc<Self>,
        execution: Execution,
        call: &Call,
    ) -> Option<(Arc<QueryResult>, Timestamp)> {
        let key = self.key(execution, call);
        // An answer is known to hold once all news has been looked at; there is no need to wait for the follower.
        self.follow_to(self.functions.database().write_log().newest());
        self.cached(&key)
    }

    /// Looks at the news up to a commit, as far as it is out and was not looked at.
    fn follow_to(self: &Arc<Self>, ts: Timestamp) {
        let is_behind = self.state.lock().ts < ts;
        if is_behind {
            let newest = self.functions.database().write_log().newest();
            self.follow(ts.min(newest));
        }
    }

    fn key(&self, execution: Execution, call: &Call) -> LiveQueryKey {
        let mut args = String::new();
        call.args.write_json(&mut args);
        let scope = self.state.lock().scope(execution, &call.path, &call.caller);
        let sees_internal = call.source.is_inside() || call.caller.may_call_internal();
        LiveQueryKey {
            execution,
            path: call.path.clone(),
            args: args.into(),
            journal: None,
            scope,
            sees_internal,
        }
    }

    fn cached(&self, key: &LiveQueryKey) -> Option<(Arc<QueryResult>, Timestamp)> {
        let durable = self.functions.database().durable_ts();
        let state = self.state.lock();
        // Commits are announced before they are followed: until then the cache may be behind.
        if state.ts < durable {
            return None;
        }
        // An execution that never looked at the identity answers everybody, also where others of its function looked.
        let everybodys = || state.answer(&key.clone().of_everybody());
        let answer = match key.scope {
            Scope::Shared => state.answer(key),
            Scope::Of(_) => state.answer(key).or_else(everybodys),
        };
        let answer = answer.filter(|answer| answer.done().is_some())?;
        Some((answer, state.ts))
    }

    fn keep(
        &self,
        key: LiveQueryKey,
        call: &Call,
        answer: Answer,
    ) -> (Arc<QueryResult>, Timestamp) {
        let kept = (answer.result.clone(), answer.ts);
        // Errors are computed anew each time; so are pages, whose border belongs to one watcher.
        let is_returned = matches!(kept.0.done(), Some(FunctionOutcome::Returned(_)));
        if is_returned && kept.0.journal.is_none() {
            self.state
                .lock()
                .keep(key, call, answer, self.functions.database().write_log());
        }
        kept
    }

    /// Drops every result without watchers.
    #[cfg(test)]
    pub(crate) fn forget_idle(&self) {
        self.state.lock().drop_idle();
    }

    /// Waits until what was handed to the readers before has run.
    #[cfg(test)]
    pub(crate) async fn settle(&self) {
        while self.state.lock().is_running() {
            // Every reader takes this up only behind what was queued before.
            self.functions
                .read(|_| Ok(()))
                .await
                .expect("the readers run");
        }
    }

    fn follow(self: &Arc<Self>, newest: Timestamp) {
        let to_run = {
            let mut state = self.state.lock();
            let news = self.functions.database().write_log().since(state.ts);
            let newest = news
                .as_ref()
                .and_then(|news| news.last())
                .map_or(newest, |last| last.ts.max(newest));
            state.follow(news, newest)
        };
        self.run_each(to_run);
    }

    /// Runs live queries, each on the newest snapshot when its turn comes.
    fn run_each(self: &Arc<Self>, to_run: ToRun) {
        // One commit may overtake more queries than may wait for a reader.
        let together = to_run.len().div_ceil(JOBS_MAX).max(1);
        for ids in to_run.chunks(together) {
            self.run_together(ids.to_vec(), None);
        }
    }

    /// Runs live queries one after another on one snapshot, perhaps on behalf of a subscriber that waits for all of them.
    fn run_together(self: &Arc<Self>, to_run: ToRun, gathers: Option<u64>) {
        if to_run.is_empty() {
            return;
        }
        let live = self.clone();
        let ids = to_run.clone();
        let submitted =
            self.functions
                .database()
                .readers()
                .submit(move |store| match store.snapshot() {
                    Ok(snapshot) => live.run_all(ids, &snapshot, gathers),
                    Err(error) => live.fail_all(&ids, &SystemError::Storage(Arc::new(error))),
                });
        if let Err(error) = submitted {
            self.fail_all(&to_run, &SystemError::Readers(error));
        }
    }

    fn run_all(self: &Arc<Self>, ids: ToRun, snapshot: &dyn ReadView, gathers: Option<u64>) {
        let mut answers = Vec::with_capacity(ids.len());
        for id in ids {
            let Some((call, journal)) = self.entry_call(id) else {
                continue;
            };
            let given = journal.as_deref().map(Arc::from);
            let run = self.functions.query_on(snapshot, &call, journal);
            let answer = run.map(|run| Answer {
                given,
                ..Answer::from(run)
            });
            answers.push((id, answer));
        }
        if let Some(subscriber) = gathers {
            self.state.lock().gathered(subscriber, &answers);
        }
        for (id, answer) in answers {
            self.complete(id, answer);
        }
    }

    fn entry_call(&self, id: u64) -> Option<(Arc<Call>, Option<String>)> {
        let state = self.state.lock();
        let live = state.live_queries.get(&id)?;
        Some((live.call.clone(), live.journal()))
    }

    fn fail_all(self: &Arc<Self>, ids: &[u64], error: &SystemError) {
        for id in ids {
            self.complete(*id, Err(error.clone()));
        }
    }

    fn complete(self: &Arc<Self>, id: u64, answer: Result<Answer, SystemError>) {
        let to_run = self
            .state
            .lock()
            .complete(id, answer, self.functions.database().write_log());
        self.run_each(to_run);
    }
}
