//! Values between Rust and the engine. Nothing here runs JavaScript, so nothing here jumps.

use std::ffi::{CStr, c_char, c_int};
use std::ptr::slice_from_raw_parts;

use rquickjs_sys as qjs;

use crate::error::{ErrorClass, HostError};
use crate::leave::run;
use crate::shared::{HostValue, Shared};

/// A value for the engine. `JS_EXCEPTION` if memory is out.
///
/// # Safety
///
/// The context lives and the box is not armed.
pub(crate) unsafe fn to_engine(context: *mut qjs::JSContext, value: &HostValue) -> qjs::JSValue {
    match value {
        HostValue::Undefined => qjs::JS_UNDEFINED,
        HostValue::Null => qjs::JS_NULL,
        HostValue::Bool(true) => qjs::JS_TRUE,
        HostValue::Bool(false) => qjs::JS_FALSE,
        HostValue::Number(number) => qjs::JS_NewFloat64(*number),
        // SAFETY: the context lives; text and bytes are copied.
        HostValue::String(text) => unsafe { new_string(context, text) },
        // SAFETY: as above.
        HostValue::Bytes(bytes) => unsafe {
            qjs::JS_NewArrayBufferCopy(context, bytes.as_ptr(), bytes.len() as _)
        },
    }
}

/// # Safety
///
/// The context lives and the box is not armed.
pub(crate) unsafe fn new_string(context: *mut qjs::JSContext, text: &str) -> qjs::JSValue {
    // SAFETY: the engine copies the text, which has this length.
    unsafe { qjs::JS_NewStringLen(context, text.as_ptr().cast::<c_char>(), text.len() as _) }
}

/// A value for the host. Nothing if it is of a kind that does not cross, or memory is out; no exception is left behind.
///
/// # Safety
///
/// The context lives, the box is not armed, and the value is one of this engine's.
pub(crate) unsafe fn from_engine(
    context: *mut qjs::JSContext,
    value: qjs::JSValue,
) -> Option<HostValue> {
    // SAFETY: each reading of the union follows the tag.
    unsafe {
        Some(match qjs::JS_VALUE_GET_NORM_TAG(value) {
            qjs::JS_TAG_UNDEFINED => HostValue::Undefined,
            qjs::JS_TAG_NULL => HostValue::Null,
            qjs::JS_TAG_BOOL => HostValue::Bool(qjs::JS_VALUE_GET_BOOL(value)),
            qjs::JS_TAG_INT => HostValue::Number(f64::from(qjs::JS_VALUE_GET_INT(value))),
            qjs::JS_TAG_FLOAT64 => HostValue::Number(qjs::JS_VALUE_GET_FLOAT64(value)),
            qjs::JS_TAG_STRING | qjs::JS_TAG_STRING_ROPE => {
                HostValue::String(string(context, value)?)
            }
            qjs::JS_TAG_OBJECT => HostValue::Bytes(bytes(context, value)?),
            _ => return None,
        })
    }
}

/// The text of a string. A half of a surrogate pair becomes U+FFFD.
///
/// # Safety
///
/// The context lives, the box is not armed, and the value is a string of this engine's.
pub(crate) unsafe fn string(context: *mut qjs::JSContext, value: qjs::JSValue) -> Option<String> {
    let mut length: qjs::size_t = 0;
    // SAFETY: for a string no conversion runs. The text is copied before it is freed.
    unsafe {
        let text = qjs::JS_ToCStringLen2(context, &raw mut length, value, false);
        if text.is_null() {
            forget_exception(context);
            return None;
        }
        let slice = &*slice_from_raw_parts(text.cast::<u8>(), length as usize);
        let copied = std::str::from_utf8(slice).map(str::to_owned);
        qjs::JS_FreeCString(context, text);
        match copied {
            Ok(text) => Some(text),
            Err(_) => utf16(context, value),
        }
    }
}

unsafe fn utf16(context: *mut qjs::JSContext, value: qjs::JSValue) -> Option<String> {
    let mut length: qjs::size_t = 0;
    // SAFETY: as in `string`.
    unsafe {
        let units = qjs::JS_ToCStringLenUTF16(context, &raw mut length, value);
        if units.is_null() {
            forget_exception(context);
            return None;
        }
        let text = String::from_utf16_lossy(&*slice_from_raw_parts(units, length as usize));
        qjs::JS_FreeCStringUTF16(context, units);
        Some(text)
    }
}

/// The bytes of an `ArrayBuffer` or of a typed array's part of one.
unsafe fn bytes(context: *mut qjs::JSContext, value: qjs::JSValue) -> Option<Vec<u8>> {
    // SAFETY: the kind is asked before the content. The view is cut to the buffer, whatever it claims.
    unsafe {
        if qjs::JS_IsArrayBuffer(value) {
            return buffer(context, value);
        }
        if qjs::JS_GetTypedArrayType(value) < 0 {
            return None;
        }
        let (mut offset, mut length): (qjs::size_t, qjs::size_t) = (0, 0);
        let owner = qjs::JS_GetTypedArrayBuffer(
            context,
            value,
            &raw mut offset,
            &raw mut length,
            std::ptr::null_mut(),
        );
        if qjs::JS_IsException(owner) {
            forget_exception(context);
            return None;
        }
        let whole = buffer_slice(context, owner);
        let part = whole.and_then(|whole| {
            let start = offset as usize;
            let part = (&*whole).get(start..start.checked_add(length as usize)?);
            part.map(<[u8]>::to_vec)
        });
        qjs::JS_FreeValue(context, owner);
        part
    }
}

