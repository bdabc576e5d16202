// WebAssembly, which the engine lacks: it can be looked at, and says so when it is used.
(() => {
  $.part(["WebAssembly"], [], () => {
    const unavailable = () => {
      throw new Error("WebAssembly is not available in this runtime");
    };
    const rejected = async () => unavailable();
    const WebAssembly = {
      compile: rejected,
      compileStreaming: rejected,
      instantiate: rejected,
      instantiateStreaming: rejected,
      validate: () => false,
      [Symbol.toStringTag]: "WebAssembly",
    };
    for (const name of ["Module", "Instance", "Memory", "Table", "Global", "Tag", "Exception"]) {
      WebAssembly[name] = { [name]: function () { unavailable(); } }[name];
    }
    for (const name of ["CompileError", "LinkError", "RuntimeError"]) {
      WebAssembly[name] = { [name]: class extends Error {} }[name];
    }
    return { WebAssembly };
  });
})();
