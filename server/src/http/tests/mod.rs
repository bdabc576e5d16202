//! A real server on a port of this machine, asked by an HTTP client and by raw bytes.

mod actions;
mod admin_keys;
mod administration;
mod app;
mod arriving;
mod askers;
mod calls;
mod deployment;
mod dev;
mod doors;
mod files;
mod first_touch;
mod harness;
mod limits;
mod origins;
mod outages;
mod panics;
mod provisioning;
mod roles;
mod shutdown;
mod snapshots;
mod socket_client;
mod sockets;
mod streamed;
mod transfers;
