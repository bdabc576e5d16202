//! Reads a thrown value into plain text.

use std::ffi::CStr;

use rquickjs_sys as qjs;

use crate::convert::{forget_exception, string};
use crate::error::Thrown;
use crate::leave::run;
use crate::shared::Shared;

/// Reads an error that the parser threw. No code of the user's runs.
///
/// # Safety
///
/// The context lives, has a pending exception, and has never run JavaScript.
pub(crate) unsafe fn describe_plainly(context: *mut qjs::JSContext) -> Thrown {
    // SAFETY: values are made and freed here.
    unsafe {
        let error = qjs::JS_GetException(context);
        let text = |name: &CStr| {
            let value = qjs::JS_GetPropertyStr(context, error, name.as_ptr());
            let text = qjs::JS_IsString(value).then(|| string(context, value));
            qjs::JS_FreeValue(context, value);
            text.flatten().unwrap_or_default()
        };
        let thrown = Thrown {
            name: text(c"name"),
            message: text(c"message"),
            stack: text(c"stack"),
            ..Thrown::default()
        };
        qjs::JS_FreeValue(context, error);
        thrown
    }
}

/// Reads a thrown value. Getters of the user's may run, within the budget; if one dooms the call, the parts read so far
/// come
///
/// # Safety
///
/// The context lives, the box is not armed, and the value is one of this engine's.
pub(crate) unsafe fn describe(
    shared: &Shared,
    context: *mut qjs::JSContext,
    value: qjs::JSValue,
) -> Thrown {
    let reader = Reader { shared, context };
    // SAFETY: what the caller promises.
    unsafe {
        if !qjs::JS_IsObject(value) {
            return reader.other(value);
        }
        let stack = reader.text(value, c"stack");
        let message = reader.text(value, c"message");
        if !qjs::JS_IsError(value) && (stack.is_none() || message.is_none()) {
            return reader.other(value);
        }
        let name = reader.text(value, c"name");
        Thrown {
            name: name.unwrap_or_else(|| "Error".to_owned()),
            message: message.unwrap_or_default(),
            stack: stack.unwrap_or_default(),
            data: reader.text(value, c"data"),
            is_convex_error: reader.is_convex_error(value),
        }
    }
}

struct Reader<'a> {
    shared: &'a Shared,
    context: *mut qjs::JSContext,
}

impl Reader<'_> {
    /// A property, which the caller frees. Nothing if reading it threw or doomed the call.
    unsafe fn property(&self, object: qjs::JSValue, name: &CStr) -> Option<qjs::JSValue> {
        let (context, name) = (self.context, name.as_ptr());
        // SAFETY: the work is one call of the engine.
        unsafe {
            let value = run(self.shared, || {
                qjs::JS_GetPropertyStr(context, object, name)
            })?;
            if qjs::JS_IsException(value) {
                forget_exception(context);
                return None;
            }
            Some(value)
        }
    }

    /// A property that is a string.
    unsafe fn text(&self, object: qjs::JSValue, name: &CStr) -> Option<String> {
        // SAFETY: as for `property`; the value is freed here.
        unsafe {
            let value = self.property(object, name)?;
            let text = qjs::JS_IsString(value).then(|| string(self.context, value));
            qjs::JS_FreeValue(self.context, value);
            text.flatten()
        }
    }

    /// Whether `error[error.ConvexErrorSymbol] === true`.
    unsafe fn is_convex_error(&self, object: qjs::JSValue) -> bool {
        // SAFETY: as for `property`; what is made here is freed here.
        unsafe {
            let Some(symbol) = self.property(object, c"ConvexErrorSymbol") else {
                return false;
            };
            if !qjs::JS_IsSymbol(symbol) {
                qjs::JS_FreeValue(self.context, symbol);
                return false;
            }
            let context = self.context;
            let atom = qjs::JS_ValueToAtom(context, symbol);
            let mark = run(self.shared, || qjs::JS_GetProperty(context, object, atom));
            let is_true =
                mark.is_some_and(|mark| qjs::JS_IsBool(mark) && qjs::JS_VALUE_GET_BOOL(mark));
            if mark.is_some_and(|mark| qjs::JS_IsException(mark)) {
                forget_exception(context);
            }
            qjs::JS_FreeAtom(context, atom);
            qjs::JS_FreeValue(context, symbol);
            is_true
        }
    }

    /// A value that is no `Error`, as engines print it: a primitive's text, an array's text, else `#<Name>`.
    unsafe fn other(&self, value: qjs::JSValue) -> Thrown {
        // SAFETY: as for `property`.
        let message = unsafe {
            if qjs::JS_IsObject(value) && !qjs::JS_IsArray(value) {
                format!("#<{}>", self.class_name(value))
            } else if qjs::JS_IsSymbol(value) {
                let text = self.text(value, c"description").unwrap_or_default();
                format!("Symbol({text})")
            } else {
                self.converted(value).unwrap_or_default()
            }
        };
        Thrown {
            message,
            ..Thrown::default()
        }
    }

    unsafe fn class_name(&self, object: qjs::JSValue) -> String {
        // SAFETY: as for `property`; what is made here is freed here.
        unsafe {
            let Some(constructor) = self.property(object, c"constructor") else {
                return "Object".to_owned();
            };
            let name = self.text(constructor, c"name");
            qjs::JS_FreeValue(self.context, constructor);
            name.filter(|name| !name.is_empty())
                .unwrap_or_else(|| "Object".to_owned())
        }
    }

    unsafe fn converted(&self, value: qjs::JSValue) -> Option<String> {
        let context = self.context;
        // SAFETY: as for `property`; what is made here is freed here.
        unsafe {
            let text = run(self.shared, || qjs::JS_ToString(context, value))?;
            if qjs::JS_IsException(text) {
                forget_exception(context);
                return None;
            }
            let copied = string(context, text);
            qjs::JS_FreeValue(context, text);
            copied
        }
    }
}
