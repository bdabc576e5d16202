//! The promises of an isolate, tried over a small host.

#![allow(clippy::unwrap_used)]

mod async_context;
mod doom;
mod harness;
mod known;
mod loading;
mod mutator;
mod restore;
mod values;
