//! Connections driven message by message.

mod apps;
mod closing;
mod documents;
mod gate;
mod harness;
mod identity;
mod main_path;
mod protocol;
mod random;
mod states;
