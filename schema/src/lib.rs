//! What both sides of Vestibule say: values, document ids, validators, tables and indexes, key order, wire
//! messages, identity and the provisioning state machine. No I/O, no async; builds for wasm32.

pub mod convert;
pub mod id;
pub mod identity;
pub mod json;
pub mod key;
pub mod path;
pub mod provisioning;
pub mod table;
pub mod timestamp;
pub mod trace;
pub mod validator;
pub mod value;
pub mod wire;

pub use identity::{Identity, IdentityKey};
pub use timestamp::Timestamp;
pub use wire::{ClientMessage, QueryId, RequestId, ServerMessage, SessionId, StateVersion};
