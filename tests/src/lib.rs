//! What the flows share: the chat and another app of its kind as processes of their own, Clerk as it sends webhooks, a
//! wire that can be cut, a client that speaks the sync protocol message by message, a switch that holds a process up, how
//! a test talks to the server that keeps a record, and what an application saw through a client.

pub mod bank;
pub mod clerk;
pub mod control;
pub mod jobs;
pub mod pairs;
pub mod people;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod story;
pub mod switch;
