//! Threads, taken at construction by every room that needs its own, so that a test or a simulation can provide them.

use std::io;
use std::thread::JoinHandle;

/// The work of a thread.
pub type Body = Box<dyn FnOnce() + Send>;

/// Room on the stack of a thread without needs of its own, in bytes.
pub const STACK_BYTES: usize = 2 << 20;

/// Starts threads.
pub trait Executor: Send + Sync {
    /// Runs `body` on a thread of its own, called `name`, with `stack_bytes` of stack. Fails when the system has no
    /// thread to give.
    fn start(&self, name: &str, stack_bytes: usize, body: Body) -> io::Result<JoinHandle<()>>;
}

/// The threads of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemExecutor;

impl Executor for SystemExecutor {
    fn start(&self, name: &str, stack_bytes: usize, body: Body) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(stack_bytes)
            .spawn(body)
    }
}
