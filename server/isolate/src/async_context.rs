//! The value that follows asynchronous work, as `AsyncLocalStorage` needs it.
//!
//! The engine has a hook for a promise's making but none for the running of a reaction. So each promise, as it is made,
//! keeps the current value in a hidden property. Before a job runs, the promise that the job serves tells its value.
//! For `then` that is its result, for an `await` the promise of the async function. Only the pending job itself names
//! that promise, and its layout is private to the engine. So [`find_jobs`] finds the list by making a job and looking
//! for it, and [`engine_version`] is pinned.
//!
//! An `await` of an async generator serves the promise of the oldest `next()` that has no answer yet.
//!
//! A value that is set for good, as `enterWith` does, has to outlast the awaits of the functions that are running. So
//! [`AsyncContext::enter`] walks the engine's stack and changes the value that each async function there keeps.
//!
//! Nothing of this costs anything until a value is set.
//!
//! [`engine_version`]: crate::engine_version

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};

use rquickjs_sys as qjs;

use crate::convert::forget_exception;
use crate::shared::Shared;

/// The value, and where the engine's jobs are.
pub(crate) struct AsyncContext {
    value: Cell<qjs::JSValue>,
    /// The value at the seal.
    sealed: Cell<qjs::JSValue>,
    /// Whether a value was ever set since the restore.
    is_used: Cell<bool>,
    was_used_at_seal: Cell<bool>,
    jobs: Cell<*const Link>,
    /// The name of the hidden property.
    property: Cell<qjs::JSAtom>,
    /// The class of a promise's resolving functions.
    resolving_class: Cell<qjs::JSClassID>,
    /// The class of the engine's own functions that carry values.
    data_function_class: Cell<qjs::JSClassID>,
}

/// A place in one of the engine's lists.
#[repr(C)]
struct Link {
    previous: *const Link,
    next: *const Link,
}

/// A pending job, as the engine lays it out. The arguments follow.
#[repr(C)]
struct Job {
    link: Link,
    context: *mut qjs::JSContext,
    function: *const c_void,
    argument_count: c_int,
    arguments: [qjs::JSValue; 0],
}

/// The slots that a promise's resolving function names.
#[repr(C)]
struct Resolving {
    promise: qjs::JSValue,
}

/// The slots that the continuation of an async function names.
#[repr(C)]
struct AsyncFunction {
    link: Link,
    resolving: [qjs::JSValue; 2],
}

/// A function of the engine's own that carries values. The continuation of an async generator carries the generator.
#[repr(C)]
struct DataFunction {
    function: *const c_void,
    length: u8,
    value_count: u8,
    magic: u16,
    values: [qjs::JSValue; 0],
}

/// A frame of the engine's stack.
#[repr(C)]
struct Frame {
    previous: *const Frame,
    function: qjs::JSValue,
    arguments: *const c_void,
    variables: *const c_void,
    references: *const c_void,
    place: *const c_void,
    counts: [u16; 2],
    flags: [bool; 2],
    stack: *const c_void,
    /// The async function or the generator that the frame belongs to. Only frames of those have it set.
    owner: *const c_void,
}

/// The part of an async function and of a generator that runs.
#[repr(C)]
struct Coroutine {
    this: qjs::JSValue,
    argument_count: c_int,
    is_thrown: bool,
    frame: Frame,
}

/// An async generator, with the calls of `next`, `return` and `throw` that wait for their answers.
#[repr(C)]
struct AsyncGenerator {
    object: *const c_void,
    state: c_int,
    coroutine: Coroutine,
    requests: Link,
}

/// One such call.
#[repr(C)]
struct Request {
    link: Link,
    kind: c_int,
    argument: qjs::JSValue,
    promise: qjs::JSValue,
}

/// The header that the engine's allocator puts before each block.
#[repr(C)]
struct BlockHeader {
    place: u16,
    size: u8,
    /// The kind of the block in the low bits, and a mark of the collector's.
    kind: u8,
    references: c_int,
}

