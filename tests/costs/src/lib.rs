//! Costs that must stay flat while something else grows: each is a row, with a scene that makes its work at a chosen size.
//!
//! `cargo bench -p costs` takes times, the program of this package counts allocations and instructions, and its tests
//! check the exact counts. All of them make the same work, on the server's rooms in this process, without sockets.

pub mod app;
pub mod counts;
pub mod rig;
pub mod row;

mod drafts;
mod frames;
mod logins;
mod reads;
mod transfers;
pub mod watching;
mod writes;
