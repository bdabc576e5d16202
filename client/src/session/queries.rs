//! The queries a client watches: one on the wire for all equal ones, and the shown result of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vestibule_schema::wire::{
    AddQuery, Args, Journal, PathText, QueryId, QuerySetModification, StateModification,
};
use vestibule_schema::{FunctionPath, Object, Value};

use super::{LoginId, Ticket};
use crate::error::FunctionError;
use crate::optimistic::{LocalStore, Update};

/// The result or the error of a query.
pub(crate) type Outcome = Result<Value, FunctionError>;
/// Queries that show something else now.
pub(crate) type Changes = Vec<(QueryId, Arc<Outcome>)>;

/// For whom a query is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    /// Any user: it needs none.
    Anyone,
    /// The user of one login, behind the gate.
    User(LoginId),
}

/// One distinct query.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QueryKey {
    pub scope: Scope,
    pub path: FunctionPath,
    pub args: Object,
}

struct Query {
    pub key: QueryKey,
    /// Handles that watch it.
    watchers: usize,
    /// One-shot queries that wait for a result of this connection.
    pub waiting: Vec<Ticket>,
    server: Option<Arc<Outcome>>,
    shown: Option<Arc<Outcome>>,
    journal: Option<Journal>,
    is_on_wire: bool,
    /// This connection has given its result.
    is_fresh: bool,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Queries {
    all: BTreeMap<QueryId, Query>,
    ids: BTreeMap<QueryKey, QueryId>,
    next: u32,
    unsent: BTreeSet<QueryId>,
    removed: BTreeSet<QueryId>,
    touched: BTreeSet<QueryId>,
    overlay: BTreeMap<QueryId, Arc<Outcome>>,
}

impl Queries {
    /// The query for `key`, which is watched once more.
    pub fn watch(&mut self, key: QueryKey) -> QueryId {
        let id = self.find_or_add(key);
        self.query(id).watchers += 1;
        id
    }

    /// Puts a one-shot query on the list for the first result that this connection gives.
    pub fn wait(&mut self, key: QueryKey, ticket: Ticket) -> QueryId {
        let id = self.find_or_add(key);
        self.query(id).waiting.push(ticket);
        id
    }

    fn find_or_add(&mut self, key: QueryKey) -> QueryId {
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        let id = QueryId(self.next);
        self.next += 1;
        self.ids.insert(key.clone(), id);
        let query = Query {
            key,
            watchers: 0,
            waiting: Vec::new(),
            server: None,
            shown: None,
            journal: None,
            is_on_wire: false,
            is_fresh: false,
        };
        self.all.insert(id, query);
        self.unsent.insert(id);
        id
    }

    fn query(&mut self, id: QueryId) -> &mut Query {
        self.all.get_mut(&id).expect("the query was just found")
    }

    /// One watcher less. The last one takes the query off the wire.
    pub fn unwatch(&mut self, id: QueryId) {
        if let Some(query) = self.all.get_mut(&id) {
            query.watchers = query.watchers.saturating_sub(1);
            self.drop_if_idle(id);
        }
    }

    fn drop_if_idle(&mut self, id: QueryId) {
        let is_idle = self
            .all
            .get(&id)
            .is_some_and(|query| query.watchers == 0 && query.waiting.is_empty());
        if is_idle {
            self.remove(id);
        }
    }

    pub fn remove(&mut self, id: QueryId) {
        let Some(query) = self.all.remove(&id) else {
            return;
        };
        self.ids.remove(&query.key);
        self.unsent.remove(&id);
        self.touched.remove(&id);
        self.overlay.remove(&id);
        if query.is_on_wire {
            self.removed.insert(id);
        }
    }

    /// The shown result of a query.
    pub fn shown(&self, id: QueryId) -> Option<Arc<Outcome>> {
        self.all.get(&id).and_then(|query| query.shown.clone())
    }