const KIND_BITS: u8 = 0x7F;
const KIND_OBJECT: u8 = 0;
const KIND_ASYNC_FUNCTION: u8 = 4;

/// Classes of the engine, counted from that of a promise's `resolve`: a promise's `reject`, async functions, their
/// continuations, functions that make async generators, those generators.
const REJECT: qjs::JSClassID = 1;
const ASYNC_FUNCTION: qjs::JSClassID = 2;
const CONTINUE: qjs::JSClassID = 3;
const CONTINUE_THROWING: qjs::JSClassID = 4;
const ASYNC_GENERATOR_FUNCTION: qjs::JSClassID = 6;
const ASYNC_GENERATOR: qjs::JSClassID = 7;

/// Words of the runtime from its newest frame to its list of jobs.
const WORDS_FROM_FRAME_TO_JOBS: usize = 8;
/// Words of the runtime from the data of its interrupt handler, which is ours, to its list of jobs.
const WORDS_FROM_OPAQUE_TO_JOBS: usize = 6;
/// Frames that are looked at. The engine's stack has no room for more.
const FRAMES_MAX: usize = 100_000;

/// The argument of the marker job.
const MARK: i32 = 0x5EA1_10B5;

impl AsyncContext {
    pub(crate) fn new() -> AsyncContext {
        AsyncContext {
            value: Cell::new(qjs::JS_UNDEFINED),
            sealed: Cell::new(qjs::JS_UNDEFINED),
            is_used: Cell::new(false),
            was_used_at_seal: Cell::new(false),
            jobs: Cell::new(null()),
            property: Cell::new(0),
            resolving_class: Cell::new(0),
            data_function_class: Cell::new(0),
        }
    }

    /// Whether this engine's jobs can be read.
    pub(crate) fn is_supported(&self) -> bool {
        !self.jobs.get().is_null()
    }

    pub(crate) fn seal(&self) {
        self.sealed.set(self.value.get());
        self.was_used_at_seal.set(self.is_used.get());
    }

    /// Goes back to the sealed value. The current value is not freed: the restore does that.
    pub(crate) fn restore(&self) {
        self.value.set(self.sealed.get());
        self.is_used.set(self.was_used_at_seal.get());
    }

    /// The current value, with a reference for the caller.
    ///
    /// # Safety
    ///
    /// The context lives.
    pub(crate) unsafe fn get(&self, context: *mut qjs::JSContext) -> qjs::JSValue {
        // SAFETY: the value has a reference of ours.
        unsafe { qjs::JS_DupValue(context, self.value.get()) }
    }

    /// Sets the value, whose reference is given away.
    ///
    /// # Safety
    ///
    /// The context lives.
    pub(crate) unsafe fn set(&self, context: *mut qjs::JSContext, value: qjs::JSValue) {
        // SAFETY: the old value has a reference of ours, which ends here.
        unsafe {
            if !qjs::JS_IsUndefined(value) {
                self.is_used.set(true);
            }
            qjs::JS_FreeValue(context, self.value.replace(value));
        }
    }

    /// Sets the value for good: for the rest of this work, and for the async functions that are running now, after
    /// their awaits. The reference is given away.
    ///
    /// # Safety
    ///
    /// The context lives, and a native function that it has called calls this.
    pub(crate) unsafe fn enter(&self, context: *mut qjs::JSContext, value: qjs::JSValue) {
        // SAFETY: the engine is running, so its frames live, and so do the owners of those. The word of the newest frame
        // was found at the start beside the list of jobs.
        unsafe {
            self.set(context, value);
            if !self.is_supported() {
                return;
            }
            let newest = self.jobs.get().cast::<*const Frame>();
            let mut frame = *newest.sub(WORDS_FROM_FRAME_TO_JOBS);
            for _ in 0..FRAMES_MAX {
                if frame.is_null() {
                    return;
                }
                if let Some(promise) = self.promise_of_frame(frame) {
                    self.keep_in(context, promise);
                }
                frame = (*frame).previous;
            }
        }
    }

