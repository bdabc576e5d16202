//! The C functions that the engine calls.
//!
//! Each of them does its work in [`guarded`]. There no jump can skip what the work owns, the engine's clock stands
//! still, and a panic dooms the call. Only when all is let go of does a doomed call leave the engine.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

use rquickjs_sys as qjs;

use crate::convert::{from_engine, string, throw, throw_class, to_engine};
use crate::error::ErrorClass;
use crate::leave::leave;
use crate::modules::{Outcome, declare, evaluate, link};
use crate::names::unresolved;
use crate::shared::{Doom, HostValue, Registered, Shared};

/// How many unhandled rejections are remembered. One is enough to fail the call.
const REJECTIONS_MAX: usize = 4096;

/// How many arguments a call out of JavaScript may have.
const ARGUMENTS_MAX: usize = 64;

/// The refusal of a module that awaits at its top level.
const UNSETTLED: &str = "Top-level awaits in source files are unsupported";

/// Does a native's work where no jump is allowed, and leaves the engine afterwards if the call is doomed.
///
/// # Safety
///
/// The context is that of an isolate, and the engine calls. The work gets rid of all it makes.
pub(crate) unsafe fn guarded<R: Copy>(
    context: *mut qjs::JSContext,
    doomed: R,
    work: impl FnOnce(&Shared) -> R,
) -> R {
    let counted_apart = |shared: &Shared| {
        let was_counting = shared.clock.stop();
        let result = work(shared);
        if was_counting && !shared.is_doomed() {
            shared.clock.start();
        }
        result
    };
    // SAFETY: what the caller promises.
    unsafe { disarmed(context, doomed, counted_apart) }
}

/// As [`guarded`], for work that counts as the engine's own time.
///
/// # Safety
///
/// As for [`guarded`].
pub(crate) unsafe fn disarmed<R: Copy>(
    context: *mut qjs::JSContext,
    doomed: R,
    work: impl FnOnce(&Shared) -> R,
) -> R {
    // SAFETY: an isolate's context names its box, which outlives the arena.
    let shared = unsafe { &*qjs::JS_GetContextOpaque(context).cast::<Shared>() };
    let was_armed = shared.is_armed.replace(false);
    let result = catch_unwind(AssertUnwindSafe(|| work(shared))).unwrap_or_else(|payload| {
        shared.doom(Doom::Panicked(Some(payload)));
        doomed
    });
    shared.is_armed.set(was_armed);
    if !shared.is_doomed() {
        return result;
    }
    if was_armed {
        // SAFETY: the work is done and gone, the result is `Copy`, and the frame that armed the box owned nothing.
        unsafe { leave(shared) }
    }
    doomed
}

/// The arguments of a native.
pub(crate) unsafe fn arguments<'a>(argc: c_int, argv: *mut qjs::JSValue) -> &'a [qjs::JSValue] {
    let count = usize::try_from(argc).unwrap_or(0);
    if count == 0 {
        return &[];
    }
    // SAFETY: the engine passes this many values, which live as long as the native runs.
    unsafe { std::slice::from_raw_parts(argv, count) }
}

/// The first argument, if it is a string.
unsafe fn first_text(context: *mut qjs::JSContext, arguments: &[qjs::JSValue]) -> Option<String> {
    let first = *arguments.first()?;
    // SAFETY: the value is one of this engine's.
    unsafe {
        qjs::JS_IsString(first)
            .then(|| string(context, first))
            .flatten()
    }
}

/// `__host(op, ...args)`
unsafe extern "C" fn host(
    context: *mut qjs::JSContext,
    _this: qjs::JSValue,
    argc: c_int,
    argv: *mut qjs::JSValue,
) -> qjs::JSValue {
    // SAFETY: the engine calls with its context and this many arguments.
    unsafe {
        guarded(context, qjs::JS_EXCEPTION, |shared| {
            host_call(shared, context, arguments(argc, argv))
        })
    }
}

unsafe fn host_call(
    shared: &Shared,
    context: *mut qjs::JSContext,
    arguments: &[qjs::JSValue],
) -> qjs::JSValue {
    // SAFETY: called inside `guarded`, so the box is not armed.
    unsafe {
        let Some((op, values)) = host_arguments(context, arguments) else {
            let message = "The name of a host operation must be a string";
            return throw_class(shared, context, ErrorClass::TypeError, message);
        };
        let mut values = match values {
            Ok(values) => values,
            Err(position) => {
                let message = format!(
                    "Argument {position} of the host operation {op} must be a primitive or bytes"
                );
                return throw_class(shared, context, ErrorClass::TypeError, message);
            }
        };
        match shared.with_host(|host| host.call(&op, &mut values)) {
            Ok(value) => to_engine(context, &value),
            Err(error) if error.is_fatal => {
                shared.doom(Doom::Fatal(error));
                qjs::JS_EXCEPTION
            }
            Err(error) => throw(shared, context, &error),
        }
    }
}

