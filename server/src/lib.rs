//! Vestibule's server: transactions, live queries and the first-login guarantee over one SQLite file.
//!
//! A team's program describes its tables and functions in an [`App`](app::App) and serves it; `prelude` holds what such a
//! program needs. Inside, each room uses only rooms above it in the list below. Requests go down by calls; news of
//! commits comes up only by the write log. `clock` and `sampled` are used by all of them; so is `probe`, through which
//! only tests watch.

pub mod clock;

#[doc(hidden)]
pub mod probe;

pub mod sampled;

pub mod storage;

pub mod database;

pub mod outbound;

pub mod auth;

pub mod deployment;

pub mod files;

pub mod transfer;

pub mod functions;

pub mod jobs;

pub mod push;

pub mod subscriptions;

pub mod provisioning;

pub mod sync;

pub mod http;

pub mod app;

pub mod prelude;

/// The Rust program of the README, compiled as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
