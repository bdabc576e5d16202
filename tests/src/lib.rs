//! What the flows share: the chat as a process of its own, a wire that can be cut, and a client that speaks the sync protocol message by
//! message.

pub mod process;
pub mod proxy;
pub mod raw;
