//! The functions room: what a team's queries, mutations and actions are, and how one call of them runs.

mod action;
mod console;
mod context;
mod error;
mod function;
mod http_action;
mod http_routes;
pub mod js;
mod registry;
mod runner;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

pub use action::{ActionCtx, ActionRun};
pub use console::Console;
pub use context::{MutationCtx, QueryCtx};
pub use error::{Error, Result, SystemError, Thrown};
pub use function::{
    ActionBody, Body, BoxFuture, Function, FunctionKind, MutationBody, QueryBody, Visibility,
};
pub use http_action::{
    HTTP_RESPONSE_BYTES_MAX, HttpActionCtx, HttpAsker, HttpRequest, HttpResponse,
};
pub use http_routes::{HttpActionBody, HttpRoute, HttpRoutes, RegisteredRoute, RouteFound};
pub use registry::{READ_ONLY_CODE, Registered, Registry, RegistryError, Runs};
pub use runner::{Call, FunctionOutcome, MutationRun, OnFinish, Origin, QueryOutcome, QueryRun};

use crate::database::{Database, SessionRequest, SubmitError};
use crate::storage::{ReadView, Store};

/// Runs functions against a database.
pub struct Functions {
    registry: Registry,
    database: Arc<Database>,
}

impl Functions {
    /// A runner of `registry`'s functions.
    pub fn new(registry: Registry, database: Arc<Database>) -> Arc<Functions> {
        Arc::new(Functions { registry, database })
    }

    /// The functions.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The database they run on.
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Runs a query on a given snapshot. `journal` is where its page ended when it ran before.
    pub fn query_on(
        &self,
        view: &dyn ReadView,
        call: &Call,
        journal: Option<String>,
    ) -> Result<QueryRun, SystemError> {
        runner::run_query(
            &self.registry,
            self.database.environment(),
            view,
            call,
            journal,
        )
    }

    /// Runs a query at the newest commit.
    pub async fn query(
        self: &Arc<Self>,
        call: Call,
        journal: Option<String>,
    ) -> Result<QueryRun, SystemError> {
        let functions = self.clone();
        self.read(move |view| functions.query_on(view, &call, journal))
            .await
    }

    /// Runs a mutation on a given snapshot, where it cannot write. `None` when it would have to.
    pub fn mutate_without_writing_on(
        &self,
        view: &dyn ReadView,
        call: &Call,
    ) -> Result<Option<QueryRun>, SystemError> {
        runner::run_mutation_without_writing(
            &self.registry,
            self.database.environment(),
            view,
            call,
        )
    }

    /// Runs a mutation at the newest commit, where it cannot write. `None` when it would have to.
    pub async fn mutate_without_writing(
        self: &Arc<Self>,
        call: Call,
    ) -> Result<Option<QueryRun>, SystemError> {
        let functions = self.clone();
        self.read(move |view| functions.mutate_without_writing_on(view, &call))
            .await
    }

    /// Runs `job` on a reader thread, on a snapshot of the newest commit.
    pub async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&dyn ReadView) -> Result<T, SystemError> + Send + 'static,
    ) -> Result<T, SystemError> {
        self.database
            .readers()
            .run(move |store| on_snapshot(store, job))
            .await?
    }

    /// Queues a mutation. Mutations queued one after another by one caller run in that order; `on_finish` is called
    /// once the outcome is certain, on a thread that must not be kept.
    pub fn submit_mutation(
        self: &Arc<Self>,
        call: Call,
        session_request: Option<SessionRequest>,
        on_finish: OnFinish,
    ) -> Result<(), SystemError> {
        let mutation = runner::QueuedMutation::new(self.clone(), call, session_request, on_finish);
        self.database
            .committer()
            .submit(Box::new(mutation))
            .map_err(|error| match error {
                SubmitError::QueueFull(_) => SystemError::CommitterFull,
                SubmitError::Closed(_) => SystemError::ShuttingDown,
            })
    }

    /// Runs a mutation and waits until its outcome is certain.
    pub async fn mutate(self: &Arc<Self>, call: Call) -> Result<MutationRun, SystemError> {
        let (answer, answered) = oneshot::channel();
        // A caller that has gone does not hear the answer; the mutation runs all the same.
        let on_finish: OnFinish = Box::new(move |run| {
            drop(answer.send(run));
            None
        });
        self.submit_mutation(call, None, on_finish)?;
        answered.await.map_err(|_| SystemError::ShuttingDown)?
    }

    /// Runs an action to its end.
    pub async fn act(self: &Arc<Self>, call: Call) -> Result<ActionRun, SystemError> {
        Ok(action::run_action(self.clone(), call).await)
    }

    /// Runs an HTTP action to its end, or to the end of its time.
    pub async fn answer(
        self: &Arc<Self>,
        route: &RegisteredRoute,
        request: HttpRequest,
        asker: HttpAsker,
        time_max: Duration,
    ) -> Result<HttpResponse, Thrown> {
        http_action::run_http_action(self.clone(), route, request, asker, time_max).await
    }
}

fn on_snapshot<T>(
    store: &Store,
    job: impl FnOnce(&dyn ReadView) -> Result<T, SystemError>,
) -> Result<T, SystemError> {
    let snapshot = store
        .snapshot()
        .map_err(|error| SystemError::Storage(Arc::new(error)))?;
    job(&snapshot)
}
