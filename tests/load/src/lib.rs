//! Load on a server, measured from outside: scenarios, and the report of their results.

pub mod accounts;
pub mod against;
pub mod alternatives;
pub mod app;
pub mod arguments;
pub mod arrivals;
pub mod calls;
pub mod choice;
pub mod client;
pub mod echo;
pub mod functions;
pub mod http;
pub mod issuer;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod metrics;
pub mod progress;
pub mod report;
pub mod run;
pub mod scenario;
pub mod server;
pub mod timing;
pub mod usage;
