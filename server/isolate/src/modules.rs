//! Modules: declared from bytecode with all they import, linked, evaluated.
//!
//! The engine cannot cope with an import that fails half-way: the importing module stays behind, linked to nothing. So the whole graph is
//! declared before the engine looks at any of it, and an import that leads nowhere is found here.

use std::collections::HashSet;
use std::sync::Arc;

use rquickjs_sys as qjs;

use crate::bytecode::Bytecode;
use crate::error::HostError;
use crate::known::KNOWN_MODULE;
use crate::leave::run;
use crate::names::unresolved;
use crate::shared::{Doom, Loaded, Shared};

/// How many modules one import may bring in. The engine walks them by recursion.
const MODULES_MAX: usize = 4096;

/// How an import ended.
pub(crate) enum Outcome {
    Ready(*mut qjs::JSModuleDef),
    /// The error, with a reference that is the caller's.
    Threw(qjs::JSValue),
    /// The module awaits at its top level.
    Unsettled,
    /// The sentence for a module that is not there.
    Missing(String),
    Doomed,
}

/// Evaluates a module and all it imports, unless that has been done before.
///
/// # Safety
///
/// The context lives and the box is not armed.
pub(crate) unsafe fn evaluate(
    shared: &Shared,
    context: *mut qjs::JSContext,
    name: &str,
) -> Outcome {
    // SAFETY: as the caller promises. Each work is calls of the engine alone.
    unsafe {
        let module = match declare(shared, context, name) {
            Ok(module) => module,
            Err(outcome) => return outcome,
        };
        if !link(shared, context, module) {
            return Outcome::Doomed;
        }
        let value = qjs::JS_MKPTR(qjs::JS_TAG_MODULE, module.cast());
        let promise = run(shared, || {
            qjs::JS_EvalFunction(context, qjs::JS_DupValue(context, value))
        });
        let Some(promise) = promise else {
            return Outcome::Doomed;
        };
        if qjs::JS_IsException(promise) {
            return Outcome::Threw(qjs::JS_GetException(context));
        }
        let outcome = match qjs::JS_PromiseState(context, promise) {
            qjs::JSPromiseStateEnum_JS_PROMISE_FULFILLED => Outcome::Ready(module),
            qjs::JSPromiseStateEnum_JS_PROMISE_REJECTED => {
                qjs::JS_PromiseMarkAsHandled(context, promise);
                Outcome::Threw(qjs::JS_PromiseResult(context, promise))
            }
            _ => Outcome::Unsettled,
        };
        qjs::JS_FreeValue(context, promise);
        outcome
    }
}

/// Makes a module and all it imports known to the engine.
///
/// # Safety
///
/// The context lives and the box is not armed.
pub(crate) unsafe fn declare(
    shared: &Shared,
    context: *mut qjs::JSContext,
    name: &str,
) -> Result<*mut qjs::JSModuleDef, Outcome> {
    if let Some(module) = loaded(shared, name) {
        return Ok(module);
    }
    let graph = graph(shared, name).map_err(Outcome::Missing)?;
    for bytecode in graph {
        let (code, length) = (bytecode.code().as_ptr(), bytecode.code().len());
        let flags = qjs::JS_READ_OBJ_BYTECODE as i32;
        // SAFETY: the bytecode was compiled by this process, which its type says.
        let value = unsafe {
            run(shared, || {
                qjs::JS_ReadObject(context, code, length as _, flags)
            })
        };
        // SAFETY: asks for the tag before it reads the pointer.
        let module = value.and_then(|value| unsafe {
            (qjs::JS_VALUE_GET_TAG(value) == qjs::JS_TAG_MODULE)
                .then(|| qjs::JS_VALUE_GET_PTR(value).cast::<qjs::JSModuleDef>())
        });
        let Some(module) = module else {
            let text = format!("The bytecode of \"{}\" cannot be read", bytecode.name());
            shared.doom(Doom::Fatal(HostError::fatal(text)));
            return Err(Outcome::Doomed);
        };
        shared.modules.borrow_mut().push(Loaded {
            name: bytecode.name().to_owned(),
            module,
        });
    }
    Ok(loaded(shared, name).expect("the graph begins with the module itself"))
}

fn loaded(shared: &Shared, name: &str) -> Option<*mut qjs::JSModuleDef> {
    let modules = shared.modules.borrow();
    let known = modules.iter().find(|loaded| loaded.name == name)?;
    Some(known.module)
}

/// The module and all it imports that the engine does not have yet. If one is missing, the sentence that says so.
fn graph(shared: &Shared, name: &str) -> Result<Vec<Arc<Bytecode>>, String> {
    let fetch = |name: &str| {
        let found = shared.source.bytecode(name);
        found.filter(|found| found.is_module() && found.name() == name)
    };
    let first = fetch(name).ok_or_else(|| format!("Could not find module \"{name}\""))?;
    let mut seen = HashSet::from([name.to_owned()]);
    let mut graph = vec![first];
    let mut next = 0;
    while let Some(bytecode) = graph.get(next).cloned() {
        next += 1;
        for import in bytecode.imports() {
            let missing = || unresolved(bytecode.name(), import);
            let name = shared
                .resolve(bytecode.name(), import)
                .ok_or_else(missing)?;
            let is_there = name == KNOWN_MODULE || loaded(shared, &name).is_some();
            if is_there || !seen.insert(name.clone()) {
                continue;
            }
            if graph.len() == MODULES_MAX {
                return Err(format!("\"{name}\" is one module too many ({MODULES_MAX})"));
            }
            graph.push(fetch(&name).ok_or_else(missing)?);
        }
    }
    Ok(graph)
}

/// Has the engine resolve the imports of a declared module. It finds them all, so a failure is the end of the call.
///
/// # Safety
///
/// The module was declared in this context, and the box is not armed.
pub(crate) unsafe fn link(
    shared: &Shared,
    context: *mut qjs::JSContext,
    module: *mut qjs::JSModuleDef,
) -> bool {
    let value = qjs::JS_MKPTR(qjs::JS_TAG_MODULE, module.cast());
    let was_resolving = shared.is_resolving.replace(true);
    // SAFETY: what the caller promises.
    let answer = unsafe { run(shared, || qjs::JS_ResolveModule(context, value)) };
    shared.is_resolving.set(was_resolving);
    if answer == Some(0) {
        return true;
    }
    shared.doom(Doom::Fatal(HostError::fatal(
        "The imports of a module could not be resolved",
    )));
    false
}
