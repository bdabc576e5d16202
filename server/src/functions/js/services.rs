//! What other rooms do for JavaScript functions within a transaction: tokens.

use super::syscalls::{SyscallError, TokenToSign};

/// Handed in by the room that builds all others.
pub trait Services: Send + Sync {
    /// Signs a token.
    fn sign_token(&self, token: TokenToSign) -> Result<String, SyscallError>;
}
