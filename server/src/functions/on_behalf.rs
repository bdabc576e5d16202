//! Calls that are made on behalf of a job, with the job's own writes in the function's transaction.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use vestibule_schema::id::DocumentId;
use vestibule_schema::value::Value;

use super::places::Place;
use super::request::RequestMetadata;
use crate::database::{DatabaseError, Transaction};

/// A job's own writes in the transaction of the mutation that it runs. A mutation that runs again repeats them.
pub trait Companion: Send + Sync {
    /// Before the function. When it returns false, the function must not run any more, and nothing is written.
    fn before(&self, tx: &mut Transaction<'_>) -> Result<bool, DatabaseError>;

    /// When the function has returned, before it commits.
    fn after(
        &self,
        tx: &mut Transaction<'_>,
        returned: &Value,
        log_lines: &[String],
    ) -> Result<(), DatabaseError>;
}

/// A place among the actions that run at once, until the action takes it.
#[derive(Clone, Default)]
pub struct HeldPlace(Arc<Mutex<Option<Place>>>);

impl HeldPlace {
    pub(super) fn new(place: Place) -> HeldPlace {
        HeldPlace(Arc::new(Mutex::new(Some(place))))
    }

    pub(super) fn put(&self, place: Place) {
        *self.0.lock() = Some(place);
    }

    pub(super) fn take(&self) -> Option<Place> {
        self.0.lock().take()
    }
}

/// A job that calls a function.
#[derive(Clone)]
pub struct OnBehalf {
    /// The scheduled function that runs; none of a cron.
    pub scheduled: Option<DocumentId>,
    /// The writes that go with the job's own mutation. Calls that the job's function makes have none.
    pub companion: Option<Arc<dyn Companion>>,
    /// The place among the actions that run at once, taken before the job was put in progress.
    pub(super) place: HeldPlace,
    /// The request that the run counts as, which all calls that it makes share.
    pub request: Arc<RequestMetadata>,
}

impl OnBehalf {
    /// A run of a scheduled function, or of a cron.
    pub fn new(scheduled: Option<DocumentId>, companion: Option<Arc<dyn Companion>>) -> OnBehalf {
        OnBehalf {
            scheduled,
            companion,
            place: HeldPlace::default(),
            request: Arc::new(RequestMetadata::unknown(scheduled)),
        }
    }

    /// The same, with a place that is there already.
    pub fn with_place(self, place: HeldPlace) -> OnBehalf {
        OnBehalf { place, ..self }
    }

    /// The same for a call that the job's function makes.
    pub(super) fn nested(&self) -> OnBehalf {
        OnBehalf {
            scheduled: self.scheduled,
            companion: None,
            place: HeldPlace::default(),
            request: self.request.clone(),
        }
    }
}

impl fmt::Debug for OnBehalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnBehalf")
            .field("scheduled", &self.scheduled)
            .field("is_the_job", &self.companion.is_some())
            .finish()
    }
}
