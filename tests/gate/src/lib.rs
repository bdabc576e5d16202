//! The gate without the server around it. Tests try its single flight in every order of its steps, and its machine in
//! every state of a few connections.

// The very file of the server, over loom's locks.
#[cfg(test)]
mod orders;
#[cfg(test)]
#[path = "../../../server/src/provisioning/single_flight.rs"]
mod single_flight;
#[cfg(test)]
mod states;
