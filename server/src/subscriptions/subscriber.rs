//! One connection's part in the live queries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::Notify;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::Value;
use vestibule_schema::wire::QueryId;

use super::LiveQueries;
use super::assembly::SubscriberState;
use super::live_query::QueryResult;
use super::state::{State, ToRun};
use crate::auth::Caller;
use crate::functions::{Call, CallSource, SystemError};

/// A client's subscription to a query.
#[derive(Clone, Debug)]
pub struct QuerySpec {
    pub(super) path: FunctionPath,
    pub(super) args: Arc<Value>,
    pub(super) args_text: Arc<str>,
    pub(super) journal: Option<Arc<str>>,
}

impl QuerySpec {
    /// A query with its arguments; `journal` is what an earlier result of it carried.
    pub fn new(path: FunctionPath, args: Value, journal: Option<Arc<str>>) -> QuerySpec {
        let mut text = String::new();
        args.write_json(&mut text);
        QuerySpec {
            path,
            args: Arc::new(args),
            args_text: text.into(),
            journal,
        }
    }

    /// Bytes of its texts.
    pub fn bytes(&self) -> usize {
        let journal = self.journal.as_ref().map_or(0, |journal| journal.len());
        self.args_text.len() + journal
    }

    pub(super) fn call(&self) -> Call {
        Call {
            path: self.path.clone(),
            args: (*self.args).clone(),
            caller: Caller::unidentified(),
            source: CallSource::Client(None),
        }
    }
}

/// Changes to a subscriber's queries that are made at one time.
#[derive(Default)]
pub struct QuerySetChange {
    /// Subscriptions that end, of those that are held.
    pub removed: BTreeSet<QueryId>,
    /// Subscriptions that begin, after that.
    pub added: BTreeMap<QueryId, QuerySpec>,
}

/// The answers of a subscriber's queries at one timestamp.
#[derive(Debug)]
pub enum Moment {
    /// Every query is answered as of `ts`; `changed` holds the answers that the client does not have yet.
    At {
        ts: Timestamp,
        changed: Vec<(QueryId, Arc<QueryResult>)>,
    },
    /// Some answer is still being computed: the subscriber is woken when it may be there.
    NotYet,
    /// The server cannot answer one of the queries.
    Failed(SystemError),
}

/// A connection's subscriptions. Dropping it ends them all.
pub struct Subscriber {
    live: Arc<LiveQueries>,
    id: u64,
    ids: BTreeSet<QueryId>,
}

impl Subscriber {
    /// A subscriber without queries. `wake` is notified when [`Subscriber::assemble`] may have something new.
    pub fn new(live: Arc<LiveQueries>, caller: Caller, wake: Arc<Notify>) -> Subscriber {
        let id = {
            let mut state = live.state.lock();
            let id = state.next_id();
            state
                .subscribers
                .insert(id, SubscriberState::new(caller, wake));
            id
        };
        Subscriber {
            live,
            id,
            ids: BTreeSet::new(),
        }
    }

    /// Whether there are no subscriptions.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether a query is subscribed to.
    pub fn contains(&self, query: QueryId) -> bool {
        self.ids.contains(&query)
    }

    /// Subscriptions held once `change` is made.
    pub fn len_after(&self, change: &QuerySetChange) -> usize {
        self.ids.len() - change.removed.len() + change.added.len()
    }

    /// Whether a query is subscribed to once `change` is made.
    pub fn contains_after(&self, change: &QuerySetChange, query: QueryId) -> bool {
        change.added.contains_key(&query)
            || (self.contains(query) && !change.removed.contains(&query))
    }

    /// Ends subscriptions, then adds others. Those that have to run are run on one snapshot, so that their answers share
    /// a timestamp. Returns those for which the deployment has no room; they are not added.
    pub fn modify(&mut self, change: QuerySetChange) -> Vec<QueryId> {
        let QuerySetChange { removed, added } = change;
        for query in &removed {
            self.ids.remove(query);
        }
        self.ids.extend(added.keys());
        // All connections wait for this lock: ended watches are freed after it.
        let mut ended = Vec::with_capacity(removed.len());
        let mut refused = Vec::new();
        let logs_cached = self.live.functions.logs_cached();
        let mut cached = Vec::new();
        self.change(|state, id, to_run| {
            for query in removed {
                ended.extend(state.end_watch(id, query));
            }
            for (query, spec) in added {
                if !state.begin_watch(id, query, spec, to_run) {
                    refused.push(query);
                } else if logs_cached {
                    cached.extend(state.held_for(id, query));
                }
            }
        });
        for (path, caller, result) in cached {
            let functions = &self.live.functions;
            functions.log_cached(&path, &caller, &result.log_lines);
        }
        for query in &refused {
            self.ids.remove(query);
        }
        refused
    }

    /// From now on answers are those that `caller` may see. Queries that never looked at an identity stay as they
    /// are; while `caller` is pending, the others keep what the client has.
    pub fn set_caller(&mut self, caller: Caller) {
        self.change(|state, id, to_run| {
            let Some(subscriber) = state.subscribers.get_mut(&id) else {
                return;
            };
            subscriber.caller = caller;
            let queries: Vec<QueryId> = subscriber.watches.keys().copied().collect();
            for query in queries {
                state.resolve(id, query, to_run);
            }
        });
    }

    /// The answers at the newest moment at which all are known. It is not before `wanted`; where the answers keep being
    /// overtaken before they can be told, it may be earlier, but not before `required`.
    pub fn assemble(&mut self, wanted: Timestamp, required: Timestamp) -> Moment {
        let mut state = self.live.state.lock();
        if state.ts < wanted {
            // A mutation's news is out when its caller is told: there is no need to wait for the follower.
            drop(state);
            self.live.follow_to(wanted);
            state = self.live.state.lock();
        }
        let (moment, to_run) = state.assemble(self.id, wanted, required);
        drop(state);
        let gathers = matches!(moment, Moment::NotYet).then_some(self.id);
        self.live.run_together(to_run, gathers);
        moment
    }

    fn change(&mut self, change: impl FnOnce(&mut State, u64, &mut ToRun)) {
        let mut to_run = ToRun::new();
        change(&mut self.live.state.lock(), self.id, &mut to_run);
        self.live.run_together(to_run, None);
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let mut state = self.live.state.lock();
        let Some(subscriber) = state.subscribers.remove(&self.id) else {
            return;
        };
        for (query, watch) in subscriber.watches {
            if let Some(live) = watch.live_query {
                state.unwatch(live, self.id, query);
            }
        }
    }
}
