//! The parts specific to this engine: its version, its slabs, and the script that runs before every prelude.

use std::sync::OnceLock;

use rquickjs_sys as qjs;

use crate::blocks::Head;
use crate::bytecode::{Bytecode, compile_script};

/// The sizes of which the engine has slabs. Each counts a header of eight bytes.
const SLAB_BLOCK_BYTES: [usize; 31] = [
    16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 144, 160, 176, 192, 208, 224,
    240, 256, 288, 320, 352, 384, 416, 448, 480, 512,
];
/// No image has more free places of one size than this.
const SLAB_PLACES_MAX: usize = 1 << 20;

/// The version of the embedded engine, such as `0.16.2`.
pub fn engine_version() -> &'static str {
    // SAFETY: the engine answers with a constant, terminated text.
    let version = unsafe { std::ffi::CStr::from_ptr(qjs::JS_GetVersion()) };
    version.to_str().unwrap_or("unknown")
}

/// Uses up the free places in the engine's slabs, so that a call allocates from slabs of its own. A third fewer pages of the image are
/// changed by a call.
///
/// # Safety
///
/// The runtime lives and is served from this head. Work of a `run`.
pub(crate) unsafe fn fill_slabs(runtime: *mut qjs::JSRuntime, head: *const Head) {
    for size in SLAB_BLOCK_BYTES.into_iter().map(|bytes| bytes - 8) {
        for _ in 0..SLAB_PLACES_MAX {
            // SAFETY: the head is in place, and what is allocated is never used.
            unsafe {
                let before = (*head).handed_out();
                let content = qjs::js_malloc_rt(runtime, size as _);
                if (*head).handed_out() != before {
                    // The first of a new slab: no place was left.
                    qjs::js_free_rt(runtime, content);
                    break;
                }
            }
        }
    }
}

/// A context with the objects that functions may have: no clock of its own, no weak references of the engine's.
///
/// # Safety
///
/// The runtime lives. May be work of a `run`.
pub(crate) unsafe fn new_context(runtime: *mut qjs::JSRuntime) -> Option<*mut qjs::JSContext> {
    // SAFETY: the runtime lives; the context is checked before it is used.
    unsafe {
        let context = qjs::JS_NewContextRaw(runtime);
        if context.is_null() {
            return None;
        }
        let parts = [
            qjs::JS_AddIntrinsicBaseObjects,
            qjs::JS_AddIntrinsicDate,
            qjs::JS_AddIntrinsicEval,
            qjs::JS_AddIntrinsicRegExp,
            qjs::JS_AddIntrinsicJSON,
            qjs::JS_AddIntrinsicProxy,
            qjs::JS_AddIntrinsicMapSet,
            qjs::JS_AddIntrinsicTypedArrays,
            qjs::JS_AddIntrinsicPromise,
            qjs::JS_AddIntrinsicDOMException,
            qjs::JS_AddIntrinsicAToB,
        ];
        let is_whole = parts.into_iter().all(|add| add(context) == 0);
        is_whole.then_some(context)
    }
}

/// The script that runs before every prelude.
pub(crate) fn boot() -> &'static Bytecode {
    static BOOT: OnceLock<Bytecode> = OnceLock::new();
    BOOT.get_or_init(|| {
        compile_script("boot.js", include_str!("boot.js")).expect("the boot script is correct")
    })
}
