//! The state of the engine's callbacks: a box beside the arena that outlives it and is not restored with it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use rquickjs_sys as qjs;

use crate::async_context::AsyncContext;
use crate::clock::Clock;
use crate::error::{Failure, HostError};
use crate::isolate::ModuleSource;
use crate::names::resolve;

/// A value that crosses between JavaScript and the host.
#[derive(Debug, Clone, PartialEq)]
pub enum HostValue {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    /// An `ArrayBuffer`, copied. Typed arrays are accepted from JavaScript as well.
    Bytes(Vec<u8>),
}

/// Answers the calls that JavaScript makes with `__host(op, ...args)`.
pub trait Host {
    /// Answers one call. The arguments may be taken.
    fn call(&mut self, op: &str, args: &mut [HostValue]) -> Result<HostValue, HostError>;

    /// Permits the dynamic `import()` of a module, which is permitted unless this is overridden.
    fn import(&mut self, specifier: &str) -> Result<(), HostError> {
        let _ = specifier;
        Ok(())
    }
}

/// Why the call under way can only be restored.
pub(crate) enum Doom {
    TimedOut,
    OutOfMemory,
    Fatal(HostError),
    /// The host panicked: the payload, until the panic goes on in the caller.
    Panicked(Option<Box<dyn Any + Send>>),
}

/// A module that the engine has.
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) module: *mut qjs::JSModuleDef,
}

/// A function that the prelude registered.
pub(crate) struct Registered {
    pub(crate) name: String,
    pub(crate) function: qjs::JSValue,
}

/// The box. Callbacks reach it by shared reference, so everything in it is a cell.
pub(crate) struct Shared {
    /// Where a jump goes, while there is a `run` on the stack.
    pub(crate) place: Cell<*mut c_void>,
    /// Whether a jump is allowed now.
    pub(crate) is_armed: Cell<bool>,
    pub(crate) clock: Clock,
    doom: RefCell<Option<Doom>>,
    /// How far the arena's memory may be touched.
    pub(crate) committed_end: Cell<usize>,
    /// The host of the entry under way.
    host: Cell<Option<NonNull<dyn Host>>>,
    pub(crate) source: Arc<dyn ModuleSource>,
    pub(crate) modules: RefCell<Vec<Loaded>>,
    pub(crate) functions: RefCell<Vec<Registered>>,
    /// Rejected promises without a handler, each with a reference of ours.
    pub(crate) rejections: RefCell<Vec<qjs::JSValue>>,
    /// `DOMException` as the prelude left it.
    pub(crate) dom_exception: Cell<qjs::JSValue>,
    pub(crate) async_context: AsyncContext,
    /// True while the engine resolves static imports.
    pub(crate) is_resolving: Cell<bool>,
    /// How many modules and functions belong to the image.
    sealed: Cell<(usize, usize)>,
}

impl Shared {
    pub(crate) fn new(source: Arc<dyn ModuleSource>) -> Shared {
        Shared {
            place: Cell::new(std::ptr::null_mut()),
            is_armed: Cell::new(false),
            clock: Clock::new(),
            doom: RefCell::new(None),
            committed_end: Cell::new(0),
            host: Cell::new(None),
            source,
            modules: RefCell::new(Vec::new()),
            functions: RefCell::new(Vec::new()),
            rejections: RefCell::new(Vec::new()),
            dom_exception: Cell::new(qjs::JS_UNDEFINED),
            async_context: AsyncContext::new(),
            is_resolving: Cell::new(false),
            sealed: Cell::new((0, 0)),
        }
    }

    /// The module that `import` names inside `base`: a relative import as a path, another one if the source has such modules.
    pub(crate) fn resolve(&self, base: &str, import: &str) -> Option<String> {
        let external = || {
            let is_known = self.source.is_external(import);
            is_known.then(|| import.to_owned())
        };
        resolve(base, import).or_else(external)
    }

    pub(crate) fn is_doomed(&self) -> bool {
        self.doom.borrow().is_some()
    }

    /// Dooms the call. The first reason stands.
    pub(crate) fn doom(&self, reason: Doom) {
        self.doom.borrow_mut().get_or_insert(reason);
    }

    /// The failure of a doomed call. A panic of the host goes on here.
    pub(crate) fn failure(&self) -> Failure {
        let mut doom = self.doom.borrow_mut();
        match doom.as_mut().expect("asked only when a call is doomed") {
            Doom::TimedOut => Failure::TimedOut,
            Doom::OutOfMemory => Failure::OutOfMemory,
            Doom::Fatal(error) => Failure::Fatal(error.clone()),
            Doom::Panicked(payload) => {
                if let Some(payload) = payload.take() {
                    drop(doom);
                    std::panic::resume_unwind(payload);
                }
                Failure::Fatal(HostError::fatal("the host panicked during this call"))
            }
        }
    }

    /// Makes a host reachable for the callbacks until [`Shared::forget_host`].
    pub(crate) fn lend_host(&self, host: &mut dyn Host) {
        // SAFETY: only the lifetime changes. The entry that lends the host forgets it before it returns, on every way out.
        let host = unsafe {
            std::mem::transmute::<NonNull<dyn Host + '_>, NonNull<dyn Host + 'static>>(
                NonNull::from(host),
            )
        };
        self.host.set(Some(host));
    }

    pub(crate) fn forget_host(&self) {
        self.host.set(None);
    }

    /// Does something with the host. It is taken meanwhile, so that it is never borrowed twice.
    pub(crate) fn with_host<R>(&self, action: impl FnOnce(&mut dyn Host) -> R) -> R {
        let mut host = self
            .host
            .take()
            .expect("JavaScript runs only during an entry, and one call out at a time");
        // SAFETY: the entry that lent the host is on the stack and holds it exclusively for us; taking it excludes a second borrow.
        let result = action(unsafe { host.as_mut() });
        self.host.set(Some(host));
        result
    }

    pub(crate) fn seal(&self) {
        self.async_context.seal();
        self.sealed
            .set((self.modules.borrow().len(), self.functions.borrow().len()));
    }

    /// Forgets all state of the call. Values of the engine are not freed: the restore does that.
    pub(crate) fn restore(&self) {
        let (modules, functions) = self.sealed.get();
        self.modules.borrow_mut().truncate(modules);
        self.functions.borrow_mut().truncate(functions);
        self.rejections.borrow_mut().clear();
        self.doom.replace(None);
        self.clock.reset();
        self.async_context.restore();
        self.is_resolving.set(false);
    }
}
