//! Rigs that do to a real server what the world does: kill it, cut its connections, fail its disk, damage its file. Clients
//! outside keep a record, and the verdict is reached on that record. Each run follows from its seed as far as threads of
//! other processes allow, and adds its counts to a file of totals.

pub mod app;
pub mod checks;
pub mod clients;
pub mod model;
pub mod record;
pub mod rigs;
pub mod steps;
pub mod targets;
pub mod totals;
