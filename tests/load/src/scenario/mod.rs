//! The scenarios: what each of them asks of a server, and what it has to see.

pub mod fan_out;
pub mod first_logins;
pub mod idle;
pub mod reads;
pub mod reconnects;
pub mod transfers;
mod watchers;
