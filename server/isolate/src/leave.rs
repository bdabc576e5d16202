//! Entering the engine and leaving it from any depth.
//!
//! [`run`] calls the engine. A call that has run out of time or memory, or that the host ends, leaves by [`leave`]: a jump to where `run`
//! began. The engine's work stays half done in the arena, and the restore puts it right, so nothing needs to be
//! unwound.
//!
//! A jump skips destructors. So it is allowed only while `is_armed` says that every frame between `run` and here is the
//! engine's, or owns nothing. For that, `run` requires work that is `Copy`. Natives disarm first (`natives.rs`) and let
//! go of all they own before they arm again.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

use crate::shared::Shared;

unsafe extern "C" {
    fn vestibule_isolate_enter(
        slot: *mut *mut c_void,
        body: unsafe extern "C" fn(*mut c_void),
        argument: *mut c_void,
    ) -> c_int;
    fn vestibule_isolate_leave(place: *mut c_void) -> !;
}

struct Frame<F, R> {
    work: F,
    result: MaybeUninit<R>,
}

/// Calls the engine. Returns `None` if the call was left, and then the doom says why.
///
/// # Safety
///
/// The work calls the engine and does nothing else: it makes no value that has a destructor. Its pointers are good.
pub(crate) unsafe fn run<R: Copy, F: FnOnce() -> R + Copy>(shared: &Shared, work: F) -> Option<R> {
    if shared.is_doomed() {
        return None;
    }
    let was_armed = shared.is_armed.replace(true);
    let started = shared.clock.start();
    let mut frame = Frame {
        work,
        result: MaybeUninit::<R>::uninit(),
    };
    // SAFETY: the slot is a cell of the box, which outlives this call. The body gets the frame it expects. Frames that a jump skips own
    // nothing: the work is `Copy` and, as the caller promises, makes nothing that has a destructor.
    let was_left = unsafe {
        vestibule_isolate_enter(
            shared.place.as_ptr(),
            body::<R, F>,
            (&raw mut frame).cast::<c_void>(),
        )
    };
    if started {
        shared.clock.stop();
    }
    shared.is_armed.set(was_armed);
    if was_left != 0 {
        return None;
    }
    // SAFETY: the body returned, so it has written its result.
    Some(unsafe { frame.result.assume_init() })
}

unsafe extern "C" fn body<R: Copy, F: FnOnce() -> R + Copy>(argument: *mut c_void) {
    let frame = argument.cast::<Frame<F, R>>();
    // SAFETY: `run` passes a frame of these types, which it does not touch until we have returned.
    unsafe {
        let work = (*frame).work;
        (*frame).result.write(work());
    }
}

/// Leaves the engine.
///
/// # Safety
///
/// The box is armed, and no frame between the last `run` and the caller owns anything.
pub(crate) unsafe fn leave(shared: &Shared) -> ! {
    debug_assert!(shared.is_armed.get() && shared.is_doomed());
    // SAFETY: while the box is armed, `place` names the buffer in the frame of the innermost `run`, which is still on the stack.
    unsafe { vestibule_isolate_leave(shared.place.get()) }
}
