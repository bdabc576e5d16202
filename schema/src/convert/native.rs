//! Tells `Value`'s own `Deserialize` which format it is read from.
//!
//! In JSON `-3` is a float64; read from a value, an `i64` of -3 is an int64. A deserializer cannot say which it is.
//! Serde keeps the parts of flattened structs and of tagged and untagged enums in a buffer of its own. That buffer
//! passes on the numbers and nothing else. So the fact travels beside the deserializer, for the length of one
//! `from_value`.

use std::cell::Cell;

thread_local! {
    static NATIVE: Cell<bool> = const { Cell::new(false) };
}

/// Whether what is being read now comes from a value, in which an `i64` is an int64.
pub(crate) fn reads_natively() -> bool {
    NATIVE.get()
}

/// Runs `read`, which reads from a value.
pub(super) fn reading_natively<R>(read: impl FnOnce() -> R) -> R {
    // Put back on drop, because a `Deserialize` may panic.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            NATIVE.set(self.0);
        }
    }
    let _restore = Restore(NATIVE.replace(true));
    read()
}
