//! The subscribers' view of the live queries: which one answers each of their queries, and the moments at which
//! all of them are answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::wire::QueryId;

use super::LIVE_QUERIES_MAX;
use super::live_query::{Answer, Execution, LiveQuery, LiveQueryKey, QueryResult, Scope};
use super::state::{State, ToRun};
use super::subscriber::{Moment, QuerySpec};
use crate::auth::Caller;
use crate::functions::{Call, FunctionOutcome, SystemError};

/// Answers of one query that may be overtaken before its subscriber can use them. Then all its queries are run
/// together, on one snapshot, for it alone.
const UNUSED_ANSWERS_MAX: u64 = 4;

pub(super) struct SubscriberState {
    pub caller: Caller,
    pub watches: BTreeMap<QueryId, Watch>,
    wake: Arc<Notify>,
    /// It waits for news up to this commit.
    waits_for: Option<Timestamp>,
    gathering: Gathering,
}

pub(super) struct Watch {
    pub spec: QuerySpec,
    pub live_query: Option<u64>,
    /// The result that the client has.
    pub sent: Option<Arc<QueryResult>>,
    /// How many answers the live query had given when one was last used.
    answers_used: u64,
}

/// Running all queries of a subscriber together.
enum Gathering {
    No,
    UnderWay,
    /// The results of the live queries, all of one moment.
    Done {
        ts: Timestamp,
        results: BTreeMap<u64, Arc<QueryResult>>,
    },
}

/// How the answers of a subscriber's queries stand to each other.
struct Survey {
    /// The latest of their beginnings.
    earliest: Timestamp,
    /// The first of their ends.
    end: Option<Timestamp>,
    /// Some query has no answer at all yet.
    is_missing: bool,
    /// Answers came and went without being used.
    is_starved: bool,
}

impl SubscriberState {
    pub fn new(caller: Caller, wake: Arc<Notify>) -> SubscriberState {
        SubscriberState {
            caller,
            watches: BTreeMap::new(),
            wake,
            waits_for: None,
            gathering: Gathering::No,
        }
    }

    /// Its identity must not be looked at yet.
    fn is_pending(&self) -> bool {
        self.caller.is_suspending()
    }
}

impl Watch {
    pub fn new(spec: QuerySpec) -> Watch {
        Watch {
            spec,
            live_query: None,
            sent: None,
            answers_used: 0,
        }
    }

    /// The page border that the client has been shown, which must not move when the query goes to another live query.
    fn journal(&self) -> Option<Arc<str>> {
        self.sent
            .as_ref()
            .map_or(&self.spec.journal, |sent| &sent.journal)
            .clone()
    }
}

impl State {
    // ---- watching --------------------------------------------------------------------------------------------

    /// Points a watch at the live query that its subscriber's caller may see.
    pub fn resolve(&mut self, subscriber: u64, query: QueryId, to_run: &mut ToRun) {
        let Some(state) = self.subscribers.get(&subscriber) else {
            return;
        };
        let Some(watch) = state.watches.get(&query) else {
            return;
        };
        let caller = state.caller.clone();
        let sees_internal = caller.may_call_internal();
        let old = watch.live_query;
        let scope = self.scope(Execution::Query, &watch.spec.path, &caller);
        if let Some(live) = old.and_then(|old| self.live_queries.get(&old)) {
            let is_everybodys =
                live.key.scope == Scope::Shared && live.key.sees_internal == sees_internal;
            if is_everybodys && !live.is_suspended() && scope == Scope::Shared {
                return;
            }
        }
        let key = LiveQueryKey {
            execution: Execution::Query,
            path: watch.spec.path.clone(),
            args: watch.spec.args_text.clone(),
            journal: watch.journal(),
            scope,
            sees_internal,
        };
        let call = Call {
            caller,
            ..watch.spec.call()
        };
        let new = self.find_or_create(key, &call, to_run);
        if old == Some(new) {
            return;
        }
        self.watch(new, subscriber, query, to_run);
        if let Some(old) = old {
            self.unwatch(old, subscriber, query);
        }
    }

    fn watch(&mut self, id: u64, subscriber: u64, query: QueryId, to_run: &mut ToRun) {
        let Some(live) = self.live_queries.get_mut(&id) else {
            return;
        };
        if let Some(place) = live.idle.take() {
            self.idle.remove(place);
        }
        live.watchers.insert((subscriber, query));
        let is_suspended = live.is_suspended();
        let answers = live.answers;
        let Some(state) = self.subscribers.get_mut(&subscriber) else {
            return;
        };
        let Some(watch) = state.watches.get_mut(&query) else {
            return;
        };
        watch.live_query = Some(id);
        watch.answers_used = answers;
        if is_suspended && !state.is_pending() {
            self.resolve(subscriber, query, to_run);
        }
    }

