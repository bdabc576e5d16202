//! Connections driven message by message.

mod apps;
mod gate;
mod harness;
mod main_path;
