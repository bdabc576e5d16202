//! Tests of the room: whole pushes against a database, with modules whose source is the analysis of them.

mod components;
mod pushing;
mod rig;
mod schemas;
mod settings;
mod system;
