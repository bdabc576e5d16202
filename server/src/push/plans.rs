//! Pushes that have been started and not finished: in memory, and not for long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::tables::Need;
use crate::database::component_of;
use crate::deployment::{Deployment, Manifest};

/// Pushes under way at the same time; the oldest goes when there are more.
pub const PLANS_MAX: usize = 16;
/// How long a push may take from its start to its end.
pub const PLAN_TIME_MAX: Duration = Duration::from_secs(3_600);

/// A push that has been started.
pub struct Plan {
    /// The manifest that it will store.
    pub manifest: Manifest,
    /// The deployment that it will make.
    pub deployment: Deployment,
    /// The push that was live when it was started.
    pub base: Option<String>,
    /// How far the tables are prepared for its schema.
    pub schema: watch::Sender<SchemaState>,
    /// On the clock's own count.
    started_at: Duration,
    /// Ends what prepares the tables.
    preparing: Mutex<Option<AbortHandle>>,
}

/// How far the tables are prepared for the schema of a push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SchemaState {
    /// No tool has asked for it yet.
    #[default]
    Waiting,
    InProgress(Progress),
    Complete,
    Failed(SchemaFailure),
    /// Another push prepares the tables for its own.
    Overwritten,
}

/// Counts of what is to be done and what is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The indexes that are filled, by the path of the component.
    pub indexes: BTreeMap<String, Indexes>,
    /// Whether every document that was there is known to fit.
    pub is_validated: bool,
}

/// Indexes of one component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indexes {
    pub complete: usize,
    pub total: usize,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress {
            indexes: BTreeMap::from([Default::default()]),
            is_validated: false,
        }
    }
}

impl Progress {
    /// That at the beginning, where `deployment` needs this much.
    pub fn of(deployment: &Deployment, needs: &[Need]) -> Progress {
        let parts = deployment.parts();
        let parts = parts.map(|(path, _)| (path.to_string(), Indexes::default()));
        let mut progress = Progress {
            indexes: parts.collect(),
            is_validated: false,
        };
        for need in needs {
            progress.of_table(&need.table).total += need.indexes.len();
        }
        progress
    }

    /// One more index of the table is filled.
    pub fn completed(&mut self, table: &str) {
        self.of_table(table).complete += 1;
    }

    fn of_table(&mut self, table: &str) -> &mut Indexes {
        let component = component_of(table).to_owned();
        self.indexes.entry(component).or_default()
    }
}

/// Why the tables cannot be what a schema says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaFailure {
    pub error: String,
    /// The stored name of the table.
    pub table: Option<String>,
}

/// All pushes under way.
#[derive(Default)]
pub struct Plans {
    plans: Mutex<Vec<Arc<Plan>>>,
}

impl Plan {
    /// A push that starts now.
    pub fn new(
        manifest: Manifest,
        deployment: Deployment,
        base: Option<String>,
        now: Duration,
    ) -> Plan {
        Plan {
            manifest,
            deployment,
            base,
            schema: watch::Sender::default(),
            started_at: now,
            preparing: Mutex::default(),
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.manifest.push_id
    }

    /// Marks its preparation as begun; false when it was before.
    pub fn begin(&self) -> bool {
        self.schema.send_if_modified(|state| {
            let is_waiting = *state == SchemaState::Waiting;
            if is_waiting {
                *state = SchemaState::InProgress(Progress::default());
            }
            is_waiting
        })
    }

    /// Its preparation has come this far, unless it was ended from outside.
    pub fn become_state(&self, next: SchemaState) {
        self.schema.send_if_modified(|state| {
            let is_open = matches!(state, SchemaState::InProgress(_));
            if is_open {
                *state = next;
            }
            is_open
        });
    }

    /// Keeps what ends its preparation.
    pub fn prepared_by(&self, task: AbortHandle) {
        *self.preparing.lock() = Some(task);
    }

    /// Ends its preparation, unless that has ended.
    pub fn overwrite(&self) {
        if let Some(task) = self.preparing.lock().take() {
            task.abort();
        }
        self.schema.send_if_modified(|state| {
            let is_open = matches!(state, SchemaState::InProgress(_) | SchemaState::Complete);
            if is_open {
                *state = SchemaState::Overwritten;
            }
            is_open
        });
    }
}

impl Plans {
    /// Adds a push that has just been started.
    pub fn add(&self, plan: Plan) -> Arc<Plan> {
        let plan = Arc::new(plan);
        let mut plans = self.plans.lock();
        let now = plan.started_at;
        plans.retain(|other| {
            let is_fresh = now.saturating_sub(other.started_at) < PLAN_TIME_MAX;
            if !is_fresh {
                other.overwrite();
            }
            is_fresh
        });
        if plans.len() >= PLANS_MAX {
            plans.remove(0).overwrite();
        }
        plans.push(plan.clone());
        plan
    }

    /// The push with this id, if it can still be finished.
    pub fn get(&self, id: &str, now: Duration) -> Option<Arc<Plan>> {
        let plans = self.plans.lock();
        let plan = plans.iter().find(|plan| plan.id() == id)?;
        let is_fresh = now.saturating_sub(plan.started_at) < PLAN_TIME_MAX;
        is_fresh.then(|| plan.clone())
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Plan>> {
        self.plans.lock().clone()
    }

    /// Forgets a push that is finished.
    pub fn remove(&self, id: &str) {
        self.plans.lock().retain(|plan| plan.id() != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(id: usize, now: u64) -> Plan {
        let manifest = Manifest {
            push_id: id.to_string(),
            ..Manifest::default()
        };
        Plan::new(
            manifest,
            Deployment::default(),
            None,
            Duration::from_secs(now),
        )
    }

    #[test]
    fn plans_are_bounded_in_number_and_time() {
        let plans = Plans::default();
        (0..=PLANS_MAX).for_each(|id| drop(plans.add(plan(id, 0))));
        let now = Duration::from_secs(1);
        assert!(plans.get("0", now).is_none() && plans.get("1", now).is_some());
        assert!(plans.get("1", PLAN_TIME_MAX).is_none());
        let old = plans.get("1", now).unwrap();
        old.begin();
        plans.add(plan(99, PLAN_TIME_MAX.as_secs()));
        // What it prepares would go on otherwise, beside what a later push removes.
        assert_eq!(*old.schema.borrow(), SchemaState::Overwritten);
        assert_eq!(plans.all().len(), 1);
        plans.remove("99");
        assert!(plans.all().is_empty());
    }

    #[test]
    fn a_plan_is_begun_once_and_ends_when_it_is_overwritten() {
        let plan = plan(1, 0);
        assert!(plan.begin() && !plan.begin());
        plan.overwrite();
        assert_eq!(*plan.schema.borrow(), SchemaState::Overwritten);
    }
}
