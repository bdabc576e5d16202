//! Savepoints: a nested mutation that fails takes back its writes, and nothing else.

use std::sync::Arc;

use super::commit_ts::UnresolvedDocuments;
use super::history::Definitions;
use super::limits::Usage;
use super::own_writes::WritesMark;
use super::transaction::{Redefined, Transaction};
use super::write_log::TouchedMark;

/// A transaction's writes at one moment.
///
/// Going back leaves alone what was read, what reading used, the sequence of creation times and whether a write was
/// refused. Savepoints are taken back in the reverse of the order in which they were made.
pub struct Savepoint {
    writes: WritesMark,
    touched: TouchedMark,
    misfits: usize,
    usage: Usage,
    definitions: Arc<Definitions>,
    redefined: Redefined,
    unresolved: UnresolvedDocuments,
}

impl Transaction<'_> {
    /// The writes as they are now. Drop it when the nested mutation has succeeded.
    pub fn savepoint(&mut self) -> Savepoint {
        Savepoint {
            writes: self.writes.mark(),
            touched: self.touched.mark(),
            misfits: self.misfits.len(),
            usage: self.usage,
            definitions: self.definitions.clone(),
            redefined: self.redefined,
            unresolved: self.unresolved.clone(),
        }
    }

    /// Takes back every write since `savepoint`.
    pub fn roll_back_to(&mut self, savepoint: Savepoint) {
        self.writes.roll_back_to(savepoint.writes);
        self.touched.truncate(savepoint.touched);
        self.misfits.truncate(savepoint.misfits);
        self.usage = self.usage.with_writes_of(&savepoint.usage);
        self.definitions = savepoint.definitions;
        self.redefined = savepoint.redefined;
        self.unresolved = savepoint.unresolved;
    }
}
