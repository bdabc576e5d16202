//! Vestibule's server: transactions, live queries and the first-login guarantee over one SQLite file.
//!
//! A team's program describes its tables and functions in an [`App`](app::App) and serves it:
//!
//! - [`prelude`] holds what a program of functions imports.
//! - [`app`] describes, configures and starts a server.
//! - [`testing`] runs an app in a test's process, without a network.
//! - [`clock`] is where the time comes from, for programs that bring their own.
//!
//! The rest are the rooms of the server. Each uses only rooms above it in the list below. Requests go down by calls; news
//! of commits comes up only by the write log. `clock`, `executor` and `sampled` are used by all of them; so is `probe`,
//! through which only tests watch. Rooms that are hidden and not private serve the other programs of this repository, which measure and
//! judge them; they change without notice.

#![warn(missing_docs)]
#![cfg_attr(
    not(feature = "typescript"),
    allow(
        dead_code,
        unused_imports,
        reason = "what serves the engine alone stays where it belongs"
    )
)]

pub mod clock;

#[doc(hidden)]
pub mod executor;

#[doc(hidden)]
pub mod probe;

mod sampled;

#[doc(hidden)]
pub mod storage;

#[doc(hidden)]
pub mod database;

#[doc(hidden)]
pub mod outbound;

#[doc(hidden)]
pub mod auth;

mod deployment;

#[doc(hidden)]
pub mod files;

mod transfer;

#[doc(hidden)]
pub mod backup;

#[doc(hidden)]
pub mod functions;

mod jobs;

mod push;

#[doc(hidden)]
pub mod subscriptions;

#[doc(hidden)]
pub mod provisioning;

#[doc(hidden)]
pub mod sync;

mod http;

pub mod app;

pub mod testing;

pub mod prelude;

/// The Rust program of the README, compiled as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// The programs of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../docs/rust.md")]
pub struct Guide;