/// An operation's name and its arguments, or the position of the first argument that cannot cross. Nothing without a name.
///
/// # Safety
///
/// Called inside [`guarded`] or [`disarmed`] with the context and the arguments of a native.
pub(crate) unsafe fn host_arguments(
    context: *mut qjs::JSContext,
    arguments: &[qjs::JSValue],
) -> Option<(String, Result<Vec<HostValue>, usize>)> {
    // SAFETY: what the caller promises.
    unsafe {
        let op = first_text(context, arguments)?;
        let mut values = Vec::with_capacity(arguments.len() - 1);
        for argument in arguments[1..].iter().take(ARGUMENTS_MAX) {
            let Some(value) = from_engine(context, *argument) else {
                return Some((op, Err(values.len() + 1)));
            };
            values.push(value);
        }
        Some((op, Ok(values)))
    }
}

/// `__register(name, fn)`
unsafe extern "C" fn register(
    context: *mut qjs::JSContext,
    _this: qjs::JSValue,
    argc: c_int,
    argv: *mut qjs::JSValue,
) -> qjs::JSValue {
    // SAFETY: the engine calls with its context and this many arguments. The reference that is taken is ours for good.
    unsafe {
        guarded(context, qjs::JS_EXCEPTION, |shared| {
            let arguments = arguments(argc, argv);
            let name = first_text(context, arguments);
            let function = arguments.get(1).copied().unwrap_or(qjs::JS_UNDEFINED);
            let Some(name) = name.filter(|_| qjs::JS_IsFunction(context, function)) else {
                let message = "A name and a function are needed";
                return throw_class(shared, context, ErrorClass::TypeError, message);
            };
            let mut functions = shared.functions.borrow_mut();
            if functions.iter().any(|other| other.name == name) {
                let message = format!("A function {name} is registered already");
                return throw_class(shared, context, ErrorClass::TypeError, message);
            }
            let function = qjs::JS_DupValue(context, function);
            functions.push(Registered { name, function });
            qjs::JS_UNDEFINED
        })
    }
}

/// `__module(name)`
unsafe extern "C" fn module(
    context: *mut qjs::JSContext,
    _this: qjs::JSValue,
    argc: c_int,
    argv: *mut qjs::JSValue,
) -> qjs::JSValue {
    // SAFETY: the engine calls with its context and this many arguments.
    unsafe {
        guarded(context, qjs::JS_EXCEPTION, |shared| {
            let Some(name) = first_text(context, arguments(argc, argv)) else {
                let message = "The name of a module must be a string";
                return throw_class(shared, context, ErrorClass::TypeError, message);
            };
            match evaluate(shared, context, &name) {
                Outcome::Ready(module) => qjs::JS_GetModuleNamespace(context, module),
                Outcome::Threw(error) => qjs::JS_Throw(context, error),
                Outcome::Unsettled => throw_class(shared, context, ErrorClass::Error, UNSETTLED),
                Outcome::Missing(text) => throw_class(shared, context, ErrorClass::TypeError, text),
                Outcome::Doomed => qjs::JS_EXCEPTION,
            }
        })
    }
}

/// `__hasModule(name)`
unsafe extern "C" fn has_module(
    context: *mut qjs::JSContext,
    _this: qjs::JSValue,
    argc: c_int,
    argv: *mut qjs::JSValue,
) -> qjs::JSValue {
    // SAFETY: the engine calls with its context and this many arguments.
    unsafe {
        guarded(context, qjs::JS_EXCEPTION, |shared| {
            let name = first_text(context, arguments(argc, argv));
            let has = name.is_some_and(|name| shared.source.bytecode(&name).is_some());
            if has { qjs::JS_TRUE } else { qjs::JS_FALSE }
        })
    }
}

/// `__asyncContext()` answers with the value that follows asynchronous work; `__asyncContext(value)` sets it, and
/// `__asyncContext(value, true)` sets it for the running async functions too.
unsafe extern "C" fn async_context(
    context: *mut qjs::JSContext,
    _this: qjs::JSValue,
    argc: c_int,
    argv: *mut qjs::JSValue,
) -> qjs::JSValue {
    // SAFETY: the engine calls with its context and this many arguments. The reference that is taken is given to the context's value.
    unsafe {
        guarded(context, qjs::JS_EXCEPTION, |shared| {
            let given = arguments(argc, argv);
            let Some(value) = given.first() else {
                return shared.async_context.get(context);
            };
            let value = qjs::JS_DupValue(context, *value);
            match given.len() {
                1 => shared.async_context.set(context, value),
                _ => shared.async_context.enter(context, value),
            }
            qjs::JS_UNDEFINED
        })
    }
}

/// The natives, which are on `globalThis` while the prelude runs.
const NATIVES: [(&CStr, qjs::JSCFunction, c_int); 5] = [
    (c"__host", Some(host), 1),
    (c"__register", Some(register), 2),
    (c"__module", Some(module), 1),
    (c"__hasModule", Some(has_module), 1),
    (c"__asyncContext", Some(async_context), 0),
];