    /// The promise of an async function or an async generator that is running.
    unsafe fn promise_of_frame(&self, frame: *const Frame) -> Option<qjs::JSValue> {
        // SAFETY: the frame lives. Only frames of these classes of functions are sure to name their owner, a block of
        // the engine's, whose header says what it is.
        unsafe {
            let mut class = 0;
            let function = qjs::JS_GetAnyOpaque((*frame).function, &raw mut class);
            let class = class.wrapping_sub(self.resolving_class.get());
            let is_async = class == ASYNC_FUNCTION || class == ASYNC_GENERATOR_FUNCTION;
            let owner = (*frame).owner;
            if function.is_null() || !is_async || owner.is_null() {
                return None;
            }
            let header = owner.cast::<BlockHeader>().sub(1);
            match (*header).kind & KIND_BITS {
                KIND_ASYNC_FUNCTION => {
                    self.resolved_by((*owner.cast::<AsyncFunction>()).resolving[0])
                }
                KIND_OBJECT => {
                    let object = qjs::JS_MKPTR(qjs::JS_TAG_OBJECT, owner.cast_mut());
                    self.asked_of_generator(object)
                }
                _ => None,
            }
        }
    }

    /// The promise of the call that an async generator works for.
    unsafe fn asked_of_generator(&self, generator: qjs::JSValue) -> Option<qjs::JSValue> {
        let mut class = 0;
        // SAFETY: the class is asked before the content is read. A request is in the list until it is answered.
        unsafe {
            let data = qjs::JS_GetAnyOpaque(generator, &raw mut class);
            let is_generator = class.wrapping_sub(self.resolving_class.get()) == ASYNC_GENERATOR;
            if data.is_null() || !is_generator {
                return None;
            }
            let requests = &raw const (*data.cast::<AsyncGenerator>()).requests;
            let first = (*requests).next;
            (first != requests).then(|| (*first.cast::<Request>()).promise)
        }
    }

    /// Sets the value of the seal, as an entry begins and as it ends.
    ///
    /// # Safety
    ///
    /// The context lives.
    pub(crate) unsafe fn rest(&self, context: *mut qjs::JSContext) {
        if self.is_used.get() {
            // SAFETY: the sealed value has a reference of ours besides the one that is taken.
            unsafe { self.set(context, qjs::JS_DupValue(context, self.sealed.get())) };
        }
    }

    /// Sets the value under which the next job has to run.
    ///
    /// # Safety
    ///
    /// The context lives. May be work of a `run`: nothing here owns anything.
    pub(crate) unsafe fn enter_next_job(&self, context: *mut qjs::JSContext) {
        if !self.is_used.get() {
            return;
        }
        // SAFETY: the list was found in this engine, and it is the engine's thread that reads it.
        unsafe {
            let head = self.jobs.get();
            let first = (*head).next;
            if first == head {
                return;
            }
            let value = match self.promise_of(first.cast()) {
                Some(promise) => self.kept_in(context, promise),
                None => qjs::JS_DupValue(context, self.sealed.get()),
            };
            self.set(context, value);
        }
    }

    /// The promise that a job serves.
    unsafe fn promise_of(&self, job: *const Job) -> Option<qjs::JSValue> {
        // SAFETY: the job is pending, so all its arguments are alive; each class is asked before its content is read.
        unsafe {
            let count = (*job).argument_count;
            let arguments = (&raw const (*job).arguments).cast::<qjs::JSValue>();
            if count < 1 {
                return None;
            }
            if qjs::JS_IsPromise(*arguments) {
                return Some(*arguments);
            }
            if let Some(promise) = self.resolved_by(*arguments) {
                return Some(promise);
            }
            if count < 3 {
                return None;
            }
            let mut class = 0;
            let handler = qjs::JS_GetAnyOpaque(*arguments.add(2), &raw mut class);
            if !handler.is_null() && class == self.data_function_class.get() {
                let carried = handler.cast::<DataFunction>();
                let values = (&raw const (*carried).values).cast::<qjs::JSValue>();
                return match (*carried).value_count {
                    0 => None,
                    _ => self.asked_of_generator(*values),
                };
            }
            let class = class.wrapping_sub(self.resolving_class.get());
            if handler.is_null() || (class != CONTINUE && class != CONTINUE_THROWING) {
                return None;
            }
            self.resolved_by((*handler.cast::<AsyncFunction>()).resolving[0])
        }
    }