    /// The ids of all queries of one login.
    pub fn of_login(&self, login: LoginId) -> Vec<QueryId> {
        self.all
            .iter()
            .filter(|(_, query)| query.key.scope == Scope::User(login))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Whether the server runs a query of one login.
    pub fn is_on_wire(&self, login: LoginId) -> bool {
        self.all
            .values()
            .any(|query| query.key.scope == Scope::User(login) && query.is_on_wire)
    }

    /// The one-shot queries of one login that have no answer yet, taken off the list.
    pub fn take_waiting(&mut self, login: LoginId) -> Vec<Ticket> {
        let ids = self.of_login(login);
        let mut tickets = Vec::new();
        for id in ids {
            tickets.append(&mut self.query(id).waiting);
            self.drop_if_idle(id);
        }
        tickets
    }

    /// Forgets the results of one login's queries, which are watched on. Gives their ids.
    pub fn suspend(&mut self, login: LoginId) -> Vec<QueryId> {
        let ids = self.of_login(login);
        for id in &ids {
            let query = self.query(*id);
            query.server = None;
            query.shown = None;
            self.overlay.remove(id);
        }
        ids
    }

    /// Answers one-shot queries whose query this connection has already given a result of.
    pub fn answer_fresh(&mut self, id: QueryId) -> Vec<(Ticket, Arc<Outcome>)> {
        let Some(query) = self.all.get_mut(&id).filter(|query| query.is_fresh) else {
            return Vec::new();
        };
        let Some(outcome) = query.shown.clone() else {
            return Vec::new();
        };
        let waiting = std::mem::take(&mut query.waiting);
        self.drop_if_idle(id);
        waiting
            .into_iter()
            .map(|ticket| (ticket, outcome.clone()))
            .collect()
    }

    /// The changes that bring the wire in line, for the queries that may be on it.
    pub fn modifications(&mut self, may_send: impl Fn(Scope) -> bool) -> Vec<QuerySetModification> {
        let mut modifications: Vec<QuerySetModification> = std::mem::take(&mut self.removed)
            .into_iter()
            .map(|query_id| QuerySetModification::Remove { query_id })
            .collect();
        let ready: Vec<QueryId> = self
            .unsent
            .iter()
            .filter(|id| may_send(self.all[*id].key.scope))
            .copied()
            .collect();
        for id in ready {
            self.unsent.remove(&id);
            let query = self.query(id);
            query.is_on_wire = true;
            modifications.push(QuerySetModification::Add(AddQuery {
                query_id: id,
                path: PathText::Valid(query.key.path.clone()),
                args: Args::Ok(vec![Value::Object(query.key.args.clone())]),
                journal: query.journal.clone(),
                component_path: None,
            }));
        }
        modifications
    }

    /// The connection is gone: every query has to be asked for again. The shown results stay.
    pub fn disconnected(&mut self) {
        self.removed.clear();
        for (id, query) in &mut self.all {
            query.is_on_wire = false;
            query.is_fresh = false;
            self.unsent.insert(*id);
        }
    }

    /// Whether this connection has given a result of every query that is on the wire.
    pub fn are_fresh(&self) -> bool {
        self.all
            .values()
            .all(|query| query.is_fresh || !query.is_on_wire)
    }

    /// Takes in a Transition's result of one query. Returns the query if it is its first result of this connection.
    pub fn apply(&mut self, modification: StateModification) -> Option<QueryId> {
        let (id, outcome, journal) = match modification {
            StateModification::QueryUpdated {
                query_id,
                value,
                journal,
                ..
            } => (query_id, Ok(value), journal),
            StateModification::QueryFailed {
                query_id,
                error_message,
                journal,
                error_data,
                ..
            } => {
                let error = FunctionError {
                    message: error_message,
                    data: error_data,
                };
                (query_id, Err(error), journal)
            }
            StateModification::QueryRemoved { .. } => return None,
        };
        // One that is no longer watched may still be mentioned.
        let query = self.all.get_mut(&id).filter(|query| query.is_on_wire)?;
        query.server = Some(Arc::new(outcome));
        query.journal = Some(journal);
        query.is_fresh = true;
        self.touched.insert(id);
        Some(id)
    }

    /// Shows the server's results with `updates` on top, and says what has changed.
    pub fn show<'u>(&mut self, updates: impl Iterator<Item = &'u Update>) -> Changes {
        let mut overlay = BTreeMap::new();
        for update in updates {
            let mut layer = overlay.clone();
            let applied = update.apply(&mut LocalStore::new(self, &mut layer));
            if applied.is_ok() {
                overlay = layer;
            }
        }
        let mut affected = std::mem::take(&mut self.touched);
        affected.extend(self.overlay.keys());
        affected.extend(overlay.keys());
        self.overlay = overlay;
        let mut changes = Vec::new();
        for id in affected {
            let Some(query) = self.all.get_mut(&id) else {
                continue;
            };
            let now = self.overlay.get(&id).or(query.server.as_ref()).cloned();
            if now != query.shown {
                query.shown = now.clone();
                changes.extend(now.map(|outcome| (id, outcome)));
            }
        }
        changes
    }

    /// The queries of a function, with the ids under which they are shown.
    pub fn of_path(&self, path: &FunctionPath) -> impl Iterator<Item = (QueryId, &Object)> {
        self.all
            .iter()
            .filter(move |(_, query)| query.key.path == *path)
            .map(|(id, query)| (*id, &query.key.args))
    }

    /// The server's result of a query.
    pub fn server(&self, id: QueryId) -> Option<&Arc<Outcome>> {
        self.all.get(&id).and_then(|query| query.server.as_ref())
    }

    /// Forgets everything, for the end of the client.
    pub fn take_all(&mut self) -> Vec<(QueryId, Vec<Ticket>)> {
        let all = std::mem::take(&mut self.all);
        *self = Queries {
            next: self.next,
            ..Queries::default()
        };
        all.into_iter()
            .map(|(id, query)| (id, query.waiting))
            .collect()
    }
}
