//! Connections driven message by message.

mod apps;
mod closing;
mod gate;
mod harness;
mod main_path;
mod protocol;
mod states;
