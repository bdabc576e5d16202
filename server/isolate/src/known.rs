//! The module `vestibule:known`: what stands in for functions whose text is known, such as a package's conversion of values.
//!
//! Modules reach it by `import`. Its functions are pure, so a user's module may import it too and gains nothing.
//! `convexToJson(value, keepsUndefined)` and `jsonToConvex(json)` answer `undefined` for what is not plain data (`plain.rs`).
//! `call(op, ...args)` asks the host, whose operation is called `known.` and then this; what the host refuses is `undefined` too.

use std::ffi::{CStr, c_int};

use rquickjs_sys as qjs;

use crate::convert::to_engine;
use crate::natives::{arguments, disarmed, host_arguments};
use crate::plain::{Direction, convert};
use crate::shared::{Doom, Shared};

/// The name by which modules import it.
pub const KNOWN_MODULE: &str = "vestibule:known";
const NAME: &CStr = c"vestibule:known";

/// `convexToJson(value, keepsUndefined)`
unsafe extern "C" fn convex_to_json(
    context: *mut qjs::JSContext,
    _this: qjs::JSValue,
    argc: c_int,
    argv: *mut qjs::JSValue,
) -> qjs::JSValue {
    // SAFETY: the engine calls with its context and this many arguments.
    unsafe {
        let arguments = arguments(argc, argv);
        let keeps_undefined = arguments.get(1).is_some_and(|keeps| {
            qjs::JS_VALUE_GET_TAG(*keeps) == qjs::JS_TAG_BOOL && qjs::JS_VALUE_GET_BOOL(*keeps)
        });
        converted(context, arguments, Direction::ToJson { keeps_undefined })
    }
}

/// `jsonToConvex(json)`
unsafe extern "C" fn json_to_convex(
    context: *mut qjs::JSContext,
    _this: qjs::JSValue,
    argc: c_int,
    argv: *mut qjs::JSValue,
) -> qjs::JSValue {
    // SAFETY: the engine calls with its context and this many arguments.
    unsafe { converted(context, arguments(argc, argv), Direction::FromJson) }
}

unsafe fn converted(
    context: *mut qjs::JSContext,
    arguments: &[qjs::JSValue],
    direction: Direction,
) -> qjs::JSValue {
    // SAFETY: called by the engine with its context; the argument lives as long as the native runs.
    unsafe {
        disarmed(context, qjs::JS_EXCEPTION, |_| match arguments.first() {
            Some(value) => convert(context, *value, direction),
            None => qjs::JS_UNDEFINED,
        })
    }
}

/// `call(op, ...args)`. Its time counts as the engine's, so no function can spend it unseen.
unsafe extern "C" fn call(
    context: *mut qjs::JSContext,
    _this: qjs::JSValue,
    argc: c_int,
    argv: *mut qjs::JSValue,
) -> qjs::JSValue {
    // SAFETY: the engine calls with its context and this many arguments.
    unsafe {
        disarmed(context, qjs::JS_EXCEPTION, |shared| {
            known_call(shared, context, arguments(argc, argv))
        })
    }
}

const EXPORTS: [(&CStr, qjs::JSCFunction, c_int); 3] = [
    (c"convexToJson", Some(convex_to_json), 2),
    (c"jsonToConvex", Some(json_to_convex), 1),
    (c"call", Some(call), 1),
];

/// A user's module may ask for what is known, and is told nothing where the host has no answer.
unsafe fn known_call(
    shared: &Shared,
    context: *mut qjs::JSContext,
    arguments: &[qjs::JSValue],
) -> qjs::JSValue {
    // SAFETY: called inside `disarmed` with the arguments of a native.
    unsafe {
        let Some((op, values)) = host_arguments(context, arguments) else {
            return qjs::JS_UNDEFINED;
        };
        let Ok(mut values) = values else {
            return qjs::JS_UNDEFINED;
        };
        let answer = shared.with_host(|host| host.call(&format!("known.{op}"), &mut values));
        // The engine asks for itself only after thousands of calls, and each of these may take long.
        if shared.clock.is_used_up() {
            shared.doom(Doom::TimedOut);
            return qjs::JS_EXCEPTION;
        }
        match answer {
            Ok(value) => to_engine(context, &value),
            Err(_) => qjs::JS_UNDEFINED,
        }
    }
}

/// Makes the module known to the engine. False if memory is out.
///
/// # Safety
///
/// The context lives. May be the work of a `run`.
pub(crate) unsafe fn install(context: *mut qjs::JSContext) -> bool {
    // SAFETY: what the caller promises. A module belongs to its context.
    unsafe {
        let module = qjs::JS_NewCModule(context, NAME.as_ptr(), Some(fill));
        !module.is_null()
            && EXPORTS
                .iter()
                .all(|(name, _, _)| qjs::JS_AddModuleExport(context, module, name.as_ptr()) >= 0)
    }
}

/// Called by the engine when the module is first linked.
unsafe extern "C" fn fill(context: *mut qjs::JSContext, module: *mut qjs::JSModuleDef) -> c_int {
    let kind = qjs::JSCFunctionEnum_JS_CFUNC_generic;
    for (name, function, length) in EXPORTS {
        // SAFETY: the engine passes its context and this module; the function is given away.
        let is_set = unsafe {
            let value = qjs::JS_NewCFunction2(context, function, name.as_ptr(), length, kind, 0);
            qjs::JS_SetModuleExport(context, module, name.as_ptr(), value)
        };
        if is_set < 0 {
            return -1;
        }
    }
    0
}
