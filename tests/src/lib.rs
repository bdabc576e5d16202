//! What the flows share: the chat as a process of its own, a client that speaks the sync protocol message
//! by message, and a switch that holds a process up.

pub mod process;
pub mod raw;
pub mod switch;
