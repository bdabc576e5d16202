//! The isolate: entries into the engine, the image, the restore.

use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use rquickjs_sys as qjs;

use crate::arena::{Arena, commit, page_bytes};
use crate::blocks::{FUNCTIONS, Head, content_bytes};
use crate::bytecode::Bytecode;
use crate::convert::to_engine;
use crate::engine::{boot, fill_slabs, new_context};
use crate::error::{Failure, HostError, Thrown};
use crate::image::{Image, give_back};
use crate::known;
use crate::leave::run;
use crate::modules::{Outcome, evaluate};
use crate::natives;
use crate::shared::{Doom, Host, HostValue, Shared};
use crate::thrown::describe;

/// Address space that blocks of different sizes may waste, as a multiple of the memory limit.
const ADDRESS_SPACE_A_LIMIT: usize = 4;
/// Address space for a very small limit.
const ADDRESS_SPACE_BYTES_MIN: usize = 16 << 20;
/// A call may allocate this much before the engine looks for garbage: looking touches every page of the image.
const GARBAGE_BYTES_MAX: usize = 16 << 20;

/// Gives the bytecode of modules by name, such as `rooms.js` or `_deps/AB.js`.
pub trait ModuleSource: Send + Sync {
    /// The module of this name, compiled under this name.
    fn bytecode(&self, name: &str) -> Option<Arc<Bytecode>>;

    /// Whether an import that is not relative, as in `zod`, names a module of this name. There is none by default.
    fn is_external(&self, _name: &str) -> bool {
        false
    }
}

/// The parts and limits of an isolate.
#[derive(Clone)]
pub struct IsolateOptions {
    /// Memory that the engine may hold before the seal. `ArrayBuffer`s count.
    pub memory_bytes_max: usize,
    /// Memory that the engine may hold beyond the image after it.
    pub call_bytes_max: usize,
    /// The stack that JavaScript may use. The thread needs half a megabyte more; a host that enters a second isolate within a call needs
    /// room for both.
    pub stack_bytes_max: usize,
    /// The modules.
    pub modules: Arc<dyn ModuleSource>,
    /// Scripts, evaluated in this order when the isolate is made.
    pub prelude: Arc<[Bytecode]>,
}

/// One JavaScript engine, with the image it goes back to.
pub struct Isolate {
    runtime: *mut qjs::JSRuntime,
    context: *mut qjs::JSContext,
    head: *mut Head,
    image: Option<Image>,
    call_bytes_max: usize,
    page_bytes: usize,
    /// Comes from a `Box`.
    shared: NonNull<Shared>,
    /// Everything of the engine's lies in here.
    arena: Arena,
}

// SAFETY: the engine has no thread of its own and keeps nothing in thread-local storage. Its stack limit, the only thing that depends on
// the thread, is set at each entry. The box and the arena belong to this isolate alone, and its module source is `Send`.
unsafe impl Send for Isolate {}

/// Forgets the host that an entry lent, on every way out.
struct Lent<'a>(&'a Shared);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.forget_host();
    }
}

impl Isolate {
    /// Makes an engine and evaluates the prelude.
    pub fn new(options: IsolateOptions, host: &mut dyn Host) -> Result<Isolate, Failure> {
        let mut isolate = Isolate::empty(&options)?;
        isolate.enter(host, |isolate| {
            isolate.start(options.stack_bytes_max)?;
            isolate.script(boot())?;
            // SAFETY: calls of the engine alone.
            let installed = unsafe {
                isolate.run(|context| natives::install(context) && known::install(context))
            };
            if !installed? {
                return Err(Failure::OutOfMemory);
            }
            for script in options.prelude.iter() {
                isolate.script(script)?;
            }
            isolate.drain()?;
            isolate.keep_dom_exception()?;
            // SAFETY: calls of the engine alone.
            unsafe { isolate.run(|context| natives::uninstall(context)) }
        })?;
        Ok(isolate)
    }

    /// An arena with an allocator in it, and no engine yet.
    fn empty(options: &IsolateOptions) -> Result<Isolate, Failure> {
        let address_space = options
            .memory_bytes_max
            .max(options.call_bytes_max)
            .saturating_mul(ADDRESS_SPACE_A_LIMIT)
            .max(ADDRESS_SPACE_BYTES_MIN);
        let arena = Arena::reserve(address_space).map_err(|_| Failure::OutOfMemory)?;
        // SAFETY: the arena is new, so nothing of it is usable yet, and a page lies within it.
        let committed_end = unsafe { commit(arena.start(), arena.start() + 1, arena.end()) }
            .ok_or(Failure::OutOfMemory)?;
        let shared = Box::new(Shared::new(options.modules.clone()));
        shared.committed_end.set(committed_end);
        let shared = NonNull::from(Box::leak(shared));
        // SAFETY: the arena's first step is usable, and the box is freed only when the isolate is dropped.
        let head = unsafe {
            Head::place(
                arena.base().as_ptr(),
                arena.end(),
                shared.as_ptr(),
                options.memory_bytes_max,
            )
        };
        Ok(Isolate {
            runtime: std::ptr::null_mut(),
            context: std::ptr::null_mut(),
            head,
            image: None,
            call_bytes_max: options.call_bytes_max,
            page_bytes: page_bytes(),
            shared,
            arena,
        })
    }