unsafe fn buffer(context: *mut qjs::JSContext, value: qjs::JSValue) -> Option<Vec<u8>> {
    // SAFETY: the slice is copied at once.
    unsafe { buffer_slice(context, value).map(|slice| (*slice).to_vec()) }
}

unsafe fn buffer_slice(context: *mut qjs::JSContext, value: qjs::JSValue) -> Option<*const [u8]> {
    let mut length: qjs::size_t = 0;
    // SAFETY: the value is an ArrayBuffer. Of an empty or detached one the engine may give no address.
    unsafe {
        let start = qjs::JS_GetArrayBuffer(context, &raw mut length, value);
        if start.is_null() {
            let is_detached = qjs::JS_HasException(context);
            forget_exception(context);
            return (!is_detached).then_some(std::ptr::from_ref(&[]));
        }
        Some(slice_from_raw_parts(start.cast_const(), length as usize))
    }
}

/// Drops the exception that is pending, if any.
///
/// # Safety
///
/// The context lives.
pub(crate) unsafe fn forget_exception(context: *mut qjs::JSContext) {
    // SAFETY: the pending exception is ours once it is taken.
    unsafe {
        let exception = qjs::JS_GetException(context);
        qjs::JS_FreeValue(context, exception);
    }
}

/// Throws a new error of this class into the engine and answers `JS_EXCEPTION`.
///
/// # Safety
///
/// The context lives and the box is not armed.
pub(crate) unsafe fn throw(
    shared: &Shared,
    context: *mut qjs::JSContext,
    error: &HostError,
) -> qjs::JSValue {
    // SAFETY: each value is made here and either thrown or freed.
    unsafe {
        let make = match &error.class {
            ErrorClass::Error => qjs::JS_NewPlainError,
            ErrorClass::TypeError => qjs::JS_NewTypeError,
            ErrorClass::RangeError => qjs::JS_NewRangeError,
            ErrorClass::DomException(name) => {
                return throw_dom_exception(shared, context, name, &error.message);
            }
        };
        // The engine cuts long messages, so the message is set afterwards. Making the stack may run `Error.prepareStackTrace`.
        let made = run(shared, || make(context, c"%s".as_ptr(), c"".as_ptr()));
        let Some(made) = made.filter(|made| !qjs::JS_IsException(*made)) else {
            return qjs::JS_EXCEPTION;
        };
        let message = new_string(context, &error.message);
        set_hidden(context, made, c"message", message);
        if let Some(json) = &error.data_json {
            let mut terminated = json.clone().into_bytes();
            let length = terminated.len();
            terminated.push(0);
            let data = qjs::JS_ParseJSON(
                context,
                terminated.as_ptr().cast(),
                length as _,
                c"<data>".as_ptr(),
            );
            if qjs::JS_IsException(data) {
                qjs::JS_FreeValue(context, made);
                return data;
            }
            qjs::JS_DefinePropertyValueStr(
                context,
                made,
                c"data".as_ptr(),
                data,
                qjs::JS_PROP_C_W_E as c_int,
            );
        }
        qjs::JS_Throw(context, made)
    }
}

/// Throws a plain error.
///
/// # Safety
///
/// As for [`throw`].
pub(crate) unsafe fn throw_class(
    shared: &Shared,
    context: *mut qjs::JSContext,
    class: ErrorClass,
    message: impl Into<String>,
) -> qjs::JSValue {
    // SAFETY: what the caller promises.
    unsafe { throw(shared, context, &HostError::new(class, message)) }
}

/// Throws an error of the prelude's `DOMException` constructor. That constructor is trusted: it was read before any
/// user's code
unsafe fn throw_dom_exception(
    shared: &Shared,
    context: *mut qjs::JSContext,
    name: &str,
    message: &str,
) -> qjs::JSValue {
    // SAFETY: the constructor is a value of this engine; arguments are made and freed here. It runs in a `run` of its own.
    unsafe {
        let constructor = shared.dom_exception.get();
        let mut arguments = [new_string(context, message), new_string(context, name)];
        let argv = arguments.as_mut_ptr();
        let made = run(shared, || {
            qjs::JS_CallConstructor(context, constructor, 2, argv)
        });
        for argument in arguments {
            qjs::JS_FreeValue(context, argument);
        }
        match made {
            Some(made) if !qjs::JS_IsException(made) => qjs::JS_Throw(context, made),
            _ => qjs::JS_EXCEPTION,
        }
    }
}

/// Sets a property as the engine's own errors have it: writable and configurable, not enumerable.
unsafe fn set_hidden(
    context: *mut qjs::JSContext,
    object: qjs::JSValue,
    name: &CStr,
    value: qjs::JSValue,
) {
    let flags = (qjs::JS_PROP_CONFIGURABLE | qjs::JS_PROP_WRITABLE) as c_int;
    // SAFETY: the object is an ordinary one of this engine; the value is given away.
    unsafe { qjs::JS_DefinePropertyValueStr(context, object, name.as_ptr(), value, flags) };
}
