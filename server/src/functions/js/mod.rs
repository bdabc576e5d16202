//! Pushed functions: JavaScript and what it finds around it.

pub mod syscalls;
pub mod web;
