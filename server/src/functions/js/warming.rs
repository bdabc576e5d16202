//! Making the images of a deployment ready before its calls need them: when a server starts, and before a push is live.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use vestibule_schema::path::ComponentPath;

use super::Js;
use super::code::Code;
use super::node::code::NodeCode;
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

    /// Makes an image ready for each processor, with the modules of the pushed functions in `registry`. Returns at once.
    pub fn warm_later(self: &Arc<Self>, registry: &Registry) {
        if node_code(registry).is_some() {
            self.look_for_node();
        }
        drop(self.start_warming(registry, || Some(self.begin_warming())));
    }

    /// As [`warm_later`](Js::warm_later), and returns when the images are ready. The server counts as ready meanwhile: what is
    /// live goes on.
    pub fn warm(self: &Arc<Self>, registry: &Registry) {
        for thread in self.start_warming(registry, || None) {
            if thread.join().is_err() {
                tracing::error!("making an image ready panicked");
            }
        }
    }

    fn start_warming(
        self: &Arc<Self>,
        registry: &Registry,
        begin: impl Fn() -> Option<Warming>,
    ) -> Vec<JoinHandle<()>> {
        let pushed: Arc<Vec<_>> = Arc::new(pushed(registry));
        if pushed.is_empty() {
            return Vec::new();
        }
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let start = |_| {
            let warming = begin();
            let (js, pushed) = (self.clone(), pushed.clone());
            let warm = move || {
                let _until_done = warming;
                for (code, modules) in pushed.iter() {
                    js.runtimes.warm(code, modules.iter().map(String::as_str));
                }
            };
            let executor = &self.options.executor;
            executor
                .start("warm", WORKER_STACK_BYTES, Box::new(warm))
                .inspect_err(|error| tracing::warn!(%error, "the first calls make images ready"))
                .ok()
        };
        (0..processors).filter_map(start).collect()
    }

    /// Lets go of the idle runtimes with the code of `registry`, which is not live any more. Those that calls still use go when
    /// the calls end.
    pub fn retire(&self, registry: &Registry) {
        for (code, _) in pushed_of_all(registry) {
            self.runtimes.retire(&code);
        }
        if let Some(code) = node_code(registry) {
            code.let_go();
        }
    }
}

/// Components whose images are made ready. Those of others are made by their first calls: idle runtimes are bounded.
const WARM_COMPONENTS_MAX: usize = 8;

/// The code of the pushed functions for Node.js.
fn node_code(registry: &Registry) -> Option<Arc<NodeCode>> {
    let mut functions = registry.functions();
    functions.find_map(|function| function.pushed()?.node.clone())
}

/// The code of the pushed functions of the app or of a component, and their modules.
type PushedModules = (Arc<Code>, BTreeSet<String>);

/// What is made ready: the app comes last, and so stays longest.
fn pushed(registry: &Registry) -> Vec<PushedModules> {
    let mut pushed = pushed_of_all(registry);
    pushed.truncate(WARM_COMPONENTS_MAX + 1);
    pushed.reverse();
    pushed
}

/// That of the app, and of every component.
fn pushed_of_all(registry: &Registry) -> Vec<PushedModules> {
    let mut by_component: BTreeMap<&ComponentPath, PushedModules> = BTreeMap::new();
    for function in registry.functions() {
        if let Some(pushed) = function.pushed().filter(|pushed| pushed.node.is_none()) {
            let entry = by_component.entry(function.path.component());
            let (_, modules) = entry.or_insert_with(|| (pushed.code.clone(), BTreeSet::new()));
            modules.insert(function.path.module_file().to_owned());
        }
    }
    by_component.into_values().collect()
}
