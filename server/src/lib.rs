//! Vestibule's server: transactions, live queries and the first-login gate over one SQLite file.

#![warn(clippy::unwrap_used)]

pub mod clock;
pub mod storage;
pub mod database;
pub mod auth;
pub mod functions;
pub mod subscriptions;
pub mod provisioning;
pub mod sync;
pub mod http;
pub mod app;
