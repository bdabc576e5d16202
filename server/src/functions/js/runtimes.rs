//! Runtimes, kept ready: engines with a deployment's modules loaded, each back at its image after every call.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use vestibule_isolate::{Failure, Isolate, IsolateOptions};

use super::code::Code;
use super::import::ImportHost;
use super::prelude;
use super::stack::Places;
use crate::functions::JsOptions;

/// Memory of an engine until its modules are loaded.
pub const MEMORY_BYTES_MAX: usize = 128 << 20;
/// Stack that JavaScript may use; threads that run it have twice as much.
const STACK_BYTES_MAX: usize = 4 << 20;
/// Time in the engine that loading one module may take.
const IMPORT_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of idle runtimes, images counted twice: once as image and once as memory.
const IDLE_BYTES_MAX: usize = 512 << 20;
/// Idle runtimes.
const IDLE_MAX: usize = 64;
/// Bytes of an image above which no further module is loaded before it is called for.
const WARM_IMAGE_BYTES_MAX: usize = 16 << 20;

/// The runtimes of a server. The one used last is used next: its memory is warm.
pub struct Runtimes {
    /// Whether a runtime is let go of after its first call.
    is_fresh: bool,
    /// Memory of one call beyond the image, array buffers included.
    call_bytes_max: usize,
    /// Whether errors of operations are told with what awaited them, which takes time.
    is_in_development: bool,
    idle: Mutex<Vec<Runtime>>,
    made: AtomicUsize,
    alive: Arc<AtomicUsize>,
    engine_nanos: AtomicU64,
}

/// Runtimes at one moment, and what they have done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuntimeCounts {
    /// Runtimes that wait for a call.
    pub idle: usize,
    /// Runtimes in which a call is under way.
    pub busy: usize,
    /// Bytes of the images of idle runtimes.
    pub image_bytes: usize,
    /// Bytes of the largest of them.
    pub image_bytes_max: usize,
    /// Runtimes made since the start.
    pub made: usize,
    /// Time in the engine since the start, in all calls that have ended.
    pub engine_time: Duration,
}

/// Counts a runtime while it exists.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Alive {
        count.fetch_add(1, Ordering::Relaxed);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An engine with some modules of one code loaded.
pub struct Runtime {
    /// The engine, at its image.
    pub isolate: Isolate,
    /// The code it runs.
    pub code: Arc<Code>,
    loaded: HashSet<String>,
    /// The variables that modules read while they were loaded, set or not.
    pub variables: BTreeSet<String>,
    _alive: Alive,
}

/// A module that could not be loaded.
pub struct NotLoaded {
    /// Why not.
    pub failure: Failure,
    /// The variables that modules read until then.
    pub variables: BTreeSet<String>,
}

impl From<Failure> for Box<NotLoaded> {
    fn from(failure: Failure) -> Box<NotLoaded> {
        Box::new(NotLoaded {
            failure,
            variables: BTreeSet::new(),
        })
    }
}

impl Runtimes {
    /// Runtimes of functions within `options`.
    pub fn new(options: &JsOptions) -> Runtimes {
        Runtimes {
            is_fresh: options.fresh_runtimes,
            call_bytes_max: options.call_memory_max,
            is_in_development: options.is_in_development,
            idle: Mutex::default(),
            made: AtomicUsize::default(),
            alive: Arc::default(),
            engine_nanos: AtomicU64::default(),
        }
    }

    /// A runtime with `module` of `code` loaded, as idle as can be had.
    pub fn take(&self, code: &Arc<Code>, module: &str) -> Result<Runtime, Box<NotLoaded>> {
        let mut runtime = match self.take_idle(code, module) {
            Some(runtime) => runtime,
            None => self.make(code)?,
        };
        match runtime.load(module) {
            Ok(()) => Ok(runtime),
            Err(failure) => Err(Box::new(NotLoaded {
                failure,
                variables: runtime.variables,
            })),
        }
    }

    fn take_idle(&self, code: &Arc<Code>, module: &str) -> Option<Runtime> {
        let mut idle = self.idle.lock();
        let fits = |runtime: &Runtime| Arc::ptr_eq(&runtime.code, code);
        let warm = idle
            .iter()
            .rposition(|runtime| fits(runtime) && runtime.loaded.contains(module));
        let at = warm.or_else(|| idle.iter().rposition(fits))?;
        Some(idle.remove(at))
    }

