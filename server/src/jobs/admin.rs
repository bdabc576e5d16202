//! An administrator's work on scheduled functions: canceling one or many, and clearing the table. Each in steps that
//! hold the lane for a moment only.

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error as ThisError;
use vestibule_schema::id::DocumentId;
use vestibule_schema::path::{ComponentPath, FunctionPath};

use super::BY_STATE_AND_TIME;
use super::scheduled::STEP_DOCUMENTS_MAX;
use super::waiting::PENDING;
use crate::database::{
    BY_CREATION_TIME, Bound, BoundKind, CREATION_TIME, DatabaseError, Query, RawDocument, Source,
    StateEntry, StateIndex, Transaction,
};
use crate::functions::scheduled::{
    JobState, OWNER, SCHEDULED_FUNCTIONS, ScheduledFunction, cancel, component_in, set_state,
};
use crate::functions::{Error, Functions, SystemError};

/// Which scheduled functions to cancel.
#[derive(Clone, Debug, Default)]
pub struct CancelAll {
    /// Only those that this component scheduled.
    pub component: ComponentPath,
    /// Only those of this function.
    pub path: Option<FunctionPath>,
    /// Only those due at this moment or later, in milliseconds since the epoch.
    pub from_ms: Option<f64>,
    /// Only those due before this moment.
    pub until_ms: Option<f64>,
}

/// An administrator's request was not done, or only in part.
#[derive(Debug, ThisError)]
pub enum JobsAdminError {
    /// It cannot be done.
    #[error("{0}")]
    Refused(Error),
    /// The server is in trouble; some of it may be done.
    #[error(transparent)]
    System(#[from] SystemError),
}

/// An administrator's hand on scheduled functions.
pub struct JobsAdmin {
    functions: Arc<Functions>,
}

impl JobsAdmin {
    /// Over the functions of a deployment.
    pub fn new(functions: Arc<Functions>) -> JobsAdmin {
        JobsAdmin { functions }
    }

    /// Cancels one scheduled function, as a function would.
    pub async fn cancel_job(&self, id: DocumentId) -> Result<(), JobsAdminError> {
        let canceled = self.functions.transact(move |tx| {
            let owner = ScheduledFunction::find(tx, id)?.map(|job| job.owner);
            Ok(cancel(tx, id, None, &owner.unwrap_or_default())?)
        });
        canceled.await?.map_err(JobsAdminError::Refused)?;
        Ok(())
    }

    /// Cancels every waiting scheduled function that `which` selects. Returns how many.
    pub async fn cancel_all(&self, which: CancelAll) -> Result<usize, JobsAdminError> {
        let mut after: Option<Bytes> = None;
        let mut canceled = 0;
        loop {
            let (which, from) = (which.clone(), after.clone());
            let step = self
                .functions
                .transact(move |tx| Ok(cancel_some(tx, &which, from.as_ref())?));
            let step = step.await?.map_err(JobsAdminError::Refused)?;
            canceled += step.canceled;
            match step.last {
                Some(last) => after = Some(last),
                None => return Ok(canceled),
            }
        }
    }

    /// Cancels every waiting scheduled function that a component scheduled, then forgets them. A running function goes on.
    pub async fn clear(&self, component: ComponentPath) -> Result<(), JobsAdminError> {
        self.clear_of(move |owner| *owner == component).await
    }

    /// The same of a component and of all components in it.
    pub async fn clear_within(&self, component: ComponentPath) -> Result<(), JobsAdminError> {
        self.clear_of(move |owner| owner.is_within(&component))
            .await
    }

