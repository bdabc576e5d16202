//! The parts that the flows share. They are the chat and another app of its kind as processes of their own, Clerk's
//! webhooks, and a wire that can be cut. A client speaks the sync protocol message by message, and a switch holds a
//! process up. There are also the messages between a test and the server that keeps a record, and an application's
//! story through a client.

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