    /// Adds a subscription; false when there is no room for it.
    pub fn begin_watch(
        &mut self,
        subscriber: u64,
        query: QueryId,
        spec: QuerySpec,
        to_run: &mut ToRun,
    ) -> bool {
        if self.live_queries() >= LIVE_QUERIES_MAX {
            return false;
        }
        if let Some(subscriber) = self.subscribers.get_mut(&subscriber) {
            subscriber.watches.insert(query, Watch::new(spec));
        }
        self.resolve(subscriber, query, to_run);
        true
    }

    /// The answer that an earlier run has left for a subscription, with the function and the caller.
    pub fn held_for(
        &self,
        subscriber: u64,
        query: QueryId,
    ) -> Option<(FunctionPath, Caller, Arc<QueryResult>)> {
        let subscriber = self.subscribers.get(&subscriber)?;
        let watch = subscriber.watches.get(&query)?;
        let (_, live) = self.live_query_of(watch)?;
        let result = live.result().filter(|_| live.is_fresh())?;
        if !matches!(result.done(), Some(FunctionOutcome::Returned(_))) {
            return None;
        }
        let path = watch.spec.path.clone();
        Some((path, subscriber.caller.clone(), result.clone()))
    }

    /// Ends a subscription; one that is not there is left alone.
    pub fn end_watch(&mut self, subscriber: u64, query: QueryId) -> Option<Watch> {
        let watch = self
            .subscribers
            .get_mut(&subscriber)?
            .watches
            .remove(&query)?;
        if let Some(live) = watch.live_query {
            self.unwatch(live, subscriber, query);
        }
        Some(watch)
    }

    pub fn unwatch(&mut self, id: u64, subscriber: u64, query: QueryId) {
        let Some(live) = self.live_queries.get_mut(&id) else {
            return;
        };
        live.watchers.remove(&(subscriber, query));
        self.release(id);
    }

    /// Moves watchers of a result that turned out to depend on the identity, or on more claims than known, to their own
    /// result. Watchers whose identity must not be seen yet stay.
    pub(super) fn resolve_watchers(&mut self, id: u64, to_run: &mut ToRun) {
        let Some(live) = self.live_queries.get(&id) else {
            return;
        };
        for (subscriber, query) in live.watchers.clone() {
            self.resolve(subscriber, query, to_run);
        }
    }

    // ---- waking ----------------------------------------------------------------------------------------------

    pub(super) fn wake_watchers(&self, id: u64) {
        let Some(live) = self.live_queries.get(&id) else {
            return;
        };
        for (subscriber, _) in &live.watchers {
            if let Some(subscriber) = self.subscribers.get(subscriber) {
                subscriber.wake.notify_one();
            }
        }
    }

