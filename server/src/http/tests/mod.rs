//! A real server on a port of this machine, asked by an HTTP client and by raw bytes.

mod app;
mod calls;
mod deployment;
mod dev;
mod harness;
mod limits;
mod origins;
mod panics;
mod provisioning;
mod roles;
mod shutdown;
mod snapshots;
mod sockets;
