//! A scheduled function's record of itself: as a part of the mutation that it is, or around the action.

use vestibule_schema::id::DocumentId;
use vestibule_schema::value::Value;

use crate::database::{DatabaseError, StateIndex, Transaction};
use crate::functions::scheduled::{JobState, ScheduledFunction, set_state};
use crate::functions::{Companion, Result};

/// The error of an action that was still running when the server ended.
pub const INTERRUPTED: &str = "Transient error while executing action";
/// Documents that one step of the server's own work looks at.
pub const STEP_DOCUMENTS_MAX: usize = 256;

/// The part of a scheduled mutation's transaction that makes it run exactly once.
pub struct ScheduledMutation(pub DocumentId);

impl Companion for ScheduledMutation {
    fn before(&self, tx: &mut Transaction<'_>) -> Result<bool, DatabaseError> {
        begin(tx, self.0)
    }

    fn after(
        &self,
        tx: &mut Transaction<'_>,
        _returned: &Value,
        _log_lines: &[String],
    ) -> Result<(), DatabaseError> {
        set_state(tx, self.0, &JobState::Success)
    }
}

/// Puts a waiting scheduled function in progress; returns whether it did.
pub fn begin(tx: &mut Transaction<'_>, id: DocumentId) -> Result<bool, DatabaseError> {
    let job = ScheduledFunction::find(tx, id)?;
    if job.is_none_or(|job| job.state != JobState::Pending) {
        return Ok(false);
    }
    set_state(tx, id, &JobState::InProgress)?;
    Ok(true)
}

/// Writes how a scheduled function ended. A function that was canceled meanwhile stays canceled.
pub fn end(
    tx: &mut Transaction<'_>,
    id: DocumentId,
    state: &JobState,
) -> Result<(), DatabaseError> {
    match ScheduledFunction::find(tx, id)? {
        Some(job) if !job.state.is_final() => set_state(tx, id, state),
        Some(_) | None => Ok(()),
    }
}

/// Fails actions that were in progress when the server ended, some at a time. Returns whether there may be more. For a
/// start: nothing is in progress then.
pub fn fail_interrupted(
    tx: &mut Transaction<'_>,
    index: &StateIndex,
) -> Result<bool, DatabaseError> {
    let in_progress = JobState::InProgress.kind();
    let entries = index.entries(tx, in_progress, None, STEP_DOCUMENTS_MAX)?;
    for entry in &entries {
        let failed = JobState::Failed(INTERRUPTED.to_string());
        set_state(tx, entry.id, &failed)?;
    }
    Ok(entries.len() == STEP_DOCUMENTS_MAX)
}