    pub(super) fn wake_waiting(&mut self) {
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

    fn wait_for(&mut self, id: u64, ts: Timestamp) {
        let Some(subscriber) = self.subscribers.get_mut(&id) else {
            return;
        };
        if subscriber.waits_for.replace(ts).is_none() {
            self.waiting.push(id);
        }
    }

    // ---- assembling ------------------------------------------------------------------------------------------

    /// The newest moment at which all of a subscriber's queries have an answer. It is not before `wanted`, or where
    /// answers keep being overtaken before they can be used, not before `required`. Beside it: the live queries to run
    /// together for this subscriber.
    pub fn assemble(&mut self, id: u64, wanted: Timestamp, required: Timestamp) -> (Moment, ToRun) {
        let survey = match self.survey(id) {
            Ok(Some(survey)) => survey,
            Ok(None) => return (Moment::NotYet, ToRun::new()),
            Err(error) => return (Moment::Failed(error), ToRun::new()),
        };
        let at_least = survey
            .earliest
            .max(if survey.is_starved { required } else { wanted });
        let newest = survey
            .end
            .map_or(self.ts, |end| self.ts.min(Timestamp(end.0 - 1)));
        if !survey.is_missing && at_least <= newest {
            return self.tell(id, newest, &BTreeMap::new());
        }
        if at_least > self.ts {
            self.wait_for(id, at_least);
        }
        match survey.is_starved {
            true => self.assemble_gathered(id, required),
            false => (Moment::NotYet, ToRun::new()),
        }
    }

    fn survey(&self, id: u64) -> Result<Option<Survey>, SystemError> {
        let Some(subscriber) = self.subscribers.get(&id) else {
            return Ok(None);
        };
        let mut survey = Survey {
            earliest: Timestamp::ZERO,
            end: None,
            is_missing: false,
            is_starved: false,
        };
        for watch in subscriber.watches.values() {
            let Some(live) = watch
                .live_query
                .and_then(|live| self.live_queries.get(&live))
            else {
                return Ok(None);
            };
            if subscriber.is_pending() && live.is_suspended() {
                continue;
            }
            survey.is_starved |= live.answers - watch.answers_used > UNUSED_ANSWERS_MAX;
            let Some(version) = &live.version else {
                survey.is_missing = true;
                continue;
            };
            if let Err(error) = &version.result {
                return Err(error.clone());
            }
            survey.earliest = survey.earliest.max(version.from);
            survey.end = survey.end.into_iter().chain(version.until).min();
        }
        Ok(Some(survey))
    }

    /// The moment for which all queries were run together, or the order to run them.
    fn assemble_gathered(&mut self, id: u64, required: Timestamp) -> (Moment, ToRun) {
        let Some(subscriber) = self.subscribers.get_mut(&id) else {
            return (Moment::NotYet, ToRun::new());
        };
        match std::mem::replace(&mut subscriber.gathering, Gathering::UnderWay) {
            Gathering::UnderWay => return (Moment::NotYet, ToRun::new()),
            Gathering::Done { ts, results } if ts > self.ts => {
                subscriber.gathering = Gathering::Done { ts, results };
                self.wait_for(id, ts);
                return (Moment::NotYet, ToRun::new());
            }
            Gathering::Done { ts, results }
                if ts >= required && self.is_answered_at(id, ts, &results) =>
            {
                return self.tell(id, ts, &results);
            }
            Gathering::Done { .. } | Gathering::No => {}
        }
        let mut to_run = ToRun::new();
        let live_queries: Vec<u64> = self.subscribers[&id]
            .watches
            .values()
            .filter_map(|watch| watch.live_query)
            .collect();
        for live in live_queries {
            self.run(live, &mut to_run);
        }
        (Moment::NotYet, to_run)
    }

    /// The queries of a subscriber were run together.
    pub fn gathered(&mut self, subscriber: u64, answers: &[(u64, Result<Answer, SystemError>)]) {
        let Some(subscriber) = self.subscribers.get_mut(&subscriber) else {
            return;
        };
        let results = answers
            .iter()
            .map(|(id, answer)| Some((*id, answer.as_ref().ok()?.result.clone())));
        let results: Option<BTreeMap<_, _>> = results.collect();
        let ts = answers
            .iter()
            .find_map(|(_, answer)| Some(answer.as_ref().ok()?.ts));
        subscriber.gathering = match (ts, results) {
            (Some(ts), Some(results)) => Gathering::Done { ts, results },
            _ => Gathering::No,
        };
    }

    fn is_answered_at(
        &self,
        id: u64,
        ts: Timestamp,
        gathered: &BTreeMap<u64, Arc<QueryResult>>,
    ) -> bool {
        let Some(subscriber) = self.subscribers.get(&id) else {
            return false;
        };
        subscriber.watches.values().all(|watch| {
            let Some((id, live)) = self.live_query_of(watch) else {
                return false;
            };
            let result = result_at(id, live, ts, gathered);
            result.is_some_and(|result| result.done().is_some() || subscriber.is_pending())
        })
    }

    fn live_query_of(&self, watch: &Watch) -> Option<(u64, &LiveQuery)> {
        let id = watch.live_query?;
        Some((id, self.live_queries.get(&id)?))
    }

    /// Takes the answers as of `ts` as told. Returns the live queries to run for pages that have got an end of their own
    /// too.
    fn tell(
        &mut self,
        subscriber_id: u64,
        ts: Timestamp,
        gathered: &BTreeMap<u64, Arc<QueryResult>>,
    ) -> (Moment, ToRun) {
        let Some(subscriber) = self.subscribers.get_mut(&subscriber_id) else {
            return (Moment::NotYet, ToRun::new());
        };
        subscriber.gathering = Gathering::No;
        let (mut changed, mut parted) = (Vec::new(), Vec::new());
        for (query, watch) in &mut subscriber.watches {
            let Some(id) = watch.live_query else { continue };
            let Some(live) = self.live_queries.get_mut(&id) else {
                continue;
            };
            watch.answers_used = live.answers;
            let Some(result) = result_at(id, live, ts, gathered) else {
                continue;
            };
            let is_known = watch
                .sent
                .as_ref()
                .is_some_and(|sent| Arc::ptr_eq(sent, result) || sent.says_the_same_as(result));
            if !is_known && result.done().is_some() {
                let result = result.clone();
                watch.sent = Some(result.clone());
                if live.holds_another_page_than(&result) {
                    parted.push((*query, id));
                } else {
                    live.told_border = result.journal.clone();
                }
                changed.push((*query, result));
            }
        }
        let mut to_run = ToRun::new();
        for (query, live) in parted {
            self.unwatch(live, subscriber_id, query);
            if let Some(subscriber) = self.subscribers.get_mut(&subscriber_id)
                && let Some(watch) = subscriber.watches.get_mut(&query)
            {
                watch.live_query = None;
            }
            self.resolve(subscriber_id, query, &mut to_run);
        }
        (Moment::At { ts, changed }, to_run)
    }
}

/// A live query's result as of `ts`.
fn result_at<'a>(
    id: u64,
    live: &'a LiveQuery,
    ts: Timestamp,
    gathered: &'a BTreeMap<u64, Arc<QueryResult>>,
) -> Option<&'a Arc<QueryResult>> {
    let version = live.version.as_ref()?;
    let holds = version.from <= ts && version.until.is_none_or(|until| ts < until);
    match holds {
        true => version.result.as_ref().ok(),
        false => gathered.get(&id),
    }
}
