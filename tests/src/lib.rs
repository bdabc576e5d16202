//! What the flows share: the chat and another app of its kind as processes of their own, a wire that can be cut, a
//! client that speaks the sync protocol message by message, and a switch that holds a process up.

pub mod people;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod switch;