    /// The promise of a resolving function.
    unsafe fn resolved_by(&self, function: qjs::JSValue) -> Option<qjs::JSValue> {
        let mut class = 0;
        // SAFETY: the class is asked before the content is read.
        unsafe {
            let resolving = qjs::JS_GetAnyOpaque(function, &raw mut class);
            let is_resolving = class.wrapping_sub(self.resolving_class.get()) <= REJECT;
            if resolving.is_null() || !is_resolving {
                return None;
            }
            Some((*resolving.cast::<Resolving>()).promise)
        }
    }

    /// The value that a promise keeps, with a reference for the caller.
    unsafe fn kept_in(&self, context: *mut qjs::JSContext, promise: qjs::JSValue) -> qjs::JSValue {
        let mut found = qjs::JSPropertyDescriptor {
            flags: 0,
            value: qjs::JS_UNDEFINED,
            getter: qjs::JS_UNDEFINED,
            setter: qjs::JS_UNDEFINED,
        };
        // SAFETY: a promise is an ordinary object, so no code of a user's runs. Our property has no getter.
        let answer = unsafe {
            qjs::JS_GetOwnProperty(context, &raw mut found, promise, self.property.get())
        };
        if answer == 1 {
            found.value
        } else {
            qjs::JS_UNDEFINED
        }
    }

    /// Keeps the value of now in a promise.
    unsafe fn keep_in(&self, context: *mut qjs::JSContext, promise: qjs::JSValue) {
        // SAFETY: a promise is an ordinary object, so no code of a user's runs. If memory is out, the allocator leaves
        // from here: this frame owns nothing.
        unsafe {
            let value = qjs::JS_DupValue(context, self.value.get());
            // It may change its value, and can never become a getter.
            let flags = qjs::JS_PROP_WRITABLE as c_int;
            if qjs::JS_DefinePropertyValue(context, promise, self.property.get(), value, flags) < 0
            {
                forget_exception(context);
            }
        }
    }

    /// Sets all this up in a new engine, if its jobs can be found.
    ///
    /// # Safety
    ///
    /// Engine and context are new and `runtime_bytes` is the size of the runtime's block. May be work of a `run`.
    pub(crate) unsafe fn start(
        &self,
        runtime: *mut qjs::JSRuntime,
        context: *mut qjs::JSContext,
        runtime_bytes: usize,
        opaque: *mut c_void,
    ) -> bool {
        // SAFETY: calls of the engine alone; what is made is freed, or kept for good.
        unsafe {
            let mut resolving = [qjs::JS_UNDEFINED; 2];
            let promise = qjs::JS_NewPromiseCapability(context, resolving.as_mut_ptr());
            let symbol = qjs::JS_NewSymbol(context, c"asyncContext".as_ptr(), false);
            if qjs::JS_IsException(promise) || qjs::JS_IsException(symbol) {
                return false;
            }
            self.resolving_class.set(qjs::JS_GetClassID(resolving[0]));
            self.property.set(qjs::JS_ValueToAtom(context, symbol));
            let carrying = qjs::JS_NewCFunctionData(context, Some(carrier), 0, 0, 0, null_mut());
            if qjs::JS_IsException(carrying) {
                return false;
            }
            self.data_function_class.set(qjs::JS_GetClassID(carrying));
            for value in [promise, resolving[0], resolving[1], symbol, carrying] {
                qjs::JS_FreeValue(context, value);
            }
            let jobs = find_jobs(runtime, context, runtime_bytes);
            if !jobs.is_null() {
                // The runtime is laid out as it is read above: this word is known.
                let known = *jobs.cast::<*mut c_void>().sub(WORDS_FROM_OPAQUE_TO_JOBS);
                assert!(known == opaque, "the engine's runtime has another layout");
            }
            self.jobs.set(jobs);
            if self.is_supported() {
                qjs::JS_SetPromiseHook(runtime, Some(promise_made), opaque);
            }
            true
        }
    }
}