    /// Walks the whole table, until it meets none of them any more: those that wait are canceled first.
    async fn clear_of(
        &self,
        is_meant: impl Fn(&ComponentPath) -> bool + Send + Sync + 'static,
    ) -> Result<(), JobsAdminError> {
        let is_meant = Arc::new(is_meant);
        loop {
            let (mut after, mut met) = (None, 0);
            loop {
                let is_meant = is_meant.clone();
                let step = self
                    .functions
                    .transact(move |tx| Ok(tx.uncharged(|tx| clear_some(tx, after, &*is_meant))?));
                let step = step.await?.map_err(JobsAdminError::Refused)?;
                met += step.met;
                match step.last {
                    Some(last) => after = Some(last),
                    None => break,
                }
            }
            if met == 0 {
                return Ok(());
            }
        }
    }
}

/// A part of a walk over the table.
struct Cleared {
    /// Documents that were meant.
    met: usize,
    /// The creation time of the last document; `None` at the end.
    last: Option<f64>,
}

fn clear_some(
    tx: &mut Transaction<'_>,
    after: Option<f64>,
    is_meant: &impl Fn(&ComponentPath) -> bool,
) -> Result<Cleared, DatabaseError> {
    let behind = after.map(|after| Bound {
        kind: BoundKind::Gt,
        field: CREATION_TIME.into(),
        value: Some(after.into()),
    });
    let query = Query {
        source: Source::IndexRange {
            index: BY_CREATION_TIME.into(),
            bounds: behind.into_iter().collect(),
        },
        ..Query::table(SCHEDULED_FUNCTIONS)
    };
    let some = tx.take(&query, STEP_DOCUMENTS_MAX)?;
    let last = some.last().filter(|_| some.len() == STEP_DOCUMENTS_MAX);
    let last = last.and_then(|last| last.fields.get(CREATION_TIME)?.as_f64());
    let mut met = 0;
    for document in some {
        if component_in(&document.fields, OWNER).is_some_and(|owner| is_meant(&owner)) {
            met += 1;
            clear_one(tx, document)?;
        }
    }
    Ok(Cleared { met, last })
}

/// Cancels a document that waits, and removes any other.
fn clear_one(tx: &mut Transaction<'_>, document: RawDocument) -> Result<(), DatabaseError> {
    let id = document.id;
    let job = ScheduledFunction::read(document);
    match job.is_some_and(|job| job.state == JobState::Pending) {
        true => set_state(tx, id, &JobState::Canceled),
        false => tx.delete(id),
    }
}

struct Step {
    canceled: usize,
    /// Where to go on; `None` at the end.
    last: Option<Bytes>,
}

fn cancel_some(
    tx: &mut Transaction<'_>,
    which: &CancelAll,
    after: Option<&Bytes>,
) -> Result<Step, DatabaseError> {
    let catalog = tx.catalog();
    let Some(index) = StateIndex::find(&catalog, SCHEDULED_FUNCTIONS, BY_STATE_AND_TIME) else {
        return Ok(Step {
            canceled: 0,
            last: None,
        });
    };
    let entries = index.entries(tx, PENDING, after, STEP_DOCUMENTS_MAX)?;
    let mut canceled = 0;
    for entry in &entries {
        if which.is_past(entry) {
            return Ok(Step {
                canceled,
                last: None,
            });
        }
        if which.speaks_of(tx, entry)? {
            set_state(tx, entry.id, &JobState::Canceled)?;
            canceled += 1;
        }
    }
    let is_end = entries.len() < STEP_DOCUMENTS_MAX;
    let last = entries.last().filter(|_| !is_end);
    Ok(Step {
        canceled,
        last: last.map(|last| last.key.clone()),
    })
}

impl CancelAll {
    fn is_past(&self, entry: &StateEntry) -> bool {
        match (self.until_ms, entry.number()) {
            (Some(until_ms), Some(at_ms)) => at_ms >= until_ms,
            _ => false,
        }
    }

    fn speaks_of(
        &self,
        tx: &mut Transaction<'_>,
        entry: &StateEntry,
    ) -> Result<bool, DatabaseError> {
        let at_ms = entry.number().unwrap_or_default();
        if self.from_ms.is_some_and(|from_ms| at_ms < from_ms) {
            return Ok(false);
        }
        let job = ScheduledFunction::find(tx, entry.id)?;
        Ok(job.is_some_and(|job| {
            let is_its = job.owner == self.component;
            is_its && self.path.as_ref().is_none_or(|path| job.path == *path)
        }))
    }
}
