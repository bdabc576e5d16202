//! The transfer room: import and export. An import is uploaded in parts, looked at, confirmed, and done; an export is a
//! snapshot written to an archive. Both are documents that official tools watch.
//!
//! Memory stays flat in every import: documents are read one by one and written in commits of bounded size. All modes
//! but appending fill hidden tables, which take their places in one commit, together with the import's last state. So an
//! import that is cut short, at whatever point, is not seen; what it left is cleared away. Documents that are appended
//! to tables in use are seen as they come, and go again where their import is cut short.
//!
//! Entry points: `steps.rs` is what requests ask for, `import.rs` and `export.rs` do the work, `plan.rs` settles what
//! becomes of the tables.

mod appended;
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
mod under_way;
mod uploads;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub use error::TransferError;
pub use options::TransferOptions;
pub use states::{EXPORTS, Format, IMPORTS, ImportRequest, Mode};
pub use swap::put_away;

use self::sweep::Unended;
use self::under_way::{Stop, UnderWay};
use self::uploads::Uploads;
use crate::database::{Database, TableMeta, count_some};
use crate::files::Files;
use crate::storage::private_directory;

/// The directory of exports below the data directory.
const EXPORTS_DIRECTORY: &str = "exports";
/// How long transfers that were told to stop are waited for: the time of a commit, and of some documents.
const STOP_WAIT: Duration = Duration::from_secs(10);
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
    under_way: UnderWay,
    unended: Mutex<Unended>,
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
        private_directory(&exports)?;
        Ok(Arc::new(Transfers {
            uploads: Uploads::open(data)?,
            database,
            files,
            exports,
            options,
            importing: Mutex::new(()),
            under_way: UnderWay::default(),
            unended: Mutex::default(),
        }))
    }

    /// Takes back what imports appended that were cut short. For threads that may wait, while no import runs.
    fn settle_appended(&self) -> Result<(), TransferError> {
        appended::settle(&self.database, || self.under_way.is_ending())
    }

    /// Clears away what imports that are over have left. For threads that may wait, while no import runs.
    fn clear_left(&self) -> Result<(), TransferError> {
        self.settle_appended()?;
        // What is settled only in part is the next start's.
        if self.under_way.is_ending() {
            return Ok(());
        }
        self.tell_unended()?;
        swap::clear_hidden(&self.database)
    }

    /// How many documents a table has. For threads that may wait.
    fn count(&self, table: &TableMeta, stop: &Stop) -> Result<u64, TransferError> {
        self.count_at_most(table, u64::MAX, stop)
    }

    fn count_at_most(
        &self,
        table: &TableMeta,
        max: u64,
        stop: &Stop,
    ) -> Result<u64, TransferError> {
        let (mut count, mut after) = (0, None);
        while count < max {
            stop.check()?;
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

    /// Lets the transfers under way finish for `patience`, then ends them. They are told as interrupted, and their
    /// threads have let go of the database when this returns.
    pub async fn shut_down(&self, patience: Duration) {
        let finishing = tokio::time::timeout(patience, self.under_way.ended());
        if finishing.await.is_err() {
            tracing::warn!("an import or an export is interrupted; start it again");
        }
        self.under_way.end();
        if tokio::time::timeout(STOP_WAIT, self.under_way.ended())
            .await
            .is_err()
        {
            tracing::warn!("an import or an export does not stop");
        }
    }
}
