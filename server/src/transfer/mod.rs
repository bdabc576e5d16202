//! The transfer room: import and export. An import is uploaded in parts, looked at, confirmed, and done; an export is a
//! snapshot written to an archive. Both are documents that official tools watch.
//!
//! Whatever is imported, memory stays flat: documents are read one by one and written in commits of bounded size. All
//! modes but appending fill hidden tables, which take their places in one commit, together with the import's last state.
//! So an import that is cut short, at whatever point, is not seen; what it left is cleared away.
//!
//! Entry points: `steps.rs` is what requests ask for, `import.rs` and `export.rs` do the work, `plan.rs` settles what
//! becomes of the tables.

mod archive;
mod error;
mod export;
mod fill;
mod import;
mod options;
mod plan;
mod reading;
mod spool;
mod states;
mod steps;
mod swap;
mod sweep;
#[cfg(test)]
mod tests;
mod uploads;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use vestibule_schema::id::DocumentId;

pub use error::TransferError;
pub use options::TransferOptions;
pub use states::{EXPORTS, Format, IMPORTS, ImportRequest, Mode};
pub use swap::put_away;

use self::uploads::Uploads;
use crate::database::{Database, TableMeta, count_some};
use crate::files::Files;

/// The directory of exports below the data directory.
const EXPORTS_DIRECTORY: &str = "exports";
/// Documents that are counted on one snapshot.
const COUNTED_MAX: usize = 20_000;

/// The imports and exports of a deployment.
pub struct Transfers {
    database: Arc<Database>,
    files: Arc<Files>,
    uploads: Uploads,
    exports: PathBuf,
    options: TransferOptions,
    /// Held by the import that runs, and by the clearing away of what others left.
    importing: Mutex<()>,
    /// How what runs is told to stop.
    running: Mutex<HashMap<DocumentId, Arc<AtomicBool>>>,
}

impl Transfers {
    /// The imports and exports of the deployment in `data`.
    pub fn open(
        data: &Path,
        database: Arc<Database>,
        files: Arc<Files>,
        options: TransferOptions,
    ) -> Result<Arc<Transfers>, TransferError> {
        let exports = data.join(EXPORTS_DIRECTORY);
        std::fs::create_dir_all(&exports)?;
        Ok(Arc::new(Transfers {
            uploads: Uploads::open(data)?,
            database,
            files,
            exports,
            options,
            importing: Mutex::new(()),
            running: Mutex::new(HashMap::new()),
        }))
    }

    /// How many documents a table has. For threads that may wait.
    fn count(&self, table: &TableMeta) -> Result<u64, TransferError> {
        self.count_at_most(table, u64::MAX)
    }

    fn count_at_most(&self, table: &TableMeta, max: u64) -> Result<u64, TransferError> {
        let (mut count, mut after) = (0, None);
        while count < max {
            let step = usize::try_from(max - count).unwrap_or(usize::MAX);
            let snapshot = self.database.read_at()?.snapshot;
            let (counted, last) = count_some(&snapshot, table, after, step.min(COUNTED_MAX))
                .map_err(crate::database::DatabaseError::from)?;
            count += counted as u64;
            match last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        Ok(count)
    }

    /// Notes that a transfer runs. Returns the flag that tells it to stop.
    fn run_begins(&self, id: DocumentId) -> Arc<AtomicBool> {
        let canceled = Arc::new(AtomicBool::new(false));
        self.running.lock().insert(id, canceled.clone());
        canceled
    }

    fn run_ends(&self, id: DocumentId) {
        self.running.lock().remove(&id);
    }

    /// Tells a running transfer to stop.
    fn stop(&self, id: DocumentId) {
        if let Some(canceled) = self.running.lock().get(&id) {
            canceled.store(true, Ordering::Relaxed);
        }
    }
}
