//! The scripts that make the environment of JavaScript functions, compiled once.

use std::sync::{Arc, OnceLock};

use vestibule_isolate::{Bytecode, compile_script};

macro_rules! scripts {
    ($($file:literal),* $(,)?) => {
        &[$(($file, include_str!(concat!("prelude/", $file)))),*]
    };
}

