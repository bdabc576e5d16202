//! Crons: their documents, what a run writes about itself, and how a deployment's changes reach them.
//!
//! A cron's document says when it runs next. The run of that moment writes the next one in its own transaction, so each
//! moment has one run. A run that is under way keeps the next one from beginning.

mod reconcile;
mod runs;
mod stored;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vestibule_schema::id::DocumentId;
use vestibule_schema::value::Value;

#[cfg(test)]
pub use reconcile::CronChanges;
pub use reconcile::{CronRefused, bring_back, reconcile};
#[cfg(test)]
pub use runs::CRON_RUNS_KEPT;
pub use runs::{CRON_RUNS, CronStatus};
pub use stored::{CRONS, CronJob, CronOwner};

use self::stored::CronState;
use super::next_run::next_run;
use super::scheduled::{INTERRUPTED, STEP_DOCUMENTS_MAX};
use crate::clock::Clock;
use crate::database::{DatabaseError, Patch, StateIndex, Transaction};
use crate::functions::{Companion, Result};

/// One run of a cron: the cron, and the moment that the run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The cron's document.
    pub id: DocumentId,
    /// The moment, in milliseconds since the epoch.
    pub at_ms: u64,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct CronEnd {
    /// Its result or error.
    pub status: CronStatus,
    /// Its log lines.
    pub log_lines: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// The part of a cron mutation's transaction that makes it run once for each moment.
pub struct CronMutation {
    occurrence: Occurrence,
    clock: Arc<dyn Clock>,
    began: Mutex<Duration>,
    skipped: Mutex<Option<SkippedRuns>>,
}

/// Runs of a cron that are left out because their moments have passed: a sentence for its developer.
pub type SkippedRuns = String;

impl CronMutation {
    /// For one run.
    pub fn new(occurrence: Occurrence, clock: Arc<dyn Clock>) -> CronMutation {
        CronMutation {
            occurrence,
            clock,
            began: Mutex::default(),
            skipped: Mutex::default(),
        }
    }

    /// The runs that the newest attempt leaves out after its own.
    pub fn take_skipped(&self) -> Option<SkippedRuns> {
        self.skipped.lock().take()
    }
}

impl Companion for CronMutation {
    fn before(&self, tx: &mut Transaction<'_>) -> Result<bool, DatabaseError> {
        *self.began.lock() = self.clock.elapsed();
        Ok(self.occurrence.find_pending(tx)?.is_some())
    }

    fn after(
        &self,
        tx: &mut Transaction<'_>,
        returned: &Value,
        log_lines: &[String],
    ) -> Result<(), DatabaseError> {
        let took = self.clock.elapsed().saturating_sub(*self.began.lock());
        let end = CronEnd {
            status: CronStatus::Success(returned.clone()),
            log_lines: log_lines.to_vec(),
            took,
        };
        *self.skipped.lock() = self.occurrence.end(tx, &end)?;
        Ok(())
    }
}

impl Occurrence {
    fn find(self, tx: &mut Transaction<'_>) -> Result<Option<CronJob>, DatabaseError> {
        let cron = CronJob::find(tx, self.id)?;
        Ok(cron.filter(|cron| cron.next_ms == self.at_ms))
    }

    fn find_pending(self, tx: &mut Transaction<'_>) -> Result<Option<CronJob>, DatabaseError> {
        let cron = self.find(tx)?;
        Ok(cron.filter(|cron| cron.state == CronState::Pending))
    }

    /// Puts the cron in progress, if its next run is still this one; returns whether it did.
    pub fn begin(self, tx: &mut Transaction<'_>) -> Result<bool, DatabaseError> {
        let Some(cron) = self.find_pending(tx)? else {
            return Ok(false);
        };
        let patch = Patch::default().set("state", CronState::InProgress.to_value());
        tx.uncharged(|tx| tx.patch(cron.id, patch))?;
        Ok(true)
    }

    /// Writes how the run ended, and when the next one is. Gives the runs in between that are left out.
    pub fn end(
        self,
        tx: &mut Transaction<'_>,
        end: &CronEnd,
    ) -> Result<Option<SkippedRuns>, DatabaseError> {
        let Some(cron) = self.find(tx)? else {
            return Ok(None);
        };
        runs::record(tx, &cron, end)?;
        self.go_on(tx, &cron, Some(self.at_ms))
    }

    /// Leaves the run out: the deployment is paused.
    pub fn skip(self, tx: &mut Transaction<'_>) -> Result<(), DatabaseError> {
        match self.find_pending(tx)? {
            Some(cron) => self.go_on(tx, &cron, cron.last_ms).map(drop),
            None => Ok(()),
        }
    }

    fn go_on(
        self,
        tx: &mut Transaction<'_>,
        cron: &CronJob,
        last_ms: Option<u64>,
    ) -> Result<Option<SkippedRuns>, DatabaseError> {
        let now_ms = now_ms(tx);
        let next = next_run(&cron.schedule, self.at_ms, now_ms);
        let skipped = next.filter(|next| next.skipped > 0).map(|next| {
            format!(
                "Skipping {} run(s) of {:?} because multiple scheduled runs are in the past",
                next.skipped, cron.name
            )
        });
        if let Some(skipped) = &skipped {
            tracing::warn!(cron = %cron.id, "{skipped}");
        }
        let next_ms = next.map_or(NEVER_MS, |next| next.at_ms);
        let mut patch = Patch::default()
            .set("state", CronState::Pending.to_value())
            .set("nextRun", next_ms as f64);
        if let Some(last_ms) = last_ms {
            patch = patch.set("lastRun", last_ms as f64);
        }
        tx.uncharged(|tx| tx.patch(cron.id, patch))?;
        Ok(skipped)
    }
}

/// A moment that never comes: the largest number of milliseconds that a document holds exactly.
const NEVER_MS: u64 = 1 << 53;

/// Ends the runs that were under way when the server ended, some at a time. Returns whether there may be more. For a
/// start: nothing is under way then.
pub fn fail_interrupted(
    tx: &mut Transaction<'_>,
    index: &StateIndex,
) -> Result<bool, DatabaseError> {
    let in_progress = CronState::InProgress.kind();
    let entries = index.entries(tx, in_progress, None, STEP_DOCUMENTS_MAX)?;
    for entry in &entries {
        let Some(cron) = CronJob::find(tx, entry.id)? else {
            continue;
        };
        let occurrence = Occurrence {
            id: cron.id,
            at_ms: cron.next_ms,
        };
        let end = CronEnd {
            status: CronStatus::Failed(INTERRUPTED.to_string()),
            log_lines: Vec::new(),
            took: Duration::ZERO,
        };
        occurrence.end(tx, &end)?;
    }
    Ok(entries.len() == STEP_DOCUMENTS_MAX)
}

fn now_ms(tx: &Transaction<'_>) -> u64 {
    tx.now().0 / 1_000_000
}