/// Finds the list of jobs in the runtime: makes one and looks for the list that holds only it. Null if there is none.
unsafe fn find_jobs(
    runtime: *mut qjs::JSRuntime,
    context: *mut qjs::JSContext,
    runtime_bytes: usize,
) -> *const Link {
    let mut found = null();
    // SAFETY: the scan stays within the runtime's block. A word is followed only if it equals its neighbour and both
    // name a block of the arena. The runtime's words do so if they are a list of one.
    unsafe {
        let mut mark = qjs::JS_MKVAL(qjs::JS_TAG_INT, MARK);
        if qjs::JS_EnqueueJob(context, Some(marker), 1, &raw mut mark) != 0 {
            return null();
        }
        let start = runtime.cast::<u8>();
        for offset in (0..runtime_bytes - size_of::<Link>()).step_by(size_of::<usize>()) {
            let head = start.add(offset).cast::<Link>().cast_const();
            let first = (*head).next;
            let is_near = (first as usize).abs_diff(start as usize) < NEAR_BYTES
                && first.is_aligned()
                && (first as usize) > start as usize;
            if !is_near || first != (*head).previous || first == head {
                continue;
            }
            if (*first).next == head && (*first).previous == head && is_marker(first, context) {
                found = head;
                break;
            }
        }
        let mut ran_in = context;
        qjs::JS_ExecutePendingJob(runtime, &raw mut ran_in);
    }
    found
}

/// In a new engine everything lies this near to the runtime, within the arena's first step.
const NEAR_BYTES: usize = 512 << 10;

unsafe fn is_marker(job: *const Link, context: *mut qjs::JSContext) -> bool {
    // SAFETY: the caller found a list of one in the engine's memory; the arena is usable this far.
    unsafe {
        let job = job.cast::<Job>();
        let arguments = (&raw const (*job).arguments).cast::<qjs::JSValue>();
        (*job).context == context
            && (*job).function == marker as *const c_void
            && (*job).argument_count == 1
            && qjs::JS_IsInt(*arguments)
            && qjs::JS_VALUE_GET_INT(*arguments) == MARK
    }
}

/// A function that carries values, of which only the class is looked at.
unsafe extern "C" fn carrier(
    _context: *mut qjs::JSContext,
    _this: qjs::JSValue,
    _argc: c_int,
    _argv: *mut qjs::JSValue,
    _magic: c_int,
    _values: *mut qjs::JSValue,
) -> qjs::JSValue {
    qjs::JS_UNDEFINED
}

unsafe extern "C" fn marker(
    _context: *mut qjs::JSContext,
    _argc: c_int,
    _argv: *mut qjs::JSValue,
) -> qjs::JSValue {
    qjs::JS_UNDEFINED
}

/// Keeps the value of now in a promise that is being made.
unsafe extern "C" fn promise_made(
    context: *mut qjs::JSContext,
    kind: qjs::JSPromiseHookType,
    promise: qjs::JSValue,
    _parent: qjs::JSValue,
    opaque: *mut c_void,
) {
    if kind != qjs::JSPromiseHookType_JS_PROMISE_HOOK_INIT {
        return;
    }
    // SAFETY: the opaque pointer names the box, which outlives the arena. A promise is an ordinary object, so no code of a user's runs. If
    // memory is out, the allocator leaves from here: this frame owns nothing.
    unsafe {
        let carried = &(*opaque.cast::<Shared>()).async_context;
        if !qjs::JS_IsUndefined(carried.value.get()) {
            carried.keep_in(context, promise);
        }
    }
}
