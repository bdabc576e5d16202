//! Making the images of the live deployment ready when a server starts, before the first calls need them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Js;
use super::code::Code;
use crate::functions::registry::Registry;
use crate::functions::workers::WORKER_STACK_BYTES;

/// Images are being made ready while it exists.
pub struct Warming(Arc<AtomicUsize>);

impl Drop for Warming {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

impl Js {
    /// Whether images are being made ready: the first calls would wait for them.
    pub fn is_warming(&self) -> bool {
        self.warming.load(Ordering::Acquire) > 0
    }

    /// Says that images are being made ready.
    pub fn begin_warming(&self) -> Warming {
        self.warming.fetch_add(1, Ordering::Relaxed);
        Warming(self.warming.clone())
    }

    /// Makes an image ready for each engine thread, with the modules of the pushed functions in `registry`. Returns at
    /// once.
    pub fn warm_later(self: &Arc<Self>, registry: &Registry) {
        let Some((code, modules)) = pushed(registry) else {
            return;
        };
        let modules = Arc::new(modules);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..threads {
            let warming = self.begin_warming();
            let (js, code, modules) = (self.clone(), code.clone(), modules.clone());
            let warm = move || {
                let _until_done = warming;
                js.runtimes.warm(&code, modules.iter().map(String::as_str));
            };
            let thread = std::thread::Builder::new()
                .name("warm".into())
                .stack_size(WORKER_STACK_BYTES)
                .spawn(warm);
            if let Err(error) = thread {
                tracing::warn!(%error, "images are made ready by the first calls");
            }
        }
    }
}

/// The code of the pushed functions, and their modules.
fn pushed(registry: &Registry) -> Option<(Arc<Code>, BTreeSet<String>)> {
    let mut code = None;
    let mut modules = BTreeSet::new();
    for function in registry.functions() {
        if let Some(pushed) = function.pushed() {
            code.get_or_insert_with(|| pushed.code.clone());
            modules.insert(function.path.module_file().to_owned());
        }
    }
    Some((code?, modules))
}
