//! Connections driven message by message.

mod gate;
mod harness;
mod main_path;
