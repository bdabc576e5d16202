//! What the flows share: the chat as a process of its own, a client that speaks the sync protocol message by message,
//! and how a test talks to the server that keeps a record.

pub mod control;
pub mod process;
pub mod raw;
