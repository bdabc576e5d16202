//! What the flows share: the chat as a process of its own, another app of the same kind, and a client that speaks the
//! sync protocol message by message.

pub mod people;
pub mod process;
pub mod raw;