    fn shared(&self) -> &Shared {
        // SAFETY: the box lives as long as the isolate, and is only ever borrowed shared.
        unsafe { self.shared.as_ref() }
    }

    fn head(&self) -> &Head {
        // SAFETY: the head is in place as long as the arena is. The engine, which changes it, does not run while this is borrowed.
        unsafe { &*self.head }
    }

    /// Makes the engine itself.
    fn start(&mut self, stack_bytes_max: usize) -> Result<(), Failure> {
        let (head, opaque) = (self.head, self.shared.as_ptr().cast());
        let (shared, functions) = (self.shared.as_ptr().cast_const(), &raw const FUNCTIONS);
        // SAFETY: the functions serve this head. Each result is checked before it is used.
        let made = unsafe {
            run(self.shared(), || {
                let runtime = qjs::JS_NewRuntime2(functions, head.cast());
                if runtime.is_null() {
                    return None;
                }
                qjs::JS_SetMaxStackSize(runtime, stack_bytes_max as _);
                qjs::JS_SetInterruptHandler(runtime, Some(natives::interrupt), opaque);
                let tracker = Some(natives::track_rejection as _);
                qjs::JS_SetHostPromiseRejectionTracker(runtime, tracker, opaque);
                let (name, load) = (natives::module_name as _, natives::load_module as _);
                qjs::JS_SetModuleLoaderFunc(runtime, Some(name), Some(load), opaque);
                let context = new_context(runtime)?;
                qjs::JS_SetContextOpaque(context, opaque);
                let carried = &(*shared).async_context;
                let bytes = content_bytes(runtime.cast());
                carried
                    .start(runtime, context, bytes, opaque)
                    .then_some((runtime, context))
            })
        };
        let Some((runtime, context)) = made.flatten() else {
            return Err(Failure::OutOfMemory);
        };
        (self.runtime, self.context) = (runtime, context);
        Ok(())
    }

    /// Evaluates a script.
    fn script(&mut self, script: &Bytecode) -> Result<(), Failure> {
        let (code, length) = (script.code().as_ptr(), script.code().len());
        let flags = qjs::JS_READ_OBJ_BYTECODE as i32;
        // SAFETY: the bytecode was compiled by this process, which its type says; calls of the engine alone.
        let value = unsafe {
            self.run(|context| {
                let code = qjs::JS_ReadObject(context, code, length as _, flags);
                if qjs::JS_IsException(code) {
                    return code;
                }
                qjs::JS_EvalFunction(context, code)
            })
        }?;
        self.completed(value)
    }

    /// Keeps `DOMException` for errors of the host's, before a user's code can replace it.
    fn keep_dom_exception(&mut self) -> Result<(), Failure> {
        // SAFETY: calls of the engine alone.
        let constructor = unsafe {
            self.run(|context| {
                let global = qjs::JS_GetGlobalObject(context);
                let constructor = qjs::JS_GetPropertyStr(context, global, c"DOMException".as_ptr());
                qjs::JS_FreeValue(context, global);
                constructor
            })
        }?;
        self.shared().dom_exception.set(constructor);
        Ok(())
    }

    /// Imports a module and runs all jobs that follow from it.
    pub fn evaluate(&mut self, host: &mut dyn Host, module: &str) -> Result<(), Failure> {
        self.enter(host, |isolate| {
            // SAFETY: the context lives, and between two runs the box is not armed.
            match unsafe { evaluate(isolate.shared(), isolate.context, module) } {
                Outcome::Ready(_) => isolate.drain(),
                Outcome::Threw(error) => Err(isolate.threw(error)),
                Outcome::Unsettled => Err(Failure::Unsettled),
                Outcome::Missing(message) => Err(Failure::Threw(Thrown {
                    name: "TypeError".to_owned(),
                    message,
                    ..Thrown::default()
                })),
                Outcome::Doomed => Err(isolate.shared().failure()),
            }
        })
    }

