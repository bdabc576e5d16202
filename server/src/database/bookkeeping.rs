//! The server's own work in a function's transaction: it is written with the function's writes, and is not charged to
//! the function.

use bytes::Bytes;

use super::keys::IndexId;
use super::transaction::Transaction;

impl Transaction<'_> {
    /// Notes that the deployment starts. The commit is later than everything a client saw before, even when an older
    /// backup was put back meanwhile. Without it such a client would have to wait for a write.
    pub fn note_start(&mut self) {
        self.write_system(IndexId::STARTS.key(&[]), Some(Bytes::new()));
    }

    /// Runs `work` on this transaction without leaving what it reads in the head's memory, where it would push out what
    /// others ask for.
    pub fn in_bulk<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let was_bulk = std::mem::replace(&mut self.is_bulk, true);
        let done = work(self);
        self.is_bulk = was_bulk;
        done
    }

    /// Runs `work` on this transaction without charging it to the function: neither documents nor bytes nor time.
    pub fn uncharged<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let was_uncharged = std::mem::replace(&mut self.usage.is_uncharged, true);
        let done = work(self);
        self.usage.is_uncharged = was_uncharged;
        done
    }
}