    fn make(&self, code: &Arc<Code>) -> Result<Runtime, Failure> {
        let options = IsolateOptions {
            memory_bytes_max: MEMORY_BYTES_MAX,
            call_bytes_max: self.call_bytes_max,
            stack_bytes_max: STACK_BYTES_MAX,
            modules: code.clone(),
            prelude: match self.is_in_development {
                true => prelude::compiled_for_development(),
                false => prelude::compiled(),
            },
        };
        let isolate = Isolate::new(options, &mut ImportHost::new(code))?;
        self.made.fetch_add(1, Ordering::Relaxed);
        Ok(Runtime {
            isolate,
            code: code.clone(),
            loaded: HashSet::new(),
            variables: BTreeSet::new(),
            _alive: Alive::new(&self.alive),
        })
    }

    /// Makes an idle runtime with `modules` loaded, as far as they can be and its image stays small. A module that fails
    /// is left to its calls, which tell why.
    pub fn warm<'m>(&self, code: &Arc<Code>, modules: impl IntoIterator<Item = &'m str>) {
        let mut runtime = None;
        let mut loaded: Vec<&str> = Vec::new();
        for module in modules {
            let mut current = match runtime.take() {
                Some(current) => current,
                None => match self.make_with(code, &loaded) {
                    Ok(made) => made,
                    Err(_) => return,
                },
            };
            if current.isolate.image_bytes() > WARM_IMAGE_BYTES_MAX {
                runtime = Some(current);
                break;
            }
            // A runtime in which a module failed is not used again.
            if current.load(module).is_ok() {
                loaded.push(module);
                runtime = Some(current);
            }
        }
        if runtime.is_none() && !loaded.is_empty() {
            runtime = self.make_with(code, &loaded).ok();
        }
        if let Some(runtime) = runtime {
            self.give_back(runtime);
        }
    }

    fn make_with(&self, code: &Arc<Code>, modules: &[&str]) -> Result<Runtime, Failure> {
        let mut runtime = self.make(code)?;
        for module in modules {
            runtime.load(module)?;
        }
        Ok(runtime)
    }

    /// Takes a runtime back after a call. Runtimes unused for longest give way, and so do those of retired code.
    pub fn give_back(&self, mut runtime: Runtime) {
        let nanos = u64::try_from(runtime.isolate.cpu_used().as_nanos()).unwrap_or(0);
        self.engine_nanos.fetch_add(nanos, Ordering::Relaxed);
        if self.is_fresh || runtime.code.is_retired() {
            return;
        }
        runtime.isolate.restore();
        let mut idle = self.idle.lock();
        // Looked at under the lock, under which `retire` looks for those that are to go.
        if runtime.code.is_retired() {
            return;
        }
        idle.push(runtime);
        let mut bytes: usize = idle.iter().map(Runtime::bytes).sum();
        while idle.len() > IDLE_MAX || (bytes > IDLE_BYTES_MAX && idle.len() > 1) {
            bytes -= idle.remove(0).bytes();
        }
    }

    /// Lets go of the idle runtimes of `code`. A call that still runs it makes a runtime that ends with the call.
    pub fn retire(&self, code: &Arc<Code>) {
        let retired: Vec<Runtime> = {
            let mut idle = self.idle.lock();
            code.retire();
            let is_its = |runtime: &mut Runtime| Arc::ptr_eq(&runtime.code, code);
            idle.extract_if(.., is_its).collect()
        };
        drop(retired);
    }

    /// The present runtimes, and the work done so far.
    pub fn counts(&self) -> RuntimeCounts {
        let (idle, images): (usize, Vec<usize>) = {
            let idle = self.idle.lock();
            let image = |runtime: &Runtime| runtime.isolate.image_bytes();
            (idle.len(), idle.iter().map(image).collect())
        };
        RuntimeCounts {
            idle,
            busy: self.alive.load(Ordering::Relaxed).saturating_sub(idle),
            image_bytes: images.iter().sum(),
            image_bytes_max: images.iter().copied().max().unwrap_or(0),
            made: self.made.load(Ordering::Relaxed),
            engine_time: Duration::from_nanos(self.engine_nanos.load(Ordering::Relaxed)),
        }
    }
}

impl Runtime {
    /// Evaluates `module` at the seed and the time of the push, unless that was done before.
    fn load(&mut self, module: &str) -> Result<(), Failure> {
        if self.loaded.contains(module) {
            return Ok(());
        }
        // A missing module is the call's own error, told by the driver.
        if self.code.has(module) {
            self.isolate.set_budget(IMPORT_TIME_MAX);
            let mut host = ImportHost::new(&self.code);
            let evaluated = self.isolate.evaluate(&mut host, module);
            self.variables.append(&mut host.variables);
            evaluated?;
        }
        self.isolate.seal();
        self.loaded.insert(module.to_owned());
        Ok(())
    }

    fn bytes(&self) -> usize {
        2 * self.isolate.image_bytes()
    }
}