    /// Calls a function that the prelude registered. Jobs that it leaves wait for [`Isolate::run_jobs`].
    pub fn call(
        &mut self,
        host: &mut dyn Host,
        function: &str,
        args: &[HostValue],
    ) -> Result<HostValue, Failure> {
        self.enter(host, |isolate| {
            let function = isolate.registered(function)?;
            let context = isolate.context;
            let mut values = Vec::with_capacity(args.len());
            for argument in args {
                // SAFETY: the context lives, and between two runs the box is not armed.
                let value = unsafe { to_engine(context, argument) };
                // SAFETY: only asks for the tag.
                if unsafe { qjs::JS_IsException(value) } {
                    return Err(isolate.pending());
                }
                values.push(value);
            }
            let (count, argv) = (values.len() as i32, values.as_mut_ptr());
            // SAFETY: calls of the engine alone; the arguments live in a vector outside this work, and are freed after the call.
            let result = unsafe {
                isolate.run(|context| {
                    let result = qjs::JS_Call(context, function, qjs::JS_UNDEFINED, count, argv);
                    for position in 0..count as usize {
                        qjs::JS_FreeValue(context, *argv.add(position));
                    }
                    result
                })
            }?;
            // SAFETY: only asks for the tag.
            if unsafe { qjs::JS_IsException(result) } {
                return Err(isolate.pending());
            }
            // SAFETY: the value is the engine's result, and the box is not armed.
            unsafe { natives::result_of(context, result) }.ok_or_else(|| {
                Failure::Threw(Thrown {
                    name: "TypeError".to_owned(),
                    message: "A function for the host returned neither a primitive nor bytes"
                        .to_owned(),
                    ..Thrown::default()
                })
            })
        })
    }

    /// Runs jobs until none is left. A rejection that is still unhandled then is a failure.
    pub fn run_jobs(&mut self, host: &mut dyn Host) -> Result<(), Failure> {
        self.enter(host, |isolate| isolate.drain())
    }

    /// Takes the image, to which [`Isolate::restore`] goes back.
    pub fn seal(&mut self) {
        if self.shared().is_doomed() || self.settle().is_err() {
            return;
        }
        // SAFETY: the engine is not running.
        if !unsafe { Head::seal(self.head, self.page_bytes, self.call_bytes_max) } {
            self.shared().doom(Doom::OutOfMemory);
            return;
        }
        self.shared().seal();
        let bytes = self.head().top() - self.arena.start();
        // SAFETY: the arena is usable up to its top, and the engine is not running.
        self.image = Some(unsafe { Image::take(self.arena.base(), bytes, self.page_bytes) });
    }

    /// Brings the engine to rest before the image is taken.
    fn settle(&mut self) -> Result<(), Failure> {
        let rejections = self.shared().rejections.take();
        let runtime = self.runtime;
        for promise in rejections {
            // SAFETY: the reference is ours, and used no more.
            unsafe { self.run(|context| qjs::JS_FreeValue(context, promise)) }?;
        }
        let head = self.head;
        // SAFETY: calls of the engine alone, and the head, which it serves from.
        unsafe {
            self.run(|_| {
                qjs::JS_RunGC(runtime);
                fill_slabs(runtime, head);
            })
        }?;
        // The engine compares its threshold with all that it holds, the image and a few bytes for each block included.
        let held = self.head().live();
        let threshold = held + held / 8 + GARBAGE_BYTES_MAX;
        // SAFETY: a number is set in the runtime, which is ours.
        unsafe { qjs::JS_SetGCThreshold(runtime, threshold as _) };
        Ok(())
    }

    /// Goes back to the image, and abandons all state of the call.
    ///
    /// # Panics
    ///
    /// If the isolate was never sealed.
    pub fn restore(&mut self) {
        let peak = self.head().peak();
        let image = self.image.as_mut();
        let image = image.expect("only a sealed isolate is restored");
        // SAFETY: the image is of this arena. No entry is under way, so no engine's frame is on the stack, and nothing beyond the image is in
        // use once it is back.
        unsafe {
            image.restore(self.arena.base());
            give_back(self.arena.start() + image.bytes(), peak, self.page_bytes);
        }
        self.shared().restore();
        debug_assert!(self.is_at_image(), "a restore brings back every byte");
    }

    /// Whether the arena is the image, byte for byte. False before the seal.
    pub fn is_at_image(&self) -> bool {
        self.image.is_some() && self.changed_bytes() == 0
    }

    /// The part of the image that differs now, in whole pages. Compares all of it.
    pub fn changed_bytes(&self) -> usize {
        // SAFETY: the image is of this arena, and the engine is not running.
        unsafe {
            let image = self.image.as_ref();
            image.map_or(0, |image| image.changed_bytes(self.arena.base()))
        }
    }

    /// Limits the time in the engine until the next restore. Calls out to the host do not count.
    pub fn set_budget(&mut self, cpu: Duration) {
        self.shared().clock.set_budget(cpu);
    }

    /// The time spent in the engine since the last restore.
    pub fn cpu_used(&self) -> Duration {
        self.shared().clock.used()
    }

