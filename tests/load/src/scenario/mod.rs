//! The scenarios: the requests of each to a server, and the results it must see.

pub mod backfill;
pub mod fan_out;
pub mod files;
pub mod first_logins;
pub mod http_actions;
pub mod idle;
pub mod imports;
pub mod jobs;
pub mod pushes;
pub mod reads;
pub mod reconnects;
pub mod sign_ups;
pub mod transfers;
mod watchers;
