//! One JavaScript engine in one arena of memory, with a safe face.
//!
//! An [`Isolate`] serves the engine's allocations from an arena of its own. Modules are evaluated once; [`Isolate::seal`] then copies
//! the used part of the arena, the *image*, and [`Isolate::restore`] puts it back after each call. Nothing that a call did to globals,
//! prototypes, module variables or pending jobs can reach the next call.
//!
//! This package embeds QuickJS-ng and is the only one with `unsafe`. It knows nothing of functions, documents or the
//! network. Its user supplies a [`Host`] for the calls out of JavaScript and a [`ModuleSource`] for the modules.
//!
//! # Why it is sound
//!
//! 1. The allocator's own state lies in the arena's first page, so it is restored as well (`arena.rs`).
//! 2. Host functions are plain C functions. Their state is in a box that outlives the arena (`shared.rs`), and no
//!    JavaScript object owns memory of Rust's.
//! 3. No engine value that a call made outlives it: the restore forgets those that the box holds.
//! 4. An entry, a seal and a restore each take `&mut Isolate`, so there is no frame of JavaScript on the stack in a restore.
//! 5. The engine's stack limit is set anew at each entry, so an isolate may move to another thread between two of them.
//! 6. An isolate ends by unmapping its arena. The engine's own teardown never runs.
//! 7. A call that has run out of time or memory, or that the host has ended, leaves the engine by a jump (`leave.rs`). Afterwards the
//!    isolate refuses every entry until it is restored.
//! 8. Pages that a greedy call has taken beyond a megabyte are given back.
//! 9. Only `async_context.rs` reads the engine's private data, its pending jobs and its stack: the engine's version is
//!    pinned exactly, and tests check the layout.
//! 10. Bytecode is only ever compiled by this process and kept in memory, because the engine trusts it (`bytecode.rs`).

mod arena;
mod async_context;
mod blocks;
mod bytecode;
mod clock;
mod convert;
mod dirty;
mod engine;
mod error;
mod image;
mod isolate;
mod known;
mod leave;
mod modules;
mod names;
mod natives;
mod plain;
mod shared;
mod thrown;

pub use bytecode::{Bytecode, compile_module, compile_script};
pub use engine::engine_version;
pub use error::{ErrorClass, Failure, HostError, Thrown};
pub use isolate::{Isolate, IsolateOptions, ModuleSource};
pub use known::KNOWN_MODULE;
pub use shared::{Host, HostValue};
