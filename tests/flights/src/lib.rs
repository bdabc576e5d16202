//! The gate's single flight, the very file of the server, over loom's locks.

#[path = "../../../server/src/provisioning/flights.rs"]
pub mod flights;

#[cfg(test)]
mod tests;
