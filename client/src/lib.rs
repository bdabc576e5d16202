//! The Rust client of Vestibule. So far it is a [`Connection`] that speaks the sync protocol in its message types, over
//! which the client proper is built.

mod connection;

pub use connection::{Connection, ConnectionError};