/// Puts the natives on the global object. False if memory is out.
///
/// # Safety
///
/// The context lives. May be the work of a `run`.
pub(crate) unsafe fn install(context: *mut qjs::JSContext) -> bool {
    // SAFETY: as the caller promises; values are given away or freed here.
    unsafe {
        let global = qjs::JS_GetGlobalObject(context);
        let mut is_done = true;
        for (name, function, length) in NATIVES {
            let kind = qjs::JSCFunctionEnum_JS_CFUNC_generic;
            let value = qjs::JS_NewCFunction2(context, function, name.as_ptr(), length, kind, 0);
            let flags = qjs::JS_PROP_C_W_E as c_int;
            is_done &=
                qjs::JS_DefinePropertyValueStr(context, global, name.as_ptr(), value, flags) >= 0;
        }
        qjs::JS_FreeValue(context, global);
        is_done
    }
}

/// Takes the natives off the global object, if the prelude has not.
///
/// # Safety
///
/// As for [`install`].
pub(crate) unsafe fn uninstall(context: *mut qjs::JSContext) {
    // SAFETY: what the caller promises.
    unsafe {
        let global = qjs::JS_GetGlobalObject(context);
        for (name, _, _) in NATIVES {
            let atom = qjs::JS_NewAtom(context, name.as_ptr());
            qjs::JS_DeleteProperty(context, global, atom, 0);
            qjs::JS_FreeAtom(context, atom);
        }
        qjs::JS_FreeValue(context, global);
    }
}

/// The name of an imported module, as the engine asks for it.
pub(crate) unsafe extern "C" fn module_name(
    context: *mut qjs::JSContext,
    base: *const c_char,
    import: *const c_char,
    _opaque: *mut c_void,
) -> *mut c_char {
    // SAFETY: the engine calls with its context and terminated names.
    unsafe {
        guarded(context, null_mut(), |shared| {
            let base = CStr::from_ptr(base).to_string_lossy();
            let import = CStr::from_ptr(import).to_string_lossy();
            if !shared.is_resolving.get()
                && let Err(error) = shared.with_host(|host| host.import(&import))
            {
                if error.is_fatal {
                    shared.doom(Doom::Fatal(error));
                } else {
                    throw(shared, context, &error);
                }
                return null_mut();
            }
            let Some(name) = shared.resolve(&base, &import) else {
                let message = unresolved(&base, &import);
                throw_class(shared, context, ErrorClass::TypeError, message);
                return null_mut();
            };
            qjs::js_strndup(context, name.as_ptr().cast(), name.len() as _)
        })
    }
}

/// A module that the engine does not have yet: only a dynamic import asks for one.
pub(crate) unsafe extern "C" fn load_module(
    context: *mut qjs::JSContext,
    name: *const c_char,
    _opaque: *mut c_void,
) -> *mut qjs::JSModuleDef {
    // SAFETY: the engine calls with its context and a terminated name.
    unsafe {
        guarded(context, null_mut(), |shared| {
            let name = CStr::from_ptr(name).to_string_lossy();
            match declare(shared, context, &name) {
                Ok(module) if link(shared, context, module) => module,
                Ok(_) | Err(Outcome::Doomed) => null_mut(),
                Err(outcome) => {
                    if let Outcome::Missing(text) = outcome {
                        throw_class(shared, context, ErrorClass::TypeError, text);
                    }
                    null_mut()
                }
            }
        })
    }
}

/// Asked by the engine now and then: whether the call has to end.
pub(crate) unsafe extern "C" fn interrupt(
    _runtime: *mut qjs::JSRuntime,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: the opaque pointer names the box, which outlives the arena.
    let shared = unsafe { &*opaque.cast::<Shared>() };
    if !shared.is_doomed() {
        if !shared.clock.is_used_up() {
            return 0;
        }
        shared.doom(Doom::TimedOut);
    }
    if shared.is_armed.get() {
        // SAFETY: the box is armed, and this frame owns nothing.
        unsafe { leave(shared) }
    }
    1
}

/// Keeps count of rejected promises without a handler.
pub(crate) unsafe extern "C" fn track_rejection(
    context: *mut qjs::JSContext,
    promise: qjs::JSValue,
    _reason: qjs::JSValue,
    is_handled: bool,
    opaque: *mut c_void,
) {
    // SAFETY: the opaque pointer names the box. Each remembered promise holds a reference of ours, so addresses stay distinct.
    unsafe {
        let shared = &*opaque.cast::<Shared>();
        let mut rejections = shared.rejections.borrow_mut();
        if !is_handled {
            if rejections.len() < REJECTIONS_MAX {
                rejections.push(qjs::JS_DupValue(context, promise));
            }
            return;
        }
        let address = qjs::JS_VALUE_GET_PTR(promise);
        let position = rejections
            .iter()
            .position(|other| qjs::JS_VALUE_GET_PTR(*other) == address);
        if let Some(position) = position {
            let known = rejections.remove(position);
            qjs::JS_FreeValue(context, known);
        }
    }
}

/// A value for the host, or a refusal, of what a registered function returned.
///
/// # Safety
///
/// As for `from_engine`.
pub(crate) unsafe fn result_of(
    context: *mut qjs::JSContext,
    value: qjs::JSValue,
) -> Option<HostValue> {
    // SAFETY: what the caller promises; the value is ours to free.
    unsafe {
        let result = from_engine(context, value);
        qjs::JS_FreeValue(context, value);
        result
    }
}
