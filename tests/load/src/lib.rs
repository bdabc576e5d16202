//! Load on a server, measured from outside: scenarios, and the report of what they saw.

pub mod app;
pub mod arguments;
pub mod calls;
pub mod client;
pub mod closing;
pub mod http;
pub mod measure;
pub mod progress;
pub mod report;
pub mod run;
pub mod scenario;
pub mod server;
pub mod usage;
