//! What other rooms do for JavaScript functions within a transaction: the scheduler, tokens.

use vestibule_schema::id::DocumentId;

use super::syscalls::{ScheduledCall, SyscallError, TokenToSign};
use crate::database::Transaction;

/// Handed in by the room that builds all others. Each works on the transaction of the function that asks.
pub trait Services: Send + Sync {
    /// Schedules a function and returns its job's id.
    fn schedule(
        &self,
        tx: &mut Transaction<'_>,
        call: ScheduledCall,
    ) -> Result<DocumentId, SyscallError>;

    /// Cancels a job.
    fn cancel_job(&self, tx: &mut Transaction<'_>, id: DocumentId) -> Result<(), SyscallError>;

    /// Signs a token.
    fn sign_token(&self, token: TokenToSign) -> Result<String, SyscallError>;
}
