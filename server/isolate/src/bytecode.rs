//! Source compiled to the engine's bytecode, which never leaves this process.
//!
//! The engine trusts bytecode, so a [`Bytecode`] can be made only by compiling source here. Compiling takes place in an engine of its own
//! that ends afterwards: nothing of the parser's garbage gets into an image.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{null_mut, slice_from_raw_parts};

use rquickjs_sys as qjs;

use crate::error::Thrown;
use crate::thrown::describe_plainly;

/// The stack that the parser may use.
const PARSER_STACK_BYTES: usize = 1 << 20;

/// A compiled module or script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytecode {
    name: String,
    code: Vec<u8>,
    is_module: bool,
    imports: Vec<String>,
}

impl Bytecode {
    /// The name that stacks and relative imports use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes the code has.
    pub fn code_bytes(&self) -> usize {
        self.code.len()
    }

    /// The module's static imports, as they are written in the source.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    pub(crate) fn code(&self) -> &[u8] {
        &self.code
    }

    pub(crate) fn is_module(&self) -> bool {
        self.is_module
    }
}

/// Compiles a module.
pub fn compile_module(name: &str, source: &str) -> Result<Bytecode, Thrown> {
    compile(name, source, true)
}

/// Compiles a plain script.
pub fn compile_script(name: &str, source: &str) -> Result<Bytecode, Thrown> {
    compile(name, source, false)
}

fn compile(name: &str, source: &str, is_module: bool) -> Result<Bytecode, Thrown> {
    let Ok(c_name) = CString::new(name) else {
        return Err(refusal("A module's name must not contain a zero byte"));
    };
    let Some(compiler) = Compiler::new() else {
        return Err(refusal("Out of memory while compiling"));
    };
    let mut terminated = Vec::with_capacity(source.len() + 1);
    terminated.extend_from_slice(source.as_bytes());
    terminated.push(0);
    compiler.compile(name, &c_name, &terminated, is_module)
}

fn refusal(message: &str) -> Thrown {
    Thrown {
        name: "Error".to_owned(),
        message: message.to_owned(),
        ..Thrown::default()
    }
}

/// An engine for one compilation. It uses the process's allocator and has no limits.
struct Compiler {
    runtime: *mut qjs::JSRuntime,
    context: *mut qjs::JSContext,
}

impl Compiler {
    fn new() -> Option<Compiler> {
        // SAFETY: makes an engine; each pointer is checked before it is used.
        unsafe {
            let runtime = qjs::JS_NewRuntime();
            if runtime.is_null() {
                return None;
            }
            qjs::JS_SetMaxStackSize(runtime, PARSER_STACK_BYTES as _);
            let context = qjs::JS_NewContext(runtime);
            if context.is_null() {
                qjs::JS_FreeRuntime(runtime);
                return None;
            }
            Some(Compiler { runtime, context })
        }
    }

    /// `source` ends in a zero byte.
    fn compile(
        &self,
        name: &str,
        c_name: &CStr,
        source: &[u8],
        is_module: bool,
    ) -> Result<Bytecode, Thrown> {
        let kind = if is_module {
            qjs::JS_EVAL_TYPE_MODULE
        } else {
            qjs::JS_EVAL_TYPE_GLOBAL
        };
        let flags = (kind | qjs::JS_EVAL_FLAG_COMPILE_ONLY) as c_int;
        let mut imports: Vec<String> = Vec::new();
        let list = (&raw mut imports).cast::<c_void>();
        // SAFETY: the context lives; the source is terminated and its length does not count the zero. Compiling a module resolves its
        // imports: the loader functions get a list that lives as long as they are set.
        let compiled = unsafe {
            qjs::JS_SetModuleLoaderFunc(self.runtime, Some(keep_name), Some(empty_module), list);
            let compiled = qjs::JS_Eval(
                self.context,
                source.as_ptr().cast(),
                (source.len() - 1) as _,
                c_name.as_ptr(),
                flags,
            );
            qjs::JS_SetModuleLoaderFunc(self.runtime, None, None, null_mut());
            compiled
        };
        // SAFETY: a value of this engine.
        if unsafe { qjs::JS_IsException(compiled) } {
            // SAFETY: the context lives, and nothing that it holds can run code of the user's: it only parsed.
            return Err(unsafe { describe_plainly(self.context) });
        }
        let code = self.write(compiled);
        // SAFETY: the compiled value is ours to free, and used no more.
        unsafe { qjs::JS_FreeValue(self.context, compiled) };
        Ok(Bytecode {
            name: name.to_owned(),
            code: code.ok_or_else(|| refusal("Out of memory while compiling"))?,
            is_module,
            imports,
        })
    }

    /// The code without the source's text, which functions would otherwise keep.
    fn write(&self, compiled: qjs::JSValue) -> Option<Vec<u8>> {
        let flags = (qjs::JS_WRITE_OBJ_BYTECODE | qjs::JS_WRITE_OBJ_STRIP_SOURCE) as c_int;
        let mut size: qjs::size_t = 0;
        // SAFETY: the context lives, the value is compiled code, and what is written is copied before it is freed.
        unsafe {
            let bytes = qjs::JS_WriteObject(self.context, &raw mut size, compiled, flags);
            if bytes.is_null() {
                return None;
            }
            let code = (*slice_from_raw_parts(bytes, size as usize)).to_vec();
            qjs::js_free(self.context, bytes.cast());
            Some(code)
        }
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        // SAFETY: both live, and nothing of them is kept.
        unsafe {
            qjs::JS_FreeContext(self.context);
            qjs::JS_FreeRuntime(self.runtime);
        }
    }
}

/// Notes an import and leaves its name as it is.
unsafe extern "C" fn keep_name(
    context: *mut qjs::JSContext,
    _base: *const c_char,
    name: *const c_char,
    opaque: *mut c_void,
) -> *mut c_char {
    // SAFETY: the engine passes a terminated name, and the compiler's list.
    unsafe {
        let imports = &mut *opaque.cast::<Vec<String>>();
        imports.push(CStr::from_ptr(name).to_string_lossy().into_owned());
        qjs::js_strdup(context, name)
    }
}

/// Stands in for every imported module.
unsafe extern "C" fn empty_module(
    context: *mut qjs::JSContext,
    name: *const c_char,
    _opaque: *mut c_void,
) -> *mut qjs::JSModuleDef {
    // SAFETY: the engine passes its context and a terminated name.
    unsafe { qjs::JS_NewCModule(context, name, Some(nothing)) }
}

unsafe extern "C" fn nothing(
    _context: *mut qjs::JSContext,
    _module: *mut qjs::JSModuleDef,
) -> c_int {
    0
}

#[cfg(test)]
mod tests {
    use super::{compile_module, compile_script};

    #[test]
    fn a_modules_imports_are_known() {
        let source =
            "import a from './a.js'; export * from '../b.js'; import('./c.js'); import './a.js';";
        let module = compile_module("x/rooms.js", source).unwrap();
        assert_eq!(module.imports(), ["./a.js", "../b.js"]);
        assert_eq!(module.name(), "x/rooms.js");
    }

    #[test]
    fn a_syntax_error_names_its_place() {
        let thrown = compile_script("rooms.js", "let a = ;").unwrap_err();
        assert_eq!(thrown.name, "SyntaxError");
        assert!(thrown.stack.contains("rooms.js:1"), "{thrown:?}");
    }
}
