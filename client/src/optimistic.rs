//! Optimistic updates: the results that a program shows while a mutation is on its way.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_schema::wire::QueryId;
use vestibule_schema::{FunctionPath, Object, Value, from_value, to_value};

use crate::args::to_args;
use crate::session::{Outcome, Queries};

/// The results a client shows, open to an optimistic update. The client shows an update's writes until the mutation's
/// own effect replaces them in one step. If the mutation fails, the writes are taken back. An update runs again
/// whenever the server's results change while its mutation is on its way, so it must do nothing else.
///
/// ```no_run
/// # async fn run(client: vestibule_client::Client<vestibule_client::Provisioned>)
/// # -> Result<(), vestibule_client::CallError> {
/// use vestibule_client::{Value, object};
///
/// let channel = object! { "channel" => "general" };
/// client
///     .mutation::<Value>("messages:send", object! { "channel" => "general", "body" => "hello" })
///     .optimistic(move |store| {
///         store.update("messages:list", &channel, |messages: &mut Vec<Value>| {
///             messages.insert(0, object! { "body" => "hello" }.into());
///         });
///     })
///     .await?;
/// # Ok(())
/// # }
/// ```
pub struct LocalStore<'s> {
    queries: &'s Queries,
    overlay: &'s mut BTreeMap<QueryId, Arc<Outcome>>,
}

impl<'s> LocalStore<'s> {
    pub(crate) fn new(
        queries: &'s Queries,
        overlay: &'s mut BTreeMap<QueryId, Arc<Outcome>>,
    ) -> LocalStore<'s> {
        LocalStore { queries, overlay }
    }

    fn ids(&self, path: &str, args: &impl Serialize) -> Vec<QueryId> {
        let (Ok(path), Ok(args)) = (path.parse::<FunctionPath>(), to_args(args)) else {
            return Vec::new();
        };
        self.queries
            .of_path(&path)
            .filter(|(_, theirs)| **theirs == args)
            .map(|(id, _)| id)
            .collect()
    }

    fn value(&self, id: QueryId) -> Option<&Value> {
        let outcome = self.overlay.get(&id).or_else(|| self.queries.server(id))?;
        outcome.as_ref().as_ref().ok()
    }

    /// The result of a query that is watched, or nothing: it is not watched, has no result yet, threw, or is no `T`.
    pub fn get<T: DeserializeOwned>(&self, path: &str, args: &impl Serialize) -> Option<T> {
        let id = *self.ids(path, args).first()?;
        from_value(self.value(id)?.clone()).ok()
    }

    /// Every watched query of a function that has a result, with its arguments.
    pub fn all(&self, path: &str) -> Vec<(Object, Value)> {
        let Ok(path) = path.parse::<FunctionPath>() else {
            return Vec::new();
        };
        self.queries
            .of_path(&path)
            .filter_map(|(id, args)| Some((args.clone(), self.value(id)?.clone())))
            .collect()
    }

    /// Shows `result` for a query. Does nothing for a query that is not watched, and for a `result` that is not a
    /// value.
    pub fn set<T: Serialize>(&mut self, path: &str, args: &impl Serialize, result: &T) {
        let Ok(value) = to_value(result) else {
            return;
        };
        for id in self.ids(path, args) {
            self.overlay.insert(id, Arc::new(Ok(value.clone())));
        }
    }

    /// Changes the result of a query in place, if [`LocalStore::get`] gives one.
    pub fn update<T: Serialize + DeserializeOwned>(
        &mut self,
        path: &str,
        args: &impl Serialize,
        change: impl FnOnce(&mut T),
    ) {
        if let Some(mut result) = self.get::<T>(path, args) {
            change(&mut result);
            self.set(path, args, &result);
        }
    }
}

/// An optimistic update that can be applied again and again.
#[derive(Clone)]
pub(crate) struct Update(Arc<dyn Fn(&mut LocalStore<'_>) + Send + Sync>);

/// An optimistic update panicked.
#[derive(Debug)]
pub(crate) struct Panicked;

impl Update {
    pub fn new(update: impl Fn(&mut LocalStore<'_>) + Send + Sync + 'static) -> Update {
        Update(Arc::new(update))
    }

    /// Applies it. A panic must not take the client with it; what it wrote until then is thrown away by the caller.
    pub fn apply(&self, store: &mut LocalStore<'_>) -> Result<(), Panicked> {
        catch_unwind(AssertUnwindSafe(|| (self.0)(store))).map_err(|_| Panicked)
    }
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Update")
    }
}
