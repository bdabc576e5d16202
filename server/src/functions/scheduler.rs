//! Scheduling as functions meet it: from a mutation as a part of its transaction, from an action at once.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use vestibule_schema::convert::to_value;
use vestibule_schema::id::DocumentId;
use vestibule_schema::path::{ComponentPath, FunctionPath};
use vestibule_schema::value::Value;

use super::Functions;
use super::console::Console;
use super::error::{Error, Result};
use super::scheduled::{self, Cancellation, ToSchedule};
use crate::database::Transaction;

/// Schedules functions from a mutation, as part of the mutation's transaction: the schedule takes effect if that
/// commits.
///
/// ```
/// use std::time::Duration;
/// use vestibule_server::prelude::*;
///
/// fn sign_up(ctx: &mut MutationCtx, name: String) -> Result<DocumentId> {
///     // The mail goes out if this mutation commits, and then exactly once.
///     ctx.scheduler().run_after(Duration::from_secs(60), "mails:welcome", object! { "name" => name })
/// }
/// ```
pub struct Scheduler<'t, 'v> {
    pub(super) tx: &'t mut Transaction<'v>,
    pub(super) console: &'t mut Console,
    pub(super) by: Option<DocumentId>,
}

impl Scheduler<'_, '_> {
    /// Runs a mutation or an action once, after `delay`. Returns the id of its document in `_scheduled_functions`.
    pub fn run_after(
        &mut self,
        delay: Duration,
        path: &str,
        args: impl Serialize,
    ) -> Result<DocumentId> {
        let now_seconds = scheduled::milliseconds(self.tx.now()) / 1_000.0;
        self.run_at_seconds(now_seconds + delay.as_secs_f64(), path, args)
    }

    /// Runs a mutation or an action once, at a moment in milliseconds since the epoch; one that has passed means as
    /// soon as possible.
    pub fn run_at(&mut self, at_ms: f64, path: &str, args: impl Serialize) -> Result<DocumentId> {
        self.run_at_seconds(at_ms / 1_000.0, path, args)
    }

    fn run_at_seconds(
        &mut self,
        at_seconds: f64,
        path: &str,
        args: impl Serialize,
    ) -> Result<DocumentId> {
        let (path, args) = read_call(path, args)?;
        let by = self.by;
        let job = ToSchedule {
            path,
            args: vec![args],
            at_seconds,
            by,
            owner: ComponentPath::ROOT,
        };
        Ok(scheduled::schedule(self.tx, job)?)
    }

    /// Cancels a scheduled function. One that waits will not run. An action that has started goes on, but what it
    /// schedules from now on will not run. One that has ended stays as it is.
    pub fn cancel(&mut self, id: DocumentId) -> Result<()> {
        let canceled = scheduled::cancel(self.tx, id, self.by, &ComponentPath::ROOT)?;
        if canceled == Cancellation::Itself {
            self.console.warn(scheduled::CANCELS_ITSELF);
        }
        Ok(())
    }
}

/// Schedules functions from an action, each at once and for good: they stay scheduled if the action fails later.
#[derive(Clone)]
pub struct ActionScheduler {
    pub(super) functions: Arc<Functions>,
    /// The scheduled function that runs.
    pub(super) by: Option<DocumentId>,
    /// The component whose action runs.
    pub(super) owner: ComponentPath,
}

impl ActionScheduler {
    /// Runs a mutation or an action once, after `delay`. Returns the id of its document in `_scheduled_functions`.
    pub async fn run_after(
        &self,
        delay: Duration,
        path: &str,
        args: impl Serialize,
    ) -> Result<DocumentId> {
        let (path, args) = read_call(path, args)?;
        let now_seconds = scheduled::milliseconds(self.functions.database.clock().now()) / 1_000.0;
        self.schedule(path, vec![args], now_seconds + delay.as_secs_f64())
            .await
    }

    /// Runs a mutation or an action once, at a moment in milliseconds since the epoch; one that has passed means as
    /// soon as possible.
    pub async fn run_at(&self, at_ms: f64, path: &str, args: impl Serialize) -> Result<DocumentId> {
        let (path, args) = read_call(path, args)?;
        self.schedule(path, vec![args], at_ms / 1_000.0).await
    }

    /// Cancels a scheduled function, as [`Scheduler::cancel`] does.
    pub async fn cancel(&self, id: DocumentId) -> Result<()> {
        let (by, owner) = (self.by, self.owner.clone());
        let canceled = self
            .functions
            .transact(move |tx| Ok(scheduled::cancel(tx, id, by, &owner)?))
            .await;
        canceled.map_err(Error::new)??;
        Ok(())
    }

    /// Schedules for a component's action.
    #[cfg(feature = "typescript")]
    pub(super) fn of_component(self, owner: ComponentPath) -> ActionScheduler {
        ActionScheduler { owner, ..self }
    }

    /// Schedules a function in a transaction of its own.
    pub(super) async fn schedule(
        &self,
        path: FunctionPath,
        args: Vec<Value>,
        at_seconds: f64,
    ) -> Result<DocumentId> {
        let job = ToSchedule {
            path,
            args,
            at_seconds,
            by: self.by,
            owner: self.owner.clone(),
        };
        let scheduled = self
            .functions
            .transact(move |tx| Ok(scheduled::schedule(tx, job.clone())?))
            .await;
        scheduled.map_err(Error::new)?
    }
}

fn read_call(path: &str, args: impl Serialize) -> Result<(FunctionPath, Value)> {
    let path = path
        .parse()
        .map_err(|_| Error::new(format!("`{path}` is not a function path")))?;
    let args = match to_value(&args)? {
        Value::Null => Value::Object(Default::default()),
        args => args,
    };
    Ok((path, args))
}
