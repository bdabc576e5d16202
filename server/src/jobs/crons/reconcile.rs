//! Bringing the crons that are stored in line with those that a deployment declares, without losing or doubling a run.

use std::collections::BTreeMap;

use thiserror::Error;
use vestibule_schema::path::{ComponentPath, FunctionPath};
use vestibule_schema::value::Value;

use super::stored::{CRONS, CronJob, CronOwner, CronState, declared_fields};
use super::{now_ms, runs};
use crate::database::{DatabaseError, Patch, Query, Transaction};
use crate::deployment::Cron;
use crate::jobs::next_run::{first_run, next_run};

/// A run at most this many milliseconds ahead keeps its time when its schedule changes.
const NEAR_MS: u64 = 30_000;

/// The changed crons, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CronChanges {
    /// Crons that were not there before.
    pub added: Vec<String>,
    /// Crons of which something else is declared now.
    pub updated: Vec<String>,
    /// Crons that are gone.
    pub deleted: Vec<String>,
}

/// Crons that cannot be brought in line.
#[derive(Debug, Error)]
pub enum CronRefused {
    #[error("The cron {0:?} is declared twice, by the program and by what was pushed. Rename one.")]
    TwoOwners(String),
    #[error("The cron {0:?} will never run: its schedule names no moment.")]
    Never(String),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Makes the crons of `owner` those that are declared, as writes of `tx`: they change with its commit.
pub fn reconcile(
    tx: &mut Transaction<'_>,
    owner: CronOwner,
    declared: &[Cron],
) -> Result<CronChanges, CronRefused> {
    let mut stored = stored_crons(tx)?;
    let mut changes = CronChanges::default();
    for cron in declared {
        match stored.remove(&key(&cron.function, &cron.name)) {
            Some(known) if known.owner != owner => {
                return Err(CronRefused::TwoOwners(cron.name.clone()));
            }
            Some(known) => {
                if update(tx, owner, &known, cron)? {
                    changes.updated.push(cron.name.clone());
                }
            }
            None => {
                add(tx, owner, cron)?;
                changes.added.push(cron.name.clone());
            }
        }
    }
    for gone in stored.into_values() {
        if gone.owner == owner {
            tx.uncharged(|tx| {
                tx.delete(gone.id)?;
                runs::forget(tx, &gone, 0)
            })?;
            changes.deleted.push(gone.name);
        }
    }
    Ok(changes)
}

/// Brings back crons whose next run lies further ahead than the run after the next: they ran while the clock was ahead.
/// Returns how many.
pub fn bring_back(tx: &mut Transaction<'_>) -> Result<usize, DatabaseError> {
    let now_ms = now_ms(tx);
    let mut brought_back = 0;
    for cron in stored_crons(tx)?.into_values() {
        let behind = |ms: u64| next_run(&cron.schedule, ms, ms).map(|next| next.at_ms);
        let Some((next, after_next)) = behind(now_ms).and_then(|next| Some((next, behind(next)?)))
        else {
            continue;
        };
        // One more run of room: a clock that is set back by seconds repeats no run.
        if cron.state == CronState::Pending && cron.next_ms > after_next {
            let patch = Patch::default().set("nextRun", next as f64);
            tx.uncharged(|tx| tx.patch(cron.id, patch))?;
            brought_back += 1;
        }
    }
    Ok(brought_back)
}

/// The component of a cron, and its name there.
type Key = (ComponentPath, String);

fn key(function: &FunctionPath, name: &str) -> Key {
    (function.component().clone(), name.to_owned())
}

fn stored_crons(tx: &mut Transaction<'_>) -> Result<BTreeMap<Key, CronJob>, DatabaseError> {
    let documents = tx.uncharged(|tx| tx.collect(&Query::table(CRONS)))?;
    let crons = documents.into_iter().filter_map(CronJob::read);
    Ok(crons
        .map(|cron| (key(&cron.function, &cron.name), cron))
        .collect())
}

fn add(tx: &mut Transaction<'_>, owner: CronOwner, cron: &Cron) -> Result<(), CronRefused> {
    let first = first_run(&cron.schedule, now_ms(tx));
    let first = first.ok_or_else(|| CronRefused::Never(cron.name.clone()))?;
    let mut fields = declared_fields(cron, owner);
    fields.insert("state".to_string(), CronState::Pending.to_value());
    fields.insert("nextRun".to_string(), Value::Float64(first as f64));
    tx.uncharged(|tx| tx.insert(CRONS, fields))?;
    Ok(())
}

/// Says whether anything changed.
fn update(
    tx: &mut Transaction<'_>,
    owner: CronOwner,
    known: &CronJob,
    cron: &Cron,
) -> Result<bool, CronRefused> {
    let is_moved = known.schedule != cron.schedule;
    if !is_moved && known.function == cron.function && known.args == cron.args {
        return Ok(false);
    }
    let mut patch = Patch::from(declared_fields(cron, owner));
    // A run that is under way writes the next moment when it ends, by the new schedule.
    if is_moved && known.state == CronState::Pending {
        let next = moved_run(known, cron, now_ms(tx));
        let next = next.ok_or_else(|| CronRefused::Never(cron.name.clone()))?;
        patch = patch.set("nextRun", next as f64);
    }
    tx.uncharged(|tx| tx.patch(known.id, patch))?;
    Ok(true)
}

/// The next run of a cron whose schedule has changed: the one that is due or near, else the next by the new schedule.
fn moved_run(known: &CronJob, cron: &Cron, now_ms: u64) -> Option<u64> {
    if known.next_ms <= now_ms + NEAR_MS {
        return Some(known.next_ms);
    }
    // A last run of the future was one by a clock that has been set back since.
    match known.last_ms.filter(|last_ms| *last_ms <= now_ms) {
        Some(last_ms) => next_run(&cron.schedule, last_ms, now_ms).map(|next| next.at_ms),
        None => first_run(&cron.schedule, now_ms),
    }
}
