//! Work that the server does for itself in a function's transaction: it is written with what the function writes, and
//! counts for nothing against the function.

use super::transaction::Transaction;

impl Transaction<'_> {
    /// Runs `work` on this transaction without charging it to the function: neither documents nor bytes nor time.
    pub fn uncharged<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let was_uncharged = std::mem::replace(&mut self.usage.is_uncharged, true);
        let done = work(self);
        self.usage.is_uncharged = was_uncharged;
        done
    }
}