    /// The size of the image, 0 before the seal.
    pub fn image_bytes(&self) -> usize {
        self.image.as_ref().map_or(0, Image::bytes)
    }

    /// The memory that the engine holds now.
    pub fn memory_used(&self) -> usize {
        self.head().live()
    }

    /// The highest end of the memory that the engine used since the seal, the image included.
    pub fn peak_bytes(&self) -> usize {
        self.head().peak() - self.arena.start()
    }

    /// The isolate's memory on the machine. Asks the system, so it is not for every call.
    pub fn resident_bytes(&self) -> usize {
        let arena = self.arena.resident_bytes(self.shared().committed_end.get());
        arena + self.image.as_ref().map_or(0, Image::own_bytes)
    }

    /// One entry: the host is reachable, the stack limit is this thread's, and a doomed call fails whatever the work says.
    fn enter<R>(
        &mut self,
        host: &mut dyn Host,
        work: impl FnOnce(&mut Isolate) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        if self.shared().is_doomed() {
            return Err(self.shared().failure());
        }
        if !self.runtime.is_null() {
            // SAFETY: the runtime and the context live.
            unsafe {
                qjs::JS_UpdateStackTop(self.runtime);
                self.shared().async_context.rest(self.context);
            }
        }
        // SAFETY: the box outlives this entry.
        let shared = unsafe { self.shared.as_ref() };
        shared.lend_host(host);
        let lent = Lent(shared);
        let result = work(self);
        drop(lent);
        if shared.is_doomed() {
            return Err(shared.failure());
        }
        result
    }

    /// Work of the engine's.
    ///
    /// # Safety
    ///
    /// As for [`run`]: calls of the engine alone, and nothing that has a destructor.
    unsafe fn run<R: Copy>(
        &self,
        work: impl FnOnce(*mut qjs::JSContext) -> R + Copy,
    ) -> Result<R, Failure> {
        let context = self.context;
        // SAFETY: what the caller promises.
        unsafe { run(self.shared(), || work(context)) }.ok_or_else(|| self.shared().failure())
    }

    /// Runs jobs until none is left.
    fn drain(&mut self) -> Result<(), Failure> {
        let runtime = self.runtime;
        let carried = &raw const self.shared().async_context;
        // SAFETY: calls of the engine alone, and of the box, which outlives the arena.
        let last = unsafe {
            self.run(|context| {
                let mut ran_in = context;
                loop {
                    (*carried).enter_next_job(context);
                    let answer = qjs::JS_ExecutePendingJob(runtime, &raw mut ran_in);
                    if answer <= 0 {
                        return answer;
                    }
                }
            })
        }?;
        if last < 0 {
            return Err(self.pending());
        }
        let rejections = self.shared().rejections.take();
        let Some(first) = rejections.first() else {
            return Ok(());
        };
        // SAFETY: each promise has a reference of ours, which is given up after the reason is read.
        let reason = unsafe { qjs::JS_PromiseResult(self.context, *first) };
        for promise in rejections {
            // SAFETY: the reference is ours, and used no more.
            unsafe { self.run(|context| qjs::JS_FreeValue(context, promise)) }?;
        }
        Err(self.threw(reason))
    }

    /// The function of this name.
    fn registered(&self, name: &str) -> Result<qjs::JSValue, Failure> {
        let functions = self.shared().functions.borrow();
        let known = functions.iter().find(|known| known.name == name);
        known.map(|known| known.function).ok_or_else(|| {
            let message = format!("The prelude registers no function {name}");
            Failure::Fatal(HostError::fatal(message))
        })
    }

    /// Nothing if this value stands for no exception.
    fn completed(&mut self, value: qjs::JSValue) -> Result<(), Failure> {
        // SAFETY: the value is ours to free.
        unsafe {
            if qjs::JS_IsException(value) {
                return Err(self.pending());
            }
            qjs::JS_FreeValue(self.context, value);
        }
        Ok(())
    }

    /// The exception that is pending.
    fn pending(&mut self) -> Failure {
        // SAFETY: the context lives.
        let error = unsafe { qjs::JS_GetException(self.context) };
        self.threw(error)
    }

    /// A thrown value, read and freed.
    fn threw(&mut self, error: qjs::JSValue) -> Failure {
        // SAFETY: the value is one of this engine's with a reference of ours, and the box is not armed.
        let thrown = unsafe {
            let thrown = describe(self.shared(), self.context, error);
            qjs::JS_FreeValue(self.context, error);
            thrown
        };
        if self.shared().is_doomed() {
            return self.shared().failure();
        }
        Failure::Threw(thrown)
    }
}

impl Drop for Isolate {
    fn drop(&mut self) {
        // SAFETY: the box came from a `Box`, and the engine that also knew it never runs again: its arena is unmapped next.
        drop(unsafe { Box::from_raw(self.shared.as_ptr()) });
    }
}
