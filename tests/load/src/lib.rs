//! Load on a server, measured from outside: scenarios, and the report of what they saw.

pub mod alternatives;
pub mod report;
